//! Records for Kafka, by the key of their pass, so that they stand in its partition in their order.
//! Source for CloudEvents: `cloudevents/bindings/kafka-protocol-binding.md` of <https://github.com/cloudevents/spec>.

use domain::{Event, Target, Timestamp};
use serde_json::Value;

use super::settings::{MECHANISM, PASSWORD, TLS, TOPIC};
use crate::kit::stream::{self, BrokerAccount, BrokerLogin, Kind, Sasl, StreamTls};
use crate::kit::{Credentials, Owed, Secrets, Sending, SettingProblem, vendor};

const KIND: Kind = Kind { subject: "passbridge.events", setting: TOPIC.name, is_subject: is_topic, mark: "ce_", finish };
/// Longest name of a topic, in bytes.
const MAX_TOPIC: usize = 249;

fn is_topic(text: &str) -> bool {
    let fits = (1..=MAX_TOPIC).contains(&text.len()) && text != "." && text != "..";
    fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

pub(super) fn check(target: &Target, credentials: &Credentials) -> Result<(), SettingProblem> {
    if target.url.is_empty() {
        return Err(vendor::problem("url", "this is required"));
    }
    stream::check_subject(TOPIC.name, vendor::text(target, TOPIC.name, KIND.subject), is_topic)?;
    stream::check_user(target, credentials, PASSWORD.name)?;
    let is_shown = vendor::text(target, MECHANISM.name, "") == "plain" && target.settings.contains_key(stream::USER.name);
    if is_shown && vendor::text(target, TLS.name, "verify") == "off" {
        return Err(vendor::problem(MECHANISM.name, "plain sends the password as it is: switch `tls` on, or use SCRAM"));
    }
    stream::check_authorities(target)
}

pub(super) fn account(target: &Target, credentials: &Credentials) -> BrokerAccount {
    let mechanism = match vendor::text(target, MECHANISM.name, "") {
        "plain" => Sasl::Plain,
        "scram-sha-256" => Sasl::ScramSha256,
        _ => Sasl::ScramSha512,
    };
    let login = stream::secret(credentials, PASSWORD.name).map(|password| BrokerLogin {
        mechanism,
        user: vendor::text(target, stream::USER.name, "").to_owned(),
        password,
    });
    let tls = if vendor::text(target, TLS.name, "verify") == "off" { StreamTls::Off } else { StreamTls::Verify };
    BrokerAccount { login, tls, authorities: stream::authorities(target) }
}

fn finish(message: &mut Value, event: &Event, _: &Target) {
    let contact = || event.contact.map(|id| id.to_string());
    let key = event.pass.map(|id| id.to_string()).or_else(contact).unwrap_or_else(|| event.id.to_string());
    message["key"] = key.into();
    message["at"] = event.recorded_at.as_millis().into();
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, _: &Secrets, now: Timestamp) -> Vec<Sending> {
    stream::render(&KIND, owed, target, now)
}
