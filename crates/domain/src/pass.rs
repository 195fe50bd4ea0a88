//! Passes and their lifecycle.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{
    Amount, ContactId, Entropy, Extension, FieldValue, OrgId, PassId, ProjectId, RefusedScan, TemplateId, Timestamp,
    UninstallReason, VariantId, Wallet, base62,
};

/// One issued card. Personal, and sealed at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// Its id.
    pub id: PassId,
    /// Its project.
    pub project: ProjectId,
    /// Its tier, offer, ticket type or fare.
    pub variant: VariantId,
    /// The design that it is drawn with.
    pub template: TemplateId,
    /// Who holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<ContactId>,
    /// The id that the customer's own systems know the pass by, unique in the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Apple's serial number: the id, or a foreign one kept at import.
    pub serial: String,
    /// The secret part of its page's address.
    pub code: LinkCode,
    /// The log shard that its events go to; chosen when it is issued, never changed.
    pub shard: u16,
    /// Bumped by every change.
    pub version: u64,
    /// Bumped by every change that a wallet shows; starts at 1.
    pub content_version: u64,
    /// `Last-Modified` of its content in unix seconds: strictly rises with every content version.
    pub last_modified: i64,
    /// Generation of its Apple token.
    pub token_epoch: u32,
    /// Generation of its signed barcode; one of an earlier generation is refused.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub barcode_epoch: u16,
    /// Where it stands.
    pub lifecycle: Lifecycle,
    /// When it may be used.
    #[serde(default)]
    pub validity: Validity,
    /// How often it was and may be used.
    #[serde(default)]
    pub uses: Uses,
    /// Its own fields.
    #[serde(default)]
    pub fields: BTreeMap<String, FieldValue>,
    /// Of a boarding pass: as of when each of its fields is, or was removed, by the time of the source event that a flow followed,
    /// else that of the change. The passes of a flight are told one by one; by this the newest is known. Missing of earlier versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields_as_of: BTreeMap<String, Timestamp>,
    /// Points, stamps and money by name.
    #[serde(default)]
    pub balances: BTreeMap<String, Amount>,
    /// The last message to the holder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// Messages that are to be sent later, the next first; at most [`Pass::MAX_PLANNED`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub planned: Vec<Message>,
    /// Extensions by scans that were taken back while a later one kept the end where it is; at most [`Pass::MAX_UNDONE`], the
    /// newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undone: Vec<Extension>,
    /// Accepted scans of the days before that of `uses.day`, where a limit per day has to hold for scans that are told late,
    /// too; the oldest first, at most [`Pass::MAX_EARLIER_DAYS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_days: Vec<DayUses>,
    /// How it came about.
    #[serde(default)]
    pub origin: Origin,
    /// The last time that its page was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered: Option<Sighting>,
    /// The last installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<Sighting>,
    /// In Apple Wallet.
    #[serde(default)]
    pub apple: Holding,
    /// In Google Wallet.
    #[serde(default)]
    pub google: Holding,
    /// In a wallet that is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unknown: Holding,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// How new the newest is of what changed it: the time of the source event that a flow followed, else that of the change.
    /// What happened before is late. Installations and visits do not count. Missing on passes of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
}

/// Where a pass stands. Each state owns the facts that exist only in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Lifecycle {
    /// Issued, not yet switched on.
    Inactive,
    /// May be used.
    Active,
    /// Its last use is spent.
    Used {
        /// Since when.
        at: Timestamp,
    },
    /// Its validity has ended.
    Expired {
        /// Since when.
        at: Timestamp,
    },
    /// Called back by its issuer.
    Revoked {
        /// Since when.
        at: Timestamp,
        /// Why, in the issuer's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Removed: a tombstone that keeps answering phones with a voided, blank pass.
    Deleted {
        /// Since when.
        at: Timestamp,
    },
}

impl Lifecycle {
    /// Its name, in lower case.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Active => "active",
            Self::Used { .. } => "used",
            Self::Expired { .. } => "expired",
            Self::Revoked { .. } => "revoked",
            Self::Deleted { .. } => "deleted",
        }
    }
    /// Whether wallets show the pass as void.
    pub const fn is_void(&self) -> bool {
        !matches!(self, Self::Inactive | Self::Active)
    }
    /// Whether the pass is a tombstone.
    pub const fn is_deleted(&self) -> bool {
        matches!(self, Self::Deleted { .. })
    }
}

/// When a pass may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Validity {
    /// Not before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// Not from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// How often a pass was and may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Uses {
    /// Accepted scans so far.
    pub count: u32,
    /// Most scans that are accepted; 1 is single use, none is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The last day that it was used on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<DayUses>,
}

/// Accepted scans of one day in the project's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayUses {
    /// The day as a number: 20261121 is 21 November 2026.
    pub day: u32,
    /// How many.
    pub count: u32,
}

/// A message to the holder, shown on the back of the pass and on the lock screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// What it says.
    pub text: String,
    /// When it was sent, or is to be.
    pub at: Timestamp,
    /// Until when it is worth showing, where the wallet can take it away: Google Wallet can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Why a message that was planned is not going to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageEnd {
    /// Somebody thought better of it.
    Cancelled,
    /// It was not worth showing any more when its turn came.
    Missed,
    /// The pass's last use is spent.
    Used,
    /// The pass's validity has ended.
    Expired,
    /// The pass was called back.
    Revoked,
    /// The pass was removed.
    Deleted,
}

impl MessageEnd {
    /// What ends the messages of a pass that stands so; nothing while it is not void.
    pub const fn of(lifecycle: &Lifecycle) -> Option<Self> {
        match lifecycle {
            Lifecycle::Inactive | Lifecycle::Active => None,
            Lifecycle::Used { .. } => Some(Self::Used),
            Lifecycle::Expired { .. } => Some(Self::Expired),
            Lifecycle::Revoked { .. } => Some(Self::Revoked),
            Lifecycle::Deleted { .. } => Some(Self::Deleted),
        }
    }
}

/// How a pass came about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Origin {
    /// Campaign parameters without their `utm_` prefix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub utm: BTreeMap<String, String>,
    /// The page that led there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referrer: Option<String>,
    /// Address of the client that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Whose pass it mirrors: the organizations that its making was told through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<OrgId>,
}

/// Who looked at or installed a pass, as far as the request tells.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sighting {
    /// When.
    pub at: Timestamp,
    /// Address of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The `User-Agent` header, at most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Bits of PassKit's `DeviceAttributes`, or-ed.
    #[serde(default)]
    pub attributes: u32,
    /// Where the address is registered, when a place database is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A place that an address is registered at. Coordinates in microdegrees, WGS 84.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// City, in English.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// First subdivision, in English.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Latitude × 10^6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latitude_micros: Option<i64>,
    /// Longitude × 10^6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longitude_micros: Option<i64>,
}

/// A pass in one wallet: counts over its installations and the times that PassKit's metadata shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Holding {
    /// Installations that are there now.
    pub active: u32,
    /// Installations that there ever were, each time that it came counted; those from before this was counted are missing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ever: u32,
    /// When a package or object for this wallet was first made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// First installation ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_installed_at: Option<Timestamp>,
    /// Latest installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_installed_at: Option<Timestamp>,
    /// First removal ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_uninstalled_at: Option<Timestamp>,
    /// Latest removal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_uninstalled_at: Option<Timestamp>,
    /// Why the latest removal is thought to be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_uninstall_reason: Option<UninstallReason>,
    /// Until when the last removal does not count yet: the wallet may take the pass again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_until: Option<Timestamp>,
}

impl Holding {
    /// Installations that there ever were, as far as they are known.
    pub const fn registrations(&self) -> u32 {
        let seen = if self.active == 0 && self.first_installed_at.is_some() { 1 } else { self.active };
        if self.ever > seen { self.ever } else { seen }
    }
    /// Whether the pass counts as being in the wallet.
    pub const fn is_present(&self) -> bool {
        self.active > 0 || self.held_until.is_some()
    }
}

/// The best determined status of a pass, PassKit's `Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Issued, in no wallet yet.
    Issued,
    /// In at least one wallet.
    Installed,
    /// In no wallet any more.
    Uninstalled,
    /// Used, expired, revoked or deleted.
    Invalidated,
}

/// Bits of PassKit's `LifecycleEvents` that a pass has collected, or-ed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LifecycleBits(pub u32);

impl LifecycleBits {
    /// The single bits, ascending.
    pub fn each(self) -> impl Iterator<Item = u32> {
        (0..32).map(|shift| 1 << shift).filter(move |bit| self.0 & bit != 0)
    }
}

impl Pass {
    /// How new what last changed it was, by the clock of whoever told it.
    pub fn changed_as_of(&self) -> Timestamp {
        self.as_of.unwrap_or(self.updated_at)
    }

    /// Its part in a wallet.
    pub fn holding(&self, wallet: Wallet) -> &Holding {
        match wallet {
            Wallet::Apple => &self.apple,
            Wallet::Google => &self.google,
            Wallet::Unknown => &self.unknown,
        }
    }

    /// Its part in a wallet, to change.
    pub fn holding_mut(&mut self, wallet: Wallet) -> &mut Holding {
        match wallet {
            Wallet::Apple => &mut self.apple,
            Wallet::Google => &mut self.google,
            Wallet::Unknown => &mut self.unknown,
        }
    }

    /// Installations that are there now, over all wallets.
    pub fn installations(&self) -> u32 {
        Wallet::ALL.iter().map(|wallet| self.holding(*wallet).active).sum()
    }

    /// Counts an accepted scan for a day. With `oldest`, the oldest day of which a scan may still be told, the days before the
    /// newest are remembered from it on.
    pub fn count_use(&mut self, day: u32, oldest: Option<u32>) {
        self.uses.count = self.uses.count.saturating_add(1);
        match &mut self.uses.day {
            Some(newest) if newest.day == day => newest.count = newest.count.saturating_add(1),
            Some(newest) if newest.day > day => {
                let place = self.earlier_days.partition_point(|earlier| earlier.day < day);
                match self.earlier_days.get_mut(place).filter(|earlier| earlier.day == day) {
                    Some(earlier) => earlier.count = earlier.count.saturating_add(1),
                    None => self.earlier_days.insert(place, DayUses { day, count: 1 }),
                }
            }
            newest => self.earlier_days.extend(newest.replace(DayUses { day, count: 1 })),
        }
        self.earlier_days.retain(|earlier| oldest.is_some_and(|oldest| earlier.day >= oldest));
        self.earlier_days.drain(..self.earlier_days.len().saturating_sub(Self::MAX_EARLIER_DAYS));
    }

    /// How many scans were accepted on a day, as far as that is remembered.
    #[must_use]
    pub fn uses_of(&self, day: u32) -> u32 {
        let mut days = self.uses.day.iter().chain(&self.earlier_days);
        days.find(|uses| uses.day == day).map_or(0, |uses| uses.count)
    }

    /// Takes back an accepted scan of a day.
    pub fn take_back_use(&mut self, day: Option<u32>) {
        self.uses.count = self.uses.count.saturating_sub(1);
        let mut days = self.uses.day.iter_mut().chain(&mut self.earlier_days);
        if let Some(uses) = days.find(|uses| Some(uses.day) == day) {
            uses.count = uses.count.saturating_sub(1);
        }
    }

    /// Takes back how a scan moved the end of its validity. Where a later scan moved it on, it stays until that is taken back
    /// too, and goes then to where it would be without either. An end that was set otherwise since stays.
    pub fn take_back(&mut self, extension: Extension) {
        if self.validity.expires_at != Some(extension.to) {
            self.undone.push(extension);
            self.undone.drain(..self.undone.len().saturating_sub(Self::MAX_UNDONE));
            return;
        }
        let mut end = extension.from;
        while let Some(place) = self.undone.iter().position(|undone| undone.to == end) {
            end = self.undone.remove(place).from;
        }
        self.validity.expires_at = Some(end);
    }

    /// The best determined status.
    pub fn status(&self) -> Status {
        if self.lifecycle.is_void() {
            Status::Invalidated
        } else if self.installations() > 0 {
            Status::Installed
        } else if Wallet::ALL.iter().any(|wallet| self.holding(*wallet).last_uninstalled_at.is_some()) {
            Status::Uninstalled
        } else {
            Status::Issued
        }
    }

    /// PassKit's lifecycle bits.
    pub fn lifecycle_bits(&self) -> LifecycleBits {
        let bits = [
            (self.rendered.is_some(), 0x1),
            (self.apple.first_installed_at.is_some(), 0x2),
            (self.google.first_installed_at.is_some(), 0x4),
            (self.apple.first_uninstalled_at.is_some(), 0x400),
            (self.google.first_uninstalled_at.is_some(), 0x800),
            (self.apple.created_at.is_some(), 0x2000),
            (self.google.created_at.is_some(), 0x4000),
            (self.lifecycle.is_void(), 0x4_0000),
            (self.lifecycle.is_void(), 0x8_0000),
        ];
        LifecycleBits(bits.iter().filter(|(set, _)| *set).fold(0, |all, (_, bit)| all | bit))
    }

    /// How long a pass that left a wallet counts on as being there. Phones that move passes about take them again within it.
    pub const HOLD: Duration = Duration::from_secs(300);

    /// Most messages that are planned for one pass.
    pub const MAX_PLANNED: usize = 8;

    /// Most days that accepted scans are remembered of, beside the newest.
    pub const MAX_EARLIER_DAYS: usize = 32;

    /// Most extensions that are remembered as taken back.
    pub const MAX_UNDONE: usize = 16;

    /// When the sweep must look at it: it expires, a removal comes to count, or a message is to be sent. Nothing happens by itself
    /// to a void pass.
    pub fn due_at(&self) -> Option<Timestamp> {
        let planned = self.planned.first().map(|message| message.at);
        let due = [self.validity.expires_at, self.apple.held_until, self.google.held_until, self.unknown.held_until, planned];
        if self.lifecycle.is_void() { None } else { due.into_iter().flatten().min() }
    }

    /// Whether its validity has ended and it was not told so yet.
    pub fn is_past(&self, now: Timestamp) -> bool {
        !self.lifecycle.is_void() && self.validity.expires_at.is_some_and(|end| end <= now)
    }

    /// Why a scan at `at` is refused by where the pass stands, or nothing when it is not. A scan that is told later than it
    /// was made is judged by the time it was made at: what ended the pass afterwards does not count against it.
    pub fn refuses_scan(&self, at: Timestamp) -> Option<RefusedScan> {
        let ended = self.validity.expires_at.is_some_and(|end| end <= at);
        match &self.lifecycle {
            Lifecycle::Used { .. } => return Some(RefusedScan::AlreadyUsed),
            Lifecycle::Expired { at: since } if ended || self.validity.expires_at.is_none() && *since <= at => {
                return Some(RefusedScan::Expired);
            }
            Lifecycle::Revoked { at: since, .. } if *since <= at => return Some(RefusedScan::Revoked),
            Lifecycle::Deleted { .. } => return Some(RefusedScan::Deleted),
            Lifecycle::Inactive => return Some(RefusedScan::Inactive),
            Lifecycle::Active | Lifecycle::Expired { .. } | Lifecycle::Revoked { .. } => {}
        }
        if ended {
            Some(RefusedScan::Expired)
        } else if self.validity.starts_at.is_some_and(|start| start > at) {
            Some(RefusedScan::NotYetValid)
        } else if self.uses.limit.is_some_and(|limit| self.uses.count >= limit) {
            Some(RefusedScan::AlreadyUsed)
        } else {
            None
        }
    }
}

pub(crate) fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

/// The secret part of a pass page's address: 128 random bits in base62, unrelated to the pass id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct LinkCode(String);

impl LinkCode {
    /// A new code.
    pub fn mint(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0u8; 16];
        entropy.fill(&mut bytes);
        Self::from_bits(u128::from_be_bytes(bytes))
    }
    /// The code of 128 bits that were drawn before.
    pub fn from_bits(bits: u128) -> Self {
        Self(base62::encode(bits).iter().map(|byte| char::from(*byte)).collect())
    }
    /// The text of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl FromStr for LinkCode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        base62::decode(text).map(|_| Self(text.to_owned())).ok_or("a link code has 22 base62 characters")
    }
}
impl fmt::Display for LinkCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for LinkCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
