//! The native API, `/v1`: one file per group of operations, each with its inputs, errors, documentation and handlers.

#![allow(unused_qualifications, reason = "utoipa's expansion names in full what is in scope")]

mod audit;
mod backfills;
mod batch_change;
mod batch_rows;
mod batch_sample;
mod batches;
mod bodyless;
pub(crate) mod commands;
mod config;
mod connectors;
mod contacts;
pub(crate) mod cursor;
mod deliveries;
mod delivery_view;
mod destinations;
mod docs;
mod doctor;
mod doctor_checks;
mod document;
mod enrolment_links;
pub(crate) mod event_stream;
mod events;
mod flow_trial;
mod flow_versions;
mod flows;
mod google_accounts;
mod google_check;
mod health;
mod image_sets;
pub(crate) mod images;
mod inspectors;
mod installations;
mod jobs;
mod keys;
mod mappings;
mod me;
mod messages;
mod once;
mod organizations;
mod page;
mod pass_actions;
mod pass_preview;
mod pass_view;
mod passes;
mod phone_logs;
mod projects;
mod publications;
mod reach;
mod redraw;
mod scan_keys;
mod scan_read;
mod scans;
mod schema;
mod schema_design;
mod signers;
mod signing_requests;
mod source_events;
mod source_trace;
mod sources;
mod sync_runs;
mod syncs;
mod target_auth;
mod target_made;
mod targets;
mod template_export;
mod template_import;
pub(crate) mod template_report;
mod template_versions;
mod templates;
mod text;
mod transformations;
mod webhook_replay;
mod webhook_test;
pub(crate) mod webhooks;

use std::sync::Arc;

use axum::{Router, middleware, response::IntoResponse, routing::get};
use http::header;
use utoipa_axum::router::OpenApiRouter;

use crate::{App, auth};

fn operations() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(passes::routes())
        .merge(pass_actions::routes())
        .merge(pass_preview::routes())
        .merge(installations::routes())
        .merge(messages::routes())
        .merge(scans::routes())
        .merge(scan_keys::routes())
        .merge(reach::routes())
        .merge(contacts::routes())
        .merge(event_stream::routes())
        .merge(events::routes())
        .merge(projects::routes())
        .merge(enrolment_links::routes())
        .merge(templates::routes())
        .merge(template_versions::routes())
        .merge(publications::routes())
        .merge(batches::routes())
        .merge(batch_rows::routes())
        .merge(batch_sample::routes())
        .merge(batch_change::routes())
        .merge(syncs::routes())
        .merge(sync_runs::routes())
        .merge(template_report::routes())
        .merge(template_import::routes())
        .merge(template_export::routes())
        .merge(images::routes())
        .merge(image_sets::routes())
        .merge(connectors::routes())
        .merge(sources::routes())
        .merge(source_events::routes())
        .merge(flows::routes())
        .merge(flow_trial::routes())
        .merge(flow_versions::routes())
        .merge(mappings::routes())
        .merge(transformations::routes())
        .merge(webhooks::routes())
        .merge(webhook_replay::routes())
        .merge(webhook_test::routes())
        .merge(deliveries::routes())
        .merge(health::routes())
        .merge(destinations::routes())
        .merge(backfills::routes())
        .merge(doctor::routes())
        .merge(signers::routes())
        .merge(signing_requests::routes())
        .merge(google_accounts::routes())
        .merge(google_check::routes())
        .merge(phone_logs::routes())
        .merge(inspectors::routes())
        .merge(keys::routes())
        .merge(me::routes())
        .merge(organizations::routes())
        .merge(audit::routes())
}

/// The OpenAPI document of the native API.
pub fn openapi() -> serde_json::Value {
    document::complete(operations().into_openapi())
}

pub(crate) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let (guarded, document) = operations().split_for_parts();
    let document = document::complete(document);
    let text: Arc<str> = document.to_string().into();
    let openapi = async move || ([(header::CONTENT_TYPE, "application/json")], text.to_string()).into_response();
    guarded
        .layer(middleware::from_fn_with_state(bodyless::of(&document), bodyless::guard))
        .layer(middleware::from_fn_with_state(Arc::clone(app), auth::guard))
        .route("/v1/openapi.json", get(openapi))
        .merge(images::public_routes())
        .merge(scan_keys::public_routes())
        .merge(docs::routes(&document))
}
