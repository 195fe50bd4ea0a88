-- Walks over all contacts that compare a destination with the truth.

CREATE TABLE backfills (
    org uuid NOT NULL,
    id uuid NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    revision bigint NOT NULL,
    shard smallint NOT NULL,
    state smallint NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (org, id)
);
CREATE INDEX backfills_running ON backfills (shard, created_at) WHERE state = 1;
