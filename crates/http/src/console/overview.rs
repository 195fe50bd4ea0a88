//! `/console`: how things stand.

use std::sync::Arc;

use axum::{Router, response::Response, routing::get};
use maud::html;

use super::{
    ask::Fault,
    frame::{self, Desk},
    parts::{items, table, text},
};
use crate::App;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/console", get(show)).route("/console/", get(show))
}

async fn show(desk: Desk) -> Result<Response, Fault> {
    let projects = desk.ask.get("/v1/projects?limit=100").await?;
    let rows = items(&projects)
        .map(|project| vec![html! { strong { (text(project, "/name")) } }, html! { (text(project, "/kind").replace('_', " ")) }])
        .collect();
    let body = html! {
        (frame::heading("Overview", None, &html! {}))
        section { h2 { "Projects" } (table("Projects", &["Name", "Kind"], rows, "There is no project yet.")) }
    };
    Ok(desk.page("Overview", &body))
}
