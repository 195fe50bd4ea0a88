//! `/v1/sources/{source}/events`: what arrived, what became of it, and another try.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use domain::{OrgId, SourceEventId, SourceId, Timestamp};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use store::{InboxEntry, InboxFilter, InboxResult, InboxStatus, Repeats};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    config, cursor,
    page::{After, Limit, Page, page},
    schema::{IdText, TimeText},
    source_trace,
};
use crate::{
    App, Body, Conflict, PathParam, Problem, QueryParams,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(events))
        .routes(routes!(all))
        .routes(routes!(event))
        .routes(routes!(replay))
        .routes(routes!(found))
        .routes(routes!(replay_found))
        .routes(routes!(replay_many))
        .routes(routes!(cancel))
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
    /// A step of it waits for its time, or a flow that has a rate for its turn; the trace has when that is.
    Delayed,
}

impl EventStatus {
    /// As it is stored; nothing where that cannot be.
    const fn stored(self) -> Option<InboxStatus> {
        match self {
            Self::Pending => None,
            Self::Ignored => Some(InboxStatus::Ignored),
            Self::Done => Some(InboxStatus::Done),
            Self::Parked => Some(InboxStatus::Parked),
            Self::Waiting => Some(InboxStatus::Waiting),
            Self::Delayed => Some(InboxStatus::Delayed),
        }
    }
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
    /// When it is tried again, or goes on; for waiting and delayed ones.
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
    /// That it came again, with the same message id within 30 days; null when it did not. What came again was answered as this one
    /// was, and did nothing.
    repeated: Option<Repeated>,
}

/// How often a source event came again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SourceEventRepeated)]
struct Repeated {
    /// How many times more.
    times: u64,
    /// When last.
    #[schema(value_type = TimeText)]
    last_at: Timestamp,
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
                Some(InboxStatus::Delayed) => EventStatus::Delayed,
            },
            runs: entry.result.as_ref().map_or(0, |result| result.runs),
            due_at: entry.result.as_ref().and_then(|result| result.due_at),
        }
    }
}

impl EventView {
    async fn of(app: &App, entry: &InboxEntry) -> Result<Self, Problem> {
        let json = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| text.into());
        let repeats = app.store.repeats(entry.org, entry.id).await?;
        Ok(Self {
            outline: EventOutline::of(entry),
            repeated: repeats.map(|Repeats { times, last_at }| Repeated { times, last_at }),
            trace: entry.result.as_ref().map(|result| json(&result.trace)).unwrap_or_default(),
            payload: entry.payload.as_deref().map(json).unwrap_or_default(),
        })
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
    let status = stored(filter.status)?;
    let before = filter.cursor.map(|cursor| SourceEventId::from_uuid(cursor.0));
    let inbox = InboxFilter { source: Some(source), status, before };
    let rows = app.store.source_events(can.org, &inbox, filter.limit.and_one()).await?;
    Ok(Json(page(&rows, filter.limit, |entry| entry.id.uuid(), EventOutline::of)))
}

/// Most events that one request for names looks at.
const LOOK: usize = 5_000;

/// Which source events of all sources to list, newest first.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AllFilter {
    /// Only of this source.
    #[param(value_type = Option<IdText>)]
    source: Option<SourceId>,
    /// Only those of which this became; not for `pending`.
    #[param(value_type = Option<EventStatus>, inline)]
    status: Option<EventStatus>,
    /// Only those in whose name this stands, in any case.
    name: Option<String>,
    /// How many: 1 to 100, 50 unless told.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<After>,
}

/// List source events, newest first.
///
/// Of all sources. A request for names looks at 5,000 events at most and may answer with fewer than it was asked for, or none: come
/// again with `next_cursor` until it is null.
#[utoipa::path(get, path = "/v1/source-events", tag = "Sources", security(("key" = ["passes_read"])),
    params(AllFilter), responses((status = 200, body = Page<EventOutline>, description = "A page.")))]
async fn all(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    QueryParams(filter): QueryParams<AllFilter>,
) -> Result<Json<Page<EventOutline>>, Problem> {
    if let Some(source) = filter.source {
        config::one(&config::org(&app, can.org)?.sources, source.uuid(), "source")?;
    }
    let before = filter.cursor.map(|cursor| SourceEventId::from_uuid(cursor.0));
    let mut inbox = InboxFilter { source: filter.source, status: stored(filter.status)?, before };
    let Some(name) = filter.name.filter(|name| !name.is_empty()).map(|name| name.to_lowercase()) else {
        let rows = app.store.source_events(can.org, &inbox, filter.limit.and_one()).await?;
        return Ok(Json(page(&rows, filter.limit, |entry| entry.id.uuid(), EventOutline::of)));
    };
    let (mut data, mut looked_at) = (Vec::new(), 0);
    let wanted = filter.limit.get() as usize;
    let is_over = 'look: loop {
        let rows = app.store.source_events(can.org, &inbox, REPLAY_PAGE).await?;
        for entry in &rows {
            if data.len() == wanted {
                break 'look false;
            }
            inbox.before = Some(entry.id);
            if entry.name.to_lowercase().contains(&name) {
                data.push(EventOutline::of(entry));
            }
        }
        looked_at += rows.len();
        if rows.len() < REPLAY_PAGE as usize || looked_at >= LOOK {
            break rows.len() < REPLAY_PAGE as usize;
        }
    };
    let next_cursor = inbox.before.filter(|_| !is_over).map(|last| cursor::text(last.uuid().as_bytes()));
    Ok(Json(Page { data, next_cursor }))
}

/// A status as it is stored.
fn stored(status: Option<EventStatus>) -> Result<Option<i16>, Problem> {
    let Some(status) = status else { return Ok(None) };
    let pending = || Problem::parameter("status", "pending ones cannot be listed alone");
    Ok(Some(status.stored().ok_or_else(pending)?.number()))
}

async fn find(app: &App, org: OrgId, source: SourceId, id: SourceEventId) -> Result<InboxEntry, Problem> {
    let found = app.store.source_event(org, id).await?.filter(|entry| entry.source == source);
    found.ok_or_else(|| Problem::no_such("source event"))
}

/// Read a source event.
///
/// With its trace and payload.
#[utoipa::path(get, path = "/v1/sources/{source}/events/{event}", tag = "Sources", security(("key" = ["passes_read"])),
    params(("source" = IdText, Path, description = "The source's id."), ("event" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = EventView, description = "It.")))]
async fn event(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    PathParam((source, id)): PathParam<(SourceId, SourceEventId)>,
) -> Result<Json<EventView>, Problem> {
    Ok(Json(EventView::of(&app, &find(&app, can.org, source, id).await?).await?))
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
    again(&app, find(&app, can.org, source, id).await?, None).await
}

async fn again(app: &App, entry: InboxEntry, run: Option<u32>) -> Result<(StatusCode, Json<EventOutline>), Problem> {
    let outline = EventOutline::of(&entry);
    if outline.status == EventStatus::Delayed {
        let detail = "a step of it waits for its time: cancel that first, or let it come".to_owned();
        return Err(Problem::Conflict { code: Conflict::NotAllowed, detail });
    }
    if matches!(outline.status, EventStatus::Pending | EventStatus::Waiting) {
        return Err(Problem::Conflict { code: Conflict::NotAllowed, detail: "it is still being handled by itself".to_owned() });
    }
    if entry.payload.is_none() {
        return Err(Problem::Gone("its person has been erased: nothing is left to replay"));
    }
    app.store.replay_all(std::slice::from_ref(&entry), run, app.now()).await?;
    Ok((StatusCode::ACCEPTED, Json(EventOutline { status: EventStatus::Waiting, due_at: Some(app.now()), ..outline })))
}

/// Read a source event by its id alone.
///
/// What arrived, which flows looked at it, and for each step what it was given and what became of it. The values that a
/// step resolved are personal and not kept with its outcome; they are resolved again for whoever may read them, as long as
/// the flow and its transformation are as they were, and left out otherwise.
#[utoipa::path(get, path = "/v1/source-events/{source_event}", tag = "Sources", security(("key" = ["passes_read"])),
    params(("source_event" = IdText, Path, description = "Its id.")), responses((status = 200, body = EventView, description = "It.")))]
async fn found(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SourceEventId>,
) -> Result<Json<EventView>, Problem> {
    let entry = any(&app, can.org, id).await?;
    let mut view = EventView::of(&app, &entry).await?;
    source_trace::resolve(&app, &entry, &mut view.trace).await?;
    Ok(Json(view))
}

async fn any(app: &App, org: OrgId, id: SourceEventId) -> Result<InboxEntry, Problem> {
    app.store.source_event(org, id).await?.ok_or_else(|| Problem::no_such("source event"))
}

/// How a replay is done.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Again {
    /// Without it, what was applied stays applied once. With a number that the event has not had yet, its flows do
    /// everything once more under that number.
    #[schema(minimum = 1)]
    run: Option<u32>,
}

/// Replay a source event by its id alone.
///
/// With the flows as they are now.
#[utoipa::path(post, path = "/v1/source-events/{source_event}/replay", tag = "Sources", security(("key" = ["passes_write"])),
    params(("source_event" = IdText, Path, description = "Its id.")), request_body = Again,
    responses((status = 202, body = EventOutline, description = "It is being handled again.")))]
async fn replay_found(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SourceEventId>,
    body: Body<Again>,
) -> Result<(StatusCode, Json<EventOutline>), Problem> {
    let run = positive(body.value.run)?;
    let entry = any(&app, can.org, id).await?;
    again(&app, entry, run).await
}

fn positive(run: Option<u32>) -> Result<Option<u32>, Problem> {
    match run {
        Some(0) => Err(Problem::field("run", "expected a number from 1 on; leave it out to do only what was not applied")),
        run => Ok(run),
    }
}

/// How near the time of a step may be to cancel it: flows may have begun with what is due sooner.
const TOO_LATE: Duration = Duration::from_secs(2);

/// Cancel what waits of a source event.
///
/// Steps that wait for their time, and flows that wait for their turn, are cancelled, with the steps after them; what was
/// done stays. Refused when their time comes within two seconds. Replaying the event then waits anew, unless its time is past.
#[utoipa::path(post, path = "/v1/source-events/{source_event}/cancel", tag = "Sources", security(("key" = ["passes_write"])),
    params(("source_event" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = EventView, description = "What became of it.")))]
async fn cancel(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SourceEventId>,
) -> Result<Json<EventView>, Problem> {
    let mut entry = any(&app, can.org, id).await?;
    let refused = |detail: &str| Problem::Conflict { code: Conflict::NotAllowed, detail: detail.to_owned() };
    let delayed = entry.result.as_ref().filter(|result| result.status == InboxStatus::Delayed.number());
    let held = delayed.ok_or_else(|| refused("no step of it waits for its time"))?;
    let now = app.now();
    if held.due_at.is_none_or(|due| due <= now.plus(TOO_LATE)) {
        return Err(refused("its time has come: read it in a moment"));
    }
    let mut trace: serde_json::Value = serde_json::from_str(&held.trace).unwrap_or_default();
    for flow in trace["flows"].as_array_mut().into_iter().flatten() {
        flows::flow::cancel(flow, "cancelled by hand");
    }
    let status = if trace["reason"].is_null() { InboxStatus::Done } else { InboxStatus::Parked };
    let result = InboxResult { status: status.number(), due_at: None, at: now, trace: trace.to_string(), ..*held };
    app.store.settle_by_hand(&entry, result.clone()).await?;
    entry.result = Some(result);
    Ok(Json(EventView::of(&app, &entry).await?))
}

/// Most events of one call.
const MAX_REPLAY: usize = 5_000;
/// Events that are read together.
const REPLAY_PAGE: u32 = 250;

/// Which events to replay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Span {
    /// Only of this source.
    #[schema(value_type = Option<IdText>)]
    source: Option<SourceId>,
    /// Those that reached us from then on.
    #[schema(value_type = TimeText)]
    since: Timestamp,
    /// Only those that reached us before then.
    #[schema(value_type = Option<TimeText>)]
    until: Option<Timestamp>,
    /// Only those of which this became: `ignored`, `done` or `parked`; all three unless told.
    status: Option<EventStatus>,
    /// As for one event.
    #[schema(minimum = 1)]
    run: Option<u32>,
}

/// What was replayed.
#[derive(Debug, Serialize, ToSchema)]
struct Replayed {
    /// How many events are being handled again.
    replayed: usize,
}

/// Replay source events from a point in time.
///
/// In the order of their arrival, with the flows as they are now; at most 5,000 in one call. Those that are still being
/// handled, and those whose person was erased, are left out.
#[utoipa::path(post, path = "/v1/source-events/replay", tag = "Sources", security(("key" = ["passes_write"])),
    request_body = Span, responses((status = 202, body = Replayed, description = "They are being handled again.")))]
async fn replay_many(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    body: Body<Span>,
) -> Result<(StatusCode, Json<Replayed>), Problem> {
    let Span { source, since, until, status, run } = body.value;
    let run = positive(run)?;
    let wanted = match status {
        None => None,
        Some(status @ (EventStatus::Ignored | EventStatus::Done | EventStatus::Parked)) => {
            status.stored().map(InboxStatus::number)
        }
        Some(EventStatus::Pending | EventStatus::Waiting | EventStatus::Delayed) => {
            return Err(Problem::field("status", "expected ignored, done or parked: others are still being handled"));
        }
    };
    let mut filter = InboxFilter { source, status: wanted, before: until.map(first_id_at) };
    let mut entries = Vec::new();
    loop {
        let page = app.store.source_events(can.org, &filter, REPLAY_PAGE).await?;
        let Some(last) = page.last().map(|entry| entry.id) else { break };
        let read = page.len();
        let in_time = page.into_iter().filter(|entry| entry.received_at >= since);
        let mut passed = 0;
        entries.extend(in_time.inspect(|_| passed += 1).filter(settled));
        if entries.len() > MAX_REPLAY {
            return Err(Problem::field("since", format!("more than {MAX_REPLAY} events: give `until`, or a later `since`")));
        }
        if passed < read {
            break;
        }
        filter.before = Some(last);
    }
    entries.reverse();
    app.store.replay_all(&entries, run, app.now()).await?;
    Ok((StatusCode::ACCEPTED, Json(Replayed { replayed: entries.len() })))
}

fn settled(entry: &InboxEntry) -> bool {
    let goes_on = |status: i16| InboxStatus::from_number(status).is_some_and(InboxStatus::is_due_later);
    let waits = entry.result.as_ref().is_none_or(|result| goes_on(result.status));
    !waits && entry.payload.is_some()
}

/// Ids sort by time: the first that there can be at a moment.
fn first_id_at(at: Timestamp) -> SourceEventId {
    let millis = u128::try_from(at.as_micros().max(0) / 1_000).unwrap_or_default();
    SourceEventId::from_uuid(uuid::Uuid::from_u128(millis << 80))
}
