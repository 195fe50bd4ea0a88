//! `/v1/templates`: designs, from draft to published.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{Design, OrgId, Project, ProjectId, PublicationId, Template, TemplateId, TemplateStatus, Timestamp};
use http::StatusCode;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use store::{Catalog, OrgCatalog, Stored, StoredDraft, StoredVersion};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::Once,
    config::{self, IfMatch, Shown},
    images,
    once::Made,
    page::{After, Limit, Page, sorted_page},
    schema::{IdText, TimeText},
    schema_design,
    template_report::{self, FindingView},
    text,
};
use crate::{
    App, Body, Conflict, FieldError, PathParam, Problem, QueryParams,
    auth::{Caller, Can, scope},
    restated::Restated,
};

/// How often publishing is tried again that the progress of the publication before came in between of.
const MAX_RACES: usize = 20;
/// Most bytes of a design as JSON.
const MAX_DESIGN_BYTES: usize = 128 * 1024;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, replace, delete))
        .routes(routes!(discard))
        .routes(routes!(publish))
}

/// What a new template is made of.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TemplateInput {
    /// The project whose passes it draws.
    #[schema(value_type = IdText)]
    project: ProjectId,
    /// Name shown to people: 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// The design.
    #[schema(value_type = schema_design::Design)]
    design: Design,
}

/// What may change about a template.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TemplateChange {
    /// Name shown to people: 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// The design.
    #[schema(value_type = schema_design::Design)]
    design: Design,
    /// Null where it is given: `design` says what becomes of the draft.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    draft: Option<IgnoredAny>,
}

/// A design that renders to Apple and to Google.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Template)]
pub(super) struct View {
    /// Its id, the same over all versions.
    #[schema(value_type = IdText)]
    id: TemplateId,
    /// The project whose passes it draws.
    #[schema(value_type = IdText)]
    project: ProjectId,
    /// Name shown to people.
    name: String,
    /// Number of the published version, from 1; 0 while it was never published.
    version: u32,
    /// `draft` or `published`.
    #[schema(value_type = String)]
    status: TemplateStatus,
    /// The design that passes are drawn with; of a template that was never published, its draft.
    #[schema(value_type = schema_design::Design)]
    design: Design,
    /// What follows the published version once it is published itself.
    draft: Option<DraftView>,
    /// What keeps the draft from being published.
    problems: Vec<FieldError>,
    /// What the wallets would refuse, leave out or show otherwise, found on a sample pass; left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    findings: Option<Vec<FindingView>>,
    /// When it was made.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
}

/// What follows a published version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TemplateDraft)]
struct DraftView {
    /// Name shown to people.
    name: String,
    /// The design.
    #[schema(value_type = schema_design::Design)]
    design: Design,
    /// When it was last changed.
    #[schema(value_type = TimeText)]
    updated_at: Timestamp,
}

/// How a template is published.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishInput {
    /// Whether every pass that looks anew gets an event `pass.updated` with `changed: ["template"]`.
    #[serde(default)]
    updated_events: bool,
}

/// A template that was published, and what brings it to the phones.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PublishedTemplate)]
struct Published {
    #[serde(flatten)]
    template: View,
    /// Wakes the phones that hold its passes: see `GET /v1/publications/{publication}`. Null when no phone can hold one yet, or
    /// nothing was changed.
    #[schema(value_type = Option<IdText>)]
    publication: Option<PublicationId>,
}

impl View {
    pub(super) fn of(template: &Template, catalog: &OrgCatalog) -> Self {
        let draft = catalog.draft_of(template.id);
        let next = draft.map_or(&template.design, |draft| &draft.value.design);
        Self {
            id: template.id,
            project: template.project,
            name: template.name.clone(),
            version: template.version,
            status: template.status,
            problems: catalog.project(template.project).map(|project| faults(next, project)).unwrap_or_default(),
            draft: draft.map(|draft| DraftView {
                name: draft.value.name.clone(),
                design: draft.value.design.clone(),
                updated_at: draft.updated_at,
            }),
            design: template.design.clone(),
            findings: None,
            created_at: template.created_at,
        }
    }

    /// With what the wallets would say.
    fn with(mut self, findings: Vec<FindingView>) -> Self {
        self.findings = Some(findings);
        self
    }
}

/// The version of a template with its draft: one of both changes, and so does this.
fn version(stored: &Stored<Template>, draft: Option<&Stored<StoredDraft>>) -> i64 {
    (stored.revision << 20) + draft.map_or(0, |draft| draft.revision)
}

/// The template as it is now, with its draft.
async fn shown(app: &App, org: OrgId, id: TemplateId) -> Result<Shown<View>, Problem> {
    let catalog = config::org(app, org)?;
    let stored = config::one(&catalog.templates, id.uuid(), "template")?;
    let draft = catalog.draft_of(id);
    let next = match draft {
        Some(draft) => &Template { design: draft.value.design.clone(), ..(*stored.value).clone() },
        None => &*stored.value,
    };
    let findings = template_report::findings(app, org, next, &catalog).await?;
    Ok(Shown::at(version(stored, draft), View::of(&stored.value, &catalog).with(findings)))
}

/// Which templates to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only of this project.
    #[param(value_type = Option<IdText>)]
    project: Option<ProjectId>,
    /// How many: 1 to 100, 50 unless told.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<After>,
}

pub(super) fn faults(design: &Design, project: &Project) -> Vec<FieldError> {
    let found = design.problems(project).into_iter();
    found.map(|problem| FieldError::new(format!("design.{}", problem.path), problem.message)).collect()
}

/// Refuses a design that is too large to keep.
pub(super) fn check_size(design: &Design) -> Result<(), Problem> {
    let bytes = serde_json::to_vec(design).map_or(usize::MAX, |json| json.len());
    if bytes > MAX_DESIGN_BYTES {
        return Err(Problem::field("design", "longer than 131072 bytes"));
    }
    Ok(())
}

/// Refuses a design that is too large to keep or names images that were never uploaded.
async fn check_size_and_images(app: &App, caller: &Caller, design: &Design) -> Result<(), Problem> {
    check_size(design)?;
    let mut missing = Vec::new();
    for (path, sha256) in design.image_hashes() {
        let known = match images::parse_hash(sha256) {
            Some(hash) => app.store.backend().blob(caller.org, hash).await?.is_some_and(|blob| images::is_image(&blob)),
            None => false,
        };
        if !known {
            let path = format!("design.{path}");
            missing.push(FieldError::new(path, "no such image: upload it with POST /v1/images and give its sha256"));
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(Problem::Invalid(missing)) }
}

/// Make a template.
///
/// It is a draft until it is published; `problems` says what is still missing. What no wallet could make sense of (a colour
/// that is none, a date without zone, a key twice, a class that Google would refuse) is refused at once.
#[utoipa::path(post, path = "/v1/templates", tag = "Templates", security(("key" = ["config_write"])),
    request_body = TemplateInput, responses((status = 201, body = View, description = "Made.")))]
async fn create(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    body: Body<TemplateInput>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &body.bytes).await? {
        return Ok(made);
    }
    let TemplateInput { project, name, design } = body.value;
    let catalog = config::org(&app, can.org)?;
    if catalog.project(project).is_none() {
        return Err(Problem::field("project", "no such project"));
    }
    check_size_and_images(&app, &can, &design).await?;
    let now = app.now();
    let template = Template::draft(TemplateId::mint(now, &*app.entropy), project, text::name(name, "name")?, design, now);
    let findings = template_report::check(&app, can.org, &template, &catalog).await?;
    let write = app.store.config_write(&config::change(&app, &can), &template, 0, false)?;
    let view = View::of(&template, &catalog).with(findings);
    once.write(&app, &can, &body.bytes, write, Shown::new(format!("/v1/templates/{}", template.id), view)).await
}

/// List templates.
#[utoipa::path(get, path = "/v1/templates", tag = "Templates", security(("key" = ["config_read"])),
    params(Filter), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    QueryParams(filter): QueryParams<Filter>,
) -> Result<Json<Page<View>>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let asked = catalog.templates.iter().filter(|(_, it)| filter.project.is_none_or(|project| it.value.project == project));
    let after = filter.cursor.map(|cursor| cursor.0);
    Ok(Json(sorted_page(asked, after, filter.limit, |stored| View::of(&stored.value, &catalog))))
}

/// Read a template.
#[utoipa::path(get, path = "/v1/templates/{template}", tag = "Templates", security(("key" = ["config_read"])),
    params(("template" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TemplateId>,
) -> Result<Shown<View>, Problem> {
    shown(&app, can.org, id).await
}

/// Change a template.
///
/// What was never published is changed itself. What is published stays as it is: the change is its `draft`, whatever is still
/// missing, until that is published. What no wallet could make sense of is refused.
#[utoipa::path(put, path = "/v1/templates/{template}", tag = "Templates", security(("key" = ["config_write"])),
    params(("template" = IdText, Path, description = "Its id."), IfMatch),
    request_body = TemplateChange, responses((status = 200, body = View, description = "As it is now.")))]
async fn replace(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TemplateId>,
    if_match: IfMatch,
    body: Restated<TemplateChange, View>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.templates, id.uuid(), "template")?;
    let held = catalog.draft_of(id);
    if_match.check(version(stored, held))?;
    if body.value.draft.is_some() {
        return Err(Problem::field(
            "draft",
            "leave it out, or give null: what `design` says becomes the draft, so give the draft's own there to keep it",
        ));
    }
    let name = text::name(body.value.name, "name")?;
    let design = body.value.design;
    check_size_and_images(&app, &can, &design).await?;
    template_report::check(&app, can.org, &Template { design: design.clone(), ..(*stored.value).clone() }, &catalog).await?;
    let change = config::change(&app, &can);
    if stored.value.status == TemplateStatus::Published {
        let (draft, revision) = match held {
            Some(held) => (StoredDraft { name, design, ..(*held.value).clone() }, held.revision),
            None => {
                let fresh = TemplateId::mint(app.now(), &*app.entropy);
                (StoredDraft { id: fresh, slug: id.to_string(), template: id, name, design }, 0)
            }
        };
        config::put(&app, &change, &draft, revision).await?;
    } else {
        let template = Template { name, design, ..(*stored.value).clone() };
        config::put(&app, &change, &template, stored.revision).await?;
    }
    shown(&app, can.org, id).await
}

/// Discard the draft of a published template.
#[utoipa::path(delete, path = "/v1/templates/{template}/draft", tag = "Templates", security(("key" = ["config_write"])),
    params(("template" = IdText, Path, description = "Its id."), IfMatch),
    responses((status = 204, description = "Discarded; the published version stays.")))]
async fn discard(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TemplateId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.templates, id.uuid(), "template")?;
    let held = catalog.draft_of(id);
    if_match.check(version(stored, held))?;
    match held {
        Some(held) => config::remove(&app, &config::change(&app, &can), held).await,
        None => Ok(StatusCode::NO_CONTENT),
    }
}

/// Publish a template.
///
/// Passes can be issued with it from then on. When it was published before, its draft takes the place of the published
/// version: every pass is drawn with it at once, and `publication` wakes the phones that hold one and brings Google's objects
/// after it, in the background. That is no *updated* event of any pass, unless `updated_events` asks for one each. Publishing
/// what has no draft changes nothing.
#[utoipa::path(post, path = "/v1/templates/{template}/publish", tag = "Templates", security(("key" = ["config_write"])),
    params(("template" = IdText, Path, description = "Its id.")), request_body = Option<PublishInput>,
    responses((status = 200, body = Published, description = "Published."),
        (status = 422, body = crate::problem::ProblemBody, content_type = "application/problem+json",
            description = "The design has problems; `errors` says which.")))]
async fn publish(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TemplateId>,
    body: Body<PublishInput>,
) -> Result<Shown<Published>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.templates, id.uuid(), "template")?;
    let publication = match (stored.value.status, catalog.draft_of(id)) {
        (TemplateStatus::Draft, _) => {
            refuse_faults(&stored.value, &catalog)?;
            let template = Template { status: TemplateStatus::Published, version: 1, ..(*stored.value).clone() };
            template_report::check(&app, can.org, &template, &catalog).await?;
            config::put(&app, &config::change(&app, &can), &template, stored.revision).await?;
            None
        }
        (TemplateStatus::Published, None) => None,
        (TemplateStatus::Published, Some(draft)) => {
            Some(supersede(&app, &can, &catalog, stored, draft, body.value.updated_events).await?)
        }
    };
    Ok(shown(&app, can.org, id).await?.map(|template| Published { template, publication }))
}

/// Puts the draft in the place of the published version, keeps that, and has the phones woken: all in one commit.
async fn supersede(
    app: &App,
    caller: &Caller,
    catalog: &OrgCatalog,
    stored: &Stored<Template>,
    draft: &Stored<StoredDraft>,
    updated_events: bool,
) -> Result<PublicationId, Problem> {
    let (old, now, org) = (&*stored.value, app.now(), caller.org);
    let next = draft.value.as_ref();
    let (name, design) = (next.name.clone(), next.design.clone());
    let template = Template { name, design, version: old.version + 1, published_at: None, ..old.clone() };
    refuse_faults(&template, catalog)?;
    template_report::check(app, caller.org, &template, catalog).await?;
    let design = serde_json::to_vec(&old.design).map_err(|error| Problem::Internal(error.to_string()))?;
    let blob = store::blob_row(org, "application/json", design, now);
    let version = StoredVersion {
        id: TemplateId::mint(now, &*app.entropy),
        template: old.id,
        version: old.version,
        name: old.name.clone(),
        design: blob.sha256,
        published_at: old.published_at.unwrap_or(stored.updated_at),
        superseded_at: now,
    };
    let change = config::change(app, caller);
    let write = app
        .store
        .config_write(&change, &template, stored.revision, false)?
        .and(app.store.config_write(&change, next, draft.revision, true)?)
        .and(app.store.config_write(&change, &version, 0, false)?)
        .and(store::ConfigWrite { blobs: vec![blob], ..store::ConfigWrite::default() });
    for _ in 0..MAX_RACES {
        let progress = store::Progress::new(old.id, old.project, template.version, updated_events);
        let (publication, jobs) = app.store.publish(org, progress, now).await?;
        if app.store.written(write.clone().and(jobs)).await? {
            return Ok(publication);
        }
        // Perhaps only the publication before came on meanwhile.
    }
    Err(Problem::raced())
}

fn refuse_faults(template: &Template, catalog: &OrgCatalog) -> Result<(), Problem> {
    let project = catalog.project(template.project).ok_or_else(|| Problem::no_such("project"))?;
    let faults = faults(&template.design, project);
    if faults.is_empty() { Ok(()) } else { Err(Problem::Invalid(faults)) }
}

/// Delete a template.
///
/// Only one that was never published, or whose project never issued a pass.
#[utoipa::path(delete, path = "/v1/templates/{template}", tag = "Templates", security(("key" = ["config_write"])),
    params(("template" = IdText, Path, description = "Its id."), IfMatch), responses((status = 204, description = "Deleted.")))]
async fn delete(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TemplateId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let (app, can) = (&app, &can);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let org = config::part(&catalog, can.org)?;
        let stored = config::one(&org.templates, id.uuid(), "template")?;
        if_match.check(version(stored, org.draft_of(id)))?;
        let in_use = |detail: &str| Problem::Conflict { code: Conflict::InUse, detail: detail.to_owned() };
        let project = org.project(stored.value.project);
        if project.is_some_and(|project| project.variants.iter().any(|variant| variant.template == id)) {
            return Err(in_use("a variant of its project names it: change the project first"));
        }
        let published = stored.value.status == TemplateStatus::Published;
        if published && !app.store.backend().passes(can.org, Some(stored.value.project), None, None, 1).await?.is_empty() {
            return Err(in_use("its project has passes, and they may have been drawn with it"));
        }
        let change = config::change(app, can);
        let mut write = app.store.config_write(&change, &*stored.value, stored.revision, true)?;
        if let Some(draft) = org.draft_of(id) {
            write = write.and(app.store.config_write(&change, &*draft.value, draft.revision, true)?);
        }
        for version in org.versions.values().filter(|version| version.value.template == id) {
            write = write.and(app.store.config_write(&change, &*version.value, version.revision, true)?);
        }
        write.unchanged = vec![catalog.unchanged::<Project>(can.org)];
        config::write_unless_raced(app, write, StatusCode::NO_CONTENT).await
    })
    .await
}
