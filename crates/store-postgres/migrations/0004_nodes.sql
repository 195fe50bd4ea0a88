-- The nodes that work on this database.

CREATE TABLE nodes (
    incarnation bigint NOT NULL,
    beat bigint NOT NULL,
    challenge bigint NOT NULL,
    name text PRIMARY KEY
) WITH (fillfactor = 20);
