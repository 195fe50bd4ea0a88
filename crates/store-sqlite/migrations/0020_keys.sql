-- What is looked up by a key without an order is appended as it comes. One narrow index says which rows a key may mean: the
-- first bytes of a hash, and four times the row's number and the kind of key. What is new stands in `key_tail` first, an entry
-- after the other, with how far the entries before are taken over (see keys.rs, which makes the index of what is there).

CREATE TABLE key_index (
    hash BLOB NOT NULL,
    row INTEGER NOT NULL,
    PRIMARY KEY (hash, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE key_tail (
    n INTEGER PRIMARY KEY,
    entries BLOB NOT NULL,
    hand BLOB NOT NULL,
    turn INTEGER NOT NULL
) STRICT;

ALTER TABLE dedupe RENAME TO before;
CREATE TABLE dedupe (
    n INTEGER PRIMARY KEY,
    org BLOB NOT NULL,
    source BLOB NOT NULL,
    dedupe BLOB NOT NULL,
    id BLOB NOT NULL,
    until INTEGER NOT NULL
) STRICT;
INSERT INTO dedupe (org, source, dedupe, id, until) SELECT org, source, dedupe, id, until FROM before;
DROP TABLE before;

-- Of passes that are not deleted.
CREATE TABLE externals (
    n INTEGER PRIMARY KEY,
    org BLOB NOT NULL,
    project BLOB NOT NULL,
    external BLOB NOT NULL,
    pass BLOB NOT NULL
) STRICT;
INSERT INTO externals (org, project, external, pass)
    SELECT org, project, external, id FROM passes NOT INDEXED WHERE external IS NOT NULL AND state <> 5;
DROP INDEX passes_external;

-- Those behind the first of a line are few and have an index of their own.
ALTER TABLE contact_keys RENAME TO before;
CREATE TABLE contact_keys (
    n INTEGER PRIMARY KEY,
    org BLOB NOT NULL,
    hash BLOB NOT NULL,
    place INTEGER NOT NULL,
    contact BLOB NOT NULL
) STRICT;
-- In the order of this index, which is then appended to: sorting it for a large store takes as much memory.
CREATE INDEX contact_keys_of_contact ON contact_keys (org, contact, hash);
INSERT INTO contact_keys (org, hash, place, contact)
    SELECT org, hash, place, contact FROM before INDEXED BY contact_keys_contact ORDER BY org, contact, hash;
DROP TABLE before;
CREATE UNIQUE INDEX contact_keys_behind ON contact_keys (org, hash, place) WHERE place <> 0;

-- Of passes' pages. The directory keeps the names that are few.
CREATE TABLE codes (
    n INTEGER PRIMARY KEY,
    name BLOB NOT NULL,
    org BLOB NOT NULL,
    pass BLOB NOT NULL
) STRICT;
INSERT INTO codes (name, org, pass) SELECT name, org, target FROM directory WHERE kind = 4;
ALTER TABLE directory RENAME TO before;
CREATE TABLE directory (
    kind INTEGER NOT NULL,
    name BLOB NOT NULL,
    org BLOB NOT NULL,
    target BLOB NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
INSERT INTO directory (kind, name, org, target) SELECT kind, name, org, target FROM before WHERE kind <> 4;
DROP TABLE before;
