//! Connections: how they are made, lent and given back clean.

use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use store::StoreError;
use tokio_postgres::{Config, NoTls, Row, Statement, config::SslMode, types::ToSql};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Attempt, Failed, of_pool};

/// How often a transaction that lost a race against another one is run again.
const RERUNS: u32 = 8;
/// How long the first rerun waits; each further one twice as long.
const RERUN_PAUSE: Duration = Duration::from_millis(2);
/// How long a caller waits for a free connection.
const WAIT_FOR_CONNECTION: Duration = Duration::from_secs(10);
/// How long making a connection may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Silence after which a connection is probed.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
/// How long sent data may stay unacknowledged before the connection counts as dead.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

/// What every session says first. Our statements name their access paths by their shape, so the planner is kept from
/// choosing scans by the statistics of a young, empty table and keeping to them when it has grown.
const SESSION: &str = "SET application_name = 'passbridge';
    SET jit = off;
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET random_page_cost = 1.1;
    SET default_transaction_isolation = 'read committed';
    SET statement_timeout = '30s';
    SET idle_in_transaction_session_timeout = '30s'";

/// What may be set about connections.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections at most.
    pub connections: usize,
    /// Certificates of authorities, PEM, that the server's is checked against, instead of the system's.
    pub authorities: Option<Vec<u8>>,
}

impl Default for Options {
    fn default() -> Self {
        Self { connections: 16, authorities: None }
    }
}

/// Makes the pool for a `postgres://` URL. TLS is used, and the server's certificate and name checked, when the URL says
/// `sslmode=require`; otherwise the connection is plain.
pub(crate) fn make(url: &str, options: &Options) -> Result<Pool, StoreError> {
    let config = config(url)?;
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = if config.get_ssl_mode() == SslMode::Require {
        Manager::from_config(config, tls(options)?, recycling)
    } else {
        Manager::from_config(config, NoTls, recycling)
    };
    Pool::builder(manager)
        .max_size(options.connections)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(WAIT_FOR_CONNECTION))
        .create_timeout(Some(CONNECT_DEADLINE))
        .recycle_timeout(Some(CONNECT_DEADLINE))
        .post_create(Hook::async_fn(|client, _| {
            Box::pin(async move { client.batch_execute(SESSION).await.map_err(HookError::Backend) })
        }))
        .build()
        .map_err(|error| StoreError::Internal(error.to_string()))
}

/// How a connection to a `postgres://` URL is made.
pub(crate) fn config(url: &str) -> Result<Config, StoreError> {
    let mut config: Config =
        url.parse().map_err(|error| StoreError::Unavailable(format!("the database URL is not one of PostgreSQL: {error}")))?;
    config
        .connect_timeout(config.get_connect_timeout().copied().unwrap_or(CONNECT_DEADLINE))
        .keepalives_idle(KEEPALIVE_IDLE)
        .tcp_user_timeout(UNACKNOWLEDGED);
    Ok(config)
}

pub(crate) fn tls(options: &Options) -> Result<MakeRustlsConnect, StoreError> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let mut roots = rustls::RootCertStore::empty();
    match &options.authorities {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                certificate
                    .map_err(|error| error.to_string())
                    .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()))
                    .map_err(|why| StoreError::Unavailable(format!("the database's authorities cannot be read: {why}")))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(StoreError::Unavailable("no certificate authority is known to check the database's certificate".into()));
    }
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Internal(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// A parameter list.
pub(crate) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// How often what lost a race was run again.
pub(crate) struct Reruns {
    left: u32,
    pause: Duration,
}

impl Reruns {
    pub(crate) const fn new() -> Self {
        Self { left: RERUNS, pause: RERUN_PAUSE }
    }

    /// Whether to run again, after a pause.
    pub(crate) async fn again<T>(&mut self, outcome: &Attempt<T>) -> bool {
        if self.left == 0 || !outcome.as_ref().is_err_and(Failed::is_lost_race) {
            return false;
        }
        tracing::debug!(left = self.left, "a transaction lost a race and is run again");
        tokio::time::sleep(self.pause).await;
        self.left -= 1;
        self.pause *= 2;
        true
    }
}

/// Runs what is a transaction of its own, again when it lost a race. (A function that takes an async closure cannot promise
/// that its future may move between threads.)
macro_rules! rerun {
    ($body:expr) => {{
        let mut reruns = $crate::pool::Reruns::new();
        loop {
            let outcome: $crate::error::Attempt<_> = async { $body }.await;
            if !reruns.again(&outcome).await {
                break outcome;
            }
        }
    }};
}

/// Runs a body inside a transaction, again when it lost a race; commits when it succeeds, takes back when not.
macro_rules! transaction {
    ($pool:expr, $open:ident => $body:expr) => {
        $crate::pool::rerun!({
            let transaction = $crate::pool::Transaction::new($pool).await?;
            transaction.begin().await?;
            let $open = &transaction;
            let outcome: $crate::error::Attempt<_> = async { $body }.await;
            match outcome {
                Ok(value) => {
                    transaction.commit().await?;
                    Ok(value)
                }
                Err(failed) => {
                    transaction.roll_back().await;
                    Err(failed)
                }
            }
        })
    };
}

pub(crate) use {rerun, transaction};

/// A connection.
pub(crate) async fn connection(pool: &Pool) -> Attempt<Object> {
    Ok(pool.get().await.map_err(of_pool)?)
}

/// One statement in a transaction of its own.
pub(crate) async fn query(pool: &Pool, sql: &str, params: Params<'_>) -> Attempt<Vec<Row>> {
    rerun!({
        let client = connection(pool).await?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query(&statement, params).await?)
    })
}

/// A transaction. When it is dropped before its end, for example because its caller was cancelled, its connection is
/// closed instead of going back to the pool, so nobody ever works inside a stranger's transaction.
pub(crate) struct Transaction {
    client: Option<Object>,
    ended: bool,
}

impl Transaction {
    /// Takes a connection; nothing is sent yet. Send [`Self::begin`] with the first statements.
    pub(crate) async fn new(pool: &Pool) -> Attempt<Self> {
        Ok(Self { client: Some(connection(pool).await?), ended: false })
    }

    fn client(&self) -> Attempt<&Object> {
        self.client.as_ref().ok_or_else(|| Failed::Store(StoreError::Internal("a transaction without a connection".into())))
    }

    /// Prepares a statement, or finds it prepared. All statements that are sent in one go are prepared before, so that
    /// they arrive in the order in which they are sent.
    pub(crate) async fn prepare(&self, sql: &'static str) -> Attempt<Statement> {
        Ok(self.client()?.prepare_cached(sql).await?)
    }

    pub(crate) async fn begin(&self) -> Attempt<()> {
        Ok(self.client()?.batch_execute("BEGIN").await?)
    }

    pub(crate) async fn query(&self, statement: &Statement, params: Params<'_>) -> Attempt<Vec<Row>> {
        Ok(self.client()?.query(statement, params).await?)
    }

    pub(crate) async fn execute(&self, statement: &Statement, params: Params<'_>) -> Attempt<u64> {
        Ok(self.client()?.execute(statement, params).await?)
    }

    /// Several statements without parameters.
    pub(crate) async fn batch(&self, sql: &str) -> Attempt<()> {
        Ok(self.client()?.batch_execute(sql).await?)
    }

    /// Sends the end; the connection is clean when this succeeded.
    pub(crate) async fn send_commit(&self) -> Attempt<()> {
        self.batch("COMMIT").await
    }

    /// Gives the connection back after an end that was sent.
    pub(crate) fn ended(mut self) {
        self.ended = true;
    }

    pub(crate) async fn commit(self) -> Attempt<()> {
        self.send_commit().await?;
        self.ended();
        Ok(())
    }

    /// Takes everything back. A connection that cannot even do that is closed.
    pub(crate) async fn roll_back(self) {
        if self.batch("ROLLBACK").await.is_ok() {
            self.ended();
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let (Some(client), false) = (self.client.take(), self.ended) {
            drop(Object::take(client));
        }
    }
}

/// One statement in a transaction of its own; how many rows it changed.
pub(crate) async fn execute(pool: &Pool, sql: &str, params: Params<'_>) -> Attempt<u64> {
    rerun!({
        let client = connection(pool).await?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.execute(&statement, params).await?)
    })
}

/// A statement that names a partition: not kept prepared, since partitions come and go.
pub(crate) async fn query_once(pool: &Pool, sql: &str, params: Params<'_>) -> Attempt<Vec<Row>> {
    rerun!(Ok(connection(pool).await?.query(sql, params).await?))
}
