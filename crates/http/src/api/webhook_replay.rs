//! `/v1/webhooks/{webhook}/replay`: what happened in some time is sent again, or what was missed, behind what happens now.
//!
//! A replay is rows: each event that is to be sent becomes a delivery that is due at a moment of its own, so many a second, and
//! goes through a lane for replays that nothing else waits for. So it survives a restart, is retried like everything else, and
//! a webhook that is down is not flooded. One that is switched off again meanwhile has missed what was not sent by then: the
//! workers set `missed_since` back to the earliest of it, however it is switched off.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use domain::{DeliveryId, Event, EventId, OrgId, Position, Target, TargetId, Timestamp};
use flows::fql::{self, Compiled};
use serde::{Deserialize, Serialize};
use store::{DeliveryRow, Log, LoggedEvent, Stored, StoredTarget};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    config,
    cursor::Cursor,
    events::FeedPlace,
    schema::{IdText, TimeText},
    targets::switched_on,
};
use crate::{
    App, Body, Conflict, PathParam, Problem,
    auth::{Can, scope},
};

/// Events that are read together.
const PIECE: u32 = 100;
/// Most events that one request looks at.
const LOOK: u64 = 5_000;
/// Most of them that it has sent.
const SEND: usize = 2_000;
/// Most replays a second that can be asked for, and how many there are unless told.
const MOST_PER_SECOND: u32 = 1_000;
const PER_SECOND: u32 = 50;
/// Tries to write down that what was missed is on its way, while others change the webhook.
const FORGET_TRIES: usize = 3;
/// How far clocks of several nodes may be apart: so much more of the log is looked at.
const SLACK: Duration = Duration::from_secs(60);

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(replay, progress))
}

/// What to send again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReplayInput {
    /// Events that were written down at this time or later; needed unless `missed` says it.
    #[serde(default)]
    #[schema(value_type = Option<TimeText>)]
    from: Option<Timestamp>,
    /// And at this time or earlier; null means now.
    #[serde(default)]
    #[schema(value_type = Option<TimeText>)]
    to: Option<Timestamp>,
    /// What the webhook missed since `missed_since`. One that is switched off is switched on, by the first request of a replay:
    /// where it is switched off again meanwhile, coming again with a `cursor` is refused.
    #[serde(default)]
    missed: bool,
    /// Also what the webhook has taken already; without it only what failed, expired or was never sent.
    #[serde(default)]
    all: bool,
    /// How many a second: 1 to 1000, 50 unless told. Never more than the webhook's own limit leaves over.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    per_second: Option<u32>,
    /// `next_cursor` of the answer before, with the same wish.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    cursor: Option<Cursor<Vec<u64>>>,
}

/// A part of a replay.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookReplay)]
struct Replayed {
    /// How many events were looked at.
    looked_at: u64,
    /// How many of them are sent.
    owed: u64,
    /// How many replays the webhook is owed in all.
    waiting: u64,
    /// When the last of them is due.
    #[schema(value_type = Option<TimeText>)]
    due_until: Option<Timestamp>,
    /// Give this as `cursor` to go on; null once the whole time was looked at.
    next_cursor: Option<String>,
}

/// Replay what happened.
///
/// Events of some time that the webhook is meant for, as it is now, are sent again: what it missed, or all. The id may be a
/// destination's. They go behind what happens now and delay none of it. One request looks at 5,000 events and has at most 2,000
/// sent; come again with `next_cursor` until it is null.
#[utoipa::path(post, path = "/v1/webhooks/{webhook}/replay", tag = "Webhooks", security(("key" = ["config_write"])),
    params(("webhook" = IdText, Path, description = "Its id.")), request_body = ReplayInput,
    responses((status = 200, body = Replayed, description = "What is on its way.")))]
async fn replay(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TargetId>,
    body: Body<ReplayInput>,
) -> Result<Json<Replayed>, Problem> {
    let input = body.value;
    let per_second = input.per_second.unwrap_or(PER_SECOND);
    if !(1..=MOST_PER_SECOND).contains(&per_second) {
        return Err(Problem::field("per_second", format!("expected 1 to {MOST_PER_SECOND}, or null")));
    }
    let catalog = config::org(&app, can.org)?;
    let held = config::one(&catalog.targets, id.uuid(), "webhook")?;
    let (from, to) = window(&app, &input, &held.value.target)?;
    if input.missed && input.cursor.is_none() && !held.value.target.enabled {
        switch_on(&app, &can, held).await?;
    } else {
        switched_on(&held.value.target)?;
    }
    // What was asked for ends where it was asked to end.
    let still_missed = input.to.filter(|to| *to < app.now());
    let mut walk = Walk::start(&app, can.org, held.value.target.clone(), (from, to), input.cursor).await?;
    walk.go(&app, input.all).await?;
    let next_cursor = (!walk.is_over()).then(|| walk.place.text());
    let (owed, looked_at) = (walk.wanted.len() as u64, walk.looked_at);
    app.store.backend().owe(spread(&app, can.org, id, walk.wanted, per_second).await?).await?;
    if input.missed && next_cursor.is_none() {
        forget_missed(&app, &can, id, still_missed).await?;
    }
    let (waiting, due_until) = app.store.backend().behind(can.org, id).await?;
    Ok(Json(Replayed { looked_at, owed, waiting, due_until, next_cursor }))
}

/// How far replays are.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookReplayProgress)]
struct Progress {
    /// How many replays the webhook is still owed.
    waiting: u64,
    /// When the last of them is due.
    #[schema(value_type = Option<TimeText>)]
    due_until: Option<Timestamp>,
}

/// See how far replays are.
#[utoipa::path(get, path = "/v1/webhooks/{webhook}/replay", tag = "Webhooks", security(("key" = ["config_read"])),
    params(("webhook" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = Progress, description = "What is still owed.")))]
async fn progress(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TargetId>,
) -> Result<Json<Progress>, Problem> {
    config::one(&config::org(&app, can.org)?.targets, id.uuid(), "webhook")?;
    let (waiting, due_until) = app.store.backend().behind(can.org, id).await?;
    Ok(Json(Progress { waiting, due_until }))
}

fn window(app: &App, input: &ReplayInput, target: &Target) -> Result<(Timestamp, Timestamp), Problem> {
    let none = || Problem::Conflict {
        code: Conflict::NothingMissed,
        detail: "the webhook was not switched off since its last replay".to_owned(),
    };
    let from = match (input.missed, input.from) {
        (true, None) => target.missed_since.ok_or_else(none)?,
        (true, Some(_)) => return Err(Problem::field("from", "`missed` says it: leave one of the two out")),
        (false, Some(from)) => from,
        (false, None) => return Err(Problem::field("from", "say from when, or ask for what was `missed`")),
    };
    let to = input.to.unwrap_or_else(|| app.now());
    if from > to { Err(Problem::field("to", "lies before `from`")) } else { Ok((from, to)) }
}

async fn switch_on(app: &App, can: &Can<scope::ConfigWrite>, held: &Stored<StoredTarget>) -> Result<(), Problem> {
    let mut changed = (*held.value).clone();
    changed.target.enabled = true;
    changed.target.disabled_reason = None;
    config::put(app, &config::change(app, can), &changed, held.revision).await
}

/// What was missed is on its way, unless the webhook was switched off again before all of it was owed, or is being changed all the
/// time: then it can be asked for again, which sends nothing twice that was taken.
async fn forget_missed(
    app: &App,
    can: &Can<scope::ConfigWrite>,
    id: TargetId,
    still_missed: Option<Timestamp>,
) -> Result<(), Problem> {
    for _ in 0..FORGET_TRIES {
        let catalog = config::org(app, can.org)?;
        let held = config::one(&catalog.targets, id.uuid(), "webhook")?;
        if !held.value.target.enabled {
            break;
        }
        let mut changed = (*held.value).clone();
        changed.target.missed_since = still_missed;
        if app.store.put(&config::change(app, can), &changed, held.revision).await? {
            break;
        }
        app.store.refresh().await?;
    }
    Ok(())
}

/// A way through the part of the log that a time covers.
struct Walk {
    org: OrgId,
    target: Target,
    filter: Option<Compiled>,
    from: Timestamp,
    to: Timestamp,
    /// The last number of each shard that may be meant.
    until: Vec<u64>,
    heads: Vec<u64>,
    place: FeedPlace,
    looked_at: u64,
    wanted: Vec<(EventId, Position)>,
}

impl Walk {
    async fn start(
        app: &App,
        org: OrgId,
        target: Target,
        (from, to): (Timestamp, Timestamp),
        cursor: Option<Cursor<Vec<u64>>>,
    ) -> Result<Self, Problem> {
        let heads = app.store.backend().heads(Log::Events).await?;
        let mut until = Vec::with_capacity(heads.len());
        for (shard, head) in (0..).zip(&heads) {
            until.push(last_before(app, shard, *head, to.plus(SLACK)).await?);
        }
        let place = match cursor {
            Some(Cursor(cursor)) => FeedPlace::start(app, Some(cursor)).await?,
            None => {
                let mut after = Vec::with_capacity(heads.len());
                for (shard, head) in (0..).zip(&heads) {
                    after.push(last_before(app, shard, *head, from.minus(SLACK)).await?);
                }
                FeedPlace::after(app, after)
            }
        };
        let filter = target.filter.as_deref().and_then(|text| fql::parse(text).ok()?.compile().ok());
        Ok(Self { org, target, filter, from, to, until, heads, place, looked_at: 0, wanted: Vec::new() })
    }

    fn is_over(&self) -> bool {
        self.place.numbers().iter().zip(&self.until).all(|(at, until)| at >= until)
    }

    async fn go(&mut self, app: &App, all: bool) -> Result<(), Problem> {
        while !self.is_over() && self.looked_at < LOOK && self.wanted.len() < SEND {
            let (events, _) = self.place.read(app, self.org, PIECE).await?;
            self.looked_at += events.len() as u64;
            let meant: Vec<_> = events.into_iter().filter_map(|logged| self.meant(app, logged)).collect();
            let ids: Vec<EventId> = meant.iter().map(|(id, _)| *id).collect();
            let has = if all { Vec::new() } else { app.store.backend().taken_or_owed(self.org, self.target.id, &ids).await? };
            self.wanted.extend(meant.into_iter().filter(|(id, _)| !has.contains(id)));
        }
        Ok(())
    }

    /// An event that the target is meant to get.
    fn meant(&mut self, app: &App, logged: LoggedEvent) -> Option<(EventId, Position)> {
        let Position { shard, seq } = logged.position();
        if self.until.get(usize::from(shard)).is_some_and(|until| seq > *until) {
            let head = self.heads.get(usize::from(shard)).copied().unwrap_or(seq);
            self.place.skip(shard, head);
            return None;
        }
        let event = logged.whole()?;
        let within = (self.from..=self.to).contains(&event.recorded_at);
        (within && self.is_for(app, &event)).then_some((event.id, event.position))
    }

    fn is_for(&self, app: &App, event: &Event) -> bool {
        let wants = connectors::catalog::find(&self.target.dialect).and_then(|it| it.destination).map(|it| it.wants);
        let mut old = Target { created_at: event.recorded_at, ..self.target.clone() };
        old.enabled = true;
        let passes = |filter: &Compiled| filter.matches(&connectors::native::view(event, &app.settings.public_url));
        !event.kind().is_operational()
            && wants.is_some_and(|wants| wants(event.kind()))
            && old.is_for(event)
            && self.filter.as_ref().is_none_or(passes)
    }
}

/// The last number of a shard that was written down before a time; what is gone from the log was.
async fn last_before(app: &App, shard: u16, head: u64, time: Timestamp) -> Result<u64, Problem> {
    let (mut low, mut high) = (0, head);
    while low < high {
        let seq = low + (high - low).div_ceil(2);
        let found = app.store.backend().events_at(&[Position { shard, seq }]).await?;
        if found.first().is_none_or(|row| row.recorded_at < time) {
            low = seq;
        } else {
            high = seq - 1;
        }
    }
    Ok(low)
}

/// Deliveries, each due at a moment of its own, after those that wait already.
async fn spread(
    app: &App,
    org: OrgId,
    target: TargetId,
    wanted: Vec<(EventId, Position)>,
    per_second: u32,
) -> Result<Vec<DeliveryRow>, Problem> {
    let (waiting, _) = app.store.backend().behind(org, target).await?;
    let between = Duration::from_secs(1) / per_second;
    let first = app.now().plus(between * u32::try_from(waiting).unwrap_or(u32::MAX));
    let row = |(number, (event, position)): (u32, (EventId, Position))| DeliveryRow {
        org,
        id: DeliveryId::of(event.uuid(), target.uuid()),
        target,
        event,
        position,
        attempts: 0,
        due_at: first.plus(between * number),
        behind: true,
        asked_at: Some(app.now()),
    };
    Ok((0..).zip(wanted).map(row).collect())
}
