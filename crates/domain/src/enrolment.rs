//! Enrolment: who may take a pass by a project's form and links, when, and what a link knows beforehand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Amount, ContactInput, FieldValue, Timestamp, Validity, VariantId};

/// Who may take a pass by a project's form and links, and when.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentRules {
    /// Whether only links issue passes, and the form itself does not.
    #[serde(default)]
    pub links_only: bool,
    /// Nothing is issued before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<Timestamp>,
    /// Nothing is issued from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<Timestamp>,
    /// Domains of the e-mail addresses that the form takes, in lower case; none means any. Links are not asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub email_domains: Vec<String>,
    /// What holders must enter beside, as the hash that it is kept as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Part of the key of every link: with another number the links given out so far are void.
    #[serde(default)]
    pub link_epoch: u32,
}

/// Whether passes are issued at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doors {
    /// They are.
    Open,
    /// Not before then.
    NotYet(Timestamp),
    /// Not any more.
    Closed,
}

impl EnrolmentRules {
    /// Whether they say nothing.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Whether passes are issued now.
    pub fn doors(&self, now: Timestamp) -> Doors {
        match (self.opens_at, self.closes_at) {
            (Some(opens), _) if now < opens => Doors::NotYet(opens),
            (_, Some(closes)) if now >= closes => Doors::Closed,
            _ => Doors::Open,
        }
    }

    /// Whether the form takes an e-mail address. A domain does not stand for those below it.
    pub fn admit(&self, email: &str) -> bool {
        let domain = email.rsplit_once('@').map_or("", |(_, domain)| domain).to_ascii_lowercase();
        self.email_domains.is_empty() || self.email_domains.contains(&domain)
    }
}

/// What an enrolment link knows of the pass that it issues.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prefill {
    /// The holder.
    #[serde(default)]
    pub contact: ContactInput,
    /// The pass's own id in the customer's systems: another link with it leads to the same pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The variant; none means the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<VariantId>,
    /// Fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, FieldValue>,
    /// Balances to start with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub balances: BTreeMap<String, Amount>,
    /// When it is valid.
    #[serde(default)]
    pub validity: Validity,
    /// Campaign parameters without their `utm_` prefix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub utm: BTreeMap<String, String>,
    /// For a link that many may open: how many passes it issues at most, one for each visitor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_open_and_close() {
        let at = |seconds| Timestamp::from_seconds(seconds);
        let rules = EnrolmentRules { opens_at: Some(at(10)), closes_at: Some(at(20)), ..EnrolmentRules::default() };
        let doors: Vec<_> = [9, 10, 19, 20].map(|now| rules.doors(at(now))).into();
        assert_eq!(doors, [Doors::NotYet(at(10)), Doors::Open, Doors::Open, Doors::Closed]);
        assert_eq!(EnrolmentRules::default().doors(at(0)), Doors::Open);
    }

    #[test]
    fn a_domain_is_that_domain_alone() {
        let rules = EnrolmentRules { email_domains: vec!["example.com".to_owned()], ..EnrolmentRules::default() };
        assert!(rules.admit("ada@Example.com"));
        assert!(!rules.admit("ada@mail.example.com") && !rules.admit("ada@example.com.evil.example") && !rules.admit("ada"));
        assert!(EnrolmentRules::default().admit("anybody@anywhere.example"));
    }
}
