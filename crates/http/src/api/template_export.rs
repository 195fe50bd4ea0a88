//! `/v1/templates/{template}/export` and `…/preview`: a design for Apple's tools, and for a person's eyes.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use domain::{Template, TemplateId};
use http::header;
use render::{CodeSigner, PassView};
use serde::Deserialize;
use store::OrgCatalog;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{config, pass_preview, schema::IdText, template_report};
use crate::{
    App, PathParam, Problem, QueryParams,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(export)).routes(routes!(preview))
}

/// Which design is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// The draft that follows the published version, where there is one.
    #[serde(default)]
    #[param(required = false)]
    draft: bool,
}

/// The template with the design that is meant.
pub(crate) fn design(catalog: &OrgCatalog, id: TemplateId, which: &Which) -> Result<Template, Problem> {
    let template = &config::one(&catalog.templates, id.uuid(), "template")?.value;
    Ok(match catalog.draft_of(id).filter(|_| which.draft) {
        Some(draft) => Template { name: draft.value.name.clone(), design: draft.value.design.clone(), ..(**template).clone() },
        None => (**template).clone(),
    })
}

/// Export a template.
///
/// A ZIP of `pass.json` with sample values, the images and the languages: unpacked into a folder of that name it is the
/// `.pkpasstemplate` that Pass Designer opens, or the `.pass` that Apple's `buildpass` signs.
#[utoipa::path(get, path = "/v1/templates/{template}/export", tag = "Templates", security(("key" = ["config_read"])),
    params(("template" = IdText, Path, description = "Its id."), Which),
    responses((status = 200, body = Vec<u8>, content_type = "application/zip", description = "The folder, packed.")))]
async fn export(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TemplateId>,
    QueryParams(which): QueryParams<Which>,
) -> Result<Response, Problem> {
    let catalog = config::org(&app, can.org)?;
    let template = design(&catalog, id, &which)?;
    let project = catalog.project(template.project).ok_or_else(|| Problem::no_such("project"))?;
    let team = project.apple_pass_type.as_deref().and_then(|pass_type| catalog.signer_of(pass_type));
    let team = team.map_or("", |signer| signer.value.team.as_str());
    let images = template_report::load(&app, can.org, &template).await?;
    let files = render::export_pass(project, &template, team, |hash| images.get(hash).cloned());
    let files = files.map_err(|fault| Problem::field("design", fault.to_string()))?;
    let named = files.iter().map(|(path, data)| (path.as_str(), data.as_ref()));
    let packed = pkpass::pack(named, app.now().as_seconds()).map_err(|fault| Problem::Internal(fault.to_string()))?;
    let headers = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.pkpasstemplate.zip\"")),
    ];
    Ok((headers, packed).into_response())
}

/// Preview a template.
///
/// A page of its own, images inside: a sample pass as the pass's page draws it, and below it what each wallet and system
/// will not show, or will show otherwise.
#[utoipa::path(get, path = "/v1/templates/{template}/preview", tag = "Templates", security(("key" = ["config_read"])),
    params(("template" = IdText, Path, description = "Its id."), Which),
    responses((status = 200, body = String, content_type = "text/html", description = "The page.")))]
async fn preview(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TemplateId>,
    QueryParams(which): QueryParams<Which>,
) -> Result<Response, Problem> {
    let catalog = config::org(&app, can.org)?;
    let template = design(&catalog, id, &which)?;
    let project = catalog.project(template.project).ok_or_else(|| Problem::no_such("project"))?;
    let images = template_report::load(&app, can.org, &template).await?;
    let undrawn = |fault: render::RenderError| Problem::field("design", fault.to_string());
    let (pass, contact) = (render::sample_pass(project, &template).map_err(undrawn)?, render::sample_contact().map_err(undrawn)?);
    let codes = CodeSigner::new(project.id.uuid(), 0, &[0; 32], [0; 32]);
    let view = PassView { project, template: &template, pass: &pass, contact: Some(&contact), codes: codes.as_ref() };
    Ok(pass_preview::drawn(&view, &images))
}
