//! Holders: they open save links, save and delete.

use serde_json::{Value, json};

use super::{State, rules, token};

/// What a link begins with.
const PREFIX: &str = "https://pay.google.com/gp/v/save/";
/// Longest token that browsers carry safely, in characters.
const MAX_JWT: usize = 1_800;

/// Why a holder sees an error page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Google shows an error page: {0}")]
pub struct HolderError(String);

/// What a link's token holds, once it was found good: its payload.
pub(super) fn of_link(state: &State, jwt: &str) -> Result<Value, String> {
    if jwt.len() > MAX_JWT {
        return Err(format!("the token has {} characters, {MAX_JWT} are safe", jwt.len()));
    }
    payload(state, jwt)
}

/// What a token holds, once it was found good: its payload.
pub(super) fn payload(state: &State, jwt: &str) -> Result<Value, String> {
    let email = token::unverified(jwt).and_then(|claims| Some(claims["iss"].as_str()?.to_owned())).ok_or("no token")?;
    let accounts = state.accounts.lock();
    let claims = accounts.signed_by(&email, jwt, "google").map_err(str::to_owned)?;
    if claims["typ"] != "savetowallet" {
        return Err("typ is not savetowallet".to_owned());
    }
    let Value::Object(payload) = &claims["payload"] else { return Err("no payload".to_owned()) };
    for thing in payload.values().filter_map(Value::as_array).flatten() {
        let issuer = thing["id"].as_str().unwrap_or_default().split('.').next().unwrap_or_default();
        if !accounts.may(&email, issuer) {
            return Err(format!("{email} is no user of issuer {issuer}"));
        }
    }
    Ok(claims["payload"].clone())
}

/// Takes in what a payload carries; the collection and id of its first object.
pub(super) fn absorb(state: &State, payload: &Value) -> Result<(String, String), String> {
    let mut world = state.world.lock();
    let mut first = None;
    // Classes before the objects that need them.
    for (plural, kind) in [("Classes", "Class"), ("Objects", "Object")] {
        for (name, list) in payload.as_object().into_iter().flatten() {
            let Some(stem) = name.strip_suffix(plural) else { continue };
            let collection = format!("{stem}{kind}");
            for thing in list.as_array().into_iter().flatten() {
                let key = (collection.clone(), thing["id"].as_str().unwrap_or_default().to_owned());
                if !world.things.contains_key(&key) {
                    // What is there already is left as it is: re-opening a link changes nothing.
                    let made = rules::inserted(&world.things, &collection, thing.clone(), state.options.plain_callbacks)?;
                    world.things.insert(key.clone(), made);
                }
                if kind == "Object" {
                    first.get_or_insert(key);
                }
            }
        }
    }
    first.ok_or_else(|| "the link carries no object".to_owned())
}

pub(super) fn save(state: &State, link: &str) -> Result<String, HolderError> {
    let jwt = link.strip_prefix(PREFIX).ok_or_else(|| HolderError("no save link".to_owned()))?;
    let payload = of_link(state, jwt).map_err(HolderError)?;
    let key = absorb(state, &payload).map_err(HolderError)?;
    let mut world = state.world.lock();
    if let Some(thing) = world.things.get_mut(&key) {
        thing["hasUsers"] = json!(true);
    }
    Ok(key.1)
}

pub(super) fn delete(state: &State, object: &str) -> Result<(), HolderError> {
    let mut world = state.world.lock();
    let mut found = world.things.iter_mut().filter(|((of, id), _)| of.ends_with("Object") && id == object);
    match found.next() {
        Some((_, thing)) if thing["hasUsers"] == true => {
            thing["hasUsers"] = json!(false);
            Ok(())
        }
        _ => Err(HolderError(format!("nobody holds {object}"))),
    }
}

pub(super) fn hold(state: &State, object: &str) -> Result<(), HolderError> {
    let mut world = state.world.lock();
    let mut found = world.things.iter_mut().filter(|((of, id), _)| of.ends_with("Object") && id == object);
    let Some((_, thing)) = found.next() else { return Err(HolderError(format!("there is no object {object}"))) };
    thing["hasUsers"] = json!(true);
    Ok(())
}
