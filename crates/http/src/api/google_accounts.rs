//! `/v1/google-accounts`: Google Wallet issuers with the service account that acts for them.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use domain::{Project, SignerId, Timestamp};
use google_wallet::ServiceAccount;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use store::{Catalog, GoogleThingRow, NameKind, StoredGoogleAccount};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use zeroize::Zeroizing;

use super::{
    commands::Once,
    config::{self, IfMatch, Shown},
    once::Made,
    page::{Page, Paging},
    schema::{IdText, TimeText},
};
use crate::{
    App, Body, Conflict, PathParam, Problem, QueryParams,
    auth::{Can, scope},
    restated::Restated,
};

/// How long a comparison is waited for.
const COMPARED_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether it is done.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, replace, delete)).routes(routes!(comparison, compare))
}

/// An issuer and the key file of its service account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GoogleAccountInput {
    /// The issuer id that Google's Pay & Wallet console shows: digits.
    #[schema(pattern = "^[0-9]{1,20}$", examples("3388000000022222222"))]
    issuer: String,
    /// The key file (JSON) that the Google Cloud console hands out, as text. A change without it, or with null, keeps the one
    /// that is stored.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    key_file: Option<Zeroizing<String>>,
    /// Whether it is a development key that Google does not know.
    #[serde(default)]
    development: bool,
}

/// A Google account, without its key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GoogleAccount)]
struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: SignerId,
    /// The issuer id.
    issuer: String,
    /// The service account's e-mail address; must be a user of the issuer in Google's console.
    client_email: String,
    /// Whether it is a development key that Google does not know.
    development: bool,
    /// When it was added.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
}

impl View {
    fn of(account: &StoredGoogleAccount) -> Self {
        Self {
            id: account.id,
            issuer: account.issuer.clone(),
            client_email: account.client_email.clone(),
            development: account.development,
            created_at: account.created_at,
        }
    }
}

impl GoogleAccountInput {
    /// The account that is asked for; `held` is the one that it replaces.
    fn stored(
        &self,
        app: &App,
        org: domain::OrgId,
        id: SignerId,
        held: Option<&StoredGoogleAccount>,
    ) -> Result<StoredGoogleAccount, Problem> {
        if !(1..=20).contains(&self.issuer.len()) || !self.issuer.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Problem::field("issuer", "expected 1 to 20 digits, as the Pay & Wallet console shows them"));
        }
        let key_file = match (&self.key_file, held) {
            (Some(given), _) => given,
            (None, Some(held)) => return Ok(StoredGoogleAccount { development: self.development, ..held.clone() }),
            (None, None) => return Err(Problem::field("key_file", "this is required")),
        };
        let account = ServiceAccount::from_json(key_file.as_bytes());
        let account = account.map_err(|fault| Problem::field("key_file", fault.to_string()))?;
        Ok(StoredGoogleAccount {
            id,
            issuer: self.issuer.clone(),
            client_email: account.client_email().to_owned(),
            sealed_key: app.store.seal_for::<StoredGoogleAccount>(org, id.uuid(), key_file.as_bytes())?,
            development: self.development,
            created_at: held.map_or_else(|| app.now(), |held| held.created_at),
        })
    }
}

/// Add a Google account.
///
/// Its issuer belongs to this organization from then on; an issuer that another one has answers 409.
#[utoipa::path(post, path = "/v1/google-accounts", tag = "Google accounts", security(("key" = ["config_write"])),
    request_body = GoogleAccountInput, responses((status = 201, body = View, description = "Added.")))]
async fn create(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    body: Body<GoogleAccountInput>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &body.bytes).await? {
        return Ok(made);
    }
    let account = body.value.stored(&app, can.org, SignerId::mint(app.now(), &*app.entropy), None)?;
    let mut change = config::change(&app, &can);
    change.names.push((NameKind::GoogleIssuer, account.issuer.as_bytes().to_vec(), account.id.uuid()));
    let write = app.store.config_write(&change, &account, 0, false)?;
    let shown = Shown::new(format!("/v1/google-accounts/{}", account.id), View::of(&account));
    once.write(&app, &can, &body.bytes, write, shown).await
}

/// List Google accounts.
#[utoipa::path(get, path = "/v1/google-accounts", tag = "Google accounts", security(("key" = ["config_read"])),
    params(Paging), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Page<View>>, Problem> {
    Ok(Json(paging.of(&config::org(&app, can.org)?.google_accounts, |stored| View::of(&stored.value))))
}

/// Read a Google account.
#[utoipa::path(get, path = "/v1/google-accounts/{account}", tag = "Google accounts", security(("key" = ["config_read"])),
    params(("account" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SignerId>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.google_accounts, id.uuid(), "Google account")?;
    Ok(Shown::at(stored.revision, View::of(&stored.value)))
}

/// Replace a Google account's key.
#[utoipa::path(put, path = "/v1/google-accounts/{account}", tag = "Google accounts", security(("key" = ["config_write"])),
    params(("account" = IdText, Path, description = "Its id."), IfMatch),
    request_body = GoogleAccountInput, responses((status = 200, body = View, description = "As it is now.")))]
async fn replace(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SignerId>,
    if_match: IfMatch,
    body: Restated<GoogleAccountInput, View>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let held = config::one(&catalog.google_accounts, id.uuid(), "Google account")?;
    if_match.check(held.revision)?;
    if body.value.issuer != held.value.issuer {
        return Err(Problem::field("issuer", "cannot change: add another account for another issuer"));
    }
    let account = body.value.stored(&app, can.org, id, Some(&held.value))?;
    config::put(&app, &config::change(&app, &can), &account, held.revision).await?;
    Ok(Shown::at(held.revision + 1, View::of(&account)))
}

/// Remove a Google account that no project uses.
#[utoipa::path(delete, path = "/v1/google-accounts/{account}", tag = "Google accounts", security(("key" = ["config_write"])),
    params(("account" = IdText, Path, description = "Its id."), IfMatch), responses((status = 204, description = "Removed.")))]
async fn delete(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SignerId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let (app, can) = (&app, &can);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let org = config::part(&catalog, can.org)?;
        let stored = config::one(&org.google_accounts, id.uuid(), "Google account")?;
        if_match.check(stored.revision)?;
        let issuer = &stored.value.issuer;
        if let Some(user) = org.projects.values().find(|it| it.value.google_issuer.as_ref() == Some(issuer)) {
            return Err(Problem::Conflict { code: Conflict::InUse, detail: format!("the project {} uses it", user.value.slug) });
        }
        let mut change = config::change(app, can);
        change.removed_names.push((NameKind::GoogleIssuer, issuer.as_bytes()));
        let mut write = app.store.config_write(&change, &*stored.value, stored.revision, true)?;
        write.unchanged = vec![catalog.unchanged::<Project>(can.org)];
        config::write_unless_raced(app, write, StatusCode::NO_CONTENT).await
    })
    .await
}

/// What Google's list of objects says about holders, compared with what its call-backs told.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GoogleComparison)]
struct Comparison {
    /// When the last finished comparison began; absent before the first.
    #[schema(value_type = Option<TimeText>)]
    compared_at: Option<Timestamp>,
    /// Objects that it looked at.
    compared: u64,
    /// Objects under the issuer that are no passes of ours.
    foreign: u64,
    /// Installs that it recorded because no call-back had told.
    installed: u64,
    /// Removals that it recorded with the reason `drift`.
    uninstalled: u64,
    /// When the next one is due.
    #[schema(value_type = Option<TimeText>)]
    next_at: Option<Timestamp>,
    /// Why the last try failed, and what to change.
    problem: Option<String>,
}

impl Comparison {
    fn of(row: Option<&GoogleThingRow>) -> Self {
        let note = row.map(GoogleThingRow::note).unwrap_or_default();
        let found = note.drift.unwrap_or_default();
        Self {
            compared_at: note.drift.map(|drift| drift.at),
            compared: found.compared,
            foreign: found.foreign,
            installed: found.installed,
            uninstalled: found.uninstalled,
            next_at: row.and_then(|row| row.due_at),
            problem: note.problem,
        }
    }
}

/// Read the last comparison with Google.
///
/// Call-backs are best effort. Once a day, and whenever asked, Google's `hasUsers` of every object is compared with the
/// installations that are known, and what was missed is recorded.
#[utoipa::path(get, path = "/v1/google-accounts/{account}/comparison", tag = "Google accounts",
    security(("key" = ["config_read"])), params(("account" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = Comparison, description = "What it found.")))]
async fn comparison(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SignerId>,
) -> Result<Json<Comparison>, Problem> {
    config::one(&config::org(&app, can.org)?.google_accounts, id.uuid(), "Google account")?;
    let row = app.store.backend().google_thing(can.org, id.uuid()).await?;
    Ok(Json(Comparison::of(row.as_ref())))
}

/// Compare with Google now.
///
/// Answers 200 with what was found when that takes a few seconds only, else 202: read it later.
#[utoipa::path(post, path = "/v1/google-accounts/{account}/comparison", tag = "Google accounts",
    security(("key" = ["config_write"])), params(("account" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = Comparison, description = "What it found."),
        (status = 202, body = Comparison, description = "It is under way; this is what the one before found.")))]
async fn compare(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SignerId>,
) -> Result<(StatusCode, Json<Comparison>), Problem> {
    config::one(&config::org(&app, can.org)?.google_accounts, id.uuid(), "Google account")?;
    let asked = app.now();
    let (thing, backend) = (id.uuid(), app.store.backend());
    let row = GoogleThingRow {
        org: can.org,
        thing,
        account: thing,
        urgency: 0,
        wanted_seq: 0,
        synced_seq: 0,
        due_at: Some(asked),
        body: String::new(),
    };
    backend.ask_google(vec![row], true).await?;
    let deadline = tokio::time::Instant::now() + COMPARED_WITHIN;
    loop {
        let row = backend.google_thing(can.org, thing).await?;
        let shown = Comparison::of(row.as_ref());
        if shown.compared_at.is_some_and(|at| at >= asked) {
            return Ok((StatusCode::OK, Json(shown)));
        }
        if tokio::time::Instant::now() >= deadline {
            return Ok((StatusCode::ACCEPTED, Json(shown)));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
