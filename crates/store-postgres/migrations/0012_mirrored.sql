-- Passes that the rows of a sync were about, and the last run that had such a row.

CREATE TABLE mirrored (
    org uuid NOT NULL,
    sync uuid NOT NULL,
    pass uuid NOT NULL,
    run uuid NOT NULL,
    PRIMARY KEY (org, sync, pass)
);
