//! Refusals, in words that say what to change.

use std::fmt;
use std::net::Ipv4Addr;

use super::address::Range;

/// Something that the address policy does not let out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was refused: the URL without credentials and query, the address, or the port.
    pub subject: String,
    /// The rule that it breaks.
    pub rule: Rule,
}

/// The rules of [`super::AddressPolicy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The URL is longer than [`super::MAX_URL_BYTES`].
    TooLong,
    /// The URL holds white space, a control character, a backslash or a character outside ASCII.
    Character(char),
    /// The URL has no scheme or host.
    NotAbsolute,
    /// The scheme is neither `http` nor `https`.
    Scheme,
    /// The URL is not the address of a PostgreSQL database.
    Database,
    /// It is no address of a server of another protocol, which is written by this scheme and listens on this port.
    Server {
        /// `nats`
        scheme: &'static str,
        /// Its port unless another is named.
        port: u16,
    },
    /// It is no address of a mail server.
    MailScheme,
    /// Mail would not be encrypted where only encrypted connections are allowed.
    MailPlain,
    /// The port is none that mail servers listen on.
    MailPort(u16),
    /// The scheme is `http` where only `https` is allowed.
    HttpsOnly,
    /// The URL carries a user name or password.
    UserInfo,
    /// The host is empty.
    NoHost,
    /// The host is not a valid name or address.
    HostName,
    /// The host ends with a dot.
    TrailingDot,
    /// An IPv6 address with a zone id, which only means something on one machine.
    ZoneId,
    /// An IPv4 address in an ambiguous form, and the address that a resolver would make of it.
    NumericHost(Option<Ipv4Addr>),
    /// The port is not a number from 1 to 65535.
    PortNumber,
    /// The port belongs to another protocol.
    Port(u16),
    /// The address is not public.
    Address(Range),
}

impl Refusal {
    pub(crate) fn new(subject: String, rule: Rule) -> Self {
        Self { subject, rule }
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = &self.subject;
        match self.rule {
            Rule::TooLong => write!(f, "the URL is longer than {} bytes; shorten it", super::MAX_URL_BYTES),
            Rule::Character(c) => write!(
                f,
                "{subject} contains the character {c:?}; percent-encode it in a path, write a host name in its xn-- form"
            ),
            Rule::NotAbsolute => write!(f, "{subject} is not a full URL; write https://host/path"),
            Rule::Scheme => write!(f, "{subject} is neither http nor https; use one of these"),
            Rule::Database => {
                write!(f, "{subject} is no address of a database; write postgresql://host:5432/database and nothing more")
            }
            Rule::Server { scheme, port } => {
                write!(f, "{subject} is no address of a server; write {scheme}://host:{port} and nothing more")
            }
            Rule::HttpsOnly => write!(f, "{subject} is not encrypted and only https is allowed; use https"),
            Rule::MailScheme => write!(
                f,
                "{subject} is no address of a mail server; write smtps://host (TLS), smtp://host (STARTTLS) or smtp+plain://host"
            ),
            Rule::MailPlain => {
                write!(f, "{subject} is not encrypted and only what is encrypted is allowed; write smtps:// or smtp://")
            }
            Rule::MailPort(port) => write!(
                f,
                "port {port} belongs to another protocol than mail; use 587, 465 or 25, or add {port} to the server's setting `allow_ports`"
            ),
            Rule::UserInfo => {
                write!(
                    f,
                    "the URL for {subject} carries a user name or password; put credentials into a setting or header of their own"
                )
            }
            Rule::NoHost => write!(f, "{subject} has no host; write https://host/path"),
            Rule::HostName => write!(f, "{subject} has no valid host name or address"),
            Rule::TrailingDot => write!(f, "the host of {subject} ends with a dot; leave the dot out"),
            Rule::ZoneId => write!(f, "the host of {subject} has a zone id; link-local addresses cannot be called"),
            Rule::NumericHost(Some(meant)) => {
                write!(f, "the host of {subject} is an ambiguous form of {meant}; write the address in plain dotted decimals")
            }
            Rule::NumericHost(None) => write!(f, "the host of {subject} ends in a number but is no IPv4 address"),
            Rule::PortNumber => write!(f, "the port of {subject} is not a number from 1 to 65535"),
            Rule::Port(0) => write!(f, "port 0 cannot be called"),
            Rule::Port(port) => write!(
                f,
                "port {port} belongs to another protocol; use 443 for HTTP, or add {port} to the server's setting `allow_ports`"
            ),
            Rule::Address(range) => {
                write!(f, "{subject} is {}, and only public addresses are called; ", range.words())?;
                match range {
                    Range::Unspecified | Range::Broadcast | Range::Multicast => {
                        write!(f, "name the host that is meant")
                    }
                    Range::Loopback => {
                        write!(f, "set the server's `allow_loopback` to allow it")
                    }
                    Range::Metadata => {
                        write!(f, "only its exact /32 or /128 in the server's `allow_networks` would allow it")
                    }
                    _ => write!(f, "add its network to the server's `allow_networks` to allow it"),
                }
            }
        }
    }
}
