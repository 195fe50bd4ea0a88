//! Messages for somebody's stream: NATS JetStream ([`nats`]) and Kafka ([`kafka`]).
//!
//! A batch goes over a connection of its own, in its order, each message without waiting for the answer to the one before; so
//! changed credentials count at once and nothing is left behind by a connection that broke. A message is kept when the stream
//! said so. What was not answered may have been kept all the same: it carries an id by which a repetition is recognised.
//!
//! The protocols are spoken here and not by their client libraries, because those dial by themselves: they resolve names and
//! follow what servers announce, where this room judges every address at the moment at which it is dialled.

pub mod kafka;
pub mod nats;
mod nkey;
mod wire;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::http::Failure;

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS, and the server's certificate and name are checked; after what the protocol says first in the clear, where it does.
    Tls,
    /// TLS before anything else.
    TlsFirst,
    /// None.
    Plain,
}

/// What goes into a stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Message {
    /// Its subject or topic.
    pub subject: String,
    /// What messages have in common that stay in their order, where the stream has several partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// When it happened, in milliseconds since 1970, where a stream keeps that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<i64>,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// What it says, sent byte for byte as it stands here.
    pub payload: Box<RawValue>,
}

/// Messages that are sent together, in their order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Batch {
    /// The messages.
    pub messages: Vec<Message>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// It is kept.
    Kept {
        /// By which stream, or partition of a topic.
        stream: String,
        /// Its number there.
        number: u64,
        /// Whether it was there already.
        duplicate: bool,
    },
    /// It is not, as far as is known.
    Refused(Refused),
}

/// Why a message is not kept, or a server not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// What is wrong.
    pub code: Reason,
    /// The server's words, or ours; they may repeat a subject.
    pub message: String,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is larger than the server or the stream takes.
    TooLarge,
    /// No message can have this subject.
    BadSubject,
    /// No stream takes the subject.
    NoStream,
    /// The account may not do this, or nobody is let in by these credentials.
    NotAllowed,
    /// The stream does not take it now: it is full, or another than expected.
    Declined,
    /// It was not said what became of it.
    Unanswered,
    /// The server is not what the settings say.
    Unfit,
}

impl Refused {
    fn new(code: Reason, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Why, without a value of a message.
    #[must_use]
    pub fn safe(&self) -> String {
        match self.code {
            Reason::TooLarge => "the message is larger than the stream takes".to_owned(),
            Reason::BadSubject => "no message can have this subject".to_owned(),
            Reason::NoStream => format!("no stream takes this subject: {}", self.message),
            Reason::NotAllowed => format!("the server does not allow it: {}", self.message),
            Reason::Declined => format!("the stream did not take it: {}", self.message),
            Reason::Unanswered => "it was not said whether the message is kept".to_owned(),
            Reason::Unfit => format!("the server cannot be used: {}", self.message),
        }
    }
}

/// Why no message was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsent {
    /// There was no talking to the server.
    Failed(Failure),
    /// It would not have us.
    Refused(Refused),
}

impl From<Failure> for Unsent {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Refused> for Unsent {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// What is known of each message once the exchange is over, however it ended.
fn settled(answers: Vec<Option<Answer>>, ended: Result<(), Unsent>) -> Result<Vec<Answer>, Unsent> {
    let unanswered = match ended {
        Err(why) if answers.iter().all(Option::is_none) => return Err(why),
        Err(Unsent::Failed(failure)) => failure.to_string(),
        Err(Unsent::Refused(refused)) => refused.message,
        Ok(()) => String::new(),
    };
    let answer =
        |answer: Option<Answer>| answer.unwrap_or_else(|| Answer::Refused(Refused::new(Reason::Unanswered, unanswered.clone())));
    Ok(answers.into_iter().map(answer).collect())
}
