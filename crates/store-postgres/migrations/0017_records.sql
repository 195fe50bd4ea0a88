-- Which contacts a destination finds by the same key, where several may have it: by a keyed hash of the key. They are one record
-- there, so what is told of one is the status of all.

CREATE TABLE record_contacts (
    org uuid NOT NULL,
    target uuid NOT NULL,
    record uuid NOT NULL,
    contact uuid NOT NULL,
    PRIMARY KEY (org, target, record, contact)
);
