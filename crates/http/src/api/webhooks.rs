//! `/v1/webhooks`: endpoints that are owed events, each in the shape that it asks for, signed by Standard Webhooks beside.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Json, extract::State};
use connectors::{
    catalog::{CONNECTORS, Descriptor, Destination},
    kit::{Secret, Secrets, check_settings},
};
use domain::{
    DeliveryId, EventId, EventKind, FieldValue, OrgId, Payload, ProjectId, SwitchOff, Target, TargetEvents, TargetId, TargetPace,
    TemplateId, Timestamp, UninstallName, Wallet,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use store::{Catalog, DeliveryRow, OrgCatalog, Stored, StoredTarget, StoredTransformation, Unchanged};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::Once,
    config::{self, IfMatch, Shown},
    destinations,
    once::{MAX_RACES, Made},
    page::{Page, Paging, sorted_page},
    schema::{self, IdText, TimeText},
    text,
    webhook_auth::{self, AuthInput, CertificateInput},
    webhook_made,
};
use crate::{
    App, Body, Conflict, PathParam, Problem, QueryParams,
    auth::{Caller, Can, scope},
};

/// Most templates that a webhook can be for.
const MAX_TEMPLATES: usize = 50;

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
    #[schema(value_type = Option<webhook_made::PayloadInput>)]
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

/// How fast a webhook is sent to, by each node. A webhook that says that it has too much (429, 502, 503), or times out, is sent
/// fewer requests at once, and one that fails ten times in a row is left alone for a while.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookPace)]
pub(super) struct PaceInput {
    /// Most requests in a second; null means no limit.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 10000)]
    per_second: Option<u32>,
    /// Most requests at once; null means 8.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 64)]
    concurrency: Option<u16>,
    /// Seconds for one request, from resolving the name to the last byte of the answer; null means 15.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 30)]
    timeout_seconds: Option<u16>,
    /// Whether an event of a pass waits until earlier ones of the same pass were taken or given up. Replays do not wait.
    #[serde(default)]
    in_order: bool,
}

impl PaceInput {
    pub(super) fn check(self) -> Result<TargetPace, Problem> {
        let Self { per_second, concurrency, timeout_seconds, in_order } = self;
        let wide = |value: Option<u16>| value.map(u32::from);
        let limits = [
            ("per_second", per_second, 10_000),
            ("concurrency", wide(concurrency), 64),
            ("timeout_seconds", wide(timeout_seconds), 30),
        ];
        for (name, value, most) in limits {
            if value.is_some_and(|value| !(1..=most).contains(&value)) {
                return Err(Problem::field(format!("pace.{name}"), format!("expected 1 to {most}, or null")));
            }
        }
        Ok(TargetPace { per_second, concurrency, timeout_seconds, in_order })
    }

    pub(super) fn of(pace: TargetPace) -> Self {
        let TargetPace { per_second, concurrency, timeout_seconds, in_order } = pace;
        Self { per_second, concurrency, timeout_seconds, in_order }
    }
}

/// After how much failure a webhook is switched off. Every change of the webhook begins the count anew.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookSwitchOff)]
pub(super) struct SwitchOffInput {
    /// So many deliveries that were given up one after another; null takes the shape's own limit, which answers show: five of
    /// `passengine`, none of the others.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    after_failures: Option<u32>,
    /// So many hours in which it took nothing and failed at least five times; null means never.
    #[serde(default = "five_days")]
    #[schema(minimum = 1, maximum = 8760, default = 120)]
    after_hours: Option<u32>,
}

#[allow(clippy::unnecessary_wraps, reason = "the default of an option")]
fn five_days() -> Option<u32> {
    SwitchOff::default().after_hours
}

impl Default for SwitchOffInput {
    fn default() -> Self {
        Self::of(SwitchOff::default())
    }
}

impl SwitchOffInput {
    pub(super) fn of(switch_off: SwitchOff) -> Self {
        let SwitchOff { after_failures, after_hours } = switch_off;
        Self { after_failures, after_hours }
    }

    pub(super) fn check(self) -> Result<SwitchOff, Problem> {
        let Self { after_failures, after_hours } = self;
        for (name, value, most) in [("after_failures", after_failures, 1_000), ("after_hours", after_hours, 8_760)] {
            if value.is_some_and(|value| !(1..=most).contains(&value)) {
                return Err(Problem::field(format!("switch_off.{name}"), format!("expected 1 to {most}, or null")));
            }
        }
        Ok(SwitchOff { after_failures, after_hours })
    }
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
        let target = stored.target.clone();
        let events = match target.events {
            TargetEvents::All | TargetEvents::Operational => None,
            TargetEvents::Only(kinds) => Some(kinds),
        };
        let mut switch_off = SwitchOffInput::of(target.switch_off);
        let of_shape = || connectors::catalog::find(&target.dialect)?.destination?.profile.disable_after;
        switch_off.after_failures = switch_off.after_failures.or_else(of_shape);
        let input = WebhookInput {
            name: target.name,
            url: target.url,
            project: target.project,
            dialect: target.dialect,
            settings: target.settings,
            wallet: target.wallet,
            templates: target.templates,
            events,
            filter: target.filter,
            payload: target.payload,
            headers: stored.header_names().map(|name| (name.to_owned(), None)).collect(),
            post_only: target.post_only,
            uninstall_name: target.uninstall_name,
            without_standard_headers: target.without_standard_headers,
            auth: target.auth.as_ref().map(AuthInput::of),
            certificate: target.certificate.as_ref().map(CertificateInput::of),
            egress: target.egress,
            pace: PaceInput::of(target.pace),
            switch_off,
            enabled: target.enabled,
        };
        Self {
            id: target.id,
            input,
            disabled_reason: target.disabled_reason,
            missed_since: target.missed_since,
            secrets: 1 + earlier_secrets_end_at.len(),
            earlier_secrets_end_at,
            public_key: None,
            created_at: target.created_at,
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
        if self.project.is_some_and(|project| catalog.project(project).is_none()) {
            return Err(Problem::field("project", "no such project"));
        }
        let destination = self.destination(catalog, held.map(|held| held.id))?;
        if self.templates.len() > MAX_TEMPLATES {
            return Err(Problem::field("templates", format!("at most {MAX_TEMPLATES}")));
        }
        if let Some(at) = self.templates.iter().position(|id| catalog.template(*id).is_none()) {
            return Err(Problem::field(format!("templates.{at}"), "no such template"));
        }
        if let Some(kind) = self.events.iter().flatten().find(|kind| !(destination.wants)(**kind)) {
            let why = format!(
                "webhooks of the dialect {} cannot tell {}: leave it out, or name another dialect",
                self.dialect,
                kind.name()
            );
            return Err(Problem::field("events", why));
        }
        if self.events.as_ref().is_some_and(Vec::is_empty) {
            return Err(Problem::field("events", "name at least one, or leave it out for all"));
        }
        let target = Target {
            id,
            name: text::name(self.name, "name")?,
            project: self.project,
            url: self.url,
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
            switch_off: self.switch_off.check()?,
            backfill_every_hours: None,
            backfill_everything: false,
            disabled_reason: None,
            missed_since: missed_since(app, held, self.enabled),
            created_at: held.map_or_else(|| app.now(), |held| held.created_at),
        };
        webhook_auth::check_headers(&target)?;
        webhook_made::check(catalog, &target).await?;
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

/// A way out that is asked for, when the operator configured it for this organization. Names that are for others are not told.
pub(super) fn egress(app: &App, org: OrgId, asked: Option<String>) -> Result<Option<String>, Problem> {
    let Some(name) = asked else { return Ok(None) };
    let mine = || app.settings.egresses.iter().filter(|(_, users)| users.has(org)).map(|(name, _)| name.as_str());
    if mine().any(|it| it == name) {
        return Ok(Some(name));
    }
    let names = mine().collect::<Vec<_>>().join(", ");
    let names = if names.is_empty() { "none" } else { &names };
    let why = format!(
        "this server's configuration has no egress of this name that is for this organization ({org}, which its operator adds to \
         `organizations` of [egress.NAME]); for it there is {names}"
    );
    Err(Problem::field("egress", why))
}

/// The headers that are asked for, with the stored values of those that are to be kept.
pub(super) fn headers(
    asked: BTreeMap<String, Option<String>>,
    held: Option<&Target>,
) -> Result<BTreeMap<String, String>, Problem> {
    let kept = |name: &String| held.and_then(|held| held.headers.get(name)).cloned();
    let missing = |name: &str| Problem::field(format!("headers.{name}"), "give its value: there is none to keep");
    let value = |(name, value): (String, Option<String>)| {
        let value = value.or_else(|| kept(&name)).ok_or_else(|| missing(&name))?;
        Ok((name, value))
    };
    asked.into_iter().map(value).collect()
}

/// Since when a webhook has missed events: one that is switched off now misses what comes from now on.
pub(super) fn missed_since(app: &App, held: Option<&Target>, enabled: bool) -> Option<Timestamp> {
    let held = held?;
    let goes_off = held.enabled && !enabled;
    held.missed_since.or_else(|| goes_off.then(|| app.now()))
}

pub(super) fn seal(app: &App, org: OrgId, id: TargetId, secret: &Secret) -> Result<String, Problem> {
    Ok(app.store.seal_for::<StoredTarget>(org, id.uuid(), secret.expose().as_bytes())?)
}

/// A webhook by its id.
fn one(catalog: &OrgCatalog, id: TargetId) -> Result<&Stored<StoredTarget>, Problem> {
    let found = config::one(&catalog.targets, id.uuid(), "webhook")?;
    if destinations::vendor(&found.value.target).is_none() { Ok(found) } else { Err(Problem::no_such("webhook")) }
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
    let sealed = vec![seal(&app, can.org, id, &secret)?.into()];
    for _ in 0..MAX_RACES {
        let catalog = app.store.catalog();
        let org = config::part(&catalog, can.org)?;
        let target = body.value.clone().check(&app, &can, org, id, None).await?;
        let stored = app.store.seal_target(can.org, target, sealed.clone())?;
        let mut write = app.store.config_write(&config::change(&app, &can), &stored, 0, false)?;
        write.unchanged = counted(&catalog, can.org, &stored.target);
        write.unchanged.extend(named(&catalog, can.org, &stored.target));
        let shown = Shown::new(format!("/v1/webhooks/{id}"), created(&stored, &secret, app.now()));
        if let Some(made) = once.write_unless_raced(&app, &can, &body.bytes, write, shown).await? {
            return Ok(made);
        }
    }
    Err(Problem::raced())
}

/// What the place of a webhook was found free in, where there are so many of its shape and no more.
fn counted(catalog: &Catalog, org: OrgId, target: &Target) -> Vec<Unchanged> {
    let limited = connectors::catalog::find(&target.dialect)
        .and_then(|shape| shape.destination)
        .is_some_and(|destination| destination.profile.most_targets.is_some());
    limited.then(|| catalog.unchanged::<StoredTarget>(org)).into_iter().collect()
}

/// What a target was found to name.
pub(super) fn named(catalog: &Catalog, org: OrgId, target: &Target) -> Option<Unchanged> {
    matches!(target.payload, Some(Payload::Transformation(_))).then(|| catalog.unchanged::<StoredTransformation>(org))
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
    let webhooks = catalog.targets.iter().filter(|(_, stored)| destinations::vendor(&stored.value.target).is_none());
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
    body: Body<WebhookInput>,
) -> Result<Shown<View>, Problem> {
    let (app, can, body) = (&app, &can, &body);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let org = config::part(&catalog, can.org)?;
        let held = one(org, id)?;
        if_match.check(held.revision)?;
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

/// A delivery that was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OwedDelivery)]
pub(crate) struct Owed {
    /// The delivery: see its attempts with `GET /v1/deliveries/attempts`.
    #[schema(value_type = IdText)]
    delivery: DeliveryId,
    /// The event.
    #[schema(value_type = IdText)]
    event: EventId,
    /// To whom.
    #[schema(value_type = IdText)]
    webhook: TargetId,
}

impl Owed {
    /// An event that finds its way to a target by itself.
    pub(crate) fn new(webhook: TargetId, event: EventId) -> Self {
        Self { delivery: DeliveryId::of(event.uuid(), webhook.uuid()), event, webhook }
    }
}

/// Refuses what can only be done with a webhook that is switched on.
pub(crate) fn switched_on(target: &Target) -> Result<(), Problem> {
    let off =
        || Problem::Conflict { code: Conflict::NotAllowed, detail: "the webhook is switched off: switch it on first".to_owned() };
    target.enabled.then_some(()).ok_or_else(off)
}

/// Owes an event to a target, whatever became of it before.
pub(crate) async fn owe(app: &App, org: OrgId, webhook: TargetId, event: EventId) -> Result<Shown<Owed>, Problem> {
    let catalog = config::org(app, org)?;
    switched_on(&config::one(&catalog.targets, webhook.uuid(), "webhook")?.value.target)?;
    let found = app.store.event(org, event).await?.ok_or_else(|| Problem::no_such("event"))?;
    let position = found.position();
    if found.whole().is_none() {
        return Err(Problem::Gone("whom the event was about has been erased since"));
    }
    let delivery = DeliveryId::of(event.uuid(), webhook.uuid());
    let (due_at, asked_at) = (app.now(), Some(app.now()));
    let row = DeliveryRow { org, id: delivery, target: webhook, event, position, attempts: 0, due_at, behind: false, asked_at };
    app.store.backend().owe(vec![row]).await?;
    Ok(Shown::later(Owed { delivery, event, webhook }))
}
