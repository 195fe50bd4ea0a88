-- The spine: configuration, the two logs, passes and contacts, deliveries, leases.
--
-- Times are microseconds UTC. Blind indexes are 16 bytes, kept as uuid: fixed size, no header. Sealed columns do not
-- compress, so they are stored EXTERNAL. The three append-only tables are partitioned by day; `maintain` makes
-- partitions ahead and drops old ones, the default partition catches whatever has none.

CREATE TABLE store_state (
    id smallint PRIMARY KEY CHECK (id = 1),
    config_version bigint NOT NULL,
    log_epoch bigint NOT NULL
) WITH (fillfactor = 20);

-- Written to, and taken back, to see whether writing works.
CREATE TABLE probe (turn bigint NOT NULL) WITH (fillfactor = 20);
INSERT INTO probe (turn) VALUES (0);

-- Configuration.

CREATE TABLE resources (
    org uuid NOT NULL,
    id uuid NOT NULL,
    revision bigint NOT NULL,
    changed bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    kind smallint NOT NULL,
    deleted boolean NOT NULL,
    slug text,
    body text NOT NULL,
    PRIMARY KEY (org, kind, id)
);
CREATE UNIQUE INDEX resources_slug ON resources (org, kind, slug) WHERE NOT deleted;
CREATE INDEX resources_changed ON resources (changed);

CREATE TABLE directory (
    org uuid NOT NULL,
    target uuid NOT NULL,
    kind smallint NOT NULL,
    name bytea NOT NULL,
    PRIMARY KEY (kind, name)
);

CREATE TABLE audit (
    org uuid NOT NULL,
    id uuid NOT NULL,
    resource uuid NOT NULL,
    at bigint NOT NULL,
    kind smallint NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    before text,
    after text,
    PRIMARY KEY (org, id)
);

CREATE TABLE org_keys (
    org uuid PRIMARY KEY,
    wrapped bytea NOT NULL
);

CREATE TABLE blobs (
    org uuid NOT NULL,
    created_at bigint NOT NULL,
    sha256 bytea NOT NULL,
    media_type text NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (org, sha256)
);
ALTER TABLE blobs ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- Keys under which personal values are sealed: of contacts, of passes without one, of source events.

CREATE TABLE data_keys (
    org uuid NOT NULL,
    subject uuid NOT NULL,
    wrapped bytea NOT NULL,
    PRIMARY KEY (org, subject)
);

-- The last number of each shard of each log: 1 inbox, 2 events.

CREATE TABLE log_heads (
    seq bigint NOT NULL,
    log smallint NOT NULL,
    shard smallint NOT NULL,
    PRIMARY KEY (log, shard)
) WITH (fillfactor = 20);

-- Inbox.

CREATE TABLE inbox (
    seq bigint NOT NULL,
    received_at bigint NOT NULL,
    occurred_at bigint,
    org uuid NOT NULL,
    id uuid NOT NULL,
    source uuid NOT NULL,
    order_key uuid NOT NULL,
    shard smallint NOT NULL,
    name text NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (shard, seq, received_at)
) PARTITION BY RANGE (received_at);
ALTER TABLE inbox ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX inbox_id ON inbox (org, id);
CREATE TABLE inbox_default PARTITION OF inbox DEFAULT;

CREATE TABLE inbox_keys (
    org uuid NOT NULL,
    source uuid NOT NULL,
    dedupe uuid NOT NULL,
    id uuid NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (org, source, dedupe)
);
CREATE INDEX inbox_keys_expiry ON inbox_keys (expires_at);

-- What flows made of source events, and whose they turned out to be. Without a status only the owner is known yet.
CREATE TABLE inbox_results (
    org uuid NOT NULL,
    id uuid NOT NULL,
    owner uuid,
    due_at bigint,
    at bigint,
    runs integer,
    status smallint,
    shard smallint NOT NULL,
    trace text,
    PRIMARY KEY (org, id)
);
CREATE INDEX inbox_results_owner ON inbox_results (org, owner) WHERE owner IS NOT NULL;
CREATE INDEX inbox_results_waiting ON inbox_results (shard, due_at) WHERE status = 4;
CREATE INDEX inbox_results_parked ON inbox_results (org, status, id) WHERE status IN (3, 4);

-- Passes and contacts.

CREATE TABLE contacts (
    org uuid NOT NULL,
    id uuid NOT NULL,
    version bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (org, id)
) WITH (fillfactor = 90);
ALTER TABLE contacts ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE contact_keys (
    org uuid NOT NULL,
    hash uuid NOT NULL,
    contact uuid NOT NULL,
    PRIMARY KEY (org, hash)
);
CREATE INDEX contact_keys_contact ON contact_keys (org, contact);

CREATE TABLE passes (
    org uuid NOT NULL,
    id uuid NOT NULL,
    project uuid NOT NULL,
    version bigint NOT NULL,
    content_seq bigint NOT NULL,
    issued_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    due_at bigint,
    subject uuid NOT NULL,
    contact uuid,
    external uuid,
    shard smallint NOT NULL,
    state smallint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (org, id)
) WITH (fillfactor = 90);
ALTER TABLE passes ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX passes_project ON passes (org, project, id);
CREATE INDEX passes_contact ON passes (org, contact, id) WHERE contact IS NOT NULL;
CREATE INDEX passes_content ON passes (shard, content_seq);
CREATE INDEX passes_due ON passes (shard, due_at) WHERE due_at IS NOT NULL;

-- External ids of passes that are not deleted.
CREATE TABLE pass_externals (
    org uuid NOT NULL,
    project uuid NOT NULL,
    external uuid NOT NULL,
    pass uuid NOT NULL,
    PRIMARY KEY (org, project, external)
);

CREATE TABLE installations (
    org uuid NOT NULL,
    pass uuid NOT NULL,
    since bigint NOT NULL,
    first_installed_at bigint NOT NULL,
    pushed_seq bigint NOT NULL,
    push_due_at bigint,
    wallet smallint NOT NULL,
    shard smallint NOT NULL,
    reason smallint,
    active boolean NOT NULL,
    device text NOT NULL,
    push_token text,
    PRIMARY KEY (org, pass, wallet, device)
) WITH (fillfactor = 85);
CREATE INDEX installations_device ON installations (org, device) WHERE wallet = 1 AND active;
CREATE INDEX installations_push ON installations (shard, push_due_at) WHERE push_due_at IS NOT NULL;

-- Results of commands under their idempotency keys.
CREATE TABLE results (
    org uuid NOT NULL,
    subject uuid NOT NULL,
    expires_at bigint NOT NULL,
    principal text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (org, principal, key)
);
CREATE INDEX results_expiry ON results (expires_at);

-- The event log.

CREATE TABLE events (
    seq bigint NOT NULL,
    recorded_at bigint NOT NULL,
    occurred_at bigint NOT NULL,
    version bigint NOT NULL,
    org uuid NOT NULL,
    id uuid NOT NULL,
    subject uuid NOT NULL,
    project uuid,
    pass uuid,
    contact uuid,
    shard smallint NOT NULL,
    kind smallint NOT NULL,
    schema smallint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (shard, seq, recorded_at)
) PARTITION BY RANGE (recorded_at);
ALTER TABLE events ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX events_org ON events (org, shard, seq);
CREATE INDEX events_pass ON events (org, pass, seq) WHERE pass IS NOT NULL;
CREATE INDEX events_id ON events (org, id);
CREATE TABLE events_default PARTITION OF events DEFAULT;

-- Readers and leases.

CREATE TABLE watermarks (
    seq bigint NOT NULL,
    shard smallint NOT NULL,
    reader text NOT NULL,
    PRIMARY KEY (reader, shard)
) WITH (fillfactor = 20);

CREATE TABLE leases (
    epoch bigint NOT NULL,
    beat bigint NOT NULL,
    shard smallint PRIMARY KEY,
    owner text NOT NULL
) WITH (fillfactor = 20);

-- Deliveries that are not settled. A claim moves `wake_at` away from `due_at`.

CREATE TABLE deliveries (
    org uuid NOT NULL,
    id uuid NOT NULL,
    target uuid NOT NULL,
    event uuid NOT NULL,
    seq bigint NOT NULL,
    due_at bigint NOT NULL,
    wake_at bigint NOT NULL,
    attempts integer NOT NULL,
    shard smallint NOT NULL,
    PRIMARY KEY (org, id)
) WITH (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX deliveries_wake ON deliveries (shard, wake_at);
CREATE INDEX deliveries_position ON deliveries (shard, seq);

CREATE TABLE attempts (
    at bigint NOT NULL,
    elapsed_micros bigint NOT NULL,
    seq bigint NOT NULL,
    next_at bigint,
    org uuid NOT NULL,
    event uuid NOT NULL,
    target uuid NOT NULL,
    delivery uuid NOT NULL,
    subject uuid NOT NULL,
    attempt integer NOT NULL,
    shard smallint NOT NULL,
    outcome smallint NOT NULL,
    status smallint,
    error text,
    detail bytea NOT NULL,
    PRIMARY KEY (org, event, target, attempt, at)
) PARTITION BY RANGE (at);
ALTER TABLE attempts ALTER COLUMN detail SET STORAGE EXTERNAL;
CREATE INDEX attempts_org ON attempts (org, at);
CREATE INDEX attempts_target ON attempts (org, target, at);
CREATE INDEX attempts_position ON attempts (shard, seq);
CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;

-- Bounded rings for people to look at.

CREATE TABLE captures (
    org uuid NOT NULL,
    id uuid NOT NULL,
    at bigint NOT NULL,
    ring text NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (org, ring, id)
);

INSERT INTO store_state (id, config_version, log_epoch) VALUES (1, 0, 0);
INSERT INTO log_heads (log, shard, seq)
    SELECT log, shard, 0 FROM generate_series(1, 2) AS log, generate_series(0, 15) AS shard;
INSERT INTO watermarks (reader, shard, seq)
    SELECT reader, shard, 0
    FROM unnest(ARRAY['flows', 'webhooks', 'wallet_sync', 'integrity']) AS reader, generate_series(0, 15) AS shard;
INSERT INTO leases (shard, owner, epoch, beat) SELECT shard, '', 0, 0 FROM generate_series(0, 15) AS shard;
