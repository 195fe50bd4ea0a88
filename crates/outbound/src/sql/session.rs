//! A connection: judged and dialled like every other, encrypted unless it was asked not to be, and capped.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::JoinHandle,
};
use tokio_postgres::{
    Config, NoTls, Row,
    config::SslMode,
    tls::MakeTlsConnect,
    types::{ToSql, Type},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{MAX_READ_BYTES, Place, Unwritten, tls_failure};
use crate::{
    http::{Client, Failure, Phase, Progress, Roots, classify, tls},
    policy::{Host, Refusal, Rule, Target},
    socket::Socket,
};

/// An open connection. What was begun is taken back by the server when it is dropped.
pub(super) struct Session {
    client: tokio_postgres::Client,
    driver: JoinHandle<()>,
    /// Bytes that the server may still send.
    left: Arc<AtomicUsize>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

pub(super) type Params<'p> = &'p [(&'p (dyn ToSql + Sync), Type)];

impl Session {
    /// Lets the server send so many bytes from now on.
    pub(super) fn allow(&self, bytes: usize) {
        self.left.store(bytes, Ordering::Relaxed);
    }

    /// The columns that a statement gives, which is not run.
    pub(super) async fn columns(&self, sql: &str) -> Result<Vec<(String, Type)>, Unwritten> {
        let statement = self.client.prepare(sql).await.map_err(|error| Unwritten::of(&error))?;
        Ok(statement.columns().iter().map(|column| (column.name().to_owned(), column.type_().clone())).collect())
    }

    /// Statements without parameters.
    pub(super) async fn run(&self, sql: &str) -> Result<(), Unwritten> {
        self.client.batch_execute(sql).await.map_err(|error| Unwritten::of(&error))
    }

    /// A statement that is not kept prepared, so that poolers between us and the server do not matter.
    pub(super) async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Unwritten> {
        self.client.query_typed(sql, params).await.map_err(|error| Unwritten::of(&error))
    }
}

/// Connects and signs in.
pub(super) async fn open(client: &Client, place: &Place, deadline: Duration, progress: &Progress) -> Result<Session, Unwritten> {
    let failed = Unwritten::Failed;
    let target = client.policy().check_database(&place.url).map_err(|refusal| failed(Failure::Forbidden(refusal)))?;
    if client.policy().https_only && !place.tls {
        return Err(failed(Failure::Forbidden(Refusal::new(classify::host_of(&target), Rule::HttpsOnly))));
    }
    progress.enter(Phase::Dns);
    let addresses = client.dialler().resolve(&target).await.map_err(|error| failed(classify::of_dial(error, &target)))?;
    progress.enter(Phase::Connect);
    let stream = client.dialler().connect(&addresses).await.map_err(|error| failed(classify::of_dial(error, &target)))?;
    progress.enter(if place.tls { Phase::Tls } else { Phase::Answer });
    let left = Arc::new(AtomicUsize::new(MAX_READ_BYTES));
    let stream = Capped { stream, left: Arc::clone(&left) };
    let mut config = Config::new();
    config.user(&place.user).password(place.password.as_bytes()).dbname(database(&place.url)).application_name("passbridge");
    let signed_in = if place.tls {
        config.ssl_mode(SslMode::Require);
        let tls = connector(client, place, &target).map_err(failed)?;
        config.connect_raw(stream, tls).await.map(|(client, connection)| (client, tokio::spawn(ended(connection))))
    } else {
        config.ssl_mode(SslMode::Disable);
        config.connect_raw(stream, NoTls).await.map(|(client, connection)| (client, tokio::spawn(ended(connection))))
    };
    let (client, driver) = signed_in.map_err(|error| match tls_failure(&error, &target) {
        Some(failure) if error.as_db_error().is_none() => failed(failure),
        _ => Unwritten::of(&error),
    })?;
    progress.enter(Phase::Answer);
    let session = Session { client, driver, left };
    let patience = deadline.as_millis();
    session
        .run(&format!(
            "SET statement_timeout = {patience}; SET lock_timeout = {patience}; SET timezone = 'UTC'; SET datestyle = 'ISO'"
        ))
        .await?;
    Ok(session)
}

async fn ended<F: Future>(connection: F) {
    // How it ended is told to whoever waits for an answer.
    let _ = connection.await;
}

/// The name of the database at the end of its address.
fn database(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

fn connector(
    client: &Client,
    place: &Place,
    target: &Target,
) -> Result<<MakeRustlsConnect as MakeTlsConnect<Capped>>::TlsConnect, Failure> {
    let wrong =
        |detail: String| Failure::Tls { host: classify::host_of(target), reason: crate::http::TlsReason::BadCertificate, detail };
    let roots = match &place.authorities {
        Some(pem) => Roots::only_pem(pem).map_err(|error| wrong(error.to_string()))?,
        None => client.roots().clone(),
    };
    let config = tls::of_another_protocol(&roots).map_err(|error| wrong(error.to_string()))?;
    let name = match &target.host {
        Host::Address(address) => address.to_string(),
        Host::Name(name) => name.clone(),
    };
    let unnameable = || Failure::Tls { host: name.clone(), reason: crate::http::TlsReason::Name, detail: String::new() };
    ServerName::try_from(name.as_str()).map_err(|_| unnameable())?;
    let mut make = MakeRustlsConnect::new(config);
    MakeTlsConnect::<Capped>::make_tls_connect(&mut make, &name).map_err(|_| unnameable())
}

/// A connection of which only so much is read.
pub(super) struct Capped {
    stream: Socket,
    left: Arc<AtomicUsize>,
}

impl AsyncRead for Capped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        let left = self.left.load(Ordering::Relaxed);
        if read > left {
            return Poll::Ready(Err(io::Error::other("the server sends more than it was asked for")));
        }
        self.left.store(left - read, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Capped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
