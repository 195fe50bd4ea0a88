//! One mail a message. Sources: RFC 5321 (SMTP), RFC 3834 (`Auto-Submitted`), RFC 2369
//! (`List-Unsubscribe`), RFC 8058 (one-click).

use bytes::Bytes;
use domain::{EventKind, FieldValue, Outgoing, Target, Timestamp, Wallet};
use http::{HeaderMap, Method};

use super::settings::{ATTACH, HTML, REPLY_TO, SUBJECT, TEXT, UNSUBSCRIBE};
use crate::kit::mail::{self, FROM};
use crate::kit::{Credentials, Mail, Owed, Request, Secrets, Sending, SettingProblem, head, message, settings, template, vendor};

const DEFAULT_SUBJECT: &str = "Your pass{% if pass.project.name %}: {{ pass.project.name }}{% endif %}";
const DEFAULT_TEXT: &str = include_str!("default.txt");
const DEFAULT_HTML: &str = include_str!("default.html");
/// Longest subject, in bytes.
const MAX_SUBJECT_BYTES: usize = 800;

/// Only messages that are to go out.
pub(super) const fn wants(kind: EventKind) -> bool {
    matches!(kind, EventKind::MessageRequested)
}

pub(super) fn check(target: &Target, credentials: &Credentials) -> Result<(), SettingProblem> {
    vendor::require(target, credentials, &[FROM.name])?;
    mail::check_account(target, credentials)?;
    if settings::text(&target.settings, REPLY_TO.name).is_some_and(|text| mail::domain(text).is_none()) {
        return Err(vendor::problem(REPLY_TO.name, mail::EXPECTED));
    }
    for (name, default) in [(SUBJECT.name, DEFAULT_SUBJECT), (TEXT.name, DEFAULT_TEXT), (UNSUBSCRIBE.name, "")] {
        template::check(vendor::text(target, name, default)).map_err(|problem| vendor::problem(name, problem))?;
    }
    template::check_html(vendor::text(target, HTML.name, DEFAULT_HTML)).map_err(|problem| vendor::problem(HTML.name, problem))
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, _: &Secrets, _: Timestamp) -> Vec<Sending> {
    let one = |(number, owed): (usize, &Owed<'_>)| {
        let message = message::asked(owed.event)?;
        Some(match request(owed, message, target) {
            Ok(request) => Sending::of_one(request, number),
            Err(why) => Sending::never(why, number),
        })
    };
    owed.iter().enumerate().filter_map(one).collect()
}

fn request(owed: &Owed<'_>, asked: &Outgoing, target: &Target) -> Result<Request, String> {
    let mut values = message::values(owed, asked);
    let written = |name: &str, default: &str, values: &serde_json::Value| {
        template::render(vendor::text(target, name, default), values).map_err(|why| format!("its {name}: {why}"))
    };
    let mut headers = vec![("Auto-Submitted".to_owned(), "auto-generated".to_owned())];
    let own = written(UNSUBSCRIBE.name, "", &values)?;
    if !own.trim().is_empty() {
        headers.push(("List-Unsubscribe".to_owned(), format!("<{}>", own.trim())));
        values["unsubscribe_link"] = own.trim().into();
    } else if let Some(ours) = owed.unsubscribe {
        headers.push(("List-Unsubscribe".to_owned(), format!("<{ours}>")));
        // RFC 8058 knows HTTPS alone.
        if ours.starts_with("https://") {
            headers.push(("List-Unsubscribe-Post".to_owned(), "List-Unsubscribe=One-Click".to_owned()));
        }
    }
    let subject = match &asked.subject {
        Some(subject) => subject.clone(),
        None => written(SUBJECT.name, DEFAULT_SUBJECT, &values)?,
    };
    let from = vendor::text(target, FROM.name, "");
    let attach = target.settings.get(ATTACH.name) != Some(&FieldValue::Flag(false)) && asked.wallets.contains(&Wallet::Apple);
    let mail = Mail {
        message_id: format!("{}@{}", owed.delivery, mail::domain(from).unwrap_or("localhost")),
        date: owed.event.recorded_at.as_seconds(),
        from: from.to_owned(),
        to: asked.to.clone(),
        reply_to: settings::text(&target.settings, REPLY_TO.name).map(str::to_owned),
        subject: head(subject.split_whitespace().collect::<Vec<_>>().join(" ").as_str(), MAX_SUBJECT_BYTES).to_owned(),
        text: written(TEXT.name, DEFAULT_TEXT, &values)?.trim().to_owned() + "\n",
        html: template::render_html(vendor::text(target, HTML.name, DEFAULT_HTML), &values)
            .map_err(|why| format!("its html: {why}"))?,
        headers,
        attach,
    };
    let body = serde_json::to_vec(&mail).map_err(|error| error.to_string())?;
    Ok(Request { method: Method::POST, url: target.url.clone(), headers: HeaderMap::new(), body: Bytes::from(body) })
}
