-- How often a source event came again, and when last. Most never do and have no row.

CREATE TABLE repeats (
    org uuid NOT NULL,
    id uuid NOT NULL,
    times bigint NOT NULL,
    last_at bigint NOT NULL,
    PRIMARY KEY (org, id)
);
CREATE INDEX repeats_age ON repeats (last_at);
