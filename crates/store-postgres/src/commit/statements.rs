//! The statements of a commit. Lists come sorted, and every statement walks its list in order, so that two commits which
//! touch the same rows lock them in the same order.
//!
//! A row is deleted at the place (`ctid`) where it was locked only in tables whose rows are never replaced: keys, names and
//! external ids. Elsewhere another transaction may have put a newer version at a place that the statement does not see.

use tokio_postgres::Statement;

use crate::{error::Attempt, pool::Transaction};

const LOCK_CONTACTS: &str = "SELECT t.org, t.id, c.version FROM unnest($1::uuid[], $2::uuid[]) AS t(org, id) \
    CROSS JOIN LATERAL (SELECT version FROM contacts c WHERE c.org = t.org AND c.id = t.id FOR UPDATE) c";

const LOCK_PASSES: &str = "SELECT t.org, t.id, p.version, p.project, p.external, p.state \
    FROM unnest($1::uuid[], $2::uuid[]) AS t(org, id) CROSS JOIN LATERAL \
    (SELECT version, project, external, state FROM passes p WHERE p.org = t.org AND p.id = t.id FOR UPDATE) p";

const NAMES_OF: &str = "SELECT t.org, n.hash, t.id FROM unnest($1::uuid[], $2::uuid[]) AS t(org, id) \
    CROSS JOIN LATERAL (SELECT hash FROM contact_keys n WHERE n.org = t.org AND n.contact = t.id AND n.place >= 0 OFFSET 0) n";

/// Passes of contacts whose keys are destroyed that are not among what is destroyed themselves. Sent after the contacts were
/// locked: it must see what was committed while that waited.
const OTHERS: &str = "SELECT 1 FROM unnest($1::uuid[], $2::uuid[]) AS t(org, subject) CROSS JOIN LATERAL \
    (SELECT 1 FROM passes p WHERE p.org = t.org AND p.contact = t.subject AND p.id <> ALL ($2) LIMIT 1) p LIMIT 1";

const DESTROY_KEYS: &str = "DELETE FROM data_keys WHERE ctid = ANY (ARRAY( \
    SELECT k.place FROM unnest($1::uuid[], $2::uuid[]) AS t(org, subject) CROSS JOIN LATERAL \
    (SELECT ctid AS place FROM data_keys k WHERE k.org = t.org AND k.subject = t.subject FOR UPDATE) k))";

/// A statement of its own after the one before: it must see what was settled while that one waited.
const DESTROY_OWNED: &str = "DELETE FROM data_keys WHERE ctid = ANY (ARRAY( \
    SELECT k.place FROM unnest($1::uuid[], $2::uuid[]) AS t(org, owner) \
    CROSS JOIN LATERAL (SELECT id FROM inbox_results f WHERE f.org = t.org AND f.owner = t.owner OFFSET 0) f \
    CROSS JOIN LATERAL (SELECT ctid AS place FROM data_keys k WHERE k.org = t.org AND k.subject = f.id FOR UPDATE) k))";

const DESTROY_INSPECTED: &str = "DELETE FROM captures WHERE org = ANY ($1::uuid[]) AND ring LIKE 'inspector/%'";

const ADD_KEYS: &str = "INSERT INTO data_keys (org, subject, wrapped) \
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) ON CONFLICT DO NOTHING";

macro_rules! write_contacts {
    ($conflict:literal) => {
        concat!(
            "INSERT INTO contacts (org, id, version, created_at, updated_at, body, wallets) \
             SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::smallint[]) \
             ON CONFLICT (org, id) DO ",
            $conflict
        )
    };
}

const INSERT_CONTACTS: &str = write_contacts!("NOTHING");
const REPLACE_CONTACTS: &str = write_contacts!(
    "UPDATE SET version = excluded.version, created_at = excluded.created_at, updated_at = excluded.updated_at, \
     body = excluded.body, wallets = excluded.wallets"
);

const ADD_CODES: &str = "INSERT INTO directory (kind, name, org, target) \
    SELECT 4, * FROM unnest($1::bytea[], $2::uuid[], $3::uuid[]) ON CONFLICT DO NOTHING";

const CLAIM_RESULTS: &str = "INSERT INTO results (org, principal, key, fingerprint, subject, body, expires_at) \
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::uuid[], $6::bytea[], $7::bigint[]) \
    ON CONFLICT (org, principal, key) DO UPDATE SET fingerprint = excluded.fingerprint, subject = excluded.subject, \
        body = excluded.body, expires_at = excluded.expires_at \
    WHERE results.expires_at <= $8";

/// Sent before passes are written: a new installation has seen the pass as it was.
const WRITE_INSTALLATIONS: &str = "INSERT INTO installations (org, pass, wallet, device, shard, active, since, reason, \
        first_installed_at, push_token, pushed_seq) \
    SELECT t.*, coalesce((SELECT p.content_seq FROM passes p WHERE p.org = t.org AND p.id = t.pass), 0) \
    FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::smallint[], $6::boolean[], $7::bigint[], \
        $8::smallint[], $9::bigint[], $10::text[]) \
        AS t(org, pass, wallet, device, shard, active, since, reason, first_installed_at, push_token) \
    ON CONFLICT (org, pass, wallet, device) DO UPDATE SET shard = excluded.shard, active = excluded.active, \
        since = excluded.since, reason = excluded.reason, first_installed_at = excluded.first_installed_at, \
        push_token = excluded.push_token";

const DROP_NAMES: &str = "DELETE FROM contact_keys WHERE ctid = ANY (ARRAY( \
    SELECT n.at FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS t(org, hash, contact) CROSS JOIN LATERAL \
    (SELECT ctid AS at FROM contact_keys n \
        WHERE n.org = t.org AND n.contact = t.contact AND n.hash = t.hash AND n.place >= 0 FOR UPDATE) n))";

/// `behind` counts those that come into the same line before, out of the same batch. Whoever must be alone in a line finds nobody
/// there; two that want one place at the same time have one winner.
const ADD_NAMES: &str = "INSERT INTO contact_keys (org, hash, contact, place) \
    SELECT t.org, t.hash, t.contact, coalesce(t.place, n.last + 1 + t.behind) \
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::boolean[]) \
        AS t(org, hash, contact, place, behind, required) \
    CROSS JOIN LATERAL (SELECT coalesce((SELECT place FROM contact_keys n WHERE n.org = t.org AND n.hash = t.hash \
        ORDER BY place DESC LIMIT 1), -1) AS last OFFSET 0) n \
    WHERE NOT t.required OR n.last < 0 ON CONFLICT DO NOTHING";

const DROP_EXTERNALS: &str = "DELETE FROM pass_externals WHERE ctid = ANY (ARRAY( \
    SELECT x.place FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS t(org, project, external) CROSS JOIN LATERAL \
    (SELECT ctid AS place FROM pass_externals x \
        WHERE x.org = t.org AND x.project = t.project AND x.external = t.external FOR UPDATE) x))";

const ADD_EXTERNALS: &str = "INSERT INTO pass_externals (org, project, external, pass) \
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[]) ON CONFLICT DO NOTHING";

/// `back` counts the events of the same shard that come after in the batch.
const APPEND: &str = "WITH heads AS ( \
        INSERT INTO log_heads (log, shard, seq) SELECT 2, * FROM unnest($1::smallint[], $2::bigint[]) \
        ON CONFLICT (log, shard) DO UPDATE SET seq = log_heads.seq + excluded.seq \
        RETURNING shard, seq), \
    written AS ( \
        INSERT INTO events (seq, shard, org, id, kind, schema, occurred_at, recorded_at, project, pass, contact, version, \
            subject, body) \
        SELECT h.seq - t.back, t.shard, t.org, t.id, t.kind, t.schema, t.occurred_at, t.recorded_at, t.project, t.pass, \
            t.contact, t.version, t.subject, t.body \
        FROM unnest($3::smallint[], $4::bigint[], $5::uuid[], $6::uuid[], $7::smallint[], $8::smallint[], $9::bigint[], \
            $10::bigint[], $11::uuid[], $12::uuid[], $13::uuid[], $14::bigint[], $15::uuid[], $16::bytea[]) \
            AS t(shard, back, org, id, kind, schema, occurred_at, recorded_at, project, pass, contact, version, subject, body) \
        JOIN heads h ON h.shard = t.shard) \
    SELECT shard, seq FROM heads";

/// Sent after the heads were bumped in the same transaction, so it counts back from them. No number is 0: that stands for
/// no change of what a wallet shows.
macro_rules! write_passes {
    ($conflict:literal) => {
        concat!(
            "INSERT INTO passes (org, id, project, shard, version, contact, external, state, due_at, issued_at, updated_at, \
                subject, body, installed, content_seq) \
             SELECT t.org, t.id, t.project, t.shard, t.version, t.contact, t.external, t.state, t.due_at, t.issued_at, \
                t.updated_at, t.subject, t.body, t.installed, \
                coalesce((SELECT h.seq FROM log_heads h WHERE h.log = 2 AND h.shard = t.log_shard) - t.back, 0) \
             FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[], $5::bigint[], $6::uuid[], $7::uuid[], \
                $8::smallint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::uuid[], $13::bytea[], $14::smallint[], \
                $15::bigint[], $16::smallint[]) \
                AS t(org, id, project, shard, version, contact, external, state, due_at, issued_at, updated_at, subject, \
                    body, log_shard, back, installed)",
            $conflict
        )
    };
}

const INSERT_PASSES: &str = write_passes!("");
const REPLACE_PASSES: &str = write_passes!(
    " ON CONFLICT (org, id) DO UPDATE SET project = excluded.project, shard = excluded.shard, version = excluded.version, \
        contact = excluded.contact, external = excluded.external, state = excluded.state, due_at = excluded.due_at, \
        issued_at = excluded.issued_at, updated_at = excluded.updated_at, subject = excluded.subject, body = excluded.body, \
        installed = excluded.installed, \
        content_seq = CASE WHEN excluded.content_seq = 0 THEN passes.content_seq ELSE excluded.content_seq END"
);

/// All of them, prepared; a connection prepares them once.
pub(super) struct Statements {
    pub(super) lock_contacts: Statement,
    pub(super) lock_passes: Statement,
    pub(super) names_of: Statement,
    pub(super) others: Statement,
    pub(super) destroy_keys: Statement,
    pub(super) destroy_owned: Statement,
    pub(super) destroy_inspected: Statement,
    pub(super) add_keys: Statement,
    pub(super) insert_contacts: Statement,
    pub(super) replace_contacts: Statement,
    pub(super) add_codes: Statement,
    pub(super) claim_results: Statement,
    pub(super) write_installations: Statement,
    pub(super) drop_names: Statement,
    pub(super) add_names: Statement,
    pub(super) drop_externals: Statement,
    pub(super) add_externals: Statement,
    pub(super) append: Statement,
    pub(super) insert_passes: Statement,
    pub(super) replace_passes: Statement,
}

impl Statements {
    pub(super) async fn prepare(open: &Transaction) -> Attempt<Self> {
        Ok(Self {
            lock_contacts: open.prepare(LOCK_CONTACTS).await?,
            lock_passes: open.prepare(LOCK_PASSES).await?,
            names_of: open.prepare(NAMES_OF).await?,
            others: open.prepare(OTHERS).await?,
            destroy_keys: open.prepare(DESTROY_KEYS).await?,
            destroy_owned: open.prepare(DESTROY_OWNED).await?,
            destroy_inspected: open.prepare(DESTROY_INSPECTED).await?,
            add_keys: open.prepare(ADD_KEYS).await?,
            insert_contacts: open.prepare(INSERT_CONTACTS).await?,
            replace_contacts: open.prepare(REPLACE_CONTACTS).await?,
            add_codes: open.prepare(ADD_CODES).await?,
            claim_results: open.prepare(CLAIM_RESULTS).await?,
            write_installations: open.prepare(WRITE_INSTALLATIONS).await?,
            drop_names: open.prepare(DROP_NAMES).await?,
            add_names: open.prepare(ADD_NAMES).await?,
            drop_externals: open.prepare(DROP_EXTERNALS).await?,
            add_externals: open.prepare(ADD_EXTERNALS).await?,
            append: open.prepare(APPEND).await?,
            insert_passes: open.prepare(INSERT_PASSES).await?,
            replace_passes: open.prepare(REPLACE_PASSES).await?,
        })
    }
}
