//! How domain values look in the OpenAPI document. The domain knows nothing of APIs, so their shapes are said again here;
//! the tests hold each to what the domain reads and writes.
#![allow(dead_code, reason = "these types exist for their schema")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// An id: 22 characters of base62, or a UUID.
#[derive(ToSchema)]
#[schema(as = Id, value_type = String, pattern = "^([0-9A-Za-z]{22}|[0-9A-Fa-f-]{32,36})$", examples("02zsZhDb1Qe3YHkOlTqG5X"))]
pub(crate) struct IdText(String);

/// A time with its zone, RFC 3339.
#[derive(ToSchema)]
#[schema(as = Time, value_type = String, format = DateTime, examples("2026-11-20T09:30:00Z"))]
pub(crate) struct TimeText(String);

/// A decimal with at most six digits after the point, as text.
#[derive(ToSchema)]
#[schema(as = Amount, value_type = String, pattern = "^\\s*[+-]?[0-9]+(\\.[0-9]*)?\\s*$", examples("10.5"))]
pub(crate) struct AmountText(String);

/// A decimal with at most six digits after the point, as text or number.
#[derive(ToSchema)]
#[schema(as = AmountInput)]
#[serde(untagged)]
pub(crate) enum AmountInput {
    /// As text.
    #[schema(value_type = String)]
    Text(AmountText),
    /// As a number.
    Number(f64),
}

/// A wallet that holds passes.
#[derive(ToSchema)]
#[schema(as = Wallet, rename_all = "snake_case")]
pub(crate) enum WalletName {
    /// Apple Wallet.
    Apple,
    /// Google Wallet.
    Google,
    /// One or the other: another platform told that a wallet holds the pass, and not which.
    Unknown,
}

/// The value of a pass's field: text of at most 4,096 bytes, a number, or true or false.
#[derive(ToSchema)]
#[schema(as = FieldValue)]
#[serde(untagged)]
pub(crate) enum FieldValue {
    /// Text; times as RFC 3339.
    Text(String),
    /// A number.
    Number(f64),
    /// True or false.
    Flag(bool),
}

/// A new value for a pass's field or a contact's trait; null removes it.
#[derive(ToSchema)]
#[schema(as = FieldChange)]
#[serde(untagged)]
pub(crate) enum FieldChange {
    /// Text; times as RFC 3339.
    Text(String),
    /// A number.
    Number(f64),
    /// True or false.
    Flag(bool),
    /// Removes it.
    Nothing,
}

/// What a project's passes are.
#[derive(ToSchema)]
#[schema(as = ProjectKind, rename_all = "snake_case")]
pub(crate) enum ProjectKind {
    Membership,
    Coupon,
    EventTicket,
    BoardingPass,
    GiftCard,
    Transit,
    Generic,
}

/// What a field holds.
#[derive(ToSchema)]
#[schema(as = FieldType, rename_all = "snake_case")]
pub(crate) enum FieldType {
    Text,
    Number,
    Flag,
    Time,
}

/// What an API key may do. `admin` holds every scope in its organization, `operator` every one in all of them, a `_write`
/// scope its `_read`, and `passes_write` also `scan` and `scan_undo`.
#[derive(ToSchema)]
#[schema(as = Scope, rename_all = "snake_case")]
pub(crate) enum Scope {
    Operator,
    Admin,
    ConfigRead,
    ConfigWrite,
    PassesRead,
    PassesWrite,
    Scan,
    ScanUndo,
}

/// Who may take a pass by a project's form and links, and when.
#[derive(ToSchema)]
#[schema(as = EnrolmentRules)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnrolmentRules {
    /// Whether only links issue passes, and the form itself does not.
    #[schema(required = false)]
    links_only: bool,
    /// Nothing is issued before.
    opens_at: Option<TimeText>,
    /// Nothing is issued from then on.
    closes_at: Option<TimeText>,
    /// Domains of the e-mail addresses that the form takes, in lower case; none means any. Links are not asked. At most 50.
    #[schema(required = false, max_items = 50)]
    email_domains: Vec<String>,
    /// What holders must enter beside: 4 to 128 characters. It is kept and shown as a hash; the hash, sent again, keeps it.
    #[schema(min_length = 4, max_length = 128)]
    password: Option<String>,
    /// Part of the key of every link: with another number the links given out so far are void.
    #[schema(required = false, default = 0)]
    link_epoch: u32,
}

/// What a scan of a pass does, beside counting a use.
#[derive(ToSchema)]
#[schema(as = ScanRules)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScanRules {
    /// Most accepted scans of one pass in a day of the project's time zone; null means no such limit.
    #[schema(minimum = 1)]
    per_day: Option<u32>,
    /// What every accepted scan books by itself: a stamp, points, a ride less. At most 10.
    #[schema(required = false, max_items = 10)]
    books: Vec<Booking>,
    /// Balances that a scanner may book amounts of its own choice on: `debit`, `credit` or `both`.
    #[schema(required = false)]
    scanner_may: BTreeMap<String, ScannerMay>,
    /// An accepted scan keeps a pass that expires valid for at least this many days from then on.
    #[schema(minimum = 1)]
    extends_days: Option<u16>,
    /// Whether only a signed barcode is accepted; a bare id, which anybody may have read or guessed, is refused.
    #[schema(required = false)]
    signed_only: bool,
}

/// What a scan books on a balance by itself.
#[derive(ToSchema)]
#[schema(as = ScanBooking)]
#[serde(deny_unknown_fields)]
pub(crate) struct Booking {
    /// The balance.
    balance: String,
    /// How much; below zero takes away, and a pass that has less is refused.
    amount: AmountInput,
    /// The amount at which the card is full: it is taken away, and `reward` gets one.
    full_at: Option<AmountInput>,
    /// The balance that counts full cards.
    reward: Option<String>,
}

/// In which direction a scanner may book.
#[derive(ToSchema)]
#[schema(as = ScannerMay, rename_all = "snake_case")]
pub(crate) enum ScannerMay {
    Debit,
    Credit,
    Both,
}

/// Why a scan is refused. `already_used`, `used_today`: no use is left; `insufficient`: a balance has less than the scan takes;
/// `wrong_project`: not one that this reader takes; `unsigned`, `superseded`, `stale`, `forged`: the barcode is a bare id where
/// a signed one is wanted, an older one, a rotating one shown too long ago, or not ours; `by_reader`: the reader refused it
/// without a network, and we would not have; `unknown`: it leads to no pass.
#[derive(ToSchema)]
#[schema(as = RefusedScan, rename_all = "snake_case")]
pub(crate) enum RefusedScan {
    AlreadyUsed,
    UsedToday,
    Expired,
    NotYetValid,
    Inactive,
    Revoked,
    Deleted,
    Insufficient,
    WrongProject,
    Unsigned,
    Superseded,
    Stale,
    Forged,
    ByReader,
    Unknown,
}

/// A kind of event.
#[derive(ToSchema)]
#[schema(as = EventType)]
pub(crate) enum EventType {
    #[schema(rename = "pass.created")]
    PassCreated,
    #[schema(rename = "pass.rendered")]
    PassRendered,
    #[schema(rename = "pass.installed")]
    PassInstalled,
    #[schema(rename = "pass.uninstalled")]
    PassUninstalled,
    #[schema(rename = "pass.updated")]
    PassUpdated,
    #[schema(rename = "pass.activated")]
    PassActivated,
    #[schema(rename = "pass.scanned")]
    PassScanned,
    #[schema(rename = "pass.scan_refused")]
    PassScanRefused,
    #[schema(rename = "pass.scan_undone")]
    PassScanUndone,
    #[schema(rename = "pass.notified")]
    PassNotified,
    #[schema(rename = "pass.message_dropped")]
    PassMessageDropped,
    #[schema(rename = "pass.expired")]
    PassExpired,
    #[schema(rename = "pass.revoked")]
    PassRevoked,
    #[schema(rename = "pass.deleted")]
    PassDeleted,
    #[schema(rename = "scan.unknown")]
    ScanUnknown,
    #[schema(rename = "contact.created")]
    ContactCreated,
    #[schema(rename = "contact.updated")]
    ContactUpdated,
    #[schema(rename = "contact.erased")]
    ContactErased,
    #[schema(rename = "contact.wallet_status_changed")]
    ContactWalletStatusChanged,
    #[schema(rename = "message.requested")]
    MessageRequested,
    #[schema(rename = "message.sent")]
    MessageSent,
    #[schema(rename = "message.delivered")]
    MessageDelivered,
    #[schema(rename = "message.failed")]
    MessageFailed,
    #[schema(rename = "message.unknown")]
    MessageUnknown,
    #[schema(rename = "webhook.test")]
    WebhookTested,
    #[schema(rename = "webhook.failing")]
    WebhookFailing,
    #[schema(rename = "webhook.disabled")]
    WebhookDisabled,
    #[schema(rename = "signer.expiring")]
    SignerExpiring,
    #[schema(rename = "backfill.failed")]
    BackfillFailed,
    #[schema(rename = "sync.failed")]
    SyncFailed,
    #[schema(rename = "batch.failed")]
    BatchFailed,
}

/// How PassKit's shape names an uninstall.
#[derive(ToSchema)]
#[schema(as = UninstallName, rename_all = "snake_case")]
pub(crate) enum UninstallName {
    Uninstalled,
    RecordUpdated,
}

/// Who caused something: `{"type": "key", "id": ...}`, `{"type": "source", "id": ...}`, `{"type": "holder"}` or
/// `{"type": "system"}`.
#[derive(ToSchema)]
#[schema(as = Actor)]
pub(crate) struct Actor {
    /// `key`, `source`, `holder` or `system`.
    #[schema(rename = "type")]
    kind: String,
    /// The key or source.
    id: Option<IdText>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    /// The names that are taken: what is none of them is told what they are.
    fn taken<T: DeserializeOwned>() -> BTreeSet<String> {
        let told = serde_json::from_value::<T>(json!("?")).err().unwrap().to_string();
        told.split('`').skip(3).step_by(2).map(str::to_owned).collect()
    }

    fn documented(document: &Value, schema: &str) -> Vec<String> {
        serde_json::from_value(document["components"]["schemas"][schema]["enum"].clone()).unwrap()
    }

    #[test]
    fn names_are_those_that_are_taken() {
        let document = crate::openapi();
        for (schema, taken) in [
            ("ProjectKind", taken::<domain::ProjectKind>()),
            ("FieldType", taken::<domain::FieldType>()),
            ("Scope", taken::<domain::Scope>()),
            ("UninstallName", taken::<domain::UninstallName>()),
            ("UninstallReason", taken::<domain::UninstallReason>()),
            ("RefusedScan", taken::<domain::RefusedScan>()),
            ("ScannerMay", taken::<domain::ScannerMay>()),
            ("PassStatus", taken::<domain::Status>()),
            ("Confidence", taken::<domain::Confidence>()),
            ("IfExists", taken::<domain::IfExists>()),
            ("MessageChannel", taken::<domain::Channel>()),
            ("WebhookContent", taken::<domain::Content>()),
            ("ImageRole", taken::<domain::ImageRole>()),
            ("FieldPlace", taken::<domain::FieldPlace>()),
            ("BarcodeFormat", taken::<domain::BarcodeFormat>()),
            ("DateLength", taken::<domain::DateLength>()),
            ("Alignment", taken::<domain::Alignment>()),
            ("TransitMode", taken::<domain::TransitMode>()),
            ("RichStyle", taken::<domain::RichStyle>()),
            ("PersonalizationField", taken::<domain::PersonalizationField>()),
            ("MappingAction", taken::<flows::flow::StepAction>()),
            ("MappingOver", taken::<flows::targets::Over>()),
            ("BatchOperation", taken::<flows::batch::Operation>()),
            ("BatchIfExists", taken::<flows::flow::IfExists>()),
            ("BatchFormat", taken::<flows::batch::Format>()),
            ("BatchEmptyCells", taken::<flows::batch::EmptyCells>()),
        ] {
            let documented = documented(&document, schema).into_iter().collect::<BTreeSet<_>>();
            assert!(!taken.is_empty() && documented == taken, "{schema}: {documented:?}, and {taken:?} are taken");
        }
        let kinds: Vec<_> = domain::EventKind::all().map(|kind| kind.name().to_owned()).collect();
        assert_eq!(documented(&document, "EventType"), kinds);
    }
}
