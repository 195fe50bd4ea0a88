//! A design in another language.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ImageRole, ImageSet};
use crate::Text;

/// Texts and images of a design in one language.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Translation {
    /// What each text of the design, or each value that a pass may show, is in this language. Texts with placeholders
    /// are named as they stand in the design and may use the same placeholders.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub texts: BTreeMap<String, Text>,
    /// Images that are others in this language; Apple only.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<ImageRole, ImageSet>,
}

/// Whether a text is a language tag that both wallets take: a language of two or three letters, then perhaps a script and
/// a region (BCP 47), such as `de`, `zh-Hans` or `pt-BR`.
#[must_use]
pub fn is_language(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let letters = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphabetic());
    let language = parts.next().is_some_and(|part| (2..=3).contains(&part.len()) && letters(part));
    let rest: Vec<&str> = parts.collect();
    language
        && rest.len() <= 2
        && rest.iter().all(|part| match part.len() {
            2 | 4 => letters(part),
            3 => part.bytes().all(|byte| byte.is_ascii_digit()),
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::is_language;

    #[test]
    fn tags_of_languages() {
        for tag in ["de", "zh-Hans", "pt-BR", "zh-Hant-HK", "es-419", "fil"] {
            assert!(is_language(tag), "{tag}");
        }
        for tag in ["", "d", "german", "de_DE", "de-", "../x", "de-DE-1996-x", "de/x"] {
            assert!(!is_language(tag), "{tag}");
        }
    }
}
