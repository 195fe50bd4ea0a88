//! Pages for holders: a pass's own page and the enrolment form. Server-rendered, nothing from elsewhere, no script needed.

mod bundle;
mod enrolment;
mod form;
mod pass;
mod scanner;
mod wishes;

use std::{iter, sync::Arc};

use axum::{Router, extract::DefaultBodyLimit, response::Response, routing::get};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use maud::{Markup, html};

use crate::{App, Client, document::html_document, seen};

const ENROL: &str = include_str!("../../assets/enrol.js");
const STYLE: &str = include_str!("../../assets/page.css");

/// Most bytes of a form.
const MAX_FORM_BYTES: usize = 64 << 10;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .merge(scanner::routes())
        .route("/p/{code}", get(pass::show))
        .route("/p/{code}/apple", get(pass::apple))
        .route("/p/{code}/pass.pkpass", get(pass::apple))
        .route("/p/{code}/passes.pkpasses", get(bundle::bundle))
        .route("/p/{code}/google", get(pass::google))
        .route("/p/{code}/card.css", get(pass::style))
        .route("/e/{project}", get(enrolment::show).post(enrolment::submit).layer(DefaultBodyLimit::max(MAX_FORM_BYTES)))
        .route("/u/{wish}", get(wishes::show).post(wishes::submit).layer(DefaultBodyLimit::max(MAX_FORM_BYTES)))
        .route("/assets/enrol.js", get(async || ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], ENROL)))
        // Browsers ask for one by themselves; an organization's own picture is on its page.
        .route("/favicon.ico", get(async || (StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, "public, max-age=86400")])))
        .route("/assets/page.css", get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)))
}

/// A whole page. `styles` are paths of further style sheets of ours.
fn page(title: &str, styles: &[String], body: &Markup) -> Markup {
    let styles: Vec<&str> = iter::once("/assets/page.css").chain(styles.iter().map(String::as_str)).collect();
    html_document(title, &styles, &[], body)
}

/// Whether a page is fetched for a person: not by a link preview, a mail scanner or a browser that looks ahead.
fn is_visit(client: &Client, method: &Method, headers: &HeaderMap) -> bool {
    let ahead = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.contains("prefetch") || value.contains("preview"))
    };
    method == Method::GET
        && !seen::is_bot(client.user_agent.as_deref().unwrap_or_default())
        && !["sec-purpose", "purpose", "x-purpose"].into_iter().any(ahead)
}

/// Whoever has the address of a page has the page: it is not stored, not indexed, and not told to others by a referrer.
fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// The page for whoever comes too often: perhaps only one of many behind the same address.
pub(crate) fn busy(seconds: u64) -> Response {
    use axum::response::IntoResponse as _;
    let body = html! {
        main.notice {
            h1 { "One moment, please" }
            p { "Too many requests came from your network. Wait " (seconds) " seconds and try again." }
        }
    };
    let retry = [(header::RETRY_AFTER, HeaderValue::from(seconds))];
    private((StatusCode::TOO_MANY_REQUESTS, retry, page("One moment, please", &[], &body)).into_response())
}

/// The page for what is not there.
fn missing(what: &str) -> Response {
    use axum::response::IntoResponse as _;
    let body = html! {
        main.notice {
            h1 { "Nothing here" }
            p { "There is no " (what) " at this address. Ask whoever sent you the link for a new one." }
        }
    };
    (StatusCode::NOT_FOUND, page("Nothing here", &[], &body)).into_response()
}
