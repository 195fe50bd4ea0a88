//! Access tokens: OAuth 2.0 client credentials (RFC 6749, 4.4) or a request that somebody signs, asked for once and kept until
//! shortly before they end.

use std::fmt;
use std::time::Duration;

use ::http::{Method, Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::http::{Client, Failure, Limits};

/// What asking for a token may take.
const LIMITS: Limits = Limits { deadline: Duration::from_secs(10), max_body: 64 * 1024 };
/// How long a token is good for when the server does not say: short, as RFC 6749 leaves it open.
const UNSAID: Duration = Duration::from_secs(300);
/// Longest time for which a token is kept, whatever the server says.
const LONGEST: Duration = Duration::from_secs(86_400);
/// How long before its end a token is not used any more; a fifth of its life where that is shorter.
const EARLY: Duration = Duration::from_secs(60);
/// Longest token, in bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// How a token is got.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The token endpoint.
    pub url: String,
    /// Who asks.
    pub client_id: String,
    /// The proof.
    pub client_secret: Zeroizing<String>,
    /// For what, where that is said.
    pub scope: Option<String>,
    /// For whom, where that is said: the `audience` that some servers ask for.
    pub audience: Option<String>,
    /// Whether id and secret go in the body instead of HTTP Basic.
    pub in_body: bool,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("url", &self.url).field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// Why there is no token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NoToken {
    /// The server could not be asked.
    #[error("the token endpoint could not be asked: {0}")]
    Unreachable(#[from] Failure),
    /// It said no.
    #[error("the token endpoint answered {status}{}", said(.error.as_deref()))]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its word for why (RFC 6749, 5.2), such as `invalid_client`.
        error: Option<String>,
    },
    /// What it answered is no token.
    #[error("the token endpoint answered something that is no token: {0}")]
    Garbled(&'static str),
    /// Whoever signs the request could not.
    #[error("the request for a token cannot be made: {0}")]
    Unsigned(String),
    /// The request cannot be made.
    #[error("the address of the token endpoint cannot be used: {0}")]
    Address(String),
}

fn said(error: Option<&str>) -> String {
    error.map(|error| format!(": {error}")).unwrap_or_default()
}

/// A login with the token that was got by it. Those who want a token while it is asked for wait for the one answer.
pub struct TokenSource {
    asking: Asking,
    held: Mutex<Option<Held>>,
}

/// Makes a request for a token as of now, or says why it cannot.
type Sign = Box<dyn Fn() -> Result<Request<Bytes>, String> + Send + Sync>;

enum Asking {
    Login(Login),
    Signed(Sign),
}

struct Held {
    token: Zeroizing<String>,
    until: Instant,
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.asking {
            Asking::Login(login) => f.debug_struct("TokenSource").field("login", login).finish_non_exhaustive(),
            Asking::Signed(_) => f.debug_struct("TokenSource").finish_non_exhaustive(),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<serde_json::Number>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl TokenSource {
    /// Asks for nothing yet.
    #[must_use]
    pub fn new(login: Login) -> Self {
        Self { asking: Asking::Login(login), held: Mutex::new(None) }
    }

    /// Of requests that are signed anew each time (RFC 7523); what comes back is read alike.
    #[must_use]
    pub fn signed(sign: impl Fn() -> Result<Request<Bytes>, String> + Send + Sync + 'static) -> Self {
        Self { asking: Asking::Signed(Box::new(sign)), held: Mutex::new(None) }
    }

    /// A token that is good for now: the one that is held, or a new one.
    ///
    /// # Errors
    /// When there is none to be had.
    pub async fn token(&self, client: &Client) -> Result<Zeroizing<String>, NoToken> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| Instant::now() < held.until) {
            return Ok(held.token.clone());
        }
        let (token, life) = ask(client, &self.asking).await?;
        *held = Some(Held { token: token.clone(), until: Instant::now() + life.saturating_sub(EARLY.min(life / 5)) });
        Ok(token)
    }

    /// A token in the place of one that was not taken. Several who were refused the same one get the same new one.
    ///
    /// # Errors
    /// As [`TokenSource::token`].
    pub async fn renew(&self, client: &Client, refused: &str) -> Result<Zeroizing<String>, NoToken> {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|held| held.token.as_str() == refused) {
            *held = None;
        }
        drop(held);
        self.token(client).await
    }
}

async fn ask(client: &Client, asking: &Asking) -> Result<(Zeroizing<String>, Duration), NoToken> {
    let request = match asking {
        Asking::Login(login) => request(login)?,
        Asking::Signed(sign) => sign().map_err(NoToken::Unsigned)?,
    };
    let reply = client.send(request, LIMITS).await?;
    if !reply.status.is_success() {
        let word = serde_json::from_slice::<Refusal>(&reply.body).ok().map(|refusal| refusal.error);
        let error = word.filter(|word| word.len() <= 64 && word.bytes().all(|byte| byte.is_ascii_graphic()));
        return Err(NoToken::Refused { status: reply.status.as_u16(), error });
    }
    let answer: Answer = serde_json::from_slice(&reply.body).map_err(|_| NoToken::Garbled("expected JSON with access_token"))?;
    let token = Zeroizing::new(answer.access_token);
    if answer.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(NoToken::Garbled("its token_type is not Bearer"));
    }
    if !(1..=MAX_TOKEN).contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(NoToken::Garbled("access_token cannot stand in a header"));
    }
    let life = answer.expires_in.and_then(|seconds| seconds.as_f64()).filter(|seconds| *seconds >= 0.0);
    let life = life.map_or(UNSAID, |seconds| Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64())));
    Ok((token, life))
}

fn request(login: &Login) -> Result<Request<Bytes>, NoToken> {
    let mut fields = vec![("grant_type", "client_credentials")];
    fields.extend(login.scope.as_deref().map(|scope| ("scope", scope)));
    fields.extend(login.audience.as_deref().map(|audience| ("audience", audience)));
    let mut builder = Request::builder().method(Method::POST).uri(&login.url);
    if login.in_body {
        fields.extend([("client_id", login.client_id.as_str()), ("client_secret", login.client_secret.as_str())]);
    } else {
        // Both are form-encoded before they are joined (RFC 6749, 2.3.1).
        let pair = Zeroizing::new(format!("{}:{}", encoded(&login.client_id), encoded(&login.client_secret)));
        builder = builder.header(header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    }
    let body = serde_urlencoded::to_string(fields).map_err(|error| NoToken::Address(error.to_string()))?;
    builder
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(Bytes::from(body))
        .map_err(|error| NoToken::Address(error.to_string()))
}

fn encoded(text: &str) -> String {
    let pair = serde_urlencoded::to_string([("", text)]).unwrap_or_default();
    pair.trim_start_matches('=').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(in_body: bool) -> Login {
        Login {
            url: "https://id.example.com/token".to_owned(),
            client_id: "a:b".to_owned(),
            client_secret: Zeroizing::new("p@ss word".to_owned()),
            scope: Some("hooks write".to_owned()),
            audience: None,
            in_body,
        }
    }

    #[test]
    fn requests_are_made_as_the_rfc_says() {
        let basic = request(&login(false)).unwrap();
        let expected = format!("Basic {}", STANDARD.encode("a%3Ab:p%40ss+word"));
        assert_eq!(basic.headers()[header::AUTHORIZATION], expected);
        assert_eq!(&basic.body()[..], b"grant_type=client_credentials&scope=hooks+write");
        let body = request(&login(true)).unwrap();
        assert!(!body.headers().contains_key(header::AUTHORIZATION));
        let text = String::from_utf8(body.body().to_vec()).unwrap();
        assert!(text.ends_with("client_id=a%3Ab&client_secret=p%40ss+word"), "{text}");
        assert!(!format!("{:?} {:?}", login(true), TokenSource::new(login(true))).contains("word"));
    }
}
