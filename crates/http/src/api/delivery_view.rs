//! How a delivery that is owed is shown: to whom, since which event, and what it waits for.

use std::collections::HashMap;

use domain::{DeliveryId, EventId, EventKind, OrgId, PassId, Target, TargetId, Timestamp};
use serde::Serialize;
use store::{AttemptFilter, AttemptRow, DeliveryRow, EventRow, OrgCatalog};
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
        let mut receivers = Receivers { app, org, last: HashMap::new() };
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let event = events.get(&row.event);
            let pass = event.and_then(|event| event.pass);
            let (waiting_for, error) = receivers.why(&catalog, row, pass).await?;
            all.push(Self {
                id: row.id,
                webhook: row.target,
                event: row.event,
                kind: event.and_then(|event| EventKind::from_number(event.kind)),
                pass,
                attempts: row.attempts,
                due_at: row.due_at,
                waiting_for,
                error,
            });
        }
        Ok(all)
    }
}

/// What receivers did last, each asked for once.
struct Receivers<'a> {
    app: &'a App,
    org: OrgId,
    last: HashMap<TargetId, Option<AttemptRow>>,
}

impl Receivers<'_> {
    async fn why(
        &mut self,
        catalog: &OrgCatalog,
        row: &DeliveryRow,
        pass: Option<PassId>,
    ) -> Result<(Waits, Option<String>), Problem> {
        if row.attempts > 0 {
            let own = AttemptFilter { target: Some(row.target), event: Some(row.event), ..AttemptFilter::default() };
            return Ok((Waits::NextTry, self.newest(&own).await?.and_then(|attempt| attempt.error)));
        }
        if row.behind {
            return Ok((Waits::Replay, None));
        }
        let target = catalog.targets.get(&row.target.uuid()).map(|stored| &stored.value.target);
        if let (Some(target), Some(pass)) = (target, pass)
            && in_order(target)
        {
            let earlier = self.app.store.backend().earlier_owed(self.org, row.target, pass, row.position).await?;
            if earlier.is_some() {
                return Ok((Waits::Turn, None));
            }
        }
        let failed = |attempt: &&AttemptRow| matches!(Outcome::of(attempt.outcome), Outcome::Retrying);
        if let Some(last) = self.last(row.target).await?.filter(failed) {
            return Ok((Waits::Receiver, last.error.clone()));
        }
        let is_paced = target.is_some_and(|target| target.pace.per_second.is_some());
        Ok((if is_paced { Waits::Pace } else { Waits::Place }, None))
    }

    async fn last(&mut self, target: TargetId) -> Result<Option<&AttemptRow>, Problem> {
        if !self.last.contains_key(&target) {
            let found = self.newest(&AttemptFilter { target: Some(target), ..AttemptFilter::default() }).await?;
            self.last.insert(target, found);
        }
        Ok(self.last.get(&target).and_then(Option::as_ref))
    }

    async fn newest(&self, filter: &AttemptFilter) -> Result<Option<AttemptRow>, Problem> {
        Ok(self.app.store.backend().attempts(self.org, filter, 1).await?.into_iter().next())
    }
}

/// Whether a target wants the events of a pass one after another.
fn in_order(target: &Target) -> bool {
    target.pace.in_order || targets::vendor(target).is_some_and(|vendor| vendor.in_order)
}
