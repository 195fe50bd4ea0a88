//! `/console/webhooks` and `/console/destinations`: how they fare, made and changed by forms, tried, rotated, replayed.

mod act;
mod fields;
mod form;
mod list;
mod make;
mod show;

pub(super) use form::{body_of, whole};

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query},
    response::Response,
    routing::{get, post},
};
use maud::{Markup, html};
use serde_json::Value;

use super::{
    ask::{Fault, segment},
    form::{Sent, Sheet},
    frame::Desk,
    parts::{text, toned},
};
use crate::App;

/// Whether it is about webhooks or about destinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Endpoints that get events in a shape of their choice.
    Webhooks,
    /// Services with an account.
    Destinations,
}

impl Room {
    /// Where the API has them.
    const fn api(self) -> &'static str {
        match self {
            Self::Webhooks => "/v1/webhooks",
            Self::Destinations => "/v1/destinations",
        }
    }
    /// Where the console has them.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Webhooks => "/console/webhooks",
            Self::Destinations => "/console/destinations",
        }
    }
    const fn title(self) -> &'static str {
        match self {
            Self::Webhooks => "Webhooks",
            Self::Destinations => "Destinations",
        }
    }
    /// One of them; also what a connector calls it, and the API's `kind`.
    const fn one(self) -> &'static str {
        match self {
            Self::Webhooks => "webhook",
            Self::Destinations => "destination",
        }
    }
    /// The member of the API's body that names the connector.
    const fn connector(self) -> &'static str {
        match self {
            Self::Webhooks => "dialect",
            Self::Destinations => "kind",
        }
    }
    fn api_of(self, id: &str) -> String {
        format!("{}/{}", self.api(), segment(id))
    }
    /// The page of one.
    pub(super) fn page_of(self, id: &str) -> String {
        format!("{}/{}", self.path(), segment(id))
    }
    /// Which it is, as the API's `kind` says.
    pub(super) fn of(kind: &str) -> Self {
        if kind == "destination" { Self::Destinations } else { Self::Webhooks }
    }
}

type Pairs = Query<Vec<(String, String)>>;

pub(super) fn routes() -> Router<Arc<App>> {
    room(Room::Webhooks)
        .merge(room(Room::Destinations))
        .route("/console/webhooks/{id}/rotate", post(act::rotate))
        .route("/console/webhooks/{id}/end-rotation", post(act::end_rotation))
}

fn room(room: Room) -> Router<Arc<App>> {
    let at = |rest: &str| format!("{}{rest}", room.path());
    Router::new()
        .route(&at(""), get(move |desk: Desk, Query(pairs): Pairs| list::page(room, desk, Sheet::of(pairs))))
        .route(
            &at("/new"),
            get(move |desk: Desk, Query(pairs): Pairs| make::new(room, desk, Sheet::of(pairs)))
                .post(move |desk: Desk, Sent(sheet): Sent| make::create(room, desk, sheet)),
        )
        .route(&at("/{id}"), get(move |desk: Desk, Path(id): Path<String>| show::page(room, desk, id)))
        .route(
            &at("/{id}/edit"),
            get(move |desk: Desk, Path(id): Path<String>| make::edit(room, desk, id))
                .post(move |desk: Desk, Path(id): Path<String>, Sent(sheet): Sent| make::replace(room, desk, id, sheet)),
        )
        .route(
            &at("/{id}/{action}"),
            post(move |desk: Desk, Path((id, action)): Path<(String, String)>, Sent(sheet): Sent| {
                act::act(room, desk, id, action, sheet)
            }),
        )
}

/// The connector of a webhook or destination, with its settings.
async fn connector(desk: &Desk, slug: &str) -> Result<Value, Fault> {
    desk.ask.get(&format!("/v1/connectors/{}", segment(slug))).await
}

/// How one fares, as a chip.
pub(super) fn fares(health: &Value) -> Markup {
    match text(health, "/state") {
        "working" => toned("good", "working"),
        "failing" => toned("bad", "failing"),
        "switched_off" if !health["disabled_reason"].is_null() => toned("bad", "switched off by us"),
        "switched_off" => toned("warn", "switched off"),
        "unused" => toned("quiet", "nothing sent yet"),
        _ => html! {},
    }
}

/// A page again with what was wrong with a form on it.
fn again(desk: &Desk, title: &str, sheet: &Sheet, body: &Markup) -> Response {
    desk.page_again(title, &[], sheet.fault(), body)
}
