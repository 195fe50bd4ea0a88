//! One pass on one device or account of one wallet.

use serde::{Deserialize, Serialize};

use crate::{PassId, Timestamp};

/// A wallet that holds passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wallet {
    /// Apple Wallet; the device is a device library identifier.
    Apple,
    /// Google Wallet; call-backs name no device, so there is one logical installation per object.
    Google,
    /// One or the other: another platform told that a wallet holds the pass, and not which.
    Unknown,
}

impl Wallet {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Apple, Self::Google, Self::Unknown];

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Apple => "apple",
            Self::Google => "google",
            Self::Unknown => "unknown",
        }
    }
}

/// One pass on one device or account of one wallet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    /// The pass.
    pub pass: PassId,
    /// The wallet.
    pub wallet: Wallet,
    /// Apple: the device library identifier, at most 128 bytes. Google: empty. What another platform tells of: the name that it
    /// gives, else [`Installation::stand_in`].
    pub device: String,
    /// Apple: where a push wakes the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_token: Option<String>,
    /// Whether it is there now.
    pub state: InstallationState,
    /// When it first got there.
    pub first_installed_at: Timestamp,
}

impl Installation {
    /// Whether it is there now.
    pub const fn is_active(&self) -> bool {
        matches!(self.state, InstallationState::Active { .. })
    }

    /// Since when it is there, or gone.
    pub const fn since(&self) -> Timestamp {
        match self.state {
            InstallationState::Active { since } | InstallationState::Gone { since, .. } => since,
        }
    }

    /// The device of what another platform knew of a pass before it came here. Google has one for each pass; a phone of Apple's
    /// stands in.
    pub fn former_device(wallet: Wallet, pass: PassId) -> String {
        match wallet {
            Wallet::Apple | Wallet::Unknown => Self::stand_in(pass),
            Wallet::Google => String::new(),
        }
    }

    /// The device of an installation that another platform tells of without a name for it, until the wallet itself tells us of
    /// one: a name that tells nobody more than the pass's own id.
    pub fn stand_in(pass: PassId) -> String {
        format!("former-{pass}")
    }
}

/// Whether an installation is there now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum InstallationState {
    /// There, since then.
    Active {
        /// Start of the current continuous period.
        since: Timestamp,
    },
    /// No longer there, or no longer telling.
    Gone {
        /// Since when.
        since: Timestamp,
        /// How we know.
        reason: UninstallReason,
    },
}

/// How we learnt that a pass is no longer on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UninstallReason {
    /// Apple: the device unregistered: the pass was removed, or automatic updates were switched off.
    Unregistered,
    /// Apple: the push service says that the token is dead (410), which is no proof of removal.
    TokenDead,
    /// Google: the user removed the pass.
    Removed,
    /// Google: its list of objects says that nobody has the pass, and no call-back had told.
    Drift,
    /// Another platform says so, and not how it knows.
    Told,
}

/// How sure we are that the pass is gone from the wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The wallet says so.
    Certain,
    /// Most likely, another explanation exists.
    Likely,
    /// A hint only.
    Weak,
}

impl UninstallReason {
    /// How sure this reason makes us.
    pub const fn confidence(self) -> Confidence {
        match self {
            Self::Removed => Confidence::Certain,
            Self::Unregistered | Self::Drift | Self::Told => Confidence::Likely,
            Self::TokenDead => Confidence::Weak,
        }
    }
}

/// What another platform, whose account is mirrored here, tells of a pass in a wallet.
///
/// It is told as of the other platform's time, in any order and any number of times. Of one installation the newest report counts:
/// an install that is older than a removal that is known changes nothing, nor does a removal older than an install. Nothing is
/// ever pushed because of it, for the wallet asks the other platform for its news, not us.
///
/// A report without a device is about the one installation that stands in for all that the platform knows of in that wallet
/// ([`Installation::stand_in`]); where a wallet has told us of an installation of its own, it is taken to be the same one and
/// counts once. The other way round, the first device that registers here, or holder who saves our object, takes the stand-in's
/// place. A report with a device is about an installation of its own: a phone that registers here under the same name, which
/// Apple's phones do for the same pass type, is the same one, under another name it counts beside it until the platform tells that
/// it is gone. What a wallet tells us itself is never overruled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which wallet. A report of an unknown one is about whatever is known of the pass in any; where nothing is, it is an
    /// installation in a wallet that is not known until one is told of.
    pub wallet: Wallet,
    /// Which device, as the platform calls it; none where it names none.
    pub device: Option<String>,
    /// When, by the platform's clock. A time that has not come yet counts as now.
    pub at: Timestamp,
    /// That the wallet holds the pass no more, and how the platform knows; none: that it holds it.
    pub gone: Option<UninstallReason>,
}
