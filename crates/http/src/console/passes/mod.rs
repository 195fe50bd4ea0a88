//! `/console/passes`: finding passes, one pass with all that is known of it, and what can be done to it.

mod act;
mod find;
mod one;
mod timeline;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};
use http::StatusCode;
use serde_json::Value;

use super::{ask::Fault, frame::Desk};
use crate::App;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/passes", get(find::list))
        .route("/console/passes/{pass}", get(one::show))
        .route("/console/passes/{pass}/preview", get(one::preview))
        .route("/console/passes/{pass}/{action}", post(act::act))
}

/// What the API says, or nothing where this key may not hear it, or it is not there.
async fn may_see(desk: &Desk, path: &str) -> Result<Value, Fault> {
    match desk.ask.get(path).await {
        Err(fault) if matches!(fault.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) => Ok(Value::Null),
        found => found,
    }
}
