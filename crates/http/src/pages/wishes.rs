//! `/u/{wish}`: where a person says that they want no more messages by a way, or wants them again.
//!
//! Looking changes nothing, so mail scanners that follow links unsubscribe nobody; a `POST` does at once, as mail programs send
//! it by themselves for their own button (RFC 8058), and as the page's button sends it. The address proves itself
//! (`store::Wish`).

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use domain::{Action, Actor, Cause, Channel, Command, CommandId, Contact, ContactRef, RejectCode};
use maud::{Markup, html};
use store::Wish;

use super::{missing, page, private};
use crate::{App, PathParam, Problem};

/// The form that asks for messages again. Whatever else is posted asks for none: mail programs send
/// `List-Unsubscribe=One-Click`, in either form encoding.
const AGAIN: &[u8] = b"again=yes";
const WHAT: &str = "page for unsubscribing";

async fn find(app: &App, text: &str) -> Result<Option<(Wish, Option<Contact>)>, Problem> {
    let Some(wish) = Wish::read(app.store.keyring(), text) else { return Ok(None) };
    let contact = app.store.contact(wish.org, &ContactRef::Id(wish.contact)).await?;
    Ok(Some((wish, contact.filter(|contact| contact.erased_at.is_none()))))
}

/// The page.
pub(super) async fn show(State(app): State<Arc<App>>, PathParam(text): PathParam<String>) -> Result<Response, Problem> {
    let Some((wish, contact)) = find(&app, &text).await? else { return Ok(missing(WHAT)) };
    let wanted = contact.map(|contact| contact.wants(wish.channel));
    Ok(draw(&app, wish, wanted))
}

/// The button, here or in a mail program.
pub(super) async fn submit(
    State(app): State<Arc<App>>,
    PathParam(text): PathParam<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let Some(wish) = Wish::read(app.store.keyring(), &text) else { return Ok(missing(WHAT)) };
    let wanted = body.as_ref() == AGAIN;
    let command = Command {
        id: CommandId::mint(app.now(), &*app.entropy),
        org: wish.org,
        actor: Actor::Holder,
        cause: Cause::Page,
        key: None,
        told: None,
        action: Action::SetWanted { contact: wish.contact, channel: wish.channel, wanted },
    };
    match app.engine.submit(command).await.map_err(Problem::from) {
        Ok(_) => Ok(draw(&app, wish, Some(wanted))),
        // Nobody is told who is not known any more.
        Err(Problem::Rejected(reject)) if reject.code == RejectCode::NotFound => Ok(draw(&app, wish, None)),
        Err(problem) => Err(problem),
    }
}

fn draw(app: &App, wish: Wish, wanted: Option<bool>) -> Response {
    let catalog = app.store.catalog();
    let organization = catalog.org(wish.org).and_then(|config| config.organization.as_ref());
    let from = organization.map_or("us", |organization| organization.value.name.as_str());
    let what = match wish.channel {
        Channel::Email => "e-mails",
        Channel::Sms => "text messages",
    };
    let title = if wanted == Some(true) { "Unsubscribe" } else { "You are unsubscribed" };
    let body = html! {
        main.notice {
            h1 { (title) }
            (said(wanted, what, from))
        }
    };
    private(page(title, &[], &body).into_response())
}

fn said(wanted: Option<bool>, what: &str, from: &str) -> Markup {
    html! {
        @match wanted {
            Some(true) => {
                p { "You get " (what) " about your passes from " (from) "." }
                form method="post" { button name="unsubscribe" value="yes" { "No more " (what) } }
            }
            Some(false) => {
                p { "You get no more " (what) " about your passes from " (from) ". Your passes stay as they are." }
                form method="post" { button name="again" value="yes" { "Send me " (what) " again" } }
            }
            None => { p { "Nothing is known about you here any more, and you get no " (what) " from " (from) "." } }
        }
    }
}
