//! `/v1/passes/{pass}/preview`: a pass as each phone draws it.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use domain::PassId;
use http::header;
use render::{PassView, PreviewContext};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{config, schema::IdText, template_report};
use crate::{
    App, PathParam, Problem,
    auth::{Can, scope},
    packages,
};

/// What the page may load: its own style and images, both inside; a page of ours may show it in a frame.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'self'";

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(preview))
}

/// Preview a pass.
///
/// A page of its own, images inside: the pass as it is now, as each wallet and system draws it, and what that one will not show, or
/// will show otherwise.
#[utoipa::path(get, path = "/v1/passes/{pass}/preview", tag = "Passes", security(("key" = ["passes_read"])),
    params(("pass" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = String, content_type = "text/html", description = "The page.")))]
async fn preview(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PassId>,
) -> Result<Response, Problem> {
    let found = app.store.pass_with_contact(can.org, id).await?;
    let (pass, contact) = found.ok_or_else(|| Problem::no_such("pass"))?;
    let catalog = config::org(&app, can.org)?;
    let design = packages::design(&catalog, &pass)?;
    let template = &design.template.value;
    let images = template_report::load(&app, can.org, template).await?;
    let codes = app.packages.codes(&app, can.org)?;
    let view = PassView { project: design.project, template, pass: &pass, contact: contact.as_ref(), codes: Some(&codes) };
    Ok(drawn(&view, &images))
}

/// The page of a pass as each phone draws it, its images inside.
pub(super) fn drawn(view: &PassView<'_>, images: &HashMap<String, Bytes>) -> Response {
    let image_url = |hash: &str| {
        let bytes = images.get(hash).map(Bytes::as_ref).unwrap_or_default();
        format!("data:image/png;base64,{}", STANDARD.encode(bytes))
    };
    let page = render::preview_page(view, &PreviewContext { image_url: &image_url }).into_string();
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
    (headers, page).into_response()
}
