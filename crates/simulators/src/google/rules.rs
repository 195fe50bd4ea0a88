//! What Google takes and what it refuses, as far as its documents say.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

const VERTICALS: [&str; 7] = ["generic", "loyalty", "offer", "eventTicket", "flight", "transit", "giftCard"];
/// Messages that a pass shows at most.
const MAX_MESSAGES: usize = 10;
const MAX_MERCHANT_LOCATIONS: usize = 10;
const MAX_LINKED_OBJECTS: usize = 50;
/// What only Google writes.
const READ_ONLY: [&str; 3] = ["hasUsers", "version", "kind"];

type Things = BTreeMap<(String, String), Value>;

pub(super) fn is_collection(name: &str) -> bool {
    let stem = name.strip_suffix("Class").or_else(|| name.strip_suffix("Object"));
    stem.is_some_and(|stem| VERTICALS.contains(&stem))
}

/// A new class or object as Google keeps it.
pub(super) fn inserted(things: &Things, collection: &str, mut value: Value, plain: bool) -> Result<Value, String> {
    if !is_collection(collection) {
        return Err(format!("there is no collection {collection}"));
    }
    let Value::Object(fields) = &mut value else { return Err("the body is no object".to_owned()) };
    READ_ONLY.iter().for_each(|key| drop(fields.remove(*key)));
    check(things, collection, &value, plain)?;
    finish(collection, &mut value, 1);
    Ok(value)
}

/// A class or object after a change of some of its fields. `null` empties a field, lists are replaced whole.
pub(super) fn patched(things: &Things, collection: &str, held: &Value, patch: &Value, plain: bool) -> Result<Value, String> {
    let Value::Object(patch) = patch else { return Err("the body is no object".to_owned()) };
    if patch.get("reviewStatus").is_some_and(|status| status == "DRAFT") && held["reviewStatus"] != "DRAFT" {
        return Err("Review status: a class never goes back to draft".to_owned());
    }
    if is_reviewed(collection) && !patch.contains_key("reviewStatus") {
        return Err("Review status must be set to UNDER_REVIEW when a class is changed".to_owned());
    }
    let mut value = held.clone();
    merge(&mut value, patch);
    for key in READ_ONLY {
        value[key] = held[key].clone();
    }
    check(things, collection, &value, plain)?;
    finish(collection, &mut value, version(held) + 1);
    Ok(value)
}

/// A class or object that is replaced whole.
pub(super) fn updated(things: &Things, collection: &str, held: &Value, value: Value, plain: bool) -> Result<Value, String> {
    let mut value = inserted(things, collection, value, plain)?;
    finish(collection, &mut value, version(held) + 1);
    if let Some(users) = held.get("hasUsers") {
        value["hasUsers"] = users.clone();
    }
    Ok(value)
}

fn is_reviewed(collection: &str) -> bool {
    collection.ends_with("Class") && collection != "genericClass"
}

fn version(held: &Value) -> i64 {
    held["version"].as_str().and_then(|version| version.parse().ok()).unwrap_or(0)
}

fn finish(collection: &str, value: &mut Value, version: i64) {
    value["version"] = json!(version.to_string());
    if collection.ends_with("Object") && value.get("hasUsers").is_none_or(Value::is_null) {
        value["hasUsers"] = json!(false);
    }
    if is_reviewed(collection) && value["reviewStatus"] == "UNDER_REVIEW" {
        value["reviewStatus"] = json!("APPROVED");
    }
    if let Some(fields) = value.as_object_mut() {
        // Ephemeral: it says what this one request does.
        fields.remove("notifyPreference");
        fields.retain(|_, value| !value.is_null());
    }
}

fn merge(value: &mut Value, patch: &Map<String, Value>) {
    let Value::Object(fields) = value else { return };
    for (key, change) in patch {
        match (fields.get_mut(key), change) {
            (_, Value::Null) => drop(fields.remove(key)),
            (Some(held @ Value::Object(_)), Value::Object(change)) => merge(held, change),
            (_, Value::Object(change)) => {
                let mut fresh = Value::Object(Map::new());
                merge(&mut fresh, change);
                fields.insert(key.clone(), fresh);
            }
            _ => drop(fields.insert(key.clone(), change.clone())),
        }
    }
}

fn check(things: &Things, collection: &str, value: &Value, plain: bool) -> Result<(), String> {
    let id = value["id"].as_str().ok_or("id is missing")?;
    check_id(id)?;
    let vertical = collection.trim_end_matches("Class").trim_end_matches("Object");
    if collection.ends_with("Class") {
        check_class(vertical, value, plain)?;
    } else {
        check_object(things, vertical, value)?;
    }
    let over = |key: &str, most: usize| value[key].as_array().is_some_and(|list| list.len() > most);
    if over("merchantLocations", MAX_MERCHANT_LOCATIONS) || over("linkedObjectIds", MAX_LINKED_OBJECTS) {
        return Err("a list is too long".to_owned());
    }
    Ok(())
}

pub(super) fn check_id(id: &str) -> Result<(), String> {
    let (issuer, suffix) = id.split_once('.').ok_or_else(|| format!("Invalid resource ID: {id}"))?;
    let issuer_ok = !issuer.is_empty() && issuer.bytes().all(|byte| byte.is_ascii_digit());
    let suffix_ok = !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if issuer_ok && suffix_ok { Ok(()) } else { Err(format!("Invalid resource ID: {id}")) }
}

fn has(value: &Value, keys: &[&str]) -> Result<(), String> {
    let given = |key: &&str| !value[*key].is_null() && value[*key] != "";
    match keys.iter().find(|key| !key.split('|').any(|key| given(&key))) {
        Some(missing) => Err(format!("{missing} is required")),
        None => Ok(()),
    }
}

fn check_class(vertical: &str, value: &Value, plain: bool) -> Result<(), String> {
    if vertical == "generic" {
        let wrong = ["issuerName", "reviewStatus", "hexBackgroundColor", "heroImage"].iter().find(|key| !value[**key].is_null());
        if let Some(wrong) = wrong {
            return Err(format!("Invalid JSON payload received. Unknown name \"{wrong}\" at 'resource'"));
        }
    } else {
        has(value, &["issuerName|localizedIssuerName", "reviewStatus"])?;
    }
    has(
        value,
        match vertical {
            "loyalty" => &["programName|localizedProgramName", "programLogo"][..],
            "offer" => &["title|localizedTitle", "provider", "redemptionChannel"],
            "eventTicket" => &["eventName"],
            "flight" => &["flightHeader", "origin", "destination", "localScheduledDepartureDateTime"],
            "transit" => &["transitType", "logo"],
            _ => &[],
        },
    )?;
    match value["callbackOptions"]["url"].as_str() {
        Some(url) if !(url.starts_with("https://") || plain && url.starts_with("http://")) => {
            Err("callbackOptions.url must be https".to_owned())
        }
        _ => Ok(()),
    }
}

fn check_object(things: &Things, vertical: &str, value: &Value) -> Result<(), String> {
    let class = value["classId"].as_str().ok_or("classId is required")?;
    check_id(class)?;
    let held = things.get(&(format!("{vertical}Class"), class.to_owned()));
    let held = held.ok_or_else(|| format!("classNotFound: Class {class} not found."))?;
    if held["reviewStatus"] == "DRAFT" {
        return Err(format!("Class {class} is a draft"));
    }
    if class.split('.').next() != value["id"].as_str().and_then(|id| id.split('.').next()) {
        return Err("class and object are of different issuers".to_owned());
    }
    let states = ["ACTIVE", "COMPLETED", "EXPIRED", "INACTIVE"];
    match value["state"].as_str() {
        Some(state) if !states.contains(&state) => return Err(format!("Invalid value at 'resource.state': {state}")),
        None if vertical != "generic" => return Err("state is required".to_owned()),
        _ => {}
    }
    has(
        value,
        match vertical {
            "generic" => &["cardTitle", "header"][..],
            "flight" => &["passengerName", "reservationInfo"],
            "transit" => &["tripType"],
            "giftCard" => &["cardNumber"],
            _ => &[],
        },
    )
}

/// Adds a message; the oldest goes when there are too many. Equal ids are not looked at, so that a repeat is seen twice.
pub(super) fn add_message(value: &mut Value, message: &Value) -> Result<(), String> {
    if message["body"].as_str().is_none_or(str::is_empty) && message["header"].as_str().is_none_or(str::is_empty) {
        return Err("a message needs a header or a body".to_owned());
    }
    let list = value["messages"].as_array().cloned().unwrap_or_default();
    let skip = (list.len() + 1).saturating_sub(MAX_MESSAGES);
    value["messages"] = list.into_iter().skip(skip).chain([message.clone()]).collect();
    value["version"] = json!((version(value) + 1).to_string());
    Ok(())
}

/// Whether a change of a class is one that the holders of its objects may be notified of: gates and times of a flight.
pub(super) fn is_class_noticed(collection: &str, before: &Value, after: &Value) -> bool {
    let times = ["localBoardingDateTime", "localEstimatedOrActualDepartureDateTime", "localEstimatedOrActualArrivalDateTime"];
    let gates = ["origin", "destination"];
    collection == "flightClass"
        && (times.iter().any(|key| before[*key] != after[*key])
            || gates.iter().any(|end| before[*end]["gate"] != after[*end]["gate"]))
}

/// Whether a change of an object is one that its holder may be notified of.
pub(super) fn is_noticed(vertical: &str, before: &Value, after: &Value) -> bool {
    let keys: &[&str] = match vertical {
        "loyalty" => &["loyaltyPoints", "secondaryLoyaltyPoints"],
        "giftCard" => &["balance"],
        "eventTicket" | "flight" => &["seatInfo", "boardingAndSeatingInfo"],
        _ => &[],
    };
    keys.iter().any(|key| before[*key] != after[*key])
}
