//! Who asks: API keys and source write keys.
//!
//! Secrets are drawn by us, shown once and kept as a SHA-256 in the directory: with 256 random bits in them nothing slower
//! is needed. Whatever is wrong with a key, the answer is the same.

use std::{collections::HashMap, marker::PhantomData, ops::Deref, sync::Arc};

use aws_lc_rs::digest;
use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::Engine as _;
use connectors::kit::WriteKey;
use domain::{Actor, ApiKey, Entropy, LinkCode, OrgId, Scope, Source, SourceId};
use governor::Quota;
use http::{HeaderMap, header, request::Parts};
use parking_lot::RwLock;
use store::{NameKind, StoreError};
use uuid::Uuid;

use crate::{
    api::cursor,
    app::App,
    limits::Limits,
    problem::{Limited, Problem},
};

/// What an API key starts with.
pub(crate) const API_KEY_PREFIX: &str = "pbk_";
/// What a source's write key starts with.
pub(crate) const WRITE_KEY_PREFIX: &str = "pbw_";
/// Characters of a secret that are shown to recognise it by.
const SHOWN_CHARS: usize = 12;
/// Characters of a secret: prefix and twice 22 of base62.
const SECRET_CHARS: usize = 48;
/// The header in which a key with the operator scope names the organization that it works in.
pub(crate) const ORGANIZATION: &str = "passbridge-organization";
/// Most keys whose place in the directory is remembered.
const MAX_KNOWN: usize = 10_000;

/// What the doors remember between requests; losing it costs a look-up each.
pub(crate) struct Doors {
    known: RwLock<HashMap<[u8; 32], (OrgId, Uuid)>>,
    limits: Limits,
    /// Limits of those who count by the minute.
    pub(crate) per_minute: Limits,
}

impl Default for Doors {
    fn default() -> Self {
        Self { known: RwLock::default(), limits: Limits::new(Quota::per_second), per_minute: Limits::new(Quota::per_minute) }
    }
}

/// A freshly drawn secret.
pub struct Minted {
    /// To be shown once.
    pub secret: String,
    /// To recognise it by.
    pub prefix: String,
    /// Its place in the directory.
    pub hash: [u8; 32],
}

/// Draws the secret of an API key, for the first one, which no other key can make.
pub fn mint_api_key(entropy: &dyn Entropy) -> Minted {
    mint(API_KEY_PREFIX, entropy)
}

/// Draws a secret of 256 bits.
pub(crate) fn mint(prefix: &str, entropy: &dyn Entropy) -> Minted {
    let secret = format!("{prefix}{}{}", LinkCode::mint(entropy), LinkCode::mint(entropy));
    let shown = secret.chars().take(SHOWN_CHARS).collect();
    Minted { hash: hash(&secret), prefix: shown, secret }
}

/// The place of a secret in the directory.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    bytes
}

/// Who asks, with a valid key and a request left in its bucket.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The organization that the request works in.
    pub org: OrgId,
    /// The key.
    pub key: Arc<ApiKey>,
}

impl Caller {
    /// Who asks, for events and the audit log.
    pub fn actor(&self) -> Actor {
        Actor::Key { id: self.key.id }
    }
}

/// A scope as a type, so that a handler cannot be reached without it.
pub(crate) trait Needs: Send + Sync + 'static {
    /// The scope.
    const SCOPE: Scope;
}

/// A caller who may do what the scope allows.
pub(crate) struct Can<N>(Caller, PhantomData<fn() -> N>);

impl<N> Deref for Can<N> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl<N: Needs> FromRequestParts<Arc<App>> for Can<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Caller>().ok_or(Problem::Unauthorized)?;
        if caller.key.may(N::SCOPE) { Ok(Self(caller.clone(), PhantomData)) } else { Err(Problem::Forbidden(N::SCOPE)) }
    }
}

macro_rules! scopes {
    ($($name:ident),*) => {$(
        #[doc = concat!("The scope of that name.")]
        pub(crate) enum $name {}
        impl Needs for $name {
            const SCOPE: Scope = Scope::$name;
        }
    )*};
}
/// The scopes as types.
pub(crate) mod scope {
    use domain::Scope;

    use super::Needs;

    scopes! { Operator, Admin, ConfigRead, ConfigWrite, PassesRead, PassesWrite, Scan, ScanUndo }
}

/// Lets requests with a valid key through, within its limit, and tells the limit on every answer.
pub(crate) async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let caller = match caller(&app, request.headers()).await {
        Ok(caller) => caller,
        Err(problem @ Problem::Unauthorized) => return problem.into_response(),
        Err(problem) => {
            // The organization is named wrongly; a method that the path does not know is the earlier fault. Nobody is let in
            // as a caller.
            let response = next.run(request).await;
            return if response.status() == http::StatusCode::METHOD_NOT_ALLOWED { response } else { problem.into_response() };
        }
    };
    let rate = caller.key.rate_per_second.unwrap_or(app.settings.rate_per_second);
    let verdict = app.doors.limits.take(caller.key.id, rate);
    let mut response = match verdict.refused {
        Some(seconds) => Problem::RateLimited { by: Limited::Key, seconds }.into_response(),
        None => {
            let org = caller.org;
            let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
            request.extensions_mut().insert(caller);
            cursor::of_list(&app, org, &route, next.run(request)).await
        }
    };
    verdict.write(response.headers_mut());
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(http::HeaderValue::from_static("no-store"));
    response
}

/// Who asks, by the key that is shown.
pub(crate) async fn caller(app: &App, headers: &HeaderMap) -> Result<Caller, Problem> {
    let secret = presented(headers).ok_or(Problem::Unauthorized)?;
    let (org, id) = find(app, NameKind::ApiKey, API_KEY_PREFIX, &secret).await?.ok_or(Problem::Unauthorized)?;
    // What another node acknowledged is known here, whichever of them a client's next request reaches.
    let catalog = app.store.current().await?;
    let key = catalog.org(org).and_then(|org| org.keys.get(&id)).ok_or(Problem::Unauthorized)?;
    let key = Arc::clone(&key.value);
    if key.expires_at.is_some_and(|end| end <= app.now()) {
        return Err(Problem::Unauthorized);
    }
    let org = match headers.get(ORGANIZATION) {
        None => org,
        Some(named) => {
            let named = named.to_str().ok().and_then(|text| text.parse().ok());
            let named: OrgId = named.ok_or_else(|| Problem::parameter(ORGANIZATION, "not an organization id"))?;
            if named != org && !key.may(Scope::Operator) {
                return Err(Problem::Forbidden(Scope::Operator));
            }
            if catalog.org(named).is_none_or(|org| org.organization.is_none()) {
                return Err(Problem::no_such("organization"));
            }
            named
        }
    };
    Ok(Caller { org, key })
}

/// The source of a write key that is in force. A rotated key is still in the directory; its shown part tells it apart.
pub async fn source_of_write_key(app: &App, key: &WriteKey) -> Result<Option<(OrgId, Arc<Source>)>, StoreError> {
    if !key.begins_with(WRITE_KEY_PREFIX) {
        return Ok(None);
    }
    let Some((org, id)) = find_hash(app, NameKind::WriteKey, *key.hash().as_bytes()).await? else { return Ok(None) };
    let mut catalog = app.store.catalog();
    if catalog.org(org).is_none_or(|org| !org.sources.contains_key(&id)) {
        catalog = app.store.current().await?;
    }
    let source = catalog.org(org).and_then(|org| org.sources.get(&id)).map(|stored| Arc::clone(&stored.value));
    let in_force = |source: &Arc<Source>| {
        let mut prefixes = [Some(&source.key_prefix), source.previous_key_prefix.as_ref()].into_iter().flatten();
        prefixes.any(|prefix| !prefix.is_empty() && key.begins_with(prefix))
    };
    Ok(source.filter(in_force).map(|source| (org, source)))
}

/// Whether a credential has the form of a write key of ours.
pub(crate) fn is_write_key(key: &WriteKey) -> bool {
    key.begins_with(WRITE_KEY_PREFIX)
}

/// The source that an address names.
pub(crate) async fn source_of_address(app: &App, id: SourceId) -> Result<Option<(OrgId, Arc<Source>)>, StoreError> {
    let name = id.uuid();
    let mut known = [0; 32];
    known[..16].copy_from_slice(name.as_bytes());
    let Some((org, id)) = find_name(app, NameKind::Source, name.as_bytes(), known).await? else { return Ok(None) };
    let catalog = app.store.catalog();
    let source = catalog.org(org).and_then(|org| org.sources.get(&id)).map(|stored| Arc::clone(&stored.value));
    Ok(source.map(|source| (org, source)))
}

async fn find(app: &App, kind: NameKind, prefix: &str, secret: &str) -> Result<Option<(OrgId, Uuid)>, StoreError> {
    if secret.len() != SECRET_CHARS || !secret.starts_with(prefix) {
        return Ok(None);
    }
    find_hash(app, kind, hash(secret)).await
}

async fn find_hash(app: &App, kind: NameKind, hash: [u8; 32]) -> Result<Option<(OrgId, Uuid)>, StoreError> {
    find_name(app, kind, &hash, hash).await
}

/// Looks a name up in the directory; what is found is remembered under `hash`.
async fn find_name(app: &App, kind: NameKind, name: &[u8], hash: [u8; 32]) -> Result<Option<(OrgId, Uuid)>, StoreError> {
    let known = app.doors.known.read().get(&hash).copied();
    if known.is_some() {
        return Ok(known);
    }
    let found = app.store.look_up(kind, name).await?;
    if let Some(found) = found {
        let mut known = app.doors.known.write();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(hash, found);
    }
    Ok(found)
}

/// The secret in `Authorization: Bearer`, or as the user of `Basic` for tools that know nothing else.
fn presented(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        return text.split(':').next().map(str::to_owned);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(std::sync::atomic::AtomicU8);
    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        }
    }

    #[test]
    fn secrets_have_one_shape() {
        let minted = mint(API_KEY_PREFIX, &Counting(1.into()));
        assert_eq!(minted.secret.len(), SECRET_CHARS);
        assert!(minted.secret.starts_with(&minted.prefix));
        assert_eq!(minted.hash, hash(&minted.secret));
        assert_ne!(minted.secret[4..26], minted.secret[26..], "both halves are drawn");
    }

    #[test]
    fn keys_come_as_bearer_or_basic() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            presented(&headers)
        };
        assert_eq!(read("Bearer pbk_x").as_deref(), Some("pbk_x"));
        assert_eq!(read("bearer  pbk_x ").as_deref(), Some("pbk_x"));
        assert_eq!(read("Basic cGJrX3g6").as_deref(), Some("pbk_x"));
        assert_eq!(read("Digest pbk_x"), None);
        assert_eq!(read("Bearer"), None);
        assert_eq!(read("Basic !"), None);
    }
}
