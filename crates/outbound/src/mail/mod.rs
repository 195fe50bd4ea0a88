//! Mail by SMTP (RFC 5321): over TLS from the start (RFC 8314), over STARTTLS (RFC 3207), or plain where that is asked for.
//!
//! The protocol and the making of messages are lettre's; dialling, TLS, deadline and caps are those of this room. A server that
//! is said to speak STARTTLS and does not offer it is not talked to in the clear. Connections are kept for a while and used
//! again. Nothing is retried here: a [`Mail`] has the same `Message-ID` whenever it is sent, so that a repetition is recognised.

mod connect;
mod message;
mod pool;
mod server;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt, Rset};
use lettre::transport::smtp::extension::{Extension, MailParameter};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::dial::Dialler;
use crate::http::{Client, Failure, Phase};
use connect::Broken;
pub use message::{Attachment, BadMail, Mail, is_mailbox};
use pool::Pool;
pub use server::{Security, Server};

/// Longest deadline of one mail; a longer one is cut to this.
pub const MAX_DEADLINE: Duration = Duration::from_secs(5 * 60);
/// Most bytes of a server's answer that are kept.
const MAX_SAID_BYTES: usize = 500;

/// Who we are to a server.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What a server said to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// To which: `EHLO`, `AUTH`, `MAIL`, `RCPT` or `DATA`.
    pub command: &'static str,
    /// The code: 250, 451, 550.
    pub code: u16,
    /// Its words, at most 500 bytes.
    pub text: String,
}

/// A mail without an answer to it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unsent {
    /// The server could not be reached, or broke off.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The connection broke off, or what came is no SMTP.
    #[error("the mail server broke off at {command}: {detail}")]
    BrokeOff {
        /// At which command.
        command: &'static str,
        /// What happened.
        detail: String,
    },
    /// The mail was handed over, and no answer to it came: nobody knows whether it goes out.
    #[error("the mail was handed over, and it is not known whether the server took it: {0}")]
    Unanswered(Box<Unsent>),
    /// The server does not do what was asked for.
    #[error("the mail server cannot be used: {0}")]
    Unfit(String),
    /// The mail cannot be written down.
    #[error(transparent)]
    Bad(#[from] BadMail),
}

/// Sends mails. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub struct Mailer {
    dialler: Dialler,
    tls: TlsConnector,
    pool: Arc<Pool>,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("policy", self.dialler.policy()).finish_non_exhaustive()
    }
}

impl Mailer {
    /// A mailer that dials under the policy of a client and trusts whom it trusts. Opens nothing yet.
    #[must_use]
    pub fn like(client: &Client) -> Self {
        let (dialler, tls) = client.for_mail();
        Self { dialler, tls: TlsConnector::from(Arc::new(tls)), pool: Arc::default() }
    }

    /// Sends one mail to one person. Everything, from resolving the name to the server's answer, has one deadline.
    ///
    /// # Errors
    /// When the server did not answer; what it answered, whatever it is, is none.
    pub async fn send(&self, server: &Server, login: Option<&Login>, mail: &Mail, deadline: Duration) -> Result<Said, Unsent> {
        let after = deadline.min(MAX_DEADLINE);
        let until = Instant::now() + after;
        let made = message::Made::of(mail)?;
        let late = |_| Unsent::Failed(Failure::Timeout { phase: Phase::Answer, after, status: None });
        let mut connection = match tokio::time::timeout_at(until, self.connection(server, login, &made.hello)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(Broken::Said(said))) => return Ok(said),
            Ok(Err(Broken::Unsent(unsent))) => return Err(unsent),
            Err(elapsed) => return Err(late(elapsed)),
        };
        let mut handed = false;
        let exchange = exchange(&mut connection, &made, &mut handed);
        let unsent = match tokio::time::timeout_at(until, exchange).await {
            Ok(Ok((said, is_clean))) => {
                if is_clean {
                    self.pool.put(server, login, connection);
                }
                return Ok(said);
            }
            Ok(Err(Broken::Said(said))) => return Ok(said),
            Ok(Err(Broken::Unsent(unsent))) => unsent,
            Err(elapsed) => late(elapsed),
        };
        Err(if handed { Unsent::Unanswered(Box::new(unsent)) } else { unsent })
    }

    async fn connection(&self, server: &Server, login: Option<&Login>, hello: &str) -> Result<AsyncSmtpConnection, Broken> {
        if let Some(idle) = self.pool.take(server, login).await {
            return Ok(idle);
        }
        connect::open(&self.dialler, &self.tls, server, login, hello).await
    }
}

/// Hands a mail over; whether the connection can be used again. Says when it begins to go over the wire.
async fn exchange(connection: &mut AsyncSmtpConnection, made: &message::Made, handed: &mut bool) -> Result<(Said, bool), Broken> {
    let mut parameters = Vec::new();
    let from = made.envelope.from().into_iter();
    if from.chain(made.envelope.to()).any(|address| !AsRef::<str>::as_ref(address).is_ascii()) {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            let why = "it takes no addresses outside ASCII (SMTPUTF8)".to_owned();
            return Err(Broken::Unsent(Unsent::Unfit(why)));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    let from = MailFrom::new(made.envelope.from().cloned(), parameters);
    let mut outcome = connect::heard("MAIL", connection.command(from).await);
    for to in made.envelope.to() {
        if outcome.is_ok() {
            outcome = connect::heard("RCPT", connection.command(Rcpt::new(to.clone(), Vec::new())).await);
        }
    }
    if outcome.is_ok() {
        outcome = connect::heard("DATA", connection.command(Data).await);
    }
    if outcome.is_ok() {
        *handed = true;
        outcome = connect::heard("DATA", connection.message(&made.bytes).await);
    }
    match outcome {
        Ok(said) => Ok((said, true)),
        // It would not have this mail; the next one may be another matter. 421 says that it closes.
        Err(Broken::Said(said)) => {
            let is_clean = said.code != 421 && connection.command(Rset).await.is_ok();
            Ok((said, is_clean))
        }
        Err(broken) => Err(broken),
    }
}
