//! `/v1/destinations`: services with an account that are told of events, each in its own words: customer databases, data
//! platforms, chat, any HTTP API, code of one's own.

use std::{collections::BTreeMap, sync::Arc};

use ::connectors::{
    catalog::{CONNECTORS, Carrier, Descriptor, Vendor},
    custom::settings::{CODE, INSTALLED, PASS_UPDATER, UNINSTALLED},
    kit::{Credentials, Secret, SettingProblem, StoreAccount, check_settings, find_setting, headers as header_rules},
};
use axum::{Json, extract::State};
use domain::{
    Action, Answer, Channel, EventKind, Facts, FieldValue, MessageOrder, OrgId, PassId, PassRef, Payload, ProjectId, Target,
    TargetEvents, TargetId, TargetPace, TemplateId, Terms, Timestamp, Wallet,
};
use http::StatusCode;
use outbound::{
    mail::Server,
    stream::{kafka, nats},
};
use serde::{Deserialize, Serialize};
use store::{Catalog, LoggedEvent, OrgCatalog, SealedSecret, Stored, StoredTarget};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::{self, Once},
    config::{self, FirstSeen, IfMatch, Shown},
    once::Made,
    page::{Page, Paging, sorted_page},
    schema::{self, IdText, TimeText},
    target_auth::{self, AuthInput, CertificateInput},
    target_made,
    targets::{self, Owed, PaceInput, SwitchOffInput, check_filters, vendor},
    text, transformations, webhook_test,
};
use crate::{
    App, Body, Conflict, PathParam, Problem, QueryParams,
    auth::{Caller, Can, scope},
    restated::Restated,
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, replace, delete)).routes(routes!(test))
}

/// What a destination is made of.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DestinationInput {
    /// Name shown to people: 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Which service: a slug of `GET /v1/connectors` that has a `destination`.
    #[schema(pattern = "^[a-z0-9-]+$", max_length = 64, examples("hubspot"))]
    kind: String,
    /// Where to send, where the service's address is not known or another is wanted: a sandbox, a proxy of yours.
    #[serde(default)]
    url: Option<String>,
    /// What is set for it: see `GET /v1/connectors/{connector}`. Credentials are kept sealed, and answers show null in the place of
    /// their values. A null that is given keeps the value that is stored under this name.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, schema::FieldChange>, required = false)]
    settings: BTreeMap<String, Option<FieldValue>>,
    /// Headers to send, where the service takes some. Kept and shown like credentials.
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    /// Only events of this project; null means all of the organization. A wallet status is then that in this project.
    #[serde(default)]
    #[schema(value_type = Option<IdText>)]
    project: Option<ProjectId>,
    /// Only events of installations in this wallet, and of passes that it holds at the time: `apple` or `google`; null means all.
    #[serde(default)]
    #[schema(value_type = Option<schema::WalletName>)]
    wallet: Option<Wallet>,
    /// Only events of passes of these templates; empty means all. At most 50.
    #[serde(default)]
    #[schema(value_type = Vec<IdText>, required = false, max_items = 50)]
    templates: Vec<TemplateId>,
    /// Only these events; null means all that the service has a word for.
    #[serde(default)]
    #[schema(value_type = Option<Vec<schema::EventType>>)]
    events: Option<Vec<EventKind>>,
    /// Only events for which this condition holds, as a webhook's `filter`.
    #[serde(default)]
    #[schema(max_length = 10_000, examples("properties.pass.fields.tier = \"gold\""))]
    filter: Option<String>,
    /// What makes the body, of `http-call`, instead of its setting `body`: a template, a mapping or a transformation of the
    /// event in our own shape, as a webhook's `payload`.
    #[serde(default)]
    #[schema(value_type = Option<target_made::PayloadInput>)]
    payload: Option<Payload>,
    /// How we prove who we are, of `http-call`: other services have credentials among their settings.
    #[serde(default)]
    auth: Option<AuthInput>,
    /// The certificate that we show where the receiver asks for one, of `http-call`.
    #[serde(default)]
    certificate: Option<CertificateInput>,
    /// By which of the operator's ways out it is sent to, as a webhook's `egress`.
    #[serde(default)]
    #[schema(max_length = 64, examples("office"))]
    egress: Option<String>,
    /// How fast it is sent to, of services whose settings name `pace`: others have a pace of their own.
    #[serde(default)]
    pace: PaceInput,
    /// After how much failure we switch it off.
    #[serde(default)]
    switch_off: SwitchOffInput,
    /// Every how many hours all contacts are compared, of services that hold a state of each; null means when somebody asks for it.
    /// Whom events overtook, and what was missed while it was switched off, is repaired then. With services whose `state_is_read`
    /// (`GET /v1/connectors/{connector}`) what they hold is compared; with the others what they were told last.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 8760)]
    backfill_every_hours: Option<u32>,
    /// Whether it is told of everybody anew then, whatever it was told last or holds.
    #[serde(default)]
    backfill_everything: bool,
    /// Whether Standard Webhooks headers are left out, where requests are signed.
    #[serde(default)]
    without_standard_headers: bool,
    /// Whether deliveries are made; while not, none are owed.
    #[serde(default = "yes")]
    #[schema(default = true)]
    enabled: bool,
}

const fn yes() -> bool {
    true
}

/// A service that is told of events.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Destination)]
struct View {
    /// Its id. Deliveries and attempts name it as `webhook`.
    #[schema(value_type = IdText)]
    id: TargetId,
    #[serde(flatten)]
    input: DestinationInput,
    /// Why we switched it off, when we did.
    disabled_reason: Option<String>,
    /// Since when it may have missed events, when it was switched off since then: `POST /v1/webhooks/{webhook}/replay` with its id
    /// sends them.
    #[schema(value_type = Option<TimeText>)]
    missed_since: Option<Timestamp>,
    /// The secret that requests are signed with, by Standard Webhooks: shown when it is made, for services that are signed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// When it was made; events before that are not owed.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
}

impl View {
    fn of(stored: &StoredTarget) -> Self {
        let Target { id, name, url, created_at, terms } = stored.target.clone();
        let terms = Arc::unwrap_or_clone(terms);
        let mut settings: BTreeMap<String, Option<FieldValue>> =
            terms.settings.into_iter().map(|(name, value)| (name, Some(value))).collect();
        settings.extend(stored.sealed_settings.keys().map(|name| (name.clone(), None)));
        let input = DestinationInput {
            name,
            kind: terms.dialect,
            url: Some(url).filter(|url| !url.is_empty()),
            settings,
            headers: stored.header_names().map(|name| (name.to_owned(), None)).collect(),
            project: terms.project,
            wallet: terms.wallet,
            templates: terms.templates,
            events: targets::named_kinds(terms.events),
            filter: terms.filter,
            payload: terms.payload,
            auth: terms.auth.as_ref().map(AuthInput::of),
            certificate: terms.certificate.as_ref().map(CertificateInput::of),
            egress: terms.egress,
            pace: PaceInput::of(terms.pace),
            switch_off: SwitchOffInput::of(terms.switch_off),
            backfill_every_hours: terms.backfill_every_hours,
            backfill_everything: terms.backfill_everything,
            without_standard_headers: terms.without_standard_headers,
            enabled: terms.enabled,
        };
        Self { id, input, disabled_reason: terms.disabled_reason, missed_since: terms.missed_since, secret: None, created_at }
    }
}

/// A destination by its id.
pub(crate) fn one(catalog: &OrgCatalog, id: TargetId) -> Result<&Stored<StoredTarget>, Problem> {
    let found = config::one(&catalog.targets, id.uuid(), "destination")?;
    if vendor(&found.value.target).is_some() { Ok(found) } else { Err(Problem::no_such("destination")) }
}

/// A destination that is asked for, with its credentials.
struct Asked {
    target: Target,
    credentials: BTreeMap<String, String>,
}

/// The one that is replaced, opened.
struct Held {
    target: Target,
    credentials: BTreeMap<String, String>,
}

fn wrong(problem: SettingProblem) -> Problem {
    let own =
        ["url", "headers", "events", "project"].iter().any(|own| problem.name == *own || problem.name.starts_with("headers."));
    let path = if own { problem.name } else { format!("settings.{}", problem.name) };
    Problem::field(path, problem.message)
}

impl DestinationInput {
    /// Whether backfills can be made when they are asked for.
    fn schedule(&self, vendor: &Vendor) -> Result<(), Problem> {
        if vendor.state.is_none() && self.backfill_every_hours.is_some() {
            let why = "it holds no state of contacts that could be compared: it is told of events alone";
            return Err(Problem::field("backfill_every_hours", why));
        }
        if self.backfill_every_hours.is_some_and(|hours| !(1..=8_760).contains(&hours)) {
            return Err(Problem::field("backfill_every_hours", "expected 1 to 8760, or null"));
        }
        if self.backfill_everything && self.backfill_every_hours.is_none() {
            return Err(Problem::field("backfill_everything", "it is about a schedule: give `backfill_every_hours` too"));
        }
        Ok(())
    }

    /// Whether the service takes what is given beside its settings.
    fn is_taken(&self, connector: &Descriptor, vendor: &Vendor, pace: TargetPace) -> Result<(), Problem> {
        let takes = |name: &str| connector.settings.iter().any(|setting| setting.name == name);
        if !self.headers.is_empty() && !takes("headers") {
            return Err(Problem::field("headers", "this service takes none: its credentials are settings"));
        }
        let alerts = vendor.alerts_every.is_some();
        let given = [
            ("auth", self.auth.is_some()),
            ("certificate", self.certificate.is_some()),
            ("pace", pace != TargetPace::default()),
            ("payload", self.payload.is_some()),
            ("project", alerts && self.project.is_some()),
            ("wallet", alerts && self.wallet.is_some()),
            ("templates", alerts && !self.templates.is_empty()),
            ("filter", alerts && self.filter.is_some()),
        ];
        match given.into_iter().find(|(name, is_given)| *is_given && !takes(name)) {
            Some((name, _)) => Err(Problem::field(name, "this service takes none: see its settings")),
            None => Ok(()),
        }
    }

    /// The destination that is asked for, with its credentials apart; `held` is the one that it replaces.
    async fn check(
        self,
        app: &App,
        caller: &Caller,
        catalog: &OrgCatalog,
        id: TargetId,
        held: Option<&Held>,
    ) -> Result<Asked, Problem> {
        let (connector, vendor) = self.connector()?;
        let url = self.address(app, vendor)?;
        self.filters(catalog, connector)?;
        self.schedule(&vendor)?;
        let pace = self.pace.check()?;
        self.is_taken(connector, &vendor, pace)?;
        let held_at_once = held.and_then(|held| held.target.pace.concurrency);
        let goes_together = connector.destination.is_some_and(|destination| destination.pace.events > 1);
        if goes_together && pace.concurrency.is_some_and(|asked| Some(asked) != held_at_once) {
            return Err(Problem::field("pace.concurrency", "batches go to this service one after another: leave it out"));
        }
        let (settings, credentials) = split(connector, self.settings, held)?;
        let kept = held.map(|held| &held.target);
        let headers = targets::headers(self.headers, kept)?;
        header_rules::check(&headers).map_err(|fault| Problem::field("headers", fault.to_string()))?;
        let auth = self.auth.map(|auth| auth.check(app, kept.and_then(|kept| kept.auth.as_ref()))).transpose()?;
        let certificate = self.certificate.map(|it| it.check(kept.and_then(|kept| kept.certificate.as_ref()))).transpose()?;
        let all = if vendor.alerts_every.is_some() { TargetEvents::Operational } else { TargetEvents::All };
        let created_at = kept.map_or_else(|| app.now(), |kept| kept.created_at);
        let terms = Terms {
            project: self.project,
            dialect: self.kind,
            settings,
            wallet: self.wallet,
            templates: self.templates,
            egress: targets::egress(app, caller.org, self.egress)?,
            sends: vendor.messenger.map(|messenger| messenger.channel),
            events: self.events.map_or(all, TargetEvents::Only),
            filter: self.filter,
            payload: self.payload,
            headers,
            auth,
            certificate,
            pace,
            switch_off: self.switch_off.check()?,
            backfill_every_hours: self.backfill_every_hours,
            backfill_everything: self.backfill_everything,
            post_only: true,
            without_standard_headers: self.without_standard_headers,
            enabled: self.enabled,
            missed_since: targets::missed_since(app, kept, self.enabled),
            ..Terms::default()
        };
        let target = Target { terms: Arc::new(terms), ..Target::new(id, &text::name(self.name, "name")?, &url, created_at) };
        target_auth::check_headers(&target)?;
        target_made::check(catalog, &target).await?;
        let opened: Credentials = credentials.clone().into_iter().collect();
        (vendor.check)(&target, &opened).map_err(wrong)?;
        if let Carrier::Objects(bucket) = vendor.carrier
            && matches!(bucket(&target, &opened).account, StoreAccount::Folder)
            && !app.settings.takes_files
        {
            let why = "the operator of this server allows no folder: files_folder in its configuration names one";
            return Err(Problem::field("settings.store", why));
        }
        if vendor.call.is_some() {
            code(&target).await?;
        }
        Ok(Asked { target, credentials })
    }

    fn connector(&self) -> Result<(&'static Descriptor, Vendor), Problem> {
        let found = ::connectors::catalog::find(&self.kind).and_then(|it| Some((it, it.destination?.vendor?)));
        found.ok_or_else(|| {
            let is_service = |it: &&Descriptor| it.destination.is_some_and(|destination| destination.vendor.is_some());
            let known: Vec<_> = CONNECTORS.iter().filter(is_service).map(|it| it.slug).collect();
            Problem::field("kind", format!("there is no such destination: expected one of {}", known.join(", ")))
        })
    }

    /// The address, of which what a template begins after is judged now and all of it when it is called.
    fn address(&self, app: &App, vendor: Vendor) -> Result<String, Problem> {
        let Some(url) = &self.url else {
            return if vendor.takes_url { Err(Problem::field("url", "this is required")) } else { Ok(String::new()) };
        };
        let plain = url.split("{{").next().unwrap_or_default();
        let policy = &app.settings.address_policy;
        let judged = match vendor.carrier {
            Carrier::Http | Carrier::Objects(_) => policy.check_url(plain),
            Carrier::Database(_) => policy.check_database(url).map(drop),
            Carrier::Mail => Server::parse(policy, url).map(drop),
            Carrier::Nats(_) => nats::check(policy, url).map(drop),
            Carrier::Kafka(_) => kafka::check(policy, url).map(drop),
        };
        judged.map_err(|refusal| Problem::field("url", refusal.to_string()))?;
        Ok(url.clone())
    }

    fn filters(&self, catalog: &OrgCatalog, connector: &Descriptor) -> Result<(), Problem> {
        let is_messenger = connector.destination.and_then(|it| it.vendor?.messenger).is_some();
        let given =
            [("events", self.events.is_some()), ("wallet", self.wallet.is_some()), ("templates", !self.templates.is_empty())];
        if let Some((name, _)) = given.into_iter().find(|(_, is_given)| is_messenger && *is_given) {
            return Err(Problem::field(name, "leave it out: it sends the messages that flows and callers ask for"));
        }
        let wants = |kind: EventKind| connector.destination.is_some_and(|destination| (destination.wants)(kind));
        let untold = |kind: EventKind| (!wants(kind)).then(|| format!("this service is never told of {}", kind.name()));
        check_filters(catalog, self.project, &self.templates, self.events.as_deref(), untold)
    }
}

type Settings = BTreeMap<String, FieldValue>;

/// Settings and credentials apart; those that are null stay as they are stored.
fn split(
    connector: &Descriptor,
    given: BTreeMap<String, Option<FieldValue>>,
    held: Option<&Held>,
) -> Result<(Settings, BTreeMap<String, String>), Problem> {
    let (mut settings, mut credentials) = (Settings::new(), BTreeMap::new());
    for (name, value) in given {
        let kept = || held.and_then(|held| held.credentials.get(&name)).map(|kept| FieldValue::Text(kept.clone()));
        let path = format!("settings.{name}");
        let value = value.or_else(kept).ok_or_else(|| Problem::field(path, "give its value: there is none to keep"))?;
        settings.insert(name, value);
    }
    check_settings(connector.settings, &settings).map_err(wrong)?;
    let is_secret = |name: &str| find_setting(connector.settings, name).is_some_and(|setting| setting.takes.is_secret());
    for name in settings.keys().filter(|name| is_secret(name)).cloned().collect::<Vec<_>>() {
        if let Some(FieldValue::Text(value)) = settings.remove(&name) {
            credentials.insert(name, value);
        }
    }
    Ok((settings, credentials))
}

/// Refuses code that does not load or registers nothing that is ever called.
async fn code(target: &Target) -> Result<(), Problem> {
    let Some(FieldValue::Text(source)) = target.settings.get(CODE.name) else { return Ok(()) };
    let path = format!("settings.{}", CODE.name);
    let connector = script::Connector::new(source);
    let checked =
        transformations::blocking(move || connector.check(transformations::indoors(), &script::Limits::default())).await?;
    let registered = checked.map_err(|fault| Problem::field(path.clone(), fault.to_string()))?;
    let listed = |names: Vec<&str>| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let Some(updater) = registered.iter().find(|it| it.point == PASS_UPDATER) else {
        let known = listed(registered.iter().map(|it| it.point.as_str()).collect());
        return Err(Problem::field(path, format!("it registers {known}: only {PASS_UPDATER} is called")));
    };
    if updater.functions.iter().any(|name| name == INSTALLED || name == UNINSTALLED) {
        return Ok(());
    }
    let known = listed(updater.functions.iter().map(String::as_str).collect());
    let why = format!("it registers {known} at {PASS_UPDATER}: only the functions {INSTALLED} and {UNINSTALLED} are called");
    Err(Problem::field(path, why))
}

/// The row that is kept.
fn sealed(app: &App, caller: &Caller, asked: Asked, secrets: Vec<SealedSecret>) -> Result<StoredTarget, Problem> {
    let id = asked.target.id;
    let mut stored = app.store.seal_target(caller.org, asked.target, secrets)?;
    for (name, value) in asked.credentials {
        stored.sealed_settings.insert(name, app.store.seal_setting(caller.org, id, &value)?);
    }
    Ok(stored)
}

/// Make a destination.
#[utoipa::path(post, path = "/v1/destinations", tag = "Destinations", security(("key" = ["config_write"])),
    request_body = DestinationInput,
    responses((status = 201, body = View, description = "Made. This answer alone shows the signing secret, where there is one.")))]
async fn create(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    body: Body<DestinationInput>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &body.bytes).await? {
        return Ok(made);
    }
    let (id, secret) = (TargetId::mint(app.now(), &*app.entropy), Secret::mint(&*app.entropy));
    let (app, can, once, body, secret) = (&app, &can, &once, &body, &secret);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let asked = body.value.clone().check(app, can, config::part(&catalog, can.org)?, id, None).await?;
        let signs = vendor(&asked.target).is_some_and(|vendor| vendor.signs);
        let secrets = vec![targets::seal(app, can.org, id, secret)?.into()];
        let stored = sealed(app, can, asked, secrets)?;
        let mut write = app.store.config_write(&config::change(app, can), &stored, 0, false)?;
        write.unchanged.extend(targets::named(&catalog, can.org, &stored.target));
        let view = View { secret: signs.then(|| secret.expose().to_owned()), ..View::of(&stored) };
        once.write_unless_raced(app, can, &body.bytes, write, Shown::new(format!("/v1/destinations/{id}"), view)).await
    })
    .await
}

/// List destinations.
#[utoipa::path(get, path = "/v1/destinations", tag = "Destinations", security(("key" = ["config_read"])),
    params(Paging), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Page<View>>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let services = catalog.targets.iter().filter(|(_, stored)| vendor(&stored.value.target).is_some());
    Ok(Json(sorted_page(services, paging.after(), paging.limit, |stored| View::of(&stored.value))))
}

/// Read a destination.
#[utoipa::path(get, path = "/v1/destinations/{destination}", tag = "Destinations", security(("key" = ["config_read"])),
    params(("destination" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TargetId>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = one(&catalog, id)?;
    Ok(Shown::at(stored.revision, View::of(&stored.value)))
}

/// Replace a destination.
///
/// Credentials that are given as null stay; one that we switched off is on again when `enabled` says so.
#[utoipa::path(put, path = "/v1/destinations/{destination}", tag = "Destinations", security(("key" = ["config_write"])),
    params(("destination" = IdText, Path, description = "Its id."), IfMatch),
    request_body = DestinationInput, responses((status = 200, body = View, description = "As it is now.")))]
async fn replace(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TargetId>,
    if_match: IfMatch,
    body: Restated<DestinationInput, View>,
) -> Result<Shown<View>, Problem> {
    // Who says that it is on, as it was, does not switch it on again.
    let first = FirstSeen::new();
    let (app, can, body, first) = (&app, &can, &body, &first);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let org = config::part(&catalog, can.org)?;
        let stored = one(org, id)?;
        if_match.check(stored.revision)?;
        first.still(stored.value.target.enabled)?;
        let held = Held {
            target: app.store.open_target(can.org, &stored.value)?,
            credentials: app.store.open_settings(can.org, &stored.value)?,
        };
        let asked = body.value.clone().check(app, can, org, id, Some(&held)).await?;
        let changed = sealed(app, can, asked, stored.value.sealed_secrets.clone())?;
        let mut write = app.store.config_write(&config::change(app, can), &changed, stored.revision, false)?;
        write.unchanged.extend(targets::named(&catalog, can.org, &changed.target));
        config::write_unless_raced(app, write, Shown::at(stored.revision + 1, View::of(&changed))).await
    })
    .await
}

/// Delete a destination.
///
/// What is still owed to it is given up; what the service holds stays there.
#[utoipa::path(delete, path = "/v1/destinations/{destination}", tag = "Destinations", security(("key" = ["config_write"])),
    params(("destination" = IdText, Path, description = "Its id."), IfMatch), responses((status = 204, description = "Deleted.")))]
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

/// What to test with.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = DestinationTest)]
struct Wish {
    /// Of senders of messages: an e-mail address or phone number of yours that the message goes to.
    to: Option<String>,
    /// Of senders of messages: the pass that it is about; the newest unless told.
    #[schema(value_type = Option<IdText>)]
    pass: Option<PassId>,
}

/// Test a destination.
///
/// Tells it of the newest event that it is meant for once more. There must have been one. A sender of messages sends one to
/// `to`, and alerts say that they are tried.
#[utoipa::path(post, path = "/v1/destinations/{destination}/test", tag = "Destinations", security(("key" = ["config_write"])),
    params(("destination" = IdText, Path, description = "Its id.")),
    request_body = Option<Wish>, responses((status = 202, body = Owed, description = "On its way.")))]
async fn test(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TargetId>,
    body: Body<Wish>,
) -> Result<Shown<Owed>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let target = &one(&catalog, id)?.value.target;
    let wish = body.value;
    if let Some(channel) = target.sends {
        return test_message(&app, &can, target, channel, wish).await;
    }
    if wish.to.is_some() || wish.pass.is_some() {
        return Err(Problem::field("to", "only senders of messages take it"));
    }
    if vendor(target).is_some_and(|vendor| vendor.alerts_every.is_some()) {
        return test_alert(&app, &can, target).await;
    }
    let none = || Problem::Conflict {
        code: Conflict::NoEvent,
        detail: "no event that it is meant for yet: issue a pass first".to_owned(),
    };
    let wants = ::connectors::catalog::find(&target.dialect).and_then(|it| it.destination).map(|it| it.wants);
    let wants = |kind| wants.is_some_and(|wants| wants(kind));
    let event = webhook_test::newest_for(&app, can.org, target, wants).await?.ok_or_else(none)?;
    targets::owe(&app, can.org, id, event).await
}

/// Tells one that is told of the running of things that it is tried.
async fn test_alert(app: &Arc<App>, caller: &Caller, target: &Target) -> Result<Shown<Owed>, Problem> {
    targets::switched_on(target)?;
    let note = Action::Note { facts: Box::new(Facts::WebhookTested { webhook: target.id }) };
    match app.engine.submit(commands::command(app, caller, None, note)).await?.answer {
        // It finds its way by itself.
        Answer::Noted { event } => Ok(Shown::later(Owed::new(target.id, event))),
        other => Err(Problem::Internal(format!("a note was answered with {other:?}"))),
    }
}

/// Sends a message to an address of the caller's.
async fn test_message(
    app: &Arc<App>,
    caller: &Caller,
    target: &Target,
    channel: Channel,
    wish: Wish,
) -> Result<Shown<Owed>, Problem> {
    targets::switched_on(target)?;
    let to = wish.to.ok_or_else(|| Problem::field("to", "this is required: an address or a number of yours"))?;
    let to = match channel {
        Channel::Email => domain::normalise_email(&to),
        Channel::Sms => domain::normalise_phone(&to)
            .ok_or_else(|| Problem::field("to", "expected a number with its country, for example +4930901820"))?,
    };
    let pass = match wish.pass {
        Some(pass) => pass,
        None => newest_pass(app, caller.org, target).await?,
    };
    let (sender, test_to) = (Some(target.id.to_string()), Some(to));
    let order = MessageOrder { channel, sender, test_to, subject: None, text: None, despite_bounce: true };
    let action = Action::Send { pass: PassRef::Id(pass), order: Box::new(order) };
    match app.engine.submit(commands::command(app, caller, None, action)).await?.answer {
        Answer::Noted { event } => Ok(Shown::later(Owed::new(target.id, event))),
        other => Err(Problem::Internal(format!("a message was answered with {other:?}"))),
    }
}

/// The pass that was issued last, among those that the sender is for.
async fn newest_pass(app: &App, org: OrgId, target: &Target) -> Result<PassId, Problem> {
    let mut any = Target::new(target.id, "", "", target.created_at);
    any.project = target.project;
    let event = webhook_test::newest_for(app, org, &any, |kind| kind == EventKind::PassCreated).await?;
    let event = match event {
        Some(event) => app.store.event(org, event).await?,
        None => None,
    };
    let pass = event.and_then(LoggedEvent::whole).and_then(|event| event.pass);
    pass.ok_or_else(|| Problem::Conflict {
        code: Conflict::NoEvent,
        detail: "there is no pass to test with: issue one first".to_owned(),
    })
}
