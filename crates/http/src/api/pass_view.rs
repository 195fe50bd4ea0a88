//! How a pass is shown.

use std::collections::BTreeMap;

use domain::{
    Amount, Confidence, ContactId, FieldValue, Holding, Lifecycle, Pass, PassId, ProjectId, Status, TemplateId, Timestamp,
    UninstallReason,
};
use render::PassView;
use serde::{Deserialize, Serialize};
use store::OrgCatalog;
use utoipa::ToSchema;

use super::schema::{self, AmountText, IdText, TimeText};
use crate::App;

/// One issued card.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Pass)]
pub(crate) struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    pub(crate) id: PassId,
    /// Its project.
    #[schema(value_type = IdText)]
    project: ProjectId,
    /// Its tier, offer, ticket type or fare.
    variant: String,
    /// The design that it is drawn with.
    #[schema(value_type = IdText)]
    template: TemplateId,
    /// Who holds it.
    #[schema(value_type = Option<IdText>)]
    contact: Option<ContactId>,
    /// The id that your own systems know it by.
    external_id: Option<String>,
    /// Apple's serial number.
    serial: String,
    /// The best determined status.
    #[schema(value_type = StatusName)]
    status: Status,
    /// Where it stands.
    #[schema(value_type = StateName)]
    state: &'static str,
    /// Since when it is used, expired, revoked or deleted.
    #[schema(value_type = Option<TimeText>)]
    state_since: Option<Timestamp>,
    /// Why it was revoked, in the issuer's words.
    state_reason: Option<String>,
    /// Not before.
    #[schema(value_type = Option<TimeText>)]
    starts_at: Option<Timestamp>,
    /// Not from then on.
    #[schema(value_type = Option<TimeText>)]
    expires_at: Option<Timestamp>,
    /// Accepted scans so far.
    uses: u32,
    /// Most scans that are accepted; null means no limit.
    uses_limit: Option<u32>,
    /// Its own fields.
    #[schema(value_type = BTreeMap<String, schema::FieldValue>)]
    fields: BTreeMap<String, FieldValue>,
    /// Points, stamps and money by name, as decimals in text.
    #[schema(value_type = BTreeMap<String, AmountText>)]
    balances: BTreeMap<String, Amount>,
    /// The last message to the holder.
    message: Option<MessageView>,
    /// Messages that are to be sent later, the next first.
    planned_messages: Vec<MessageView>,
    /// Where it can be opened.
    links: Links,
    /// In which wallets it is.
    wallets: Wallets,
    /// Bumped by every change; its `ETag`.
    pub(crate) version: u64,
    /// When it was issued.
    #[schema(value_type = TimeText)]
    issued_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = TimeText)]
    updated_at: Timestamp,
}

/// `issued`: in no wallet yet; `installed`: in at least one; `uninstalled`: in none any more; `invalidated`: used, expired,
/// revoked or deleted.
#[derive(ToSchema)]
#[schema(as = PassStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes `domain::Status` in the document")]
enum StatusName {
    Issued,
    Installed,
    Uninstalled,
    Invalidated,
}

/// Where a pass stands.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PassState)]
pub(super) enum StateName {
    Inactive,
    Active,
    Used,
    Expired,
    Revoked,
    Deleted,
}

impl From<StateName> for store::PassState {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Inactive => Self::Inactive,
            StateName::Active => Self::Active,
            StateName::Used => Self::Used,
            StateName::Expired => Self::Expired,
            StateName::Revoked => Self::Revoked,
            StateName::Deleted => Self::Deleted,
        }
    }
}

/// A message to the holder.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Message)]
struct MessageView {
    /// What it says.
    text: String,
    /// When it was sent, or is to be.
    #[schema(value_type = TimeText)]
    at: Timestamp,
    /// Until when it is worth showing.
    #[schema(value_type = Option<TimeText>)]
    until: Option<Timestamp>,
}

impl From<&domain::Message> for MessageView {
    fn from(message: &domain::Message) -> Self {
        Self { text: message.text.clone(), at: message.at, until: message.until }
    }
}

/// Where a pass can be opened. Whoever has these links can open it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = PassLinks)]
struct Links {
    /// Its page, with the button for the wallet of whoever opens it.
    page: String,
    /// Its Apple package; null when its project has no Apple passes.
    apple: Option<String>,
    /// Leads to Google's save page; null when its project has no Google passes, or Google would not take this one yet.
    google: Option<String>,
    /// What a boarding pass has yet to say of its flight before Google takes it: `the flight's number, the scheduled departure`.
    /// Null when nothing is missing.
    google_needs: Option<String>,
}

/// A pass in wallets.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = PassWallets)]
struct Wallets {
    /// In Apple Wallet.
    apple: HoldingView,
    /// In Google Wallet.
    google: HoldingView,
    /// In a wallet that the platform which told of it does not name; null where that never was.
    unknown: Option<HoldingView>,
}

/// A pass in one wallet.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = PassInWallet)]
struct HoldingView {
    /// Installations that are there now.
    active: u32,
    /// First installation ever.
    #[schema(value_type = Option<TimeText>)]
    first_installed_at: Option<Timestamp>,
    /// Latest installation.
    #[schema(value_type = Option<TimeText>)]
    last_installed_at: Option<Timestamp>,
    /// Latest removal.
    #[schema(value_type = Option<TimeText>)]
    last_uninstalled_at: Option<Timestamp>,
    /// Why the latest removal is thought to be one.
    #[schema(value_type = Option<ReasonName>)]
    last_uninstall_reason: Option<UninstallReason>,
    /// How sure that is.
    #[schema(value_type = Option<ConfidenceName>)]
    last_uninstall_confidence: Option<Confidence>,
}

/// How a removal was learnt: the device unregistered, Apple's push service says the token is dead, Google says so,
/// Google's list of objects says that nobody has it, or the platform that is mirrored here told so.
#[derive(ToSchema)]
#[schema(as = UninstallReason, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes `domain::UninstallReason` in the document")]
pub(crate) enum ReasonName {
    Unregistered,
    TokenDead,
    Removed,
    Drift,
    Told,
}

/// How sure it is that the pass is gone: the wallet says so (`certain`); most likely, but on an iPhone automatic updates may have
/// been switched off instead (`likely`); a hint only (`weak`).
#[derive(ToSchema)]
#[schema(as = Confidence, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes `domain::Confidence` in the document")]
pub(crate) enum ConfidenceName {
    Certain,
    Likely,
    Weak,
}

impl From<&Holding> for HoldingView {
    fn from(holding: &Holding) -> Self {
        Self {
            active: holding.active,
            first_installed_at: holding.first_installed_at,
            last_installed_at: holding.last_installed_at,
            last_uninstalled_at: holding.last_uninstalled_at,
            last_uninstall_reason: holding.last_uninstall_reason,
            last_uninstall_confidence: holding.last_uninstall_reason.map(UninstallReason::confidence),
        }
    }
}

impl View {
    /// The pass as clients see it.
    pub(crate) fn of(app: &App, catalog: &OrgCatalog, pass: &Pass) -> Self {
        let project = catalog.project(pass.project);
        let page = app.url(&format!("/p/{}", pass.code));
        let template = catalog.templates.get(&pass.template.uuid()).map(|stored| &*stored.value);
        let view =
            project.zip(template).map(|(project, template)| PassView { project, template, pass, contact: None, codes: None });
        let offer = view.as_ref().map(render::offer).unwrap_or_default();
        let links = Links {
            apple: offer.apple.then(|| format!("{page}/apple")),
            google: offer.google.then(|| format!("{page}/google")),
            google_needs: offer.google_needs.filter(|_| !pass.lifecycle.is_void()),
            page,
        };
        let (state_since, state_reason) = match &pass.lifecycle {
            Lifecycle::Inactive | Lifecycle::Active => (None, None),
            Lifecycle::Used { at } | Lifecycle::Expired { at } | Lifecycle::Deleted { at } => (Some(*at), None),
            Lifecycle::Revoked { at, reason } => (Some(*at), reason.clone()),
        };
        Self {
            id: pass.id,
            project: pass.project,
            variant: pass.variant.to_string(),
            template: pass.template,
            contact: pass.contact,
            external_id: pass.external_id.clone(),
            serial: pass.serial.clone(),
            status: pass.status(),
            state: pass.lifecycle.name(),
            state_since,
            state_reason,
            starts_at: pass.validity.starts_at,
            expires_at: pass.validity.expires_at,
            uses: pass.uses.count,
            uses_limit: pass.uses.limit,
            fields: pass.fields.clone(),
            balances: pass.balances.clone(),
            message: pass.message.as_ref().map(MessageView::from),
            planned_messages: pass.planned.iter().map(MessageView::from).collect(),
            links,
            wallets: Wallets {
                apple: (&pass.apple).into(),
                google: (&pass.google).into(),
                unknown: (pass.unknown != Holding::default()).then(|| (&pass.unknown).into()),
            },
            version: pass.version,
            issued_at: pass.issued_at,
            updated_at: pass.updated_at,
        }
    }
}
