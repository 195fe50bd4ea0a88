//! What webhooks and destinations have in common: which events they want, how fast and by which way they are sent to, what they
//! miss while they are switched off, and what they are owed.

use std::collections::BTreeMap;

use ::connectors::{
    catalog::{Vendor, find},
    kit::Secret,
};
use domain::{
    DeliveryId, EventId, EventKind, OrgId, Payload, ProjectId, SwitchOff, Target, TargetEvents, TargetId, TargetPace, TemplateId,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use store::{Catalog, DeliveryRow, OrgCatalog, StoredTarget, StoredTransformation, Unchanged};
use utoipa::ToSchema;

use super::{
    config::{self, Shown},
    schema::IdText,
};
use crate::{App, Conflict, Problem};

/// Most templates that one can be for.
const MAX_TEMPLATES: usize = 50;

/// What makes a target's connector a service, and the target a destination; none of a webhook's.
pub(super) fn vendor(target: &Target) -> Option<Vendor> {
    find(&target.dialect)?.destination?.vendor
}

/// Refuses filters by project, template and kind that name what there is not, or what is never told; `untold` says why not.
pub(super) fn check_filters(
    catalog: &OrgCatalog,
    project: Option<ProjectId>,
    templates: &[TemplateId],
    events: Option<&[EventKind]>,
    untold: impl Fn(EventKind) -> Option<String>,
) -> Result<(), Problem> {
    if project.is_some_and(|project| catalog.project(project).is_none()) {
        return Err(Problem::field("project", "no such project"));
    }
    if templates.len() > MAX_TEMPLATES {
        return Err(Problem::field("templates", format!("at most {MAX_TEMPLATES}")));
    }
    if let Some(at) = templates.iter().position(|id| catalog.template(*id).is_none()) {
        return Err(Problem::field(format!("templates.{at}"), "no such template"));
    }
    if let Some(why) = events.into_iter().flatten().find_map(|kind| untold(*kind)) {
        return Err(Problem::field("events", why));
    }
    if events.is_some_and(<[EventKind]>::is_empty) {
        return Err(Problem::field("events", "name at least one, or leave it out for all"));
    }
    Ok(())
}

/// The kinds of events that are named; none where none are.
pub(super) fn named_kinds(events: TargetEvents) -> Option<Vec<EventKind>> {
    match events {
        TargetEvents::All | TargetEvents::Operational => None,
        TargetEvents::Only(kinds) => Some(kinds),
    }
}

/// How fast a webhook is sent to, by each node. A webhook that says that it has too much (429, 502, 503), or times out, is sent
/// fewer requests at once, and one that fails ten times in a row is left alone for a while.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookPace)]
pub(super) struct PaceInput {
    /// Most requests in a second; null means no limit.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 10000)]
    per_second: Option<u32>,
    /// Most requests at once; null means 8.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 64)]
    concurrency: Option<u16>,
    /// Seconds for one request, from resolving the name to the last byte of the answer; null means 15.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 30)]
    timeout_seconds: Option<u16>,
    /// Whether an event of a pass waits until earlier ones of the same pass were taken or given up. Replays do not wait.
    #[serde(default)]
    in_order: bool,
}

impl PaceInput {
    pub(super) fn check(self) -> Result<TargetPace, Problem> {
        let Self { per_second, concurrency, timeout_seconds, in_order } = self;
        let wide = |value: Option<u16>| value.map(u32::from);
        let limits = [
            ("per_second", per_second, 10_000),
            ("concurrency", wide(concurrency), 64),
            ("timeout_seconds", wide(timeout_seconds), 30),
        ];
        for (name, value, most) in limits {
            if value.is_some_and(|value| !(1..=most).contains(&value)) {
                return Err(Problem::field(format!("pace.{name}"), format!("expected 1 to {most}, or null")));
            }
        }
        Ok(TargetPace { per_second, concurrency, timeout_seconds, in_order })
    }

    pub(super) fn of(pace: TargetPace) -> Self {
        let TargetPace { per_second, concurrency, timeout_seconds, in_order } = pace;
        Self { per_second, concurrency, timeout_seconds, in_order }
    }
}

/// After how much failure a webhook is switched off. Every change of the webhook begins the count anew.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookSwitchOff)]
pub(super) struct SwitchOffInput {
    /// So many deliveries that were given up one after another; null takes the shape's own limit, which answers show: five of
    /// `passengine`, none of the others.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    pub(super) after_failures: Option<u32>,
    /// So many hours in which it took nothing and failed at least five times; null means never.
    #[serde(default = "five_days")]
    #[schema(minimum = 1, maximum = 8760, default = 120)]
    after_hours: Option<u32>,
}

fn five_days() -> Option<u32> {
    SwitchOff::default().after_hours
}

impl Default for SwitchOffInput {
    fn default() -> Self {
        Self::of(SwitchOff::default())
    }
}

impl SwitchOffInput {
    pub(super) fn of(switch_off: SwitchOff) -> Self {
        let SwitchOff { after_failures, after_hours } = switch_off;
        Self { after_failures, after_hours }
    }

    pub(super) fn check(self) -> Result<SwitchOff, Problem> {
        let Self { after_failures, after_hours } = self;
        for (name, value, most) in [("after_failures", after_failures, 1_000), ("after_hours", after_hours, 8_760)] {
            if value.is_some_and(|value| !(1..=most).contains(&value)) {
                return Err(Problem::field(format!("switch_off.{name}"), format!("expected 1 to {most}, or null")));
            }
        }
        Ok(SwitchOff { after_failures, after_hours })
    }
}

/// A way out that is asked for, when the operator configured it for this organization. Names that are for others are not told.
pub(super) fn egress(app: &App, org: OrgId, asked: Option<String>) -> Result<Option<String>, Problem> {
    let Some(name) = asked else { return Ok(None) };
    let mine = || app.settings.egresses.iter().filter(|(_, users)| users.has(org)).map(|(name, _)| name.as_str());
    if mine().any(|it| it == name) {
        return Ok(Some(name));
    }
    let names = mine().collect::<Vec<_>>().join(", ");
    let names = if names.is_empty() { "none" } else { &names };
    let why = format!(
        "this server's configuration has no egress of this name that is for this organization ({org}, which its operator adds to \
         `organizations` of [egress.NAME]); for it there is {names}"
    );
    Err(Problem::field("egress", why))
}

/// The headers that are asked for, with the stored values of those that are to be kept.
pub(super) fn headers(
    asked: BTreeMap<String, Option<String>>,
    held: Option<&Target>,
) -> Result<BTreeMap<String, String>, Problem> {
    let kept = |name: &String| held.and_then(|held| held.headers.get(name)).cloned();
    let missing = |name: &str| Problem::field(format!("headers.{name}"), "give its value: there is none to keep");
    let value = |(name, value): (String, Option<String>)| {
        let value = value.or_else(|| kept(&name)).ok_or_else(|| missing(&name))?;
        Ok((name, value))
    };
    asked.into_iter().map(value).collect()
}

/// What one was found to name, which has to be as it was when it is written.
pub(super) fn named(catalog: &Catalog, org: OrgId, target: &Target) -> Option<Unchanged> {
    matches!(target.payload, Some(Payload::Transformation(_))).then(|| catalog.unchanged::<StoredTransformation>(org))
}

/// Since when one has missed events: one that is switched off now misses what comes from now on.
pub(super) fn missed_since(app: &App, held: Option<&Target>, enabled: bool) -> Option<Timestamp> {
    let held = held?;
    let goes_off = held.enabled && !enabled;
    held.missed_since.or_else(|| goes_off.then(|| app.now()))
}

/// Its signing secret, as the store keeps it.
pub(super) fn seal(app: &App, org: OrgId, id: TargetId, secret: &Secret) -> Result<String, Problem> {
    Ok(app.store.seal_for::<StoredTarget>(org, id.uuid(), secret.expose().as_bytes())?)
}

/// A delivery that was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OwedDelivery)]
pub(super) struct Owed {
    /// The delivery: see its attempts with `GET /v1/deliveries/attempts`.
    #[schema(value_type = IdText)]
    delivery: DeliveryId,
    /// The event.
    #[schema(value_type = IdText)]
    event: EventId,
    /// To whom.
    #[schema(value_type = IdText)]
    webhook: TargetId,
}

impl Owed {
    /// An event that finds its way to a target by itself.
    pub(super) fn new(webhook: TargetId, event: EventId) -> Self {
        Self { delivery: DeliveryId::of(event.uuid(), webhook.uuid()), event, webhook }
    }
}

/// Refuses what can only be done with a webhook that is switched on.
pub(super) fn switched_on(target: &Target) -> Result<(), Problem> {
    let off =
        || Problem::Conflict { code: Conflict::NotAllowed, detail: "the webhook is switched off: switch it on first".to_owned() };
    target.enabled.then_some(()).ok_or_else(off)
}

/// Owes an event to a target, whatever became of it before.
pub(super) async fn owe(app: &App, org: OrgId, webhook: TargetId, event: EventId) -> Result<Shown<Owed>, Problem> {
    let catalog = config::org(app, org)?;
    switched_on(&config::one(&catalog.targets, webhook.uuid(), "webhook")?.value.target)?;
    let found = app.store.event(org, event).await?.ok_or_else(|| Problem::no_such("event"))?;
    let position = found.position();
    if found.whole().is_none() {
        return Err(Problem::Gone("whom the event was about has been erased since"));
    }
    let delivery = DeliveryId::of(event.uuid(), webhook.uuid());
    let (due_at, asked_at) = (app.now(), Some(app.now()));
    let row = DeliveryRow { org, id: delivery, target: webhook, event, position, attempts: 0, due_at, behind: false, asked_at };
    app.store.backend().owe(vec![row]).await?;
    Ok(Shown::later(Owed { delivery, event, webhook }))
}
