//! `/console`: the web console, for people.
//!
//! Pages are drawn here and work without a script; scripts add comfort. What they show and do is asked of the API ([`ask`]), with
//! the key that somebody signed in with ([`session`]); there is no other way in. One file per section, put together here.

mod ask;
mod backfills;
mod batches;
mod deliveries;
mod events;
mod flows;
mod form;
mod frame;
mod inspectors;
mod mapping;
mod overview;
mod parts;
mod passes;
mod session;
mod sign_in;
mod source_events;
mod syncs;
mod targets;

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::{
    Extension, Router,
    extract::Path,
    middleware,
    response::{IntoResponse, Response},
    routing::{any, get},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::App;

/// The navigation: groups of sections with their addresses.
const SECTIONS: &[(&str, &[(&str, &str)])] = &[
    ("", &[("Overview", "/console"), ("Passes", "/console/passes")]),
    ("Events in", &[("Source events", "/console/source-events"), ("Flows", "/console/flows"), ("Batches", "/console/batches")]),
    (
        "Events out",
        &[
            ("Webhooks", "/console/webhooks"),
            ("Destinations", "/console/destinations"),
            ("Deliveries", "/console/deliveries"),
            ("Backfills", "/console/backfills"),
            ("Inspectors", "/console/inspectors"),
        ],
    ),
    ("Databases", &[("Syncs", "/console/syncs")]),
];

/// Style and scripts: name, media type and text.
const FILES: &[(&str, &str, &str)] = &[
    ("console.css", "text/css; charset=utf-8", include_str!("../../assets/console.css")),
    ("console-live.js", "text/javascript; charset=utf-8", include_str!("../../assets/console-live.js")),
    ("console.js", "text/javascript; charset=utf-8", include_str!("../../assets/console.js")),
    ("console-map.js", "text/javascript; charset=utf-8", include_str!("../../assets/console-map.js")),
    ("console-batch.js", "text/javascript; charset=utf-8", include_str!("../../assets/console-batch.js")),
];

/// The console, over the API's router.
pub(crate) fn routes(app: &Arc<App>, api: Router<Arc<App>>) -> Router<Arc<App>> {
    let api = ask::Api(api.with_state(Arc::clone(app)));
    Router::new()
        .merge(overview::routes())
        .merge(targets::routes())
        .merge(deliveries::routes())
        .merge(backfills::routes())
        .merge(syncs::routes())
        .merge(inspectors::routes())
        .merge(mapping::routes())
        .merge(batches::routes())
        .merge(flows::routes())
        .merge(events::routes())
        .merge(passes::routes())
        .merge(source_events::routes())
        .merge(sign_in::routes())
        .route("/console/{*rest}", any(frame::nowhere))
        .layer(middleware::from_fn_with_state(Arc::clone(app), frame::guard))
        .merge(sign_in::open_routes())
        .route("/console/assets/{file}", get(asset))
        .layer(Extension(api))
        .layer(middleware::from_fn_with_state(Arc::clone(app), frame::own_site))
}

/// A file of ours; a browser that has it asks whether it is still the same.
async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some((_, media, text)) = FILES.iter().find(|(it, ..)| *it == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&hash.as_ref()[..12]));
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let tag = HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""));
    let about = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::ETAG, tag),
    ];
    if known { (StatusCode::NOT_MODIFIED, about).into_response() } else { (about, *text).into_response() }
}
