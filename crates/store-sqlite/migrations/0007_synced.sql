-- What of each contact a destination that holds a state was last told, as a keyed hash.

CREATE TABLE synced (
    org BLOB NOT NULL,
    target BLOB NOT NULL,
    contact BLOB NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (org, target, contact)
) STRICT, WITHOUT ROWID;
