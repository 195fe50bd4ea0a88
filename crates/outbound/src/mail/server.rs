//! Mail servers as they are written down: `smtps://host`, `smtp://host:587`, `smtp+plain://host:25`.

use ::http::Uri;

use crate::policy::{self, AddressPolicy, Refusal, Rule, Target};

/// Where mail is submitted over TLS from the start (RFC 8314).
const TLS_PORT: u16 = 465;
/// Where mail is submitted (RFC 6409).
const SUBMISSION_PORT: u16 = 587;
/// Where servers pass mail on.
const RELAY_PORT: u16 = 25;

/// How the connection to a server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Security {
    /// TLS from the start: `smtps://`.
    Tls,
    /// TLS after STARTTLS, and nothing before: `smtp://`.
    StartTls,
    /// Not at all: `smtp+plain://`.
    Plain,
}

/// A server that mail is handed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub(super) target: Target,
    /// How the connection is protected.
    pub security: Security,
}

impl Server {
    /// Reads a server's address and judges it. A name passes here; its addresses are judged when it is dialled.
    ///
    /// # Errors
    /// The [`Refusal`] says which rule it breaks and what to change.
    pub fn parse(allowed: &AddressPolicy, url: &str) -> Result<Self, Refusal> {
        let uri: Uri = policy::parsed(url, Rule::MailScheme)?;
        let refuse = |rule| Refusal::new(policy::shown(url), rule);
        let (security, port) = match uri.scheme_str() {
            Some("smtps") => (Security::Tls, TLS_PORT),
            Some("smtp") => (Security::StartTls, SUBMISSION_PORT),
            Some("smtp+plain") if allowed.https_only => return Err(refuse(Rule::MailPlain)),
            Some("smtp+plain") => (Security::Plain, RELAY_PORT),
            _ => return Err(refuse(Rule::MailScheme)),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(refuse(Rule::MailScheme));
        }
        let (host, port) = AddressPolicy::host_and_port(&uri, port)?;
        if ![TLS_PORT, SUBMISSION_PORT, RELAY_PORT].contains(&port) {
            allowed.check_port(port).map_err(|refusal| Refusal { rule: Rule::MailPort(port), ..refusal })?;
        }
        allowed.check_host(&host)?;
        Ok(Self { target: Target { host, port, https: security == Security::Tls }, security })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(url: &str) -> Result<(u16, Security), String> {
        Server::parse(&AddressPolicy::default(), url)
            .map(|server| (server.target.port, server.security))
            .map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn servers_are_read_and_judged() {
        assert_eq!(judged("smtps://mail.example.com"), Ok((465, Security::Tls)));
        assert_eq!(judged("smtp://mail.example.com/"), Ok((587, Security::StartTls)));
        assert_eq!(judged("smtp://mail.example.com:25"), Ok((25, Security::StartTls)));
        assert_eq!(judged("smtp+plain://mail.example.com:2525"), Ok((2_525, Security::Plain)));
        for (url, part) in [
            ("https://mail.example.com", "smtps://host"),
            ("mail.example.com", "smtps://host"),
            ("smtp://user:secret@mail.example.com", "user name or password"),
            ("smtp://mail.example.com:22", "port 22"),
            ("smtp://127.0.0.1", "loopback"),
            ("smtp://169.254.169.254", "metadata"),
            ("smtp://mail.example.com/path", "smtps://host"),
        ] {
            let refused = judged(url).unwrap_err();
            assert!(refused.contains(part) && !refused.contains("secret"), "{url}: {refused}");
        }
        let strict = AddressPolicy { https_only: true, ..AddressPolicy::default() };
        assert!(Server::parse(&strict, "smtp+plain://mail.example.com").is_err());
    }
}
