//! Hints between nodes: `NOTIFY`, once for many writes, on a connection of its own that listens as well.
//!
//! A hint carries no data and may get lost; whoever is woken asks the store, and asks by itself now and then anyway. So
//! where the connection fails, or the database knows no `LISTEN`, nothing is lost but time. It is sent outside the
//! transactions that it tells of, because those that notify take turns on a lock when they commit.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use store::StoreError;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Notify, watch},
    task::AbortHandle,
};
use tokio_postgres::{AsyncMessage, Client, Connection, Error, NoTls, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::pool::{self, Options};

/// What is listened for.
const CHANNEL: &str = "passbridge";
/// At most one hint is sent in this time; what comes meanwhile is told by the next.
const GAP: Duration = Duration::from_millis(10);
/// First pause after the connection failed; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause between two connections.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A hint is no commit to wait for.
const SESSION: &str = "SET application_name = 'passbridge hints'; SET synchronous_commit = off";

/// Tells others, and listens to them.
pub(crate) struct Nudger {
    shared: Arc<Shared>,
    task: Mutex<Option<AbortHandle>>,
}

struct Shared {
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
    others: AtomicBool,
    pending: Notify,
    ticks: watch::Sender<u64>,
}

impl Nudger {
    pub(crate) fn new(url: &str, options: &Options) -> Result<Self, StoreError> {
        let config = pool::config(url)?;
        let tls = match config.get_ssl_mode() {
            SslMode::Require => Some(pool::tls(options)?),
            _ => None,
        };
        let (others, pending, ticks) = (AtomicBool::new(false), Notify::new(), watch::Sender::new(0));
        Ok(Self { shared: Arc::new(Shared { config, tls, others, pending, ticks }), task: Mutex::default() })
    }

    /// Whether there is anybody to tell: a node that is alone sends nothing.
    pub(crate) fn saw_others(&self, others: bool) {
        self.shared.others.store(others, Ordering::Relaxed);
    }

    pub(crate) fn has_others(&self) -> bool {
        self.shared.others.load(Ordering::Relaxed)
    }

    pub(crate) fn nudge(&self) {
        if self.has_others() {
            self.shared.pending.notify_one();
        }
    }

    /// Begins to listen, at the first call.
    pub(crate) fn listen(&self) -> watch::Receiver<u64> {
        let shared = Arc::clone(&self.shared);
        self.task.lock().get_or_insert_with(|| tokio::spawn(shared.run()).abort_handle());
        self.shared.ticks.subscribe()
    }

    pub(crate) fn close(&self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

impl Drop for Nudger {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let since = tokio::time::Instant::now();
            if let Err(error) = self.connect().await {
                tracing::debug!(%error, "no hints from or to other nodes; they are found by polling");
            }
            pause = if since.elapsed() > LONGEST_PAUSE { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            tokio::time::sleep(pause).await;
        }
    }

    async fn connect(&self) -> Result<(), Error> {
        match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                self.hold(client, connection).await
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                self.hold(client, connection).await
            }
        }
    }

    /// Tells and listens until the connection ends.
    async fn hold<S, T>(&self, client: Client, mut connection: Connection<S, T>) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        T: AsyncRead + AsyncWrite + Unpin,
    {
        // Our own hints come back to us and tell us nothing.
        let own = AtomicI32::new(0);
        let listening = async {
            while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(hint) = message?
                    && hint.process_id() != own.load(Ordering::Relaxed)
                {
                    self.others.store(true, Ordering::Relaxed);
                    self.tick();
                }
            }
            Ok(())
        };
        let telling = async {
            let backend = client.query_one("SELECT pg_backend_pid()", &[]).await?;
            own.store(backend.try_get(0)?, Ordering::Relaxed);
            client.batch_execute(&format!("{SESSION}; LISTEN {CHANNEL}")).await?;
            // Something may have been said while nobody listened.
            self.tick();
            loop {
                self.pending.notified().await;
                client.batch_execute(&format!("NOTIFY {CHANNEL}")).await?;
                tokio::time::sleep(GAP).await;
            }
        };
        tokio::select! {
            ended = listening => ended,
            ended = telling => ended,
        }
    }

    fn tick(&self) {
        self.ticks.send_modify(|count| *count += 1);
    }
}
