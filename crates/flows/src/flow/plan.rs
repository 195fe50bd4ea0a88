//! A checked flow, and which events it is for.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use domain::{
    Amount, Channel, Entropy, FlowId, IfExists, Late, OrgId, Project, ProjectId, SourceEvent, SourceEventId, SourceId, Timestamp,
    VariantId, Via,
};
use script::text::Text;
use serde::Deserialize;
use serde_json::Value;

use super::check;
use super::document::{Flow, OnError, StepAction};
use super::expression::{Expression, Rounding};
use super::run::{NotMatched, Run, StepOutcome, StepRun};
use super::wait::{self, Wait, WaitPlan};
use super::work::{self, Order};
use crate::Problem;
use crate::fql::Compiled;
use crate::problem;

/// The event that a flow runs on: whose it is, when, and which run of it.
pub struct Occasion<'o> {
    /// Whose passes.
    pub org: OrgId,
    /// The source that sent it.
    pub source: SourceId,
    /// Its id in the inbox.
    pub event: SourceEventId,
    /// When it reached us; ids are derived from it, so that running again gives the same ones.
    pub received_at: Timestamp,
    /// When it happened, by the sender's clock; spans count from it.
    pub occurred_at: Option<Timestamp>,
    /// 0, or a number that does the steps once more.
    pub run: u32,
    /// Which of the events it is that a transformation made of one; 0 without.
    pub part: u32,
    /// Through which organizations it came, where those told.
    pub via: Option<&'o Via>,
    /// Whether its source is another platform whose account is mirrored.
    pub is_mirrored: bool,
    /// For the secret part of page addresses alone.
    pub entropy: &'o dyn Entropy,
}

/// A checked flow, ready to run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) flow: FlowId,
    pub(super) slug: String,
    pub(super) enabled: bool,
    pub(super) project: Arc<Project>,
    pub(super) sources: Vec<SourceId>,
    pub(super) transformation: Option<String>,
    pub(super) late: Late,
    pub(super) apart: Option<Duration>,
    pub(super) when: WhenPlan,
    pub(super) steps: Vec<PlanStep>,
}

#[derive(Debug, Clone)]
pub(super) struct WhenPlan {
    pub(super) types: Vec<String>,
    pub(super) events: Vec<String>,
    pub(super) loose: bool,
    pub(super) condition: Option<Compiled>,
}

#[derive(Debug, Clone)]
pub(crate) struct PlanStep {
    pub(super) id: String,
    pub(super) path: String,
    pub(super) action: StepAction,
    pub(super) on_error: OnError,
    pub(super) condition: Option<Compiled>,
    pub(super) if_exists: IfExists,
    pub(super) find: FindPlan,
    pub(super) external_id: ExternalId,
    pub(super) contact: Option<ContactPlan>,
    pub(super) variant: Option<Expression>,
    pub(super) fields: Option<Expression>,
    pub(super) balances: Vec<BalancePlan>,
    pub(super) channel: Option<Channel>,
    pub(super) sender: Option<String>,
    pub(super) subject: Option<Arc<Text>>,
    pub(super) message: Option<Arc<Text>>,
    pub(super) wallet: Option<Expression>,
    pub(super) device: Option<Expression>,
    pub(super) at: Option<Expression>,
    pub(super) operator: Option<Expression>,
    pub(super) location: Option<Expression>,
    pub(super) reason: Option<Expression>,
    pub(super) starts_at: Option<Expression>,
    pub(super) expires: Timing,
    pub(super) uses_limit: Option<Expression>,
    pub(super) inactive: Option<Expression>,
    pub(super) wait: Option<WaitPlan>,
}

/// Expressions of which the first that has a text counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts(pub(super) Vec<Expression>);

#[derive(Debug, Clone, Default)]
pub(super) struct FindPlan {
    pub(super) pass: Option<Texts>,
    pub(super) external_id: Option<Texts>,
    pub(super) contact: Option<Texts>,
    pub(super) email: Option<Texts>,
}

#[derive(Debug, Clone)]
pub(super) enum ExternalId {
    None,
    OfContact,
    From(Expression),
}

#[derive(Debug, Clone)]
pub(super) struct ContactPlan {
    pub(super) path: String,
    pub(super) external_id: Texts,
    pub(super) email: Texts,
    pub(super) name: Texts,
    pub(super) phone: Texts,
    pub(super) traits: Option<Expression>,
}

#[derive(Debug, Clone)]
pub(super) struct BalancePlan {
    pub(super) name: String,
    pub(super) amount: Expression,
    pub(super) direction: Direction,
    pub(super) times: Option<Amount>,
    pub(super) rounding: Option<Rounding>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Set,
    Add,
    Subtract,
}

#[derive(Debug, Clone)]
pub(super) enum Timing {
    Unset,
    At(Expression),
    After(Duration),
}

/// The variant of that id, or of that id or name when case does not matter.
pub(super) fn find_variant(project: &Project, name: &str) -> Option<VariantId> {
    let exact = project.variants.iter().find(|variant| variant.id.as_str() == name);
    let loose = |text: &str| text.to_lowercase() == name.to_lowercase();
    exact
        .or_else(|| project.variants.iter().find(|variant| loose(variant.id.as_str()) || loose(&variant.name)))
        .map(|variant| variant.id.clone())
}

/// An event name with nothing but its letters and digits, in lower case.
fn bare(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

impl WhenPlan {
    fn why_not(&self, event: &Value) -> Option<NotMatched> {
        let text = |key: &str| event.get(key).and_then(Value::as_str);
        let plain = |reason: String, found: Option<&str>| {
            let found = found.map_or_else(|| "none".to_owned(), |found| format!("`{}`", problem::clip(found, 80)));
            Some(NotMatched { detail: format!("{reason}, the event has {found}"), reason })
        };
        let call = text("type");
        if !self.is_type(call) {
            return plain(format!("type is not {}", self.types.join(" or ")), call);
        }
        let name = name_of(text("event"), text("name"), call);
        if !self.is_named(name) {
            return plain(format!("the event name is not {}", self.events.join(" or ")), name);
        }
        why_not(self.condition.as_ref(), event)
    }

    fn may_want(&self, label: &Label<'_>) -> bool {
        let call = label.call.as_deref();
        self.is_type(call) && self.is_named(name_of(label.event.as_deref(), label.name.as_deref(), call))
    }

    /// Whether one whose name in the inbox is this may be for it. Track calls alone tell in it what `event` is.
    fn may_want_called(&self, name: &str) -> bool {
        let Some(about) = name.strip_prefix("track ") else { return true };
        let is_whole = about.chars().count() < SourceEvent::MAX_ABOUT_CHARS;
        let fits = |wanted: &String| SourceEvent::about(wanted).eq(about.chars()) || self.loose && bare(about) == bare(wanted);
        !is_whole || self.is_type(Some("track")) && (self.events.is_empty() || self.events.iter().any(fits))
    }

    fn is_type(&self, call: Option<&str>) -> bool {
        self.types.is_empty() || self.types.iter().any(|wanted| Some(wanted.as_str()) == call)
    }

    fn is_named(&self, name: Option<&str>) -> bool {
        let fits = |wanted: &String| name.is_some_and(|name| name == wanted || self.loose && bare(name) == bare(wanted));
        self.events.is_empty() || self.events.iter().any(fits)
    }
}

/// What an event is called: pages and screens may do with their name.
fn name_of<'e>(event: Option<&'e str>, name: Option<&'e str>, call: Option<&str>) -> Option<&'e str> {
    event.or_else(|| name.filter(|_| matches!(call, Some("page" | "screen"))))
}

/// What an event is called and of which type it is, read without the rest of it.
#[derive(Debug, Clone, Deserialize)]
pub struct Label<'e> {
    #[serde(rename = "type", borrow, default)]
    call: Option<Cow<'e, str>>,
    #[serde(borrow, default)]
    event: Option<Cow<'e, str>>,
    #[serde(borrow, default)]
    name: Option<Cow<'e, str>>,
}

impl<'e> Label<'e> {
    /// Of an event as JSON; nothing where only reading all of it can tell.
    #[must_use]
    pub fn of(event: &'e str) -> Option<Self> {
        serde_json::from_str(event).ok()
    }
}

fn why_not(condition: Option<&Compiled>, event: &Value) -> Option<NotMatched> {
    let condition = condition?;
    Some(NotMatched { reason: condition.which_not(event)?, detail: condition.why_not(event)? })
}

/// Which events a flow is for, as far as its document tells although the flow itself cannot run.
#[derive(Debug, Clone)]
pub struct Audience {
    when: WhenPlan,
    transformed: bool,
}

impl Audience {
    /// Of a flow; one whose condition cannot be read may be for every event of its types and names.
    #[must_use]
    pub fn of(flow: &Flow) -> Self {
        Self { when: check::readable_when(&flow.when), transformed: flow.transformation.is_some() }
    }

    /// Whether an event of this label may be for the flow: its condition needs the whole event, and what its transformation
    /// makes of any event is not known.
    #[must_use]
    pub fn may_want(&self, label: &Label<'_>) -> bool {
        self.transformed || self.when.may_want(label)
    }

    /// [`Audience::may_want`] by the name that the event has in the inbox: what says no is right, and costs nothing.
    #[must_use]
    pub fn may_want_called(&self, name: &str) -> bool {
        self.transformed || self.when.may_want_called(name)
    }

    /// Whether the event may be for the flow: nothing that is known of it says no.
    #[must_use]
    pub fn may_take(&self, event: &Value) -> bool {
        self.transformed || self.when.why_not(event).is_none()
    }
}

impl Plan {
    /// The flow's id.
    #[must_use]
    pub fn id(&self) -> FlowId {
        self.flow
    }

    /// The flow's slug.
    #[must_use]
    pub fn slug(&self) -> &str {
        &self.slug
    }

    /// The project whose passes it changes.
    #[must_use]
    pub fn project(&self) -> ProjectId {
        self.project.id
    }

    /// Whether a step of it may issue a pass.
    #[must_use]
    pub fn issues(&self) -> bool {
        self.steps.iter().any(|step| step.action == StepAction::Issue)
    }

    /// How far its turns lie apart, where it has a rate.
    #[must_use]
    pub fn apart(&self) -> Option<Duration> {
        self.apart
    }

    /// The transformation that events go through before they are given to [`Plan::run`]: slug or id.
    #[must_use]
    pub fn transformation(&self) -> Option<&str> {
        self.transformation.as_deref()
    }

    /// Whether it is enabled and listens to the source.
    #[must_use]
    pub fn listens_to(&self, source: SourceId) -> bool {
        self.enabled && (self.sources.is_empty() || self.sources.contains(&source))
    }

    /// Whether an event of this label may be for it: its condition needs the whole event, and what its transformation makes
    /// of any event is not known.
    #[must_use]
    pub fn may_want(&self, label: &Label<'_>) -> bool {
        self.transformation.is_some() || self.when.may_want(label)
    }

    /// [`Plan::may_want`] by the name that the event has in the inbox: what says no is right, and costs nothing.
    #[must_use]
    pub fn may_want_called(&self, name: &str) -> bool {
        self.transformation.is_some() || self.when.may_want_called(name)
    }

    /// Runs the flow on an event: the same event, occasion and entropy give the same commands.
    #[must_use]
    pub fn run(&self, event: &Value, occasion: &Occasion<'_>) -> Run {
        let not_matched = self.when.why_not(event);
        let mut steps = Vec::new();
        let (mut stopped, mut waited) = (false, false);
        for step in self.steps.iter().filter(|_| not_matched.is_none()) {
            let outcome = if stopped { StepOutcome::NotReached } else { self.step(step, event, occasion, waited) };
            waited |= matches!(outcome, StepOutcome::Wait(_));
            stopped |= matches!(outcome, StepOutcome::Failed(_)) && step.on_error == OnError::Stop;
            steps.push(StepRun { id: step.id.clone(), action: step.action, on_error: step.on_error, outcome });
        }
        Run { flow: self.slug.clone(), not_matched, steps }
    }

    fn step(&self, step: &PlanStep, event: &Value, occasion: &Occasion<'_>, waited: bool) -> StepOutcome {
        if let Some(why) = why_not(step.condition.as_ref(), event) {
            return StepOutcome::Skipped(why);
        }
        let mut order = Order::of_flow(self, step, occasion);
        // What was put off happens when its time has come, and is not late by that.
        order.told = order.told.filter(|_| !waited);
        let became = match &step.wait {
            Some(wait) => self.wait(step, wait, event, &order).map(StepOutcome::Wait),
            None => work::command(&self.project, step, event, order).map(|command| StepOutcome::Command(Box::new(command))),
        };
        became.unwrap_or_else(StepOutcome::Failed)
    }

    fn wait(&self, step: &PlanStep, plan: &WaitPlan, event: &Value, order: &Order<'_>) -> Result<Wait, Vec<Problem>> {
        let (from, at) = (order.spans_from, order.at);
        let until = match plan {
            WaitPlan::Place(place) => {
                return work::find(&self.project, step, event, order).map(|pass| Wait::Look(pass, place.clone()));
            }
            WaitPlan::For(span) => from.plus(*span),
            WaitPlan::Event(expression) => WaitPlan::of_event(expression, event, &step.path).map_err(|problem| vec![problem])?,
        };
        // A clock of a sender that runs ahead puts nothing off for ever.
        let until = wait::within(until, at).map_err(|why| vec![Problem::new(step.path.clone(), why)])?;
        Ok(Wait::Until(until))
    }
}

impl FindPlan {
    fn each(&self) -> impl Iterator<Item = &Texts> {
        [&self.pass, &self.external_id, &self.contact, &self.email].into_iter().flatten()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.each().next().is_none()
    }

    pub(super) fn origins(&self) -> Vec<String> {
        self.each().flat_map(|texts| &texts.0).map(Expression::origin).collect()
    }
}
