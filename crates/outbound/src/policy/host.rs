//! Host forms. Resolvers and URL parsers disagree about what `0x7f.1`, `017700000001` or `1.2.3.4.` mean; a form on
//! which they could disagree is refused, with the form to write instead, so that there is one meaning.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::refusal::Rule;

/// Longest host name, in bytes (RFC 1035).
const MAX_NAME_BYTES: usize = 253;
/// Longest label of a host name, in bytes.
const MAX_LABEL_BYTES: usize = 63;
/// How much of a refused URL is repeated in a message, in characters.
const MAX_EXCERPT_CHARS: usize = 120;

/// The host of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A literal address.
    Address(IpAddr),
    /// A name to be resolved, in lower case.
    Name(String),
}

impl Host {
    /// Reads the host part of an authority; an IPv6 address stands in brackets.
    ///
    /// # Errors
    /// The rule that the form breaks.
    pub fn parse(text: &str) -> Result<Self, Rule> {
        if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            if inner.contains('%') {
                return Err(Rule::ZoneId);
            }
            return inner.parse::<Ipv6Addr>().map(|v6| Self::Address(IpAddr::V6(v6).to_canonical())).map_err(|_| Rule::HostName);
        }
        if let Ok(v4) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(IpAddr::V4(v4)));
        }
        if text.is_empty() {
            return Err(Rule::NoHost);
        }
        if text.ends_with('.') {
            return Err(Rule::TrailingDot);
        }
        if looks_numeric(text) {
            return Err(Rule::NumericHost(inet_aton(text)));
        }
        let label_ok = |label: &str| {
            !label.is_empty()
                && label.len() <= MAX_LABEL_BYTES
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if text.len() > MAX_NAME_BYTES || !text.split('.').all(label_ok) {
            return Err(Rule::HostName);
        }
        Ok(Self::Name(text.to_ascii_lowercase()))
    }
}

/// `localhost` and the names below it, which resolve to the machine itself (RFC 6761).
pub(super) fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost") || name == "localhost.localdomain"
}

/// A host whose last label is a number is an IPv4 address to a URL parser, and to `inet_aton`.
fn looks_numeric(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// What a C resolver makes of a decimal, octal, hexadecimal or shortened IPv4 address.
fn inet_aton(host: &str) -> Option<Ipv4Addr> {
    let parts = host.split('.').map(number).collect::<Option<Vec<u32>>>()?;
    let (last, leading) = parts.split_last()?;
    if leading.len() > 3 || leading.iter().any(|part| *part > 0xff) {
        return None;
    }
    let room = u32::BITS - 8 * u32::try_from(leading.len()).ok()?;
    if room < u32::BITS && *last >> room != 0 {
        return None;
    }
    let head = leading.iter().zip([24, 16, 8]).fold(0, |sum, (part, shift)| sum | part << shift);
    Some(Ipv4Addr::from_bits(head | last))
}

fn number(part: &str) -> Option<u32> {
    if let Some(hex) = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        return if hex.is_empty() { Some(0) } else { u32::from_str_radix(hex, 16).ok() };
    }
    if part.len() > 1 && part.starts_with('0') {
        return u32::from_str_radix(part, 8).ok();
    }
    part.parse().ok()
}

/// A best guess at why a URL could not be read, for the message.
pub(super) fn why_unparsable(url: &str) -> Rule {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Rule::NotAbsolute;
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Rule::Scheme;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if authority.is_empty() {
        Rule::NoHost
    } else if authority.contains('@') {
        Rule::UserInfo
    } else if authority.starts_with('[') && authority.contains('%') {
        Rule::ZoneId
    } else {
        Rule::HostName
    }
}

/// The beginning of a refused URL without its user info, query and control characters: it ends up in messages.
pub(super) fn excerpt(url: &str) -> String {
    let bare = url.split(['?', '#']).next().unwrap_or(url);
    let (scheme, rest) = bare.split_once("://").map_or(("", bare), |(s, r)| (&bare[..s.len() + 3], r));
    let authority_end = rest.find('/').unwrap_or(rest.len());
    let host_start = rest[..authority_end].rfind('@').map_or(0, |at| at + 1);
    scheme.chars().chain(rest[host_start..].chars()).take(MAX_EXCERPT_CHARS).flat_map(char::escape_default).collect()
}
