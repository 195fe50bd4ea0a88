-- What Google Wallet holds of a pass, or of a template as a class; and an account's own standing work.
-- `wanted_seq` is the pass's `content_seq` when it was last looked at, `synced_seq` the one that Google has (0: nothing).
CREATE TABLE google_things (
    org BLOB NOT NULL,
    thing BLOB NOT NULL,
    account BLOB NOT NULL,
    urgency INTEGER NOT NULL,
    wanted_seq INTEGER NOT NULL,
    synced_seq INTEGER NOT NULL,
    due_at INTEGER,
    body TEXT NOT NULL,
    PRIMARY KEY (org, thing)
) STRICT, WITHOUT ROWID;
CREATE INDEX google_things_due ON google_things (org, account, urgency, due_at) WHERE due_at IS NOT NULL;

INSERT INTO watermarks (reader, shard, seq) SELECT 'google', shard, 0 FROM leases;
