//! Operation: liveness, readiness and metrics, and the front door.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Redirect},
    routing::get,
};
use http::header;
use store::Catalog;

use crate::{
    app::{App, Fitness},
    problem::Problem,
};

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        // Who comes to the bare address is an operator.
        .route("/", get(async || Redirect::to("/console")))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
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

/// Counters in Prometheus's text format 0.0.4, and the ends of certificates as they stand in the configuration now.
async fn metrics(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Problem> {
    let handle = app.metrics.as_ref().ok_or_else(|| Problem::NotFound("metrics are switched off".into()))?;
    let text = handle.render() + &ends_of_signers(&app.store.catalog());
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

/// One gauge a signer. Made from the configuration each time, so that a signer that was removed leaves none behind.
fn ends_of_signers(catalog: &Catalog) -> String {
    let mut lines: Vec<String> = catalog
        .orgs()
        .flat_map(|(_, org)| org.signers.values())
        .map(|signer| {
            let pass_type = signer.value.pass_type.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let end = signer.value.not_after.as_seconds();
            format!("signer_expires_timestamp_seconds{{pass_type=\"{pass_type}\"}} {end}\n")
        })
        .collect();
    if lines.is_empty() {
        return String::new();
    }
    lines.sort_unstable();
    format!(
        "# HELP signer_expires_timestamp_seconds End of a pass type certificate, unix seconds.\n# TYPE \
         signer_expires_timestamp_seconds gauge\n{}",
        lines.concat()
    )
}
