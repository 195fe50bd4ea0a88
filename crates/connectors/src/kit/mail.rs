//! What every sender of mail shares: its account at a mail server, and what the server's answers mean. Sources: RFC 5321 (SMTP),
//! RFC 3463 (enhanced status codes).

use domain::{MessageFault, Target};

use super::{Came, Credentials, SMTP_COMMAND, Sent, Setting, SettingProblem, Takes, Verdict, head, message, settings, vendor};

/// What an address has to look like.
pub(crate) const EXPECTED: &str = "expected an address: hello@example.com or Name <hello@example.com>";
/// Most bytes of a server's words that are kept.
const MAX_SAID_BYTES: usize = 500;

pub(crate) const URL: Setting = Setting {
    name: "url",
    value: "`smtp://host:587`, `smtps://host:465`",
    takes: Takes::Own,
    default: "required",
    about: "The mail server: with STARTTLS, with TLS from the start, or `smtp+plain://host:25` without either, for a relay on your own \
            network.",
};
pub(crate) const USER: Setting = Setting {
    name: "user",
    value: "text",
    takes: Takes::Text(256),
    default: "none",
    about: "Who we are to the server, where it asks. Not without encryption.",
};
pub(crate) const PASSWORD: Setting = Setting {
    name: "password",
    value: "text",
    takes: Takes::Secret(512),
    default: "none",
    about: "The proof, by AUTH PLAIN or LOGIN.",
};
pub(crate) const FROM: Setting = Setting {
    name: "from",
    value: "`Coffee Club <passes@example.com>`",
    takes: Takes::Text(320),
    default: "required",
    about: "Who writes. `Message-ID`s end in its domain.",
};
/// Refuses an account that cannot be: who writes, who we are to the server.
pub(crate) fn check_account(target: &Target, credentials: &Credentials) -> Result<(), SettingProblem> {
    if settings::text(&target.settings, FROM.name).is_some_and(|text| domain(text).is_none()) {
        return Err(vendor::problem(FROM.name, EXPECTED));
    }
    let has_user = target.settings.contains_key(USER.name);
    if has_user != credentials.get(PASSWORD.name).is_some() {
        return Err(vendor::problem(if has_user { PASSWORD.name } else { USER.name }, "give both user and password, or neither"));
    }
    if has_user && target.url.starts_with("smtp+plain:") {
        return Err(vendor::problem("url", "a password is not sent without encryption: write smtp:// or smtps://"));
    }
    Ok(())
}

/// The domain of an address that may have a name before it.
pub(crate) fn domain(text: &str) -> Option<&str> {
    let address = match text.split_once('<') {
        Some((_, rest)) => rest.trim_end().strip_suffix('>')?,
        None => text.trim(),
    };
    let (local, domain) = address.rsplit_once('@')?;
    let odd = |c: char| c.is_whitespace() || c.is_control() || "<>,;\"".contains(c);
    (!local.is_empty() && domain.contains('.') | (domain == "localhost") && !address.contains(odd)).then_some(domain)
}

/// What it means to a delivery.
pub(crate) fn judge(sent: &Sent<'_>) -> Verdict {
    message::judged(sent, read)
}

/// What the server's last answer means. What is wrong with us (a login, a sender that it does not let write) can be mended and
/// is tried again.
pub(crate) fn read(sent: &Sent<'_>) -> Came {
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
