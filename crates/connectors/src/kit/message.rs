//! Messages to the holders of passes: what their texts are made of, and what a server's answer means.

use domain::{Channel, Event, EventId, Facts, MessageFault, OrgId, Outgoing, Target, Wallet};
use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Credentials, Outcome, Owed, Refused, Sent, Verdict, vendor};

/// Under which a mail server's answer says to which command it is one: `RCPT`, `DATA`.
pub const SMTP_COMMAND: HeaderName = HeaderName::from_static("x-smtp-command");

/// What makes a destination send messages to holders instead of telling a service of events.
#[derive(Debug, Clone, Copy)]
pub struct Messenger {
    /// By which way.
    pub channel: Channel,
    /// Whether its server knows a message again that comes twice, so that one whose outcome is not known may be sent again.
    pub knows_again: fn(&Target) -> bool,
    /// What an answer means. Total.
    pub read: fn(&Sent<'_>) -> Came,
    /// What it says later of a message that it took, where it does.
    pub hear: Option<Hear>,
}

/// Reads what a service tells of a message; what is not final yet is nothing. Pure, total.
pub type Hear = fn(&Told<'_>) -> Result<Option<Heard>, Refused>;

/// A request by which a service tells what became of a message, at the address that [`status_path`] gives it.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// That address, whole.
    pub url: &'a str,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: &'a [u8],
    /// The destination that sent the message.
    pub target: &'a Target,
    /// Its credentials.
    pub credentials: &'a Credentials,
}

/// What became of a message that a service took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It is where the person reads it.
    Delivered {
        /// What the service calls it.
        server_id: Option<String>,
    },
    /// It does not get there.
    Never {
        /// Why.
        reason: MessageFault,
        /// In the service's words.
        said: String,
    },
}

/// Where a service tells what became of the message that an event asked for: the path below our own address.
pub fn status_path(org: OrgId, message: EventId) -> String {
    format!("/messages/{org}/{message}/status")
}

/// What came of a message that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// A server took it.
    Sent {
        /// What the server calls it.
        server_id: Option<String>,
    },
    /// It did not take it now.
    Later,
    /// It never will.
    Never {
        /// Why.
        reason: MessageFault,
        /// In the server's words.
        said: String,
    },
    /// Nobody knows.
    Unknown {
        /// What happened.
        said: String,
    },
}

/// A mail as it is rendered, before files are added to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Its `Message-ID` without the angle brackets, the same on every attempt.
    pub message_id: String,
    /// When it was asked for, in seconds since the Unix epoch.
    pub date: i64,
    /// Who writes.
    pub from: String,
    /// Who gets it.
    pub to: String,
    /// Where answers go, when that is elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The same in HTML.
    pub html: String,
    /// More headers.
    pub headers: Vec<(String, String)>,
    /// Whether the pass's package for Apple Wallet comes with it.
    pub attach: bool,
}

/// The message that an event asks for.
pub(crate) fn asked(event: &Event) -> Option<&Outgoing> {
    match &event.facts {
        Facts::MessageRequested { message } => Some(message),
        _ => None,
    }
}

/// What templates of messages may say: what templates of events may, and `message`, `link`, `apple_link`, `google_link`,
/// `unsubscribe_link`.
pub(crate) fn values(owed: &Owed<'_>, message: &Outgoing) -> Value {
    let mut values = vendor::told(owed.event, owed.public_url);
    let link = owed.event.image.pass.as_ref().map(|pass| super::told::page(pass, owed.public_url));
    let to = |wallet: Wallet| {
        let link = link.as_ref().filter(|_| message.wallets.contains(&wallet))?;
        Some(format!("{link}/{}", wallet.name()))
    };
    values["message"] = json!(message.text);
    values["apple_link"] = json!(to(Wallet::Apple));
    values["google_link"] = json!(to(Wallet::Google));
    values["link"] = json!(link);
    values["unsubscribe_link"] = json!(owed.unsubscribe);
    values
}

/// What an answer means to a delivery.
pub(crate) fn judged(sent: &Sent<'_>, read: fn(&Sent<'_>) -> Came) -> Verdict {
    sent.all(match read(sent) {
        Came::Sent { .. } => Outcome::Delivered,
        Came::Later => Outcome::Retry { after: sent.asked() },
        Came::Never { reason, said } => {
            let said = Some(said).filter(|said| !said.is_empty());
            Outcome::Reject { reason: format!("the message does not arrive: {}", reason.name()), said }
        }
        Came::Unknown { said } => Outcome::Reject {
            reason: "it is not known whether the message was sent; it is not sent again".to_owned(),
            said: Some(said).filter(|said| !said.is_empty()),
        },
    })
}
