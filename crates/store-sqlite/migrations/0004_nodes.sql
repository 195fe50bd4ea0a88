-- The nodes that work on this database; here never more than one.

CREATE TABLE nodes (
    name TEXT NOT NULL PRIMARY KEY,
    incarnation INTEGER NOT NULL,
    beat INTEGER NOT NULL,
    challenge INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
