-- What a job is about. Of a kind one at a time is under way for it.

ALTER TABLE jobs ADD COLUMN subject BLOB;
CREATE UNIQUE INDEX jobs_one_at_a_time ON jobs (org, kind, subject) WHERE subject IS NOT NULL AND state IN (1, 2);
CREATE INDEX jobs_of_subject ON jobs (org, kind, subject, id) WHERE subject IS NOT NULL;
