//! `/v1/projects`: programmes, campaigns, events and routes.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use domain::{
    Amount, EnrolmentRules, Entropy, FieldDef, FieldType, FieldValue, OrgId, Project, ProjectId, ProjectKind, ScanRules,
    Template, TemplateId, Timestamp, Variant, VariantId, ZoneName,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use store::{Catalog, NameKind, OrgCatalog, Stored, StoredFlow, StoredGoogleAccount, StoredSigner, Unchanged};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::Once,
    config::{self, IfMatch, Shown},
    flows,
    once::Made,
    page::{Page, Paging},
    redraw,
    schema::{self, AmountInput, IdText, TimeText},
    text,
};
use crate::{
    App, Body, Conflict, FieldError, PathParam, Problem, QueryParams,
    auth::{Can, scope},
    password,
    restated::Restated,
};

/// Most variants of a project.
const MAX_VARIANTS: usize = 200;
/// Most fields of a project.
const MAX_FIELDS: usize = 100;
/// Most balances of a project.
const MAX_BALANCES: usize = 20;
/// Most bookings of a scan.
const MAX_BOOKINGS: usize = 10;
/// Most e-mail domains of an enrolment form.
const MAX_DOMAINS: usize = 50;
/// Characters of an enrolment form's password.
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 4..=128;
/// Most characters of a field's or balance's key.
const MAX_KEY_CHARS: usize = 64;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, replace, delete))
}

/// What a project is made of.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProjectInput {
    /// Short name, unique in the organization, used in flows and links: lower case letters, digits and inner hyphens. Links to the
    /// enrolment form that were given out under an earlier one lead nowhere once it changes.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9-]+$")]
    slug: String,
    /// Name shown to people: 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What its passes are.
    #[schema(value_type = schema::ProjectKind)]
    kind: ProjectKind,
    /// Tiers, offers, ticket types or fares; the first is the default. None are needed before passes are issued.
    #[serde(default)]
    #[schema(max_items = 200)]
    variants: Vec<VariantInput>,
    /// The fields its passes have beside the built-in ones.
    #[serde(default)]
    #[schema(max_items = 100)]
    fields: Vec<FieldInput>,
    /// The balances its passes start with, by name: points, stamps, money.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, AmountInput>)]
    balances: BTreeMap<String, Amount>,
    /// How often one pass may be used; null means as often as liked.
    #[serde(default)]
    #[schema(minimum = 1)]
    uses_limit: Option<u32>,
    /// What a scan does.
    #[serde(default)]
    #[schema(value_type = schema::ScanRules, required = false)]
    scan: ScanRules,
    /// Where its days begin and end, for limits per day: a name of the IANA time zone database.
    #[serde(default)]
    #[schema(value_type = String, required = false, default = "UTC", examples("Europe/Berlin"))]
    time_zone: ZoneName,
    /// Apple pass type identifier whose signer signs its passes; null means no Apple passes.
    #[serde(default)]
    apple_pass_type: Option<String>,
    /// Google issuer id under which its classes and objects live; null means no Google passes.
    #[serde(default)]
    google_issuer: Option<String>,
    /// Whether `/e/{slug}` issues passes to whoever fills in the form; the slug is then unique on the whole server. With another
    /// slug, the address of before leads to the new one until another project has its page there.
    #[serde(default)]
    enrolment: bool,
    /// Who may take a pass there, and when.
    #[serde(default)]
    #[schema(value_type = schema::EnrolmentRules, required = false)]
    enrolment_rules: EnrolmentRules,
}

/// A tier, offer, ticket type or fare.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Variant)]
#[serde(deny_unknown_fields)]
struct VariantInput {
    /// Its id within the project: 1 to 64 bytes without blanks.
    #[schema(value_type = String, min_length = 1, max_length = 64, pattern = "^\\S+$")]
    id: VariantId,
    /// Name shown to people: 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// The design of passes that are issued in it, or set to it, from now on. Those in it already keep theirs until `variant` is set
    /// on them again, which a batch does for all of them.
    #[schema(value_type = IdText)]
    template: TemplateId,
    /// How often one pass of it may be used, in place of the project's limit.
    #[serde(default)]
    #[schema(minimum = 1)]
    uses_limit: Option<u32>,
    /// What a scan does, in place of the project's rules.
    #[serde(default)]
    #[schema(value_type = Option<schema::ScanRules>)]
    scan: Option<Box<ScanRules>>,
}

/// A field that every pass of a project has.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = FieldDefinition)]
#[serde(deny_unknown_fields)]
struct FieldInput {
    /// Its key in `fields`: letters, digits, `_` and `-`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
    key: String,
    /// Label shown to people: 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    label: String,
    /// What it holds.
    #[serde(rename = "type", default)]
    #[schema(value_type = schema::FieldType, required = false)]
    field_type: FieldType,
    /// Whether a pass cannot be issued without it.
    #[serde(default)]
    required: bool,
    /// Its value where none is given.
    #[serde(default)]
    #[schema(value_type = Option<schema::FieldValue>)]
    default: Option<FieldValue>,
    /// Whether the enrolment form asks for it.
    #[serde(default)]
    on_form: bool,
}

/// One programme, campaign, event or route.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Project)]
struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: ProjectId,
    #[serde(flatten)]
    input: ProjectInput,
    /// When it was made.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
}

impl View {
    fn of(project: &Project) -> Self {
        let variant = |it: &Variant| VariantInput {
            id: it.id.clone(),
            name: it.name.clone(),
            template: it.template,
            uses_limit: it.uses_limit,
            scan: it.scan.clone(),
        };
        let field = |it: &FieldDef| FieldInput {
            key: it.key.clone(),
            label: it.label.clone(),
            field_type: it.field_type,
            required: it.required,
            default: it.default.clone(),
            on_form: it.on_form,
        };
        let input = ProjectInput {
            slug: project.slug.clone(),
            name: project.name.clone(),
            kind: project.kind,
            variants: project.variants.iter().map(variant).collect(),
            fields: project.fields.iter().map(field).collect(),
            balances: project.balances.clone(),
            uses_limit: project.uses_limit,
            scan: project.scan.clone(),
            time_zone: project.time_zone.clone(),
            apple_pass_type: project.apple_pass_type.clone(),
            google_issuer: project.google_issuer.clone(),
            enrolment: project.enrolment,
            enrolment_rules: project.enrolment_rules.clone(),
        };
        Self { id: project.id, input, created_at: project.created_at }
    }
}

impl From<FieldInput> for FieldDef {
    fn from(it: FieldInput) -> Self {
        let FieldInput { key, label, field_type, required, default, on_form } = it;
        Self { key, label, field_type, required, default, on_form }
    }
}

impl ProjectInput {
    fn check(mut self, id: ProjectId, created_at: Timestamp, app: &App, catalog: &OrgCatalog) -> Result<Project, Problem> {
        let mut faults = Vec::new();
        self.faults(&mut |path, message: &str| faults.push(FieldError::new(path, message)), id, catalog);
        if !faults.is_empty() {
            return Err(Problem::Invalid(faults));
        }
        text::slug(&self.slug, "slug")?;
        self.hide_password(&*app.entropy);
        let variant = |it: VariantInput| Variant {
            id: it.id,
            name: it.name,
            template: it.template,
            uses_limit: it.uses_limit,
            scan: it.scan,
        };
        Ok(Project {
            id,
            slug: self.slug,
            name: text::name(self.name, "name")?,
            kind: self.kind,
            variants: self.variants.into_iter().map(variant).collect(),
            fields: self.fields.into_iter().map(FieldDef::from).collect(),
            balances: self.balances,
            uses_limit: self.uses_limit,
            scan: self.scan,
            time_zone: self.time_zone,
            apple_pass_type: self.apple_pass_type,
            google_issuer: self.google_issuer,
            enrolment: self.enrolment,
            enrolment_rules: self.enrolment_rules,
            created_at,
        })
    }

    fn faults(&self, fault: &mut dyn FnMut(String, &str), id: ProjectId, catalog: &OrgCatalog) {
        for (name, count, most) in [
            ("variants", self.variants.len(), MAX_VARIANTS),
            ("fields", self.fields.len(), MAX_FIELDS),
            ("balances", self.balances.len(), MAX_BALANCES),
        ] {
            if count > most {
                fault(name.to_owned(), &format!("at most {most}"));
            }
        }
        if self.uses_limit == Some(0) {
            fault("uses_limit".to_owned(), "at least 1, or null for no limit");
        }
        self.scan_faults(&self.scan, "scan", fault);
        for (index, variant) in self.variants.iter().enumerate() {
            if self.variants[..index].iter().any(|earlier| earlier.id == variant.id) {
                fault(format!("variants.{index}.id"), "used twice");
            }
            if text::name(variant.name.clone(), "").is_err() {
                fault(format!("variants.{index}.name"), "expected 1 to 200 characters");
            }
            if variant.uses_limit == Some(0) {
                fault(format!("variants.{index}.uses_limit"), "at least 1, or null for the project's limit");
            }
            if let Some(rules) = &variant.scan {
                self.scan_faults(rules, &format!("variants.{index}.scan"), fault);
            }
            if catalog.template(variant.template).is_none_or(|template| template.project != id) {
                fault(format!("variants.{index}.template"), "no such template of this project");
            }
        }
        for (index, field) in self.fields.iter().enumerate() {
            if !is_key(&field.key) || self.fields[..index].iter().any(|earlier| earlier.key == field.key) {
                fault(format!("fields.{index}.key"), "used twice, or not 1 to 64 letters, digits, _ and -");
            }
            if text::name(field.label.clone(), "").is_err() {
                fault(format!("fields.{index}.label"), "expected 1 to 200 characters");
            }
            let misfit = field.default.as_ref().and_then(|value| FieldDef::from(field.clone()).misfit(value));
            if let Some(misfit) = misfit {
                fault(format!("fields.{index}.default"), misfit);
            }
        }
        for (name, amount) in &self.balances {
            if !is_key(name) || *amount < Amount::ZERO {
                fault(format!("balances.{name}"), "expected a name of letters, digits, _ and -, and no less than zero");
            }
        }
        self.enrolment_faults(fault);
        if self.apple_pass_type.as_ref().is_some_and(|pass_type| catalog.signer_of(pass_type).is_none()) {
            fault("apple_pass_type".to_owned(), "no signer for this pass type: add it with POST /v1/signers");
        }
        if self.google_issuer.as_ref().is_some_and(|issuer| catalog.google_account_of(issuer).is_none()) {
            fault("google_issuer".to_owned(), "no account for this issuer: add it with POST /v1/google-accounts");
        }
    }

    fn enrolment_faults(&self, fault: &mut dyn FnMut(String, &str)) {
        let rules = &self.enrolment_rules;
        if rules.opens_at.zip(rules.closes_at).is_some_and(|(opens, closes)| opens >= closes) {
            fault("enrolment_rules.closes_at".to_owned(), "must be after opens_at");
        }
        if rules.email_domains.len() > MAX_DOMAINS {
            fault("enrolment_rules.email_domains".to_owned(), "at most 50");
        }
        for (index, domain) in rules.email_domains.iter().enumerate() {
            let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'.';
            if !domain.contains('.') || domain.starts_with('.') || domain.ends_with('.') || !domain.bytes().all(letters) {
                fault(
                    format!("enrolment_rules.email_domains.{index}"),
                    "expected a domain in lower case, for example example.com",
                );
            }
        }
        let fits = |password: &String| password::is_hash(password) || PASSWORD_CHARS.contains(&password.chars().count());
        if !rules.password.as_ref().is_none_or(fits) {
            fault("enrolment_rules.password".to_owned(), "expected 4 to 128 characters");
        }
    }

    /// Keeps a password as its hash.
    fn hide_password(&mut self, entropy: &dyn Entropy) {
        let rules = &mut self.enrolment_rules;
        rules.password = rules.password.take().map(|it| if password::is_hash(&it) { it } else { password::hash(&it, entropy) });
    }

    fn scan_faults(&self, rules: &ScanRules, path: &str, fault: &mut dyn FnMut(String, &str)) {
        if rules.per_day == Some(0) {
            fault(format!("{path}.per_day"), "at least 1, or null for no limit");
        }
        if rules.extends_days == Some(0) {
            fault(format!("{path}.extends_days"), "at least 1, or null");
        }
        if rules.books.len() > MAX_BOOKINGS {
            fault(format!("{path}.books"), "at most 10");
        }
        let unknown = |name: &String| !self.balances.contains_key(name);
        for (index, booking) in rules.books.iter().enumerate() {
            let path = format!("{path}.books.{index}");
            if unknown(&booking.balance) {
                fault(format!("{path}.balance"), "no such balance of this project: add it to balances");
            }
            if booking.amount == Amount::ZERO {
                fault(format!("{path}.amount"), "books nothing");
            }
            if booking.full_at.is_some_and(|full| full <= Amount::ZERO) {
                fault(format!("{path}.full_at"), "must be above zero");
            }
            match (&booking.reward, booking.full_at) {
                (Some(_), None) => fault(format!("{path}.reward"), "needs full_at: when the card is full"),
                (Some(reward), _) if unknown(reward) => {
                    fault(format!("{path}.reward"), "no such balance of this project: add it to balances");
                }
                _ => {}
            }
        }
        for name in rules.scanner_may.keys().filter(|name| unknown(name)) {
            fault(format!("{path}.scanner_may.{name}"), "no such balance of this project: add it to balances");
        }
    }
}

fn is_key(key: &str) -> bool {
    (1..=MAX_KEY_CHARS).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn enrolment_name(project: &Project) -> Option<Vec<u8>> {
    project.enrolment.then(|| project.slug.as_bytes().to_vec())
}

/// The slugs that a project had its enrolment page at before.
async fn former_names(app: &App, org: OrgId, id: ProjectId) -> Result<Vec<Vec<u8>>, Problem> {
    const PAGE: u32 = 1_000;
    let kind = NameKind::FormerEnrolment.number();
    let (mut found, mut after) = (Vec::new(), (kind, Vec::new()));
    loop {
        let page = app.store.backend().names(org, &after, PAGE).await?;
        let theirs = page.iter().filter(|row| row.kind == kind && row.target == id.uuid());
        found.extend(theirs.map(|row| row.name.clone()));
        match page.last() {
            Some(last) if page.len() == PAGE as usize && last.kind == kind => after = (kind, last.name.clone()),
            _ => return Ok(found),
        }
    }
}

/// Make a project.
///
/// Its templates are made afterwards (they belong to it) and named by its variants with `PUT /v1/projects/{project}`.
#[utoipa::path(post, path = "/v1/projects", tag = "Projects", security(("key" = ["config_write"])),
    request_body = ProjectInput, responses((status = 201, body = View, description = "Made.")))]
async fn create(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    body: Body<ProjectInput>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &body.bytes).await? {
        return Ok(made);
    }
    let now = app.now();
    let id = ProjectId::mint(now, &*app.entropy);
    let (app, can, once, body) = (&app, &can, &once, &body);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let project = body.value.clone().check(id, now, app, config::part(&catalog, can.org)?)?;
        let mut change = config::change(app, can);
        let name = enrolment_name(&project);
        change.removed_names.extend(name.as_deref().map(|name| (NameKind::FormerEnrolment, name)));
        change.names.extend(name.clone().map(|name| (NameKind::Enrolment, name, id.uuid())));
        let mut write = app.store.config_write(&change, &project, 0, false)?;
        write.unchanged = named(&catalog, can.org);
        let shown = Shown::new(format!("/v1/projects/{id}"), View::of(&project));
        once.write_unless_raced(app, can, &body.bytes, write, shown).await
    })
    .await
}

/// List projects.
#[utoipa::path(get, path = "/v1/projects", tag = "Projects", security(("key" = ["config_read"])),
    params(Paging), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Page<View>>, Problem> {
    Ok(Json(paging.of(&config::org(&app, can.org)?.projects, |stored| View::of(&stored.value))))
}

/// Read a project.
#[utoipa::path(get, path = "/v1/projects/{project}", tag = "Projects", security(("key" = ["config_read"])),
    params(("project" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<ProjectId>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.projects, id.uuid(), "project")?;
    Ok(Shown::at(stored.revision, View::of(&stored.value)))
}

/// The configuration with another state of a project.
fn with(catalog: &OrgCatalog, stored: &Stored<Project>, project: &Project) -> OrgCatalog {
    let mut after = catalog.clone();
    after.projects.insert(project.id.uuid(), Stored { value: Arc::new(project.clone()), ..stored.clone() });
    after
}

/// What a project was found to name.
fn named(catalog: &Catalog, org: OrgId) -> Vec<Unchanged> {
    let accounts = catalog.unchanged::<StoredGoogleAccount>(org);
    vec![catalog.unchanged::<Template>(org), catalog.unchanged::<StoredSigner>(org), accounts]
}

/// Refuses to take from passes what wallets know them by.
async fn keep_identities(app: &App, org: OrgId, before: &Project, after: &Project) -> Result<(), Problem> {
    let identities = [
        ("apple_pass_type", &before.apple_pass_type, &after.apple_pass_type),
        ("google_issuer", &before.google_issuer, &after.google_issuer),
    ];
    let changed = identities.into_iter().find(|(_, before, after)| before.is_some() && before != after);
    let Some((name, Some(held), _)) = changed else { return Ok(()) };
    if app.store.backend().passes(org, Some(before.id), None, None, 1).await?.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "wallets know the project's passes by their {name} `{held}`, and would not find them any more: leave it as it is, and make \
         another project for what is issued from now on"
    );
    Err(Problem::Conflict { code: Conflict::InUse, detail })
}

/// Replace a project.
///
/// Refused (409) where a flow that runs would break, and where the project has passes and its `apple_pass_type` or
/// `google_issuer` would change. Passes that show the name of the project or of a variant are drawn anew when it changes, as after
/// a publication: see `GET /v1/publications`.
#[utoipa::path(put, path = "/v1/projects/{project}", tag = "Projects", security(("key" = ["config_write"])),
    params(("project" = IdText, Path, description = "Its id."), IfMatch),
    request_body = ProjectInput, responses((status = 200, body = View, description = "As it is now.")))]
async fn replace(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<ProjectId>,
    if_match: IfMatch,
    body: Restated<ProjectInput, View>,
) -> Result<Shown<View>, Problem> {
    let (app, can, body) = (&app, &can, &body);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let org = config::part(&catalog, can.org)?;
        let stored = config::one(&org.projects, id.uuid(), "project")?;
        if_match.check(stored.revision)?;
        let project = body.value.clone().check(id, stored.value.created_at, app, org)?;
        if project.kind != stored.value.kind {
            return Err(Problem::field("kind", "cannot change once the project exists: make another project"));
        }
        flows::survive(org, &with(org, stored, &project))?;
        keep_identities(app, can.org, &stored.value, &project).await?;
        let (before, after) = (enrolment_name(&stored.value), enrolment_name(&project));
        let mut change = config::change(app, can);
        if before != after {
            let former = before.iter().chain(&after).map(|name| (NameKind::FormerEnrolment, name.as_slice()));
            change.removed_names.extend(before.as_deref().map(|name| (NameKind::Enrolment, name)).into_iter().chain(former));
            // Printed addresses go on leading here.
            change.names.extend(before.clone().map(|name| (NameKind::FormerEnrolment, name, id.uuid())));
            change.names.extend(after.clone().map(|name| (NameKind::Enrolment, name, id.uuid())));
        }
        let mut row = app.store.config_write(&change, &project, stored.revision, false)?;
        row.unchanged = named(&catalog, can.org);
        row.unchanged.push(catalog.unchanged::<StoredFlow>(can.org));
        let shows_it = |template: &Template| redraw::shows_change(template, &stored.value, &project);
        let is_done = redraw::write(app, can, org, row, shows_it).await?;
        Ok(is_done.then(|| Shown::at(stored.revision + 1, View::of(&project))))
    })
    .await
}

/// Delete a project.
///
/// Only one that never issued a pass: a pass on a phone keeps asking about its project.
#[utoipa::path(delete, path = "/v1/projects/{project}", tag = "Projects", security(("key" = ["config_write"])),
    params(("project" = IdText, Path, description = "Its id."), IfMatch), responses((status = 204, description = "Deleted.")))]
async fn delete(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<ProjectId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let (app, can) = (&app, &can);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let org = config::part(&catalog, can.org)?;
        let stored = config::one(&org.projects, id.uuid(), "project")?;
        if_match.check(stored.revision)?;
        if !app.store.backend().passes(can.org, Some(id), None, None, 1).await?.is_empty() {
            return Err(Problem::Conflict { code: Conflict::InUse, detail: "the project has passes".to_owned() });
        }
        let mut after = OrgCatalog::clone(org);
        after.projects.remove(&id.uuid());
        flows::survive(org, &after)?;
        let (name, former) = (enrolment_name(&stored.value), former_names(app, can.org, id).await?);
        let mut change = config::change(app, can);
        change.removed_names.extend(name.as_deref().map(|name| (NameKind::Enrolment, name)));
        change.removed_names.extend(former.iter().map(|name| (NameKind::FormerEnrolment, name.as_slice())));
        let mut write = app.store.config_write(&change, &*stored.value, stored.revision, true)?;
        write.unchanged = vec![catalog.unchanged::<StoredFlow>(can.org)];
        write.without_passes = vec![(can.org, id)];
        config::write_unless_raced(app, write, StatusCode::NO_CONTENT).await
    })
    .await
}
