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
}

impl Wallet {
    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Apple => "apple",
            Self::Google => "google",
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
    /// Apple: the device library identifier, at most 128 bytes. Google: empty.
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
    /// The device of what another platform knew of a pass. Google has one for each pass; a phone of Apple's that it knew is unknown
    /// by name until it registers here, and stands in by a name that tells nobody more than the pass's own id.
    pub fn former_device(wallet: Wallet, pass: PassId) -> String {
        match wallet {
            Wallet::Apple => format!("former-{pass}"),
            Wallet::Google => String::new(),
        }
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
            Self::Unregistered | Self::Drift => Confidence::Likely,
            Self::TokenDead => Confidence::Weak,
        }
    }
}
