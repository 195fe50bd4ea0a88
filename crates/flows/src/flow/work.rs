//! One step and one event → one command, or what the event lacks for it.

use std::collections::BTreeMap;

use domain::{
    Action, Actor, Amount, BalanceChange, Cause, Command, CommandId, ContactId, ContactInput, ContactRef, FieldValue,
    IdempotencyKey, Issue, LinkCode, Origin, PassChange, PassId, PassRef, Timestamp, Validity, VariantId,
};
use serde_json::Value;

use super::document::StepAction;
use super::expression::{self, Expression, Given};
use super::plan::{Direction, ExternalId, Occasion, Plan, PlanStep, Texts, Timing, find_variant};
use super::{MAX_MESSAGE_CHARS, MAX_TEXT_BYTES};
use crate::Problem;
use crate::problem;

/// The command of a step for an event.
///
/// # Errors
/// Everything that the event lacks for it.
pub(super) fn command(plan: &Plan, step: &PlanStep, event: &Value, occasion: &Occasion<'_>) -> Result<Command, Vec<Problem>> {
    let mut work = Work { plan, step, event, occasion, problems: Vec::new() };
    match work.action() {
        Some(action) if work.problems.is_empty() => Ok(work.command(action)),
        _ => Err(work.problems),
    }
}

/// One step at work on one event.
struct Work<'w> {
    plan: &'w Plan,
    step: &'w PlanStep,
    event: &'w Value,
    occasion: &'w Occasion<'w>,
    problems: Vec<Problem>,
}

impl Work<'_> {
    /// What the step's ids are derived from: the same step of the same run has the same ones.
    fn name(&self) -> String {
        let part = self.part();
        format!("{}/{}/{}{part}", self.plan.flow, self.step.id, self.occasion.run)
    }

    /// Tells events apart that a transformation made of one; the first is named as if it were the only one.
    fn part(&self) -> String {
        if self.occasion.part == 0 { String::new() } else { format!("#{}", self.occasion.part) }
    }

    fn command(&self, action: Action) -> Command {
        let Occasion { org, source, event, received_at, run, .. } = *self.occasion;
        let (step, part) = (&self.step.id, self.part());
        let key = if run == 0 { format!("{event}/{step}{part}") } else { format!("{event}/{step}/{run}{part}") };
        Command {
            id: CommandId::derive(received_at, event.uuid(), format!("{}/command", self.name()).as_bytes()),
            org,
            actor: Actor::Source { id: source },
            cause: Cause::SourceEvent { id: event, flow: self.plan.flow, step: self.step.id.clone() },
            // What was applied binds, also when the flow was edited since: the fingerprint says nothing of the content.
            key: Some(IdempotencyKey {
                principal: format!("flow/{}", self.plan.flow),
                key,
                fingerprint: [0; 32],
                keep_image: false,
            }),
            action,
        }
    }

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
            StepAction::Delete => Some(Action::Delete { pass: self.find()? }),
            StepAction::Revoke => {
                let reason = self.read(self.step.reason.as_ref(), expression::text).value();
                Some(Action::Revoke { pass: self.find()?, reason })
            }
            StepAction::Notify => {
                let pass = self.find();
                match self.message() {
                    Some(text) => Some(Action::Notify { pass: pass?, text }),
                    None if self.problems.is_empty() => self.wrong("message", "the text is empty with this event"),
                    None => None,
                }
            }
        }
    }

    fn find(&mut self) -> Option<PassRef> {
        let find = &self.step.find;
        let project = self.plan.project.id;
        let mut one = |texts: &Option<Texts>| texts.as_ref().and_then(|texts| self.text(texts));
        if let Some(id) = one(&find.pass) {
            return match id.parse() {
                Ok(id) => Some(PassRef::Id(id)),
                Err(_) => self.wrong("find.pass", "expected a pass id: 22 letters and digits, or a UUID"),
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
        let occasion = self.occasion;
        let derived = |what: &str| format!("{}/{what}", self.name());
        Some(Action::Issue(Box::new(Issue {
            id: PassId::derive(occasion.received_at, occasion.event.uuid(), derived("pass").as_bytes()),
            code: LinkCode::mint(occasion.entropy),
            project: self.plan.project.id,
            variant,
            external_id,
            contact,
            new_contact: ContactId::derive(occasion.received_at, occasion.event.uuid(), derived("contact").as_bytes()),
            fields,
            balances,
            validity: Validity { starts_at, expires_at },
            uses_limit,
            inactive,
            origin: origin(self.event),
            if_exists: self.step.if_exists,
        })))
    }

    fn change(&mut self) -> Option<PassChange> {
        let contact = self.contact();
        let external_id = match &self.step.external_id {
            ExternalId::From(expression) => self.read(Some(expression), expression::text).value(),
            ExternalId::None | ExternalId::OfContact => None,
        };
        let new_contact = contact.as_ref().map(|_| {
            ContactId::derive(
                self.occasion.received_at,
                self.occasion.event.uuid(),
                format!("{}/contact", self.name()).as_bytes(),
            )
        });
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
        })
    }

    fn contact(&mut self) -> Option<ContactInput> {
        let plan = self.step.contact.as_ref()?;
        let mut contact = ContactInput {
            external_id: self.text(&plan.external_id),
            email: self.text(&plan.email).map(|email| domain::normalise_email(&email)),
            name: self.text(&plan.name),
            phone: self.text(&plan.phone),
            traits: BTreeMap::new(),
        };
        let traits = self.read(plan.traits.as_ref(), |value| match value {
            Value::Object(members) => Ok(Some(members.clone())),
            other => Err(format!("expected an object, found {}", problem::kind(other))),
        });
        for (key, value) in traits.value().into_iter().flatten() {
            contact.traits.extend(FieldValue::from_json(&value).map(|value| (key, value)));
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
        let found = find_variant(&self.plan.project, &name);
        if found.is_none() {
            let known: Vec<&str> = self.plan.project.variants.iter().map(|variant| variant.id.as_str()).collect();
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
        let members = self.read(self.step.fields.as_ref(), |value| match value {
            Value::Object(members) => Ok(Some(members.clone())),
            other => Err(format!("expected an object of field keys and values, found {}", problem::kind(other))),
        });
        for (key, value) in members.value().into_iter().flatten() {
            let Some(field) = self.plan.project.field(&key) else { continue };
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
                if self.problems.len() == before {
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
            Timing::After(span) => Given::Value(self.occasion.occurred_at.unwrap_or(self.occasion.received_at).plus(*span)),
        }
    }

    /// The text for the holder, when there is one.
    fn message(&mut self) -> Option<String> {
        let message = self.step.message.as_ref()?;
        match message.render(self.event) {
            Ok(text) if text.chars().count() > MAX_MESSAGE_CHARS => {
                self.wrong("message", format!("the text is longer than {MAX_MESSAGE_CHARS} characters with this event"))
            }
            Ok(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Err(problem) => self.wrong("message", problem.message),
        }
    }
}

/// Campaign, referrer and address, where the tracking libraries put them.
fn origin(event: &Value) -> Origin {
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
    Origin { utm, referrer: text("/context/page/referrer"), ip: text("/context/ip") }
}
