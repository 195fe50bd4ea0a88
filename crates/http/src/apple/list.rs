//! `GET /v1/devices/{device}/registrations/{pass_type}?passesUpdatedSince={tag}`: which passes of a device have changed.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, Query, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::json;
use store::Log;

use super::{
    MAX_DEVICE_BYTES, Refused, owner,
    registration::may_be_behind,
    tag::{Present, Tag},
};
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
    // Heads and configuration first: what is committed after them is listed at worst once more.
    let heads = app.store.backend().heads(Log::Events).await?;
    let catalog = app.store.catalog_now().await?;
    let Some(config) = catalog.org(org) else { return Ok(nothing()) };
    let present = Present { epoch: app.store.epoch(), heads: &heads, version: catalog.version, now: app.now() };
    let given = since(&uri).and_then(|text| Tag::read(&text, &present));
    let registered: HashMap<_, _> = app.store.backend().device_since(org, &device).await?.into_iter().collect();
    let mut seen = given.clone().unwrap_or_else(|| Tag::new(&present)).brought_to(&present);
    let mut serials = Vec::new();
    for (pass, content_seq) in app.store.passes_on_device(org, &device).await? {
        let of_type = config.project(pass.project).is_some_and(|it| it.apple_pass_type.as_deref() == Some(&pass_type));
        if !of_type {
            continue;
        }
        let is_news = |tag: &Tag| {
            let since = registered.get(&pass.id).copied().unwrap_or_default();
            tag.is_news(pass.shard, content_seq)
                || tag.is_published_since(config.publication_of(pass.template))
                || (tag.is_registered_since(since) && may_be_behind(config, &pass))
        };
        if given.as_ref().is_none_or(is_news) {
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
