//! `GET /v1/devices/{device}/registrations/{pass_type}?passesUpdatedSince={tag}`: which passes of a device have changed.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::json;
use store::Log;

use super::{MAX_DEVICE_BYTES, Refused, owner, tag::Tag};
use crate::App;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path((device, pass_type)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Refused> {
    let nothing = || StatusCode::NO_CONTENT.into_response();
    if device.len() > MAX_DEVICE_BYTES {
        return Ok(nothing());
    }
    let Some(org) = owner(&app, &pass_type).await? else { return Ok(nothing()) };
    let Some(catalog) = app.store.catalog().org(org).cloned() else { return Ok(nothing()) };
    // Heads first: what is committed after them is listed at worst once more.
    let heads = app.store.backend().heads(Log::Events).await?;
    let epoch = app.store.epoch();
    let given = since(&uri).and_then(|text| Tag::read(&text, epoch, &heads));
    let since = given.unwrap_or_else(|| Tag::new(epoch));
    let mut seen = since.clone();
    let mut serials = Vec::new();
    for (pass, content_seq) in app.store.passes_on_device(org, &device).await? {
        let of_type = catalog.project(pass.project).is_some_and(|it| it.apple_pass_type.as_deref() == Some(&pass_type));
        if !of_type {
            continue;
        }
        if since.is_news(pass.shard, content_seq) {
            serials.push(pass.serial);
        }
        seen.see(pass.shard, content_seq);
    }
    if serials.is_empty() {
        return Ok(nothing());
    }
    Ok(Json(json!({ "serialNumbers": serials, "lastUpdated": seen.to_string() })).into_response())
}

fn since(uri: &Uri) -> Option<String> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    pairs.into_iter().find(|(name, _)| name == "passesUpdatedSince").map(|(_, tag)| tag)
}
