//! An access token for a signed assertion (RFC 7523, the JWT bearer grant).

use std::fmt;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, StatusCode};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use super::push_escaped;
use crate::account::{ServiceAccount, SigningError};

/// What the token may be used for.
pub const SCOPE: &str = "https://www.googleapis.com/auth/wallet_object.issuer";
/// How long a token is asked for, and the longest that Google grants, in seconds.
pub const MAX_TOKEN_SECONDS: i64 = 3600;
/// Largest answer that is read, in bytes.
const MAX_REPLY_BYTES: usize = 64 * 1024;

/// An access token. `Debug` hides it.
#[derive(Clone)]
pub struct AccessToken {
    token: Zeroizing<String>,
    /// How long it is good, in seconds from when it was asked for.
    pub expires_in_seconds: i64,
}

impl AccessToken {
    /// The token itself, for [`super::Api::new`].
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.token
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("expires_in_seconds", &self.expires_in_seconds).finish_non_exhaustive()
    }
}

/// Asks for an access token for Google Wallet, as [`token_request_for`].
pub fn token_request(account: &ServiceAccount, iat_unix: i64, token_url: Option<&str>) -> Result<Request<Bytes>, SigningError> {
    token_request_for(account, SCOPE, iat_unix, token_url)
}

/// Asks for an access token for a scope. `iat_unix` is the time of issue in seconds since 1970; `token_url` is asked instead of the
/// address in the key file, for simulators.
pub fn token_request_for(
    account: &ServiceAccount,
    scope: &str,
    iat_unix: i64,
    token_url: Option<&str>,
) -> Result<Request<Bytes>, SigningError> {
    let token_url = token_url.unwrap_or_else(|| account.token_uri());
    #[derive(Serialize)]
    struct Claims<'a> {
        iss: &'a str,
        scope: &'a str,
        aud: &'a str,
        iat: i64,
        exp: i64,
    }
    let claims = Claims {
        iss: account.client_email(),
        scope,
        aud: token_url,
        iat: iat_unix,
        exp: iat_unix.saturating_add(MAX_TOKEN_SECONDS),
    };
    let assertion = account.sign_jwt(&claims, true)?;
    let mut body = String::from("grant_type=");
    push_escaped(&mut body, "urn:ietf:params:oauth:grant-type:jwt-bearer");
    body.push_str("&assertion=");
    push_escaped(&mut body, &assertion);
    let mut request = Request::builder().method(Method::POST).uri(token_url).body(Bytes::from(body)).map_err(|_| SigningError)?;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    Ok(request)
}

/// Reads the answer to [`token_request`].
pub fn read_token(status: StatusCode, body: &[u8]) -> Result<AccessToken, TokenError> {
    #[derive(Deserialize)]
    struct Granted {
        access_token: String,
        #[serde(default)]
        expires_in: i64,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Refused {
        error: String,
        error_description: String,
    }
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT {
        return Err(TokenError::Retry { status: status.as_u16() });
    }
    let body = &body[..body.len().min(MAX_REPLY_BYTES)];
    if !status.is_success() {
        let refused: Refused = serde_json::from_slice(body).unwrap_or_default();
        let why = format!("{} {}", refused.error, refused.error_description);
        let why = why.chars().filter(|c| !c.is_control()).take(300).collect::<String>().trim().to_owned();
        return Err(TokenError::Refused { status: status.as_u16(), why });
    }
    let granted: Granted = serde_json::from_slice(body).map_err(|_| TokenError::Malformed)?;
    Ok(AccessToken {
        token: Zeroizing::new(granted.access_token),
        expires_in_seconds: granted.expires_in.clamp(0, MAX_TOKEN_SECONDS),
    })
}

/// Why there is no access token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// A fault on Google's side: ask again, later each time.
    #[error("Google answered {status} to the request for an access token: ask again later")]
    Retry {
        /// The status.
        status: u16,
    },
    /// The account or its key was refused.
    #[error(
        "Google refused the service account ({status} {why}): check that the key was not deleted or disabled and that this machine's clock is right"
    )]
    Refused {
        /// The status.
        status: u16,
        /// Google's words.
        why: String,
    },
    /// The answer is no token.
    #[error("the answer to the request for an access token is none: check `token_uri` in the key file")]
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_token_or_a_reason() {
        let token = read_token(StatusCode::OK, br#"{"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"}"#).unwrap();
        assert_eq!((token.secret(), token.expires_in_seconds), ("ya29.x", 3599));
        assert!(!format!("{token:?}").contains("ya29"));
        let refused =
            read_token(StatusCode::BAD_REQUEST, br#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#);
        let wanted = TokenError::Refused { status: 400, why: "invalid_grant Invalid JWT Signature.".to_owned() };
        assert_eq!(refused.unwrap_err(), wanted);
        assert_eq!(read_token(StatusCode::BAD_GATEWAY, b"").unwrap_err(), TokenError::Retry { status: 502 });
        assert_eq!(read_token(StatusCode::OK, b"<html>").unwrap_err(), TokenError::Malformed);
    }
}
