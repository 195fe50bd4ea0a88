//! `/v1/deliveries`: what is owed to webhooks, and every try at it.

use std::{collections::HashMap, sync::Arc};

use axum::{Json, extract::State};
use domain::{DeliveryId, EventId, EventKind, PassId, TargetId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{About, AttemptFilter, AttemptOutcome, AttemptRow};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::Once,
    config,
    cursor::{self, Cursor, Place},
    delivery_view::View,
    once::Made,
    page::{Limit, Page},
    schema::{self, IdText, TimeText},
    targets::{self, Owed},
};
use crate::{
    App, Body, PathParam, Problem, QueryParams,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(pending, resend)).routes(routes!(attempts)).routes(routes!(get))
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AttemptOutcome)]
pub(super) enum Outcome {
    /// The webhook took it.
    Delivered,
    /// It failed and will be tried again.
    Retrying,
    /// It failed for good.
    Failed,
    /// It was given up because its event had to go or the webhook was switched off.
    Expired,
}

impl Outcome {
    /// Of a number in the store; one that is not known here is a failure.
    pub(super) const fn of(number: i16) -> Self {
        match AttemptOutcome::from_number(number) {
            Some(AttemptOutcome::Delivered) => Self::Delivered,
            Some(AttemptOutcome::Retrying) => Self::Retrying,
            Some(AttemptOutcome::Expired) => Self::Expired,
            Some(AttemptOutcome::Failed) | None => Self::Failed,
        }
    }
    /// Its number in the store.
    pub(super) const fn number(self) -> i16 {
        let outcome = match self {
            Self::Delivered => AttemptOutcome::Delivered,
            Self::Retrying => AttemptOutcome::Retrying,
            Self::Failed => AttemptOutcome::Failed,
            Self::Expired => AttemptOutcome::Expired,
        };
        outcome.number()
    }
}

/// One try at a delivery.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub(super) struct AttemptView {
    /// The delivery.
    #[schema(value_type = IdText)]
    delivery: DeliveryId,
    /// To whom.
    #[schema(value_type = IdText)]
    webhook: TargetId,
    /// Which event.
    #[schema(value_type = IdText)]
    event: EventId,
    /// What type of event; null once the log has it no more.
    #[serde(rename = "type")]
    #[schema(value_type = Option<schema::EventType>)]
    kind: Option<EventKind>,
    /// Counts the tries of the delivery, from 1.
    attempt: i32,
    /// When it started.
    #[schema(value_type = TimeText)]
    at: Timestamp,
    /// How long it took.
    elapsed_ms: f64,
    /// How it ended.
    outcome: Outcome,
    /// The HTTP status, when there was one.
    status: Option<i16>,
    /// What went wrong.
    error: Option<String>,
    /// When the next one is due, when there is one.
    #[schema(value_type = Option<TimeText>)]
    next_at: Option<Timestamp>,
    /// What was sent and what came back, capped; null once the event's person was erased.
    #[schema(value_type = serde_json::Value)]
    detail: serde_json::Value,
}

impl AttemptView {
    /// Several, with the types of their events.
    pub(super) async fn all(app: &App, rows: &[AttemptRow]) -> Result<Vec<Self>, Problem> {
        let mut positions: Vec<_> = rows.iter().map(|row| row.position).collect();
        positions.sort_unstable();
        positions.dedup();
        let events = app.store.backend().events_at(&positions).await?;
        let kinds: HashMap<EventId, EventKind> =
            events.iter().filter_map(|event| Some((event.id, EventKind::from_number(event.kind)?))).collect();
        rows.iter().map(|row| Self::of(app, row, kinds.get(&row.event).copied())).collect()
    }

    fn of(app: &App, row: &AttemptRow, kind: Option<EventKind>) -> Result<Self, Problem> {
        let detail = app.store.open_detail(row)?;
        let detail =
            detail.map(|bytes| serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into()));
        Ok(Self {
            delivery: row.delivery,
            webhook: row.target,
            event: row.event,
            kind,
            attempt: row.attempt,
            at: row.at,
            elapsed_ms: row.elapsed_micros as f64 / 1_000.0,
            outcome: Outcome::of(row.outcome),
            status: row.status,
            error: row.error.clone(),
            next_at: row.next_at,
            detail: detail.unwrap_or_default(),
        })
    }
}

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only to this webhook.
    #[param(value_type = Option<IdText>)]
    webhook: Option<TargetId>,
    /// Only of this event.
    #[param(value_type = Option<IdText>)]
    event: Option<EventId>,
    /// Only of events of this pass.
    #[param(value_type = Option<IdText>)]
    pass: Option<PassId>,
    /// How many: 1 to 100, 50 unless told.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<Moment>>,
}

/// List what is owed.
///
/// By when it is due, with what it waits for. What is delivered leaves the list, and what is tried again moves to its end.
/// Deliveries that succeed at once are never on it; see their attempts.
#[utoipa::path(get, path = "/v1/deliveries", tag = "Deliveries", security(("key" = ["passes_read"])),
    params(Filter), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn pending(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    QueryParams(filter): QueryParams<Filter>,
) -> Result<Json<Page<View>>, Problem> {
    if let Some(webhook) = filter.webhook {
        config::one(&config::org(&app, can.org)?.targets, webhook.uuid(), "webhook")?;
    }
    let after = filter.cursor.map(|Cursor(Moment { at, delivery, .. })| (at, delivery));
    let about = About { event: filter.event, pass: filter.pass };
    let (backend, most) = (app.store.backend(), filter.limit.and_one());
    let mut rows = match about {
        About { event: None, pass: None } => backend.deliveries(can.org, filter.webhook, after, most).await?,
        about => backend.deliveries_about(can.org, about, filter.webhook, after, most).await?,
    };
    let more = rows.len() > filter.limit.get() as usize;
    rows.truncate(filter.limit.get() as usize);
    let next_cursor = rows.last().filter(|_| more).map(|row| Moment::text(row.due_at, row.id, 0));
    Ok(Json(Page { data: View::all(&app, can.org, &rows).await?, next_cursor }))
}

/// Read a delivery that is still owed.
#[utoipa::path(get, path = "/v1/deliveries/{delivery}", tag = "Deliveries", security(("key" = ["passes_read"])),
    params(("delivery" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<DeliveryId>,
) -> Result<Json<View>, Problem> {
    let row = app.store.backend().delivery(can.org, id).await?.ok_or_else(|| Problem::no_such("delivery that is still owed"))?;
    let view = View::all(&app, can.org, &[row]).await?.pop();
    view.map(Json).ok_or_else(|| Problem::no_such("delivery that is still owed"))
}

/// What to send once more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Resend {
    /// To whom.
    #[schema(value_type = IdText)]
    webhook: TargetId,
    /// Which event.
    #[schema(value_type = IdText)]
    event: EventId,
}

/// Send an event once more.
///
/// Whatever became of it before. The delivery keeps its id.
#[utoipa::path(post, path = "/v1/deliveries", tag = "Deliveries", security(("key" = ["passes_write"])),
    request_body = Resend, responses((status = 202, body = Owed, description = "On its way.")))]
async fn resend(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    body: Body<Resend>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &body.bytes).await? {
        return Ok(made);
    }
    let owed = targets::owe(&app, can.org, body.value.webhook, body.value.event).await?;
    once.keep(&app, &can, &body.bytes, owed).await
}

/// A place in a list that is ordered by time, delivery and, of attempts, their number.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Timestamp,
    delivery: DeliveryId,
    attempt: i32,
}

impl Moment {
    fn text(at: Timestamp, delivery: DeliveryId, attempt: i32) -> String {
        let (at, delivery, attempt) = (at.as_micros().to_be_bytes(), delivery.uuid().into_bytes(), attempt.to_be_bytes());
        cursor::text(&[at.as_slice(), &delivery, &attempt].concat())
    }
}

impl Place for Moment {
    fn read(place: &[u8]) -> Option<Self> {
        let (at, rest) = place.split_first_chunk()?;
        let (delivery, attempt) = rest.split_first_chunk()?;
        let attempt = i32::from_be_bytes(attempt.try_into().ok()?);
        let at = Timestamp::from_micros(i64::from_be_bytes(*at));
        Some(Self { at, delivery: DeliveryId::from_uuid(uuid::Uuid::from_bytes(*delivery)), attempt })
    }
}

/// Which attempts, newest first.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AttemptsFilter {
    /// Only to this webhook.
    #[param(value_type = Option<IdText>)]
    webhook: Option<TargetId>,
    /// Only of this event.
    #[param(value_type = Option<IdText>)]
    event: Option<EventId>,
    /// Only of events of this pass.
    #[param(value_type = Option<IdText>)]
    pass: Option<PassId>,
    /// Only of events of this type.
    #[serde(rename = "type")]
    #[param(value_type = Option<schema::EventType>)]
    kind: Option<EventKind>,
    /// Only those that ended so.
    outcome: Option<Outcome>,
    /// Only those that were answered with this HTTP status.
    #[param(minimum = 100, maximum = 999)]
    status: Option<i16>,
    /// Only those that started at this time or later.
    #[param(value_type = Option<TimeText>)]
    since: Option<Timestamp>,
    /// Only those that started at this time or earlier.
    #[param(value_type = Option<TimeText>)]
    until: Option<Timestamp>,
    /// How many: 1 to 100, 50 unless told.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<Moment>>,
}

/// List attempts.
///
/// Newest first, with what was sent and what came back. What is asked for has to hold together.
#[utoipa::path(get, path = "/v1/deliveries/attempts", tag = "Deliveries", security(("key" = ["passes_read"])),
    params(AttemptsFilter), responses((status = 200, body = Page<AttemptView>, description = "A page.")))]
async fn attempts(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    QueryParams(filter): QueryParams<AttemptsFilter>,
) -> Result<Json<Page<AttemptView>>, Problem> {
    let before = filter.cursor.map(|Cursor(Moment { at, delivery, attempt })| (at, delivery, attempt));
    let wanted = AttemptFilter {
        target: filter.webhook,
        event: filter.event,
        pass: filter.pass,
        kind: filter.kind.map(EventKind::number),
        outcome: filter.outcome.map(Outcome::number),
        status: filter.status,
        since: filter.since,
        until: filter.until,
        before,
    };
    let mut rows = app.store.backend().attempts(can.org, &wanted, filter.limit.and_one()).await?;
    let more = rows.len() > filter.limit.get() as usize;
    rows.truncate(filter.limit.get() as usize);
    let last = rows.last().filter(|_| more).map(|row| Moment::text(row.at, row.delivery, row.attempt));
    Ok(Json(Page { data: AttemptView::all(&app, &rows).await?, next_cursor: last }))
}
