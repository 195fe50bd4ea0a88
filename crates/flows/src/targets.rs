//! What the map of a step can set, which values of a sample suit it, and what a map makes of a sample.

use std::collections::BTreeMap;

use domain::{Actor, Cause, CommandId, Entropy, FieldType, IdempotencyKey, OrgId, Project, SourceEventId, SourceId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::Problem;
use crate::flow::{Order, PlanStep, Step, StepAction, check_step, command, described, fits};
use crate::mapping::{Mapping, Rules};
use crate::problem;
use crate::strict::Strict;

/// How deep a sample is looked into for values.
const MAX_DEPTH: usize = 8;
/// The most values of a sample that are looked at.
const MAX_VALUES: usize = 2_000;
/// Elements of a list that are looked at.
const MAX_ELEMENTS: usize = 3;

/// What a map is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Source events, as a flow's step sees them.
    #[default]
    Events,
    /// Rows of a file: objects of column names and cells.
    Rows,
}

/// What a place of a map takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Takes {
    /// A text, or a number that is written out.
    Text,
    /// A number, or a text that is one.
    Number,
    /// True or false.
    Flag,
    /// RFC 3339, a date, or Unix seconds or milliseconds.
    Time,
    /// A whole number, not below zero.
    Count,
    /// A decimal of at most six digits after the point.
    Amount,
    /// An object of names and values.
    Object,
    /// A text for the holder, in Jinja's syntax.
    Message,
}

/// A place of a map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Where it stands in the map: `external_id`, `contact.email`, `fields.tier`.
    pub place: String,
    /// What people call it.
    pub label: String,
    /// What it takes.
    pub takes: Takes,
    /// Whether nothing is done without it.
    pub required: bool,
    /// Of the places that name the same here, one is enough, and one is needed.
    pub one_of: Option<&'static str>,
    /// What it may be; empty where that is not fixed.
    pub choices: Vec<String>,
    /// Its value where none is given.
    pub default: Option<Value>,
}

impl Target {
    fn new(place: impl Into<String>, label: impl Into<String>, takes: Takes) -> Self {
        let (place, label) = (place.into(), label.into());
        Self { place, label, takes, required: false, one_of: None, choices: Vec::new(), default: None }
    }

    fn one_of(self, what: &'static str) -> Self {
        Self { one_of: Some(what), ..self }
    }
}

/// The places that a map of this action can set for passes of a project, in the order in which people think of them.
#[must_use]
pub fn targets(project: &Project, action: StepAction, over: Over) -> Vec<Target> {
    let mut found = Vec::new();
    if action != StepAction::Issue {
        found.extend([
            Target::new("find.external_id", "Pass with the external id", Takes::Text).one_of("pass"),
            Target::new("find.pass", "Pass with the id", Takes::Text).one_of("pass"),
            Target::new("find.contact", "Newest pass of the person with the external id", Takes::Text).one_of("pass"),
            Target::new("find.email", "Newest pass of the person with the e-mail", Takes::Text).one_of("pass"),
        ]);
    }
    match action {
        StepAction::Issue | StepAction::Update => change(project, action, over, &mut found),
        StepAction::Revoke => found.push(Target::new("reason", "Reason", Takes::Text)),
        StepAction::Notify => {
            found.push(Target { required: true, ..Target::new("message", "Message", Takes::Message) });
        }
        StepAction::Send => {
            found.extend([Target::new("subject", "Subject", Takes::Message), Target::new("message", "Message", Takes::Message)]);
        }
        StepAction::Wait => found = vec![Target::new("until", "Until", Takes::Time)],
        StepAction::RecordInstall | StepAction::RecordUninstall | StepAction::RecordScan => record(action, &mut found),
        StepAction::Activate | StepAction::Delete => {}
    }
    found
}

/// What another platform tells of a pass.
fn record(action: StepAction, found: &mut Vec<Target>) {
    let choices = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let at = Target::new("at", "When it happened there", Takes::Time);
    if action == StepAction::RecordScan {
        let scanned = [("operator", "Who scanned"), ("device", "Scanner"), ("location", "Where")];
        found.extend(scanned.map(|(place, label)| Target::new(place, label, Takes::Text)));
        found.push(at);
        return;
    }
    let wallet = Target::new("wallet", "Wallet", Takes::Text);
    found.push(Target { choices: choices(&["apple", "google"]), ..wallet });
    found.extend([Target::new("device", "Device", Takes::Text), at]);
    if action == StepAction::RecordUninstall {
        let reasons = choices(&["told", "unregistered", "removed", "token_dead"]);
        found.push(Target { choices: reasons, default: Some(json!("told")), ..Target::new("reason", "Reason", Takes::Text) });
    }
}

fn change(project: &Project, action: StepAction, over: Over, found: &mut Vec<Target>) {
    let is_issue = action == StepAction::Issue;
    let person = |place: &str, label: &str, takes| {
        let target = Target::new(place, label, takes);
        // A pass of an event is somebody's; one of a row need not be.
        let identifies = is_issue && over == Over::Events && matches!(place, "contact.external_id" | "contact.email");
        if identifies { target.one_of("person") } else { target }
    };
    let external_id = Target::new("external_id", "External id of the pass", Takes::Text);
    found.extend([
        Target { required: is_issue && over == Over::Rows, ..external_id },
        person("contact.external_id", "External id of the person", Takes::Text),
        person("contact.email", "E-mail", Takes::Text),
        person("contact.name", "Name", Takes::Text),
        person("contact.phone", "Phone", Takes::Text),
        person("contact.traits", "Traits", Takes::Object),
    ]);
    for field in &project.fields {
        let takes = match field.field_type {
            FieldType::Text => Takes::Text,
            FieldType::Number => Takes::Number,
            FieldType::Flag => Takes::Flag,
            FieldType::Time => Takes::Time,
        };
        let default = field.default.as_ref().and_then(|value| serde_json::to_value(value).ok());
        let required = is_issue && field.required && default.is_none();
        found.push(Target { required, default, ..Target::new(format!("fields.{}", field.key), &field.label, takes) });
    }
    for (name, start) in &project.balances {
        let default = serde_json::to_value(start).ok().filter(|_| is_issue);
        found.push(Target { default, ..Target::new(format!("balances.{name}"), name, Takes::Amount) });
    }
    let choices = project.variants.iter().map(|variant| variant.id.as_str().to_owned()).collect();
    found.extend([
        Target { choices, ..Target::new("variant", "Variant", Takes::Text) },
        Target::new("starts_at", "Valid from", Takes::Time),
        Target::new("expires_at", "Valid until", Takes::Time),
        Target::new("uses_limit", "Most uses", Takes::Count),
    ]);
    found.push(if is_issue {
        Target::new("inactive", "Waits to be activated", Takes::Flag)
    } else {
        Target::new("message", "Message", Takes::Message)
    });
}

/// A value of a sample: how it is reached, what it is called without case and separators, and how deep it lies.
struct Leaf<'s> {
    path: String,
    bare: String,
    depth: usize,
    value: &'s Value,
}

/// The map that the names in a sample suggest: what is called what a place is called, or what people usually call it, and whose
/// value fits there. A guess, to be looked at.
#[must_use]
pub fn suggest(project: &Project, action: StepAction, over: Over, sample: &Value) -> Map<String, Value> {
    let mut leaves = Vec::new();
    gather(sample, "$", "", 0, &mut leaves);
    let mut map = Map::new();
    for target in targets(project, action, over) {
        let is_found = target.one_of == Some("pass") && map.contains_key("find");
        let is_of_person = action == StepAction::Update && target.place.starts_with("contact.");
        let is_the_only_variant = target.place == "variant" && project.variants.len() < 2;
        if is_found || is_of_person || is_the_only_variant || matches!(target.takes, Takes::Object | Takes::Message) {
            continue;
        }
        let of_name = |name: &String| {
            let called =
                leaves.iter().filter(|leaf| &leaf.bare == name && fits(project, &target.place, target.takes, leaf.value));
            called.min_by_key(|leaf| leaf.depth)
        };
        if let Some(leaf) = names(&target, over).iter().find_map(of_name) {
            put(&mut map, &target.place, taken_from(&leaf.path));
        }
    }
    map
}

/// What a place is called elsewhere, the likeliest first.
fn names(target: &Target, over: Over) -> Vec<String> {
    let known: &[&str] = match target.place.as_str() {
        "external_id" | "find.external_id" => &[
            "externalid",
            "memberno",
            "membernumber",
            "memberid",
            "membershipid",
            "cardno",
            "cardnumber",
            "cardid",
            "ticketno",
            "ticketid",
            "orderid",
            "customerno",
            "customerid",
        ],
        "contact.external_id" | "find.contact" => {
            &["contactexternalid", "userid", "customerid", "customerno", "customernumber", "contactid", "personid"]
        }
        "find.pass" => &["passid"],
        "contact.email" | "find.email" => &["email", "emailaddress", "mail"],
        "contact.name" => &["name", "fullname", "customername", "displayname"],
        "contact.phone" => &["phone", "phonenumber", "mobile", "mobilephone", "telephone", "tel"],
        "variant" => &["variant", "tier", "plan", "level", "tickettype", "fare"],
        "starts_at" | "until" => &["startsat", "startdate", "validfrom", "startat"],
        "expires_at" => &["expiresat", "expires", "expirydate", "expirationdate", "validuntil", "enddate"],
        "uses_limit" => &["useslimit", "maxuses"],
        "inactive" => &["inactive"],
        "wallet" => &["wallet"],
        "device" => &["devicelibraryidentifier", "deviceid"],
        "operator" => &["operator", "scanner"],
        "location" => &["location"],
        "reason" => &["reason"],
        _ => &[],
    };
    let mut names: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
    if let Some((_, key)) = target.place.split_once('.').filter(|_| known.is_empty()) {
        names.extend([bare(&target.place), bare(key), bare(&target.label)]);
    }
    if over == Over::Rows && target.place.ends_with("external_id") && !target.place.starts_with("contact") {
        names.extend(["id", "no", "number"].map(str::to_owned));
    }
    names
}

fn bare(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn gather<'s>(value: &'s Value, path: &str, name: &str, depth: usize, out: &mut Vec<Leaf<'s>>) {
    if depth > MAX_DEPTH || out.len() >= MAX_VALUES {
        return;
    }
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                gather(value, &member(path, key), key, depth + 1, out);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate().take(MAX_ELEMENTS) {
                gather(value, &format!("{path}[{index}]"), name, depth + 1, out);
            }
        }
        value => out.push(Leaf { path: path.to_owned(), bare: bare(name), depth, value }),
    }
}

/// The path of a member, as a map writes it: `$.properties.total`, `$.['E-Mail']`.
#[must_use]
pub fn member(path: &str, key: &str) -> String {
    if !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') {
        return format!("{path}.{key}");
    }
    let quote = if key.contains('\'') { '"' } else { '\'' };
    let dot = if path == "$" { "." } else { "" };
    format!("{path}{dot}[{quote}{key}{quote}]")
}

/// A path as a map's value: a plain text where that is one.
fn taken_from(path: &str) -> Value {
    if path.contains(char::is_whitespace) { json!({"@path": path}) } else { json!(path) }
}

/// Sets a place of a map, such as `contact.email`; where something else than an object stands in the way, nothing.
pub fn put(map: &mut Map<String, Value>, place: &str, value: Value) {
    match place.split_once('.') {
        None => {
            map.insert(place.to_owned(), value);
        }
        Some((group, key)) => {
            if let Some(members) = map.entry(group).or_insert_with(|| json!({})).as_object_mut() {
                members.insert(key.to_owned(), value);
            }
        }
    }
}

/// What a map makes of a sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tested {
    /// What would be asked for, with values of their type; none where something is wrong.
    pub resolved: Option<Value>,
    /// What is wrong with the map, or with the sample for it; places are those of the map.
    pub problems: Vec<Problem>,
    /// What each place of the map finds in the sample, as it stands there. Places that find nothing are left out.
    pub values: BTreeMap<String, Value>,
}

/// Tries a map on a sample: nothing is done.
#[must_use]
pub fn test(
    project: &Project,
    action: StepAction,
    over: Over,
    map: &Map<String, Value>,
    sample: &Value,
    (now, entropy): (Timestamp, &dyn Entropy),
) -> Tested {
    let mut values = BTreeMap::new();
    find_values(map, "", sample, &mut values);
    let mut step = map.clone();
    step.insert("id".to_owned(), json!("map"));
    step.insert("action".to_owned(), json!(action));
    let mut problems = Vec::new();
    let read: Result<Step, _> = serde_path_to_error::deserialize(Strict(Value::Object(step)));
    let planned = match read {
        Ok(step) => planned(&step, project, &mut problems),
        Err(error) => {
            problems.push(Problem::unread(&error));
            None
        }
    };
    let mut resolved = None;
    match planned.map(|step| command(project, &step, sample, order(over, now, entropy))) {
        Some(Ok(command)) if problems.is_empty() => resolved = Some(described(&command.action)),
        Some(Err(found)) => {
            let is_new = |problem: &Problem| problems.iter().all(|known| known.path != problem.path);
            let found: Vec<_> = found.into_iter().filter(is_new).collect();
            problems.extend(found);
        }
        Some(Ok(_)) | None => {}
    }
    Tested { resolved, problems, values }
}

/// A step as it would be saved. One that is refused for its constants is tried all the same, so that whatever is wrong is told at
/// once.
fn planned(step: &Step, project: &Project, problems: &mut Vec<Problem>) -> Option<PlanStep> {
    let saved = check_step(step, project, "", Rules::Saving, problems);
    if problems.is_empty() {
        return saved;
    }
    let mut others = Vec::new();
    check_step(step, project, "", Rules::Stored, &mut others).filter(|_| others.is_empty())
}

fn find_values(map: &Map<String, Value>, prefix: &str, sample: &Value, out: &mut BTreeMap<String, Value>) {
    for (key, value) in map.iter().filter(|(key, _)| !prefix.is_empty() || !matches!(key.as_str(), "message" | "subject")) {
        let place = problem::key(prefix, key);
        match value {
            Value::Object(members) if !members.keys().any(|key| key.starts_with('@')) => {
                find_values(members, &place, sample, out);
            }
            value => {
                let found = Mapping::compile(value).ok().and_then(|mapping| mapping.resolve(sample).ok().flatten());
                out.extend(found.map(|found| (place, found)));
            }
        }
    }
}

/// Of nobody, for nobody: what is ordered is shown and thrown away.
fn order(over: Over, now: Timestamp, entropy: &dyn Entropy) -> Order<'_> {
    let nil = Uuid::nil();
    Order {
        org: OrgId::from_uuid(nil),
        actor: Actor::Source { id: SourceId::from_uuid(nil) },
        cause: Cause::SourceEvent {
            id: SourceEventId::from_uuid(nil),
            flow: domain::FlowId::from_uuid(nil),
            step: String::new(),
            via: Vec::new(),
        },
        key: IdempotencyKey { principal: String::new(), key: String::new(), fingerprint: [0; 32], keep_image: false },
        at: now,
        seed: CommandId::mint(now, entropy).uuid(),
        name: String::new(),
        spans_from: now,
        told: None,
        via: Vec::new(),
        is_lenient: over == Over::Rows,
        is_mirrored: false,
        entropy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::test_project;

    struct Still;
    impl Entropy for Still {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(7);
        }
    }

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn tried(action: StepAction, over: Over, map: &Value, sample: &Value) -> Tested {
        test(&test_project(), action, over, map.as_object().unwrap(), sample, (NOW, &Still))
    }

    #[test]
    fn places_are_the_projects_own_and_say_what_they_take() {
        let of = |action, over| targets(&test_project(), action, over);
        let issue = of(StepAction::Issue, Over::Rows);
        let one = |place: &str| issue.iter().find(|target| target.place == place).unwrap();
        assert_eq!((one("fields.visits").takes, one("fields.visits").label.as_str()), (Takes::Number, "Visits"));
        assert_eq!(one("balances.points").default, Some(json!("0")));
        assert_eq!(one("variant").choices, ["basic", "gold"]);
        assert!(one("external_id").required);
        let places: Vec<String> = of(StepAction::Revoke, Over::Rows).into_iter().map(|target| target.place).collect();
        assert_eq!(places, ["find.external_id", "find.pass", "find.contact", "find.email", "reason"]);
    }

    #[test]
    fn every_place_may_stand_in_a_map_of_its_action() {
        let changes = [StepAction::Issue, StepAction::Update, StepAction::Revoke, StepAction::Delete, StepAction::Notify];
        let records = [StepAction::RecordInstall, StepAction::RecordUninstall, StepAction::RecordScan];
        let actions = changes.into_iter().chain(records);
        for action in actions {
            for target in targets(&test_project(), action, Over::Rows) {
                let mut map = Map::new();
                put(&mut map, &target.place, json!("$.x"));
                if action == StepAction::Notify {
                    map.insert("message".to_owned(), json!("Hello"));
                }
                if action != StepAction::Issue {
                    put(&mut map, "find.pass", json!("$.pass"));
                }
                let found = test(&test_project(), action, Over::Rows, &map, &json!({}), (NOW, &Still));
                let refused = found.problems.iter().any(|it| it.message.contains("no meaning") || it.message.contains("unknown"));
                assert!(!refused, "{action:?} {}: {:?}", target.place, found.problems);
            }
        }
    }

    #[test]
    fn names_that_people_use_are_recognized() {
        let row = json!({"Member No.": "42", "E-Mail": "ada@example.com", "Visits": "7", "Points": "1,5", "VIP": "true",
            "Plan": "Gold member", "junk": "x"});
        let map = suggest(&test_project(), StepAction::Issue, Over::Rows, &row);
        assert_eq!(
            Value::Object(map.clone()),
            json!({"external_id": {"@path": "$.['Member No.']"}, "contact": {"email": "$.E-Mail"},
                "fields": {"visits": "$.Visits", "vip": "$.VIP"}, "variant": "$.Plan"}),
            "and points, which are no number, are left alone"
        );
        let found = tried(StepAction::Issue, Over::Rows, &Value::Object(map), &row);
        assert_eq!(found.problems, []);
        let resolved = found.resolved.unwrap();
        assert_eq!((&resolved["external_id"], &resolved["variant"]), (&json!("42"), &json!("gold")));
        assert_eq!(resolved["fields"], json!({"visits": 7, "vip": true}));
        let event =
            json!({"userId": "u1", "properties": {"email": "deep@example.com", "points": 5}, "context": {"traits": {"x": 1}}});
        let map = suggest(&test_project(), StepAction::Update, Over::Events, &event);
        assert_eq!(Value::Object(map), json!({"find": {"contact": "$.userId"}, "balances": {"points": "$.properties.points"}}));
    }

    #[test]
    fn a_map_is_tried_place_by_place() {
        let row = json!({"no": "1", "visits": "many", "when": "2026-11-20"});
        let map = json!({"external_id": "$.no", "fields": {"visits": "$.visits", "since": "$.when", "vip": "$.nothing"}});
        let found = tried(StepAction::Issue, Over::Rows, &map, &row);
        assert_eq!(found.resolved, None);
        assert_eq!(found.problems.iter().map(|it| it.path.as_str()).collect::<Vec<_>>(), ["fields.visits"]);
        assert_eq!(found.values["fields.visits"], "many");
        assert!(!found.values.contains_key("fields.vip"), "nothing is there");
        let found = tried(StepAction::Issue, Over::Rows, &json!({"external_id": "$.no", "colour": 1}), &row);
        assert!(found.problems[0].message.contains("colour"), "{found:?}");
    }
}
