-- Ids are 16 bytes, times microseconds UTC, booleans 0 or 1. A position is one number: shard * 2^48 + seq.
-- Narrow tables are WITHOUT ROWID; tables with bodies keep their rowid, so that indexes stay small and rows are appended.

CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Configuration

CREATE TABLE resources (
    org BLOB NOT NULL,
    kind INTEGER NOT NULL,
    id BLOB NOT NULL,
    slug TEXT,
    body TEXT NOT NULL,
    revision INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (org, kind, id)
) STRICT;
CREATE UNIQUE INDEX resources_slug ON resources (org, kind, slug) WHERE slug IS NOT NULL AND deleted = 0;
CREATE INDEX resources_changed ON resources (changed);

CREATE TABLE directory (
    kind INTEGER NOT NULL,
    name BLOB NOT NULL,
    org BLOB NOT NULL,
    target BLOB NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    org BLOB NOT NULL,
    id BLOB NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    kind INTEGER NOT NULL,
    resource BLOB NOT NULL,
    before TEXT,
    after TEXT,
    PRIMARY KEY (org, id)
) STRICT;

CREATE TABLE org_keys (
    org BLOB NOT NULL PRIMARY KEY,
    wrapped BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE blobs (
    org BLOB NOT NULL,
    sha256 BLOB NOT NULL,
    media_type TEXT NOT NULL,
    bytes BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org, sha256)
) STRICT;

-- Logs: heads (1 inbox, 2 events), readers, leases

CREATE TABLE heads (
    log INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (log, shard)
) STRICT, WITHOUT ROWID;

CREATE TABLE watermarks (
    reader TEXT NOT NULL,
    shard INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (reader, shard)
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    shard INTEGER NOT NULL PRIMARY KEY,
    epoch INTEGER NOT NULL,
    owner TEXT NOT NULL,
    beat INTEGER NOT NULL
) STRICT;

-- Source events

CREATE TABLE inbox (
    pos INTEGER PRIMARY KEY,
    org BLOB NOT NULL,
    id BLOB NOT NULL,
    source BLOB NOT NULL,
    order_key BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    occurred_at INTEGER,
    name TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
-- The source is in it so that a list of one source's events is narrowed without reading the rows.
CREATE INDEX inbox_id ON inbox (org, id, source);

CREATE TABLE inbox_results (
    pos INTEGER PRIMARY KEY,
    org BLOB NOT NULL,
    id BLOB NOT NULL,
    status INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    due_at INTEGER,
    at INTEGER NOT NULL,
    trace TEXT NOT NULL
) STRICT;
CREATE INDEX inbox_results_waiting ON inbox_results (due_at) WHERE status = 4;
-- Ignored and done ones are most of all rows and are found by walking the inbox; these are few.
CREATE INDEX inbox_results_open ON inbox_results (org, status, id) WHERE status IN (3, 4);

CREATE TABLE dedupe (
    org BLOB NOT NULL,
    source BLOB NOT NULL,
    dedupe BLOB NOT NULL,
    id BLOB NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (org, source, dedupe)
) STRICT, WITHOUT ROWID;

-- Data keys of contacts, passes and source events. A source event's owner is the contact that it turned out to be about.

CREATE TABLE data_keys (
    org BLOB NOT NULL,
    subject BLOB NOT NULL,
    wrapped BLOB NOT NULL,
    owner BLOB,
    PRIMARY KEY (org, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX data_keys_owner ON data_keys (org, owner) WHERE owner IS NOT NULL;

-- Contacts and passes

CREATE TABLE contacts (
    org BLOB NOT NULL,
    id BLOB NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (org, id)
) STRICT;

CREATE TABLE contact_keys (
    org BLOB NOT NULL,
    hash BLOB NOT NULL,
    contact BLOB NOT NULL,
    PRIMARY KEY (org, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX contact_keys_contact ON contact_keys (org, contact);

CREATE TABLE passes (
    org BLOB NOT NULL,
    id BLOB NOT NULL,
    project BLOB NOT NULL,
    shard INTEGER NOT NULL,
    version INTEGER NOT NULL,
    content_seq INTEGER NOT NULL,
    contact BLOB,
    external BLOB,
    state INTEGER NOT NULL,
    due_at INTEGER,
    issued_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    subject BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (org, id)
) STRICT;
CREATE UNIQUE INDEX passes_external ON passes (org, project, external) WHERE external IS NOT NULL AND state <> 5;
CREATE INDEX passes_contact ON passes (org, contact, id) WHERE contact IS NOT NULL;
CREATE INDEX passes_project ON passes (org, project, id);
CREATE INDEX passes_content ON passes (shard, content_seq);
CREATE INDEX passes_due ON passes (shard, due_at) WHERE due_at IS NOT NULL;

CREATE TABLE installations (
    org BLOB NOT NULL,
    pass BLOB NOT NULL,
    wallet INTEGER NOT NULL,
    device TEXT NOT NULL,
    shard INTEGER NOT NULL,
    active INTEGER NOT NULL,
    since INTEGER NOT NULL,
    reason INTEGER,
    first_installed_at INTEGER NOT NULL,
    push_token TEXT,
    pushed_seq INTEGER NOT NULL,
    push_due_at INTEGER,
    PRIMARY KEY (org, pass, wallet, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX installations_device ON installations (org, device) WHERE wallet = 1 AND active = 1;
CREATE INDEX installations_push ON installations (shard, push_due_at) WHERE push_due_at IS NOT NULL;

-- The event log and stored results

CREATE TABLE events (
    pos INTEGER PRIMARY KEY,
    org BLOB NOT NULL,
    id BLOB NOT NULL,
    kind INTEGER NOT NULL,
    schema INTEGER NOT NULL,
    occurred_at INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    project BLOB,
    pass BLOB,
    contact BLOB,
    version INTEGER NOT NULL,
    subject BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX events_org ON events (org);
CREATE INDEX events_id ON events (org, id);
CREATE INDEX events_pass ON events (org, pass) WHERE pass IS NOT NULL;

CREATE TABLE results (
    org BLOB NOT NULL,
    principal TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    subject BLOB NOT NULL,
    body BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (org, principal, key)
) STRICT;

-- What targets are owed and what was tried

CREATE TABLE deliveries (
    org BLOB NOT NULL,
    id BLOB NOT NULL,
    target BLOB NOT NULL,
    event BLOB NOT NULL,
    pos INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    claimed INTEGER NOT NULL,
    PRIMARY KEY (org, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (due_at, target);
CREATE INDEX deliveries_claimed ON deliveries (pos) WHERE claimed = 1;
CREATE INDEX deliveries_pos ON deliveries (pos);

CREATE TABLE attempts (
    n INTEGER PRIMARY KEY,
    org BLOB NOT NULL,
    delivery BLOB NOT NULL,
    target BLOB NOT NULL,
    event BLOB NOT NULL,
    pos INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    elapsed_micros INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    status INTEGER,
    error TEXT,
    next_at INTEGER,
    subject BLOB NOT NULL,
    detail BLOB NOT NULL
) STRICT;
CREATE INDEX attempts_at ON attempts (org, at);
CREATE INDEX attempts_target ON attempts (org, target, at);
CREATE INDEX attempts_event ON attempts (org, event, at);
CREATE INDEX attempts_pos ON attempts (pos, delivery);

-- Bounded rings of requests and lines for people to look at

CREATE TABLE captures (
    org BLOB NOT NULL,
    ring TEXT NOT NULL,
    id BLOB NOT NULL,
    at INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (org, ring, id)
) STRICT;
