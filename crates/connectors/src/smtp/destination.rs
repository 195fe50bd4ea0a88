//! One mail a message. Sources: RFC 5321 (SMTP), RFC 3463 (enhanced status codes), RFC 3834 (`Auto-Submitted`), RFC 2369
//! (`List-Unsubscribe`), RFC 8058 (one-click).

use bytes::Bytes;
use domain::{EventKind, FieldValue, MessageFault, Outgoing, Target, Timestamp, Wallet};
use http::{HeaderMap, Method};

use super::settings::{ATTACH, FROM, HTML, PASSWORD, REPLY_TO, SUBJECT, TEXT, UNSUBSCRIBE, USER};
use crate::kit::{
    Came, Credentials, Mail, Owed, Request, SMTP_COMMAND, Secrets, Sending, Sent, SettingProblem, Verdict, head, message,
    settings, template, vendor,
};

const DEFAULT_SUBJECT: &str = "Your pass{% if pass.project.name %}: {{ pass.project.name }}{% endif %}";
const DEFAULT_TEXT: &str = include_str!("default.txt");
const DEFAULT_HTML: &str = include_str!("default.html");
/// Longest subject, in bytes.
const MAX_SUBJECT_BYTES: usize = 800;
/// Most bytes of a server's words that are kept.
const MAX_SAID_BYTES: usize = 500;

/// Only messages that are to go out.
pub(super) const fn wants(kind: EventKind) -> bool {
    matches!(kind, EventKind::MessageRequested)
}

pub(super) fn check(target: &Target, credentials: &Credentials) -> Result<(), SettingProblem> {
    vendor::require(target, credentials, &[FROM.name])?;
    for name in [FROM.name, REPLY_TO.name] {
        if settings::text(&target.settings, name).is_some_and(|text| domain(text).is_none()) {
            return Err(vendor::problem(name, "expected an address: hello@example.com or Name <hello@example.com>"));
        }
    }
    let has_user = target.settings.contains_key(USER.name);
    if has_user != credentials.get(PASSWORD.name).is_some() {
        return Err(vendor::problem(if has_user { PASSWORD.name } else { USER.name }, "give both user and password, or neither"));
    }
    if has_user && target.url.starts_with("smtp+plain:") {
        return Err(vendor::problem("url", "a password is not sent without encryption: write smtp:// or smtps://"));
    }
    for (name, default) in [(SUBJECT.name, DEFAULT_SUBJECT), (TEXT.name, DEFAULT_TEXT), (UNSUBSCRIBE.name, "")] {
        template::check(vendor::text(target, name, default)).map_err(|problem| vendor::problem(name, problem))?;
    }
    template::check_html(vendor::text(target, HTML.name, DEFAULT_HTML)).map_err(|problem| vendor::problem(HTML.name, problem))
}

/// The domain of an address that may have a name before it.
fn domain(text: &str) -> Option<&str> {
    let address = match text.split_once('<') {
        Some((_, rest)) => rest.trim_end().strip_suffix('>')?,
        None => text.trim(),
    };
    let (local, domain) = address.rsplit_once('@')?;
    let odd = |c: char| c.is_whitespace() || c.is_control() || "<>,;\"".contains(c);
    (!local.is_empty() && domain.contains('.') | (domain == "localhost") && !address.contains(odd)).then_some(domain)
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
        message_id: format!("{}@{}", owed.delivery, domain(from).unwrap_or("localhost")),
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

pub(super) fn judge(sent: &Sent<'_>) -> Verdict {
    message::judged(sent, read)
}

/// What the server's last answer means. What is wrong with us (a login, a sender that it does not let write) can be mended and
/// is tried again.
pub(super) fn read(sent: &Sent<'_>) -> Came {
    let Some(reply) = sent.reply else { return Came::Later };
    let said = String::from_utf8_lossy(&reply.body);
    let said = head(said.trim(), MAX_SAID_BYTES).to_owned();
    let command = reply.headers.get(SMTP_COMMAND).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match (reply.status, command) {
        (200..=299, _) => Came::Sent { server_id: Some(said).filter(|said| !said.is_empty()) },
        (500..=599, "RCPT") => Came::Never { reason: at_recipient(reply.status, &said), said },
        (500..=599, "DATA") => Came::Never { reason: MessageFault::Refused, said },
        _ => Came::Later,
    }
}

/// Why a recipient was refused: the enhanced code (RFC 3463) says it best.
fn at_recipient(status: u16, said: &str) -> MessageFault {
    let enhanced = said.split_whitespace().next().and_then(|word| word.strip_prefix("5."));
    match enhanced.and_then(|rest| rest.split('.').next()).and_then(|subject| subject.parse::<u8>().ok()) {
        // Addressing, and a mailbox that is switched off.
        Some(1) => MessageFault::Bounced,
        Some(2) if said.starts_with("5.2.1") => MessageFault::Bounced,
        // Security and policy.
        Some(7) => MessageFault::Refused,
        Some(_) => MessageFault::Undelivered,
        None if [550, 551, 553].contains(&status) => MessageFault::Bounced,
        None => MessageFault::Undelivered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_found_and_oddities_refused() {
        assert_eq!(domain("a@example.com"), Some("example.com"));
        assert_eq!(domain("Coffee Club <a@b.example.com> "), Some("b.example.com"));
        for odd in ["", "a", "@example.com", "a@", "a@b", "a@example.com, b@example.com", "x <a@example.com", "a b@example.com"] {
            assert_eq!(domain(odd), None, "{odd}");
        }
    }

    #[test]
    fn refused_recipients_are_told_apart() {
        assert_eq!(at_recipient(550, "5.1.1 no such user"), MessageFault::Bounced);
        assert_eq!(at_recipient(550, "5.7.1 relaying denied"), MessageFault::Refused);
        assert_eq!(at_recipient(552, "5.2.2 mailbox full"), MessageFault::Undelivered);
        assert_eq!(at_recipient(550, "no such user here"), MessageFault::Bounced);
        assert_eq!(at_recipient(554, "no"), MessageFault::Undelivered);
    }
}
