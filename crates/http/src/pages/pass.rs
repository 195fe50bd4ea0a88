//! `/p/{code}`: a pass's page, its Apple package and its way to Google.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use domain::{Action, Actor, Cause, Command, CommandId, Contact, LinkCode, OrgId, Pass, PassId, PassRef, Sighting, VisitKind};
use http::{HeaderMap, Method, StatusCode, header};
use maud::{Markup, PreEscaped, html};
use qrcode::{EcLevel, QrCode, render::svg};
use render::{Offer, PassView, PreviewContext, preview_css, preview_html};
use store::NameKind;

use super::{is_visit, missing, page, private};
use crate::{
    App, Client, PathParam, Problem,
    api::images,
    packages,
    seen::{self, Device, sighting},
};

/// A pass with all that its page needs.
pub(super) struct Found {
    pub(super) org: OrgId,
    pub(super) pass: Pass,
    pub(super) contact: Option<Contact>,
}

pub(super) async fn find(app: &App, code: &str) -> Result<Option<Found>, Problem> {
    let Ok(code) = code.parse::<LinkCode>() else { return Ok(None) };
    let Some((org, pass)) = app.store.look_up(NameKind::LinkCode, code.as_str().as_bytes()).await? else { return Ok(None) };
    let found = app.store.pass_with_contact(org, PassId::from_uuid(pass)).await?;
    Ok(found.filter(|(pass, _)| !pass.lifecycle.is_deleted()).map(|(pass, contact)| Found { org, pass, contact }))
}

pub(super) async fn record(app: &App, found: &Found, kind: VisitKind, sighting: Sighting) {
    let command = Command {
        id: CommandId::mint(app.now(), &*app.entropy),
        org: found.org,
        actor: Actor::Holder,
        cause: Cause::Page,
        key: None,
        told: None,
        action: Action::RecordVisit { pass: PassRef::Id(found.pass.id), kind, sighting },
    };
    // The holder gets their pass whether or not the visit could be written down.
    if let Err(error) = app.engine.submit(command).await {
        tracing::warn!(%error, "a visit could not be recorded");
    }
}

/// The page.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    PathParam(code): PathParam<String>,
    client: Client,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(found) = find(&app, &code).await? else { return Ok(missing("pass")) };
    let catalog = app.store.catalog();
    let config = catalog.org(found.org).ok_or_else(|| Problem::no_such("organization"))?;
    let design = packages::design(config, &found.pass)?;
    let sighting = sighting(&app, &client);
    let (device, _) = seen::device(client.user_agent.as_deref().unwrap_or_default());
    if is_visit(&client, &method, &headers) {
        record(&app, &found, VisitKind::Page, sighting).await;
    }
    let image_url = |hash: &str| images::url(&app, found.org, hash);
    let codes = app.packages.codes(&app, found.org)?;
    let view = PassView {
        project: design.project,
        template: &design.template.value,
        pass: &found.pass,
        contact: found.contact.as_ref(),
        codes: Some(&codes),
    };
    let address = app.url(&format!("/p/{}", found.pass.code));
    let title = view.text(&design.template.value.design.title);
    let offer = render::offer(&view);
    let body = html! {
        main.pass-page {
            (preview_html(&view, &PreviewContext { image_url: &image_url }))
            (buttons(&found.pass, device, &address, &offer))
        }
    };
    let style = format!("/p/{}/card.css", found.pass.code);
    Ok(private(page(&title, &[style], &body).into_response()))
}

/// What is said where the device that asks has no button.
fn instead(offer: &Offer, device: Device) -> Option<&'static str> {
    match device {
        Device::Ios if offer.apple => None,
        Device::Android if offer.google => None,
        Device::Ios if offer.google => Some("This pass is for Google Wallet: open this page on an Android phone."),
        _ if offer.google_needs.is_some() => {
            Some("Google Wallet takes this pass once its flight is settled: come back to this page then.")
        }
        Device::Android if offer.apple => Some("This pass is for Apple Wallet: open this page on an iPhone."),
        _ => None,
    }
}

/// The right button for the device that asks; on a desktop both, and a code to open the page on a phone.
fn buttons(pass: &Pass, device: Device, address: &str, offer: &Offer) -> Markup {
    let (on_ios, on_android) = (device == Device::Ios, device == Device::Android);
    html! {
        section.get aria-label="Get this pass" {
            @if pass.lifecycle.is_void() {
                p.void-note { "This pass is " (pass.lifecycle.name()) " and cannot be used any more." }
            } @else {
                @if offer.apple && !on_android {
                    a.wallet href=(format!("{address}/apple")) { "Add to Apple Wallet" }
                }
                @if offer.google && !on_ios {
                    a.wallet href=(format!("{address}/google")) { "Save to Google Wallet" }
                }
                @if let Some(words) = instead(offer, device) {
                    p.void-note { (words) }
                }
                @if !on_ios && !on_android && (offer.apple || offer.google) {
                    figure.qr {
                        (qr(address))
                        figcaption { "Scan with your phone to put the pass there" }
                    }
                }
            }
        }
    }
}

/// What a person sees who follows an old link to a wallet that does not take the pass; other faults are told as they are.
fn not_there(problem: Problem, wallet: &str, code: &LinkCode) -> Result<Response, Problem> {
    let (title, status) = match problem.status() {
        StatusCode::NOT_FOUND => (format!("Not in {wallet} Wallet"), StatusCode::NOT_FOUND),
        StatusCode::CONFLICT => (format!("Not in {wallet} Wallet yet"), StatusCode::CONFLICT),
        _ => return Err(problem),
    };
    let body = html! {
        main.notice {
            h1 { (title) }
            p { (wallet) " Wallet has no place for this pass as it is now. " a href=(format!("/p/{code}")) { "Back to the pass" } }
        }
    };
    Ok(private((status, page(&title, &[], &body)).into_response()))
}

fn qr(address: &str) -> Markup {
    match QrCode::with_error_correction_level(address, EcLevel::M) {
        Ok(code) => {
            let image = code.render::<svg::Color<'_>>().min_dimensions(180, 180).quiet_zone(true).build();
            let image = image.split_once("?>").map_or(image.clone(), |(_, svg)| svg.to_owned());
            html! { div role="img" aria-label="QR code of this page's address" { (PreEscaped(image)) } }
        }
        Err(_) => html! {},
    }
}

/// The card's own style sheet.
pub(super) async fn style(State(app): State<Arc<App>>, PathParam(code): PathParam<String>) -> Result<Response, Problem> {
    let Some(found) = find(&app, &code).await? else { return Ok(missing("pass")) };
    let catalog = app.store.catalog();
    let config = catalog.org(found.org).ok_or_else(|| Problem::no_such("organization"))?;
    let css = preview_css(&packages::design(config, &found.pass)?.template.value.design);
    Ok(private(([(header::CONTENT_TYPE, "text/css; charset=utf-8")], css).into_response()))
}

/// The signed package. iOS takes it for a pass only under this media type.
pub(super) async fn apple(
    State(app): State<Arc<App>>,
    PathParam(code): PathParam<String>,
    client: Client,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(found) = find(&app, &code).await? else { return Ok(missing("pass")) };
    let package = match app.packages.apple(&app, found.org, &found.pass, found.contact.as_ref()).await {
        Ok(package) => package,
        Err(problem) => return not_there(problem, "Apple", &found.pass.code),
    };
    if is_visit(&client, &method, &headers) {
        record(&app, &found, VisitKind::ApplePackage, sighting(&app, &client)).await;
    }
    let headers = [
        (header::CONTENT_TYPE, "application/vnd.apple.pkpass"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"pass.pkpass\""),
    ];
    Ok(private((StatusCode::OK, headers, package).into_response()))
}

/// Leads to Google's page that saves the pass.
pub(super) async fn google(
    State(app): State<Arc<App>>,
    PathParam(code): PathParam<String>,
    client: Client,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(found) = find(&app, &code).await? else { return Ok(missing("pass")) };
    let link = match app.packages.google_link(&app, found.org, &found.pass, found.contact.as_ref()).await {
        Ok(link) => link,
        Err(problem) => return not_there(problem, "Google", &found.pass.code),
    };
    if is_visit(&client, &method, &headers) {
        record(&app, &found, VisitKind::GoogleObject, sighting(&app, &client)).await;
    }
    Ok(private(Redirect::to(&link).into_response()))
}
