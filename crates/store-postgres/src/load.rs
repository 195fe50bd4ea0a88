//! What a batch of commands touches, in one round trip: the statements for the kinds of keys that there are go out
//! together. Every pass comes with its contact beside it.
//!
//! Each statement sees what is committed when it begins, so another node's commit may fall between two of them. What was found
//! keeps to its version and what was not found to its unique key until the commit, a contact keeps to its version where a pass comes
//! to be theirs, and none is erased who has passes that were not found: each is a conflict else.

use std::collections::HashMap;

use deadpool_postgres::{Object, Pool};
use domain::{ContactId, IdKind, OrgId, PassId};
use store::{ContactRow, Hash, LoadKeys, LoadedRows, PassRow};
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use crate::{
    convert::{
        Columns, contact, contact_columns, installation, installation_columns, pass, pass_columns, result, result_columns, text,
    },
    error::Attempt,
    pool::{Params, connection, rerun},
};

/// Passes `p` that a source of keys `t` leads to, each with its contact `c`.
macro_rules! passes_by {
    ($from:literal) => {
        concat!(
            "SELECT ",
            pass_columns!(),
            ", ",
            contact_columns!(),
            " FROM ",
            $from,
            " LEFT JOIN LATERAL (SELECT * FROM contacts c WHERE c.org = p.org AND c.id = p.contact OFFSET 0) c ON true"
        )
    };
}

const BY_ID: &str = passes_by!(
    "unnest($1::uuid[], $2::uuid[]) AS t(org, id) \
     CROSS JOIN LATERAL (SELECT * FROM passes p WHERE p.org = t.org AND p.id = t.id OFFSET 0) p"
);
const BY_EXTERNAL: &str = passes_by!(
    "unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS t(org, project, external) \
     CROSS JOIN LATERAL (SELECT pass FROM pass_externals x \
        WHERE x.org = t.org AND x.project = t.project AND x.external = t.external OFFSET 0) x \
     CROSS JOIN LATERAL (SELECT * FROM passes p WHERE p.org = t.org AND p.id = x.pass OFFSET 0) p"
);
const OF_CONTACT: &str = passes_by!(
    "unnest($1::uuid[], $2::uuid[]) AS t(org, contact) \
     CROSS JOIN LATERAL (SELECT * FROM passes p WHERE p.org = t.org AND p.contact = t.contact OFFSET 0) p"
);
const OF_NAME: &str = passes_by!(
    "unnest($1::uuid[], $2::uuid[]) AS t(org, hash) \
     CROSS JOIN LATERAL (SELECT contact FROM contact_keys n WHERE n.org = t.org AND n.hash = t.hash ORDER BY place LIMIT 1) n \
     CROSS JOIN LATERAL (SELECT * FROM passes p WHERE p.org = t.org AND p.contact = n.contact OFFSET 0) p"
);
const CONTACTS: &str = concat!(
    "SELECT ",
    contact_columns!(),
    " FROM unnest($1::uuid[], $2::uuid[]) AS t(org, id) \
     CROSS JOIN LATERAL (SELECT * FROM contacts c WHERE c.org = t.org AND c.id = t.id OFFSET 0) c"
);
const NAMES: &str = concat!(
    "SELECT t.hash, n.org, n.contact, ",
    contact_columns!(),
    " FROM unnest($1::uuid[], $2::uuid[]) AS t(org, hash) \
     CROSS JOIN LATERAL (SELECT * FROM contact_keys n WHERE n.org = t.org AND n.hash = t.hash ORDER BY place LIMIT 1) n \
     LEFT JOIN LATERAL (SELECT * FROM contacts c WHERE c.org = n.org AND c.id = n.contact OFFSET 0) c ON true"
);
const INSTALLATIONS: &str = concat!(
    "SELECT ",
    installation_columns!(),
    " FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[]) AS t(org, pass, wallet, device) \
     CROSS JOIN LATERAL (SELECT * FROM installations i \
        WHERE i.org = t.org AND i.pass = t.pass AND i.wallet = t.wallet AND i.device = t.device OFFSET 0) i"
);
const RESULTS: &str = concat!(
    "SELECT ",
    result_columns!(),
    " FROM unnest($1::uuid[], $2::text[], $3::text[]) AS t(org, principal, key) \
     CROSS JOIN LATERAL (SELECT * FROM results r \
        WHERE r.org = t.org AND r.principal = t.principal AND r.key = t.key AND r.expires_at > $4 OFFSET 0) r"
);
const VERSION: &str = "SELECT config_version FROM store_state WHERE id = 1";

/// One kind of keys: a statement, or none when there are no keys of the kind.
struct Part<'a> {
    client: &'a Object,
    statement: Option<Statement>,
}

impl<'a> Part<'a> {
    async fn new(client: &'a Object, wanted: bool, sql: &'static str) -> Attempt<Self> {
        let statement = if wanted { Some(client.prepare_cached(sql).await?) } else { None };
        Ok(Self { client, statement })
    }
    async fn rows(&self, params: Params<'_>) -> Attempt<Vec<Row>> {
        match &self.statement {
            Some(statement) => Ok(self.client.query(statement, params).await?),
            None => Ok(Vec::new()),
        }
    }
}

/// Two columns of ids.
fn pairs<A: IdKind, B: IdKind>(keys: &[(domain::Id<A>, domain::Id<B>)]) -> (Vec<Uuid>, Vec<Uuid>) {
    keys.iter().map(|(a, b)| (a.uuid(), b.uuid())).unzip()
}

fn hashes<A: IdKind>(keys: &[(domain::Id<A>, Hash)]) -> (Vec<Uuid>, Vec<Uuid>) {
    keys.iter().map(|(org, hash)| (org.uuid(), Uuid::from_bytes(*hash))).unzip()
}

pub(crate) async fn load(pool: &Pool, keys: &LoadKeys) -> Attempt<LoadedRows> {
    rerun!(Box::pin(load_once(pool, keys)).await)
}

async fn load_once(pool: &Pool, keys: &LoadKeys) -> Attempt<LoadedRows> {
    let client = &connection(pool).await?;
    let by_id = Part::new(client, !keys.passes.is_empty(), BY_ID).await?;
    let by_external = Part::new(client, !keys.externals.is_empty(), BY_EXTERNAL).await?;
    let of_contact = Part::new(client, !keys.passes_of.is_empty(), OF_CONTACT).await?;
    let of_name = Part::new(client, !keys.passes_of_keys.is_empty(), OF_NAME).await?;
    let contacts = Part::new(client, !keys.contacts.is_empty(), CONTACTS).await?;
    let named: Vec<(OrgId, Hash)> = keys.contact_keys.iter().chain(&keys.passes_of_keys).copied().collect();
    let names = Part::new(client, !named.is_empty(), NAMES).await?;
    let installations = Part::new(client, !keys.installations.is_empty(), INSTALLATIONS).await?;
    let results = Part::new(client, !keys.results.is_empty(), RESULTS).await?;
    let version = Part::new(client, true, VERSION).await?;

    let (org, id) = &pairs(&keys.passes);
    let (of_org, of_id) = &pairs(&keys.passes_of);
    let (name_org, name) = &hashes(&keys.passes_of_keys);
    let (contact_org, contact_id) = &pairs(&keys.contacts);
    let (named_org, named) = &hashes(&named);
    let external = Externals::of(keys);
    let install = Installs::of(keys);
    let (result_org, principal, key) = &result_keys(keys);
    let now = keys.now.as_micros();
    let answers = tokio::join!(
        biased;
        async { by_id.rows(&[org, id]).await },
        async { by_external.rows(&[&external.org, &external.project, &external.external]).await },
        async { of_contact.rows(&[of_org, of_id]).await },
        async { of_name.rows(&[name_org, name]).await },
        async { contacts.rows(&[contact_org, contact_id]).await },
        async { names.rows(&[named_org, named]).await },
        async { installations.rows(&[&install.org, &install.pass, &install.wallet, &install.device]).await },
        async { results.rows(&[result_org, principal, key, &now]).await },
        async { version.rows(&[]).await },
    );
    let mut loaded = Collected::default();
    for rows in [answers.0?, answers.1?, answers.2?, answers.3?] {
        loaded.add_passes(&rows)?;
    }
    loaded.add_contacts(&answers.4?)?;
    loaded.add_names(&answers.5?)?;
    Ok(LoadedRows {
        passes: loaded.passes.into_values().collect(),
        contacts: loaded.contacts.into_values().collect(),
        contact_keys: loaded.names.into_iter().map(|((org, hash), contact)| (org, hash, contact)).collect(),
        installations: distinct(answers.6?.iter().map(|row| installation(&mut Columns::of(row))), |row| {
            (row.org, row.pass, row.wallet, row.device.clone())
        })?,
        results: distinct(answers.7?.iter().map(|row| result(row).map(Some)), |row| {
            (row.org, row.principal.clone(), row.key.clone())
        })?,
        config_version: answers.8?.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default(),
    })
}

struct Externals {
    org: Vec<Uuid>,
    project: Vec<Uuid>,
    external: Vec<Uuid>,
}

impl Externals {
    fn of(keys: &LoadKeys) -> Self {
        Self {
            org: keys.externals.iter().map(|key| key.0.uuid()).collect(),
            project: keys.externals.iter().map(|key| key.1.uuid()).collect(),
            external: keys.externals.iter().map(|key| Uuid::from_bytes(key.2)).collect(),
        }
    }
}

struct Installs<'a> {
    org: Vec<Uuid>,
    pass: Vec<Uuid>,
    wallet: Vec<i16>,
    device: Vec<std::borrow::Cow<'a, str>>,
}

impl<'a> Installs<'a> {
    fn of(keys: &'a LoadKeys) -> Self {
        Self {
            org: keys.installations.iter().map(|key| key.0.uuid()).collect(),
            pass: keys.installations.iter().map(|key| key.1.uuid()).collect(),
            wallet: keys.installations.iter().map(|key| key.2).collect(),
            device: keys.installations.iter().map(|key| text(&key.3)).collect(),
        }
    }
}

type Texts<'a> = Vec<std::borrow::Cow<'a, str>>;

fn result_keys(keys: &LoadKeys) -> (Vec<Uuid>, Texts<'_>, Texts<'_>) {
    (
        keys.results.iter().map(|key| key.0.uuid()).collect(),
        keys.results.iter().map(|key| text(&key.1)).collect(),
        keys.results.iter().map(|key| text(&key.2)).collect(),
    )
}

/// Keys may be given twice; rows come once.
fn distinct<T, K: std::hash::Hash + Eq>(
    rows: impl Iterator<Item = Attempt<Option<T>>>,
    key: impl Fn(&T) -> K,
) -> Attempt<Vec<T>> {
    let mut found = HashMap::new();
    for row in rows {
        if let Some(row) = row? {
            found.insert(key(&row), row);
        }
    }
    Ok(found.into_values().collect())
}

#[derive(Default)]
struct Collected {
    passes: HashMap<(OrgId, PassId), PassRow>,
    contacts: HashMap<(OrgId, ContactId), ContactRow>,
    names: HashMap<(OrgId, Hash), ContactId>,
}

impl Collected {
    fn add_contact(&mut self, columns: &mut Columns<'_>) -> Attempt<()> {
        if let Some(row) = contact(columns)? {
            self.contacts.insert((row.org, row.id), row);
        }
        Ok(())
    }

    fn add_passes(&mut self, rows: &[Row]) -> Attempt<()> {
        for row in rows {
            let mut columns = Columns::of(row);
            let row = pass(&mut columns)?;
            self.passes.insert((row.org, row.id), row);
            self.add_contact(&mut columns)?;
        }
        Ok(())
    }

    fn add_contacts(&mut self, rows: &[Row]) -> Attempt<()> {
        rows.iter().try_for_each(|row| self.add_contact(&mut Columns::of(row)))
    }

    fn add_names(&mut self, rows: &[Row]) -> Attempt<()> {
        for row in rows {
            let mut columns = Columns::of(row);
            let hash = columns.hash()?;
            self.names.insert((columns.id()?, hash), columns.id()?);
            self.add_contact(&mut columns)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use store::{Backend as _, conformance::START};
    use testkit::postgres::Cluster;

    use super::*;
    use crate::{Options, Postgres, pool};

    /// Rows of one organization, fifty at a time, their ids in the order of time; nothing counts them for the planner.
    const GROW: &str = "CREATE FUNCTION grow(first bigint) RETURNS void LANGUAGE sql AS $$
        INSERT INTO contacts (org, id, version, created_at, updated_at, body)
            SELECT org, id, 1, 0, 0, '' FROM made(first);
        INSERT INTO contact_keys (org, hash, contact) SELECT org, gen_random_uuid(), id FROM made(first);
        INSERT INTO passes (org, id, project, version, content_seq, issued_at, updated_at, subject, shard, state, body)
            SELECT org, id, org, 1, n, n, n, id, n % 16, 0, '' FROM made(first); $$";
    const MADE: &str = "CREATE FUNCTION made(first bigint) RETURNS TABLE (n bigint, org uuid, id uuid) LANGUAGE sql AS $$
        SELECT n, '00000000-0000-0000-0000-000000000001'::uuid, ('00000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid
            FROM generate_series(first + 1, first + 50) n $$";
    const ORG: &str = "00000000-0000-0000-0000-000000000001";
    /// Of an organization by something else first.
    const OTHERS: [&str; 6] =
        ["contact_keys_contact", "contacts_wallets", "passes_project", "passes_installed", "passes_state", "passes_updated"];

    #[tokio::test]
    async fn rows_are_found_by_their_keys_however_young_their_tables_are() {
        let url = Cluster::shared().await.unwrap().create_database().await.unwrap();
        let backend = Postgres::open(&url, &Options::default()).await.unwrap();
        backend.migrate(START).await.unwrap();
        let pool = pool::make(&url, &Options::default()).unwrap();
        let (client, other) = (connection(&pool).await.unwrap(), connection(&pool).await.unwrap());
        client.batch_execute(MADE).await.unwrap();
        client.batch_execute(GROW).await.unwrap();
        let statements = [BY_ID, CONTACTS, NAMES, OF_NAME].map(|sql| (sql, format!("kept_{}", sql.len())));
        for (sql, name) in &statements {
            client.batch_execute(&format!("PREPARE {name} AS {sql}")).await.unwrap();
        }
        // A connection learns how high an index has grown when it uses it, and plans by what it knows.
        for rows in (0..1_000_i64).step_by(50) {
            for (sql, name) in &statements {
                client.batch_execute(&format!("EXECUTE {name}(ARRAY['{ORG}'::uuid], ARRAY['{ORG}'::uuid])")).await.unwrap();
                client.batch_execute(&format!("PREPARE looked AS {sql}")).await.unwrap();
                let plan = client.query("EXPLAIN EXECUTE looked(NULL, NULL)", &[]).await.unwrap();
                let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
                client.batch_execute("DEALLOCATE looked").await.unwrap();
                let plan = plan.join("\n");
                assert!(!OTHERS.iter().any(|other| plan.contains(other)), "with {rows} rows:\n{plan}");
            }
            other.query("SELECT grow($1)", &[&rows]).await.unwrap();
        }
        backend.close().await;
    }
}
