//! `/messages/{organization}/{message}/status`: a service tells what became of a message that it took.
//!
//! The call-back proves itself as its connector says, with the credentials of the destination that sent the message. The first
//! final word counts, once: repeats and what comes out of order change nothing.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    routing::post,
};
use connectors::{
    catalog,
    kit::{Heard, Told, status_path},
};
use domain::{
    Action, Actor, Cause, Command, CommandId, EventId, Facts, IdempotencyKey, MESSAGES, MessageNews, MessageRef, OrgId, PassRef,
    RejectCode,
};
use http::StatusCode;
use store::{LoggedEvent, OrgCatalog};

use crate::{App, PathParam, Problem, extract::read_body};

/// Most bytes of a call-back.
const MAX_BYTES: usize = 64 << 10;
const FORGED: &str = "not signed with the credentials of the message's sender: check them, and the public URL";

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/messages/{organization}/{message}/status", post(receive))
}

async fn receive(
    State(app): State<Arc<App>>,
    PathParam((org, id)): PathParam<(OrgId, EventId)>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let (parts, body) = request.into_parts();
    let body = read_body(Request::from_parts(parts.clone(), body), MAX_BYTES).await?;
    let catalog = app.store.catalog();
    let config = catalog.org(org).ok_or_else(|| Problem::no_such("message"))?;
    let found = app.store.event(org, id).await?.and_then(LoggedEvent::whole).ok_or_else(|| Problem::no_such("message"))?;
    let (Facts::MessageRequested { message }, Some(pass), holder) = (found.facts, found.pass, found.contact) else {
        return Err(Problem::no_such("message"));
    };
    let message =
        MessageRef { id: Some(id), sender: message.sender, channel: message.channel, to: Some(message.to), test: message.test };
    let url = app.url(&status_path(org, id));
    let Some(heard) = hear(&app, org, config, &message, &url, &parts.headers, &body)? else { return Ok(StatusCode::NO_CONTENT) };
    let news = match heard {
        Heard::Delivered { server_id } => MessageNews::Delivered { server_id },
        Heard::Never { reason, said } => MessageNews::Failed { reason, detail: Some(said) },
    };
    let key =
        IdempotencyKey { principal: MESSAGES.to_owned(), key: format!("{id}/heard"), fingerprint: [0; 32], keep_image: false };
    let command = Command {
        id: CommandId::mint(app.now(), &*app.entropy),
        org,
        actor: Actor::System,
        cause: Cause::Schedule,
        key: Some(key),
        told: None,
        action: Action::RecordMessage { pass: PassRef::Id(pass), holder, message: Box::new(message), news },
    };
    match app.engine.submit(command).await.map_err(Problem::from) {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(Problem::Rejected(reject)) if reject.code == RejectCode::NotFound => Ok(StatusCode::NO_CONTENT),
        Err(problem) => Err(problem),
    }
}

/// What the service of the message's sender says.
fn hear(
    app: &App,
    org: OrgId,
    config: &OrgCatalog,
    message: &MessageRef,
    url: &str,
    headers: &http::HeaderMap,
    body: &[u8],
) -> Result<Option<Heard>, Problem> {
    let stored = config.targets.get(&message.sender.uuid()).ok_or_else(|| Problem::no_such("sender of this message"))?;
    let target = &stored.value.target;
    let vendor = catalog::find(&target.dialect).and_then(|connector| connector.destination.as_ref()?.vendor);
    let hear = vendor.and_then(|vendor| vendor.messenger?.hear).ok_or_else(|| Problem::no_such("message"))?;
    let credentials = app.store.open_settings(org, &stored.value)?.into_iter().collect();
    let told = Told { url, headers, body, target, credentials: &credentials };
    hear(&told).map_err(|_| Problem::Malformed(FORGED.to_owned()))
}
