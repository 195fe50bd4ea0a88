-- Passes that the rows of a sync were about, and the last run that had such a row.

CREATE TABLE mirrored (
    org BLOB NOT NULL,
    sync BLOB NOT NULL,
    pass BLOB NOT NULL,
    run BLOB NOT NULL,
    PRIMARY KEY (org, sync, pass)
) STRICT, WITHOUT ROWID;
