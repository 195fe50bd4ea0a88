//! PassEngine's API as its clients, Zapier among them, poll it: `Authorization: Bearer …`, errors as `{"error": "…"}`, ten
//! requests a minute and key, told in `X-RateLimit-…`, and CORS on every path. Source: <https://passengine.io/api-docs>.
//!
//! Of that API what tells others is here: subscriptions and triggers. What it says nothing of is chosen as its clients need it:
//! see `webhooks` and `triggers`.

mod answer;
mod triggers;
mod webhooks;

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{delete, get},
};
use domain::EventKind;

use self::answer::Refused;
use crate::App;

/// What PassEngine calls them, and what they are here.
const EVENTS: [(&str, &[EventKind]); 4] = [
    ("pass.created", &[EventKind::PassCreated]),
    ("pass.scanned", &[EventKind::PassScanned, EventKind::PassScanRefused]),
    ("pass.status_changed", &[EventKind::PassActivated, EventKind::PassExpired, EventKind::PassRevoked]),
    ("client.created", &[EventKind::ContactCreated]),
];

/// What PassEngine calls an event, as ours.
fn kinds(name: &str) -> Result<Vec<EventKind>, Refused> {
    let found = EVENTS.iter().find(|(known, _)| *known == name);
    let known = || EVENTS.map(|(name, _)| name).join(", ");
    found.map(|(_, kinds)| kinds.to_vec()).ok_or_else(|| Refused::parameter("event", &format!("expected one of {}", known())))
}

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/triggers", get(triggers::list))
        .route("/webhooks", get(webhooks::list).post(webhooks::subscribe))
        .route("/webhooks/{webhook}", delete(webhooks::unsubscribe))
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(middleware::from_fn_with_state(Arc::clone(app), answer::guard))
}
