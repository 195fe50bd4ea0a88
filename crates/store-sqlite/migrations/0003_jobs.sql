-- Long pieces of work that a worker does step by step.

CREATE TABLE jobs (
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
CREATE INDEX jobs_running ON jobs (shard, created_at) WHERE state = 1;
