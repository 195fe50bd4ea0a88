//! PassEngine's API as its clients, Zapier among them, poll it: `Authorization: Bearer …`, errors as `{"error": "…"}`, ten
//! requests a minute and key, told in `X-RateLimit-…`, and CORS on every path. Source: <https://passengine.io/api-docs>.
//!
//! Of that API the triggers are here. What it says nothing of is chosen as its clients need it: see `triggers`.

mod answer;
mod triggers;

use std::sync::Arc;

use axum::{Router, middleware, routing::get};

use crate::App;

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/triggers", get(triggers::list))
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(middleware::from_fn_with_state(Arc::clone(app), answer::guard))
}
