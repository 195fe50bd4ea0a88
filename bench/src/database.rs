//! A PostgreSQL of this run's own, and what it counts.

use anyhow::{Context as _, Result, bail};
use testkit::postgres::Cluster;
use tokio::runtime::Runtime;

use crate::cpu::Process;

/// A server that ends with this value.
pub(crate) struct Postgres {
    runtime: Runtime,
    cluster: Cluster,
    pub(crate) process: Process,
}

/// What a database has done since it was counted first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// Statements that were run, those of transactions (`BEGIN`, `COMMIT`) included.
    pub(crate) statements: f64,
    /// Of these, the ones that read the event log or touch deliveries, attempts or watermarks, whichever reader's.
    pub(crate) of_readers: f64,
    /// Bytes of write-ahead log.
    pub(crate) wal: f64,
}

impl Postgres {
    pub(crate) fn start() -> Result<Self> {
        let own = Process::new(std::process::id())?;
        let before: Vec<u32> = own.children()?.iter().map(Process::pid).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let cluster = runtime.block_on(Cluster::start())?;
        let process = own.children()?.into_iter().find(|child| !before.contains(&child.pid()));
        Ok(Self { runtime, cluster, process: process.context("no PostgreSQL process")? })
    }

    /// The URL of a new database.
    pub(crate) fn database(&self) -> Result<String> {
        Ok(self.runtime.block_on(self.cluster.create_database())?)
    }

    /// Lets the server count statements from now on; it is started anew for that.
    pub(crate) fn count_statements(&mut self) -> Result<()> {
        let cluster = &mut self.cluster;
        self.runtime.block_on(async {
            cluster.administer("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'").await?;
            cluster.stop().await?;
            cluster.resume().await?;
            cluster.administer("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await
        })?;
        Ok(())
    }

    /// What all databases of the server have done so far.
    pub(crate) fn work(&self) -> Result<Work> {
        let counted = "SELECT coalesce(sum(calls), 0)::float8, \
             coalesce(sum(calls) FILTER (WHERE query ~* '\\m(attempts|deliveries|watermarks)\\M|FROM events\\M'), 0)::float8, \
             (pg_current_wal_lsn() - '0/0')::float8 FROM pg_stat_statements";
        let [statements, of_readers, wal] = self.runtime.block_on(self.cluster.numbers(counted))?[..] else {
            bail!("PostgreSQL counts something else");
        };
        Ok(Work { statements, of_readers, wal })
    }
}
