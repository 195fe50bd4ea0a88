//! Events: facts in the life of a pass or contact, in the event log, never changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Actor, Amount, BackfillId, BatchId, Cause, Confidence, Contact, ContactId, EventId, Extension, Message, MessageEnd,
    MessageFault, MessageRef, OrgId, Outgoing, Pass, PassId, ProjectId, ProjectKind, RefusedScan, ScanInput, Sighting, SignerId,
    SyncId, TargetId, Timestamp, UninstallReason, VariantId, VisitKind, Wallet,
};

/// A place in a log: dense and rising within its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The shard.
    pub shard: u16,
    /// The number within it, from 1.
    pub seq: u64,
}

/// A fact in the life of a pass or contact. The image makes every body that is sent about it a pure function of the
/// event and the receiver's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// Whose.
    pub org: OrgId,
    /// Where it stands in the log.
    pub position: Position,
    /// Version of the shape of facts and image.
    pub schema: u16,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When we wrote it down.
    pub recorded_at: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// What led to it.
    pub cause: Cause,
    /// The project it belongs to.
    pub project: Option<ProjectId>,
    /// The pass it is about.
    pub pass: Option<PassId>,
    /// The contact it is about.
    pub contact: Option<ContactId>,
    /// The pass's (or else the contact's) version after it.
    pub version: u64,
    /// What happened.
    pub facts: Facts,
    /// How things stood afterwards.
    pub image: Image,
}

impl Event {
    /// The present [`Event::schema`].
    pub const SCHEMA: u16 = 1;

    /// What kind of fact it is.
    pub fn kind(&self) -> EventKind {
        self.facts.kind()
    }
}

/// What happened, with the facts that only this kind of event has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Facts {
    /// A pass was issued.
    PassCreated,
    /// A pass's page was shown or a package or object was made for a wallet.
    PassRendered {
        /// What was seen.
        kind: VisitKind,
        /// What the request tells.
        sighting: Sighting,
    },
    /// A wallet holds the pass now.
    PassInstalled {
        /// Which wallet.
        wallet: Wallet,
        /// Which device; empty for Google.
        device: String,
        /// Whether it was there before and gone in between.
        again: bool,
        /// Whether another platform told of it, where the pass was issued, and not the wallet.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        elsewhere: bool,
        /// What the request tells.
        sighting: Sighting,
    },
    /// A wallet holds the pass no more.
    PassUninstalled {
        /// Which wallet.
        wallet: Wallet,
        /// Which device; empty for Google.
        device: String,
        /// How we know.
        reason: UninstallReason,
        /// How sure we are.
        confidence: Confidence,
        /// Installations of the pass that remain, over all wallets.
        remaining: u32,
        /// Whether another platform told of it, where the pass was issued, and not the wallet.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        elsewhere: bool,
    },
    /// A pass changed.
    PassUpdated {
        /// Dotted names of what changed.
        changed: Vec<String>,
        /// By how much balances changed.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        balance_changes: BTreeMap<String, Amount>,
        /// The variant it came from, when it moved.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous_variant: Option<VariantId>,
    },
    /// A pass was switched on.
    PassActivated,
    /// A pass was accepted at a reader.
    PassScanned {
        /// By whom and how.
        scan: ScanInput,
        /// Uses that are left; none means no limit.
        remaining: Option<u32>,
        /// By how much balances changed.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        balance_changes: BTreeMap<String, Amount>,
        /// The day that it counts for, in the project's time zone: 20261121.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        day: Option<u32>,
        /// How it moved the end of the pass's validity.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        extended: Option<Extension>,
    },
    /// A pass was not accepted at a reader.
    PassScanRefused {
        /// By whom and how.
        scan: ScanInput,
        /// Why.
        reason: RefusedScan,
    },
    /// An accepted scan was taken back.
    PassScanUndone {
        /// Which: the id of its event.
        scan: EventId,
        /// By whom.
        by: ScanInput,
        /// Why, in the operator's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// By how much balances changed back.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        balance_changes: BTreeMap<String, Amount>,
    },
    /// What was read at a reader leads to no pass.
    ScanUnknown {
        /// By whom and how.
        scan: ScanInput,
        /// Unknown or forged.
        reason: RefusedScan,
        /// The first 16 hexadecimal digits of the SHA-256 of what was read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        read: Option<String>,
    },
    /// The holder was told something.
    PassNotified {
        /// What.
        message: Message,
    },
    /// A message that was planned is not going to be shown.
    PassMessageDropped {
        /// It.
        message: Message,
        /// Why.
        reason: MessageEnd,
    },
    /// A pass's validity ended.
    PassExpired,
    /// A pass was called back.
    PassRevoked {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A pass was removed.
    PassDeleted,
    /// A contact was first seen.
    ContactCreated,
    /// A contact changed.
    ContactUpdated,
    /// A contact was erased.
    ContactErased,
    /// A wallet came to hold live passes of the contact, or holds none any more, of one project.
    ContactWalletStatusChanged {
        /// The project.
        project: ProjectId,
        /// `none`, `apple`, `google`, `both` or `unknown` in the project before.
        before: String,
        /// The same afterwards.
        after: String,
        /// `none`, `apple`, `google`, `both` or `unknown` over all projects before.
        overall_before: String,
        /// The same afterwards.
        overall_after: String,
    },
    /// A message to the holder is to go out. Its sender alone is told.
    MessageRequested {
        /// It.
        message: Outgoing,
    },
    /// A server took a message to the holder.
    MessageSent {
        /// Which.
        message: MessageRef,
        /// What the server calls it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server_id: Option<String>,
    },
    /// A message to the holder does not arrive.
    MessageFailed {
        /// Which.
        message: MessageRef,
        /// Why.
        reason: MessageFault,
        /// In the server's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// A message is where the holder reads it, as the service says that sent it.
    MessageDelivered {
        /// Which.
        message: MessageRef,
        /// What the service calls it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server_id: Option<String>,
    },
    /// Nobody knows whether a message to the holder was sent; it is not sent again.
    MessageUnknown {
        /// Which.
        message: MessageRef,
        /// What happened.
        detail: String,
    },
    /// Somebody asked whether a webhook works. It alone is told.
    WebhookTested {
        /// The webhook.
        webhook: TargetId,
    },
    /// A webhook has taken nothing for half of the time after which it is switched off.
    WebhookFailing {
        /// The webhook.
        webhook: TargetId,
        /// Its name.
        name: String,
        /// Since when it has taken nothing, at least.
        since: Timestamp,
        /// When it is switched off unless it takes something.
        off_at: Timestamp,
    },
    /// We switched a webhook off.
    WebhookDisabled {
        /// The webhook.
        webhook: TargetId,
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// The certificate of a signer nears its end, or has come to it.
    SignerExpiring {
        /// The signer.
        signer: SignerId,
        /// The pass type that it signs for.
        pass_type: String,
        /// When the certificate ends.
        ends_at: Timestamp,
        /// 90, 30 or 7: it ends within so many days. 0: it has ended, and no pass of the type can be made or woken.
        within_days: u32,
    },
    /// A backfill came to its end with contacts that its destination refused, or was paused because that does not take it.
    BackfillFailed {
        /// The backfill.
        backfill: BackfillId,
        /// The destination.
        webhook: TargetId,
        /// Its name.
        name: String,
        /// Whether it was paused.
        paused: bool,
        /// Contacts that the destination refused so far.
        refused: u64,
        /// Why it was paused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A run of a sync could not be done, came to its end with rows that failed, or waits for somebody because rows would fail.
    SyncFailed {
        /// The sync.
        sync: SyncId,
        /// Its name.
        name: String,
        /// The run; none where it could not even be begun.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        batch: Option<BatchId>,
        /// Whether it waits for somebody.
        paused: bool,
        /// Rows that were read.
        rows: u64,
        /// Rows that failed, or would.
        failed: u64,
        /// Why it could not be done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A batch could not be done, came to its end with rows that failed, or waits for somebody because rows would fail.
    BatchFailed {
        /// The batch.
        batch: BatchId,
        /// Whether it waits for somebody.
        paused: bool,
        /// Rows that were read.
        rows: u64,
        /// Rows that failed, or would.
        failed: u64,
        /// Why it could not be done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// The kinds of event. Text form: `pass.created` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// A pass was issued.
    #[serde(rename = "pass.created")]
    PassCreated,
    /// A pass's page was shown or a package or object was made for a wallet.
    #[serde(rename = "pass.rendered")]
    PassRendered,
    /// A wallet holds the pass now.
    #[serde(rename = "pass.installed")]
    PassInstalled,
    /// A wallet holds the pass no more.
    #[serde(rename = "pass.uninstalled")]
    PassUninstalled,
    /// A pass changed.
    #[serde(rename = "pass.updated")]
    PassUpdated,
    /// A pass was switched on.
    #[serde(rename = "pass.activated")]
    PassActivated,
    /// A pass was accepted at a reader.
    #[serde(rename = "pass.scanned")]
    PassScanned,
    /// A pass was not accepted at a reader.
    #[serde(rename = "pass.scan_refused")]
    PassScanRefused,
    /// An accepted scan was taken back.
    #[serde(rename = "pass.scan_undone")]
    PassScanUndone,
    /// The holder was told something.
    #[serde(rename = "pass.notified")]
    PassNotified,
    /// A message that was planned is not going to be shown.
    #[serde(rename = "pass.message_dropped")]
    PassMessageDropped,
    /// A pass's validity ended.
    #[serde(rename = "pass.expired")]
    PassExpired,
    /// A pass was called back.
    #[serde(rename = "pass.revoked")]
    PassRevoked,
    /// A pass was removed.
    #[serde(rename = "pass.deleted")]
    PassDeleted,
    /// What was read at a reader leads to no pass.
    #[serde(rename = "scan.unknown")]
    ScanUnknown,
    /// A contact was first seen.
    #[serde(rename = "contact.created")]
    ContactCreated,
    /// A contact changed.
    #[serde(rename = "contact.updated")]
    ContactUpdated,
    /// A contact was erased.
    #[serde(rename = "contact.erased")]
    ContactErased,
    /// A wallet came to hold live passes of the contact, or holds none any more.
    #[serde(rename = "contact.wallet_status_changed")]
    ContactWalletStatusChanged,
    /// A message to the holder is to go out.
    #[serde(rename = "message.requested")]
    MessageRequested,
    /// A server took a message to the holder.
    #[serde(rename = "message.sent")]
    MessageSent,
    /// A message is where the holder reads it.
    #[serde(rename = "message.delivered")]
    MessageDelivered,
    /// A message to the holder does not arrive.
    #[serde(rename = "message.failed")]
    MessageFailed,
    /// Nobody knows whether a message to the holder was sent.
    #[serde(rename = "message.unknown")]
    MessageUnknown,
    /// Somebody asked whether a webhook works.
    #[serde(rename = "webhook.test")]
    WebhookTested,
    /// A webhook has taken nothing for some time.
    #[serde(rename = "webhook.failing")]
    WebhookFailing,
    /// We switched a webhook off.
    #[serde(rename = "webhook.disabled")]
    WebhookDisabled,
    /// The certificate of a signer nears its end, or has come to it.
    #[serde(rename = "signer.expiring")]
    SignerExpiring,
    /// A backfill was refused in part, or paused because its destination does not take it.
    #[serde(rename = "backfill.failed")]
    BackfillFailed,
    /// A run of a sync could not be done, or not for all rows.
    #[serde(rename = "sync.failed")]
    SyncFailed,
    /// A batch could not be done, or not for all rows.
    #[serde(rename = "batch.failed")]
    BatchFailed,
}

impl EventKind {
    /// Every kind, with its stable number in the store and its name.
    const TABLE: [(Self, i16, &'static str); 31] = [
        (Self::PassCreated, 1, "pass.created"),
        (Self::PassRendered, 2, "pass.rendered"),
        (Self::PassInstalled, 3, "pass.installed"),
        (Self::PassUninstalled, 4, "pass.uninstalled"),
        (Self::PassUpdated, 5, "pass.updated"),
        (Self::PassActivated, 6, "pass.activated"),
        (Self::PassScanned, 7, "pass.scanned"),
        (Self::PassScanRefused, 8, "pass.scan_refused"),
        (Self::PassScanUndone, 13, "pass.scan_undone"),
        (Self::PassNotified, 9, "pass.notified"),
        (Self::PassMessageDropped, 14, "pass.message_dropped"),
        (Self::PassExpired, 10, "pass.expired"),
        (Self::PassRevoked, 11, "pass.revoked"),
        (Self::PassDeleted, 12, "pass.deleted"),
        (Self::ScanUnknown, 30, "scan.unknown"),
        (Self::ContactCreated, 20, "contact.created"),
        (Self::ContactUpdated, 21, "contact.updated"),
        (Self::ContactErased, 22, "contact.erased"),
        (Self::ContactWalletStatusChanged, 23, "contact.wallet_status_changed"),
        (Self::MessageRequested, 50, "message.requested"),
        (Self::MessageSent, 51, "message.sent"),
        (Self::MessageDelivered, 54, "message.delivered"),
        (Self::MessageFailed, 52, "message.failed"),
        (Self::MessageUnknown, 53, "message.unknown"),
        (Self::WebhookTested, 40, "webhook.test"),
        (Self::WebhookFailing, 41, "webhook.failing"),
        (Self::WebhookDisabled, 42, "webhook.disabled"),
        (Self::SignerExpiring, 43, "signer.expiring"),
        (Self::BackfillFailed, 44, "backfill.failed"),
        (Self::SyncFailed, 45, "sync.failed"),
        (Self::BatchFailed, 46, "batch.failed"),
    ];

    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::TABLE.iter().map(|row| row.0)
    }
    /// Whether it is about the running of things and no pass or contact: told to those alone who ask for it by name.
    pub const fn is_operational(self) -> bool {
        matches!(
            self,
            Self::WebhookTested
                | Self::WebhookFailing
                | Self::WebhookDisabled
                | Self::SignerExpiring
                | Self::BackfillFailed
                | Self::SyncFailed
                | Self::BatchFailed
        )
    }
    /// Its name.
    pub fn name(self) -> &'static str {
        Self::TABLE.iter().find(|row| row.0 == self).map_or("", |row| row.2)
    }
    /// Its number in the store.
    pub fn number(self) -> i16 {
        Self::TABLE.iter().find(|row| row.0 == self).map_or(0, |row| row.1)
    }
    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::TABLE.iter().find(|row| row.2 == name).map(|row| row.0)
    }
    /// The kind of that number.
    pub fn from_number(number: i16) -> Option<Self> {
        Self::TABLE.iter().find(|row| row.1 == number).map(|row| row.0)
    }
}

impl Facts {
    /// What kind of fact it is.
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::PassCreated => EventKind::PassCreated,
            Self::PassRendered { .. } => EventKind::PassRendered,
            Self::PassInstalled { .. } => EventKind::PassInstalled,
            Self::PassUninstalled { .. } => EventKind::PassUninstalled,
            Self::PassUpdated { .. } => EventKind::PassUpdated,
            Self::PassActivated => EventKind::PassActivated,
            Self::PassScanned { .. } => EventKind::PassScanned,
            Self::PassScanRefused { .. } => EventKind::PassScanRefused,
            Self::PassScanUndone { .. } => EventKind::PassScanUndone,
            Self::ScanUnknown { .. } => EventKind::ScanUnknown,
            Self::PassNotified { .. } => EventKind::PassNotified,
            Self::PassMessageDropped { .. } => EventKind::PassMessageDropped,
            Self::PassExpired => EventKind::PassExpired,
            Self::PassRevoked { .. } => EventKind::PassRevoked,
            Self::PassDeleted => EventKind::PassDeleted,
            Self::ContactCreated => EventKind::ContactCreated,
            Self::ContactUpdated => EventKind::ContactUpdated,
            Self::ContactErased => EventKind::ContactErased,
            Self::ContactWalletStatusChanged { .. } => EventKind::ContactWalletStatusChanged,
            Self::MessageRequested { .. } => EventKind::MessageRequested,
            Self::MessageSent { .. } => EventKind::MessageSent,
            Self::MessageDelivered { .. } => EventKind::MessageDelivered,
            Self::MessageFailed { .. } => EventKind::MessageFailed,
            Self::MessageUnknown { .. } => EventKind::MessageUnknown,
            Self::WebhookTested { .. } => EventKind::WebhookTested,
            Self::WebhookFailing { .. } => EventKind::WebhookFailing,
            Self::WebhookDisabled { .. } => EventKind::WebhookDisabled,
            Self::SignerExpiring { .. } => EventKind::SignerExpiring,
            Self::BackfillFailed { .. } => EventKind::BackfillFailed,
            Self::SyncFailed { .. } => EventKind::SyncFailed,
            Self::BatchFailed { .. } => EventKind::BatchFailed,
        }
    }
}

/// How things stood after an event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Image {
    /// The pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<Pass>,
    /// The contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    /// The pass's project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectImage>,
    /// The pass's variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<VariantImage>,
}

/// What an event keeps of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectImage {
    /// Its id.
    pub id: ProjectId,
    /// Its name.
    pub name: String,
    /// What its passes are.
    pub kind: ProjectKind,
}

/// What an event keeps of a variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariantImage {
    /// Its id.
    pub id: VariantId,
    /// Its name.
    pub name: String,
}
