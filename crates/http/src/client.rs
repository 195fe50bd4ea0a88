//! Who is calling: the client's address, as far as proxies that we trust tell it.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::{HeaderMap, header, request::Parts};
use ipnet::IpNet;

use crate::app::{App, ForwardedBy};

/// Most bytes of a `User-Agent` header that are kept.
const USER_AGENT_BYTES: usize = 512;

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The client's address; none when the server was not told the peer's.
    pub ip: Option<IpAddr>,
    /// The `User-Agent` header, at most 512 bytes.
    pub user_agent: Option<String>,
}

impl FromRequestParts<Arc<App>> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let settings = &app.settings;
        let ip = peer.map(|peer| behind(peer, &parts.headers, settings.forwarded_by, &settings.trusted_proxies));
        let user_agent = parts.headers.get(header::USER_AGENT).map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            text[..text.floor_char_boundary(USER_AGENT_BYTES)].to_owned()
        });
        Ok(Self { ip, user_agent })
    }
}

/// Walks from the peer towards the client for as long as the hop that speaks is trusted. A hop that is no address (`unknown`,
/// an obfuscated name) ends the walk at the last address that is one.
fn behind(peer: IpAddr, headers: &HeaderMap, by: ForwardedBy, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    let hops = match by {
        ForwardedBy::XForwardedFor => each_value(headers, "x-forwarded-for").map(str::to_owned).collect(),
        ForwardedBy::Forwarded => forwarded(headers),
    };
    for hop in hops.iter().rev() {
        if !trusted.iter().any(|net| net.contains(&client)) {
            break;
        }
        match address(hop) {
            Some(ip) => client = ip.to_canonical(),
            None => break,
        }
    }
    client
}

fn each_value<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// The `for` parameters of `Forwarded` (RFC 7239 section 4), one per hop; a hop without one is empty.
fn forwarded(headers: &HeaderMap) -> Vec<String> {
    let of_hop = |hop: &str| {
        let pairs = hop.split(';').filter_map(|pair| pair.split_once('='));
        let value = pairs.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
        value.map(|(_, value)| value.trim().trim_matches('"').to_owned()).unwrap_or_default()
    };
    each_value(headers, "forwarded").map(of_hop).collect()
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip())).or_else(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, by: ForwardedBy, headers: &[(&'static str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        behind(peer.parse().unwrap(), &map, by, &trusted).to_string()
    }

    #[test]
    fn only_trusted_hops_are_believed() {
        let xff = |peer, value| client(peer, ForwardedBy::XForwardedFor, &[("x-forwarded-for", value)]);
        assert_eq!(xff("203.0.113.9", "1.1.1.1"), "203.0.113.9", "a stranger may say what it likes");
        assert_eq!(xff("10.0.0.1", "1.1.1.1, 198.51.100.7"), "198.51.100.7", "what the client wrote itself is left of it");
        assert_eq!(xff("10.0.0.1", "198.51.100.7, 10.2.2.2"), "198.51.100.7");
        assert_eq!(xff("10.0.0.1", "198.51.100.7, unknown"), "10.0.0.1");
        assert_eq!(xff("::ffff:10.0.0.1", "[2001:db8::1]:443"), "2001:db8::1");
        assert_eq!(xff("10.0.0.1", "10.0.0.5"), "10.0.0.5", "all hops are ours");
    }

    #[test]
    fn forwarded_is_read_only_where_it_is_configured() {
        let value = r#"for=1.1.1.1, for="[2001:db8::7]:4711";proto=https;by=10.0.0.1"#;
        assert_eq!(client("10.0.0.1", ForwardedBy::Forwarded, &[("forwarded", value)]), "2001:db8::7");
        assert_eq!(client("10.0.0.1", ForwardedBy::XForwardedFor, &[("forwarded", value)]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", ForwardedBy::Forwarded, &[("forwarded", "proto=https")]), "10.0.0.1");
    }

    #[test]
    fn several_header_lines_are_one_list() {
        let lines = [("x-forwarded-for", "198.51.100.7"), ("x-forwarded-for", "10.3.3.3")];
        assert_eq!(client("10.0.0.1", ForwardedBy::XForwardedFor, &lines), "198.51.100.7");
    }
}
