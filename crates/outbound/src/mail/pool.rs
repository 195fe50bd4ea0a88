//! Connections that are kept to be used again.

use std::time::Duration;

use lettre::transport::smtp::client::AsyncSmtpConnection;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Login, Server};

/// Connections that are kept per server and login.
const KEPT_PER_SERVER: usize = 4;
/// Connections that are kept in all.
const KEPT: usize = 64;
/// How long one is kept.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// After this it is asked first whether it still works.
const ASKED_AFTER: Duration = Duration::from_secs(2);

/// The connections, the oldest first.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Kept>>);

struct Kept {
    server: Server,
    login: Option<Login>,
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl Kept {
    fn is_to(&self, server: &Server, login: Option<&Login>) -> bool {
        self.server == *server && self.login.as_ref() == login
    }
}

impl Pool {
    /// A connection that works, if there is one.
    pub(super) async fn take(&self, server: &Server, login: Option<&Login>) -> Option<AsyncSmtpConnection> {
        loop {
            let mut kept = {
                let mut all = self.0.lock();
                all.retain(|kept| kept.since.elapsed() < KEPT_FOR);
                let at = all.iter().rposition(|kept| kept.is_to(server, login))?;
                all.remove(at)
            };
            if kept.since.elapsed() < ASKED_AFTER || kept.connection.test_connected().await {
                return Some(kept.connection);
            }
        }
    }

    /// Keeps a connection.
    pub(super) fn put(&self, server: &Server, login: Option<&Login>, connection: AsyncSmtpConnection) {
        if connection.has_broken() {
            return;
        }
        let mut all = self.0.lock();
        all.retain(|kept| kept.since.elapsed() < KEPT_FOR);
        if all.len() >= KEPT || all.iter().filter(|kept| kept.is_to(server, login)).count() >= KEPT_PER_SERVER {
            return;
        }
        all.push(Kept { server: server.clone(), login: login.cloned(), connection, since: Instant::now() });
    }
}
