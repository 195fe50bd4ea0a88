-- What of each contact a destination that holds a state was last told, as a keyed hash.

CREATE TABLE synced (
    org uuid NOT NULL,
    target uuid NOT NULL,
    contact uuid NOT NULL,
    hash uuid NOT NULL,
    PRIMARY KEY (org, target, contact)
);
