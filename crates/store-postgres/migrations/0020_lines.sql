-- Several contacts may have one e-mail address: they stand in a line, in the order in which they came to have it, and the first is
-- found. Whoever is found by a name stays the first of its line. Others that have it have no row here so far: names are keyed hashes
-- of what is sealed, so they are looked for when the store is opened, which takes the keys.

ALTER TABLE contact_keys ADD COLUMN place bigint NOT NULL DEFAULT 0;
ALTER TABLE contact_keys DROP CONSTRAINT contact_keys_pkey;
ALTER TABLE contact_keys ADD PRIMARY KEY (org, hash, place);
DROP INDEX contact_keys_contact;
CREATE INDEX contact_keys_contact ON contact_keys (org, contact, hash);

-- Organizations whose contacts are still to be looked through.
CREATE TABLE unlined (org uuid NOT NULL PRIMARY KEY);
INSERT INTO unlined (org) SELECT DISTINCT org FROM contacts;
