//! One mail for all that happened since the last. Sources: RFC 5321 (SMTP), RFC 3834 (`Auto-Submitted`).

use bytes::Bytes;
use domain::{BatchId, Event, EventKind, Facts, Target, Timestamp};
use http::{HeaderMap, Method};

use super::settings::TO;
use crate::kit::mail::{self, FROM};
use crate::kit::{Credentials, Mail, Owed, Request, Secrets, Sending, SettingProblem, vendor};

/// Events of one mail.
pub(super) const MOST: usize = 200;
/// Events of one mail that have a line; the others are counted.
const MOST_LINES: usize = 50;

/// What is about the running of things.
pub(super) const fn wants(kind: EventKind) -> bool {
    kind.is_operational()
}

pub(super) fn check(target: &Target, credentials: &Credentials) -> Result<(), SettingProblem> {
    vendor::require(target, credentials, &[FROM.name, TO.name])?;
    mail::check_account(target, credentials)?;
    if mail::domain(vendor::text(target, TO.name, "")).is_none() {
        return Err(vendor::problem(TO.name, "expected one address: ops@example.com or Name <ops@example.com>"));
    }
    Ok(())
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, _: &Secrets, _: Timestamp) -> Vec<Sending> {
    let told: Vec<usize> = (0..owed.len()).filter(|at| wants(owed[*at].event.kind())).collect();
    let Some(first) = told.first().map(|at| &owed[*at]) else { return Vec::new() };
    let events: Vec<&Event> = told.iter().map(|at| owed[*at].event).collect();
    let from = vendor::text(target, FROM.name, "");
    let mail = Mail {
        message_id: format!("{}@{}", first.delivery, mail::domain(from).unwrap_or("localhost")),
        date: first.event.recorded_at.as_seconds(),
        from: from.to_owned(),
        to: vendor::text(target, TO.name, "").to_owned(),
        reply_to: None,
        subject: subject(&events),
        text: text(&events, first.public_url),
        html: String::new(),
        headers: vec![("Auto-Submitted".to_owned(), "auto-generated".to_owned())],
        attach: false,
    };
    let body = serde_json::to_vec(&mail).map_err(|error| error.to_string());
    let request =
        |body| Request { method: Method::POST, url: target.url.clone(), headers: HeaderMap::new(), body: Bytes::from(body) };
    vec![Sending { request: body.map(request), covers: vec![told] }]
}

fn subject(events: &[&Event]) -> String {
    match events {
        [one] => format!("Passbridge: {}", vendor::title(one.kind())),
        many => {
            let mut kinds: Vec<&str> = many.iter().map(|event| vendor::title(event.kind())).collect();
            kinds.sort_unstable();
            kinds.dedup();
            format!("Passbridge: {} notices ({})", many.len(), kinds.join(", "))
        }
    }
}

fn text(events: &[&Event], public_url: &str) -> String {
    let mut lines: Vec<String> =
        events.iter().take(MOST_LINES).map(|event| format!("{}  {}", event.occurred_at, sentence(&event.facts))).collect();
    if events.len() > MOST_LINES {
        lines.push(format!("and {} more: GET {public_url}/v1/events has them all", events.len() - MOST_LINES));
    }
    format!("{}\n\n-- \n{public_url}\n", lines.join("\n\n"))
}

/// What happened and what to do, for a person.
fn sentence(facts: &Facts) -> String {
    match facts {
        Facts::WebhookTested { .. } => "This is a test: alerts arrive here.".to_owned(),
        Facts::WebhookFailing { webhook, name, since, off_at } => format!(
            "{} ({webhook}) has taken nothing since {since}. It is switched off at {off_at} unless it takes something before.",
            plain(name)
        ),
        Facts::WebhookDisabled { webhook, name, reason } => format!(
            "{} ({webhook}) was switched off: {}. Mend it and switch it on; of a webhook `passbridge webhook replay {webhook}` then \
             sends what it missed.",
            plain(name),
            plain(reason)
        ),
        Facts::SignerExpiring { signer, pass_type, ends_at, within_days: 0 } => format!(
            "The certificate of {} has ended ({ends_at}): no pass of this type can be made or woken. Renew it: `passbridge signer \
             request --signer {signer}`.",
            plain(pass_type)
        ),
        Facts::SignerExpiring { signer, pass_type, ends_at, within_days } => format!(
            "The certificate of {} ends within {within_days} days, at {ends_at}. Renew it: `passbridge signer request --signer \
             {signer}`.",
            plain(pass_type)
        ),
        Facts::BackfillFailed { backfill, name, paused: true, reason, .. } => format!(
            "A backfill of {} was paused because the destination does not take it: {}. `passbridge backfill resume {backfill}` lets \
             it go on.",
            plain(name),
            plain(reason.as_deref().unwrap_or("it did not say why"))
        ),
        Facts::BackfillFailed { backfill, name, refused, .. } => format!(
            "A backfill of {} came to its end, and {refused} contacts were refused: `passbridge backfill show {backfill}` has some of \
             them.",
            plain(name)
        ),
        Facts::SyncFailed { sync, name, batch: None, reason, .. } => format!(
            "The sync {} ({sync}) could not be run: {}.",
            plain(name),
            plain(reason.as_deref().unwrap_or("nobody said why"))
        ),
        Facts::SyncFailed { sync, name, batch: Some(batch), paused, rows, failed, reason } => {
            let whose = format!("A run of the sync {} ({sync})", plain(name));
            rows_failed(&whose, *batch, *paused, (*rows, *failed), reason.as_deref())
        }
        Facts::BatchFailed { batch, paused, rows, failed, reason } => {
            rows_failed("A batch", *batch, *paused, (*rows, *failed), reason.as_deref())
        }
        _ => String::new(),
    }
}

/// What became of a batch that was not carried out for all of so many rows, so many of which failed.
fn rows_failed(what: &str, batch: BatchId, paused: bool, (rows, failed): (u64, u64), reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("{what} failed: {}. `passbridge batch show {batch}` says how far it came.", plain(reason)),
        None if paused => format!(
            "{what} waits, for {failed} of its {rows} rows would fail: `passbridge batch report {batch}` has them, `passbridge batch \
             start {batch}` carries out the others."
        ),
        None => format!(
            "{what} came to its end, and {failed} of its {rows} rows failed: `passbridge batch report {batch}` has them and why."
        ),
    }
}

/// A name in one line.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
