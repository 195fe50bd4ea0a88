//! Who is signed in: a cookie with an API key in it, sealed.
//!
//! Nothing is kept on the server: the cookie carries the key, the organization that an operator chose and the end of the
//! session, sealed under the key's own organization, so that every node can open it and nobody else. It is worth what the key is
//! worth: a key that is revoked ends its sessions with their next request, because that request asks the API with it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{OrgId, Timestamp};
use http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::App;

/// How long a session lasts.
const LASTS: Duration = Duration::from_secs(12 * 60 * 60);
/// How long a notice waits for the page that shows it.
const NOTICE_SECONDS: u64 = 60;
/// Most characters of a notice.
const MAX_NOTICE_CHARS: usize = 400;
/// What the cookies are called.
const SESSION: &str = "passbridge_console";
const NOTICE: &str = "passbridge_console_notice";
/// What is sealed, for the keyring.
const CONTEXT: &[u8] = b"console session";

/// A session as its cookie carries it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Session {
    /// The API key.
    pub(super) key: Zeroizing<String>,
    /// The organization that an operator chose to work in.
    pub(super) organization: Option<String>,
    /// When it ends.
    until: Timestamp,
    /// The key's own organization.
    #[serde(skip)]
    home: Option<OrgId>,
}

impl Session {
    /// That begins now, with a key of an organization.
    pub(super) fn begin(app: &App, key: &str, home: OrgId) -> Self {
        let until = app.now().plus(LASTS);
        Self { key: Zeroizing::new(key.to_owned()), organization: None, until, home: Some(home) }
    }

    /// The same, in an organization that an operator chose.
    pub(super) fn within(self, organization: String) -> Self {
        Self { organization: Some(organization), ..self }
    }

    /// The session of a request; none where there is no cookie, one that we did not make, or one whose time is over.
    pub(super) fn of(app: &App, headers: &HeaderMap) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(cookie(headers, SESSION)?).ok()?;
        let (home, sealed) = bytes.split_first_chunk()?;
        let home = OrgId::from_uuid(Uuid::from_bytes(*home));
        let opened = app.store.keyring().open_secret(home, CONTEXT, sealed).ok()?;
        let session: Self = serde_json::from_slice(&opened).ok()?;
        (session.until > app.now()).then_some(Self { home: Some(home), ..session })
    }

    /// The cookie that carries it; nothing when it cannot be sealed.
    pub(super) fn cookie(&self, app: &App) -> Option<HeaderValue> {
        let home = self.home?;
        let json = Zeroizing::new(serde_json::to_vec(self).ok()?);
        let sealed = app.store.keyring().seal_secret(home, CONTEXT, &json).ok()?;
        let value = URL_SAFE_NO_PAD.encode([home.uuid().as_bytes().as_slice(), &sealed].concat());
        Some(set(app, SESSION, &value, self.until.since(app.now()).as_secs()))
    }

    /// The cookie that ends every session.
    pub(super) fn end(app: &App) -> HeaderValue {
        set(app, SESSION, "", 0)
    }
}

/// The cookie that carries a notice over a redirect.
pub(super) fn carry_notice(app: &App, notice: &str) -> HeaderValue {
    let notice: String = notice.chars().take(MAX_NOTICE_CHARS).collect();
    set(app, NOTICE, &URL_SAFE_NO_PAD.encode(notice), NOTICE_SECONDS)
}

/// The notice that a request brings.
pub(super) fn notice(headers: &HeaderMap) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(cookie(headers, NOTICE)?).ok()?;
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

/// The cookie that forgets the notice, once a page shows it.
pub(super) fn forget_notice(app: &App) -> HeaderValue {
    set(app, NOTICE, "", 0)
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(it, _)| *it == name).map(|(_, value)| value)
}

fn set(app: &App, name: &str, value: &str, seconds: u64) -> HeaderValue {
    let secure = if app.settings.public_url.starts_with("https://") { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/console; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    let mut value = HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}
