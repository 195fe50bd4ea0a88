//! `/v1/templates/import`: a pass that somebody else made becomes a template.

use std::sync::Arc;

use axum::extract::{FromRequest, Request, State};
use bytes::Bytes;
use domain::{Design, Fault, Project, ProjectId, Template, TemplateId};
use http::header;
use pkpass::{Limits, Package};
use render::{Import, ImportNote, ImportOptions, ImportedPicture};
use serde::{Deserialize, Serialize};
use store::ConfigWrite;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::Once,
    config::{self, Shown},
    images,
    once::Made,
    schema::IdText,
    templates::{self, View},
    text,
};
use crate::{
    App, FieldError, Problem, QueryParams,
    auth::{Caller, Can, scope},
    extract::read_body,
};

/// What a packed pass may be announced as.
const TYPES: [&str; 4] =
    ["application/vnd.apple.pkpass", "application/zip", "application/x-zip-compressed", "application/octet-stream"];
/// Bounds of what is unpacked; the archive itself may have 16 MiB.
const LIMITS: Limits = Limits { archive_bytes: 16 << 20, ..Limits::PASS };
/// The name of a template whose pass has no description.
const NAMELESS: &str = "Imported pass";
/// Longest name of a template, in characters.
const MAX_NAME_CHARS: usize = 200;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(import))
}

/// How a pass is taken in.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// The project whose passes the template is to draw; its kind has to fit the style of the pass.
    #[param(value_type = IdText)]
    project: ProjectId,
    /// Name shown to people; the description of the pass unless told.
    #[param(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// The language that the design's texts shall be in, or are in; needed where the pass has strings files for all of its
    /// languages.
    #[param(pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,4}){0,2}$")]
    language: Option<String>,
    /// Whether values that the project has under a field's key, or that name the pass, become placeholders.
    #[serde(default = "yes")]
    #[param(required = false)]
    bind: bool,
}

const fn yes() -> bool {
    true
}

/// A template that was made of a pass.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImportedTemplate)]
struct Imported {
    /// The template, a draft.
    template: View,
    /// What became of the parts that a design has no words for, or that belong to one pass.
    report: Vec<NoteView>,
}

/// What became of a part of the pass.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImportNote)]
struct NoteView {
    /// Where: a path in `pass.json`, a field's key, or a file.
    path: String,
    /// `left_out`: it is not in the design. `changed`: it has another form. `apple_only`: it is kept as it stands, for Apple
    /// alone. `bound`: it became a placeholder. `constant`: it is the same on every pass.
    outcome: &'static str,
    /// Why, and what to do about it.
    reason: String,
}

impl From<ImportNote> for NoteView {
    fn from(note: ImportNote) -> Self {
        Self { path: note.path, outcome: note.outcome.name(), reason: note.reason }
    }
}

/// A packed pass that was read whole, within its limit.
struct Packed(Bytes);

impl FromRequest<Arc<App>> for Packed {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Problem> {
        let declared = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let declared = declared.split(';').next().unwrap_or_default().trim();
        if !TYPES.iter().any(|known| declared.eq_ignore_ascii_case(known)) {
            return Err(Problem::MediaType("application/vnd.apple.pkpass or application/zip"));
        }
        Ok(Self(read_body(request, LIMITS.archive_bytes).await?))
    }
}

/// Import a pass as a template.
///
/// The body is a `.pkpass`, or a zipped `.pass` or `.pkpasstemplate` folder, of at most 16 MiB. Fields, colours, images,
/// barcode, languages, semantics and relevance become a design; keys that a design has no words for are kept as they stand,
/// for Apple. Signatures are not looked at. `report` says what was left out or changed, and what is the same on every pass.
#[utoipa::path(post, path = "/v1/templates/import", tag = "Templates", security(("key" = ["config_write"])),
    params(Asked),
    request_body(description = "The pass.", content(
        (Vec<u8> = "application/vnd.apple.pkpass"), (Vec<u8> = "application/zip"), (Vec<u8> = "application/octet-stream"))),
    responses((status = 201, body = Imported, description = "Made.")))]
async fn import(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    QueryParams(asked): QueryParams<Asked>,
    once: Once,
    Packed(bytes): Packed,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &bytes).await? {
        return Ok(made);
    }
    let catalog = config::org(&app, can.org)?;
    let project = Arc::clone(catalog.project(asked.project).ok_or_else(|| Problem::field("project", "no such project"))?);
    let (given, language, bind) = (bytes.clone(), asked.language, asked.bind);
    let read = app.packages.draw(move || read(&given, &project, language.as_deref(), bind)).await?;
    let Import { mut design, pictures, notes } = read.map_err(|fault| Problem::field("", fault))?;
    let mut write = keep(&app, &can, &mut design, pictures)?;
    let description = design.description.chars().take(MAX_NAME_CHARS).collect::<String>();
    let name = asked.name.unwrap_or(if description.trim().is_empty() { NAMELESS.to_owned() } else { description });
    let now = app.now();
    let template = Template::draft(TemplateId::mint(now, &*app.entropy), asked.project, text::name(name, "name")?, design, now);
    refuse_what_is_wrong(&template, &catalog)?;
    write = write.and(app.store.config_write(&config::change(&app, &can), &template, 0, false)?);
    let view = Imported { template: View::of(&template, &catalog), report: notes.into_iter().map(NoteView::from).collect() };
    once.write(&app, &can, &bytes, write, Shown::new(format!("/v1/templates/{}", template.id), view)).await
}

fn read(bytes: &[u8], project: &Project, language: Option<&str>, bind: bool) -> Result<Import, String> {
    let package = Package::parse_folder(bytes, &LIMITS).map_err(|fault| fault.to_string())?;
    render::import_pass(&package, &ImportOptions { project, language, bind }).map_err(|fault| fault.to_string())
}

/// Names the images in the design; gives the rows that keep them.
fn keep(app: &App, caller: &Caller, design: &mut Design, pictures: Vec<ImportedPicture>) -> Result<ConfigWrite, Problem> {
    let change = config::change(app, caller);
    let mut write = ConfigWrite::default();
    let mut seen = Vec::new();
    for ImportedPicture { language, role, usage, picture } in pictures {
        let (hash, row) = app.store.blob_write(&change, "image/png", picture.bytes)?;
        if !seen.contains(&hash) {
            seen.push(hash);
            write = write.and(row);
        }
        let images = match language.filter(|language| *language != design.language) {
            Some(language) => &mut design.translations.entry(language).or_default().images,
            None => &mut design.images,
        };
        usage.set(images.entry(role).or_default(), images::hex(hash));
    }
    Ok(write)
}

/// What no wallet could make sense of is not kept; what is missing, or what a phone would refuse, keeps it a draft.
fn refuse_what_is_wrong(template: &Template, catalog: &store::OrgCatalog) -> Result<(), Problem> {
    templates::check_size(&template.design)?;
    let project = catalog.project(template.project).ok_or_else(|| Problem::no_such("project"))?;
    let wrong = template.design.problems(project).into_iter().filter(|problem| problem.fault == Fault::Wrong);
    let wrong: Vec<FieldError> =
        wrong.map(|problem| FieldError::new(format!("design.{}", problem.path), problem.message)).collect();
    if wrong.is_empty() { Ok(()) } else { Err(Problem::Invalid(wrong)) }
}
