//! Mails as bytes (RFC 5322, MIME): the same mail is the same bytes.

use std::time::{Duration, UNIX_EPOCH};

use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment as Part, Mailbox, Message, MultiPart, MultiPartBuilder, SinglePart};

/// A mail to one person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mail {
    /// Its `Message-ID` without the angle brackets. Whoever sends it again gives the same one.
    pub message_id: String,
    /// When it was written, in seconds since the Unix epoch.
    pub date: u64,
    /// Who writes: `Coffee Club <hello@example.com>`.
    pub from: String,
    /// Who gets it: an address.
    pub to: String,
    /// Where answers go, when that is elsewhere.
    pub reply_to: Option<String>,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The same in HTML.
    pub html: Option<String>,
    /// More headers, by name.
    pub headers: Vec<(String, String)>,
    /// Files.
    pub attachments: Vec<Attachment>,
}

/// A file that comes with a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// A mail that cannot be written down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part} cannot stand in a mail: {why}")]
pub struct BadMail {
    /// Which part: `from`, `to`, `reply_to`, a header, an attachment.
    pub part: String,
    /// What is wrong with it.
    pub why: String,
}

fn bad(part: &str, why: &(impl ToString + ?Sized)) -> BadMail {
    BadMail { part: part.to_owned(), why: why.to_string() }
}

/// Whether a text is an address, alone or with a name before it: `Coffee Club <hello@example.com>`.
#[must_use]
pub fn is_mailbox(text: &str) -> bool {
    text.parse::<Mailbox>().is_ok()
}

/// A mail, ready to be handed over.
pub(super) struct Made {
    pub(super) envelope: Envelope,
    pub(super) bytes: Vec<u8>,
    /// By what name we greet a server: the domain that we write from.
    pub(super) hello: String,
}

impl Made {
    pub(super) fn of(mail: &Mail) -> Result<Self, BadMail> {
        let from: Mailbox = mail.from.parse().map_err(|error| bad("from", &error))?;
        let to: Mailbox = mail.to.parse().map_err(|error| bad("to", &error))?;
        let hello = from.email.domain().to_owned();
        let mut builder = Message::builder()
            .message_id(Some(format!("<{}>", mail.message_id)))
            .date(UNIX_EPOCH + Duration::from_secs(mail.date))
            .from(from)
            .to(to)
            .subject(mail.subject.as_str());
        if let Some(reply_to) = &mail.reply_to {
            builder = builder.reply_to(reply_to.parse().map_err(|error| bad("reply_to", &error))?);
        }
        for (name, value) in &mail.headers {
            if value.contains(char::is_control) {
                return Err(bad(name, "it has control characters"));
            }
            let header = HeaderName::new_from_ascii(name.clone()).map_err(|error| bad(name, &error))?;
            builder = builder.raw_header(HeaderValue::new(header, value.clone()));
        }
        let message = builder.multipart(body(mail)?).map_err(|error| bad("the mail", &error))?;
        Ok(Self { envelope: message.envelope().clone(), bytes: message.formatted(), hello })
    }
}

/// The text in its two forms, and the files after it.
fn body(mail: &Mail) -> Result<MultiPart, BadMail> {
    let mut boundaries = (0..).map(|number| format!("{}-{number}", boundary(&mail.message_id)));
    let mut bounded = |builder: MultiPartBuilder| builder.boundary(boundaries.next().unwrap_or_default());
    let text = SinglePart::plain(mail.text.clone());
    let texts = bounded(MultiPart::alternative()).singlepart(text);
    let texts = mail.html.iter().fold(texts, |all, html| all.singlepart(SinglePart::html(html.clone())));
    if mail.attachments.is_empty() {
        return Ok(texts);
    }
    let mut all = bounded(MultiPart::mixed()).multipart(texts);
    for Attachment { name, media, bytes } in &mail.attachments {
        let media = ContentType::parse(media).map_err(|error| bad(name, &error))?;
        all = all.singlepart(Part::new(name.clone()).body(bytes.clone(), media));
    }
    Ok(all)
}

/// What separates the parts: derived from the mail's id, in characters that a boundary may have, and no line of the encoded
/// parts begins with it.
fn boundary(message_id: &str) -> String {
    let id: String = message_id.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    format!("=_{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail() -> Mail {
        Mail {
            message_id: "3f2a@example.com".to_owned(),
            date: 1_795_255_200,
            from: "Kaffee Klub <hallo@example.com>".to_owned(),
            to: "anna@example.org".to_owned(),
            subject: "Deine Karte für heute".to_owned(),
            text: "Grüße".to_owned(),
            html: Some("<p>Grüße</p>".to_owned()),
            attachments: vec![Attachment {
                name: "pass.pkpass".to_owned(),
                media: "application/vnd.apple.pkpass".to_owned(),
                bytes: vec![0, 1, 2, 255],
            }],
            ..Mail::default()
        }
    }

    #[test]
    fn the_same_mail_is_the_same_bytes() {
        let made = Made::of(&mail()).unwrap();
        assert_eq!(made.bytes, Made::of(&mail()).unwrap().bytes);
        let text = String::from_utf8(made.bytes).unwrap();
        for part in [
            "Message-ID: <3f2a@example.com>",
            "Date: Sat, 21 Nov 2026",
            "multipart/mixed",
            "multipart/alternative",
            "application/vnd.apple.pkpass",
            "filename=\"pass.pkpass\"",
            "AAEC/w==",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.is_ascii(), "everything is encoded");
        assert_eq!(made.hello, "example.com");
    }

    #[test]
    fn nothing_is_smuggled_into_headers() {
        for (name, change) in [
            ("from", Mail { from: "no address".to_owned(), ..mail() }),
            ("to", Mail { to: "a@b.c>\r\nRCPT TO:<x@y.z".to_owned(), ..mail() }),
            ("reply_to", Mail { reply_to: Some("x".to_owned()), ..mail() }),
            ("List-Unsubscribe", Mail { headers: vec![("List-Unsubscribe".to_owned(), "x\r\nBcc: y@z".to_owned())], ..mail() }),
        ] {
            assert_eq!(Made::of(&change).err().unwrap().part, name);
        }
        let made = Made::of(&Mail { subject: "Hello\r\nBcc: x@y.z".to_owned(), ..mail() }).unwrap();
        let text = String::from_utf8(made.bytes).unwrap();
        assert!(!text.lines().any(|line| line.starts_with("Bcc:")), "{text}");
    }
}
