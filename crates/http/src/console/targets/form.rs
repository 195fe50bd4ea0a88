//! A webhook or destination as the fields of a form, and back. Every field is named by the path of its value in the API's body.

use serde_json::{Map, Number, Value, json};

use super::Room;
use crate::console::{ask::Fault, form::Sheet, parts::text};

/// What the API tells of one and does not take.
const TOLD: [&str; 7] =
    ["id", "disabled_reason", "missed_since", "secrets", "earlier_secrets_end_at", "public_key", "created_at"];
/// Fields that have several values, each with a path of its own.
const SHARED: [&str; 4] = ["headers", "payload.mapping", "templates", "events"];
/// Before the name of a credential that is to be forgotten.
pub(super) const FORGET: &str = "forget.";

/// The settings of a connector, as it is a webhook's shape or a destination.
pub(super) fn settings(room: Room, connector: &Value) -> impl Iterator<Item = &Value> {
    connector[room.one()]["settings"].as_array().into_iter().flatten()
}

/// Whether a webhook or destination of this connector takes a member beside `settings`.
pub(super) fn takes(room: Room, connector: &Value, member: &str) -> bool {
    settings(room, connector).any(|it| it["in_settings"] == false && text(it, "/name") == member)
}

/// The parts that a member has, each with what holds when it is left empty: its setting names them one after another.
pub(super) fn parts(room: Room, connector: &Value, member: &str) -> Vec<(String, String)> {
    let Some(setting) = settings(room, connector).find(|it| text(it, "/name") == member) else { return Vec::new() };
    let each = |at: &str| text(setting, at).split(", ").map(|it| it.trim_matches('`').to_owned()).collect::<Vec<_>>();
    each("/value").into_iter().zip(each("/default")).collect()
}

/// What was answered, as it is taken again.
pub(in crate::console) fn body_of(held: &Value) -> Map<String, Value> {
    let mut body = held.as_object().cloned().unwrap_or_default();
    body.retain(|name, _| !TOLD.contains(&name.as_str()));
    body
}

/// The form of one that there is.
pub(super) fn fill(held: &Value, connector: &Value, room: Room) -> Sheet {
    let mut values = Vec::new();
    let mut put = |name: &str, value: String| values.push((name.to_owned(), value));
    for (name, value) in body_of(held) {
        match name.as_str() {
            "settings" | "headers" | "payload" => {}
            _ => flatten(&name, &value, &mut put),
        }
    }
    for setting in settings(room, connector).filter(|it| it["in_settings"] == true) {
        let name = text(setting, "/name");
        let value = &held["settings"][name];
        if text(setting, "/type") == "secrets" {
            let names = held["settings"].as_object().into_iter().flatten().map(|(held, _)| held);
            let names = names.filter_map(|held| held.strip_prefix(name)?.strip_prefix('.'));
            put(&format!("settings.{name}"), names.map(|name| format!("{name}=\n")).collect());
        } else if let Some(value) = plain(value) {
            put(&format!("settings.{name}"), value);
        }
    }
    let headers = held["headers"].as_object().into_iter().flatten().map(|(name, _)| format!("{name}:\n"));
    put("headers", headers.collect());
    payload(&held["payload"], &mut put);
    Sheet::of(values)
}

fn payload(payload: &Value, put: &mut impl FnMut(&str, String)) {
    let Some((kind, value)) = payload.as_object().and_then(|payload| payload.iter().next()) else { return };
    put("payload", kind.clone());
    match kind.as_str() {
        "template" => {
            put("payload.template.text", text(value, "/text").to_owned());
            put("payload.template.content", text(value, "/content").to_owned());
        }
        "mapping" => put("payload.mapping", serde_json::to_string_pretty(value).unwrap_or_default()),
        _ => put("payload.transformation", value.as_str().unwrap_or_default().to_owned()),
    }
}

/// Values by their paths: what is null or false is left empty.
fn flatten(path: &str, value: &Value, put: &mut impl FnMut(&str, String)) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| flatten(&format!("{path}.{name}"), value, put)),
        Value::Array(items) => items.iter().filter_map(plain).for_each(|item| put(path, item)),
        Value::Bool(false) => {}
        value => plain(value).into_iter().for_each(|value| put(path, value)),
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Object(_) | Value::Array(_) => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The fault with its errors at the fields that the form has, where several values share one.
pub(super) fn beside(mut fault: Fault) -> Fault {
    for (path, message) in &mut fault.errors {
        let shared = SHARED.iter().find_map(|field| Some((*field, path.strip_prefix(field)?.strip_prefix('.')?.to_owned())));
        if let Some((field, rest)) = shared {
            (*path, *message) = (field.to_owned(), format!("{rest}: {message}"));
        }
    }
    fault
}

/// The body that the API takes. What the form does not show stays as it is held.
///
/// # Errors
/// When a number or JSON cannot be read.
pub(super) fn read(room: Room, sheet: &Sheet, connector: &Value, held: Option<&Value>) -> Result<Value, Fault> {
    let mut body = held.map(body_of).unwrap_or_default();
    let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    put(room.connector(), text(connector, "/slug").into());
    put("name", sheet.value("name").into());
    put("enabled", sheet.ticked("enabled").into());
    if room == Room::Webhooks || !sheet.value("url").is_empty() || held.is_some() {
        put("url", if room == Room::Webhooks { sheet.value("url").into() } else { maybe(sheet, "url") });
    }
    for setting in settings(room, connector).filter(|it| it["in_settings"] == false) {
        let name = text(setting, "/name");
        let value = match name {
            "project" | "wallet" | "filter" | "egress" => maybe(sheet, name),
            "templates" => json!(sheet.all(name).filter(|it| !it.is_empty()).collect::<Vec<_>>()),
            "events" => Some(sheet.all(name).collect::<Vec<_>>()).filter(|it| !it.is_empty()).map_or(Value::Null, |it| json!(it)),
            "post_only" | "without_standard_headers" | "backfill_everything" => sheet.ticked(name).into(),
            "uninstall_name" if sheet.value(name).is_empty() => continue,
            "uninstall_name" => sheet.value(name).into(),
            "backfill_every_hours" => whole(sheet, name)?,
            "pace" => pace(sheet, &parts(room, connector, name))?,
            "switch_off" => json!({
                "after_failures": whole(sheet, "switch_off.after_failures")?,
                "after_hours": whole(sheet, "switch_off.after_hours")?,
            }),
            "headers" => Value::Object(named(sheet.value(name), ':')),
            "auth" => auth(sheet),
            "certificate" => certificate(sheet),
            "payload" => payload_of(sheet)?,
            _ => continue,
        };
        put(name, value);
    }
    put("settings", Value::Object(settings_of(room, sheet, connector, held)?));
    Ok(Value::Object(body))
}

/// What was typed, or null.
fn maybe(sheet: &Sheet, name: &str) -> Value {
    Some(sheet.value(name)).filter(|value| !value.is_empty()).map_or(Value::Null, Value::from)
}

/// A whole number, or null.
pub(in crate::console) fn whole(sheet: &Sheet, name: &str) -> Result<Value, Fault> {
    let typed = sheet.value(name).trim();
    if typed.is_empty() {
        return Ok(Value::Null);
    }
    let number: Result<Number, _> = typed.parse::<i64>().map(Number::from);
    number.map(Value::Number).map_err(|_| Fault::field(name, "expected a whole number"))
}

fn pace(sheet: &Sheet, parts: &[(String, String)]) -> Result<Value, Fault> {
    let part = |(name, _): &(String, String)| {
        let at = format!("pace.{name}");
        let value = if name == "in_order" { sheet.ticked(&at).into() } else { whole(sheet, &at)? };
        Ok((name.clone(), value))
    };
    Ok(Value::Object(parts.iter().map(part).collect::<Result<_, Fault>>()?))
}

/// Lines of names and values; a value that is left out is null, which keeps the one that is held.
fn named(lines: &str, between: char) -> Map<String, Value> {
    let line = |line: &str| {
        let (name, value) = line.split_once(between).unwrap_or((line, ""));
        let value = Some(value.trim()).filter(|value| !value.is_empty()).map_or(Value::Null, Value::from);
        (name.trim().to_owned(), value)
    };
    lines.lines().filter(|it| !it.trim().is_empty()).map(line).collect()
}

fn auth(sheet: &Sheet) -> Value {
    let of = |name: &str| maybe(sheet, &format!("auth.{name}"));
    let said = |name: &str| Value::from(sheet.value(&format!("auth.{name}")));
    match sheet.value("auth.type") {
        "basic" => json!({"type": "basic", "user": said("user"), "password": of("password")}),
        "bearer" => json!({"type": "bearer", "token": of("token")}),
        "oauth2" => json!({
            "type": "oauth2",
            "token_url": said("token_url"),
            "client_id": said("client_id"),
            "client_secret": of("client_secret"),
            "scope": of("scope"),
            "audience": of("audience"),
            "in_body": sheet.ticked("auth.in_body"),
        }),
        _ => Value::Null,
    }
}

fn certificate(sheet: &Sheet) -> Value {
    let chain = lines(sheet.value("certificate.chain"));
    let key = Some(lines(sheet.value("certificate.private_key"))).filter(|key| !key.trim().is_empty());
    if chain.trim().is_empty() { Value::Null } else { json!({"chain": chain, "private_key": key}) }
}

fn payload_of(sheet: &Sheet) -> Result<Value, Fault> {
    Ok(match sheet.value("payload") {
        "template" => {
            let content = sheet.value("payload.template.content");
            let content = if content.is_empty() { "json" } else { content };
            json!({"template": {"text": lines(sheet.value("payload.template.text")), "content": content}})
        }
        "mapping" => {
            let mapping: Result<Value, _> = serde_json::from_str(sheet.value("payload.mapping"));
            json!({"mapping": mapping.map_err(|error| Fault::field("payload.mapping", &format!("it is no JSON: {error}")))?})
        }
        "transformation" => json!({"transformation": sheet.value("payload.transformation")}),
        _ => Value::Null,
    })
}

/// Text of a form's many lines, which browsers end otherwise.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}

fn settings_of(room: Room, sheet: &Sheet, connector: &Value, held: Option<&Value>) -> Result<Map<String, Value>, Fault> {
    let mut all = Map::new();
    for setting in settings(room, connector).filter(|it| it["in_settings"] == true) {
        let name = text(setting, "/name");
        let at = format!("settings.{name}");
        let typed = sheet.value(&at);
        let is_held = held.is_some_and(|held| held["settings"].get(name).is_some());
        let value = match text(setting, "/type") {
            "secrets" => {
                let more = named(typed, '=').into_iter().map(|(word, value)| (format!("{name}.{word}"), value));
                all.extend(more);
                continue;
            }
            "secret" if sheet.ticked(&format!("{FORGET}{at}")) => continue,
            "secret" if typed.is_empty() && is_held => Value::Null,
            _ if typed.is_empty() => continue,
            "flag" => (typed == "true").into(),
            "whole" => whole(sheet, &at)?,
            "lines" => lines(typed).into(),
            _ => typed.into(),
        };
        all.insert(name.to_owned(), value);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector() -> Value {
        let own = |name: &str| json!({"name": name, "in_settings": false, "type": "member"});
        let set = |name: &str, kind: &str| json!({"name": name, "in_settings": true, "type": kind});
        let pace = json!({"name": "pace", "in_settings": false, "type": "member", "default": "no limit, 8, 15, false",
            "value": "`per_second`, `concurrency`, `timeout_seconds`, `in_order`"});
        json!({"slug": "shape", "webhook": {"settings": [
            own("project"), own("templates"), own("events"), own("filter"), own("payload"), own("headers"), own("auth"),
            pace, own("switch_off"), set("token", "secret"), set("most", "whole"), set("deep", "flag"), set("secret", "secrets"),
        ]}})
    }

    #[test]
    fn what_is_shown_is_what_is_sent_again() {
        let held = json!({
            "id": "x", "created_at": "2026-11-22T06:00:00Z", "disabled_reason": null, "secrets": 1,
            "dialect": "shape", "name": "A", "url": "https://example.com/", "enabled": true, "project": null,
            "templates": ["t1", "t2"], "events": ["pass.created"], "filter": "type = \"a\"", "headers": {"x-one": null},
            "payload": {"mapping": {"a": {"@path": "$.b"}}}, "auth": {"type": "basic", "user": "u", "password": null},
            "pace": {"per_second": 5, "concurrency": null, "timeout_seconds": null, "in_order": true},
            "switch_off": {"after_failures": null, "after_hours": 120}, "post_only": true,
            "settings": {"token": null, "most": 7, "deep": false, "secret.k1": null},
        });
        let sheet = fill(&held, &connector(), Room::Webhooks);
        let sent = read(Room::Webhooks, &sheet, &connector(), Some(&held)).unwrap();
        assert_eq!(sent, Value::Object(body_of(&held)));
    }

    #[test]
    fn what_was_typed_is_read() {
        let typed = [
            ("name", "A"),
            ("url", "https://example.com/"),
            ("settings.token", "s3"),
            ("settings.most", " 8 "),
            ("settings.deep", "true"),
            ("settings.secret", "a=1=2\r\nb="),
            ("headers", "X-One: a:b\r\n\r\nX-Two:"),
            ("payload", "template"),
            ("payload.template.text", "a\r\nb"),
            ("enabled", "true"),
        ];
        let sheet = |more: &[(&str, &str)]| {
            Sheet::of(typed.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        let sent = read(Room::Webhooks, &sheet(&[]), &connector(), None).unwrap();
        assert_eq!(sent["settings"], json!({"token": "s3", "most": 8, "deep": true, "secret.a": "1=2", "secret.b": null}));
        assert_eq!(sent["headers"], json!({"X-One": "a:b", "X-Two": null}));
        assert_eq!(sent["payload"], json!({"template": {"text": "a\nb", "content": "json"}}));
        assert_eq!(
            (&sent["events"], &sent["auth"], &sent["switch_off"]["after_hours"]),
            (&Value::Null, &Value::Null, &Value::Null)
        );
        let wrong = read(Room::Webhooks, &sheet(&[("pace.per_second", "many")]), &connector(), None).unwrap_err();
        assert_eq!(wrong.at("pace.per_second").count(), 1);
        let held = json!({"settings": {"token": null}});
        let forgotten = Sheet::of(vec![("forget.settings.token".to_owned(), "true".to_owned())]);
        assert_eq!(read(Room::Webhooks, &forgotten, &connector(), Some(&held)).unwrap()["settings"], json!({}));
    }
}
