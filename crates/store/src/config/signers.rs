//! What signs: Apple's certificates, Google's accounts, keys of scan codes.

use domain::{OrgId, SignerId, Timestamp};
use serde::{Deserialize, Serialize};

/// An Apple signer: certificates in the clear, the private key sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSigner {
    /// Its id.
    pub id: SignerId,
    /// The pass type identifier that it signs for.
    pub pass_type: String,
    /// The team that it belongs to.
    pub team: String,
    /// Leaf and intermediate, PEM.
    pub certificates: String,
    /// End of the leaf's validity.
    pub not_after: Timestamp,
    /// PKCS#8 private key, PEM, sealed by [`crate::Store::seal_for`].
    pub sealed_key: String,
    /// The certificate before this one, while it is valid: there to go back to, and to push with where this one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousSigner>,
    /// What was told last of the end of its validity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<ToldEnding>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// What was told of the end of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldEnding {
    /// The end that was told of.
    pub not_after: Timestamp,
    /// How near it was then.
    pub ending: Ending,
}

/// A certificate that another one of the same pass type and team took the place of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousSigner {
    /// Leaf and intermediate, PEM.
    pub certificates: String,
    /// End of the leaf's validity.
    pub not_after: Timestamp,
    /// PKCS#8 private key, PEM, sealed as [`StoredSigner::sealed_key`] is.
    pub sealed_key: String,
    /// When the other one took its place.
    pub replaced_at: Timestamp,
}

/// How near the end of a certificate is, the farthest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// In at most 90 days.
    Within90Days,
    /// In at most 30 days.
    Within30Days,
    /// In at most 7 days.
    Within7Days,
    /// It has come.
    Past,
}

impl Ending {
    /// How near an end is, when it is near.
    pub fn of(end: Timestamp, now: Timestamp) -> Option<Self> {
        match end.as_seconds().saturating_sub(now.as_seconds()) {
            ..=0 => Some(Self::Past),
            left if left <= 7 * SECONDS_A_DAY => Some(Self::Within7Days),
            left if left <= 30 * SECONDS_A_DAY => Some(Self::Within30Days),
            left if left <= 90 * SECONDS_A_DAY => Some(Self::Within90Days),
            _ => None,
        }
    }
    /// Within how many days it comes; 0 when it has come.
    pub const fn days(self) -> u32 {
        match self {
            Self::Within90Days => 90,
            Self::Within30Days => 30,
            Self::Within7Days => 7,
            Self::Past => 0,
        }
    }
    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Within90Days => "within_90_days",
            Self::Within30Days => "within_30_days",
            Self::Within7Days => "within_7_days",
            Self::Past => "past",
        }
    }
}

const SECONDS_A_DAY: i64 = 86_400;

/// A key that was made and the request for its certificate, until Apple's answer to it comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSigningRequest {
    /// Its id; of a new pass type's signer it becomes the id.
    pub id: SignerId,
    /// The e-mail address in it.
    pub email: String,
    /// The common name in it.
    pub name: String,
    /// The signer that the answer renews, where it is to renew one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<SignerId>,
    /// The request, PEM.
    pub request: String,
    /// PKCS#8 private key, PEM, sealed by [`crate::Store::seal_for`].
    pub sealed_key: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A Google service account and the issuer it acts for, the key file sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredGoogleAccount {
    /// Its id.
    pub id: SignerId,
    /// The issuer id.
    pub issuer: String,
    /// The account's e-mail address.
    pub client_email: String,
    /// The key file (JSON), sealed by [`crate::Store::seal_for`].
    pub sealed_key: String,
    /// Whether it is a development key that Google does not know.
    #[serde(default)]
    pub development: bool,
    /// When it was added.
    pub created_at: Timestamp,
}

/// Which keys sign an organization's scan codes. The keys themselves are derived from the organization's own; an organization
/// that never renewed them has number 0 alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanKeys {
    /// The organization.
    pub id: OrgId,
    /// The number of the key that signs now.
    pub current: u8,
    /// The lowest number that is still taken.
    pub oldest: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_near_from_90_days_before_it_on() {
        let (now, day) = (Timestamp::from_seconds(1_800_000_000), 86_400);
        let of = |seconds: i64| Ending::of(Timestamp::from_seconds(now.as_seconds() + seconds), now).map(Ending::name);
        for (left, expected) in [
            (90 * day + 1, None),
            (90 * day, Some("within_90_days")),
            (30 * day + 1, Some("within_90_days")),
            (30 * day, Some("within_30_days")),
            (7 * day, Some("within_7_days")),
            (1, Some("within_7_days")),
            (0, Some("past")),
            (-day, Some("past")),
        ] {
            assert_eq!(of(left), expected, "{left}");
        }
    }
}
