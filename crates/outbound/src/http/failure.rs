//! Why there is no answer, named by what it means for the caller. Every sentence is safe to show to the tenant who
//! named the address: it holds the host, never a query, a credential or a path.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use ::http::StatusCode;

use crate::policy::Refusal;

/// How far a request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Phase {
    /// Resolving the name.
    Dns,
    /// Opening the connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Writing the request and waiting for the answer's headers; a queued pooled connection counts here too.
    Answer,
    /// Reading the answer's body.
    Body,
}

impl Phase {
    /// The phase in a reader's words, after "while".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Dns => "resolving the host name",
            Self::Connect => "connecting",
            Self::Tls => "negotiating TLS",
            Self::Answer => "waiting for the answer",
            Self::Body => "reading the answer's body",
        }
    }
}

/// How far an exchange in another protocol than HTTP got.
#[derive(Default)]
pub(crate) struct Progress(AtomicU8);

impl Progress {
    pub(crate) fn enter(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn phase(&self) -> Phase {
        let now = self.0.load(Ordering::Relaxed);
        [Phase::Dns, Phase::Connect, Phase::Tls].into_iter().find(|phase| *phase as u8 == now).unwrap_or(Phase::Answer)
    }
}

/// Why no connection could be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectReason {
    /// Nobody listens on that port.
    Refused,
    /// No route to the host or network.
    Unreachable,
    /// The operating system gave up waiting.
    TimedOut,
    /// Another error of the operating system.
    Other,
}

/// Why no TLS session came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsReason {
    /// The peer's certificate, or one above it, has expired.
    Expired,
    /// The peer's certificate is not valid yet; one of the two clocks may be wrong.
    NotYetValid,
    /// No trusted root stands above the peer's certificate: self-signed, a private authority, or a missing intermediate.
    UnknownIssuer,
    /// The peer's certificate is for another host.
    WrongHost,
    /// The peer's certificate has been revoked.
    Revoked,
    /// The peer's certificate is malformed or unfit for a server.
    BadCertificate,
    /// The peer wants a client certificate and got none.
    ClientCertificateRequired,
    /// The peer does not accept our client certificate.
    ClientCertificateRefused,
    /// No protocol version, cipher suite or application protocol in common.
    Incompatible,
    /// The peer does not speak TLS on this port.
    NotTls,
    /// The peer closed the connection in the handshake.
    Closed,
    /// The host name cannot be used with TLS.
    Name,
    /// Another fault of the handshake.
    Other,
}

impl TlsReason {
    /// The reason in a reader's words, after "the TLS connection failed:".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Expired => "its certificate has expired",
            Self::NotYetValid => "its certificate is not valid yet (or a clock is wrong)",
            Self::UnknownIssuer => {
                "its certificate is not issued by a trusted authority (self-signed, private, or without its intermediate)"
            }
            Self::WrongHost => "its certificate is for another host name",
            Self::Revoked => "its certificate has been revoked",
            Self::BadCertificate => "its certificate is malformed or not meant for a server",
            Self::ClientCertificateRequired => "it wants a client certificate",
            Self::ClientCertificateRefused => "it does not accept our client certificate",
            Self::Incompatible => "it shares no TLS version, cipher suite or application protocol with us",
            Self::NotTls => "it does not speak TLS on this port",
            Self::Closed => "it closed the connection during the handshake",
            Self::Name => "its host name cannot be used with TLS",
            Self::Other => "the handshake broke off",
        }
    }
}

/// A request without an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The address policy does not let it out; nothing was sent.
    #[error("not called: {0}")]
    Forbidden(Refusal),
    /// The name could not be resolved.
    #[error("the host name {host} could not be resolved ({detail}); check its spelling and its DNS records")]
    Dns {
        /// The name.
        host: String,
        /// What the resolver says.
        detail: String,
    },
    /// No connection could be opened.
    #[error("no connection to {host} port {port}: {detail}")]
    Connect {
        /// Host as in the URL.
        host: String,
        /// Port.
        port: u16,
        /// Kind of error.
        reason: ConnectReason,
        /// What the operating system says.
        detail: String,
    },
    /// It did not leave by the egress that it must leave by.
    #[error("nothing was sent by the egress `{name}`: {detail}")]
    Egress {
        /// Which.
        name: String,
        /// Why not.
        detail: String,
    },
    /// No TLS session came about, or the peer ended it with an alert.
    #[error("the TLS connection to {host} failed: {}", reason.words())]
    Tls {
        /// Host as in the URL.
        host: String,
        /// Kind of error.
        reason: TlsReason,
        /// What the TLS library says, for a log.
        detail: String,
    },
    /// The deadline passed.
    #[error("no complete answer within {} ms; time ran out while {}", after.as_millis(), phase.words())]
    Timeout {
        /// Where time ran out.
        phase: Phase,
        /// The deadline.
        after: Duration,
        /// The status, if the headers had arrived.
        status: Option<StatusCode>,
    },
    /// The peer closed or reset the connection before its answer was complete.
    #[error("the connection was closed while {}", phase.words())]
    Reset {
        /// Where it broke off.
        phase: Phase,
        /// The status, if the headers had arrived.
        status: Option<StatusCode>,
    },
    /// The answer has more headers than [`super::MAX_HEADERS`] or [`super::MAX_HEADER_BYTES`].
    #[error("the answer's headers are larger than {} lines or {} bytes", super::MAX_HEADERS, super::MAX_HEADER_BYTES)]
    HeadersTooLarge,
    /// The peer does not speak HTTP as it should.
    #[error("the answer is not valid HTTP ({detail}), found while {}", phase.words())]
    Protocol {
        /// Where it was found.
        phase: Phase,
        /// The status, if the headers had arrived.
        status: Option<StatusCode>,
        /// What the parser says.
        detail: String,
    },
}

impl Failure {
    /// A stable code for APIs, metrics and stored attempts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Forbidden(_) => "forbidden_address",
            Self::Dns { .. } => "dns",
            Self::Connect { reason: ConnectReason::Refused, .. } => "connection_refused",
            Self::Connect { .. } => "connect",
            Self::Egress { .. } => "egress",
            Self::Tls { reason: TlsReason::Expired, .. } => "tls_expired",
            Self::Tls { reason: TlsReason::UnknownIssuer, .. } => "tls_unknown_issuer",
            Self::Tls { reason: TlsReason::WrongHost, .. } => "tls_wrong_host",
            Self::Tls { .. } => "tls",
            Self::Timeout { .. } => "timeout",
            Self::Reset { .. } => "reset",
            Self::HeadersTooLarge => "headers_too_large",
            Self::Protocol { .. } => "protocol",
        }
    }

    /// Whether the peer may have received the request, so that it may have acted on it.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::Forbidden(_) | Self::Dns { .. } | Self::Connect { .. } | Self::Egress { .. } | Self::Tls { .. } => false,
            Self::Timeout { phase, .. } => matches!(phase, Phase::Answer | Phase::Body),
            Self::Reset { .. } | Self::HeadersTooLarge | Self::Protocol { .. } => true,
        }
    }
}
