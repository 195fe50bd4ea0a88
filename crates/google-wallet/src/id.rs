//! The name of a class or an object: the issuer's number, a dot, and a suffix that the issuer chose.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Longest id that we send, in characters. Google names no limit; ids stand in URLs and in save links, which are short.
pub const MAX_ID_CHARACTERS: usize = 200;

/// `issuerId.suffix`, checked: safe in a URL path, unique across the issuer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    text: String,
    dot: usize,
}

impl ResourceId {
    /// Joins an issuer's number and a suffix of letters, digits, `.`, `_` and `-`.
    pub fn new(issuer: &str, suffix: &str) -> Result<Self, IdError> {
        format!("{issuer}.{suffix}").parse()
    }

    /// The issuer's number, as digits.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.text[..self.dot]
    }

    /// What follows the first dot.
    #[must_use]
    pub fn suffix(&self) -> &str {
        &self.text[self.dot + 1..]
    }

    /// The whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for ResourceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let length = text.chars().count();
        if length > MAX_ID_CHARACTERS {
            return Err(IdError::TooLong { length });
        }
        let dot = text.find('.').ok_or_else(|| IdError::NoDot { id: text.to_owned() })?;
        let (issuer, suffix) = (&text[..dot], &text[dot + 1..]);
        if issuer.is_empty() || !issuer.bytes().all(|b| b.is_ascii_digit()) {
            return Err(IdError::Issuer { id: text.to_owned() });
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if suffix.is_empty() || !suffix.bytes().all(allowed) {
            return Err(IdError::Suffix { id: text.to_owned() });
        }
        Ok(Self { text: text.to_owned(), dot })
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResourceId({})", self.text)
    }
}

/// Why a text is no id of a class or an object.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    /// No dot separates issuer and suffix.
    #[error("`{id}` has no dot: write the issuer's number, a dot and a name, as in 3388000000012345678.gold")]
    NoDot {
        /// What was given.
        id: String,
    },
    /// The part before the dot is no number.
    #[error("`{id}` does not begin with an issuer's number: take it from the Google Wallet console, digits only")]
    Issuer {
        /// What was given.
        id: String,
    },
    /// The part after the dot is empty or holds other characters than Google allows.
    #[error("`{id}` has a suffix that Google refuses: use letters, digits, `.`, `_` and `-`")]
    Suffix {
        /// What was given.
        id: String,
    },
    /// Longer than [`MAX_ID_CHARACTERS`].
    #[error("the id has {length} characters, at most {MAX_ID_CHARACTERS} are allowed: shorten the suffix")]
    TooLong {
        /// Its length in characters.
        length: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_an_issuer_number_and_a_suffix() {
        let id: ResourceId = "3388.gold_card-1.v2".parse().unwrap();
        assert_eq!((id.issuer(), id.suffix()), ("3388", "gold_card-1.v2"));
        assert_eq!(id.to_string(), "3388.gold_card-1.v2");
    }

    #[test]
    fn what_google_refuses_is_refused_here() {
        for bad in ["", "gold", ".gold", "33a.gold", "33.", "33.a/b", "33.a b", "33.é", "33.a?x=1"] {
            assert!(bad.parse::<ResourceId>().is_err(), "{bad}");
        }
        assert!(matches!(ResourceId::new("1", &"x".repeat(300)), Err(IdError::TooLong { length: 302 })));
    }
}
