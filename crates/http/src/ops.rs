//! Operation: liveness, readiness and metrics.

use std::sync::Arc;

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::header;

use crate::{
    app::{App, Fitness},
    problem::Problem,
};

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz)).route("/metrics", get(metrics))
}

/// The process answers.
async fn healthz() -> &'static str {
    "ok\n"
}

/// The database could be written now and the workers are fit: send traffic here.
async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    app.store.backend().ready().await?;
    if let Some(fault) = app.settings.fitness.as_ref().and_then(Fitness::fault) {
        return Err(store::StoreError::Unavailable(fault).into());
    }
    Ok("ready\n")
}

/// Counters in Prometheus's text format 0.0.4.
async fn metrics(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Problem> {
    let handle = app.metrics.as_ref().ok_or_else(|| Problem::NotFound("metrics are switched off".into()))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render()))
}
