//! `/v1/webhooks/{webhook}/test`: one event now, and what came of it.

use std::{sync::Arc, time::Duration};

use axum::extract::State;
use domain::{Action, Answer, DeliveryId, EventId, EventKind, Facts, OrgId, Position, Target, TargetId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{AttemptFilter, Log, LoggedEvent};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands,
    config::{self, Shown},
    deliveries::AttemptView,
    schema::{self, IdText},
    targets::{owe, switched_on},
};
use crate::{
    App, Conflict, PathParam, Problem, QueryParams,
    auth::{Can, scope},
};

/// Most events of a shard that are looked through for one to test with.
const LOOK_BACK: u64 = 200;
/// Longest that an attempt is waited for, in seconds.
const LONGEST_WAIT: u64 = 20;
/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(test))
}

/// What to test with.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wish {
    /// The newest event of this type that the webhook is meant for is sent once more. Without it a `webhook.test` is sent, which
    /// no other webhook gets, or the newest event of all where the shape has no word for that.
    #[serde(rename = "type")]
    #[param(value_type = Option<schema::EventType>)]
    kind: Option<EventKind>,
    /// How many seconds the attempt is waited for: at most 20, 10 unless told.
    #[serde(default = "ten")]
    #[param(value_type = Option<u64>, minimum = 0, maximum = 20)]
    wait_seconds: u64,
}

const fn ten() -> u64 {
    10
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookTest)]
struct Tested {
    /// The delivery: see its later attempts with `GET /v1/deliveries/attempts`.
    #[schema(value_type = IdText)]
    delivery: DeliveryId,
    /// The event that was sent.
    #[schema(value_type = IdText)]
    event: EventId,
    /// To whom.
    #[schema(value_type = IdText)]
    webhook: TargetId,
    /// The attempt, with request and answer; null when there was none yet.
    attempt: Option<AttemptView>,
}

/// Test a webhook.
///
/// Sends it an event and answers with the attempt; with 202 when that has not ended in time.
#[utoipa::path(post, path = "/v1/webhooks/{webhook}/test", tag = "Webhooks", security(("key" = ["config_write"])),
    params(("webhook" = IdText, Path, description = "Its id."), Wish), responses(
        (status = 200, body = Tested, description = "What came of it."),
        (status = 202, body = Tested, description = "On its way.")))]
async fn test(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TargetId>,
    QueryParams(wish): QueryParams<Wish>,
) -> Result<Shown<Tested>, Problem> {
    if wish.wait_seconds > LONGEST_WAIT {
        return Err(Problem::parameter("wait_seconds", format!("expected 0 to {LONGEST_WAIT}")));
    }
    let catalog = config::org(&app, can.org)?;
    let target = &config::one(&catalog.targets, id.uuid(), "webhook")?.value.target;
    switched_on(target)?;
    let since = app.now();
    let wants = connectors::catalog::find(&target.dialect).and_then(|it| it.destination).map(|it| it.wants);
    let event = if wish.kind.is_none() && wants.is_some_and(|wants| wants(EventKind::WebhookTested)) {
        let note = Action::Note { facts: Box::new(Facts::WebhookTested { webhook: id }) };
        match app.engine.submit(commands::command(&app, &can, None, note)).await?.answer {
            // It finds its way by itself.
            Answer::Noted { event } => event,
            other => return Err(Problem::Internal(format!("a note was answered with {other:?}"))),
        }
    } else {
        let wants = |kind| wish.kind.is_none_or(|only| only == kind) && wants.is_some_and(|wants| wants(kind));
        let none = "no event that it is meant for yet: issue a pass first".to_owned();
        let none = || Problem::Conflict { code: Conflict::NoEvent, detail: none };
        let event = newest_for(&app, can.org, target, wants).await?.ok_or_else(none)?;
        owe(&app, can.org, id, event).await?;
        event
    };
    let (webhook, delivery) = (id, DeliveryId::of(event.uuid(), id.uuid()));
    let deadline = Instant::now() + Duration::from_secs(wish.wait_seconds);
    loop {
        let filter = AttemptFilter { target: Some(id), event: Some(event), since: Some(since), ..AttemptFilter::default() };
        let found = app.store.backend().attempts(can.org, &filter, 1).await?;
        if !found.is_empty() {
            let attempt = AttemptView::all(&app, &found).await?.pop();
            return Ok(Shown::done(Tested { delivery, event, webhook, attempt }));
        }
        if Instant::now() + LOOK_EVERY > deadline {
            return Ok(Shown::later(Tested { delivery, event, webhook, attempt: None }));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The newest event that a target is meant for, of those that `wants` names; of one moment, the last in the log.
pub(super) async fn newest_for(
    app: &App,
    org: OrgId,
    target: &Target,
    wants: impl Fn(EventKind) -> bool,
) -> Result<Option<EventId>, Problem> {
    let mut newest: Option<(Timestamp, Position, EventId)> = None;
    for (shard, head) in app.store.backend().heads(Log::Events).await?.into_iter().enumerate() {
        let shard = u16::try_from(shard).unwrap_or(u16::MAX);
        let positions: Vec<_> = (head.saturating_sub(LOOK_BACK) + 1..=head).map(|seq| Position { shard, seq }).collect();
        let events = app.store.events_at(&positions).await?.into_iter().filter_map(LoggedEvent::whole);
        let meant = events.filter(|event| {
            let old = Target { created_at: event.recorded_at, ..target.clone() };
            event.org == org && wants(event.kind()) && old.is_for(event)
        });
        newest = newest.into_iter().chain(meant.map(|event| (event.recorded_at, event.position, event.id))).max();
    }
    Ok(newest.map(|(_, _, id)| id))
}
