//! Headers that people add to their webhooks.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Most headers that a target can add.
pub const MAX_HEADERS: usize = 32;
/// Most bytes of their names and values together.
pub const MAX_BYTES: usize = 8 * 1024;

/// Headers that belong to the connection or that we set ourselves.
const RESERVED: [&str; 22] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "passbridge-pass-via",
    "passbridge-via",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "x-passkit-signature",
];

/// Headers that cannot be added. Values are never repeated, they may be credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderProblem {
    /// Not a header name.
    #[error("{0:?} is no header name: use letters, digits and hyphens")]
    Name(String),
    /// The value cannot stand in a header.
    #[error("the value of {0} has characters that no header can carry: use visible ASCII")]
    Value(String),
    /// We set it, or the connection does.
    #[error("{0} cannot be set: Passbridge or the connection sets it")]
    Reserved(String),
    /// The same name twice, in other case.
    #[error("{0} is given twice")]
    Twice(String),
    /// Too many or too long.
    #[error("at most {MAX_HEADERS} headers and {MAX_BYTES} bytes of them")]
    TooLarge,
}

/// Checks headers when they are configured, and makes them ready to send.
pub fn check(given: &BTreeMap<String, String>) -> Result<HeaderMap, HeaderProblem> {
    let bytes: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
    if given.len() > MAX_HEADERS || bytes > MAX_BYTES {
        return Err(HeaderProblem::TooLarge);
    }
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let parsed = HeaderName::try_from(name.as_str()).map_err(|_| HeaderProblem::Name(super::head(name, 100).to_owned()))?;
        if RESERVED.contains(&parsed.as_str()) {
            return Err(HeaderProblem::Reserved(parsed.as_str().to_owned()));
        }
        let value = sensitive(value).ok_or_else(|| HeaderProblem::Value(parsed.as_str().to_owned()))?;
        if headers.insert(&parsed, value).is_some() {
            return Err(HeaderProblem::Twice(parsed.as_str().to_owned()));
        }
    }
    Ok(headers)
}

/// Adds what [`check`] would allow and `headers` does not have, and leaves out the rest.
pub(crate) fn add(headers: &mut HeaderMap, given: &BTreeMap<String, String>) {
    for (name, value) in given.iter().take(MAX_HEADERS) {
        let Ok(name) = HeaderName::try_from(name.as_str()) else { continue };
        if RESERVED.contains(&name.as_str()) || headers.contains_key(&name) {
            continue;
        }
        if let Some(value) = sensitive(value) {
            headers.insert(name, value);
        }
    }
}

/// A value that may be a credential, when a header can carry it.
pub(crate) fn sensitive(value: &str) -> Option<HeaderValue> {
    let visible = value.bytes().all(|byte| byte == b'\t' || (0x20..0x7f).contains(&byte));
    let mut value = HeaderValue::try_from(value).ok().filter(|_| visible)?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn what_is_ours_is_refused() {
        for name in ["Host", "transfer-encoding", "Webhook-Id", "X-PassKit-Signature", "Content-Type"] {
            assert_eq!(check(&one(name, "x")), Err(HeaderProblem::Reserved(name.to_lowercase())));
        }
        assert!(matches!(check(&one("a b", "x")), Err(HeaderProblem::Name(_))));
        assert!(matches!(check(&one("x-a", "x\r\ny: z")), Err(HeaderProblem::Value(_))));
        assert!(matches!(check(&one("x-a", "é")), Err(HeaderProblem::Value(_))));
        let twice = BTreeMap::from([("X-A".to_owned(), "1".to_owned()), ("x-a".to_owned(), "2".to_owned())]);
        assert_eq!(check(&twice), Err(HeaderProblem::Twice("x-a".to_owned())));
        assert_eq!(check(&one("x-a", &"a".repeat(MAX_BYTES))), Err(HeaderProblem::TooLarge));
        let fine = check(&one("Authorization", "Bearer hush")).unwrap();
        assert!(!format!("{fine:?}").contains("hush"));
    }

    #[test]
    fn adding_never_overrides() {
        let mut headers = HeaderMap::new();
        headers.insert("x-a", HeaderValue::from_static("ours"));
        add(
            &mut headers,
            &BTreeMap::from([("X-A", "theirs"), ("host", "h"), ("x-b", "1")].map(|(k, v)| (k.to_owned(), v.to_owned()))),
        );
        assert_eq!(headers["x-a"], "ours");
        assert!(!headers.contains_key("host") && headers["x-b"] == "1");
        assert!(RESERVED.is_sorted());
    }
}
