-- Source events of which a step waits for its time (5). Unlike those that are tried again they hold back nobody.

CREATE INDEX inbox_results_delayed ON inbox_results (shard, due_at) WHERE status = 5;
DROP INDEX inbox_results_parked;
CREATE INDEX inbox_results_open ON inbox_results (org, status, id) WHERE status IN (3, 4, 5);

-- When the next turn of a flow is that has a rate, on whichever shard and node.

CREATE TABLE paces (
    org uuid NOT NULL,
    flow uuid NOT NULL,
    next_at bigint NOT NULL,
    PRIMARY KEY (org, flow)
);
