//! What stands around every page of the console: who may come in, the shell with its navigation, notices, and a page for
//! whatever the API refuses.

use std::{convert::Infallible, iter, sync::Arc};

use axum::{
    Extension,
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use domain::Timestamp;
use http::{HeaderValue, Method, StatusCode, Uri, header, request::Parts};
use maud::{Markup, html};
use serde_json::Value;

use super::{
    SECTIONS,
    ask::{Api, Ask, Fault},
    parts::text,
    session::{self, Session},
    sign_in,
};
use crate::{App, document::html_document};

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Me {
    /// What the key is called.
    pub(super) key: String,
    /// Its first characters.
    pub(super) prefix: String,
    /// What it may do.
    pub(super) scopes: Vec<String>,
    /// The organization that the pages are about: its id.
    pub(super) organization: String,
    /// And its name.
    pub(super) organization_name: String,
}

impl Me {
    /// Out of the API's answer.
    pub(super) fn of(me: &Value) -> Self {
        let scopes = me["key"]["scopes"].as_array().into_iter().flatten();
        Self {
            key: text(me, "/key/name").to_owned(),
            prefix: text(me, "/key/prefix").to_owned(),
            scopes: scopes.filter_map(Value::as_str).map(str::to_owned).collect(),
            organization: text(me, "/organization/id").to_owned(),
            organization_name: text(me, "/organization/name").to_owned(),
        }
    }

    /// Whether the key may choose an organization.
    pub(super) fn is_operator(&self) -> bool {
        self.scopes.iter().any(|scope| scope == "operator")
    }
}

/// What a page is made with: who looks, and the API asked in their name.
#[derive(Clone)]
pub(super) struct Desk {
    /// Asks the API with the session's key.
    pub(super) ask: Ask,
    /// Who is signed in.
    pub(super) me: Arc<Me>,
    app: Arc<App>,
    notice: Option<String>,
    path: String,
}

impl<S: Sync> FromRequestParts<S> for Desk {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        let none = || Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "Fault of ours", "This page has no session around it.");
        parts.extensions.get::<Self>().cloned().ok_or_else(none)
    }
}

impl Desk {
    /// The present.
    pub(super) fn now(&self) -> Timestamp {
        self.app.now()
    }

    /// A new name for a form, under which what it asks for happens once; see [`super::form::once`].
    pub(super) fn once(&self) -> String {
        sign_in::nonce(&self.app)
    }

    /// A page within the shell.
    pub(super) fn page(&self, title: &str, body: &Markup) -> Response {
        self.page_with(title, &[], body)
    }

    /// The same with scripts of its own, by their names below `/console/assets/`.
    pub(super) fn page_with(&self, title: &str, scripts: &[&str], body: &Markup) -> Response {
        let mut response = self.shell(title, scripts, body).into_response();
        if self.notice.is_some() {
            response.headers_mut().append(header::SET_COOKIE, session::forget_notice(&self.app));
        }
        response
    }

    /// A form again that was refused, with the status of the refusal.
    pub(super) fn page_again(&self, title: &str, scripts: &[&str], fault: Option<&Fault>, body: &Markup) -> Response {
        let mut response = self.page_with(title, scripts, body);
        *response.status_mut() = fault.map_or(StatusCode::OK, |fault| fault.status);
        response
    }

    /// To another page of the console, which then shows a notice.
    pub(super) fn redirect(&self, to: &str, notice: &str) -> Response {
        let location = HeaderValue::try_from(to).unwrap_or(HeaderValue::from_static("/console"));
        let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
        if !notice.is_empty() {
            response.headers_mut().append(header::SET_COOKIE, session::carry_notice(&self.app, notice));
        }
        response
    }

    fn refuse(&self, fault: &Fault) -> Response {
        let body = html! {
            (heading(&fault.title, None, &html! {}))
            div.faults role="alert" {
                p { (fault.detail) }
                @if !fault.errors.is_empty() {
                    ul { @for (path, message) in &fault.errors { li { code { (path) } ": " (message) } } }
                }
                @if fault.code == "forbidden" {
                    p {
                        "You are signed in with the key " strong { (self.me.key) } ", which may: "
                        @for scope in &self.me.scopes { code { (scope) } " " }
                    }
                }
                @if let Some(request) = &fault.request_id { p.soft { "Request " code { (request) } } }
            }
            p { a href="/console" { "Overview" } }
        };
        self.page_again(&fault.title, &[], Some(fault), &body)
    }

    fn shell(&self, title: &str, scripts: &[&str], body: &Markup) -> Markup {
        let menu = html! {
            @for (name, entries) in SECTIONS {
                @if !name.is_empty() { h2 { (name) } }
                ul {
                    @for (label, path) in *entries {
                        li { a href=(path) aria-current=[self.is_within(path).then_some("page")] { (label) } }
                    }
                }
            }
        };
        framed(
            title,
            scripts,
            &html! {
                a.skip href="#main" { "Skip to content" }
                div.shell {
                    header.side {
                        a.brand href="/console" { (mark()) span { "Passbridge" } }
                        @if self.me.is_operator() {
                            a.org href="/console/organizations" title="Choose another organization" { (self.me.organization_name) " ⇄" }
                        } @else { p.org { (self.me.organization_name) } }
                        details.menu {
                            summary { "Menu" }
                            nav aria-label="Sections, folded" { (menu) }
                        }
                        nav.wide aria-label="Sections" { (menu) }
                        form.out method="post" action="/console/sign-out" {
                            p.soft title=(self.me.scopes.join(", ")) { (self.me.key) br; code { (self.me.prefix) "…" } }
                            button type="submit" { "Sign out" }
                        }
                    }
                    main #main {
                        @if let Some(notice) = &self.notice { p.notice role="status" { (notice) } }
                        (body)
                    }
                }
            },
        )
    }

    fn is_within(&self, section: &str) -> bool {
        let rest = self.path.strip_prefix(section);
        rest.is_some_and(|rest| rest.is_empty() || (section != "/console" && rest.starts_with('/')))
    }
}

/// A page's heading, what it is about, and what can be done there.
pub(super) fn heading(title: &str, about: Option<&str>, actions: &Markup) -> Markup {
    html! {
        div.heading {
            div { h1 { (title) } @if let Some(about) = about { p.soft { (about) } } }
            div.actions { (actions) }
        }
    }
}

/// The mark beside the name.
pub(super) fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" focusable="false" {
            rect x="2" y="5" width="20" height="14" rx="3" fill="currentColor" {}
            path d="M6 15c2-5 10-5 12 0" fill="none" stroke="var(--card)" stroke-width="2" stroke-linecap="round" {}
        }
    }
}

/// A page without the shell, for who is not signed in.
pub(super) fn bare(title: &str, body: &Markup) -> Markup {
    framed(title, &[], body)
}

fn framed(title: &str, scripts: &[&str], body: &Markup) -> Markup {
    let scripts: Vec<String> = iter::once(&"console.js").chain(scripts).map(|name| format!("/console/assets/{name}")).collect();
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    html_document(&format!("{title} · Passbridge"), &["/console/assets/console.css"], &scripts, body)
}

/// Lets those in who are signed in, and draws what the API refuses as a page.
pub(super) async fn guard(State(app): State<Arc<App>>, Extension(api): Extension<Api>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Some(session) = Session::of(&app, &parts.headers) else { return sign_in::ask_to(&app, &parts) };
    let ask = Ask::new(api, &session.key, session.organization.as_deref(), &parts);
    let me = match ask.get("/v1/me").await {
        Ok(me) => Me::of(&me),
        // Revoked, expired, or no operator's any more: there is nothing to go on with.
        Err(fault) if fault.status.is_client_error() && fault.status != StatusCode::TOO_MANY_REQUESTS => {
            return sign_in::ask_to(&app, &parts);
        }
        Err(fault) => return (fault.status, bare(&fault.title, &away(&fault))).into_response(),
    };
    let (path, notice) = (parts.uri.path().to_owned(), session::notice(&parts.headers));
    let desk = Desk { ask, me: Arc::new(me), app: Arc::clone(&app), notice, path };
    parts.extensions.insert(desk.clone());
    let mut response = next.run(Request::from_parts(parts, body)).await;
    match response.extensions_mut().remove::<Fault>() {
        Some(fault) if fault.status == StatusCode::UNAUTHORIZED => desk.redirect("/console/sign-in", ""),
        Some(fault) => desk.refuse(&fault),
        None => response,
    }
}

fn away(fault: &Fault) -> Markup {
    html! { main #main .sign-in { h1 { (fault.title) } p { (fault.detail) } p { a href="/console" { "Try again" } } } }
}

/// Refuses what another site sends, and keeps every answer out of caches.
pub(super) async fn own_site(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = if reads || is_same_site(&app, &request) {
        next.run(request).await
    } else {
        let fault =
            Fault::new(StatusCode::FORBIDDEN, "Not from here", "This form was sent by another site, and nothing was done.");
        (fault.status, bare(&fault.title, &away(&fault))).into_response()
    };
    // A fault that no session stands around.
    if let Some(fault) = response.extensions_mut().remove::<Fault>() {
        response = (fault.status, bare(&fault.title, &away(&fault))).into_response();
    }
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    // Without it a browser would send our own forms with the origin `null`.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// Whether a page of ours sends it: by what the browser says of where it comes from, or else by the origin that it names, which
/// must be the public address, or the one that the browser asked.
fn is_same_site(app: &App, request: &Request) -> bool {
    let header = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(site) = header(header::HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    let authority =
        |url: &str| url.parse::<Uri>().ok().and_then(|url| url.authority().map(|it| it.as_str().to_ascii_lowercase()));
    let Some(origin) = header(header::ORIGIN).and_then(authority) else { return false };
    let asked = request.uri().authority().map(|it| it.as_str().to_owned()).or_else(|| header(header::HOST).map(str::to_owned));
    authority(&app.settings.public_url).as_ref() == Some(&origin)
        || asked.is_some_and(|asked| asked.to_ascii_lowercase() == origin)
}

/// A page that is not there.
pub(super) async fn nowhere() -> Result<Infallible, Fault> {
    Err(Fault::nowhere())
}
