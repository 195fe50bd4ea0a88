-- Jobs of several kinds, and the files that some of them work on, in sealed pieces.

ALTER TABLE jobs ADD COLUMN kind smallint NOT NULL DEFAULT 1;
DROP INDEX jobs_running;
CREATE INDEX jobs_running ON jobs (kind, shard, created_at) WHERE state = 1;
CREATE INDEX jobs_of_kind ON jobs (org, kind, id);

CREATE TABLE chunks (
    org uuid NOT NULL,
    bundle uuid NOT NULL,
    expires_at bigint NOT NULL,
    number integer NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (org, bundle, number)
);
-- What is sealed does not compress.
ALTER TABLE chunks ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX chunks_expire ON chunks (expires_at);
