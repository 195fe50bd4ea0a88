//! Messages to the people who hold passes, by e-mail or SMS: what is asked for, what goes out, what came of it.

use serde::{Deserialize, Serialize};

use crate::{Contact, EventId, FieldValue, TargetId, Wallet};

/// The principal of the keys under which is noted once what became of messages.
pub const MESSAGES: &str = "messages";

/// The trait by which a person says that they want no messages at all.
const UNSUBSCRIBED: &str = "unsubscribed";

/// By which way a person is told something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// E-mail.
    Email,
    /// A text message to a phone.
    Sms,
}

impl Channel {
    /// Every way.
    pub const ALL: [Self; 2] = [Self::Email, Self::Sms];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
        }
    }

    /// The trait by which a person says that they want nothing this way. `unsubscribed` says it of every way.
    pub const fn refused_by(self) -> &'static str {
        match self {
            Self::Email => "email_unsubscribed",
            Self::Sms => "sms_unsubscribed",
        }
    }
}

/// A message that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageOrder {
    /// By which way.
    pub channel: Channel,
    /// The destination that sends it, by its id or name; none takes the only one there is for this way and project.
    pub sender: Option<String>,
    /// To whom, as a test; none means the pass's holder.
    pub test_to: Option<String>,
    /// The subject of an e-mail instead of the sender's.
    pub subject: Option<String>,
    /// What it says, at most 2,000 characters; the sender's template puts it into place.
    pub text: Option<String>,
    /// Whether it goes to an address that refused one before.
    pub despite_bounce: bool,
}

/// A message that is to go out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// The destination that sends it.
    pub sender: TargetId,
    /// By which way.
    pub channel: Channel,
    /// To which address or number.
    pub to: String,
    /// The wallets that the pass's project is for. Which of them the message leads to is judged when it is sent, by the pass as it is
    /// then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wallets: Vec<Wallet>,
    /// The subject of an e-mail instead of the sender's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whether somebody tries the sender: it goes to an address of theirs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
}

/// Which message an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRef {
    /// Its id, that of the event that asked for it; none where it was not even tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<EventId>,
    /// The destination that sends it.
    pub sender: TargetId,
    /// By which way.
    pub channel: Channel,
    /// To which address or number; none when there was none, or the person was erased or has the pass no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether it was a test.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageNews {
    /// It is about to be sent. Noted once; whoever finds it noted does not know what came of the try before.
    Begun,
    /// A server took it.
    Sent {
        /// What the server calls it.
        server_id: Option<String>,
    },
    /// It does not arrive.
    Failed {
        /// Why.
        reason: MessageFault,
        /// In the server's words.
        detail: Option<String>,
    },
    /// Nobody knows whether it was sent, and it is not sent again.
    Unknown {
        /// What happened.
        detail: String,
    },
    /// It is where the person reads it.
    Delivered {
        /// What the server calls it.
        server_id: Option<String>,
    },
}

/// Why a message does not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageFault {
    /// The pass has no holder, or their address or number is not known or none.
    NoAddress,
    /// The person wants no messages this way.
    Unsubscribed,
    /// The address refused one before.
    BouncedBefore,
    /// The receiving side refused the address: no such mailbox, no such number.
    Bounced,
    /// The sender's server, or its settings, refused it.
    Refused,
    /// It was tried until there was no use in trying.
    Undelivered,
}

impl MessageFault {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoAddress => "no_address",
            Self::Unsubscribed => "unsubscribed",
            Self::BouncedBefore => "bounced_before",
            Self::Bounced => "bounced",
            Self::Refused => "refused",
            Self::Undelivered => "undelivered",
        }
    }

    /// Whether the address itself is at fault, so that nothing is sent there again.
    pub const fn is_of_address(self) -> bool {
        matches!(self, Self::Bounced | Self::Unsubscribed)
    }
}

impl Contact {
    /// Where the person is reached by a way.
    ///
    /// # Errors
    /// When they are not.
    pub fn address(&self, channel: Channel, despite_bounce: bool) -> Result<String, MessageFault> {
        if self.erased_at.is_some() {
            return Err(MessageFault::NoAddress);
        }
        if !self.wants(channel) {
            return Err(MessageFault::Unsubscribed);
        }
        let address = match channel {
            Channel::Email => self.email.clone(),
            Channel::Sms => self.phone.as_deref().and_then(normalise_phone),
        };
        let address = address.ok_or(MessageFault::NoAddress)?;
        if !despite_bounce && self.bounced.get(&channel) == Some(&address) {
            return Err(MessageFault::BouncedBefore);
        }
        Ok(address)
    }

    /// Whether the person did not say that they want no messages this way.
    pub fn wants(&self, channel: Channel) -> bool {
        let says = |name: &str| self.traits.get(name).is_some_and(says_yes);
        !says(UNSUBSCRIBED) && !says(channel.refused_by())
    }

    /// Takes over that the person wants messages this way, or none any more; whether that is news. Whoever wants them again has
    /// them where they are now: what the address refused before is forgotten. What they do not want by other ways stays so.
    pub fn set_wanted(&mut self, channel: Channel, wanted: bool) -> bool {
        let had_refused = wanted && self.bounced.remove(&channel).is_some();
        if self.wants(channel) == wanted {
            return had_refused;
        }
        if wanted && self.traits.get(UNSUBSCRIBED).is_some_and(says_yes) {
            self.traits.insert(UNSUBSCRIBED.to_owned(), FieldValue::Flag(false));
            let others = Channel::ALL.into_iter().filter(|other| *other != channel);
            self.traits.extend(others.map(|other| (other.refused_by().to_owned(), FieldValue::Flag(true))));
        }
        self.traits.insert(channel.refused_by().to_owned(), FieldValue::Flag(!wanted));
        true
    }
}

fn says_yes(value: &FieldValue) -> bool {
    match value {
        FieldValue::Flag(flag) => *flag,
        FieldValue::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        FieldValue::Text(text) => ["true", "yes", "1"].iter().any(|yes| text.trim().eq_ignore_ascii_case(yes)),
    }
}

/// A phone number in international form (E.164): `+` and 7 to 15 digits. Spaces and the like are left out, a leading `00`
/// becomes `+`; a number without its country is none, because nobody knows where it leads.
pub fn normalise_phone(text: &str) -> Option<String> {
    let mut digits = String::with_capacity(16);
    for character in text.trim().chars() {
        match character {
            '0'..='9' => digits.push(character),
            '+' if digits.is_empty() => digits.push('+'),
            ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}' => {}
            _ => return None,
        }
    }
    let bare = digits.strip_prefix('+').or_else(|| digits.strip_prefix("00"))?;
    ((7..=15).contains(&bare.len()) && !bare.starts_with('0')).then(|| format!("+{bare}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_brought_into_one_form_or_refused() {
        for (given, expected) in [
            ("+49 (30) 901820", Some("+4930901820")),
            ("0049-30-901820", Some("+4930901820")),
            (" +1 415.555.2671 ", Some("+14155552671")),
            ("030 901820", None),
            ("+49 30 CALL ME", None),
            ("+123", None),
            ("+1234567890123456", None),
            ("", None),
        ] {
            assert_eq!(normalise_phone(given).as_deref(), expected, "{given}");
        }
    }
}
