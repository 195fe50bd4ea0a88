-- Undoes the step 0020, as a release before it left a database.
CREATE TABLE before (org BLOB NOT NULL, source BLOB NOT NULL, dedupe BLOB NOT NULL, id BLOB NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (org, source, dedupe)) STRICT, WITHOUT ROWID;
INSERT INTO before SELECT org, source, dedupe, id, until FROM dedupe;
DROP TABLE dedupe;
ALTER TABLE before RENAME TO dedupe;
CREATE TABLE before (org BLOB NOT NULL, hash BLOB NOT NULL, place INTEGER NOT NULL, contact BLOB NOT NULL,
    PRIMARY KEY (org, hash, place)) STRICT, WITHOUT ROWID;
INSERT INTO before SELECT org, hash, place, contact FROM contact_keys;
DROP TABLE contact_keys;
ALTER TABLE before RENAME TO contact_keys;
CREATE INDEX contact_keys_contact ON contact_keys (org, contact, hash);
CREATE UNIQUE INDEX passes_external ON passes (org, project, external) WHERE external IS NOT NULL AND state <> 5;
DROP TABLE externals;
INSERT INTO directory (kind, name, org, target) SELECT 4, name, org, pass FROM codes;
DROP TABLE codes;
DROP TABLE key_index;
DROP TABLE key_tail;
PRAGMA user_version = 19;
