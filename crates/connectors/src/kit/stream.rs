//! What destinations that are streams have in common: where a message goes, what it says, what an answer means.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::{Event, EventKind, Target, Timestamp};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::vendor::{self, Record};
use super::{Credentials, Outcome, Owed, Request, Sending, Sent, Setting, SettingProblem, Takes, Verdict, template, told};
use crate::{cloudevents, native};

/// Messages of one batch.
pub(crate) const MOST: usize = 500;
/// Bytes of one batch.
const MAX_BYTES: usize = 4 << 20;
/// What stands in a subject for what an event has none of.
const NONE: &str = "none";

pub(crate) const SHAPE: Setting = Setting {
    name: "shape",
    value: "`native`, `cloudevents` or `cloudevents-binary`",
    takes: Takes::Choice(&["native", "cloudevents", "cloudevents-binary"]),
    default: "`native`",
    about: "What a message says: the event in our own shape, a CloudEvent whole, or its data with the attributes in headers.",
};
pub(crate) const USER: Setting =
    Setting { name: "user", value: "a user's name", takes: Takes::Text(255), default: "none", about: "With `password`." };
pub(crate) const AUTHORITIES: Setting = Setting {
    name: "authorities",
    value: "PEM certificates",
    takes: Takes::Lines(256 * 1_024),
    default: "those that the system trusts",
    about: "Authorities that the server's certificate is checked against instead.",
};

/// A server that takes messages, and how one signs in there.
#[derive(Clone)]
pub struct StreamAccount {
    /// How one signs in.
    pub login: StreamLogin,
    /// How the connection is protected.
    pub tls: StreamTls,
    /// Certificates of the authorities that the server's is checked against, PEM, where those that are trusted everywhere do
    /// not do.
    pub authorities: Option<String>,
    /// What the subjects begin with that answers come to.
    pub inbox: String,
}

impl std::fmt::Debug for StreamAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamAccount").field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// A cluster that takes records, and how one signs in there.
#[derive(Clone)]
pub struct BrokerAccount {
    /// How one signs in, where one does.
    pub login: Option<BrokerLogin>,
    /// How connections are protected.
    pub tls: StreamTls,
    /// Certificates of the authorities that the brokers' are checked against, PEM, where those that are trusted everywhere do
    /// not do.
    pub authorities: Option<String>,
}

impl std::fmt::Debug for BrokerAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerAccount").field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// How one signs in to a cluster.
#[derive(Clone)]
pub struct BrokerLogin {
    /// By which mechanism.
    pub mechanism: Sasl,
    /// Who.
    pub user: String,
    /// The proof.
    pub password: Zeroizing<String>,
}

/// A mechanism of SASL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sasl {
    /// `PLAIN`
    Plain,
    /// `SCRAM-SHA-256`
    ScramSha256,
    /// `SCRAM-SHA-512`
    ScramSha512,
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamTls {
    /// TLS, checked, after the server's greeting in the clear where the protocol has one.
    Verify,
    /// TLS, checked, from the first byte.
    First,
    /// Not at all.
    Off,
}

/// How one signs in.
#[derive(Clone)]
pub enum StreamLogin {
    /// Not at all.
    None,
    /// By user and password.
    User {
        /// Who.
        user: String,
        /// The proof.
        password: Zeroizing<String>,
    },
    /// By a token.
    Token(Zeroizing<String>),
    /// By an NKey's seed.
    Nkey(Zeroizing<String>),
    /// By a JWT with its NKey, as a `.creds` file holds them.
    Credentials(Zeroizing<String>),
}

/// Every event but looks at a pass.
pub(crate) const fn wants(kind: EventKind) -> bool {
    !matches!(kind, EventKind::PassRendered)
}

/// Certificates that were set.
pub(crate) fn authorities(target: &Target) -> Option<String> {
    Some(vendor::text(target, AUTHORITIES.name, "").to_owned()).filter(|pem| !pem.is_empty())
}

/// Refuses certificates that are none.
pub(crate) fn check_authorities(target: &Target) -> Result<(), SettingProblem> {
    match authorities(target) {
        Some(pem) if !pem.contains("-----BEGIN CERTIFICATE-----") => {
            Err(vendor::problem(AUTHORITIES.name, "expected certificates in PEM: -----BEGIN CERTIFICATE-----"))
        }
        _ => Ok(()),
    }
}

/// Refuses a user without a password, and a password without a user.
pub(crate) fn check_user(target: &Target, credentials: &Credentials, password: &str) -> Result<(), SettingProblem> {
    let user = USER.name;
    match (target.settings.contains_key(user), credentials.get(password).is_some()) {
        (true, false) => Err(vendor::problem(password, format!("this is required beside `{user}`"))),
        (false, true) => Err(vendor::problem(user, format!("this is required beside `{password}`"))),
        _ => Ok(()),
    }
}

/// A credential that was set.
pub(crate) fn secret(credentials: &Credentials, name: &str) -> Option<Zeroizing<String>> {
    credentials.get(name).map(|value| Zeroizing::new(value.to_owned()))
}

/// Refuses a template of subjects that does not make any.
pub(crate) fn check_subject(setting: &str, template: &str, is_subject: fn(&str) -> bool) -> Result<(), SettingProblem> {
    template::check(template).map_err(|why| vendor::problem(setting, why))?;
    let names = ["organization", "project", "event", "wallet", "template", "variant", "pass", "contact"];
    let sample: Value = names.iter().map(|name| ((*name).to_owned(), NONE.into())).collect::<serde_json::Map<_, _>>().into();
    let made = template::render(template, &sample).map_err(|why| vendor::problem(setting, why))?;
    if is_subject(made.trim()) {
        return Ok(());
    }
    Err(vendor::problem(setting, format!("`{}` is none; there are {}", super::head(&made, 100), names.join(", "))))
}

/// What templates of subjects know: no value of a person's, and nothing that has a meaning in a subject.
fn values(event: &Event) -> Value {
    let word = |text: &str| -> Value {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' }).collect::<String>().into()
    };
    let or_none = |text: Option<String>| word(text.as_deref().filter(|text| !text.is_empty()).unwrap_or(NONE));
    let pass = event.image.pass.as_ref();
    let facts = told::facts(event);
    json!({
        "organization": event.org.to_string(),
        "project": or_none(event.project.or(pass.map(|pass| pass.project)).map(|id| id.to_string())),
        "event": told::name(event),
        "wallet": or_none(facts.get("wallet").and_then(Value::as_str).map(str::to_owned)),
        "template": or_none(pass.map(|pass| pass.template.to_string())),
        "variant": or_none(pass.map(|pass| pass.variant.as_str().to_owned())),
        "pass": or_none(event.pass.map(|id| id.to_string())),
        "contact": or_none(event.contact.map(|id| id.to_string())),
    })
}

/// What a message says, and its headers. `mark` is what stands before the names of CloudEvents' attributes there.
fn told(owed: &Owed<'_>, target: &Target, mark: &str) -> (BTreeMap<String, String>, Value) {
    let event = owed.event;
    let mut headers = BTreeMap::new();
    let mut set = |name: &str, value: Option<String>| value.map(|value| headers.insert(name.to_owned(), value));
    set("event-id", Some(event.id.to_string()));
    set("event-type", Some(told::name(event).to_owned()));
    set("organization", Some(event.org.to_string()));
    set("project", event.project.map(|id| id.to_string()));
    set("pass", event.pass.map(|id| id.to_string()));
    set("contact", event.contact.map(|id| id.to_string()));
    let (media, payload) = match vendor::text(target, SHAPE.name, "native") {
        "cloudevents" => ("application/cloudevents+json", cloudevents::whole(owed)),
        "cloudevents-binary" => {
            for (name, value) in cloudevents::attributes(event) {
                set(&format!("{mark}{name}"), value.as_str().map(str::to_owned));
            }
            ("application/json", told::data(event, owed.public_url).into())
        }
        _ => ("application/json", native::body(event, owed.public_url)),
    };
    set("content-type", Some(media.to_owned()));
    (headers, payload)
}

/// Where messages of a kind of stream go, and what they are like.
pub(crate) struct Kind {
    /// What a subject's template is unless one was set.
    pub(crate) subject: &'static str,
    /// By what setting.
    pub(crate) setting: &'static str,
    /// Whether a text is a subject.
    pub(crate) is_subject: fn(&str) -> bool,
    /// What stands before CloudEvents' attributes in headers.
    pub(crate) mark: &'static str,
    /// What else a message has.
    pub(crate) finish: fn(&mut Value, &Event, &Target),
}

/// The batches that carry events.
pub(crate) fn render(kind: &Kind, owed: &[Owed<'_>], target: &Target, _: Timestamp) -> Vec<Sending> {
    let template = vendor::text(target, kind.setting, kind.subject);
    let (mut records, mut out) = (Vec::new(), Vec::new());
    for (event, owed) in owed.iter().enumerate().filter(|(_, owed)| wants(owed.event.kind())) {
        let subject = template::render(template, &values(owed.event)).map(|subject| subject.trim().to_owned());
        match subject {
            Ok(subject) if (kind.is_subject)(&subject) => {
                let (headers, payload) = told(owed, target, kind.mark);
                let mut json = json!({ "subject": subject, "headers": headers, "payload": payload });
                (kind.finish)(&mut json, owed.event, target);
                records.push(Record { key: String::new(), covers: vec![event], json });
            }
            Ok(subject) => out.push(Sending::never(format!("`{subject}` can be no {}", kind.setting), event)),
            Err(why) => out.push(Sending::never(format!("its {}: {why}", kind.setting), event)),
        }
    }
    for group in vendor::groups(records, MOST, MAX_BYTES, |record| record.json.to_string().len()) {
        let (messages, covers) = vendor::apart(group);
        let body = Bytes::from(json!({ "messages": messages }).to_string());
        let request = Request { method: Method::POST, url: target.url.clone(), headers: HeaderMap::new(), body };
        out.push(Sending { request: Ok(request), covers });
    }
    out
}

/// What the answers to a batch mean, one for each message. Only what will stay as it is, is given up: people mend the rest.
pub(crate) fn judge(sent: &Sent<'_>) -> Verdict {
    let answers = sent.reply.filter(|reply| reply.status == 200).map(vendor::body);
    match answers.as_ref().and_then(Value::as_array).filter(|answers| answers.len() == sent.records) {
        Some(answers) => Verdict::Each(answers.iter().map(outcome).collect()),
        None => sent.all(Outcome::later()),
    }
}

fn outcome(answer: &Value) -> Outcome {
    let reason = match answer["code"].as_str() {
        None if answer["stream"].is_string() => return Outcome::Delivered,
        Some("too_large") => "the message is larger than the stream takes",
        Some("bad_subject") => "no message can have this subject",
        _ => return Outcome::later(),
    };
    Outcome::Reject { reason: reason.to_owned(), said: answer["message"].as_str().map(str::to_owned) }
}
