//! What a flow made of an event: commands, and an account of how they came about.

use domain::{Action, BalanceChange, Command, ContactInput, ContactRef, PassChange, PassRef};
use serde_json::{Map, Value, json};

use super::document::{OnError, StepAction};
use super::wait::Wait;
use crate::Problem;

/// What a flow made of one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The flow's slug.
    pub flow: String,
    /// Why the event is not for this flow; none when it is.
    pub not_matched: Option<NotMatched>,
    /// Its steps in order; empty when the event is not for it.
    pub steps: Vec<StepRun>,
}

/// Why an event is not for a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotMatched {
    /// Without values of the event, to be kept.
    pub reason: String,
    /// With what stood in the event, to be shown to whoever may see it.
    pub detail: String,
}

/// What became of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRun {
    /// The step's id.
    pub id: String,
    /// What it does.
    pub action: StepAction,
    /// Whether later steps are done when the engine rejects this one's command.
    pub on_error: OnError,
    /// What became of it.
    pub outcome: StepOutcome,
}

/// What became of one step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepOutcome {
    /// A command, to be given to the engine.
    Command(Box<Command>),
    /// The steps after it are done later.
    Wait(Wait),
    /// Its condition does not hold.
    Skipped(NotMatched),
    /// The event lacks what it needs; the problems name places in the flow and repeat no value of the event.
    Failed(Vec<Problem>),
    /// An earlier step failed and stops the flow.
    NotReached,
}

impl Run {
    /// Whether the event is for this flow.
    #[must_use]
    pub fn matched(&self) -> bool {
        self.not_matched.is_none()
    }

    /// The commands with the ids of their steps, in order. After one that the engine rejects, go on only where its
    /// [`StepRun::on_error`] says so.
    pub fn commands(&self) -> impl Iterator<Item = (&StepRun, &Command)> {
        self.steps.iter().filter_map(|step| match &step.outcome {
            StepOutcome::Command(command) => Some((step, command.as_ref())),
            _ => None,
        })
    }

    /// What kept steps from becoming commands.
    pub fn problems(&self) -> impl Iterator<Item = (&StepRun, &Problem)> {
        self.steps.iter().flat_map(|step| match &step.outcome {
            StepOutcome::Failed(problems) => problems.iter().map(|problem| (step, problem)).collect(),
            _ => Vec::new(),
        })
    }

    /// The account without any value of the event: what is kept beside the inbox.
    #[must_use]
    pub fn trace(&self) -> Value {
        self.account(false)
    }

    /// The account with every value that was resolved: what a test run shows.
    #[must_use]
    pub fn preview(&self) -> Value {
        self.account(true)
    }

    fn account(&self, values: bool) -> Value {
        let mut account = json!({"flow": self.flow, "matched": self.matched()});
        let shown = |why: &NotMatched| json!(if values { &why.detail } else { &why.reason });
        if let Some(why) = &self.not_matched {
            account["reason"] = shown(why);
        } else {
            let steps = self.steps.iter().map(|step| {
                let mut entry = json!({"step": step.id, "action": step.action});
                match &step.outcome {
                    StepOutcome::Command(command) => {
                        entry["outcome"] = json!("command");
                        if values {
                            entry["resolved"] = describe(&command.action);
                        }
                    }
                    StepOutcome::Wait(wait) => {
                        entry["outcome"] = json!("wait");
                        if values {
                            entry["resolved"] = until(wait);
                        }
                    }
                    StepOutcome::Skipped(why) => {
                        entry["outcome"] = json!("skipped");
                        entry["reason"] = shown(why);
                    }
                    StepOutcome::Failed(problems) => {
                        entry["outcome"] = json!("failed");
                        entry["problems"] = json!(problems);
                    }
                    StepOutcome::NotReached => entry["outcome"] = json!("not_reached"),
                }
                entry
            });
            account["steps"] = steps.collect();
        }
        account
    }
}

fn until(wait: &Wait) -> Value {
    match wait {
        Wait::Until(until) => json!({"until": until}),
        Wait::Look(pass, place) => {
            let mut out = Map::new();
            find(&mut out, pass);
            out.insert("until".to_owned(), json!(place.name()));
            Value::Object(out)
        }
    }
}

/// What a command asks for, without the ids that are minted with it.
pub(crate) fn describe(action: &Action) -> Value {
    let mut out = Map::new();
    match action {
        Action::Issue(issue) => {
            put(&mut out, "external_id", issue.external_id.as_ref());
            put(&mut out, "contact", issue.contact.as_ref().map(contact));
            put(&mut out, "variant", issue.variant.as_ref());
            put(&mut out, "fields", filled(&issue.fields));
            put(&mut out, "balances", filled(&issue.balances));
            put(&mut out, "starts_at", issue.validity.starts_at);
            put(&mut out, "expires_at", issue.validity.expires_at);
            put(&mut out, "uses_limit", issue.uses_limit);
            put(&mut out, "inactive", issue.inactive.then_some(true));
            put(&mut out, "if_exists", Some(issue.if_exists));
        }
        Action::Update { pass, change: changed, .. } => {
            find(&mut out, pass);
            change(&mut out, changed);
        }
        Action::Notify { pass, text, .. } => {
            find(&mut out, pass);
            put(&mut out, "message", Some(text));
        }
        Action::Send { pass, order } => {
            find(&mut out, pass);
            put(&mut out, "channel", Some(order.channel));
            put(&mut out, "sender", order.sender.as_ref());
            put(&mut out, "subject", order.subject.as_ref());
            put(&mut out, "message", order.text.as_ref());
        }
        Action::Revoke { pass, reason } => {
            find(&mut out, pass);
            put(&mut out, "reason", reason.as_ref());
        }
        Action::RecordReport { pass, report } => {
            find(&mut out, pass);
            put(&mut out, "wallet", Some(report.wallet));
            put(&mut out, "device", report.device.as_ref());
            put(&mut out, "at", Some(report.at));
            put(&mut out, "reason", report.gone);
        }
        Action::Scan { passes, order } => {
            passes.iter().for_each(|pass| find(&mut out, pass));
            put(&mut out, "operator", order.input.operator.as_ref());
            put(&mut out, "device", order.input.device.as_ref());
            put(&mut out, "location", order.input.location.as_ref());
            put(&mut out, "at", order.input.offline.as_ref().map(|offline| offline.at));
        }
        Action::Activate { pass } | Action::Delete { pass, .. } => find(&mut out, pass),
        _ => {}
    }
    Value::Object(out)
}

fn change(out: &mut Map<String, Value>, change: &PassChange) {
    put(out, "external_id", change.external_id.as_ref());
    put(out, "contact", change.contact.as_ref().map(contact));
    put(out, "variant", change.variant.as_ref());
    put(out, "fields", filled(&change.fields));
    let balances: Map<String, Value> = change
        .balances
        .iter()
        .map(|(name, change)| {
            let shown = match change {
                BalanceChange::Set(amount) => json!({"set": amount}),
                BalanceChange::Add(amount) => json!({"add": amount}),
            };
            (name.clone(), shown)
        })
        .collect();
    put(out, "balances", (!balances.is_empty()).then_some(balances));
    put(out, "starts_at", change.starts_at);
    put(out, "expires_at", change.expires_at);
    put(out, "uses_limit", change.uses_limit);
    put(out, "message", change.message.as_ref());
}

fn find(out: &mut Map<String, Value>, pass: &PassRef) {
    let shown = match pass {
        PassRef::Id(id) => json!({"pass": id}),
        PassRef::External { external_id, .. } => json!({"external_id": external_id}),
        PassRef::OfContact { contact: ContactRef::External(external_id), .. } => json!({"contact": external_id}),
        PassRef::OfContact { contact: ContactRef::Email(email), .. } => json!({"email": email}),
        PassRef::OfContact { contact: ContactRef::Id(id), .. } => json!({"contact_id": id}),
    };
    out.insert("find".to_owned(), shown);
}

fn contact(input: &ContactInput) -> Value {
    json!(input)
}

fn filled<V: serde::Serialize>(values: &std::collections::BTreeMap<String, V>) -> Option<Value> {
    (!values.is_empty()).then(|| json!(values))
}

fn put(out: &mut Map<String, Value>, key: &str, value: Option<impl serde::Serialize>) {
    if let Some(value) = value.and_then(|value| serde_json::to_value(value).ok()) {
        out.insert(key.to_owned(), value);
    }
}
