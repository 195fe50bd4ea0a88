//! The REST interface: who may, how much, and what becomes of it.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::token::form_value;
use super::{Answer, Arrival, Fault, MAX_ARRIVALS, NOTIFICATIONS_PER_DAY, Notification, REQUESTS_PER_SECOND, State, World};
use super::{holder, refusal, rules};

/// Objects on one page.
const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;
const DAY: i64 = 86_400_000;

pub(super) struct Call<'a> {
    pub(super) method: &'a Method,
    /// Below the interface's address.
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) body: &'a [u8],
    pub(super) token: Option<&'a str>,
}

/// Answers a call, or cuts the line.
pub(super) fn take(state: &State, call: &Call<'_>) -> Option<Answer> {
    let now = state.now();
    let fault = state.world.lock().fault_for(call.path);
    let answer = match fault {
        Some(Fault::Status(code)) => Some(refusal(code, "UNAVAILABLE", "backendError", "Backend error.")),
        Some(Fault::LostBefore) => None,
        Some(Fault::LostAfter) => {
            let _ = judged(state, call, now);
            None
        }
        None => Some(judged(state, call, now)),
    };
    let status = answer.as_ref().map_or(0, |(status, _)| status.as_u16());
    let mut world = state.world.lock();
    if world.arrivals.len() < MAX_ARRIVALS {
        let (method, path) = (call.method.to_string(), call.path.to_owned());
        world.arrivals.push(Arrival { at: now, method, path, status });
    }
    answer
}

fn judged(state: &State, call: &Call<'_>, now: i64) -> Answer {
    let email = state.accounts.lock().who(call.token, now).map(str::to_owned);
    let Some(email) = email else {
        return refusal(401, "UNAUTHENTICATED", "authError", "Request had invalid authentication credentials.");
    };
    let project = email.split_once('@').map_or(email.as_str(), |(_, project)| project).to_owned();
    if !state.world.lock().admits(project, now) {
        return refusal(429, "RESOURCE_EXHAUSTED", "rateLimitExceeded", "Quota exceeded for quota metric 'Requests'.");
    }
    let body = match serde_json::from_slice::<Value>(call.body) {
        Ok(body) => body,
        Err(_) if call.body.is_empty() => Value::Null,
        Err(_) => return bad("Invalid JSON payload received."),
    };
    let parts: Vec<&str> = call.path.split('/').collect();
    match (call.method.as_str(), &parts[..]) {
        ("POST", ["jwt", "validate"]) => validate(state, &body),
        ("POST", ["jwt"]) => insert_jwt(state, &body),
        (_, [collection, ..]) if !rules::is_collection(collection) => absent("There is nothing at this address."),
        ("GET", [collection]) => list(state, &email, collection, call.query),
        (method, [collection, rest @ ..]) => {
            let id = rest.first().copied().or_else(|| body["id"].as_str()).unwrap_or_default();
            let issuer = id.split('.').next().unwrap_or_default();
            if let Err(why) = rules::check_id(id) {
                return bad(&why);
            }
            if !state.accounts.lock().may(&email, issuer) {
                let why = format!("Service account {email} does not have access to issuer {issuer}.");
                return refusal(403, "PERMISSION_DENIED", "permissionDenied", &why);
            }
            let thing = Thing { collection, id, plain: state.options.plain_callbacks, now };
            one(&mut state.world.lock(), method, &thing, rest, &body)
        }
        _ => absent("There is nothing at this address."),
    }
}

struct Thing<'a> {
    collection: &'a str,
    id: &'a str,
    plain: bool,
    now: i64,
}

fn one(world: &mut World, method: &str, thing: &Thing<'_>, rest: &[&str], body: &Value) -> Answer {
    let key = (thing.collection.to_owned(), thing.id.to_owned());
    let held = world.things.get(&key).cloned();
    let (a, is) = if thing.collection.ends_with("Class") { ("A", "class") } else { ("An", "object") };
    let (outcome, held) = match (method, rest, held) {
        ("POST", [], Some(_)) => {
            return refusal(409, "ALREADY_EXISTS", "existingResource", &format!("{a} {is} with ID {} already exists.", thing.id));
        }
        ("POST", [], None) => (rules::inserted(&world.things, thing.collection, body.clone(), thing.plain), Value::Null),
        (_, _, None) => {
            return refusal(404, "NOT_FOUND", &format!("{is}NotFound"), &format!("{is} {} not found.", thing.id));
        }
        ("GET", [_], Some(held)) => return (StatusCode::OK, held),
        ("PATCH", [_], Some(held)) => (rules::patched(&world.things, thing.collection, &held, body, thing.plain), held),
        ("PUT", [_], Some(held)) => (rules::updated(&world.things, thing.collection, &held, body.clone(), thing.plain), held),
        ("POST", [_, "addMessage"], Some(held)) => return add_message(world, thing, held, &body["message"]),
        _ => return absent("There is no such method; nothing can be deleted."),
    };
    match outcome {
        Ok(value) => {
            if body["notifyPreference"] == "NOTIFY_ON_UPDATE" {
                world.notify_of(thing, &held, &value);
            }
            world.things.insert(key, value.clone());
            (StatusCode::OK, value)
        }
        Err(why) if why.starts_with("classNotFound") => refusal(404, "NOT_FOUND", "classNotFound", &why),
        Err(why) => bad(&why),
    }
}

fn add_message(world: &mut World, thing: &Thing<'_>, mut held: Value, message: &Value) -> Answer {
    let notifies = message["messageType"] == "TEXT_AND_NOTIFY";
    if notifies && !world.may_notify(thing.id, thing.now) {
        let why = "QuotaExceededException: too many notifications for this pass within 24 hours.";
        return refusal(403, "PERMISSION_DENIED", "quotaExceeded", why);
    }
    if let Err(why) = rules::add_message(&mut held, message) {
        return bad(&why);
    }
    if notifies {
        world.notify(thing, &held, message["body"].as_str().map(str::to_owned));
    }
    world.things.insert((thing.collection.to_owned(), thing.id.to_owned()), held.clone());
    (StatusCode::OK, json!({"resource": held}))
}

impl World {
    fn fault_for(&mut self, path: &str) -> Option<Fault> {
        if self.fault_at.as_ref().is_some_and(|(text, _)| path.contains(text.as_str())) {
            return self.fault_at.take().map(|(_, fault)| fault);
        }
        self.faults.pop_front()
    }

    /// Counts a request, and says whether it is within the limit.
    fn admits(&mut self, project: String, now: i64) -> bool {
        let window = self.window.entry(project).or_default();
        while window.front().is_some_and(|at| *at <= now - 1_000) {
            window.pop_front();
        }
        window.push_back(now);
        window.len() <= REQUESTS_PER_SECOND
    }

    fn may_notify(&self, object: &str, now: i64) -> bool {
        let recent = self.notified.iter().filter(|one| one.object == object && one.at > now - DAY);
        recent.count() < NOTIFICATIONS_PER_DAY
    }

    /// Field updates: of an object to its holder, of a class to all who hold one of its objects.
    fn notify_of(&mut self, thing: &Thing<'_>, before: &Value, after: &Value) {
        if let Some(vertical) = thing.collection.strip_suffix("Object") {
            if rules::is_noticed(vertical, before, after) && self.may_notify(thing.id, thing.now) {
                self.notify(thing, after, None);
            }
        } else if rules::is_class_noticed(thing.collection, before, after) {
            let of_class = self.things.iter().filter(|(_, value)| value["classId"] == thing.id);
            let objects: Vec<(String, Value)> = of_class.map(|((_, id), value)| (id.clone(), value.clone())).collect();
            for (id, value) in objects {
                let object = Thing { id: &id, ..*thing };
                if self.may_notify(&id, thing.now) {
                    self.notify(&object, &value, None);
                }
            }
        }
    }

    /// Somebody who does not hold the pass sees nothing.
    fn notify(&mut self, thing: &Thing<'_>, value: &Value, text: Option<String>) {
        if value["hasUsers"] == true {
            self.notified.push(Notification { object: thing.id.to_owned(), text, at: thing.now });
        }
    }
}

fn list(state: &State, email: &str, collection: &str, query: &str) -> Answer {
    let (of, field) = if collection.ends_with("Class") { ("issuerId", "id") } else { ("classId", "classId") };
    let Some(parent) = form_value(query.as_bytes(), of) else { return bad(&format!("{of} is required")) };
    if !state.accounts.lock().may(email, parent.split('.').next().unwrap_or_default()) {
        return refusal(403, "PERMISSION_DENIED", "permissionDenied", "Service account lacks access to the issuer.");
    }
    let size = form_value(query.as_bytes(), "maxResults").and_then(|size| size.parse().ok()).unwrap_or(DEFAULT_PAGE);
    let size = size.clamp(1, MAX_PAGE);
    let after = form_value(query.as_bytes(), "token").unwrap_or_default();
    let world = state.world.lock();
    let belongs = |value: &Value| {
        let held = value[field].as_str().unwrap_or_default();
        held == parent || (of == "issuerId" && held.split('.').next() == Some(parent.as_str()))
    };
    let mut found: Vec<&Value> = world
        .things
        .range((collection.to_owned(), String::new())..)
        .take_while(|((of, _), _)| of == collection)
        .filter(|((_, id), value)| *id > after && belongs(value))
        .map(|(_, value)| value)
        .take(size + 1)
        .collect();
    let more = found.len() > size;
    found.truncate(size);
    let mut answer = Map::new();
    if !found.is_empty() {
        answer.insert("resources".to_owned(), json!(found));
    }
    let mut pagination = json!({"kind": "walletobjects#pagination", "resultsPerPage": found.len()});
    if more {
        pagination["nextPageToken"] = found.last().map_or(Value::Null, |last| last["id"].clone());
    }
    answer.insert("pagination".to_owned(), pagination);
    (StatusCode::OK, Value::Object(answer))
}

fn validate(state: &State, body: &Value) -> Answer {
    let payload = match body["jwtResource"]["jwt"].as_str() {
        Some(jwt) => holder::payload(state, jwt),
        None => Err("jwtResource.jwt is required".to_owned()),
    };
    // Nothing is kept: what the link carries is tried on a copy.
    let tried = payload.and_then(|payload| {
        let before = state.world.lock().things.clone();
        let outcome = holder::absorb(state, &payload);
        state.world.lock().things = before;
        outcome
    });
    match tried {
        Ok(_) => (StatusCode::OK, json!({})),
        Err(why) => bad(&why),
    }
}

fn insert_jwt(state: &State, body: &Value) -> Answer {
    let Some(jwt) = body["jwt"].as_str() else { return bad("jwt is required") };
    match holder::payload(state, jwt).and_then(|payload| holder::absorb(state, &payload)) {
        Ok((_, id)) => (StatusCode::OK, json!({"saveUri": format!("https://pay.google.com/gp/v/save/{id}")})),
        Err(why) => bad(&why),
    }
}

fn bad(why: &str) -> Answer {
    refusal(400, "INVALID_ARGUMENT", "badRequest", why)
}

fn absent(why: &str) -> Answer {
    refusal(404, "NOT_FOUND", "notFound", why)
}
