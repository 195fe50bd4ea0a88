-- Source events of which a step waits for its time (5). Unlike those that are tried again they hold back nobody.

CREATE INDEX inbox_results_delayed ON inbox_results (due_at) WHERE status = 5;
DROP INDEX inbox_results_open;
CREATE INDEX inbox_results_open ON inbox_results (org, status, id) WHERE status IN (3, 4, 5);

-- When the next turn of a flow is that has a rate.

CREATE TABLE paces (
    org BLOB NOT NULL,
    flow BLOB NOT NULL,
    next_at INTEGER NOT NULL,
    PRIMARY KEY (org, flow)
) STRICT, WITHOUT ROWID;
