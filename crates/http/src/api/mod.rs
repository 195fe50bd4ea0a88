//! The native API, `/v1`: one file per group of operations, each with its inputs, errors, documentation and handlers.

mod config;
mod document;
mod keys;
mod organizations;
mod page;
mod projects;
mod schema;
mod text;

use std::sync::Arc;

use axum::{Router, middleware, response::IntoResponse, routing::get};
use http::header;
use utoipa_axum::router::OpenApiRouter;

use crate::{App, auth};

fn operations() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().merge(organizations::routes()).merge(keys::routes()).merge(projects::routes())
}

/// The OpenAPI document of the native API.
pub fn openapi() -> serde_json::Value {
    document::complete(operations().into_openapi())
}

pub(crate) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let (guarded, document) = operations().split_for_parts();
    let document = document::complete(document);
    let text: Arc<str> = document.to_string().into();
    guarded.layer(middleware::from_fn_with_state(Arc::clone(app), auth::guard)).route(
        "/v1/openapi.json",
        get(async move || ([(header::CONTENT_TYPE, "application/json")], text.to_string()).into_response()),
    )
}
