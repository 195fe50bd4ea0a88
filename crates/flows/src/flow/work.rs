//! One step and one event → one command, or what the event lacks for it.

use std::collections::BTreeMap;

use domain::{
    Action, Actor, Amount, BalanceChange, Cause, Command, ContactInput, ContactRef, Entropy, FieldValue, IdempotencyKey, Issue,
    LinkCode, MessageOrder, OfflineScan, OrgId, Origin, PassChange, PassRef, Project, Reactivation, Report, ScanInput, ScanOrder,
    Timestamp, Told, UninstallReason, Validity, VariantId, Via, Wallet,
};
use script::text::Text;
use serde_json::Value;
use uuid::Uuid;

use super::document::StepAction;
use super::expression::{self, Expression, Given};
use super::plan::{Direction, ExternalId, Occasion, Plan, PlanStep, Texts, Timing, find_variant};
use super::{MAX_MESSAGE_CHARS, MAX_SENT_CHARS, MAX_SUBJECT_CHARS, MAX_TEXT_BYTES};
use crate::Problem;
use crate::problem;

/// Who wants a command, and what its ids and key are made of.
pub(crate) struct Order<'o> {
    /// Whose passes.
    pub(crate) org: OrgId,
    /// Who asks.
    pub(crate) actor: Actor,
    /// What led to it.
    pub(crate) cause: Cause,
    /// Under which name it happens once.
    pub(crate) key: IdempotencyKey,
    /// When it was asked for; ids begin with it.
    pub(crate) at: Timestamp,
    /// What ids are derived from, with the name.
    pub(crate) seed: Uuid,
    /// Tells the commands of one seed apart.
    pub(crate) name: String,
    /// What spans count from.
    pub(crate) spans_from: Timestamp,
    /// When what led to it happened, where somebody else's clock tells.
    pub(crate) told: Option<Told>,
    /// Whose pass is mirrored.
    pub(crate) via: Vec<OrgId>,
    /// Whether a contact or a balance that is not told is simply left out.
    pub(crate) is_lenient: bool,
    /// Whether it comes of another platform whose account is mirrored.
    pub(crate) is_mirrored: bool,
    /// For the secret part of page addresses alone.
    pub(crate) entropy: &'o dyn Entropy,
}

impl Order<'_> {
    fn derive<K: domain::IdKind>(&self, what: &str) -> domain::Id<K> {
        domain::Id::derive(self.at, self.seed, format!("{}/{what}", self.name).as_bytes())
    }
}

impl<'o> Order<'o> {
    /// Of a step of a flow for an event: the same step of the same run has the same ids.
    pub(super) fn of_flow(plan: &Plan, step: &PlanStep, occasion: &Occasion<'o>) -> Self {
        let flow = plan.flow;
        let Occasion { org, source, event, received_at, run, part, .. } = *occasion;
        // Tells events apart that a transformation made of one; the first is named as if it were the only one.
        let part = if part == 0 { String::new() } else { format!("#{part}") };
        let step = &step.id;
        let key = if run == 0 { format!("{event}/{step}{part}") } else { format!("{event}/{step}/{run}{part}") };
        Self {
            org,
            actor: Actor::Source { id: source },
            cause: Cause::SourceEvent {
                id: event,
                flow,
                step: step.clone(),
                via: occasion.via.map_or_else(Vec::new, |via| via.event.clone()),
            },
            // What was applied binds, also when the flow was edited since: the fingerprint says nothing of the content.
            key: IdempotencyKey { principal: format!("flow/{flow}"), key, fingerprint: [0; 32], keep_image: false },
            at: received_at,
            seed: event.uuid(),
            name: format!("{flow}/{step}/{run}{part}"),
            spans_from: occasion.occurred_at.unwrap_or(received_at),
            told: occasion.occurred_at.map(|at| Told { at, late: plan.late }),
            via: occasion.via.map_or_else(Vec::new, Via::all),
            is_lenient: false,
            is_mirrored: occasion.is_mirrored,
            entropy: occasion.entropy,
        }
    }
}

/// The command of a step for an event.
///
/// # Errors
/// Everything that the event lacks for it.
pub(crate) fn command(project: &Project, step: &PlanStep, event: &Value, order: Order<'_>) -> Result<Command, Vec<Problem>> {
    let mut work = Work { project, step, event, order: &order, problems: Vec::new() };
    match work.action() {
        Some(action) if work.problems.is_empty() => {
            let id = order.derive("command");
            Ok(Command {
                id,
                org: order.org,
                actor: order.actor,
                cause: order.cause,
                key: Some(order.key),
                told: order.told,
                action,
            })
        }
        _ => Err(work.problems),
    }
}

/// The pass that a step is about.
///
/// # Errors
/// Everything that the event lacks for it.
pub(super) fn find(project: &Project, step: &PlanStep, event: &Value, order: &Order<'_>) -> Result<PassRef, Vec<Problem>> {
    let mut work = Work { project, step, event, order, problems: Vec::new() };
    work.find().ok_or(work.problems)
}

/// One step at work on one event.
struct Work<'w> {
    project: &'w Project,
    step: &'w PlanStep,
    event: &'w Value,
    order: &'w Order<'w>,
    problems: Vec<Problem>,
}

impl Work<'_> {
    fn wrong<T>(&mut self, key: &str, message: impl Into<String>) -> Option<T> {
        self.problems.push(Problem::new(problem::join(&self.step.path, key), message));
        None
    }

    fn read<T>(&mut self, expression: Option<&Expression>, reader: impl FnOnce(&Value) -> Result<Option<T>, String>) -> Given<T> {
        let Some(expression) = expression else { return Given::Missing };
        expression.read(self.event, reader).unwrap_or_else(|problem| {
            self.problems.push(problem);
            Given::Missing
        })
    }

    fn text(&mut self, texts: &Texts) -> Option<String> {
        texts.0.iter().find_map(|expression| self.read(Some(expression), expression::text).value())
    }

    fn action(&mut self) -> Option<Action> {
        match self.step.action {
            StepAction::Issue => self.issue(),
            StepAction::Update => {
                let pass = self.find();
                let change = self.change()?;
                Some(Action::Update { pass: pass?, change: Box::new(change), expected_version: None })
            }
            StepAction::Activate => Some(Action::Activate { pass: self.find()? }),
            StepAction::Delete => Some(Action::Delete { pass: self.find()?, expected_version: None }),
            StepAction::Revoke => {
                let reason = self.read(self.step.reason.as_ref(), expression::text).value();
                Some(Action::Revoke { pass: self.find()?, reason })
            }
            StepAction::Send => {
                let (pass, channel) = (self.find(), self.step.channel);
                let text = self.message();
                let subject =
                    self.step.subject.as_deref().and_then(|subject| self.written(subject, "subject", MAX_SUBJECT_CHARS));
                let sender = self.step.sender.clone();
                let order = MessageOrder { channel: channel?, sender, test_to: None, subject, text, despite_bounce: false };
                Some(Action::Send { pass: pass?, order: Box::new(order) })
            }
            StepAction::RecordInstall | StepAction::RecordUninstall => self.report(),
            StepAction::RecordScan => self.scanned(),
            // It is done by whoever runs the plan.
            StepAction::Wait => None,
            StepAction::Notify => {
                let pass = self.find();
                match self.message() {
                    Some(text) => Some(Action::Notify { pass: pass?, text, at: None, until: None }),
                    None if self.problems.is_empty() => self.wrong("message", "the text is empty with this event"),
                    None => None,
                }
            }
        }
    }

    fn find(&mut self) -> Option<PassRef> {
        let find = &self.step.find;
        let project = self.project.id;
        let mut one = |texts: &Option<Texts>| texts.as_ref().and_then(|texts| self.text(texts));
        if let Some(id) = one(&find.pass) {
            return match id.parse() {
                Ok(id) => Some(PassRef::Id(id)),
                Err(_) => self.wrong("find.pass", expression::NO_PASS_ID),
            };
        }
        if let Some(external_id) = one(&find.external_id) {
            return Some(PassRef::External { project, external_id });
        }
        if let Some(external_id) = one(&find.contact) {
            return Some(PassRef::OfContact { project, contact: ContactRef::External(external_id) });
        }
        if let Some(email) = one(&find.email) {
            return Some(PassRef::OfContact { project, contact: ContactRef::Email(domain::normalise_email(&email)) });
        }
        if self.problems.is_empty() {
            let from = find.origins().join(", ");
            return self.wrong("find", format!("the event says no pass: nothing at {from}"));
        }
        None
    }

    fn report(&mut self) -> Option<Action> {
        let pass = self.find();
        let wallet = self.read(self.step.wallet.as_ref(), expression::wallet).value().unwrap_or(Wallet::Unknown);
        let device = self.read(self.step.device.as_ref(), expression::text).value();
        let reason = self.read(self.step.reason.as_ref(), expression::reason).value().unwrap_or(UninstallReason::Told);
        let gone = (self.step.action == StepAction::RecordUninstall).then_some(reason);
        let report = Report { wallet, device, at: self.happened_at(), gone };
        Some(Action::RecordReport { pass: pass?, report })
    }

    /// The other platform judged the scan, as a reader without a network does: what we would have refused is told as that.
    fn scanned(&mut self) -> Option<Action> {
        let (pass, step) = (self.find(), self.step);
        let mut one = |expression: &Option<Expression>| self.read(expression.as_ref(), expression::text).value();
        let (operator, device, location) = (one(&step.operator), one(&step.device), one(&step.location));
        let offline = Some(OfflineScan { at: self.happened_at(), accepted: true });
        let input = ScanInput { operator, device, location, offline };
        let order =
            ScanOrder { input, project: Some(self.project.id), is_mirrored: self.order.is_mirrored, ..ScanOrder::default() };
        Some(Action::Scan { passes: vec![pass?], order: Box::new(order) })
    }

    fn happened_at(&mut self) -> Timestamp {
        self.read(self.step.at.as_ref(), expression::time).value().unwrap_or(self.order.spans_from)
    }

    fn issue(&mut self) -> Option<Action> {
        let contact = self.contact();
        let external_id = match &self.step.external_id {
            ExternalId::None => None,
            ExternalId::OfContact => contact.as_ref().and_then(|contact| contact.external_id.clone()),
            ExternalId::From(expression) => {
                let found = self.read(Some(expression), expression::text).value();
                if found.is_none() && self.problems.is_empty() {
                    let message =
                        format!("nothing at {}; without it a repeated event would issue another pass", expression.origin());
                    self.problems.push(Problem::new(expression.path(), message));
                }
                found
            }
        };
        let variant = self.variant();
        let fields = self.fields().into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        let balances: BTreeMap<String, Amount> = self
            .balances()
            .into_iter()
            .map(|(name, change)| match change {
                BalanceChange::Set(amount) | BalanceChange::Add(amount) => (name, amount),
            })
            .collect();
        let starts_at = self.read(self.step.starts_at.as_ref(), expression::time).value();
        let expires_at = self.expires().value();
        let uses_limit = self.read(self.step.uses_limit.as_ref(), expression::count).value();
        let inactive = self.read(self.step.inactive.as_ref(), expression::flag).value().unwrap_or(false);
        Some(Action::Issue(Box::new(Issue {
            id: self.order.derive("pass"),
            code: LinkCode::mint(self.order.entropy),
            project: self.project.id,
            variant,
            external_id,
            contact,
            new_contact: self.order.derive("contact"),
            fields,
            balances,
            validity: Validity { starts_at, expires_at },
            uses_limit,
            inactive,
            origin: origin(self.event, &self.order.via),
            if_exists: self.step.if_exists,
            undoes: None,
        })))
    }

    fn change(&mut self) -> Option<PassChange> {
        let contact = self.contact();
        let external_id = match &self.step.external_id {
            ExternalId::From(expression) => self.read(Some(expression), expression::text).value(),
            ExternalId::None | ExternalId::OfContact => None,
        };
        let new_contact = contact.as_ref().map(|_| self.order.derive("contact"));
        Some(PassChange {
            variant: self.variant(),
            external_id,
            contact,
            new_contact,
            fields: self.fields(),
            balances: self.balances(),
            starts_at: self.read(self.step.starts_at.as_ref(), expression::time).change(),
            expires_at: self.expires().change(),
            uses_limit: self.read(self.step.uses_limit.as_ref(), expression::count).change(),
            message: self.message(),
            reactivation: Reactivation::Never,
        })
    }

    fn contact(&mut self) -> Option<ContactInput> {
        let plan = self.step.contact.as_ref()?;
        let mut contact = ContactInput {
            external_id: self.text(&plan.external_id),
            email: self.text(&plan.email).map(|email| domain::normalise_email(&email)),
            name: self.text(&plan.name),
            phone: self.text(&plan.phone),
            ..ContactInput::default()
        };
        let traits = self.read(plan.traits.as_ref(), expression::object);
        for (key, value) in traits.value().into_iter().flatten() {
            contact.traits.extend(FieldValue::from_json(&value).map(|value| (key, value)));
        }
        if self.order.is_lenient && contact == ContactInput::default() {
            return None;
        }
        if !contact.identifies() && self.problems.is_empty() {
            let origins: Vec<String> = plan.external_id.0.iter().chain(&plan.email.0).map(Expression::origin).collect();
            let message = format!(
                "step {} needs contact.external_id or contact.email: nothing at {}; write `contact: null` for a pass of nobody",
                self.step.id,
                if origins.is_empty() { "all".to_owned() } else { origins.join(", ") }
            );
            self.problems.push(Problem::new(plan.path.clone(), message));
        }
        Some(contact)
    }

    fn variant(&mut self) -> Option<VariantId> {
        let expression = self.step.variant.as_ref()?;
        let name = self.read(Some(expression), expression::text).value()?;
        let found = find_variant(self.project, &name);
        if found.is_none() {
            let known: Vec<&str> = self.project.variants.iter().map(|variant| variant.id.as_str()).collect();
            let message =
                format!("the value of {} is no variant of the project; there are {}", expression.origin(), known.join(", "));
            self.problems.push(Problem::new(expression.path(), message));
        }
        found
    }

    /// Fields to set or, when none, to remove. Keys that the project does not have are left out: a mapping that takes
    /// all of an object may bring more than the pass shows.
    fn fields(&mut self) -> BTreeMap<String, Option<FieldValue>> {
        let mut out = BTreeMap::new();
        let members = self.read(self.step.fields.as_ref(), expression::object);
        for (key, value) in members.value().into_iter().flatten() {
            let Some(field) = self.project.field(&key) else { continue };
            let read = if value.is_null() { Ok(None) } else { expression::field(&value, field.field_type) };
            match read {
                Ok(value) => {
                    out.insert(key, value);
                }
                Err(message) => {
                    let path = problem::key(&problem::key(&self.step.path, "fields"), &key);
                    self.problems.push(Problem::new(path, message));
                }
            }
        }
        out
    }

    fn balances(&mut self) -> BTreeMap<String, BalanceChange> {
        let mut out = BTreeMap::new();
        for plan in &self.step.balances {
            let before = self.problems.len();
            let Some(amount) = self.read(Some(&plan.amount), expression::amount).value() else {
                if self.problems.len() == before && !self.order.is_lenient {
                    self.problems.push(Problem::new(plan.amount.path(), format!("nothing at {}", plan.amount.origin())));
                }
                continue;
            };
            let change = expression::scaled(amount, plan.times, plan.rounding).and_then(|amount| match plan.direction {
                Direction::Set => Ok(BalanceChange::Set(amount)),
                Direction::Add => Ok(BalanceChange::Add(amount)),
                Direction::Subtract => Amount::ZERO.minus(amount).map(BalanceChange::Add).map_err(|error| error.to_string()),
            });
            match change {
                Ok(change) => {
                    out.insert(plan.name.clone(), change);
                }
                Err(message) => self.problems.push(Problem::new(plan.amount.path(), message)),
            }
        }
        out
    }

    fn expires(&mut self) -> Given<Timestamp> {
        match &self.step.expires {
            Timing::Unset => Given::Missing,
            Timing::At(expression) => self.read(Some(expression), expression::time),
            Timing::After(span) => Given::Value(self.order.spans_from.plus(*span)),
        }
    }

    /// The text for the holder, when there is one.
    fn message(&mut self) -> Option<String> {
        let most = if self.step.action == StepAction::Send { MAX_SENT_CHARS } else { MAX_MESSAGE_CHARS };
        self.written(self.step.message.as_deref()?, "message", most)
    }

    fn written(&mut self, text: &Text, key: &str, most: usize) -> Option<String> {
        match text.render(self.event) {
            Ok(text) if text.chars().count() > most => {
                self.wrong(key, format!("the text is longer than {most} characters with this event"))
            }
            Ok(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Err(why) => self.wrong(key, why),
        }
    }
}

/// Campaign, referrer and address, where the tracking libraries put them.
fn origin(event: &Value, via: &[OrgId]) -> Origin {
    let text = |pointer: &str| {
        let found =
            event.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty() && text.len() <= MAX_TEXT_BYTES);
        found.map(str::to_owned)
    };
    let campaign = [("campaign", "name"), ("source", "source"), ("medium", "medium"), ("term", "term"), ("content", "content")];
    let utm = campaign
        .into_iter()
        .filter_map(|(utm, key)| Some((utm.to_owned(), text(&format!("/context/campaign/{key}"))?)))
        .collect();
    Origin { utm, referrer: text("/context/page/referrer"), ip: text("/context/ip"), via: via.to_vec() }
}
