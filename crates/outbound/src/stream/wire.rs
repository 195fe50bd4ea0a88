//! A connection: judged and dialled like every other, encrypted unless it was asked not to be.

use std::{io, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Reason, Refused, Unsent};
use crate::{
    http::{Client, Failure, Phase, Progress, Roots, TlsReason, classify, connector, tls},
    policy::{Refusal, Rule, Target},
    socket::Socket,
};

/// What is read and written.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// Opens a connection to a server that was judged by its address. `encrypted`: whether TLS will follow.
pub(super) async fn dial(client: &Client, target: &Target, encrypted: bool, progress: &Progress) -> Result<Socket, Failure> {
    if client.policy().https_only && !encrypted {
        return Err(Failure::Forbidden(Refusal::new(classify::host_of(target), Rule::HttpsOnly)));
    }
    progress.enter(Phase::Dns);
    let addresses = client.dialler().resolve(target).await.map_err(|error| classify::of_dial(error, target))?;
    progress.enter(Phase::Connect);
    client.dialler().connect(&addresses).await.map_err(|error| classify::of_dial(error, target))
}

/// TLS over it, with the certificates of `authorities` as the only roots where there are any.
pub(super) async fn encrypt(
    client: &Client,
    target: &Target,
    authorities: Option<&str>,
    stream: Socket,
    progress: &Progress,
) -> Result<TlsStream<Socket>, Failure> {
    progress.enter(Phase::Tls);
    let wrong = |detail: String| Failure::Tls { host: classify::host_of(target), reason: TlsReason::BadCertificate, detail };
    let roots = match authorities {
        Some(pem) => Roots::only_pem(pem).map_err(|error| wrong(error.to_string()))?,
        None => client.roots().clone(),
    };
    let config = tls::of_another_protocol(&roots).map_err(|error| wrong(error.to_string()))?;
    let name = connector::server_name(target)?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    handshake.map_err(|error| classify::of_handshake(&error, target))
}

/// What a broken connection means while an answer is waited for.
pub(super) fn broken(_: io::Error) -> Unsent {
    Failure::Reset { phase: Phase::Answer, status: None }.into()
}

/// What came is not the protocol.
pub(super) fn protocol(detail: &str) -> Unsent {
    Refused::new(Reason::Unfit, detail).into()
}
