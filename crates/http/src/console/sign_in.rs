//! `/console/sign-in`, `/console/sign-out`, and the organization that an operator works in.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Query, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use domain::{LinkCode, OrgId};
use http::{HeaderValue, StatusCode, header, request::Parts};
use maud::{Markup, html};
use serde_json::Value;

use super::{
    ask::{Api, Ask, Fault, query, segment},
    form::{Sent, Sheet},
    frame::{self, Desk, Me},
    parts::{id, pager, table, text, time},
    session::Session,
};
use crate::App;

/// Where one goes who was not on the way to a page.
const HOME: &str = "/console";
/// Most characters of an address that is gone on to.
const MAX_NEXT_CHARS: usize = 2_000;

/// What is reached without a session.
pub(super) fn open_routes() -> Router<Arc<App>> {
    Router::new().route("/console/sign-in", get(show).post(sign_in)).route("/console/sign-out", post(sign_out))
}

/// What is reached with one.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/console/organizations", get(organizations).post(choose))
}

/// Whether a page of the console may be gone on to: nobody is sent elsewhere by an address that somebody wrote.
fn is_ours(next: &str) -> bool {
    let rest = next.strip_prefix(HOME);
    let ends = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    ends && next.len() <= MAX_NEXT_CHARS && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

fn page(sheet: &Sheet, fault: Option<&Fault>) -> Markup {
    let body = html! {
        main #main .sign-in {
            p.brand { (frame::mark()) "Passbridge" }
            h1 { "Sign in" }
            @if let Some(fault) = fault { p.fault role="alert" { (fault.detail) } }
            form method="post" action="/console/sign-in" {
                input type="hidden" name="next" value=(sheet.value("next"));
                label for="key" { "API key" }
                input #key name="key" type="password" autocomplete="current-password" spellcheck="false" required autofocus
                    aria-describedby="key-hint";
                p.hint #key-hint {
                    "Begins with " code { "pbk_" } ". What it may do here is what its scopes allow. You stay signed in for 12 hours."
                }
                button.main type="submit" { "Sign in" }
            }
        }
    };
    frame::bare("Sign in", &body)
}

async fn show(Query(pairs): Query<Vec<(String, String)>>) -> Markup {
    page(&Sheet::of(pairs), None)
}

async fn sign_in(State(app): State<Arc<App>>, Extension(api): Extension<Api>, parts: Parts, Sent(sheet): Sent) -> Response {
    let key = sheet.value("key").trim().to_owned();
    let refused = |fault: Fault| {
        let wrong = fault.status == StatusCode::UNAUTHORIZED;
        let detail = if wrong { "That is no valid API key.".to_owned() } else { fault.detail };
        let fault = Fault { detail, ..fault };
        (fault.status, page(&sheet, Some(&fault))).into_response()
    };
    let ask = Ask::new(api, &key, None, &parts);
    let me = match ask.get("/v1/me").await {
        Ok(me) => me,
        Err(fault) => return refused(fault),
    };
    let home: Option<OrgId> = text(&me, "/organization/id").parse().ok();
    let cookie = home.and_then(|home| Session::begin(&app, &key, home).cookie(&app));
    let Some(cookie) = cookie else {
        return refused(Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "Fault of ours", "The session could not be sealed."));
    };
    let next = sheet.value("next");
    let next = match next {
        next if is_ours(next) => next,
        _ if Me::of(&me).is_operator() && may_choose(&ask).await => "/console/organizations",
        _ => HOME,
    };
    let location = HeaderValue::try_from(next).unwrap_or(HeaderValue::from_static(HOME));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location), (header::SET_COOKIE, cookie)]).into_response()
}

/// Whether there are several organizations.
async fn may_choose(ask: &Ask) -> bool {
    let found = ask.get("/v1/organizations?limit=2").await;
    found.is_ok_and(|found| found["data"].as_array().is_some_and(|some| some.len() > 1))
}

async fn sign_out(State(app): State<Arc<App>>) -> Response {
    let away = HeaderValue::from_static("/console/sign-in");
    (StatusCode::SEE_OTHER, [(header::LOCATION, away), (header::SET_COOKIE, Session::end(&app))]).into_response()
}

/// The sign-in page, on the way to a page; a session that is over is forgotten.
pub(super) fn ask_to(app: &App, parts: &Parts) -> Response {
    let wanted = parts.uri.path_and_query().map_or(HOME, |wanted| wanted.as_str());
    let next = if parts.method == http::Method::GET && is_ours(wanted) && wanted != HOME { wanted } else { "" };
    let location = query("/console/sign-in", &[("next", next)]);
    let location = HeaderValue::try_from(location).unwrap_or(HeaderValue::from_static("/console/sign-in"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location), (header::SET_COOKIE, Session::end(app))]).into_response()
}

/// The organizations that an operator's key may work in.
async fn organizations(desk: Desk, Query(pairs): Query<Vec<(String, String)>>) -> Result<Response, Fault> {
    let sheet = Sheet::of(pairs);
    let found = desk.ask.get(&query("/v1/organizations", &[("cursor", sheet.value("cursor"))])).await?;
    let row = |organization: &Value| {
        let (own, name) = (text(organization, "/id"), text(organization, "/name"));
        vec![
            html! { strong { (name) } },
            id(own),
            time(&desk, &organization["created_at"]),
            html! {
                @if own == desk.me.organization { span.soft { "You are here" } } @else {
                    form.inline method="post" action="/console/organizations" {
                        input type="hidden" name="organization" value=(own);
                        button type="submit" { "Work here" span.hidden { " in " (name) } }
                    }
                }
            },
        ]
    };
    let rows = found["data"].as_array().into_iter().flatten().map(row).collect();
    let body = html! {
        (frame::heading("Organizations", Some("Choose which one the pages are about."), &html! {}))
        (table("Organizations", &["Name", "Id", "Set up", "Work in it"], rows, "There is none."))
        (pager("/console/organizations", &[], &found))
    };
    Ok(desk.page("Organizations", &body))
}

async fn choose(desk: Desk, State(app): State<Arc<App>>, parts: Parts, Sent(sheet): Sent) -> Result<Response, Fault> {
    let wanted = sheet.value("organization").to_owned();
    let found = desk.ask.get(&format!("/v1/organizations/{}", segment(&wanted))).await?;
    let session = Session::of(&app, &parts.headers).map(|session| session.within(wanted));
    let mut response = desk.redirect(HOME, &format!("You work in {} now.", text(&found, "/name")));
    if let Some(cookie) = session.and_then(|session| session.cookie(&app)) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// A random name for a form, under which what it asks for happens once.
pub(super) fn nonce(app: &App) -> String {
    LinkCode::mint(&*app.entropy).to_string()
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for ours in ["/console", "/console/passes/1?x=y", "/console?tab=1"] {
            assert!(is_ours(ours), "{ours}");
        }
        for other in
            ["", "/", "//evil.example", "/consolex", "https://evil.example/console", "/console/\\evil", "/console/\r\nx: y"]
        {
            assert!(!is_ours(other), "{other}");
        }
    }
}
