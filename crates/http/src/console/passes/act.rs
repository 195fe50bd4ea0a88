//! What can be done to a pass. Each form is folded until it is asked for, and carries a name under which it happens once.

use axum::{extract::Path, response::Response};
use http::{Method, StatusCode};
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::one::{self, Known};
use crate::console::{
    ask::{Fault, segment},
    events::pass_page,
    form::{Field, Kind, Sent, Sheet, once},
    frame::Desk,
    parts::{plain, text},
};

/// Before the name of a field, what it was when the form was drawn.
const WAS: &str = "was.";

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Change fields and balances.
    Change,
    /// Tell the holder something, now or later.
    Notify,
    /// Drop the messages that wait for their time.
    CancelNotices,
    /// Switch it on, or back on.
    Activate,
    /// Call it back.
    Revoke,
    /// Remove it.
    Delete,
}

impl Action {
    const ALL: [Self; 6] = [Self::Change, Self::Notify, Self::CancelNotices, Self::Activate, Self::Revoke, Self::Delete];

    /// Its name in addresses.
    const fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Notify => "notify",
            Self::CancelNotices => "cancel-notices",
            Self::Activate => "activate",
            Self::Revoke => "revoke",
            Self::Delete => "delete",
        }
    }

    /// What a button that opens its form says.
    const fn opens(self) -> &'static str {
        match self {
            Self::Change => "Change …",
            Self::Notify => "Notify …",
            Self::CancelNotices => "Cancel what is planned …",
            Self::Activate => "Activate …",
            Self::Revoke => "Revoke …",
            Self::Delete => "Delete …",
        }
    }

    /// What is said once it is done.
    const fn done(self) -> &'static str {
        match self {
            Self::Change => "It is changed. Wallets are brought up to date by themselves.",
            Self::Notify => "The holder is being told.",
            Self::CancelNotices => "Nothing is planned any more.",
            Self::Activate => "It is active.",
            Self::Revoke => "It is revoked. Wallets show it as void.",
            Self::Delete => "It is deleted. Phones that hold it show it void and blank.",
        }
    }

    /// Whether it makes sense for a pass as it stands.
    fn fits(self, pass: &Value) -> bool {
        let state = text(pass, "/state");
        match self {
            Self::CancelNotices => pass["planned_messages"].as_array().is_some_and(|planned| !planned.is_empty()),
            Self::Change | Self::Notify | Self::Delete => state != "deleted",
            Self::Activate => ["inactive", "revoked", "expired"].contains(&state),
            Self::Revoke => ["inactive", "active", "used", "expired"].contains(&state),
        }
    }
}

/// The forms of all that can be done now; one that was refused is open, with what was typed.
pub(super) fn forms(desk: &Desk, known: &Known, reach: &Value, refused: Option<(Action, &Sheet)>) -> Markup {
    let page = pass_page(text(&known.pass, "/id"));
    html! {
        div.actions.wide {
            @for action in Action::ALL {
                @if action.fits(&known.pass) {
                    @let again = refused.filter(|(it, _)| *it == action).map(|(_, sheet)| sheet);
                    details.considered open[again.is_some()] {
                        summary.button { (action.opens()) }
                        div {
                            form method="post" action={ (page) "/" (action.name()) } {
                                (once(&desk.once()))
                                (fields(action, known, reach, again))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn fields(action: Action, known: &Known, reach: &Value, again: Option<&Sheet>) -> Markup {
    let sheet = again.cloned().unwrap_or_default();
    match action {
        Action::Change => change_fields(known, sheet),
        Action::Notify => html! {
            p { (shown_where(reach)) }
            (sheet.field(&Field::line("text", "What the holder is told").kind(Kind::Lines(3)).required().hint("At most 500 characters; on the lock screen, and on the back of the pass")))
            (sheet.field(&Field::line("at", "When (UTC)").kind(Kind::Line("datetime-local")).hint("Empty means now")))
            (sheet.field(&Field::line("until", "Worth showing until (UTC)").kind(Kind::Line("datetime-local")).hint("Google Wallet takes it away then, and it is not sent afterwards; may stay empty")))
            button.main type="submit" { "Tell the holder" }
        },
        Action::CancelNotices => html! {
            p { "Messages that wait for their time are not sent. What was sent stays." }
            button.danger type="submit" { "Cancel them" }
        },
        Action::Activate => html! {
            p { "It can be used from now on." }
            button.main type="submit" { "Activate it" }
        },
        Action::Revoke => html! {
            p { "Wallets show it as void at once. It can be activated again." }
            (sheet.field(&Field::line("reason", "Why").hint("For the record")))
            button.danger type="submit" { "Revoke it" }
        },
        Action::Delete => html! {
            p { "It becomes void and blank in every wallet, for good. No wallet lets us take it away from its holder." }
            button.danger type="submit" { "Delete it for good" }
        },
    }
}

/// What a message would be seen as.
fn shown_where(reach: &Value) -> String {
    let words = |name: &str, shows: &str| match shows {
        "notification" => format!("{name} shows it on the lock screen."),
        "silent" => format!("{name} puts it on the pass without a notification."),
        _ => format!("Nobody holds it in {name}."),
    };
    format!("{} {}", words("Apple Wallet", text(reach, "/apple/shows")), words("Google Wallet", text(reach, "/google/shows")))
}

/// A field for each that the project has, as it stands, and one for each balance.
fn change_fields(known: &Known, mut sheet: Sheet) -> Markup {
    let defined: Vec<&Value> = known.project["fields"].as_array().into_iter().flatten().collect();
    let value = |key: &str| known.pass["fields"].get(key).filter(|value| !value.is_null()).map(plain).unwrap_or_default();
    for (name, now) in [("external_id", text(&known.pass, "/external_id")), ("expires_at", text(&known.pass, "/expires_at"))] {
        sheet.suggest(name, now);
    }
    let mut drawn = Vec::new();
    for field in &defined {
        let (key, name) = (text(field, "/key"), format!("fields.{}", text(field, "/key")));
        sheet.suggest(&name, value(key));
        let kind = match text(field, "/type") {
            "flag" => Kind::Choice(&[("", "–"), ("true", "Yes"), ("false", "No")]),
            "number" => Kind::Line("number"),
            _ => Kind::Line("text"),
        };
        let hint = if text(field, "/type") == "time" { "A time such as 2027-01-04T09:00:00+01:00" } else { "" };
        drawn.push(html! {
            input type="hidden" name={ (WAS) (name) } value=(value(key));
            (sheet.field(&Field::line(&name, text(field, "/label")).kind(kind).hint(hint)))
        });
    }
    let balances = known.pass["balances"].as_object().into_iter().flatten();
    html! {
        @for field in &drawn { (field) }
        @for (key, now) in balances {
            @let (name, label) = (format!("balances.{key}"), format!("Add to {key} (now {})", plain(now)));
            (sheet.field(&Field::line(&name, &label).kind(Kind::Line("number")).hint("A minus takes away; empty leaves it as it is")))
        }
        @for (name, label, hint) in [("external_id", "External id", ""), ("expires_at", "Valid until", "A time such as 2027-01-04T09:00:00Z; empty for no end")] {
            input type="hidden" name={ (WAS) (name) } value=(text(&known.pass, &format!("/{name}")));
            (sheet.field(&Field::line(name, label).hint(hint)))
        }
        (sheet.field(&Field::line("message", "A message that goes with the change").hint("Shown on the lock screen; may stay empty")))
        button.main type="submit" { "Change it" }
    }
}

/// What a form of changes asks the API for: what differs from when it was drawn.
fn changes(sheet: &Sheet, project: &Value) -> Value {
    let (mut fields, mut balances, mut body) = (Map::new(), Map::new(), Map::new());
    for (name, typed) in sheet.pairs() {
        let was = sheet.value(&format!("{WAS}{name}")).to_owned();
        let typed = typed.trim();
        if let Some(key) = name.strip_prefix("fields.").filter(|_| typed != was) {
            fields.insert(key.to_owned(), field_value(project, key, typed));
        } else if let Some(key) = name.strip_prefix("balances.").filter(|_| !typed.is_empty()) {
            balances.insert(key.to_owned(), json!({"add": typed}));
        } else if name == "expires_at" && typed != was {
            body.insert(name.to_owned(), if typed.is_empty() { Value::Null } else { typed.into() });
        } else if name == "external_id" && typed != was || name == "message" && !typed.is_empty() {
            body.insert(name.to_owned(), typed.into());
        }
    }
    for (name, changed) in [("fields", fields), ("balances", balances)] {
        if !changed.is_empty() {
            body.insert(name.to_owned(), changed.into());
        }
    }
    Value::Object(body)
}

/// What was typed as what the field holds; what cannot be that goes as text, and the API says what is wrong with it.
fn field_value(project: &Value, key: &str, typed: &str) -> Value {
    let mut defined = project["fields"].as_array().into_iter().flatten();
    let kind = defined.find(|field| text(field, "/key") == key).map_or("", |field| text(field, "/type"));
    match (kind, typed) {
        (_, "") => Value::Null,
        ("number" | "flag", typed) => serde_json::from_str(typed).unwrap_or_else(|_| typed.into()),
        (_, typed) => typed.into(),
    }
}

/// What a message's form asks the API for.
fn notice(sheet: &Sheet) -> Result<Value, Fault> {
    Ok(json!({"text": sheet.value("text"), "at": sheet.moment("at")?, "until": sheet.moment("until")?}))
}

/// How the API is asked: the method, what follows the pass's address, and the body.
fn request(action: Action, sheet: &Sheet, project: &Value) -> Result<(Method, &'static str, Value), Fault> {
    Ok(match action {
        Action::Change => (Method::PATCH, "", changes(sheet, project)),
        Action::Notify => (Method::POST, "/notify", notice(sheet)?),
        Action::CancelNotices => (Method::POST, "/notify/cancel", json!({})),
        Action::Activate => (Method::POST, "/activate", json!({})),
        Action::Revoke => {
            let reason = Some(sheet.value("reason")).filter(|reason| !reason.is_empty());
            (Method::POST, "/revoke", json!({"reason": reason}))
        }
        Action::Delete => (Method::DELETE, "", Value::Null),
    })
}

/// Does it, once however often the form is sent; what is refused is shown where it was typed.
pub(super) async fn act(desk: Desk, Path((id, name)): Path<(String, String)>, Sent(sheet): Sent) -> Result<Response, Fault> {
    let action = Action::ALL.into_iter().find(|action| action.name() == name).ok_or_else(Fault::nowhere)?;
    let known = Known::read(&desk, &id).await?;
    let asked = match request(action, &sheet, &known.project) {
        Ok((method, place, body)) => {
            let path = format!("/v1/passes/{}{place}", segment(&id));
            desk.ask.write_once(method, &path, &body, sheet.once()).await
        }
        Err(fault) => Err(fault),
    };
    match asked {
        Ok(_) if action == Action::Notify && !sheet.value("at").is_empty() => {
            Ok(desk.redirect(&pass_page(&id), "It is planned: the holder is told at its time."))
        }
        Ok(_) => Ok(desk.redirect(&pass_page(&id), action.done())),
        Err(fault)
            if matches!(fault.status, StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT | StatusCode::BAD_REQUEST) =>
        {
            one::draw(&desk, &known, "", Some((action, &sheet.refused(fault)))).await
        }
        Err(fault) => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_asked_for() {
        let project = json!({"fields": [{"key": "tier", "type": "text"}, {"key": "cups", "type": "number"}, {"key": "news", "type": "flag"}]});
        let pairs = [
            ("fields.tier", "gold"),
            ("was.fields.tier", "gold"),
            ("fields.cups", "3"),
            ("was.fields.cups", "2"),
            ("fields.news", ""),
            ("was.fields.news", "true"),
            ("balances.points", "-5"),
            ("balances.stamps", ""),
            ("external_id", "card-1"),
            ("was.external_id", "card-1"),
            ("expires_at", ""),
            ("was.expires_at", "2027-01-01T00:00:00Z"),
            ("message", ""),
            ("once", "x"),
        ];
        let sheet = Sheet::of(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
        let expected = json!({"expires_at": null, "fields": {"cups": 3, "news": null}, "balances": {"points": {"add": "-5"}}});
        assert_eq!(changes(&sheet, &project), expected);
        assert_eq!(field_value(&project, "cups", "many"), json!("many"));
    }
}
