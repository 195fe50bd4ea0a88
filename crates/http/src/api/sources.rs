//! `/v1/sources`: what sends business events, and what became of them.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{Source, SourceEventId, SourceId, SourceKind, Timestamp};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use store::{InboxEntry, InboxFilter, InboxStatus, NameKind};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    config::{self, IfMatch, Shown},
    page::{After, Limit, Page, Paging, page},
    schema::{IdText, TimeText},
    text,
};
use crate::{
    App, Body, PathParam, Problem, QueryParams,
    auth::{self, Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, replace, delete))
        .routes(routes!(rotate))
        .routes(routes!(events))
        .routes(routes!(event))
        .routes(routes!(replay))
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
    body: Body<SourceInput>,
) -> Result<Shown<Created>, Problem> {
    let now = app.now();
    let minted = auth::mint(auth::WRITE_KEY_PREFIX, &*app.entropy);
    let source = body.value.check(SourceId::mint(now, &*app.entropy), minted.prefix, now)?;
    let mut change = config::change(&app, &can);
    change.names.push((NameKind::WriteKey, minted.hash.to_vec(), source.id.uuid()));
    change.names.push((NameKind::Source, source.id.uuid().as_bytes().to_vec(), source.id.uuid()));
    config::put(&app, &change, &source, 0).await?;
    let view = Created { source: View::of(&app, &source), write_key: minted.secret };
    Ok(Shown::new(format!("/v1/sources/{}", source.id), view))
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

/// Replace a source. Its address and write key stay.
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
    if_match.check(stored.revision)?;
    let source = body.value.check(id, stored.value.key_prefix.clone(), stored.value.created_at)?;
    config::put(&app, &config::change(&app, &can), &source, stored.revision).await?;
    Ok(Shown::at(stored.revision + 1, View::of(&app, &source)))
}

/// Delete a source. Its events stay in the inbox until they are swept.
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

/// Give a source another write key. The one before stops working at once.
#[utoipa::path(post, path = "/v1/sources/{source}/rotate", tag = "Sources", security(("key" = ["config_write"])),
    params(("source" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = Created, description = "Rotated. This answer alone shows the write key.")))]
async fn rotate(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SourceId>,
) -> Result<Shown<Created>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.sources, id.uuid(), "source")?;
    let minted = auth::mint(auth::WRITE_KEY_PREFIX, &*app.entropy);
    let source = Source { key_prefix: minted.prefix, ..(*stored.value).clone() };
    let mut change = config::change(&app, &can);
    change.names.push((NameKind::WriteKey, minted.hash.to_vec(), id.uuid()));
    config::put(&app, &change, &source, stored.revision).await?;
    Ok(Shown::at(stored.revision + 1, Created { source: View::of(&app, &source), write_key: minted.secret }))
}

/// What became of a source event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SourceEventStatus)]
enum EventStatus {
    /// No flow has come by yet.
    Pending,
    /// No flow matched.
    Ignored,
    /// All that it led to was done.
    Done,
    /// Something in it or in a flow has to be mended; then replay it.
    Parked,
    /// It is tried again by itself.
    Waiting,
}

/// A source event, as lists show it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SourceEventOutline)]
struct EventOutline {
    /// Its id.
    #[schema(value_type = IdText)]
    id: SourceEventId,
    /// Where it came from.
    #[schema(value_type = IdText)]
    source: SourceId,
    /// What it is called.
    name: String,
    /// When it reached us.
    #[schema(value_type = TimeText)]
    received_at: Timestamp,
    /// When it happened, by the sender's clock.
    #[schema(value_type = Option<TimeText>)]
    occurred_at: Option<Timestamp>,
    /// What became of it.
    status: EventStatus,
    /// How many runs it took so far.
    runs: i32,
    /// When it is tried again; for waiting ones.
    #[schema(value_type = Option<TimeText>)]
    due_at: Option<Timestamp>,
}

/// A source event with what became of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SourceEvent)]
struct EventView {
    #[serde(flatten)]
    outline: EventOutline,
    /// The flows that looked at it with their steps and outcomes, or the reason why it cannot be read.
    #[schema(value_type = serde_json::Value)]
    trace: serde_json::Value,
    /// The event as flows see it, or what arrived when it cannot be read; null once its person was erased.
    #[schema(value_type = serde_json::Value)]
    payload: serde_json::Value,
}

impl EventOutline {
    fn of(entry: &InboxEntry) -> Self {
        let status = entry.result.as_ref().map(|result| InboxStatus::from_number(result.status));
        Self {
            id: entry.id,
            source: entry.source,
            name: entry.name.clone(),
            received_at: entry.received_at,
            occurred_at: entry.occurred_at,
            status: match status.flatten() {
                None => EventStatus::Pending,
                Some(InboxStatus::Ignored) => EventStatus::Ignored,
                Some(InboxStatus::Done) => EventStatus::Done,
                Some(InboxStatus::Parked) => EventStatus::Parked,
                Some(InboxStatus::Waiting) => EventStatus::Waiting,
            },
            runs: entry.result.as_ref().map_or(0, |result| result.runs),
            due_at: entry.result.as_ref().and_then(|result| result.due_at),
        }
    }
}

impl EventView {
    fn of(entry: &InboxEntry) -> Self {
        let json = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| text.into());
        Self {
            outline: EventOutline::of(entry),
            trace: entry.result.as_ref().map(|result| json(&result.trace)).unwrap_or_default(),
            payload: entry.payload.as_deref().map(json).unwrap_or_default(),
        }
    }
}

/// Which source events to list, newest first.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only those of which this became; not for `pending`.
    #[param(value_type = Option<EventStatus>, inline)]
    status: Option<EventStatus>,
    /// How many: 1 to 100, 50 unless told.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<After>,
}

/// List a source's events, newest first.
#[utoipa::path(get, path = "/v1/sources/{source}/events", tag = "Sources", security(("key" = ["passes_read"])),
    params(("source" = IdText, Path, description = "Its id."), Filter),
    responses((status = 200, body = Page<EventOutline>, description = "A page.")))]
async fn events(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    PathParam(source): PathParam<SourceId>,
    QueryParams(filter): QueryParams<Filter>,
) -> Result<Json<Page<EventOutline>>, Problem> {
    config::one(&config::org(&app, can.org)?.sources, source.uuid(), "source")?;
    let status = match filter.status {
        None => None,
        Some(EventStatus::Pending) => return Err(Problem::parameter("status", "pending ones cannot be listed alone")),
        Some(EventStatus::Ignored) => Some(InboxStatus::Ignored.number()),
        Some(EventStatus::Done) => Some(InboxStatus::Done.number()),
        Some(EventStatus::Parked) => Some(InboxStatus::Parked.number()),
        Some(EventStatus::Waiting) => Some(InboxStatus::Waiting.number()),
    };
    let before = filter.cursor.map(|cursor| SourceEventId::from_uuid(cursor.0));
    let inbox = InboxFilter { source: Some(source), status, before };
    let rows = app.store.source_events(can.org, &inbox, filter.limit.and_one()).await?;
    Ok(Json(page(&rows, filter.limit, |entry| entry.id.uuid(), EventOutline::of)))
}

async fn find(app: &App, org: domain::OrgId, source: SourceId, id: SourceEventId) -> Result<InboxEntry, Problem> {
    let found = app.store.source_event(org, id).await?.filter(|entry| entry.source == source);
    found.ok_or_else(|| Problem::no_such("source event"))
}

/// Read a source event with its trace and payload.
#[utoipa::path(get, path = "/v1/sources/{source}/events/{event}", tag = "Sources", security(("key" = ["passes_read"])),
    params(("source" = IdText, Path, description = "The source's id."), ("event" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = EventView, description = "It.")))]
async fn event(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    PathParam((source, id)): PathParam<(SourceId, SourceEventId)>,
) -> Result<Json<EventView>, Problem> {
    Ok(Json(EventView::of(&find(&app, can.org, source, id).await?)))
}

/// Replay a source event.
///
/// What was applied stays applied once; what was rejected is decided anew, with the flows as they are now.
#[utoipa::path(post, path = "/v1/sources/{source}/events/{event}/replay", tag = "Sources", security(("key" = ["passes_write"])),
    params(("source" = IdText, Path, description = "The source's id."), ("event" = IdText, Path, description = "Its id.")),
    responses((status = 202, body = EventOutline, description = "It is being handled again.")))]
async fn replay(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam((source, id)): PathParam<(SourceId, SourceEventId)>,
) -> Result<(StatusCode, Json<EventOutline>), Problem> {
    let entry = find(&app, can.org, source, id).await?;
    let outline = EventOutline::of(&entry);
    if matches!(outline.status, EventStatus::Pending | EventStatus::Waiting) {
        return Err(Problem::Conflict { code: "not_allowed", detail: "it is still being handled by itself".to_owned() });
    }
    if entry.payload.is_none() {
        return Err(Problem::Gone("its person has been erased: nothing is left to replay"));
    }
    app.store.replay(&entry, app.now()).await?;
    Ok((StatusCode::ACCEPTED, Json(EventOutline { status: EventStatus::Waiting, due_at: Some(app.now()), ..outline })))
}
