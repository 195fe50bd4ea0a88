-- What waits and is due at the same time comes back in the order of arrival: of an event that waits, its number in the inbox.

ALTER TABLE inbox_results ADD COLUMN seq bigint;
UPDATE inbox_results r SET seq = i.seq FROM inbox i WHERE r.status = 4 AND i.org = r.org AND i.id = r.id;
DROP INDEX inbox_results_waiting;
CREATE INDEX inbox_results_waiting ON inbox_results (shard, due_at, seq) WHERE status = 4;
