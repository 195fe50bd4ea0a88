-- How often a source event came again, and when last. Most never do and have no row.

CREATE TABLE repeats (
    org BLOB NOT NULL,
    id BLOB NOT NULL,
    times INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (org, id)
) STRICT, WITHOUT ROWID;
