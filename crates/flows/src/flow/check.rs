//! Flow and project → plan, collecting every mistake.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::{Amount, Channel, FieldDef, FlowId, IfExists as DomainIfExists, Project, Source, SourceId, Timestamp};
use script::text::{Size, Text};
use serde_json::{Map, Value, json};

use super::document::{Find, Flow, IfExists, Step, StepAction, When};
use super::expression::{self, Expression, Rounding};
use super::plan::{BalancePlan, ContactPlan, Direction, ExternalId, FindPlan, Plan, PlanStep, Texts, Timing, WhenPlan};
use super::wait::{self, Place, WaitPlan};
use super::{MAX_ID_CHARS, MAX_STEPS};
use crate::Problem;
use crate::fql::{Compiled, Condition};
use crate::mapping::Rules;
use crate::problem::{self, kind};

const CALLS: [&str; 6] = ["track", "identify", "page", "screen", "group", "alias"];
/// Where a person's e-mail address stands in the events that people send.
const EMAIL: [&str; 3] = ["$.traits.email", "$.context.traits.email", "$.properties.email"];
const PHONE: [&str; 2] = ["$.traits.phone", "$.context.traits.phone"];
const NAME: [&str; 4] = [
    "$.traits.name",
    "$.context.traits.name",
    "{{traits.firstName}} {{traits.lastName}}",
    "{{context.traits.firstName}} {{context.traits.lastName}}",
];

impl Flow {
    /// Checks the flow against the organization's projects and sources and prepares it to run.
    ///
    /// # Errors
    /// Every mistake with its place in the document.
    pub fn check(&self, id: FlowId, projects: &[Project], sources: &[Source]) -> Result<Plan, Vec<Problem>> {
        self.check_by(Rules::Saving, id, projects, sources)
    }

    /// Checks the flow as strictly as is asked for and prepares it to run.
    ///
    /// # Errors
    /// Every mistake with its place in the document.
    pub fn check_by(&self, rules: Rules, id: FlowId, projects: &[Project], sources: &[Source]) -> Result<Plan, Vec<Problem>> {
        let mut problems = Vec::new();
        let slug = !self.slug.is_empty()
            && self.slug.len() <= MAX_ID_CHARS
            && self.slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !slug {
            problems.push(Problem::new("slug", format!("expected 1 to {MAX_ID_CHARS} lower case letters, digits and hyphens")));
        }
        let sources = self.known_sources(sources, &mut problems);
        let when = check_when(&self.when, &mut problems);
        let project = projects.iter().find(|project| project.slug == self.project || self.project.parse() == Ok(project.id));
        if project.is_none() {
            let known: Vec<&str> = projects.iter().map(|project| project.slug.as_str()).collect();
            problems.push(Problem::new(
                "project",
                format!("there is no project `{}`{}", problem::clip(&self.project, 40), known_are(&known)),
            ));
        }
        if self.steps.is_empty() || self.steps.len() > MAX_STEPS {
            problems.push(Problem::new("steps", format!("expected 1 to {MAX_STEPS} steps, found {}", self.steps.len())));
        }
        let mut seen = BTreeSet::new();
        let mut steps = Vec::new();
        for (index, step) in self.steps.iter().enumerate().take(MAX_STEPS) {
            let path = problem::index("steps", index);
            if !seen.insert(step.id.as_str()) {
                problems.push(Problem::new(
                    problem::key(&path, "id"),
                    format!("another step is called `{}` already", problem::clip(&step.id, 40)),
                ));
            }
            let mut checker = Checker { project, path, rules, problems: &mut problems };
            steps.extend(checker.step(step));
        }
        let rate = self.rate.as_deref().map(expression::rate).transpose().map_err(|why| problems.push(Problem::new("rate", why)));
        match (when, project, sources, rate) {
            (Some(when), Some(project), Some(sources), Ok(apart)) if problems.is_empty() => Ok(Plan {
                flow: id,
                slug: self.slug.clone(),
                enabled: self.enabled,
                project: Arc::new(project.clone()),
                sources,
                transformation: self.transformation.clone(),
                late: self.late,
                apart,
                when,
                steps,
            }),
            _ => Err(problems),
        }
    }

    fn known_sources(&self, known: &[Source], problems: &mut Vec<Problem>) -> Option<Vec<SourceId>> {
        let mut found = Vec::new();
        for (index, name) in self.sources.0.iter().enumerate() {
            match known.iter().find(|source| &source.slug == name || name.parse() == Ok(source.id)) {
                Some(source) => found.push(source.id),
                None => {
                    let slugs: Vec<&str> = known.iter().map(|source| source.slug.as_str()).collect();
                    let message = format!("there is no source `{}`{}", problem::clip(name, 40), known_are(&slugs));
                    problems.push(Problem::new(problem::index("sources", index), message));
                }
            }
        }
        (found.len() == self.sources.0.len()).then_some(found)
    }
}

fn known_are(names: &[&str]) -> String {
    if names.is_empty() {
        "; there is none yet".to_owned()
    } else {
        format!("; there are {}", problem::clip(&names.join(", "), 200))
    }
}

fn check_when(when: &When, problems: &mut Vec<Problem>) -> Option<WhenPlan> {
    if when.types.is_empty() && when.event.is_empty() && when.condition.is_none() {
        problems.push(Problem::new("when", "expected `event`, `type` or `condition`: a flow for every event would be a mistake"));
    }
    for (index, name) in when.types.0.iter().enumerate().filter(|(_, name)| !CALLS.contains(&name.as_str())) {
        let message = format!("`{}` is no kind of call; there are {}", problem::clip(name, 40), CALLS.join(", "));
        problems.push(Problem::new(problem::index("when.type", index), message));
    }
    for (index, name) in when.event.0.iter().enumerate().filter(|(_, name)| name.trim().is_empty()) {
        problems.push(Problem::new(problem::index("when.event", index), format!("`{name}` is no event name")));
    }
    let condition = match &when.condition {
        Some(condition) => Some(check_condition(condition, "when.condition", problems)?),
        None => None,
    };
    Some(when_plan(when, condition))
}

/// What can be read of it, for a flow that cannot run.
pub(super) fn readable_when(when: &When) -> WhenPlan {
    check_when(when, &mut Vec::new()).unwrap_or_else(|| when_plan(when, None))
}

fn when_plan(when: &When, condition: Option<Compiled>) -> WhenPlan {
    WhenPlan { types: when.types.0.clone(), events: when.event.0.clone(), loose: when.loose, condition }
}

fn check_condition(condition: &Value, path: &str, problems: &mut Vec<Problem>) -> Option<Compiled> {
    match Condition::from_json(condition).and_then(|condition| condition.compile()) {
        Ok(compiled) => Some(compiled),
        Err(found) => {
            problems.extend(found.into_iter().map(|problem| problem.under(path)));
            None
        }
    }
}

/// Checks a step that stands at `path` of its document.
pub(crate) fn check_step(
    step: &Step,
    project: &Project,
    path: &str,
    rules: Rules,
    problems: &mut Vec<Problem>,
) -> Option<PlanStep> {
    Checker { project: Some(project), path: path.to_owned(), rules, problems }.step(step)
}

/// Checks one step.
struct Checker<'c> {
    project: Option<&'c Project>,
    path: String,
    rules: Rules,
    problems: &'c mut Vec<Problem>,
}

impl Checker<'_> {
    fn at(&self, key: &str) -> String {
        problem::key(&self.path, key)
    }

    fn wrong(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(self.at(key), message));
    }

    fn step(&mut self, step: &Step) -> Option<PlanStep> {
        let id = !step.id.is_empty()
            && step.id.len() <= MAX_ID_CHARS
            && step.id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if !id {
            self.wrong("id", format!("expected 1 to {MAX_ID_CHARS} letters, digits, `-` and `_`"));
        }
        self.applicable(step);
        let condition = step.condition.as_ref().map(|condition| check_condition(condition, &self.at("condition"), self.problems));
        let find = if step.action == StepAction::Issue { Some(FindPlan::default()) } else { self.find(step.find.as_ref()) };
        let contact = self.contact(step);
        let variant = self.variant(step.variant.as_ref());
        let fields = self.fields(step);
        let balances: Vec<Option<BalancePlan>> =
            step.balances.iter().map(|(name, change)| self.balance(step.action, name, change)).collect();
        let (message, subject) = (self.message(step.message.as_ref(), "message"), self.message(step.subject.as_ref(), "subject"));
        let reason = match step.action {
            StepAction::RecordUninstall => self.optional(step.reason.as_ref(), "reason", expression::reason),
            _ => self.optional(step.reason.as_ref(), "reason", expression::text),
        };
        let inactive = self.optional(step.inactive.as_ref(), "inactive", expression::flag);
        let wallet = self.optional(step.wallet.as_ref(), "wallet", expression::wallet);
        let mut text = |value: &Option<Value>, key| self.optional(value.as_ref(), key, expression::text);
        let (device, operator) = (text(&step.device, "device"), text(&step.operator, "operator"));
        let location = text(&step.location, "location");
        let at = self.optional(step.at.as_ref(), "at", expression::time);
        let starts_at = self.optional(step.starts_at.as_ref(), "starts_at", expression::time);
        let uses_limit = self.optional(step.uses_limit.as_ref(), "uses_limit", expression::count);
        let expires = self.expires(step);
        let external_id = self.external_id(step);
        let wait = self.wait(step);
        Some(PlanStep {
            id: step.id.clone(),
            path: self.path.clone(),
            action: step.action,
            on_error: step.on_error,
            condition: lift(condition)?,
            if_exists: match step.if_exists {
                None | Some(IfExists::Update) => DomainIfExists::Update,
                Some(IfExists::Reactivate) => DomainIfExists::Reactivate,
                Some(IfExists::Skip) => DomainIfExists::Keep,
                Some(IfExists::Reject) => DomainIfExists::Reject,
            },
            find: find?,
            external_id: external_id?,
            contact: contact?,
            variant: variant?,
            fields: fields?,
            balances: balances.into_iter().collect::<Option<_>>()?,
            channel: step.channel,
            sender: step.sender.clone(),
            subject: subject?.map(Arc::new),
            message: message?.map(Arc::new),
            wallet: wallet?,
            device: device?,
            at: at?,
            operator: operator?,
            location: location?,
            reason: reason?,
            starts_at: starts_at?,
            expires: expires?,
            uses_limit: uses_limit?,
            inactive: inactive?,
            wait: wait?,
        })
    }

    fn message(&mut self, text: Option<&String>, key: &str) -> Option<Option<Text>> {
        lift(text.map(|text| Text::compile(text, Size::MESSAGE).map_err(|why| self.wrong(key, why)).ok()))
    }

    /// Refuses what has no meaning for the action.
    fn applicable(&mut self, step: &Step) {
        let issue = step.action == StepAction::Issue;
        let update = step.action == StepAction::Update;
        let notify = step.action == StepAction::Notify;
        let revoke = step.action == StepAction::Revoke;
        let send = step.action == StepAction::Send;
        let wait = step.action == StepAction::Wait;
        let scanned = step.action == StepAction::RecordScan;
        let gone = step.action == StepAction::RecordUninstall;
        let held = gone || step.action == StepAction::RecordInstall;
        let given = [
            ("if_exists", step.if_exists.is_some(), issue),
            ("find", step.find.is_some(), !issue),
            ("for", step.span.is_some(), wait),
            ("until", step.until.is_some(), wait),
            ("external_id", step.external_id.is_some(), issue || update),
            ("contact", step.contact.is_some(), issue || update),
            ("variant", step.variant.is_some(), issue || update),
            ("fields", step.fields.is_some(), issue || update),
            ("balances", !step.balances.is_empty(), issue || update),
            ("channel", step.channel.is_some(), send),
            ("sender", step.sender.is_some(), send),
            ("subject", step.subject.is_some(), send && step.channel != Some(Channel::Sms)),
            ("message", step.message.is_some(), update || notify || send),
            ("wallet", step.wallet.is_some(), held),
            ("device", step.device.is_some(), held || scanned),
            ("at", step.at.is_some(), held || scanned),
            ("operator", step.operator.is_some(), scanned),
            ("location", step.location.is_some(), scanned),
            ("reason", step.reason.is_some(), revoke || gone),
            ("starts_at", step.starts_at.is_some(), issue || update),
            ("expires_at", step.expires_at.is_some(), issue || update),
            ("expires_in", step.expires_in.is_some(), issue || update),
            ("uses_limit", step.uses_limit.is_some(), issue || update),
            ("inactive", step.inactive.is_some(), issue),
        ];
        for (key, _, _) in given.into_iter().filter(|(_, is_given, fits)| *is_given && !fits) {
            let hint = match key {
                "find" => "; a pass that is issued is new, `external_id` and `if_exists` say which one it may meet",
                "message" => "; add a step with the action notify",
                _ => "",
            };
            self.wrong(key, format!("has no meaning for this action{hint}"));
        }
        if notify && step.message.as_ref().is_none_or(|text| self.is_saving() && text.trim().is_empty()) {
            self.wrong("message", "missing: the text for the holder");
        }
        if send && step.channel.is_none() {
            self.wrong("channel", "missing: email or sms");
        }
        let changes = given.iter().any(|(key, is_given, _)| *is_given && *key != "find");
        if update && !changes {
            self.problems
                .push(Problem::new(self.path.clone(), "this update changes nothing; give fields, balances, variant, message …"));
        }
    }

    /// Whether constants are judged now rather than when the step runs.
    fn is_saving(&self) -> bool {
        self.rules == Rules::Saving
    }

    fn expression(&mut self, value: &Value, path: &str) -> Option<Expression> {
        Expression::compile(value, path, self.rules, self.problems)
    }

    /// An expression whose value, where it is the same for every event, can be read.
    fn typed<T>(
        &mut self,
        value: &Value,
        path: &str,
        reader: impl FnOnce(&Value) -> Result<Option<T>, String>,
    ) -> Option<Expression> {
        let found = self.expression(value, path)?;
        let constant = found.mapping().constant().filter(|constant| self.is_saving() && !constant.is_null());
        if let Some(Err(why)) = constant.map(reader) {
            self.problems.push(Problem::new(path, why));
            return None;
        }
        Some(found)
    }

    /// An expression that may be left out; null stands for itself.
    fn optional<T>(
        &mut self,
        value: Option<&Value>,
        key: &str,
        reader: impl FnOnce(&Value) -> Result<Option<T>, String>,
    ) -> Option<Option<Expression>> {
        let path = self.at(key);
        lift(value.map(|value| self.typed(value, &path, reader)))
    }

    fn texts(&mut self, options: &[&str], path: &str) -> Option<Texts> {
        let options: Vec<Option<Expression>> = options.iter().map(|option| self.expression(&json!(option), path)).collect();
        Some(Texts(options.into_iter().collect::<Option<_>>()?))
    }

    fn find(&mut self, find: Option<&Find>) -> Option<FindPlan> {
        let path = self.at("find");
        let Some(find) = find else {
            let contact = self.texts(&["$.userId"], &path);
            let email = self.texts(&EMAIL, &path);
            return Some(FindPlan { contact: Some(contact?), email: Some(email?), ..FindPlan::default() });
        };
        let mut one = |value: &Option<Value>, key: &str| {
            let path = problem::key(&path, key);
            let reader = if key == "pass" { expression::pass } else { expression::text };
            lift(value.as_ref().map(|value| self.typed(value, &path, reader).map(|expression| Texts(vec![expression]))))
        };
        let (pass, external_id) = (one(&find.pass, "pass"), one(&find.external_id, "external_id"));
        let (contact, email) = (one(&find.contact, "contact"), one(&find.email, "email"));
        let plan = FindPlan { pass: pass?, external_id: external_id?, contact: contact?, email: email? };
        if plan.is_empty() {
            self.wrong(
                "find",
                "expected `pass`, `external_id`, `contact` or `email`; leave `find` out to take the person of the event",
            );
        }
        Some(plan)
    }

    fn external_id(&mut self, step: &Step) -> Option<ExternalId> {
        match &step.external_id {
            None if step.action == StepAction::Issue => Some(ExternalId::OfContact),
            None | Some(Value::Null) => Some(ExternalId::None),
            Some(value) => {
                let path = self.at("external_id");
                let found = self.typed(value, &path, expression::text)?;
                if self.is_saving()
                    && step.action == StepAction::Issue
                    && found.mapping().constant().is_some_and(expression::is_blank)
                {
                    self.wrong("external_id", "is blank; without it a repeated event would issue another pass");
                }
                Some(ExternalId::From(found))
            }
        }
    }

    fn contact(&mut self, step: &Step) -> Option<Option<ContactPlan>> {
        let path = self.at("contact");
        let none = Map::new();
        let issue = step.action == StepAction::Issue;
        let members = match &step.contact {
            None if issue => &none,
            None | Some(Value::Null) => return Some(None),
            Some(Value::Object(members)) if !members.keys().any(|key| key.starts_with('@')) => members,
            Some(other) => {
                self.wrong(
                    "contact",
                    format!("expected an object with external_id, email, name, phone and traits, found {}", kind(other)),
                );
                return None;
            }
        };
        for key in members.keys().filter(|key| !["external_id", "email", "name", "phone", "traits"].contains(&key.as_str())) {
            self.problems.push(Problem::new(
                problem::key(&path, key),
                "unknown key; there are external_id, email, name, phone and traits",
            ));
        }
        let mut part = |key: &str, defaults: &[&str]| {
            let at = problem::key(&path, key);
            match members.get(key) {
                Some(Value::Null) => Some(Texts::default()),
                Some(value) => self.typed(value, &at, expression::text).map(|expression| Texts(vec![expression])),
                // An update changes what is written; an issue knows where a person's details usually stand.
                None if issue => self.texts(defaults, &at),
                None => Some(Texts::default()),
            }
        };
        let (external_id, email) = (part("external_id", &["$.userId"]), part("email", &EMAIL));
        let (name, phone) = (part("name", &NAME), part("phone", &PHONE));
        let traits =
            lift(members.get("traits").map(|traits| self.typed(traits, &problem::key(&path, "traits"), expression::object)));
        Some(Some(ContactPlan { path, external_id: external_id?, email: email?, name: name?, phone: phone?, traits: traits? }))
    }

    fn variant(&mut self, value: Option<&Value>) -> Option<Option<Expression>> {
        let expression = self.optional(value, "variant", expression::text)?;
        let constant = expression.as_ref().and_then(|it| it.mapping().constant()).and_then(|it| expression::text(it).ok()?);
        if let (Some(name), Some(project)) = (&constant, self.project)
            && super::plan::find_variant(project, name).is_none()
        {
            let known: Vec<&str> = project.variants.iter().map(|variant| variant.id.as_str()).collect();
            self.wrong("variant", format!("the project has no variant `{}`{}", problem::clip(name, 40), known_are(&known)));
        }
        Some(expression)
    }

    fn fields(&mut self, step: &Step) -> Option<Option<Expression>> {
        let expression = self.optional(step.fields.as_ref(), "fields", expression::object)?;
        let (Some(found), Some(project)) = (&expression, self.project) else { return Some(expression) };
        if self.is_saving() && found.mapping().constant().is_some_and(Value::is_null) {
            self.wrong("fields", "expected an object of names and values, found null");
            return None;
        }
        for (key, constant) in found.mapping().constants().into_iter().filter(|_| self.rules == Rules::Saving) {
            if let Some(why) = project.field(key).and_then(|def| never_fits(step.action, def, constant)) {
                self.problems.push(Problem::new(problem::key(&self.at("fields"), key), why));
            }
        }
        let Some(keys) = found.mapping().keys() else { return Some(expression) };
        let known: Vec<&str> = project.fields.iter().map(|field| field.key.as_str()).collect();
        let unknown: Vec<String> = keys.iter().filter(|key| !known.contains(key)).map(|key| (*key).to_owned()).collect();
        let required = project
            .fields
            .iter()
            .filter(|field| field.required && field.default.is_none() && !keys.contains(&field.key.as_str()));
        let missing: Vec<String> = required.map(|field| field.key.clone()).collect();
        for key in unknown {
            let path = problem::key(&self.at("fields"), &key);
            self.problems.push(Problem::new(path, format!("the project has no field of this key{}", known_are(&known))));
        }
        if step.action == StepAction::Issue && !missing.is_empty() {
            self.wrong("fields", format!("the project's passes cannot be issued without {}", missing.join(", ")));
        }
        Some(expression)
    }

    fn balance(&mut self, action: StepAction, name: &str, change: &Value) -> Option<BalancePlan> {
        let path = problem::key(&self.at("balances"), name);
        if let Some(project) = self.project.filter(|project| !project.balances.contains_key(name)) {
            let known: Vec<&str> = project.balances.keys().map(String::as_str).collect();
            self.problems
                .push(Problem::new(path.clone(), format!("the project has no balance of this name{}", known_are(&known))));
        }
        let words = ["set", "add", "subtract"];
        let options = change.as_object().filter(|options| words.iter().any(|word| options.contains_key(*word)));
        let Some(options) = options else {
            let amount = self.typed(change, &path, expression::amount)?;
            return Some(BalancePlan { name: name.to_owned(), amount, direction: Direction::Set, times: None, rounding: None });
        };
        for key in options.keys().filter(|key| !words.contains(&key.as_str()) && !["times", "round"].contains(&key.as_str())) {
            self.problems
                .push(Problem::new(problem::key(&path, key), "unknown key; there are set, add, subtract, times and round"));
        }
        let given: Vec<&str> = words.into_iter().filter(|word| options.contains_key(*word)).collect();
        let [word] = given.as_slice() else {
            self.problems.push(Problem::new(path, "give one of set, add and subtract"));
            return None;
        };
        if action == StepAction::Issue && *word != "set" {
            self.problems
                .push(Problem::new(problem::key(&path, word), "a new pass has nothing to add to: use `set`, or an update step"));
        }
        let mut wrong = |key: &str, message: String| self.problems.push(Problem::new(problem::key(&path, key), message));
        let times: Option<Amount> = match options.get("times").map(expression::amount) {
            None => None,
            Some(Ok(Some(times))) => Some(times),
            Some(_) => {
                wrong("times", "expected a fixed number to multiply by, such as 1.5".to_owned());
                None
            }
        };
        let rounding: Option<Rounding> = match options.get("round").map(|round| serde_json::from_value(round.clone())) {
            None => None,
            Some(Ok(rounding)) => Some(rounding),
            Some(Err(_)) => {
                wrong("round", "expected down, nearest or up".to_owned());
                None
            }
        };
        let direction = match *word {
            "add" => Direction::Add,
            "subtract" => Direction::Subtract,
            _ => Direction::Set,
        };
        let amount = self.typed(options.get(*word)?, &problem::key(&path, word), expression::amount)?;
        Some(BalancePlan { name: name.to_owned(), amount, direction, times, rounding })
    }

    fn expires(&mut self, step: &Step) -> Option<Timing> {
        match (&step.expires_at, &step.expires_in) {
            (Some(_), Some(_)) => {
                self.wrong("expires_in", "give either `expires_at` or `expires_in`");
                None
            }
            (None, Some(text)) => match expression::span(text) {
                Ok(span) => Some(Timing::After(span)),
                Err(message) => {
                    self.wrong("expires_in", message);
                    None
                }
            },
            (at, None) => Some(self.optional(at.as_ref(), "expires_at", expression::time)?.map_or(Timing::Unset, Timing::At)),
        }
    }
}

/// How a step waits.
impl Checker<'_> {
    fn wait(&mut self, step: &Step) -> Option<Option<WaitPlan>> {
        if step.action != StepAction::Wait {
            return Some(None);
        }
        let plan = match (&step.span, &step.until) {
            (Some(span), None) => {
                match expression::span(span).and_then(|span| wait::within(at(span), at(Duration::ZERO)).map(|_| span)) {
                    Ok(span) => Some(WaitPlan::For(span)),
                    Err(message) => {
                        self.wrong("for", message);
                        None
                    }
                }
            }
            (None, Some(until)) => self.until(until),
            _ => {
                self.wrong("until", "give either `for`, how long after the event, or `until`, a time");
                None
            }
        };
        plan.map(Some)
    }

    fn until(&mut self, until: &Value) -> Option<WaitPlan> {
        let (key, found) =
            match until.as_object().and_then(|members| members.iter().next()).filter(|(key, _)| !key.starts_with('@')) {
                None => return self.typed(until, &self.at("until"), expression::time).map(WaitPlan::Event),
                Some((key, text)) => (key.as_str(), text.as_str()),
            };
        let place = match (key, found) {
            ("pass", Some(text)) => Place::of_pass(text),
            ("contact", Some(text)) => Place::of_contact(text),
            _ => None,
        };
        let Some(place) = place.filter(|_| until.as_object().is_some_and(|members| members.len() == 1)) else {
            self.wrong("until", "expected a time of the event such as $.properties.departure, `{pass: fields.KEY}`, `{pass: starts_at}`, `{pass: expires_at}` or `{contact: traits.KEY}`");
            return None;
        };
        if let (Place::Field(key), Some(project)) = (&place, self.project)
            && project.field(key).is_none()
        {
            let known: Vec<&str> = project.fields.iter().map(|field| field.key.as_str()).collect();
            self.wrong("until", format!("the project has no field `{}`{}", problem::clip(key, 40), known_are(&known)));
            return None;
        }
        Some(WaitPlan::Place(place))
    }
}

/// Why a value that is the same for every event can never be a field's.
fn never_fits(action: StepAction, def: &FieldDef, constant: &Value) -> Option<String> {
    let is_needed = def.required && (action != StepAction::Issue || def.default.is_none());
    let read = if constant.is_null() { Ok(None) } else { expression::field(constant, def.field_type) };
    match read {
        Ok(None) if is_needed => Some("is required: it needs a value".to_owned()),
        Ok(value) => value.and_then(|value| def.misfit(&value)).map(str::to_owned),
        Err(why) => Some(why),
    }
}

/// So long after the start of time.
fn at(span: Duration) -> Timestamp {
    Timestamp::from_seconds(0).plus(span)
}

/// What was left out is fine, what could not be compiled is not.
fn lift<T>(compiled: Option<Option<T>>) -> Option<Option<T>> {
    match compiled {
        None => Some(None),
        Some(found) => found.map(Some),
    }
}
