//! `/p/{code},{code},…/passes.pkpasses`: several passes at once, for a holder who has several, as one file that Safari and
//! Mail add in one step. Whoever names the codes has the passes; the code of one pass opens no other.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use domain::VisitKind;
use http::{HeaderMap, Method, StatusCode, header};
use pkpass::MAX_BUNDLE_PASSES;

use super::{
    is_visit, missing,
    pass::{Found, find, record},
    private,
};
use crate::{App, Client, PathParam, Problem, seen::sighting};

pub(super) async fn bundle(
    State(app): State<Arc<App>>,
    PathParam(codes): PathParam<String>,
    client: Client,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let codes: Vec<&str> = codes.split(',').collect();
    if codes.len() > MAX_BUNDLE_PASSES {
        return Err(Problem::parameter("code", "Apple takes at most ten passes at once: ask for several bundles"));
    }
    let mut passes: Vec<Found> = Vec::with_capacity(codes.len());
    for code in codes {
        let Some(found) = find(&app, code).await? else { return Ok(missing("pass")) };
        if passes.iter().all(|other| other.pass.id != found.pass.id) {
            passes.push(found);
        }
    }
    let mut packages = Vec::with_capacity(passes.len());
    for found in &passes {
        packages.push(app.packages.apple(&app, found.org, &found.pass, found.contact.as_ref()).await?);
    }
    let file =
        pkpass::bundle(&packages, app.now().as_seconds()).map_err(|fault| Problem::parameter("code", fault.to_string()))?;
    if is_visit(&client, &method, &headers) {
        for found in &passes {
            record(&app, found, VisitKind::ApplePackage, sighting(&app, &client)).await;
        }
    }
    let headers = [
        (header::CONTENT_TYPE, pkpass::MIME_PKPASSES),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"passes.pkpasses\""),
    ];
    Ok(private((StatusCode::OK, headers, file).into_response()))
}
