//! `GET` and `HEAD /v1/passes/{pass_type}/{serial}`: the pass as it is now.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use domain::{Action, Cause, Contact, OrgId, Pass, PassRef, Timestamp, VisitKind};

use store::OrgCatalog;

use super::{Held, Refused, held, tell};
use crate::{App, Client, Problem, seen};

pub(super) async fn package(
    State(app): State<Arc<App>>,
    Path((pass_type, serial)): Path<(String, String)>,
    method: Method,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let Held { org, pass, contact } = held(&app, &pass_type, &serial, &headers).await?;
    // A template that another node published is what this phone was woken for.
    let catalog = app.store.catalog_now().await?;
    let modified = modified(catalog.org(org), &pass);
    let since = headers.get(header::IF_MODIFIED_SINCE).and_then(|value| Timestamp::from_http_date(value.to_str().ok()?));
    let mut response = if since.is_some_and(|since| since >= modified) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if method == Method::HEAD {
        Body::empty().into_response()
    } else {
        made(&app, org, &pass, contact.as_ref(), &client).await?.into_response()
    };
    dress(&mut response, modified);
    Ok(response)
}

/// When what the phone shows last changed. A pass's own time rises with each of its changes and never repeats; a second is
/// added for every publication of a template of its project, so that the sum rises with those as well.
pub(crate) fn modified(config: Option<&Arc<OrgCatalog>>, pass: &Pass) -> Timestamp {
    Timestamp::from_seconds(pass.last_modified + config.map_or(0, |config| config.publications_of(pass.project)))
}

/// The package, and that it was made.
pub(crate) async fn made(
    app: &Arc<App>,
    org: OrgId,
    pass: &Pass,
    contact: Option<&Contact>,
    client: &Client,
) -> Result<Bytes, Problem> {
    let package = app.packages.apple(app, org, pass, contact).await?;
    if pass.apple.created_at.is_none() && !pass.lifecycle.is_deleted() {
        let sighting = seen::sighting(app, client);
        let action = Action::RecordVisit { pass: PassRef::Id(pass.id), kind: VisitKind::ApplePackage, sighting };
        if let Err(problem) = tell(app, org, Cause::Wallet, action).await {
            tracing::warn!(pass = %pass.id, error = %problem, "a package was made and not recorded");
        }
    }
    Ok(package)
}

/// What every answer with a package says about it.
pub(crate) fn dress(response: &mut Response, modified: Timestamp) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(pkpass::MIME_PKPASS));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&modified.to_http_date()) {
        headers.insert(header::LAST_MODIFIED, value);
    }
}
