//! Messages for JetStream. Its duplicate window knows them by `Nats-Msg-Id`, which is the event's id.
//! Sources: <https://docs.nats.io/nats-concepts/jetstream/headers>, <https://docs.nats.io/nats-concepts/subjects>, and for
//! CloudEvents `cloudevents/bindings/nats-protocol-binding.md` of <https://github.com/cloudevents/spec>.

use domain::{Event, Target, Timestamp};
use serde_json::Value;

use super::settings::{CREDENTIALS, INBOX, NKEY, PASSWORD, STREAM, SUBJECT, TLS, TOKEN};
use crate::kit::stream::{self, Kind, StreamAccount, StreamLogin, StreamTls};
use crate::kit::{Credentials, Owed, Secrets, Sending, SettingProblem, vendor};

const KIND: Kind =
    Kind { subject: "passbridge.{{ project }}.{{ event }}", setting: SUBJECT.name, is_subject, mark: "ce-", finish };
const DEFAULT_INBOX: &str = "_INBOX";

/// Words with dots between them, without blanks and wildcards, and none of the server's own.
fn is_subject(text: &str) -> bool {
    let is_word =
        |word: &str| !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c.is_control() || "*>".contains(c));
    !text.starts_with('$') && text.split('.').all(is_word)
}

pub(super) fn check(target: &Target, credentials: &Credentials) -> Result<(), SettingProblem> {
    if target.url.is_empty() {
        return Err(vendor::problem("url", "this is required"));
    }
    stream::check_subject(SUBJECT.name, vendor::text(target, SUBJECT.name, KIND.subject), is_subject)?;
    for setting in [INBOX, STREAM] {
        let set = vendor::text(target, setting.name, DEFAULT_INBOX);
        if !is_subject(set) || (setting == STREAM && set.contains('.')) {
            return Err(vendor::problem(setting.name, format!("expected {}", setting.value)));
        }
    }
    stream::check_user(target, credentials, PASSWORD.name)?;
    let user = target.settings.contains_key(stream::USER.name);
    let mut others = [TOKEN, NKEY, CREDENTIALS].into_iter().filter(|setting| credentials.get(setting.name).is_some());
    if let Some(second) = others.nth(usize::from(!user)) {
        return Err(vendor::problem(second.name, "there is another way to sign in already: leave one of them out"));
    }
    if credentials.get(NKEY.name).is_some_and(|seed| !seed.trim().starts_with("SU")) {
        return Err(vendor::problem(NKEY.name, "expected the seed of a user's NKey, which begins with SU"));
    }
    let has = |part: &str| credentials.get(CREDENTIALS.name).is_none_or(|text| text.contains(part));
    if !has("BEGIN NATS USER JWT") || !has("BEGIN USER NKEY SEED") {
        return Err(vendor::problem(CREDENTIALS.name, "expected a .creds file, with a NATS USER JWT and a USER NKEY SEED"));
    }
    stream::check_authorities(target)
}

pub(super) fn account(target: &Target, credentials: &Credentials) -> StreamAccount {
    let secret = |name: &str| stream::secret(credentials, name);
    let user = || Some((vendor::text(target, stream::USER.name, "").to_owned(), secret(PASSWORD.name)?));
    let login = user()
        .map(|(user, password)| StreamLogin::User { user, password })
        .or_else(|| secret(TOKEN.name).map(StreamLogin::Token))
        .or_else(|| secret(NKEY.name).map(StreamLogin::Nkey))
        .or_else(|| secret(CREDENTIALS.name).map(StreamLogin::Credentials));
    let tls = match vendor::text(target, TLS.name, "verify") {
        "off" => StreamTls::Off,
        "first" => StreamTls::First,
        _ => StreamTls::Verify,
    };
    StreamAccount {
        login: login.unwrap_or(StreamLogin::None),
        tls,
        authorities: stream::authorities(target),
        inbox: vendor::text(target, INBOX.name, DEFAULT_INBOX).to_owned(),
    }
}

fn finish(message: &mut Value, event: &Event, target: &Target) {
    message["headers"]["Nats-Msg-Id"] = event.id.to_string().into();
    let stream = vendor::text(target, STREAM.name, "");
    if !stream.is_empty() {
        message["headers"]["Nats-Expected-Stream"] = stream.into();
    }
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, _: &Secrets, now: Timestamp) -> Vec<Sending> {
    stream::render(&KIND, owed, target, now)
}
