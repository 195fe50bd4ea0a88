//! `/v1/webhooks`: endpoints that are owed events, each in the shape that it asks for, signed by Standard Webhooks beside.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Json, extract::State};
use connectors::{
    catalog::{CONNECTORS, Descriptor, Destination},
    kit::{Secret, Secrets, check_settings},
};
use domain::{
    EventKind, FieldValue, OrgId, Payload, ProjectId, Target, TargetEvents, TargetId, TemplateId, Terms, Timestamp,
    UninstallName, Wallet,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Catalog, ConfigWrite, OrgCatalog, SealedSecret, Stored, StoredTarget, Unchanged};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::Once,
    config::{self, FirstSeen, IfMatch, Shown},
    once::{MAX_RACES, Made},
    page::{Page, Paging, sorted_page},
    schema::{self, IdText, TimeText},
    target_auth::{self, AuthInput, CertificateInput},
    target_made,
    targets::{PaceInput, SwitchOffInput, check_filters, egress, headers, missed_since, named, named_kinds, seal, vendor},
    text,
};
use crate::{
    App, Body, Conflict, PathParam, Problem, QueryParams,
    auth::{Caller, Can, scope},
    restated::Restated,
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, replace, delete)).routes(routes!(rotate, end_rotation))
}

/// What a webhook is made of.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WebhookInput {
    /// Name shown to people: 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Where to send.
    #[schema(examples("https://example.com/hooks/passes"))]
    url: String,
    /// Only events of this project; null means all of the organization.
    #[serde(default)]
    #[schema(value_type = Option<IdText>)]
    project: Option<ProjectId>,
    /// In which shape: a slug of `GET /v1/connectors` that has a `webhook`.
    #[serde(default = "passkit")]
    #[schema(default = "passkit", pattern = "^[a-z0-9-]+$", max_length = 64, examples("standard-webhooks"))]
    dialect: String,
    /// What is set for its shape: see `GET /v1/connectors/{connector}`.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, schema::FieldValue>, required = false)]
    settings: BTreeMap<String, FieldValue>,
    /// Only events of installations in this wallet, and of passes that it holds at the time: `apple` or `google`; null means all.
    #[serde(default)]
    #[schema(value_type = Option<schema::WalletName>)]
    wallet: Option<Wallet>,
    /// Only events of passes of these templates; empty means all. At most 50.
    #[serde(default)]
    #[schema(value_type = Vec<IdText>, required = false, max_items = 50)]
    templates: Vec<TemplateId>,
    /// Only these events; null means all that the shape has a name for.
    #[serde(default)]
    #[schema(value_type = Option<Vec<schema::EventType>>)]
    events: Option<Vec<EventKind>>,
    /// Only events for which this condition holds, in the language of flows' conditions, over the event in our own shape:
    /// `type = "pass.updated" and properties.pass.fields.tier = "gold"`. Its `data` are the `properties`, what the contact is
    /// known by the `traits`.
    #[serde(default)]
    #[schema(max_length = 10_000, examples("properties.pass.fields.tier = \"gold\""))]
    filter: Option<String>,
    /// What makes the body instead of the shape's own words; of shapes without a signature of their vendor's over the body:
    /// `native`, `flat` and `standard-webhooks`.
    #[serde(default)]
    #[schema(value_type = Option<target_made::PayloadInput>)]
    payload: Option<Payload>,
    /// Headers to send beside the signature. They may be credentials: they are kept sealed, and answers show their names with
    /// null in place of the value. A null that is given keeps the value that is stored under this name.
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    /// Whether every event is sent by POST instead of PassKit's POST, PUT and DELETE.
    #[serde(default)]
    post_only: bool,
    /// How an uninstall is named: as in PassKit's list of events, or as in its published sample.
    #[serde(default)]
    #[schema(value_type = schema::UninstallName, required = false)]
    uninstall_name: UninstallName,
    /// Whether Standard Webhooks headers are left out.
    #[serde(default)]
    without_standard_headers: bool,
    /// How we prove who we are, beside the signature.
    #[serde(default)]
    auth: Option<AuthInput>,
    /// The certificate that we show where the receiver asks for one.
    #[serde(default)]
    certificate: Option<CertificateInput>,
    /// By which of the ways out that the operator of this server configured for this organization (`[egress.NAME]`) it is sent to,
    /// tests, retries and token requests too: a proxy or a source address that the receiver lets in. Nothing is sent by another way
    /// when that fails. Null means the server's own.
    #[serde(default)]
    #[schema(max_length = 64, examples("office"))]
    egress: Option<String>,
    /// How fast it is sent to.
    #[serde(default)]
    pace: PaceInput,
    /// After how much failure we switch it off. `webhook.failing` and `webhook.disabled` tell webhooks that name them in `events`.
    #[serde(default)]
    switch_off: SwitchOffInput,
    /// Whether deliveries are made; while not, none are owed.
    #[serde(default = "yes")]
    #[schema(default = true)]
    enabled: bool,
}

fn passkit() -> String {
    "passkit".to_owned()
}
const fn yes() -> bool {
    true
}

/// An endpoint that is owed events.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: TargetId,
    #[serde(flatten)]
    input: WebhookInput,
    /// Why we switched it off, when we did.
    disabled_reason: Option<String>,
    /// Since when it may have missed events, when it was switched off since then: `POST /v1/webhooks/{webhook}/replay` sends them.
    #[schema(value_type = Option<TimeText>)]
    missed_since: Option<Timestamp>,
    /// How many signing secrets are in force: more than one while they are rotated.
    secrets: usize,
    /// When each earlier secret ends that is still signed with, newest first; null for one that ends when somebody ends the
    /// rotation.
    #[schema(value_type = Vec<Option<TimeText>>)]
    earlier_secrets_end_at: Vec<Option<Timestamp>>,
    /// The public key by which receivers check signatures, when its settings ask for Ed25519 and this answer shows the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    /// When it was made; events before that are not owed.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
}

/// A webhook with its signing secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewWebhook)]
struct Created {
    #[serde(flatten)]
    webhook: View,
    /// The signing secret, in the form of Standard Webhooks: shown this once.
    #[schema(examples("whsec_..."))]
    secret: String,
}

impl View {
    fn of(stored: &StoredTarget, now: Timestamp) -> Self {
        let earlier_secrets_end_at: Vec<_> = stored.earlier_secrets(now).map(|earlier| earlier.until).collect();
        let Target { id, name, url, created_at, terms } = stored.target.clone();
        let terms = Arc::unwrap_or_clone(terms);
        let mut switch_off = SwitchOffInput::of(terms.switch_off);
        switch_off.after_failures = switch_off.after_failures.or_else(|| limit_of(&terms.dialect));
        let input = WebhookInput {
            name,
            url,
            project: terms.project,
            dialect: terms.dialect,
            settings: terms.settings,
            wallet: terms.wallet,
            templates: terms.templates,
            events: named_kinds(terms.events),
            filter: terms.filter,
            payload: terms.payload,
            headers: stored.header_names().map(|name| (name.to_owned(), None)).collect(),
            post_only: terms.post_only,
            uninstall_name: terms.uninstall_name,
            without_standard_headers: terms.without_standard_headers,
            auth: terms.auth.as_ref().map(AuthInput::of),
            certificate: terms.certificate.as_ref().map(CertificateInput::of),
            egress: terms.egress,
            pace: PaceInput::of(terms.pace),
            switch_off,
            enabled: terms.enabled,
        };
        Self {
            id,
            input,
            disabled_reason: terms.disabled_reason,
            missed_since: terms.missed_since,
            secrets: 1 + earlier_secrets_end_at.len(),
            earlier_secrets_end_at,
            public_key: None,
            created_at,
        }
    }
}

/// The public key of a webhook that asks for Ed25519.
fn public_key(target: &Target, secret: &Secret) -> Option<String> {
    let asked = target.settings.get("signature") == Some(&FieldValue::Text("ed25519".to_owned()));
    if asked { connectors::kit::signature::public_key(secret) } else { None }
}

/// A webhook with its secret, as it is shown once.
fn created(stored: &StoredTarget, secret: &Secret, now: Timestamp) -> Created {
    let webhook = View { public_key: public_key(&stored.target, secret), ..View::of(stored, now) };
    Created { webhook, secret: secret.expose().to_owned() }
}

/// After how many failures in a row webhooks of a shape are switched off, where nothing else is asked for.
fn limit_of(shape: &str) -> Option<u32> {
    connectors::catalog::find(shape)?.destination?.profile.disable_after
}

impl WebhookInput {
    /// The target that is asked for, with its headers; `held` is the one that it replaces.
    async fn check(
        self,
        app: &App,
        caller: &Caller,
        catalog: &OrgCatalog,
        id: TargetId,
        held: Option<&Target>,
    ) -> Result<Target, Problem> {
        app.settings.address_policy.check_url(&self.url).map_err(|refusal| Problem::field("url", refusal.to_string()))?;
        let destination = self.destination(catalog, held.map(|held| held.id))?;
        let untold = |kind: EventKind| {
            let (dialect, kind_name) = (&self.dialect, kind.name());
            let why =
                || format!("webhooks of the dialect {dialect} cannot tell {kind_name}: leave it out, or name another dialect");
            (!(destination.wants)(kind)).then(why)
        };
        check_filters(catalog, self.project, &self.templates, self.events.as_deref(), untold)?;
        let mut switch_off = self.switch_off.check()?;
        // What was shown of the shape that it had is no wish, and goes with that shape.
        let shown = held.filter(|held| held.switch_off.after_failures.is_none()).and_then(|held| limit_of(&held.dialect));
        switch_off.after_failures = switch_off.after_failures.filter(|asked| Some(*asked) != shown);
        let terms = Terms {
            project: self.project,
            dialect: self.dialect,
            settings: self.settings,
            wallet: self.wallet,
            templates: self.templates,
            sends: None,
            egress: egress(app, caller.org, self.egress)?,
            events: self.events.map_or(TargetEvents::All, TargetEvents::Only),
            filter: self.filter,
            payload: self.payload,
            headers: headers(self.headers, held)?,
            post_only: self.post_only,
            uninstall_name: self.uninstall_name,
            without_standard_headers: self.without_standard_headers,
            enabled: self.enabled,
            auth: self.auth.map(|auth| auth.check(app, held.and_then(|held| held.auth.as_ref()))).transpose()?,
            certificate: self.certificate.map(|it| it.check(held.and_then(|held| held.certificate.as_ref()))).transpose()?,
            pace: self.pace.check()?,
            switch_off,
            backfill_every_hours: None,
            backfill_everything: false,
            disabled_reason: None,
            missed_since: missed_since(app, held, self.enabled),
        };
        let target = Target {
            id,
            name: text::name(self.name, "name")?,
            url: self.url,
            created_at: held.map_or_else(|| app.now(), |held| held.created_at),
            terms: Arc::new(terms),
        };
        target_auth::check_headers(&target)?;
        target_made::check(catalog, &target).await?;
        Ok(target)
    }
}

impl WebhookInput {
    /// The shape that is asked for, with its settings and limits checked.
    fn destination(&self, catalog: &OrgCatalog, held: Option<TargetId>) -> Result<Destination, Problem> {
        let shape = |it: &Descriptor| it.destination.filter(|destination| destination.vendor.is_none());
        let Some((shape, destination)) = connectors::catalog::find(&self.dialect).and_then(|it| Some((it, shape(it)?))) else {
            let known: Vec<_> = CONNECTORS.iter().filter(|it| shape(it).is_some()).map(|it| it.slug).collect();
            return Err(Problem::field("dialect", format!("there is no such shape: expected one of {}", known.join(", "))));
        };
        check_settings(shape.settings, &self.settings)
            .map_err(|problem| Problem::field(format!("settings.{}", problem.name), problem.message))?;
        if let Some(most) = destination.profile.most_targets {
            let same = |stored: &&Stored<StoredTarget>| {
                stored.value.target.dialect == self.dialect && Some(stored.value.target.id) != held
            };
            if catalog.targets.values().filter(same).count() >= most {
                let detail = format!("an organization has at most {most} webhooks of this shape");
                return Err(Problem::Conflict { code: Conflict::LimitReached, detail });
            }
        }
        Ok(destination)
    }
}

/// A webhook by its id.
fn one(catalog: &OrgCatalog, id: TargetId) -> Result<&Stored<StoredTarget>, Problem> {
    let found = config::one(&catalog.targets, id.uuid(), "webhook")?;
    if vendor(&found.value.target).is_none() { Ok(found) } else { Err(Problem::no_such("webhook")) }
}

/// Make a webhook.
#[utoipa::path(post, path = "/v1/webhooks", tag = "Webhooks", security(("key" = ["config_write"])),
    request_body = WebhookInput,
    responses((status = 201, body = Created, description = "Made. This answer alone shows the signing secret.")))]
async fn create(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    body: Body<WebhookInput>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &body.bytes).await? {
        return Ok(made);
    }
    let (id, secret) = (TargetId::mint(app.now(), &*app.entropy), Secret::mint(&*app.entropy));
    let sealed = [seal(&app, can.org, id, &secret)?.into()];
    for _ in 0..MAX_RACES {
        let (stored, write) = new(&app, &can, &app.store.catalog(), body.value.clone(), (id, &sealed)).await?;
        let shown = Shown::new(format!("/v1/webhooks/{id}"), created(&stored, &secret, app.now()));
        if let Some(made) = once.write_unless_raced(&app, &can, &body.bytes, write, shown).await? {
            return Ok(made);
        }
    }
    Err(Problem::raced())
}

/// A new webhook that is asked for, and its write.
async fn new(
    app: &App,
    caller: &Caller,
    catalog: &Catalog,
    input: WebhookInput,
    (id, sealed): (TargetId, &[SealedSecret]),
) -> Result<(StoredTarget, ConfigWrite), Problem> {
    let target = input.check(app, caller, config::part(catalog, caller.org)?, id, None).await?;
    let stored = app.store.seal_target(caller.org, target, sealed.to_vec())?;
    let mut write = app.store.config_write(&config::change(app, caller), &stored, 0, false)?;
    write.unchanged = counted(catalog, caller.org, &stored.target);
    write.unchanged.extend(named(catalog, caller.org, &stored.target));
    Ok((stored, write))
}

/// Makes a webhook as clients of another platform ask for one, in its shape: the webhook with the signing secret.
pub(crate) async fn subscribe(
    app: &App,
    caller: &Caller,
    shape: &str,
    url: &str,
    events: Vec<EventKind>,
) -> Result<(Target, Secret), Problem> {
    let input: WebhookInput = serde_json::from_value(json!({ "name": url.chars().take(200).collect::<String>(), "url": url,
        "dialect": shape, "events": events }))
    .map_err(|error| Problem::Internal(error.to_string()))?;
    let (id, secret) = (TargetId::mint(app.now(), &*app.entropy), Secret::mint(&*app.entropy));
    let (sealed, input) = (&[seal(app, caller.org, id, &secret)?.into()], &input);
    let target = config::settled(app, |catalog: Arc<Catalog>| async move {
        let (stored, write) = new(app, caller, &catalog, input.clone(), (id, sealed)).await?;
        config::write_unless_raced(app, write, stored.target).await
    });
    Ok((target.await?, secret))
}

/// The webhooks of a shape.
pub(crate) fn of_shape(app: &App, org: OrgId, shape: &str) -> Result<Vec<Target>, Problem> {
    let catalog = config::org(app, org)?;
    let targets = catalog.targets.values().map(|stored| &stored.value.target);
    Ok(targets.filter(|target| target.dialect == shape).cloned().collect())
}

/// Deletes a webhook of a shape.
pub(crate) async fn unsubscribe(app: &App, caller: &Caller, shape: &str, id: TargetId) -> Result<StatusCode, Problem> {
    let catalog = config::org(app, caller.org)?;
    let stored = one(&catalog, id)?;
    if stored.value.target.dialect != shape {
        return Err(Problem::no_such("webhook"));
    }
    config::remove(app, &config::change(app, caller), stored).await
}

/// What the place of a webhook was found free in, where there are so many of its shape and no more.
fn counted(catalog: &Catalog, org: OrgId, target: &Target) -> Vec<Unchanged> {
    let limited = connectors::catalog::find(&target.dialect)
        .and_then(|shape| shape.destination)
        .is_some_and(|destination| destination.profile.most_targets.is_some());
    limited.then(|| catalog.unchanged::<StoredTarget>(org)).into_iter().collect()
}

/// List webhooks.
#[utoipa::path(get, path = "/v1/webhooks", tag = "Webhooks", security(("key" = ["config_read"])),
    params(Paging), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Page<View>>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let webhooks = catalog.targets.iter().filter(|(_, stored)| vendor(&stored.value.target).is_none());
    Ok(Json(sorted_page(webhooks, paging.after(), paging.limit, |stored| View::of(&stored.value, app.now()))))
}

/// Read a webhook.
#[utoipa::path(get, path = "/v1/webhooks/{webhook}", tag = "Webhooks", security(("key" = ["config_read"])),
    params(("webhook" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TargetId>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = one(&catalog, id)?;
    Ok(Shown::at(stored.revision, View::of(&stored.value, app.now())))
}

/// Replace a webhook.
///
/// Its secrets stay, and so do the values of headers that are given as null; one that we switched off is on again when
/// `enabled` says so.
#[utoipa::path(put, path = "/v1/webhooks/{webhook}", tag = "Webhooks", security(("key" = ["config_write"])),
    params(("webhook" = IdText, Path, description = "Its id."), IfMatch),
    request_body = WebhookInput, responses((status = 200, body = View, description = "As it is now.")))]
async fn replace(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TargetId>,
    if_match: IfMatch,
    body: Restated<WebhookInput, View>,
) -> Result<Shown<View>, Problem> {
    // Who says that it is on, as it was, does not switch it on again.
    let first = FirstSeen::new();
    let (app, can, body, first) = (&app, &can, &body, &first);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let org = config::part(&catalog, can.org)?;
        let held = one(org, id)?;
        if_match.check(held.revision)?;
        first.still(held.value.target.enabled)?;
        let former = app.store.open_target(can.org, &held.value)?;
        let target = body.value.clone().check(app, can, org, id, Some(&former)).await?;
        let stored = app.store.seal_target(can.org, target, held.value.sealed_secrets.clone())?;
        let mut write = app.store.config_write(&config::change(app, can), &stored, held.revision, false)?;
        if stored.target.dialect != held.value.target.dialect {
            write.unchanged = counted(&catalog, can.org, &stored.target);
        }
        write.unchanged.extend(named(&catalog, can.org, &stored.target));
        config::write_unless_raced(app, write, Shown::at(held.revision + 1, View::of(&stored, app.now()))).await
    })
    .await
}

/// Delete a webhook.
///
/// What is still owed to it is given up.
#[utoipa::path(delete, path = "/v1/webhooks/{webhook}", tag = "Webhooks", security(("key" = ["config_write"])),
    params(("webhook" = IdText, Path, description = "Its id."), IfMatch), responses((status = 204, description = "Deleted.")))]
async fn delete(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TargetId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = one(&catalog, id)?;
    if_match.check(stored.revision)?;
    config::remove(&app, &config::change(&app, &can), stored).await
}

/// How a signing secret is rotated.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Rotation {
    /// For how many hours bodies are signed with the earlier secrets too; 0 ends them at once. One that ends before stays with
    /// its own end.
    #[serde(default = "a_day")]
    #[param(minimum = 0, maximum = 168, default = 24)]
    overlap_hours: u32,
}

const fn a_day() -> u32 {
    24
}

/// Longest overlap, in hours.
const MAX_OVERLAP: u32 = 168;

/// Rotate a webhook's secret.
///
/// Bodies are signed with the new one and up to three earlier ones, so that nothing is lost while the receiver changes over. The
/// earlier ones end by themselves after `overlap_hours`; `DELETE` on this path ends them at once.
#[utoipa::path(post, path = "/v1/webhooks/{webhook}/secrets", tag = "Webhooks", security(("key" = ["config_write"])),
    params(("webhook" = IdText, Path, description = "Its id."), Rotation),
    responses((status = 200, body = Created, description = "Rotated. This answer alone shows the signing secret.")))]
async fn rotate(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    PathParam(id): PathParam<TargetId>,
    QueryParams(Rotation { overlap_hours }): QueryParams<Rotation>,
) -> Result<Made, Problem> {
    let asked = overlap_hours.to_be_bytes();
    if let Some(made) = once.kept(&app, &can, &asked).await? {
        return Ok(made);
    }
    if overlap_hours > MAX_OVERLAP {
        return Err(Problem::field("overlap_hours", format!("expected 0 to {MAX_OVERLAP}")));
    }
    let catalog = config::org(&app, can.org)?;
    let held: &Stored<StoredTarget> = one(&catalog, id)?;
    let secret = Secret::mint(&*app.entropy);
    let mut stored = (*held.value).clone();
    let now = app.now();
    let until = now.plus(Duration::from_secs(u64::from(overlap_hours) * 3_600));
    stored.rotate_secret(seal(&app, can.org, id, &secret)?, until, Secrets::MAX_PREVIOUS, now);
    let write = app.store.config_write(&config::change(&app, &can), &stored, held.revision, false)?;
    let view = created(&stored, &secret, app.now());
    once.write(&app, &can, &asked, write, Shown::at(held.revision + 1, view)).await
}

/// End a rotation of secrets.
///
/// Only the newest stays in force.
#[utoipa::path(delete, path = "/v1/webhooks/{webhook}/secrets", tag = "Webhooks", security(("key" = ["config_write"])),
    params(("webhook" = IdText, Path, description = "Its id."), IfMatch),
    responses((status = 200, body = View, description = "As it is now.")))]
async fn end_rotation(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TargetId>,
    if_match: IfMatch,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let held = one(&catalog, id)?;
    if_match.check(held.revision)?;
    let mut stored = (*held.value).clone();
    stored.sealed_secrets.truncate(1);
    config::put(&app, &config::change(&app, &can), &stored, held.revision).await?;
    Ok(Shown::at(held.revision + 1, View::of(&stored, app.now())))
}
