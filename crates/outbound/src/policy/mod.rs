//! Which addresses may be dialled.
//!
//! The default is the public internet and nothing else. An operator widens it deliberately, network by network; a
//! refusal names what was refused, by which rule, and which setting would allow it.

mod address;
mod host;
mod refusal;

use std::net::IpAddr;

use ::http::Uri;
use ipnet::IpNet;

pub use address::Range;
pub use host::Host;
pub use refusal::{Refusal, Rule};

/// Longest URL that may be configured, in bytes.
pub const MAX_URL_BYTES: usize = 4096;

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;
const POSTGRES_PORT: u16 = 5432;
/// Ports below this one belong to system services; of these only 80 and 443 speak HTTP.
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;
/// Ports from 1024 on that speak another text protocol, from the list of bad ports in the WHATWG Fetch standard.
const OTHER_PROTOCOL_PORTS: [u16; 17] =
    [1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6697];

/// What may be dialled. The default allows public addresses only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Allow 127.0.0.0/8, ::1 and the name `localhost`: for a demo or tests on one machine.
    pub allow_loopback: bool,
    /// Networks allowed beside the public ones. A cloud metadata address is allowed by its exact /32 or /128 alone;
    /// unspecified, broadcast and multicast addresses never are.
    pub allow_networks: Vec<IpNet>,
    /// Ports allowed beside 80, 443 and the unprivileged ones.
    pub allow_ports: Vec<u16>,
    /// Refuse plain `http`.
    pub https_only: bool,
}

/// Where an accepted URL leads. A name is yet to be resolved, and each of its addresses to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The literal address or the name.
    pub host: Host,
    /// The port, the scheme's own unless the URL names one.
    pub port: u16,
    /// Whether the scheme is `https`.
    pub https: bool,
}

impl AddressPolicy {
    /// Judges a URL at configuration time, so that whoever types it learns at once what is wrong with it. A name
    /// passes here; its addresses are judged when it is dialled.
    ///
    /// # Errors
    /// The [`Refusal`] says which rule it breaks and what to change.
    pub fn check_url(&self, url: &str) -> Result<(), Refusal> {
        self.check_uri(&parsed(url, host::why_unparsable(url))?).map(|_| ())
    }

    /// Judges a parsed URL; what [`Self::check_url`] and every request do.
    ///
    /// # Errors
    /// The [`Refusal`] says which rule it breaks and what to change.
    pub fn check_uri(&self, uri: &Uri) -> Result<Target, Refusal> {
        let refuse = |rule| Refusal::new(host::excerpt(&uri.to_string()), rule);
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if self.https_only => return Err(refuse(Rule::HttpsOnly)),
            Some("http") => false,
            Some(_) => return Err(refuse(Rule::Scheme)),
            None => return Err(refuse(Rule::NotAbsolute)),
        };
        self.check_authority(uri, if https { HTTPS_PORT } else { HTTP_PORT }, https)
    }

    /// Judges the address of a PostgreSQL database, `postgresql://host:port/database`, when it is configured and when it is
    /// dialled.
    ///
    /// # Errors
    /// The [`Refusal`] says which rule it breaks and what to change.
    pub fn check_database(&self, url: &str) -> Result<Target, Refusal> {
        let uri = parsed(url, host::why_unparsable(url))?;
        let refuse = |rule| Refusal::new(host::excerpt(url), rule);
        let name = uri.path().strip_prefix('/').unwrap_or_default();
        let is_plain = !name.is_empty() && !name.contains(['/', '%']) && uri.query().is_none();
        if !matches!(uri.scheme_str(), Some("postgresql" | "postgres")) || !is_plain {
            return Err(refuse(Rule::Database));
        }
        self.check_authority(&uri, POSTGRES_PORT, false)
    }

    /// Judges the address of a server, `scheme://host:port` and nothing more, when it is configured and when it is dialled.
    ///
    /// # Errors
    /// The [`Refusal`] says which rule it breaks and what to change.
    pub(crate) fn check_server(&self, url: &str, scheme: &'static str, default_port: u16) -> Result<Target, Refusal> {
        let rule = Rule::Server { scheme, port: default_port };
        let uri = parsed(url, rule)?;
        let is_plain = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if uri.scheme_str() != Some(scheme) || !is_plain {
            return Err(Refusal::new(host::excerpt(url), rule));
        }
        self.check_authority(&uri, default_port, false)
    }

    fn check_authority(&self, uri: &Uri, default_port: u16, https: bool) -> Result<Target, Refusal> {
        let (host, port) = Self::host_and_port(uri, default_port)?;
        self.check_port(port)?;
        self.check_host(&host)?;
        Ok(Target { host, port, https })
    }

    /// The host of a URL, and its port; both are still to be judged.
    pub(crate) fn host_and_port(uri: &Uri, default_port: u16) -> Result<(Host, u16), Refusal> {
        let refuse = |rule| Refusal::new(host::excerpt(&uri.to_string()), rule);
        let authority = uri.authority().ok_or_else(|| refuse(Rule::NotAbsolute))?;
        if authority.as_str().contains('@') {
            return Err(Refusal::new(authority.host().to_owned(), Rule::UserInfo));
        }
        let host = Host::parse(authority.host()).map_err(refuse)?;
        let port = match &authority.as_str()[authority.host().len()..] {
            "" => default_port,
            rest => port_number(rest).map_err(refuse)?,
        };
        Ok((host, port))
    }

    /// Judges a host: an address at once, a name when it is resolved.
    pub(crate) fn check_host(&self, host: &Host) -> Result<(), Refusal> {
        match host {
            Host::Address(address) => self.check_address(*address),
            Host::Name(name) if host::is_localhost(name) && !self.allow_loopback => {
                Err(Refusal::new(name.clone(), Rule::Address(Range::Loopback)))
            }
            Host::Name(_) => Ok(()),
        }
    }

    /// Judges a port.
    ///
    /// # Errors
    /// When it is neither 80, 443 or an unprivileged port without another text protocol, nor listed in `allow_ports`.
    pub fn check_port(&self, port: u16) -> Result<(), Refusal> {
        let usual =
            matches!(port, HTTP_PORT | HTTPS_PORT) || (port >= FIRST_UNPRIVILEGED_PORT && !OTHER_PROTOCOL_PORTS.contains(&port));
        if usual || (port != 0 && self.allow_ports.contains(&port)) {
            return Ok(());
        }
        Err(Refusal::new(format!("port {port}"), Rule::Port(port)))
    }

    /// Judges an address that is about to be dialled. An IPv4 address in IPv6 clothes is judged as what it is.
    ///
    /// # Errors
    /// When the address is not public and no setting allows it.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Refusal> {
        let address = address.to_canonical();
        let Some(range) = address::range_of(address) else {
            return Ok(());
        };
        let allowed = match range {
            Range::Unspecified | Range::Broadcast | Range::Multicast => false,
            Range::Loopback if self.allow_loopback && address.is_loopback() => true,
            Range::Metadata => {
                self.allow_networks.iter().any(|net| net.prefix_len() == net.max_prefix_len() && net.contains(&address))
            }
            _ => self.allow_networks.iter().any(|net| net.contains(&address)),
        };
        if allowed {
            return Ok(());
        }
        Err(Refusal::new(address.to_string(), Rule::Address(range)))
    }
}

/// Reads a URL, unless it has characters or a length that no URL has; `unreadable` is the rule that any other fault breaks.
pub(crate) fn parsed(url: &str, unreadable: Rule) -> Result<Uri, Refusal> {
    if url.len() > MAX_URL_BYTES {
        return Err(Refusal::new(host::excerpt(url), Rule::TooLong));
    }
    if let Some(odd) = url.chars().find(|c| !c.is_ascii_graphic() || *c == '\\') {
        return Err(Refusal::new(host::excerpt(url), Rule::Character(odd)));
    }
    url.parse().map_err(|_| Refusal::new(host::excerpt(url), unreadable))
}

/// The beginning of a URL as it may be shown.
pub(crate) fn shown(url: &str) -> String {
    host::excerpt(url)
}

/// The port in what follows the host of an authority. Digits only: `+80` is a port to some parsers and none to others.
fn port_number(after_host: &str) -> Result<u16, Rule> {
    let digits = after_host.strip_prefix(':').ok_or(Rule::HostName)?;
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return digits.parse().map_err(|_| Rule::PortNumber);
    }
    Err(Rule::PortNumber)
}
