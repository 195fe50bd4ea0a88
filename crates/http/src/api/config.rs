//! What all configured things have in common: how they are shown, and how a change of one is written.

use axum::{
    Json,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use domain::OrgId;
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use serde::Serialize;
use std::sync::{Arc, OnceLock};
use store::{Catalog, ConfigChange, ConfigWrite, OrgCatalog, Resource, Stored};
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, Required,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::Type,
    },
};
use uuid::Uuid;

use super::once::MAX_RACES;
use crate::{App, Problem, auth::Caller};

/// The organization's configuration as last read.
pub(crate) fn org(app: &App, org: OrgId) -> Result<Arc<OrgCatalog>, Problem> {
    part(&app.store.catalog(), org).cloned()
}

/// An organization's part of the configuration.
pub(crate) fn part(catalog: &Catalog, org: OrgId) -> Result<&Arc<OrgCatalog>, Problem> {
    catalog.org(org).ok_or_else(|| Problem::no_such("organization"))
}

/// A thing by its id.
pub(crate) fn one<'a, T>(
    things: &'a std::collections::HashMap<Uuid, Stored<T>>,
    id: Uuid,
    what: &str,
) -> Result<&'a Stored<T>, Problem> {
    things.get(&id).ok_or_else(|| Problem::no_such(what))
}

/// A change by a caller, to be written now.
pub(crate) fn change<'a>(app: &App, caller: &Caller) -> ConfigChange<'a> {
    let actor = serde_json::json!({ "type": "key", "id": caller.key.id.to_string() }).to_string();
    ConfigChange { org: caller.org, actor, now: app.now(), names: Vec::new(), removed_names: Vec::new() }
}

/// Writes a new thing (revision 0) or a change of one that was read at a revision.
pub(crate) async fn put<T: Resource>(app: &App, change: &ConfigChange<'_>, value: &T, revision: i64) -> Result<(), Problem> {
    if app.store.put(change, value, revision).await? { Ok(()) } else { Err(Problem::raced()) }
}

/// Decides a change on the configuration as it is, and writes it; once more where what it was decided on (`unchanged`) was
/// changed by others before it was written, which `decide` says by nothing.
pub(crate) async fn settled<V, F>(app: &App, decide: impl Fn(Arc<Catalog>) -> F) -> Result<V, Problem>
where
    F: Future<Output = Result<Option<V>, Problem>>,
{
    for _ in 0..MAX_RACES {
        if let Some(done) = decide(app.store.catalog()).await? {
            return Ok(done);
        }
        app.store.refresh().await?;
    }
    Err(Problem::raced())
}

/// What a decision by [`settled`] saw first of the thing that it changes, where the change is only meant for that.
#[derive(Debug)]
pub(crate) struct FirstSeen<T>(OnceLock<T>);

impl<T: PartialEq + Copy> FirstSeen<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Gives up where a later look sees something else.
    pub(crate) fn still(&self, seen: T) -> Result<(), Problem> {
        if *self.0.get_or_init(|| seen) == seen { Ok(()) } else { Err(Problem::raced()) }
    }
}

/// Writes a change; nothing where it was decided on what is not so any more.
pub(crate) async fn write_unless_raced<V>(app: &App, write: ConfigWrite, done: V) -> Result<Option<V>, Problem> {
    Ok(app.store.written(write).await?.then_some(done))
}

/// Removes a thing.
pub(crate) async fn remove<T: Resource>(app: &App, change: &ConfigChange<'_>, stored: &Stored<T>) -> Result<StatusCode, Problem> {
    let removed = app.store.remove(change, &*stored.value, stored.revision).await?;
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::raced()) }
}

/// The version that the client has seen, out of `If-Match`; none, or `*`, means that it does not care.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IfMatch(pub(crate) Option<u64>);

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        let tag = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
        let version = tag.parse().map_err(|_| Problem::parameter("If-Match", "expected an ETag that we gave, or *"))?;
        Ok(Self(Some(version)))
    }
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let tag = ObjectBuilder::new().schema_type(Type::String).pattern(Some(r#"^(\*|(W/)?"?[0-9]{1,18}"?)$"#));
        let header = ParameterBuilder::new().name("If-Match").parameter_in(ParameterIn::Header).required(Required::False);
        vec![header.description(Some("Only if its `ETag` is still this one.")).schema(Some(tag)).build()]
    }
}

impl IfMatch {
    /// Refuses when the thing is another than the client has seen.
    pub(crate) fn check(self, revision: i64) -> Result<(), Problem> {
        match self.0 {
            Some(seen) if i64::try_from(seen) != Ok(revision) => {
                Err(Problem::Changed(format!("it has version {revision} now: read it again and repeat the change")))
            }
            _ => Ok(()),
        }
    }
}

/// An answer with a thing: its version as `ETag`, its address when it is new.
#[derive(Debug)]
pub(crate) struct Shown<V> {
    status: StatusCode,
    location: Option<String>,
    etag: Option<u64>,
    body: V,
}

impl<V> Shown<V> {
    /// As it is.
    pub(crate) fn at(version: i64, body: V) -> Self {
        Self { status: StatusCode::OK, location: None, etag: u64::try_from(version).ok(), body }
    }
    /// Just made, at this path.
    pub(crate) fn new(path: String, body: V) -> Self {
        Self { status: StatusCode::CREATED, location: Some(path), etag: Some(1), body }
    }
    /// Just made, out of things that have addresses of their own.
    pub(crate) fn made(body: V) -> Self {
        Self { status: StatusCode::CREATED, location: None, etag: None, body }
    }
    /// Done, without a version.
    pub(crate) fn done(body: V) -> Self {
        Self { status: StatusCode::OK, location: None, etag: None, body }
    }
    /// On its way: it will be there, or done, later.
    pub(crate) fn later(body: V) -> Self {
        Self { status: StatusCode::ACCEPTED, location: None, etag: None, body }
    }
    /// The same answer with another body.
    pub(crate) fn map<W>(self, body: impl FnOnce(V) -> W) -> Shown<W> {
        Shown { status: self.status, location: self.location, etag: self.etag, body: body(self.body) }
    }
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }
    pub(crate) const fn body(&self) -> &V {
        &self.body
    }
    /// Version and address as headers.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if let Some(Ok(etag)) = self.etag.map(|version| HeaderValue::from_str(&format!("\"{version}\""))) {
            headers.insert(header::ETAG, etag);
        }
        if let Some(Ok(location)) = self.location.as_ref().map(|path| HeaderValue::from_str(path)) {
            headers.insert(header::LOCATION, location);
        }
    }
}

impl<V: Serialize> IntoResponse for Shown<V> {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        self.write(&mut headers);
        (self.status, headers, Json(self.body)).into_response()
    }
}
