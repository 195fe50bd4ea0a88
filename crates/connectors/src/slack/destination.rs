//! Messages by incoming webhook. What comes at once becomes one message of several lines.
//! Sources: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>, <https://api.slack.com/docs/rate-limits>.

use std::time::Duration;

use domain::{EventKind, Target, Timestamp};
use http::Method;
use serde_json::{Value, json};

use super::settings::{TEXT, WEBHOOK};
use crate::kit::vendor::{self, Record};
use crate::kit::{Credentials, Outcome, Owed, Secrets, Sending, Sent, SettingProblem, Verdict, template};

/// Events of one message.
pub(super) const MOST: usize = 20;
/// Longest text of a message, in bytes; Slack cuts it at 40,000 characters.
const MAX_TEXT_BYTES: usize = 30_000;
/// Longest line, in bytes.
const MAX_LINE_BYTES: usize = 3_000;
/// About one message a second is taken.
const BURST: Duration = Duration::from_secs(1);
const LINE: &str = "{{ title }}{% if facts.wallet %} ({{ facts.wallet | title }} Wallet){% endif %}: \
    {{ contact.name | default(contact.email, true) | default(contact.external_id, true) | default('somebody', true) }}\
    {% if pass %}, {{ pass.project.name | default('pass', true) }} {{ pass.external_id | default(pass.id, true) }}{% endif %}";

/// Every event but looks at a pass.
pub(super) const fn wants(kind: EventKind) -> bool {
    !matches!(kind, EventKind::PassRendered)
}

pub(super) fn check(target: &Target, credentials: &Credentials) -> Result<(), SettingProblem> {
    vendor::require(target, credentials, &[WEBHOOK.name])?;
    if path(credentials).is_none() {
        return Err(vendor::problem(WEBHOOK.name, "expected https://hooks.slack.com/services/…"));
    }
    template::check(vendor::text(target, TEXT.name, LINE)).map_err(|problem| vendor::problem(TEXT.name, problem))
}

/// Host and path of the webhook.
fn path(credentials: &Credentials) -> Option<(String, &str)> {
    let rest = credentials.get(WEBHOOK.name)?.strip_prefix("https://")?;
    let (host, path) = rest.split_once('/')?;
    let known = ["hooks.slack.com", "hooks.slack-gov.com"].contains(&host);
    (known && path.bytes().all(|byte| byte.is_ascii_graphic())).then(|| (format!("https://{host}"), path))
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, _: Timestamp) -> Vec<Sending> {
    let Some((vendor, path)) = path(&secrets.credentials) else { return Vec::new() };
    let line = vendor::text(target, TEXT.name, LINE);
    let (mut lines, mut out) = (Vec::new(), Vec::new());
    for (event, owed) in owed.iter().enumerate().filter(|(_, owed)| wants(owed.event.kind())) {
        match template::render(line, &escaped(vendor::told(owed.event, owed.public_url))) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => {
                let json = crate::kit::head(text.trim(), MAX_LINE_BYTES).into();
                lines.push(Record { key: String::new(), covers: vec![event], json });
            }
            Err(why) => out.push(Sending::never(format!("its text: {why}"), event)),
        }
    }
    for group in vendor::groups(lines, MOST, MAX_TEXT_BYTES, |line| line.json.as_str().map_or(0, str::len)) {
        let (lines, covers) = vendor::apart(group);
        let text: Vec<_> = lines.iter().filter_map(Value::as_str).collect();
        let url = format!("{}/{path}", vendor::base(target, &vendor));
        out.push(Sending {
            request: Ok(vendor::json(Method::POST, url, json!({ "text": text.join("\n") }).to_string())),
            covers,
        });
    }
    out
}

/// Values with Slack's control characters escaped, so that a name mentions nobody and links nowhere.
fn escaped(value: Value) -> Value {
    match value {
        Value::String(text) => text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").into(),
        Value::Array(values) => values.into_iter().map(escaped).collect(),
        Value::Object(members) => Value::Object(members.into_iter().map(|(name, value)| (name, escaped(value))).collect()),
        other => other,
    }
}

pub(super) fn judge(sent: &Sent<'_>) -> Verdict {
    let Some(reply) = sent.reply else { return vendor::judge(sent) };
    match reply.status {
        404 | 410 => sent.all(Outcome::Disable { reason: format!("Slack answered {}: the webhook is gone", reply.status) }),
        403 => sent.all(Outcome::Disable { reason: "Slack answered 403: the webhook may not post there any more".to_owned() }),
        429 => vendor::retry_in(sent, BURST),
        _ => vendor::judge(sent),
    }
}
