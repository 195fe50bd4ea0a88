//! Presenting passes at readers: what a project allows, what a reader tells, and why it is refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Amount, EventId, ProjectId, Timestamp};

/// What a scan of a project's or variant's passes does, beside counting a use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScanRules {
    /// Most accepted scans of one pass in a day of the project's time zone; none means no such limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u32>,
    /// What every accepted scan books by itself: a stamp, points, a ride less.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub books: Vec<Booking>,
    /// Balances that a scanner may book amounts of its own choice on, and in which direction.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scanner_may: BTreeMap<String, ScannerMay>,
    /// An accepted scan keeps the pass valid for at least this many days from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extends_days: Option<u16>,
    /// Whether only a signed barcode is accepted; a bare id, which anybody may have read or guessed, is refused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub signed_only: bool,
}

impl ScanRules {
    /// Whether a scan counts a use and does nothing else.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// What a scan books on a balance by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Booking {
    /// The balance.
    pub balance: String,
    /// How much; below zero takes away, and a pass that has less is refused.
    pub amount: Amount,
    /// The amount at which the card is full: it is taken away, and `reward` gets one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_at: Option<Amount>,
    /// The balance that counts full cards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<String>,
}

/// In which direction a scanner may book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScannerMay {
    /// Take away.
    Debit,
    /// Add.
    Credit,
    /// Both.
    Both,
}

impl ScannerMay {
    /// Whether an amount may be booked.
    pub fn allows(self, amount: Amount) -> bool {
        match self {
            Self::Debit => amount <= Amount::ZERO,
            Self::Credit => amount >= Amount::ZERO,
            Self::Both => true,
        }
    }
}

/// Why a scan is refused. Refusals are facts and end up as events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedScan {
    /// No use is left.
    AlreadyUsed,
    /// No use is left today.
    UsedToday,
    /// Its validity has ended.
    Expired,
    /// Its validity has not begun.
    NotYetValid,
    /// Not switched on yet.
    Inactive,
    /// Called back.
    Revoked,
    /// Removed.
    Deleted,
    /// A balance has less than the scan takes.
    Insufficient,
    /// The pass is one of another project than the reader takes.
    WrongProject,
    /// The project takes signed barcodes only, and this was none.
    Unsigned,
    /// A newer barcode was made for the pass.
    Superseded,
    /// A rotating barcode that was shown too long ago: a copy.
    Stale,
    /// The barcode's signature is not ours.
    Forged,
    /// The reader had no network and turned the holder away by itself.
    ByReader,
    /// Nothing is known of what was read.
    Unknown,
}

/// By whom and how a pass is scanned.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScanInput {
    /// Who scanned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// With which device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Set when the scanner had no network and tells of it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<OfflineScan>,
}

/// What a scanner without a network decided by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfflineScan {
    /// When, by the scanner's clock.
    pub at: Timestamp,
    /// Whether it let the holder in. A refusal of ours is a conflict then; what it refused uses and books nothing.
    pub accepted: bool,
}

/// What is asked of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanOrder {
    /// By whom and how.
    pub input: ScanInput,
    /// What the scanner books beside what the project's rules book: above zero adds, below takes away.
    pub book: BTreeMap<String, Amount>,
    /// Only passes of this project are taken.
    pub project: Option<ProjectId>,
    /// What the barcode proves.
    pub proof: Proof,
    /// The first 16 hexadecimal digits of the SHA-256 of what was read, for the record of an unknown one.
    pub read: Option<String>,
    /// Whether a platform whose account is mirrored tells of what it counted, however long ago.
    pub is_mirrored: bool,
}

/// What a barcode proves by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Proof {
    /// Nothing: it is a bare id.
    #[default]
    None,
    /// It is signed by us.
    Signed {
        /// The generation of the pass's barcode that it is.
        epoch: u16,
        /// Whether its rotating part is of another time than now.
        stale: bool,
    },
    /// It claims to be signed by us and is not.
    Forged,
}

/// What an accepted scan did, as its event tells, for taking it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanRecord {
    /// Its id: that of its event.
    pub id: EventId,
    /// When it was written down.
    pub recorded_at: Timestamp,
    /// By how much balances changed.
    pub booked: BTreeMap<String, Amount>,
    /// The day that it counts for.
    pub day: Option<u32>,
    /// How it moved the end of the pass's validity.
    pub extended: Option<Extension>,
}

/// How a scan moved the end of a pass's validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// From here.
    pub from: Timestamp,
    /// To there.
    pub to: Timestamp,
}
