//! The fields of a webhook or destination, drawn from the connector's settings as the API publishes them: their words are the
//! hints.

use maud::{Markup, html};
use serde_json::Value;

use super::{
    Room,
    form::{FORGET, parts, settings, takes},
};
use crate::console::{
    ask::{Fault, query},
    form::{Field, Kind, Sheet},
    frame::Desk,
    parts::{items, text},
};

/// What there is to choose from.
pub(super) struct Choices {
    projects: Value,
    templates: Value,
}

impl Choices {
    /// Out of the API.
    pub(super) async fn read(desk: &Desk) -> Result<Self, Fault> {
        let projects = desk.ask.get(&query("/v1/projects", &[("limit", "100")])).await?;
        let templates = desk.ask.get(&query("/v1/templates", &[("limit", "100")])).await?;
        Ok(Self { projects, templates })
    }
}

/// A form that is drawn.
struct Form<'f> {
    room: Room,
    sheet: &'f Sheet,
    connector: &'f Value,
    held: Option<&'f Value>,
}

/// All fields.
pub(super) fn draw(room: Room, sheet: &Sheet, connector: &Value, held: Option<&Value>, choices: &Choices) -> Markup {
    let form = Form { room, sheet, connector, held };
    html! {
        fieldset {
            legend { "What it is" }
            (sheet.field(&Field::line("name", "Name").required().hint("For people: 1 to 200 characters.")))
            (form.url())
            (sheet.field(&Field::line("enabled", "Switched on").kind(Kind::Tick).hint("While it is not, nothing is owed to it.")))
        }
        (form.settings())
        (form.which(choices))
        (form.body())
        (form.proof())
        (form.pace())
    }
}

/// A setting's name as a label.
fn label(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut chars = words.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Words of documentation as plain text.
fn words(text: &str) -> String {
    text.replace('`', "")
}

impl Form<'_> {
    fn takes(&self, member: &str) -> bool {
        takes(self.room, self.connector, member)
    }

    /// What a member's documentation says.
    fn about(&self, member: &str) -> String {
        settings(self.room, self.connector)
            .find(|it| text(it, "/name") == member)
            .map(|it| words(text(it, "/about")))
            .unwrap_or_default()
    }

    fn line(&self, member: &str, of: &str, name: &str) -> Markup {
        html! { @if self.takes(member) { (self.sheet.field(&Field::line(member, name).kind(Kind::Line(of)).hint(&self.about(member)))) } }
    }

    fn tick(&self, member: &str, name: &str) -> Markup {
        html! { @if self.takes(member) { (self.sheet.field(&Field::line(member, name).kind(Kind::Tick).hint(&self.about(member)))) } }
    }

    fn url(&self) -> Markup {
        let required = self.room == Room::Webhooks || self.connector["destination"]["takes_url"] == true;
        let said = settings(self.room, self.connector).find(|it| text(it, "/name") == "url");
        let hint = match said {
            Some(setting) if text(setting, "/value") == "URL" => words(text(setting, "/about")),
            Some(setting) => format!("{} {}", words(text(setting, "/about")), words(text(setting, "/value"))),
            None if required => "Where to send.".to_owned(),
            None => "Where to send instead of the vendor's own address: a sandbox, a proxy of yours.".to_owned(),
        };
        let field = Field::line("url", "Address").hint(&hint);
        self.sheet.field(&if required { field.required() } else { field })
    }

    /// What is the connector's own.
    fn settings(&self) -> Markup {
        let own: Vec<_> = settings(self.room, self.connector).filter(|it| it["in_settings"] == true).collect();
        html! {
            @if !own.is_empty() {
                fieldset {
                    legend { (text(self.connector, "/label")) }
                    @for setting in own { (self.setting(setting)) }
                }
            }
        }
    }

    fn setting(&self, setting: &Value) -> Markup {
        let (name, default) = (text(setting, "/name"), words(text(setting, "/default")));
        let at = format!("settings.{name}");
        let is_held = self.held.is_some_and(|held| held["settings"].get(name).is_some());
        let kind = text(setting, "/type");
        let (mut hint, needed) = (words(text(setting, "/about")), setting["required"] == true);
        let expected = words(text(setting, "/value"));
        match kind {
            "secret" if is_held => hint.push_str(" One is kept: leave it empty to keep it."),
            "secret" => hint.push_str(" Kept sealed, and not shown again."),
            "secrets" => {
                hint.push_str(" One in a line, NAME=value. Kept sealed: a name without a value keeps the one that is kept.");
            }
            _ => hint = format!("{hint} Takes: {expected}."),
        }
        if !needed && !default.is_empty() && kind != "secrets" {
            hint = format!("{hint} Unless told: {default}.");
        }
        let choices: Vec<(&str, &str)> = match kind {
            "flag" => vec![("", "As by default"), ("true", "Yes"), ("false", "No")],
            _ => {
                let choices = setting["choices"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let none = if needed { "Choose" } else { "As by default" };
                std::iter::once(("", none)).chain(choices.map(|it| (it, it))).collect()
            }
        };
        let label = label(name);
        let field = Field::line(&at, &label).hint(&hint).kind(match kind {
            "flag" | "choice" => Kind::Choice(&choices),
            "whole" => Kind::Line("number"),
            "lines" => Kind::Lines(8),
            "secrets" => Kind::Lines(4),
            "secret" => Kind::Line("password"),
            _ => Kind::Line("text"),
        });
        let forget = format!("{FORGET}{at}");
        html! {
            (self.sheet.field(&if needed && !is_held { field.required() } else { field }))
            @if kind == "secret" && is_held && !needed {
                (self.sheet.field(&Field::line(&forget, &format!("Forget the {} that is kept", name.replace('_', " "))).kind(Kind::Tick)))
            }
        }
    }

    /// Which events it gets.
    fn which(&self, choices: &Choices) -> Markup {
        let projects = items(&choices.projects).map(|it| (text(it, "/id"), text(it, "/name")));
        let projects: Vec<_> = std::iter::once(("", "All projects")).chain(projects).collect();
        let wallets = [("", "Both"), ("apple", "Apple Wallet"), ("google", "Google Wallet")];
        let any = ["project", "wallet", "templates", "events", "filter"].iter().any(|it| self.takes(it));
        let choice = |member: &str, name: &str, of: &[(&str, &str)]| {
            html! {
                @if self.takes(member) {
                    (self.sheet.field(&Field::line(member, name).kind(Kind::Choice(of)).hint(&self.about(member))))
                }
            }
        };
        let kinds: Vec<_> =
            self.connector[self.room.one()]["events"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let templates: Vec<_> = items(&choices.templates).map(|it| (text(it, "/id"), text(it, "/name"))).collect();
        html! {
            @if any {
                fieldset {
                    legend { "Which events" }
                    (choice("project", "Project", &projects))
                    (choice("wallet", "Wallet", &wallets))
                    @if self.takes("events") { (self.boxes("events", "Events", "None ticked means all.", kinds.iter().map(|it| (*it, *it)))) }
                    @if self.takes("templates") && !templates.is_empty() {
                        (self.boxes("templates", "Designs", "None ticked means all.", templates.into_iter()))
                    }
                    @if self.takes("filter") {
                        (self.sheet.field(&Field::line("filter", "Condition").kind(Kind::Lines(3)).hint(&self.about("filter"))))
                    }
                }
            }
        }
    }

    /// Boxes to tick, folded while none is.
    fn boxes<'b>(&self, name: &str, says: &str, hint: &str, all: impl Iterator<Item = (&'b str, &'b str)>) -> Markup {
        let ticked: Vec<&str> = self.sheet.all(name).collect();
        let faults: Vec<&str> = self.sheet.fault().into_iter().flat_map(|fault| fault.at(name)).collect();
        html! {
            details.field open[!ticked.is_empty() || !faults.is_empty()] id={ "f-" (name) } {
                summary { (says) @if !ticked.is_empty() { " (" (ticked.len()) ")" } }
                p.hint { (hint) }
                @for fault in &faults { p.fault { (fault) } }
                div.checks {
                    @for (value, says) in all {
                        label { input type="checkbox" name=(name) value=(value) checked[ticked.contains(&value)]; " " (says) }
                    }
                }
            }
        }
    }

    /// What is sent.
    fn body(&self) -> Markup {
        const KINDS: [(&str, &str); 4] = [
            ("", "The shape's own"),
            ("template", "A template"),
            ("mapping", "A mapping"),
            ("transformation", "A transformation"),
        ];
        const CONTENTS: [(&str, &str); 4] = [("json", "JSON"), ("text", "Text"), ("xml", "XML"), ("form", "Form")];
        const NAMES: [(&str, &str); 2] =
            [("uninstalled", "As in PassKit's list"), ("record_updated", "As in its published sample")];
        let any = ["payload", "post_only", "uninstall_name", "without_standard_headers"].iter().any(|it| self.takes(it));
        let sheet = self.sheet;
        html! {
            @if any {
                fieldset {
                    legend { "The request" }
                    @if self.takes("payload") {
                        (sheet.field(&Field::line("payload", "Body").kind(Kind::Choice(&KINDS)).hint(&self.about("payload"))))
                        details open[!sheet.value("payload").is_empty()] {
                            summary { "A body of your making" }
                            (sheet.field(&Field::line("payload.template.text", "Template").kind(Kind::Lines(8))
                                .hint("A text with placeholders in Jinja's syntax: {\"name\": {{ traits.name | tojson }}}")))
                            (sheet.field(&Field::line("payload.template.content", "What the template makes").kind(Kind::Choice(&CONTENTS))))
                            (sheet.field(&Field::line("payload.mapping", "Mapping").kind(Kind::Lines(8))
                                .hint("JSON with mapping directives among its values, as in flows.")))
                            (sheet.field(&Field::line("payload.transformation", "Transformation").hint("Its slug or id.")))
                        }
                    }
                    (self.tick("post_only", "By POST alone"))
                    @if self.takes("uninstall_name") {
                        (sheet.field(&Field::line("uninstall_name", "What an uninstall is called").kind(Kind::Choice(&NAMES))
                            .hint(&self.about("uninstall_name"))))
                    }
                    (self.tick("without_standard_headers", "Without Standard Webhooks headers"))
                }
            }
        }
    }

    /// How we prove who we are.
    fn proof(&self) -> Markup {
        const TYPES: [(&str, &str); 4] = [
            ("", "Nothing beside"),
            ("basic", "User and password"),
            ("bearer", "A token"),
            ("oauth2", "OAuth 2.0 client credentials"),
        ];
        let any = ["auth", "certificate", "headers"].iter().any(|it| self.takes(it));
        let sheet = self.sheet;
        let secret = |name: &str, says: &str| {
            let kept = self.held.is_some_and(|held| !held["auth"].is_null());
            let hint = if kept { "Leave it empty to keep the one that is kept." } else { "Kept sealed, and not shown again." };
            sheet.field(&Field::line(name, says).kind(Kind::Line("password")).hint(hint))
        };
        html! {
            @if any {
                fieldset {
                    legend { "Proof and headers" }
                    @if self.takes("auth") {
                        (sheet.field(&Field::line("auth.type", "Who we are").kind(Kind::Choice(&TYPES)).hint(&self.about("auth"))))
                        details open[!sheet.value("auth.type").is_empty()] {
                            summary { "Account" }
                            h3 { "User and password" }
                            (sheet.field(&Field::line("auth.user", "User")))
                            (secret("auth.password", "Password"))
                            h3 { "A token" }
                            (secret("auth.token", "Token"))
                            h3 { "OAuth 2.0" }
                            (sheet.field(&Field::line("auth.token_url", "Token endpoint").kind(Kind::Line("url"))))
                            (sheet.field(&Field::line("auth.client_id", "Client id")))
                            (secret("auth.client_secret", "Client secret"))
                            (sheet.field(&Field::line("auth.scope", "Scope")))
                            (sheet.field(&Field::line("auth.audience", "Audience")))
                            (sheet.field(&Field::line("auth.in_body", "Id and secret in the body").kind(Kind::Tick)))
                        }
                    }
                    @if self.takes("headers") {
                        (sheet.field(&Field::line("headers", "Headers").kind(Kind::Lines(3)).hint(&format!(
                            "{} One in a line, Name: value. A name without a value keeps the one that is kept.", self.about("headers")))))
                    }
                    @if self.takes("certificate") {
                        details open[!sheet.value("certificate.chain").is_empty()] {
                            summary { "Certificate" }
                            (sheet.field(&Field::line("certificate.chain", "Chain").kind(Kind::Lines(4)).hint(&self.about("certificate"))))
                            // A key is a secret: what was typed is not sent back.
                            div.field {
                                label for="f-certificate.private_key" { "Private key" }
                                textarea id="f-certificate.private_key" name="certificate.private_key" rows="4" spellcheck="false" {}
                                p.hint { "PEM. Kept sealed, and not shown again; left empty, the one that is kept stays." }
                            }
                        }
                    }
                }
            }
        }
    }

    /// How fast, by which way, and when it is given up.
    fn pace(&self) -> Markup {
        let sheet = self.sheet;
        let number =
            |name: &str, says: &str, hint: &str| sheet.field(&Field::line(name, says).kind(Kind::Line("number")).hint(hint));
        let parts = parts(self.room, self.connector, "pace");
        let of_pace = |name: &str, says: &str, takes: &str| {
            let part = parts.iter().find(|(part, _)| part == name);
            let field = part.map(|(_, empty)| number(&format!("pace.{name}"), says, &format!("{takes}; empty means {empty}.")));
            field.unwrap_or_default()
        };
        let any = ["pace", "switch_off", "egress", "backfill_every_hours"].iter().any(|it| self.takes(it));
        html! {
            @if any {
                fieldset {
                    legend { "Pace and failure" }
                    @if self.takes("pace") {
                        p.hint { (self.about("pace")) }
                        div.side-by-side {
                            (of_pace("per_second", "In a second", "1 to 10000"))
                            (of_pace("concurrency", "Requests at once", "1 to 64"))
                            (of_pace("timeout_seconds", "Seconds for one", "1 to 30"))
                        }
                        @if parts.iter().any(|(part, _)| part == "in_order") {
                            (sheet.field(&Field::line("pace.in_order", "In order").kind(Kind::Tick)
                                .hint("An event of a pass waits until earlier ones of the same pass were taken or given up.")))
                        }
                    }
                    @if self.takes("switch_off") {
                        div.side-by-side {
                            (number("switch_off.after_hours", "Switch off after hours",
                                "In which it took nothing and failed at least five times; empty means never."))
                            (number("switch_off.after_failures", "Switch off after failures",
                                "Deliveries given up one after another; empty leaves it to the shape."))
                        }
                    }
                    (self.line("backfill_every_hours", "number", "Compare all contacts every so many hours"))
                    @if self.takes("backfill_everything") {
                        (sheet.field(&Field::line("backfill_everything", "Tell of everybody then").kind(Kind::Tick)))
                    }
                    (self.line("egress", "text", "Way out"))
                    p.hint {
                        "What fails is tried again by the connector's schedule: see the notes below. A receiver's Retry-After is kept to."
                    }
                }
            }
        }
    }
}
