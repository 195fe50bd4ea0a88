-- Which contacts a destination finds by the same key, where several may have it: by a keyed hash of the key. They are one record
-- there, so what is told of one is the status of all.

CREATE TABLE record_contacts (
    org BLOB NOT NULL,
    target BLOB NOT NULL,
    record BLOB NOT NULL,
    contact BLOB NOT NULL,
    PRIMARY KEY (org, target, record, contact)
) STRICT, WITHOUT ROWID;
