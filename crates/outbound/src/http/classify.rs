//! From the errors of the layers below, nested in each other, to the one [`Failure`] that they amount to.

use std::error::Error;
use std::io;

use ::http::{Extensions, StatusCode};
use rustls::{AlertDescription, CertificateError};

use super::connector::LateAlert;
use super::failure::{ConnectReason, Failure, Phase, TlsReason};
use crate::dial::DialError;
use crate::policy::{Host, Target};

pub(crate) fn host_of(target: &Target) -> String {
    match &target.host {
        Host::Address(address) => address.to_string(),
        Host::Name(name) => name.clone(),
    }
}

pub(crate) fn of_dial(error: DialError, target: &Target) -> Failure {
    let host = host_of(target);
    match error {
        DialError::Refused(refusal) => Failure::Forbidden(refusal),
        DialError::Egress(name, detail) => Failure::Egress { name, detail },
        DialError::Dns(detail) => Failure::Dns { host, detail },
        DialError::Connect(error) => {
            let reason = match error.kind() {
                io::ErrorKind::ConnectionRefused => ConnectReason::Refused,
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => ConnectReason::Unreachable,
                io::ErrorKind::TimedOut => ConnectReason::TimedOut,
                _ => ConnectReason::Other,
            };
            Failure::Connect { host, port: target.port, reason, detail: error.to_string() }
        }
    }
}

pub(super) fn unnameable(target: &Target) -> Failure {
    Failure::Tls { host: host_of(target), reason: TlsReason::Name, detail: String::new() }
}

pub(crate) fn of_handshake(error: &io::Error, target: &Target) -> Failure {
    Failure::Tls { host: host_of(target), reason: handshake_reason(error), detail: error.to_string() }
}

pub(crate) fn handshake_reason(error: &io::Error) -> TlsReason {
    match find::<rustls::Error>(error) {
        Some(inner) => tls_reason(inner),
        None if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => TlsReason::Closed,
        None => TlsReason::Other,
    }
}

pub(crate) fn tls_reason(error: &rustls::Error) -> TlsReason {
    match error {
        rustls::Error::InvalidCertificate(bad) => certificate_reason(bad),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => TlsReason::ClientCertificateRequired,
            AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError => TlsReason::ClientCertificateRefused,
            AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::NoApplicationProtocol
            | AlertDescription::InsufficientSecurity => TlsReason::Incompatible,
            _ => TlsReason::Other,
        },
        rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => TlsReason::Incompatible,
        rustls::Error::InvalidMessage(_) => TlsReason::NotTls,
        _ => TlsReason::Other,
    }
}

fn certificate_reason(bad: &CertificateError) -> TlsReason {
    match bad {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsReason::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsReason::NotYetValid,
        CertificateError::UnknownIssuer => TlsReason::UnknownIssuer,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => TlsReason::WrongHost,
        CertificateError::Revoked => TlsReason::Revoked,
        _ => TlsReason::BadCertificate,
    }
}

/// A failure of the pool: in the connector, then it is ours already, or on the connection.
pub(super) fn of_exchange(error: &hyper_util::client::legacy::Error, target: &Target) -> Failure {
    if let Some(ours) = find::<Failure>(error) {
        return ours.clone();
    }
    if let Some(failure) = late_alert(error, target) {
        return failure;
    }
    match find::<hyper::Error>(error) {
        Some(inner) => of_hyper(inner, Phase::Answer, None),
        None => Failure::Protocol { phase: Phase::Answer, status: None, detail: error.to_string() },
    }
}

/// The peer's verdict on our certificate, if that is what ended the connection. Other alerts end an exchange that may
/// have arrived, like any reset.
fn late_alert(error: &hyper_util::client::legacy::Error, target: &Target) -> Option<Failure> {
    let mut extras = Extensions::new();
    error.connect_info()?.get_extras(&mut extras);
    let tls = extras.get::<LateAlert>()?.get()?;
    let reason = tls_reason(tls);
    let about_us = matches!(reason, TlsReason::ClientCertificateRequired | TlsReason::ClientCertificateRefused);
    about_us.then(|| Failure::Tls { host: host_of(target), reason, detail: tls.to_string() })
}

pub(super) fn of_body(error: &hyper::Error, status: StatusCode) -> Failure {
    of_hyper(error, Phase::Body, Some(status))
}

fn of_hyper(error: &hyper::Error, phase: Phase, status: Option<StatusCode>) -> Failure {
    if error.is_parse_too_large() {
        return Failure::HeadersTooLarge;
    }
    let io = find::<io::Error>(error).map(io::Error::kind);
    let closed = matches!(
        io,
        Some(
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
                | io::ErrorKind::NotConnected
        )
    );
    if closed || error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return Failure::Reset { phase, status };
    }
    let detail = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    Failure::Protocol { phase, status, detail }
}

/// The first `T` in a chain of causes. An I/O error hides what it wraps from the chain, so that is looked into too.
pub(crate) fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<T>() {
            return Some(found);
        }
        let inner = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    None
}
