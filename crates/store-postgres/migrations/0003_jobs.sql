-- Long pieces of work that a worker does step by step.

CREATE TABLE jobs (
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
CREATE INDEX jobs_running ON jobs (shard, created_at) WHERE state = 1;
