//! Events as rows of tables, by the conventions that warehouses of customer data platforms share: every event a row of `tracks` and
//! of a table of its own, what is known of a person a row of `identifies` and the newest of it one of `users`; and one row of
//! `passes` for each pass as it is.
//!
//! Sources: <https://www.rudderstack.com/docs/destinations/warehouse-destinations/warehouse-schema/>,
//! `src/connections/storage/warehouses/schema.md` of <https://github.com/segmentio/segment-docs>.

use domain::{Contact, Event, EventKind, FieldValue, Holding, Pass, Target, Timestamp};
use serde_json::{Map, Value, json};

use super::{Field, Owed, crm, tracking::destination as tracking, vendor};

/// Longest name of a column, in bytes: what PostgreSQL keeps.
const MAX_NAME_BYTES: usize = 63;
/// How deep objects are taken apart; what is deeper stays JSON.
const MAX_DEPTH: usize = 4;
/// Names of columns that every table of PostgreSQL has already.
/// Source: <https://www.postgresql.org/docs/current/ddl-system-columns.html>.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];
/// What says when a row of `users` was written, whatever traits a contact has.
const WRITTEN: [&str; 3] = ["contact_version", "received_at", "uuid_ts"];

/// A row that is written once: its table, and its values by column.
fn row(table: &str, values: &Map<String, Value>) -> Value {
    json!({ "table": table, "values": values })
}

/// A row that stands in the place of what is there, unless that has more in the column `newest_by`. What it has no value for is
/// cleared in the columns that such rows fill.
fn newest(table: &str, newest_by: &str, values: &Map<String, Value>) -> Value {
    let clears = match table {
        "users" => json!({ "like": "identifies", "but": ["received_at", "uuid_ts"] }),
        _ => json!({ "beginning": ["field_", "balance_"] }),
    };
    json!({ "table": table, "values": values, "newest_by": newest_by, "clears": clears })
}

/// Every event of a pass, a contact or a reader has a row.
pub(crate) const fn wants(kind: EventKind) -> bool {
    !matches!(kind, EventKind::PassRendered) && !kind.is_operational()
}

/// The rows that an event makes.
pub(crate) fn of(owed: &Owed<'_>, target: &Target, now: Timestamp) -> Vec<Value> {
    let event = owed.event;
    let user = event.image.contact.as_ref().and_then(|contact| crm::key(contact, &target.settings).ok());
    let mut rows = Vec::new();
    match event.image.contact.as_ref().filter(|_| tracking::is_identify(event.kind())) {
        Some(contact) => {
            let mut traits = traits(contact, target);
            let mut identify = traits.clone();
            identify.extend(common(event, user.as_deref(), now));
            rows.push(row("identifies", &identify));
            if let Some(user) = user {
                named(&mut traits, &user, contact);
                traits.insert("contact_version".to_owned(), contact.version.into());
                traits.insert("received_at".to_owned(), time(event.recorded_at));
                traits.insert("uuid_ts".to_owned(), time(now));
                rows.push(newest("users", order(target), &traits));
            }
        }
        None => {
            let mut track = common(event, user.as_deref(), now);
            let name = column(vendor::title(event.kind()));
            track.insert("event".to_owned(), name.clone().into());
            track.insert("event_text".to_owned(), vendor::title(event.kind()).into());
            let mut own = properties(event);
            own.extend(track.iter().map(|(name, value)| (name.clone(), value.clone())));
            rows.push(row("tracks", &track));
            rows.push(row(&name, &own));
            if let Some(pass) = &event.image.pass {
                rows.push(newest("passes", "pass_version", &pass_row(event, pass, user.as_deref(), now)));
            }
        }
    }
    rows
}

/// The row of `users` of a contact, but for what says when it was written; nothing of one without the key.
pub(crate) fn user(contact: &Contact, target: &Target) -> Option<Value> {
    let user = crm::key(contact, &target.settings).ok()?;
    let mut traits = traits(contact, target);
    named(&mut traits, &user, contact);
    Some(newest("users", order(target), &traits))
}

/// By what the newest row of `users` is told: each contact counts its own versions, so that those who share a key are told by when
/// they were looked at.
fn order(target: &Target) -> &'static str {
    if crm::may_share(target) { "uuid_ts" } else { "contact_version" }
}

fn named(traits: &mut Map<String, Value>, user: &str, contact: &Contact) {
    traits.insert("id".to_owned(), text(user));
    traits.insert("contact_id".to_owned(), contact.id.to_string().into());
}

/// The columns of every event.
fn common(event: &Event, user: Option<&str>, now: Timestamp) -> Map<String, Value> {
    let mut out = Map::new();
    let mut set = |name: &str, value: Value| out.insert(name.to_owned(), value);
    let contact = event.image.contact.as_ref().map(|contact| contact.id).or(event.contact);
    let somebody = contact.map(|id| id.to_string()).or_else(|| Some(event.image.pass.as_ref()?.id.to_string()));
    set("id", event.id.to_string().into());
    set("anonymous_id", somebody.unwrap_or_else(|| event.id.to_string()).into());
    if let Some(user) = user {
        set("user_id", text(user));
    }
    if let Some(contact) = contact {
        set("contact_id", contact.to_string().into());
    }
    set("received_at", time(event.recorded_at));
    set("sent_at", time(now));
    set("original_timestamp", time(event.occurred_at));
    set("timestamp", time(event.occurred_at));
    set("uuid_ts", time(now));
    set("context_library_name", "passbridge".into());
    set("context_library_version", env!("CARGO_PKG_VERSION").into());
    out
}

/// What is known of a person. Traits that are called like what says when a row was written are left out.
fn traits(contact: &Contact, target: &Target) -> Map<String, Value> {
    let mut out = Map::new();
    let fields = tracking::known(contact, target).map(|state| state.fields).unwrap_or_default();
    for (name, field) in fields {
        let value = match field {
            Field::Text(value) => text(&value),
            Field::Plain(value) => plain(&value),
            Field::Time(at) => time(at),
            Field::Nothing => Value::Null,
        };
        let name = column(&name);
        if !WRITTEN.contains(&name.as_str()) {
            out.insert(name, value);
        }
    }
    out
}

/// What is particular to an event.
fn properties(event: &Event) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in tracking::properties(event) {
        match name.strip_prefix("balance_").zip(value.as_str()) {
            Some((_, amount)) => out.insert(column(&name), number(amount)),
            None => {
                flatten(&mut out, &column(&name), &value, 0);
                None
            }
        };
    }
    for (name, value) in super::told::facts(event) {
        if let ("balance_changes", Some(changes)) = (name.as_str(), value.as_object()) {
            let changes = changes.iter().filter_map(|(name, change)| Some((name, change.as_str()?)));
            out.extend(changes.map(|(name, change)| (column(&format!("balance_change_{name}")), number(change))));
            continue;
        }
        // Which device, what its browser says of itself: what happened is in the rest.
        if !["wallet", "device", "sighting"].contains(&name.as_str()) {
            flatten(&mut out, &column(&name), &value, 0);
        }
    }
    out
}

fn pass_row(event: &Event, pass: &Pass, user: Option<&str>, now: Timestamp) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in &pass.fields {
        out.insert(column(&format!("field_{name}")), plain(&field(value)));
    }
    for (name, amount) in &pass.balances {
        out.insert(column(&format!("balance_{name}")), number(&amount.to_string()));
    }
    let mut set = |name: &str, value: Value| out.insert(name.to_owned(), value);
    set("id", pass.id.to_string().into());
    set("external_id", pass.external_id.as_deref().map_or(Value::Null, text));
    set("serial_number", text(&pass.serial));
    set("project_id", pass.project.to_string().into());
    set("project", event.image.project.as_ref().map_or(Value::Null, |project| text(&project.name)));
    set("template_id", pass.template.to_string().into());
    set("variant", pass.variant.as_str().into());
    set("status", super::told::status(pass.status()).into());
    set("state", pass.lifecycle.name().into());
    set("contact_id", pass.contact.map_or(Value::Null, |id| id.to_string().into()));
    set("user_id", user.map_or(Value::Null, text));
    set("starts_at", maybe(pass.validity.starts_at));
    set("expires_at", maybe(pass.validity.expires_at));
    set("uses", pass.uses.count.into());
    set("issued_at", time(pass.issued_at));
    set("updated_at", time(pass.updated_at));
    set("pass_version", pass.version.into());
    set("received_at", time(event.recorded_at));
    set("uuid_ts", time(now));
    for (wallet, Holding { active, first_installed_at, last_installed_at, last_uninstalled_at, .. }) in
        [("apple", &pass.apple), ("google", &pass.google)]
    {
        set(&format!("{wallet}_installations"), (*active).into());
        set(&format!("{wallet}_first_installed_at"), maybe(*first_installed_at));
        set(&format!("{wallet}_last_installed_at"), maybe(*last_installed_at));
        set(&format!("{wallet}_last_uninstalled_at"), maybe(*last_uninstalled_at));
    }
    out
}

/// A name as warehouses write it: `walletStatus` and `Wallet Status` are `wallet_status`. Letters of any script stay, so that
/// names in one of them do not become one column.
pub(crate) fn column(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut before = ' ';
    for c in name.chars() {
        if c.is_alphanumeric() {
            let begins = c.is_uppercase() && (before.is_lowercase() || before.is_numeric());
            if begins && !out.ends_with('_') {
                out.push('_');
            }
            out.extend(c.to_lowercase());
        } else if !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        before = c;
    }
    let mut out = out.trim_end_matches('_').to_owned();
    if out.is_empty() || out.starts_with(char::is_numeric) || SYSTEM_COLUMNS.contains(&out.as_str()) {
        out.insert(0, '_');
    }
    out.truncate(out.floor_char_boundary(MAX_NAME_BYTES));
    out
}

/// Objects become columns of their own, lists stay JSON.
fn flatten(out: &mut Map<String, Value>, name: &str, value: &Value, depth: usize) {
    match value {
        Value::Null => {}
        Value::Object(members) if depth < MAX_DEPTH => {
            for (member, value) in members {
                flatten(out, &column(&format!("{name}_{member}")), value, depth + 1);
            }
        }
        Value::Object(_) | Value::Array(_) => {
            out.insert(name.to_owned(), text(&value.to_string()));
        }
        other => {
            out.insert(name.to_owned(), plain(other));
        }
    }
}

fn plain(value: &Value) -> Value {
    match value {
        Value::String(value) => text(value),
        Value::Number(value) if value.as_i64().is_none() => number(&value.to_string()),
        other => other.clone(),
    }
}

fn field(value: &FieldValue) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Text without the character that no column takes.
fn text(value: &str) -> Value {
    value.replace('\0', "").into()
}

fn number(digits: &str) -> Value {
    json!({ "number": digits })
}

fn time(at: Timestamp) -> Value {
    json!({ "time": at })
}

fn maybe(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_in_warehouses() {
        for (name, expected) in [
            ("walletStatus", "wallet_status"),
            ("Pass Scan Refused", "pass_scan_refused"),
            ("loyalty-id", "loyalty_id"),
            ("HTMLBody", "htmlbody"),
            ("2nd choice", "_2nd_choice"),
            ("", "_"),
            ("👍", "_"),
            ("_private_", "private"),
            ("Größe", "größe"),
            ("名前", "名前"),
            ("датаРождения", "дата_рождения"),
            ("ctid", "_ctid"),
            ("X Max", "x_max"),
            ("xMIN", "x_min"),
            ("XMIN", "_xmin"),
        ] {
            assert_eq!(column(name), expected, "{name}");
        }
        assert_eq!(column(&"x".repeat(80)).len(), MAX_NAME_BYTES);
        assert_eq!(column(&"é".repeat(80)).len(), MAX_NAME_BYTES - 1, "cut between letters");
    }

    #[test]
    fn objects_become_columns() {
        let mut out = Map::new();
        flatten(&mut out, "location", &json!({"lat": 1.5, "Name": "Do\u{0}or", "list": [1], "none": null, "n": 7}), 0);
        let expected =
            json!({"location_lat": {"number": "1.5"}, "location_name": "Door", "location_list": "[1]", "location_n": 7});
        assert_eq!(Value::Object(out), expected);
    }
}
