//! How a delivery that is owed is shown: to whom, since which event, and what it waits for.

use std::collections::{HashMap, HashSet};

use domain::{DeliveryId, EventId, EventKind, OrgId, PassId, Target, TargetId, Timestamp};
use serde::Serialize;
use store::{AttemptRow, DeliveryRow, EventRow, OrgCatalog};
use utoipa::ToSchema;

use super::{
    config,
    deliveries::Outcome,
    schema::{self, IdText, TimeText},
    targets,
};
use crate::{App, Problem};

/// One event owed to one webhook, not settled yet.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(super) struct View {
    /// Its id; also the `webhook-id` that the receiver sees.
    #[schema(value_type = IdText)]
    id: DeliveryId,
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
    /// The pass that the event is about, when it is about one.
    #[schema(value_type = Option<IdText>)]
    pass: Option<PassId>,
    /// Tries so far.
    attempts: i32,
    /// When the next try is due.
    #[schema(value_type = TimeText)]
    due_at: Timestamp,
    /// What it waits for.
    waiting_for: Waits,
    /// What went wrong last: with it where it waits for its next try, with another where it waits for the receiver.
    error: Option<String>,
}

/// What a delivery waits for. What is under way at the moment shows what it waited for before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WaitingFor)]
enum Waits {
    /// It was tried and failed, and is tried again after a pause.
    NextTry,
    /// It was not tried yet because what was sent to the receiver last failed: one that fails again and again, or asks for it, is
    /// left alone for a while.
    Receiver,
    /// It is a replay: one goes after another, and only when nothing else is to be sent.
    Replay,
    /// An earlier event of the same pass is not settled, and the receiver wants them in order.
    Turn,
    /// The receiver takes only so many in a second.
    Pace,
    /// It is next, or others that are owed to the receiver are before it.
    Place,
}

impl View {
    /// Several of an organization.
    pub(super) async fn all(app: &App, org: OrgId, rows: &[DeliveryRow]) -> Result<Vec<Self>, Problem> {
        let catalog = config::org(app, org)?;
        let mut positions: Vec<_> = rows.iter().map(|row| row.position).collect();
        positions.sort_unstable();
        positions.dedup();
        let events = app.store.backend().events_at(&positions).await?;
        let events: HashMap<EventId, EventRow> = events.into_iter().map(|event| (event.id, event)).collect();
        let pass = |row: &DeliveryRow| events.get(&row.event).and_then(|event| event.pass);
        let reasons = Reasons::read(app, org, (&catalog, rows), pass).await?;
        let view = |row: &DeliveryRow| {
            let (waiting_for, error) = reasons.of(&catalog, row);
            Self {
                id: row.id,
                webhook: row.target,
                event: row.event,
                kind: events.get(&row.event).and_then(|event| EventKind::from_number(event.kind)),
                pass: pass(row),
                attempts: row.attempts,
                due_at: row.due_at,
                waiting_for,
                error,
            }
        };
        Ok(rows.iter().map(view).collect())
    }
}

/// What tells why deliveries wait.
struct Reasons {
    /// Those that an earlier one goes before.
    in_turn: HashSet<DeliveryId>,
    /// The newest attempts at targets, and of those that were tried their own.
    newest: HashMap<(TargetId, Option<EventId>), AttemptRow>,
}

/// Of what the newest attempt tells why a delivery waits: itself, or any to its target.
fn told_by(row: &DeliveryRow) -> (TargetId, Option<EventId>) {
    (row.target, (row.attempts > 0).then_some(row.event))
}

impl Reasons {
    async fn read(
        app: &App,
        org: OrgId,
        (catalog, rows): (&OrgCatalog, &[DeliveryRow]),
        pass: impl Fn(&DeliveryRow) -> Option<PassId>,
    ) -> Result<Self, Problem> {
        let untried = rows.iter().filter(|row| row.attempts == 0 && !row.behind);
        let in_order = untried.filter(|row| catalog.targets.get(&row.target.uuid()).is_some_and(|it| in_order(&it.value.target)));
        let lines = in_order.filter_map(|row| Some((row.id, (row.target, pass(row)?, row.position))));
        let (ids, lines): (Vec<_>, Vec<_>) = lines.unzip();
        let earlier = app.store.backend().earlier_owed(org, &lines).await?;
        let in_turn = ids.into_iter().zip(earlier).filter_map(|(id, due)| due.map(|_| id)).collect();
        let asked: HashSet<_> = rows.iter().filter(|row| row.attempts > 0 || !row.behind).map(told_by).collect();
        let asked: Vec<_> = asked.into_iter().collect();
        let newest = app.store.backend().newest_attempts(org, &asked).await?;
        let newest = asked.into_iter().zip(newest).filter_map(|(of, found)| Some((of, found?))).collect();
        Ok(Self { in_turn, newest })
    }

    fn of(&self, catalog: &OrgCatalog, row: &DeliveryRow) -> (Waits, Option<String>) {
        let last = self.newest.get(&told_by(row));
        let error = || last.and_then(|last| last.error.clone());
        if row.attempts > 0 {
            return (Waits::NextTry, error());
        }
        if row.behind {
            return (Waits::Replay, None);
        }
        if self.in_turn.contains(&row.id) {
            return (Waits::Turn, None);
        }
        if last.is_some_and(|last| matches!(Outcome::of(last.outcome), Outcome::Retrying)) {
            return (Waits::Receiver, error());
        }
        let target = catalog.targets.get(&row.target.uuid()).map(|stored| &stored.value.target);
        let is_paced = target.is_some_and(|target| target.pace.per_second.is_some());
        (if is_paced { Waits::Pace } else { Waits::Place }, None)
    }
}

/// Whether a target wants the events of a pass one after another.
fn in_order(target: &Target) -> bool {
    target.pace.in_order || targets::vendor(target).is_some_and(|vendor| vendor.in_order)
}
