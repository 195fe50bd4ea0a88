//! Commands: the wish to change a pass or a contact.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Amount, BatchId, Channel, CommandId, ContactId, ContactInput, EventId, Facts, FieldValue, FlowId, KeyId, Lifecycle, LinkCode,
    MessageNews, MessageOrder, MessageRef, OrgId, Origin, PassId, ProjectId, RefusedScan, Report, ScanInput, ScanOrder,
    ScanRecord, Sighting, SourceEventId, SourceId, TemplateId, Timestamp, UninstallReason, Validity, VariantId, Wallet,
};

/// A wish to change a pass or a contact, with everything that deciding it needs beside the present state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its id; event ids are derived from it, so that deciding it again gives the same ones.
    pub id: CommandId,
    /// Whose passes it may touch.
    pub org: OrgId,
    /// Who asks. Carried into the events, never interpreted.
    pub actor: Actor,
    /// What led to it. Carried into the events, never interpreted.
    pub cause: Cause,
    /// With a key it happens once, and asking again gives the stored answer.
    pub key: Option<IdempotencyKey>,
    /// What led to it happened at a time that somebody else's clock told; none where it happens now.
    pub told: Option<Told>,
    /// What is wished.
    pub action: Action,
}

/// When what led to a command happened, by the clock of whoever told it, and what becomes of it when it comes late: when the
/// pass has been changed since by something newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// When it happened.
    pub at: Timestamp,
    /// What becomes of it when it comes late.
    pub late: Late,
}

/// What becomes of a command whose occasion is older than the last change of its pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Late {
    /// It is carried out like any other.
    #[default]
    Apply,
    /// The pass stays as it is.
    Skip,
}

/// That a command came late, and what was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lateness {
    /// When what led to it happened.
    pub happened_at: Timestamp,
    /// How new what last changed the pass was: [`crate::Pass::changed_as_of`].
    pub changed_as_of: Timestamp,
    /// What was decided.
    pub decision: Late,
}

/// Under which name a command happens at most once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// Who chose the key; equal keys of different principals are different keys.
    pub principal: String,
    /// The key.
    pub key: String,
    /// SHA-256 of what was asked; the same key with another fingerprint is a conflict.
    pub fingerprint: [u8; 32],
    /// Whether the pass and contact as they were are kept with the answer, so that it can be given again to the letter.
    pub keep_image: bool,
}

/// Who asks for a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Actor {
    /// A client of the API.
    Key {
        /// The key it used.
        id: KeyId,
    },
    /// An event source, through a flow.
    Source {
        /// The source.
        id: SourceId,
    },
    /// The holder, on a page or by their wallet.
    Holder,
    /// Passbridge itself: sweeps and jobs.
    System,
}

/// What led to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Cause {
    /// A request to the API or a dialect of it.
    Request,
    /// A step of a flow for a source event.
    SourceEvent {
        /// The source event.
        id: SourceEventId,
        /// The flow.
        flow: FlowId,
        /// The step.
        step: String,
        /// Through which organizations the source event came, where those told.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        via: Vec<OrgId>,
    },
    /// A row of a batch.
    Batch {
        /// The batch.
        id: BatchId,
        /// Which row, from 1; 0 when it is that a row is gone.
        row: u64,
    },
    /// A page that was opened, or a form that was sent.
    Page,
    /// A wallet's protocol.
    Wallet,
    /// A due time.
    Schedule,
}

impl Cause {
    /// Through which organizations what led to it came.
    pub fn via(&self) -> &[OrgId] {
        match self {
            Self::SourceEvent { via, .. } => via,
            _ => &[],
        }
    }
}

/// What is wished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Issue a pass.
    Issue(Box<Issue>),
    /// Change a pass.
    Update {
        /// Which.
        pass: PassRef,
        /// How.
        change: Box<PassChange>,
        /// Only if the pass still has this version.
        expected_version: Option<u64>,
    },
    /// Switch a pass on: from inactive, or back from revoked or expired.
    Activate {
        /// Which.
        pass: PassRef,
    },
    /// Call a pass back.
    Revoke {
        /// Which.
        pass: PassRef,
        /// Why, in the issuer's words.
        reason: Option<String>,
    },
    /// Present a pass at a reader.
    Scan {
        /// What the reader's text may mean, likeliest first; the first that there is counts, and none is an unknown pass.
        passes: Vec<PassRef>,
        /// What is asked.
        order: Box<ScanOrder>,
    },
    /// Take an accepted scan back.
    UndoScan {
        /// Of which pass.
        pass: PassRef,
        /// What the scan did.
        scan: Box<ScanRecord>,
        /// By whom.
        by: ScanInput,
        /// Why, in the operator's words.
        reason: Option<String>,
    },
    /// Make the signed barcodes that were given out worthless: the pass gets new ones.
    RenewBarcode {
        /// Which.
        pass: PassRef,
    },
    /// Tell the holder something.
    Notify {
        /// Which.
        pass: PassRef,
        /// What, at most 500 characters.
        text: String,
        /// When; at once unless it is yet to come.
        at: Option<Timestamp>,
        /// Until when it is worth showing.
        until: Option<Timestamp>,
    },
    /// Send none of the messages that are planned.
    CancelNotices {
        /// Of which pass.
        pass: PassRef,
    },
    /// Send the holder a message: the address of the pass's page, by e-mail or SMS.
    Send {
        /// Which pass.
        pass: PassRef,
        /// What and how.
        order: Box<MessageOrder>,
    },
    /// Note what became of a message.
    RecordMessage {
        /// Which pass it is about.
        pass: PassRef,
        /// Who held the pass when the message was asked for: the address is theirs.
        holder: Option<ContactId>,
        /// Which message.
        message: Box<MessageRef>,
        /// What became of it.
        news: MessageNews,
    },
    /// Remove a pass, leaving a tombstone.
    Delete {
        /// Which.
        pass: PassRef,
        /// Only if the pass still has this version.
        expected_version: Option<u64>,
    },
    /// A wallet holds the pass now.
    RecordInstall {
        /// Which.
        pass: PassRef,
        /// Which wallet.
        wallet: Wallet,
        /// Which device; empty for Google.
        device: String,
        /// Apple: where a push wakes the device.
        push_token: Option<String>,
        /// What the request tells.
        sighting: Sighting,
    },
    /// A wallet holds the pass no more.
    RecordUninstall {
        /// Which.
        pass: PassRef,
        /// Which wallet.
        wallet: Wallet,
        /// Which device; empty for Google.
        device: String,
        /// How we know.
        reason: UninstallReason,
    },
    /// What another platform knew before: a wallet held the pass from a time on, and perhaps until another.
    RecordFormer {
        /// Which.
        pass: PassRef,
        /// Which wallet.
        wallet: Wallet,
        /// Since when it was there.
        installed_at: Timestamp,
        /// Until when; none when it is there still.
        uninstalled_at: Option<Timestamp>,
    },
    /// Another platform, whose account is mirrored here, tells that a wallet holds the pass, or no more.
    RecordReport {
        /// Which.
        pass: PassRef,
        /// What it tells.
        report: Report,
    },
    /// The pass's page was shown, or a package or object was made for a wallet.
    RecordVisit {
        /// Which.
        pass: PassRef,
        /// What was seen.
        kind: VisitKind,
        /// What the request tells.
        sighting: Sighting,
    },
    /// Note that a new version of its template was published: the event *updated*, for whoever asked for it. Wallets are told by
    /// the publication itself, so nothing that they show counts as changed.
    RecordRedesign {
        /// Which.
        pass: PassRef,
        /// The template; a pass that has another one by now is left alone.
        template: TemplateId,
    },
    /// Expire the pass if its validity has ended.
    Expire {
        /// Which.
        pass: PassRef,
    },
    /// Make or change a contact.
    PutContact {
        /// The id it gets if it is new.
        new_id: ContactId,
        /// What is told.
        input: ContactInput,
    },
    /// Note that a person wants messages by a way, or none any more: that is theirs to say.
    SetWanted {
        /// Who.
        contact: ContactId,
        /// By which way.
        channel: Channel,
        /// Whether they want them.
        wanted: bool,
    },
    /// Destroy everything personal about a contact, and void and blank their passes.
    EraseContact {
        /// Who.
        contact: ContactRef,
        /// Only if the contact still has this version.
        expected_version: Option<u64>,
    },
    /// Note something about the running of things: see [`crate::EventKind::is_operational`].
    Note {
        /// What.
        facts: Box<Facts>,
    },
}

/// What was seen of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VisitKind {
    /// Its page.
    Page,
    /// An Apple package was made of it.
    ApplePackage,
    /// A Google object or save link was made of it.
    GoogleObject,
}

/// What a new pass is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// The id it gets.
    pub id: PassId,
    /// The secret part of its page's address.
    pub code: LinkCode,
    /// Its project.
    pub project: ProjectId,
    /// Its variant; none means the project's first.
    pub variant: Option<VariantId>,
    /// The id that the customer's own systems know it by; a second issue with it meets `if_exists`.
    pub external_id: Option<String>,
    /// Who holds it.
    pub contact: Option<ContactInput>,
    /// The id the contact gets if it is new.
    pub new_contact: ContactId,
    /// Its own fields.
    pub fields: BTreeMap<String, FieldValue>,
    /// Its balances, over the project's starting ones.
    pub balances: BTreeMap<String, Amount>,
    /// When it may be used.
    pub validity: Validity,
    /// Most uses; none means the project's limit.
    pub uses_limit: Option<u32>,
    /// Whether it waits to be activated.
    pub inactive: bool,
    /// How it came about.
    pub origin: Origin,
    /// What to do when there is one already.
    pub if_exists: IfExists,
    /// `Update`: one that was revoked with this reason is active again, because whoever revoked it has learnt better.
    pub undoes: Option<String>,
}

/// What an issue does when the project has a pass of that external id already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfExists {
    /// Refuse.
    #[default]
    Reject,
    /// Leave it as it is and answer with it.
    Keep,
    /// Change its fields, variant, validity and contact to what is given; balances are kept. One that is revoked, used up or
    /// expired stays so, and the answer says it ([`Answer::stays`]).
    Update,
    /// As `Update`, and one that was revoked is active again.
    Reactivate,
}

/// Whether a change of a pass undoes that it was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reactivation {
    /// It stays revoked.
    #[default]
    Never,
    /// It does, whatever it was revoked for.
    Always,
    /// It does where it was revoked with this reason and its validity has not ended.
    RevokedFor(String),
}

/// How to find a pass.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PassRef {
    /// By its id.
    Id(PassId),
    /// By the id that the customer's own systems know it by.
    External {
        /// In which project.
        project: ProjectId,
        /// The external id.
        external_id: String,
    },
    /// The newest pass of a person that is not deleted.
    OfContact {
        /// In which project.
        project: ProjectId,
        /// Whose.
        contact: ContactRef,
    },
}

/// How to find a contact.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ContactRef {
    /// By its id.
    Id(ContactId),
    /// By the id that the customer's own systems know the person by.
    External(String),
    /// By e-mail address.
    Email(String),
}

/// What changes about a pass; only what is given is changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PassChange {
    /// Move it to another variant.
    pub variant: Option<VariantId>,
    /// Give it an external id.
    pub external_id: Option<String>,
    /// Who holds it.
    pub contact: Option<ContactInput>,
    /// The id the contact gets if it is new; needed with `contact` when the pass has none.
    pub new_contact: Option<ContactId>,
    /// Fields to set; none removes.
    pub fields: BTreeMap<String, Option<FieldValue>>,
    /// Balances to change.
    pub balances: BTreeMap<String, BalanceChange>,
    /// Not before; `Some(None)` lifts it.
    pub starts_at: Option<Option<Timestamp>>,
    /// Not from then on; `Some(None)` lifts it.
    pub expires_at: Option<Option<Timestamp>>,
    /// Most uses; `Some(None)` lifts the limit.
    pub uses_limit: Option<Option<u32>>,
    /// A lock-screen message that goes with the change.
    pub message: Option<String>,
    /// Whether it is active again where it was revoked.
    pub reactivation: Reactivation,
}

/// What happens to a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BalanceChange {
    /// It becomes this.
    Set(Amount),
    /// This is added; it may be negative. The result must not be below zero.
    Add(Amount),
}

/// What became of a command. Refused scans are answers with an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Answer {
    /// State changed.
    Done {
        /// The pass.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pass: Option<PassId>,
        /// The contact.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contact: Option<ContactId>,
        /// The pass's (or else the contact's) version after it.
        version: u64,
        /// Whether the pass (or else the contact) is new.
        created: bool,
        /// That it was carried out although it came late.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        late: Option<Lateness>,
        /// That the pass which an issue met is void, and stays so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stays: Option<Void>,
    },
    /// It was so already.
    Unchanged {
        /// The pass.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pass: Option<PassId>,
        /// The contact.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contact: Option<ContactId>,
        /// The pass's (or else the contact's) version.
        version: u64,
        /// That it came late, and whether that is why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        late: Option<Lateness>,
        /// That the pass which an issue met is void, and stays so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stays: Option<Void>,
    },
    /// The pass was accepted at the reader.
    Scanned {
        /// The pass.
        pass: PassId,
        /// The scan's id: that of its event.
        scan: EventId,
        /// Uses that are left; none means no limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remaining: Option<u32>,
        /// By how much balances changed.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        booked: BTreeMap<String, Amount>,
        /// The pass's version after it.
        version: u64,
    },
    /// The pass was not accepted at the reader.
    ScanRefused {
        /// The pass; none when what was read leads to none.
        pass: Option<PassId>,
        /// The scan's id: that of its event.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scan: Option<EventId>,
        /// Why.
        reason: RefusedScan,
        /// The pass's version after it.
        version: u64,
    },
    /// It was noted.
    Noted {
        /// In this event.
        event: EventId,
    },
}

impl Answer {
    /// The pass that it is about.
    pub fn pass(&self) -> Option<PassId> {
        match self {
            Self::Done { pass, .. } | Self::Unchanged { pass, .. } => *pass,
            Self::Scanned { pass, .. } => Some(*pass),
            Self::ScanRefused { pass, .. } => *pass,
            Self::Noted { .. } => None,
        }
    }
    /// Whether it came late, and what was decided.
    pub fn late(&self) -> Option<Lateness> {
        match self {
            Self::Done { late, .. } | Self::Unchanged { late, .. } => *late,
            Self::Scanned { .. } | Self::ScanRefused { .. } | Self::Noted { .. } => None,
        }
    }
    /// That the pass which an issue met is void, and stays so.
    pub fn stays(&self) -> Option<Void> {
        match self {
            Self::Done { stays, .. } | Self::Unchanged { stays, .. } => *stays,
            Self::Scanned { .. } | Self::ScanRefused { .. } | Self::Noted { .. } => None,
        }
    }
    /// The contact that it is about.
    pub fn contact(&self) -> Option<ContactId> {
        match self {
            Self::Done { contact, .. } | Self::Unchanged { contact, .. } => *contact,
            Self::Scanned { .. } | Self::ScanRefused { .. } | Self::Noted { .. } => None,
        }
    }
}

/// What keeps a pass from being used for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Void {
    /// Its last use is spent.
    Used,
    /// Its validity has ended.
    Expired,
    /// Its issuer called it back.
    Revoked,
}

impl Void {
    /// Of a pass that stands there.
    pub const fn of(lifecycle: &Lifecycle) -> Option<Self> {
        match lifecycle {
            Lifecycle::Used { .. } => Some(Self::Used),
            Lifecycle::Expired { .. } => Some(Self::Expired),
            Lifecycle::Revoked { .. } => Some(Self::Revoked),
            Lifecycle::Inactive | Lifecycle::Active | Lifecycle::Deleted { .. } => None,
        }
    }
}

/// Why a command cannot be carried out as it stands. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Reject {
    /// What kind of fault.
    pub code: RejectCode,
    /// Which part of the command, as a dotted path, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What to change.
    pub message: String,
}

impl Reject {
    /// A rejection.
    pub fn new(code: RejectCode, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, path: path.into(), message: message.into() }
    }
}

/// The kinds of rejection, stable names for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectCode {
    /// No such pass, contact or project.
    NotFound,
    /// The external id is taken.
    AlreadyExists,
    /// The pass has changed since the version that was named.
    VersionConflict,
    /// The idempotency key was used for something else.
    KeyReused,
    /// The pass's lifecycle does not allow it.
    NotAllowed,
    /// A value is missing or does not fit.
    Invalid,
    /// A balance would fall below zero.
    Insufficient,
}
