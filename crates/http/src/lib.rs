//! Everything that listens.
//!
//! A handler authenticates, parses, then makes one engine call, one read or one configuration write, and shapes the answer.
//! It knows no SQL and no lifecycle rules and calls nobody outside: what needs the outside is work for the workers.
//!
//! [`router`] puts the rooms together; the composition root serves it with the peer's address as
//! `axum::extract::ConnectInfo<SocketAddr>` in the request.

mod api;
mod app;
mod apple;
mod auth;
mod client;
mod console;
mod dialects;
mod document;
mod extract;
mod frame;
mod google;
mod ingest;
mod inspector;
mod limits;
mod link;
mod ops;
mod packages;
mod pages;
mod password;
mod problem;
mod restated;
mod seen;
mod senders;

use std::sync::Arc;

use axum::Router;

pub use api::{event_stream::Streams, openapi};
pub use app::{App, Fitness, ForwardedBy, Settings};
pub use auth::{Caller, Minted, mint_api_key, source_of_write_key};
pub use client::Client;
pub use extract::{Body, PathParam, QueryParams, read_body};
pub use frame::RequestId;
pub use google::GoogleRoots;
pub use limits::doors::AddressLimits;
pub use problem::{Conflict, FieldError, Limited, Problem};
pub use seen::{Places, PlacesError};

/// Everything that listens on the main port.
pub fn router(app: Arc<App>) -> Router {
    let api = api::routes(&app);
    let rooms = Router::new()
        .merge(ops::routes())
        .merge(console::routes(&app, api.clone()))
        .merge(api)
        .merge(ingest::routes())
        .merge(apple::routes())
        .merge(google::routes())
        .merge(senders::routes())
        .merge(pages::routes())
        .merge(inspector::routes())
        .merge(dialects::routes(&app));
    frame::around(rooms, &app).with_state(app)
}
