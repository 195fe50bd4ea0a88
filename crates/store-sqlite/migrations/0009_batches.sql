-- Jobs of several kinds, and the files that some of them work on, in sealed pieces.

ALTER TABLE jobs ADD COLUMN kind INTEGER NOT NULL DEFAULT 1;
DROP INDEX jobs_running;
CREATE INDEX jobs_running ON jobs (kind, shard, created_at) WHERE state = 1;
CREATE INDEX jobs_of_kind ON jobs (org, kind, id);

CREATE TABLE chunks (
    org BLOB NOT NULL,
    bundle BLOB NOT NULL,
    number INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (org, bundle, number)
) STRICT;
CREATE INDEX chunks_expire ON chunks (expires_at);
