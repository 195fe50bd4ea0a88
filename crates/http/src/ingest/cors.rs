//! Cross-origin requests of the browser SDKs: any origin is let in, as RudderStack's gateway does. The write key of a
//! browser is public by its nature and can only add events.

use http::{HeaderMap, HeaderValue, Method, header};

/// Seconds for which a browser need not ask again.
const MAX_AGE_SECONDS: u32 = 900;

/// Lets the page that asks read the answer.
pub(super) fn allow(method: &Method, asked: &HeaderMap, answer: &mut HeaderMap) {
    let Some(origin) = asked.get(header::ORIGIN) else { return };
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    answer.append(header::VARY, HeaderValue::from_static("Origin"));
    if method != Method::OPTIONS {
        return;
    }
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(MAX_AGE_SECONDS));
    if let Some(headers) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
    }
}
