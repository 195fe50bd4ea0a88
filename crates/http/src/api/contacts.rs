//! `/v1/contacts`: the people who hold passes.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use domain::{
    Action, Answer, Contact, ContactId, ContactInput, ContactRef, FieldValue, Timestamp, WalletEvent, WalletStatus,
    normalise_email,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::{Acted, ERASED, Once},
    config::{IfMatch, Shown},
    page::{After, Limit, Page, page},
    schema::{self, IdText, TimeText},
};
use crate::{
    App, Body, PathParam, Problem, QueryParams,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(put, list)).routes(routes!(get, erase))
}

/// What is told about a person; only what is given is changed. An external id or an e-mail address says who it is.
#[derive(ToSchema)]
#[schema(as = ContactInput)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "describes `domain::ContactInput` in the document")]
pub(crate) struct ContactSchema {
    /// The id that your own systems know the person by: at most 256 bytes.
    #[schema(min_length = 1, max_length = 256)]
    external_id: Option<String>,
    /// Name as shown to people; null takes it away.
    name: Option<String>,
    /// E-mail address: at most 512 bytes, no spaces or control characters; null takes it away, and with it that the person is
    /// found by it.
    #[schema(min_length = 1, max_length = 512)]
    email: Option<String>,
    /// Phone number; null takes it away.
    phone: Option<String>,
    /// Anything else; null takes a trait away.
    #[schema(required = false)]
    traits: BTreeMap<String, schema::FieldChange>,
}

/// The person who holds passes.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Contact)]
pub(crate) struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: ContactId,
    /// The id that your own systems know the person by.
    external_id: Option<String>,
    /// Name as shown to people.
    name: Option<String>,
    /// E-mail address, lower case.
    email: Option<String>,
    /// Phone number as given.
    phone: Option<String>,
    /// Anything else.
    #[schema(value_type = BTreeMap<String, schema::FieldValue>)]
    traits: BTreeMap<String, FieldValue>,
    /// In which wallets live passes of the person are now: `none`, `apple`, `google` or `both`; `unknown` where another platform
    /// told that a wallet holds one, and not which.
    #[schema(examples("both"))]
    wallet_status: &'static str,
    /// When Apple Wallet last came to hold one.
    #[schema(value_type = Option<TimeText>)]
    apple_wallet_installed_at: Option<Timestamp>,
    /// When Google Wallet last came to hold one.
    #[schema(value_type = Option<TimeText>)]
    google_wallet_installed_at: Option<Timestamp>,
    /// When a wallet last came to hold one, or held none any more. A pass that leaves a wallet counts on for five minutes, so
    /// that a phone that drops and takes it again changes nothing.
    #[schema(value_type = Option<TimeText>)]
    wallet_last_changed_at: Option<Timestamp>,
    /// Which of the two that was: `installed` or `uninstalled`.
    #[schema(value_type = Option<String>)]
    wallet_last_event: Option<WalletEvent>,
    /// The same for each project.
    projects: BTreeMap<String, ProjectWallets>,
    /// When the person was erased; nothing personal is left then.
    #[schema(value_type = Option<TimeText>)]
    erased_at: Option<Timestamp>,
    /// Bumped by every change.
    version: u64,
    /// When the person was first seen.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
    /// When this last changed.
    #[schema(value_type = TimeText)]
    updated_at: Timestamp,
}

/// Live passes of a person in wallets, of one project.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ProjectWallets {
    /// `none`, `apple`, `google`, `both` or `unknown`.
    wallet_status: &'static str,
    /// Passes in Apple Wallet.
    apple: u32,
    /// Passes in Google Wallet.
    google: u32,
    /// When Apple Wallet last came to hold one.
    #[schema(value_type = Option<TimeText>)]
    apple_wallet_installed_at: Option<Timestamp>,
    /// When Google Wallet last came to hold one.
    #[schema(value_type = Option<TimeText>)]
    google_wallet_installed_at: Option<Timestamp>,
    /// When a wallet last came to hold one, or held none any more.
    #[schema(value_type = Option<TimeText>)]
    wallet_last_changed_at: Option<Timestamp>,
    /// Which of the two that was: `installed` or `uninstalled`.
    #[schema(value_type = Option<String>)]
    wallet_last_event: Option<WalletEvent>,
}

impl ProjectWallets {
    fn of(status: &WalletStatus) -> Self {
        Self {
            wallet_status: status.name(),
            apple: status.apple,
            google: status.google,
            apple_wallet_installed_at: status.apple_installed_at,
            google_wallet_installed_at: status.google_installed_at,
            wallet_last_changed_at: status.changed_at,
            wallet_last_event: status.last_event,
        }
    }
}

impl View {
    pub(crate) fn of(contact: &Contact) -> Self {
        let overall = contact.wallet_status();
        Self {
            id: contact.id,
            external_id: contact.external_id.clone(),
            name: contact.name.clone(),
            email: contact.email.clone(),
            phone: contact.phone.clone(),
            traits: contact.traits.clone(),
            wallet_status: overall.name(),
            apple_wallet_installed_at: overall.apple_installed_at,
            google_wallet_installed_at: overall.google_installed_at,
            wallet_last_changed_at: overall.changed_at,
            wallet_last_event: overall.last_event,
            projects: contact.wallets.iter().map(|(project, status)| (project.to_string(), ProjectWallets::of(status))).collect(),
            erased_at: contact.erased_at,
            version: contact.version,
            created_at: contact.created_at,
            updated_at: contact.updated_at,
        }
    }
}

/// Which contacts to list. With an external id there is at most one; with an e-mail address those who have it come in the order in
/// which they came to have it, and the first is the one that is found by it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only the one with this external id.
    #[param(value_type = Option<String>)]
    external_id: Option<String>,
    /// Only those with this e-mail address.
    #[param(value_type = Option<String>)]
    email: Option<String>,
    /// Only those whose passes are in these wallets, over all projects: as a contact's `wallet_status` is.
    #[param(inline)]
    wallet_status: Option<StatusName>,
    /// How many: 1 to 100, 50 unless told.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<After>,
}

/// In which wallets a contact's passes are.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum StatusName {
    None,
    Apple,
    Google,
    Both,
    Unknown,
}

impl StatusName {
    const fn number(self) -> i16 {
        match self {
            Self::None => store::wallets_number(false, false, false),
            Self::Apple => store::wallets_number(true, false, false),
            Self::Google => store::wallets_number(false, true, false),
            Self::Both => store::wallets_number(true, true, false),
            Self::Unknown => store::wallets_number(false, false, true),
        }
    }
}

/// Make or change a contact.
///
/// The contact with that external id, else with that e-mail address, is changed; there being none, it is made. Where several have
/// the address, it is the one who has had it longest; who has another external id is somebody else.
#[utoipa::path(post, path = "/v1/contacts", tag = "Contacts", security(("key" = ["passes_write"])),
    request_body = ContactSchema, responses((status = 200, body = View, description = "As it is now."),
        (status = 201, body = View, description = "Made.")))]
async fn put(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    body: Body<ContactInput>,
) -> Result<Acted<Shown<View>>, Problem> {
    if !body.value.identifies() {
        return Err(Problem::field("", "give an external_id or an email: they say who it is"));
    }
    let action = Action::PutContact { new_id: ContactId::mint(app.now(), &*app.entropy), input: body.value };
    let outcome = once.submit(&app, &can, &body.bytes, action).await.map_err(of_body)?;
    let view = View::of(&*outcome.contact.ok_or(ERASED)?);
    let created = matches!(outcome.answer, Answer::Done { created: true, .. });
    let shown = if created {
        Shown::new(format!("/v1/contacts/{}", view.id), view)
    } else {
        Shown::at(i64::try_from(view.version).unwrap_or_default(), view)
    };
    Ok(Acted::new(outcome.replayed, shown))
}

/// A fault of a contact by its place in a body that is one.
fn of_body(problem: Problem) -> Problem {
    match problem {
        Problem::Rejected(mut reject) => {
            if let Some(place) = reject.path.strip_prefix("contact.") {
                reject.path = place.to_owned();
            }
            Problem::Rejected(reject)
        }
        other => other,
    }
}

/// List contacts.
#[utoipa::path(get, path = "/v1/contacts", tag = "Contacts", security(("key" = ["passes_read"])),
    params(Filter), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    QueryParams(filter): QueryParams<Filter>,
) -> Result<Json<Page<View>>, Problem> {
    let after = filter.cursor.map(|cursor| ContactId::from_uuid(cursor.0));
    let fits = |contact: &Contact| {
        let status = contact.wallet_status();
        let number = store::wallets_number(status.apple > 0, status.google > 0, status.unknown > 0);
        filter.wallet_status.is_none_or(|wanted| wanted.number() == number)
    };
    let rows = match (filter.external_id, filter.email, filter.wallet_status) {
        (Some(_), Some(_), _) => return Err(Problem::parameter("query", "give external_id or email, not both")),
        (Some(external_id), None, _) => {
            let found = app.store.contact(can.org, &ContactRef::External(external_id)).await?.filter(fits);
            return Ok(Json(Page { data: found.iter().map(View::of).collect(), next_cursor: None }));
        }
        (None, Some(email), _) => {
            let rows = app.store.contacts_with(can.org, &email, after, filter.limit.and_one()).await?;
            // Some may have another address by now.
            let email = Some(normalise_email(&email));
            let page = page(&rows, filter.limit, |contact| contact.id.uuid(), Clone::clone);
            let data = page.data.iter().filter(|contact| contact.email == email && fits(contact)).map(View::of).collect();
            return Ok(Json(Page { data, next_cursor: page.next_cursor }));
        }
        (None, None, Some(status)) => app.store.find_contacts(can.org, status.number(), after, filter.limit.and_one()).await?,
        (None, None, None) => app.store.contacts(can.org, after, filter.limit.and_one()).await?,
    };
    Ok(Json(page(&rows, filter.limit, |contact| contact.id.uuid(), View::of)))
}

/// Read a contact.
#[utoipa::path(get, path = "/v1/contacts/{contact}", tag = "Contacts", security(("key" = ["passes_read"])),
    params(("contact" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<ContactId>,
) -> Result<Shown<View>, Problem> {
    let found = app.store.contact(can.org, &ContactRef::Id(id)).await?.ok_or_else(|| Problem::no_such("contact"))?;
    Ok(Shown::at(i64::try_from(found.version).unwrap_or_default(), View::of(&found)))
}

/// Erase a contact.
///
/// Everything personal about them is destroyed, also in events and deliveries, and their passes become void and blank.
#[utoipa::path(delete, path = "/v1/contacts/{contact}", tag = "Contacts", security(("key" = ["passes_write"])),
    params(("contact" = IdText, Path, description = "Its id."), IfMatch), responses((status = 204, description = "Erased.")))]
async fn erase(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<ContactId>,
    if_match: IfMatch,
    once: Once,
) -> Result<Acted<StatusCode>, Problem> {
    let action = Action::EraseContact { contact: ContactRef::Id(id), expected_version: if_match.0 };
    let outcome = once.submit(&app, &can, b"", action).await?;
    Ok(Acted::new(outcome.replayed, StatusCode::NO_CONTENT))
}
