-- Several contacts may have one e-mail address: they stand in a line, in the order in which they came to have it, and the first is
-- found. Whoever is found by a name stays the first of its line. Others that have it have no row here so far: names are keyed hashes
-- of what is sealed, so they are looked for when the store is opened, which takes the keys.

CREATE TABLE lines (
    org BLOB NOT NULL,
    hash BLOB NOT NULL,
    place INTEGER NOT NULL,
    contact BLOB NOT NULL,
    PRIMARY KEY (org, hash, place)
) STRICT, WITHOUT ROWID;
INSERT INTO lines (org, hash, place, contact) SELECT org, hash, 0, contact FROM contact_keys;
DROP TABLE contact_keys;
ALTER TABLE lines RENAME TO contact_keys;
CREATE INDEX contact_keys_contact ON contact_keys (org, contact, hash);

-- Organizations whose contacts are still to be looked through.
CREATE TABLE unlined (org BLOB NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
INSERT INTO unlined (org) SELECT DISTINCT org FROM contacts;
