//! Other platforms' interfaces over the same engine and log, for their clients: they translate names and errors, and hold no rules.

mod passengine;

use std::sync::Arc;

use axum::Router;

use crate::App;

pub(crate) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new().nest("/passengine/api/v1", passengine::routes(app))
}
