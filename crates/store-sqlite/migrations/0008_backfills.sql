-- Walks over all contacts that compare a destination with the truth.

CREATE TABLE backfills (
    org BLOB NOT NULL,
    id BLOB NOT NULL,
    shard INTEGER NOT NULL,
    state INTEGER NOT NULL,
    body TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (org, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX backfills_running ON backfills (shard, created_at) WHERE state = 1;
