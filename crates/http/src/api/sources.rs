//! `/v1/sources`: what sends business events.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{Source, SourceId, SourceKind, Timestamp};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use store::NameKind;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::Once,
    config::{self, IfMatch, Shown},
    once::Made,
    page::{Page, Paging},
    schema::{IdText, TimeText},
    text,
};
use crate::{
    App, Body, PathParam, Problem, QueryParams,
    auth::{self, Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, replace, delete)).routes(routes!(rotate))
}

/// What a source is made of.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SourceInput {
    /// Short name, unique in the organization, used in flows: lower case letters, digits and inner hyphens.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9-]+$")]
    slug: String,
    /// Name shown to people: 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Which connector reads it.
    #[serde(default = "rudderstack")]
    #[schema(value_type = SourceKindName, required = false)]
    kind: SourceKind,
    /// Whether its events are taken.
    #[serde(default = "yes")]
    #[schema(default = true)]
    enabled: bool,
    /// Whether one event that cannot be read fails its whole batch, as RudderStack's gateway does. Otherwise the good ones
    /// are taken and the bad one is kept with its reason.
    #[serde(default)]
    strict: bool,
}

/// `rudderstack`: its webhook destination and its SDKs' data plane.
#[derive(ToSchema)]
#[schema(as = SourceKind, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes `domain::SourceKind` in the document")]
enum SourceKindName {
    Rudderstack,
}

const fn rudderstack() -> SourceKind {
    SourceKind::Rudderstack
}
const fn yes() -> bool {
    true
}

/// Something that sends business events.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Source)]
struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: SourceId,
    #[serde(flatten)]
    input: SourceInput,
    /// First characters of its write key, to recognise it by.
    key_prefix: String,
    /// Where its webhooks go.
    webhook_url: String,
    /// When it was made.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
}

/// A source with its write key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewSource)]
struct Created {
    #[serde(flatten)]
    source: View,
    /// The write key: shown this once.
    #[schema(examples("pbw_..."))]
    write_key: String,
}

impl View {
    fn of(app: &App, source: &Source) -> Self {
        let Source { slug, name, kind, enabled, strict, .. } = source.clone();
        Self {
            id: source.id,
            input: SourceInput { slug, name, kind, enabled, strict },
            key_prefix: source.key_prefix.clone(),
            webhook_url: app.url(&format!("/ingest/{}", source.id)),
            created_at: source.created_at,
        }
    }
}

impl SourceInput {
    fn check(self, id: SourceId, key_prefix: String, created_at: Timestamp) -> Result<Source, Problem> {
        text::slug(&self.slug, "slug")?;
        let name = text::name(self.name, "name")?;
        Ok(Source {
            id,
            slug: self.slug,
            name,
            kind: self.kind,
            key_prefix,
            enabled: self.enabled,
            strict: self.strict,
            created_at,
        })
    }
}

/// Make a source.
#[utoipa::path(post, path = "/v1/sources", tag = "Sources", security(("key" = ["config_write"])),
    request_body = SourceInput,
    responses((status = 201, body = Created, description = "Made. This answer alone shows the write key.")))]
async fn create(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    body: Body<SourceInput>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &body.bytes).await? {
        return Ok(made);
    }
    let now = app.now();
    let minted = auth::mint(auth::WRITE_KEY_PREFIX, &*app.entropy);
    let source = body.value.clone().check(SourceId::mint(now, &*app.entropy), minted.prefix, now)?;
    let mut change = config::change(&app, &can);
    change.names.push((NameKind::WriteKey, minted.hash.to_vec(), source.id.uuid()));
    change.names.push((NameKind::Source, source.id.uuid().as_bytes().to_vec(), source.id.uuid()));
    let view = Created { source: View::of(&app, &source), write_key: minted.secret };
    let write = app.store.config_write(&change, &source, 0, false)?;
    once.write(&app, &can, &body.bytes, write, Shown::new(format!("/v1/sources/{}", source.id), view)).await
}

/// List sources.
#[utoipa::path(get, path = "/v1/sources", tag = "Sources", security(("key" = ["config_read"])),
    params(Paging), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Page<View>>, Problem> {
    Ok(Json(paging.of(&config::org(&app, can.org)?.sources, |stored| View::of(&app, &stored.value))))
}

/// Read a source.
#[utoipa::path(get, path = "/v1/sources/{source}", tag = "Sources", security(("key" = ["config_read"])),
    params(("source" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SourceId>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.sources, id.uuid(), "source")?;
    Ok(Shown::at(stored.revision, View::of(&app, &stored.value)))
}

/// Replace a source.
///
/// Its address and write key stay.
#[utoipa::path(put, path = "/v1/sources/{source}", tag = "Sources", security(("key" = ["config_write"])),
    params(("source" = IdText, Path, description = "Its id.")),
    request_body = SourceInput, responses((status = 200, body = View, description = "As it is now.")))]
async fn replace(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SourceId>,
    if_match: IfMatch,
    body: Body<SourceInput>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.sources, id.uuid(), "source")?;
    let source = body.value.check(id, stored.value.key_prefix.clone(), stored.value.created_at)?;
    if_match.check(stored.revision)?;
    config::put(&app, &config::change(&app, &can), &source, stored.revision).await?;
    Ok(Shown::at(stored.revision + 1, View::of(&app, &source)))
}

/// Delete a source.
///
/// Its events stay in the inbox until they are swept.
#[utoipa::path(delete, path = "/v1/sources/{source}", tag = "Sources", security(("key" = ["config_write"])),
    params(("source" = IdText, Path, description = "Its id.")), responses((status = 204, description = "Deleted.")))]
async fn delete(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SourceId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.sources, id.uuid(), "source")?;
    if_match.check(stored.revision)?;
    let name = id.uuid();
    let mut change = config::change(&app, &can);
    change.removed_names.push((NameKind::Source, name.as_bytes()));
    config::remove(&app, &change, stored).await
}

/// Rotate a source's write key.
///
/// The one before stops working at once.
#[utoipa::path(post, path = "/v1/sources/{source}/rotate", tag = "Sources", security(("key" = ["config_write"])),
    params(("source" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = Created, description = "Rotated. This answer alone shows the write key.")))]
async fn rotate(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    PathParam(id): PathParam<SourceId>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, b"").await? {
        return Ok(made);
    }
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.sources, id.uuid(), "source")?;
    let minted = auth::mint(auth::WRITE_KEY_PREFIX, &*app.entropy);
    let source = Source { key_prefix: minted.prefix, ..(*stored.value).clone() };
    let mut change = config::change(&app, &can);
    change.names.push((NameKind::WriteKey, minted.hash.to_vec(), id.uuid()));
    let write = app.store.config_write(&change, &source, stored.revision, false)?;
    let view = Created { source: View::of(&app, &source), write_key: minted.secret };
    once.write(&app, &can, b"", write, Shown::at(stored.revision + 1, view)).await
}
