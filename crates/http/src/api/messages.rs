//! `/v1/passes/{pass}/messages`: holders are sent the address of their pass by e-mail or SMS.

use std::sync::Arc;

use axum::extract::State;
use domain::{
    Action, Answer, Channel, EventId, Facts, MessageFault, MessageNews, MessageOrder, MessageRef, OrgId, PassId, PassRef,
    TargetId,
};
use serde::{Deserialize, Serialize};
use store::LoggedEvent;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::{Acted, ERASED, Once},
    config::Shown,
    schema::IdText,
};
use crate::{
    App, Body, PathParam, Problem,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(send)).routes(routes!(bounce))
}

/// How a holder is told.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MessageChannel)]
pub(crate) enum ChannelName {
    Email,
    Sms,
}

/// A message to a pass's holder.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MessageInput {
    /// By which way: `email` or `sms`.
    #[schema(value_type = ChannelName)]
    channel: Channel,
    /// The destination that sends it, by name or id; the only one for this way and project unless told.
    #[serde(default)]
    sender: Option<String>,
    /// The subject of an e-mail instead of the sender's: 1 to 200 characters.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    subject: Option<String>,
    /// What it says: 1 to 2000 characters. The sender's template puts it before the address of the pass's page.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 2000)]
    text: Option<String>,
    /// Send it also to an address that refused a message before.
    #[serde(default)]
    despite_bounce: bool,
}

/// What became of asking for a message. What becomes of the message itself is among the pass's events.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Message)]
pub(crate) struct View {
    /// Its id, that of the event that tells of it.
    #[schema(value_type = IdText)]
    id: EventId,
    /// `requested`, or `failed` when the holder cannot or does not want to be told this way.
    state: &'static str,
    /// Why it failed: `no_address`, `unsubscribed` or `bounced_before`.
    reason: Option<&'static str>,
    /// The destination that sends it.
    #[schema(value_type = IdText)]
    sender: TargetId,
    /// By which way.
    #[schema(value_type = ChannelName)]
    channel: Channel,
    /// To which address or number.
    to: Option<String>,
}

/// Asks the engine for a message, and says what it answered.
pub(crate) async fn asked(app: &App, org: OrgId, answer: &Answer) -> Result<View, Problem> {
    let Answer::Noted { event: id } = *answer else {
        return Err(Problem::Internal(format!("a message was answered with {answer:?}")));
    };
    let event = app.store.event(org, id).await?.and_then(LoggedEvent::whole).ok_or(ERASED)?;
    match event.facts {
        Facts::MessageRequested { message } => Ok(View {
            id,
            state: "requested",
            reason: None,
            sender: message.sender,
            channel: message.channel,
            to: Some(message.to),
        }),
        Facts::MessageFailed { message, reason, .. } => Ok(View {
            id,
            state: "failed",
            reason: Some(reason.name()),
            sender: message.sender,
            channel: message.channel,
            to: message.to,
        }),
        other => Err(Problem::Internal(format!("a message became {}", other.kind().name()))),
    }
}

/// Send a pass's holder a message.
///
/// With the address of the pass's page, by e-mail or SMS. What becomes of it is among the pass's events: `message.sent`,
/// `message.failed`, or `message.unknown` when nobody knows whether it was sent.
#[utoipa::path(post, path = "/v1/passes/{pass}/messages", tag = "Passes", security(("key" = ["passes_write"])),
    params(("pass" = IdText, Path, description = "Its id.")),
    request_body = MessageInput, responses((status = 202, body = View, description = "It goes out, or cannot.")))]
async fn send(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PassId>,
    once: Once,
    body: Body<MessageInput>,
) -> Result<Acted<Shown<View>>, Problem> {
    let MessageInput { channel, sender, subject, text, despite_bounce } = body.value;
    let order = MessageOrder { channel, sender, test_to: None, subject, text, despite_bounce };
    let action = Action::Send { pass: PassRef::Id(id), order: Box::new(order) };
    let outcome = once.submit(&app, &can, &body.bytes, action).await?;
    Ok(Acted::new(outcome.replayed, Shown::later(asked(&app, can.org, &outcome.answer).await?)))
}

/// What came back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Bounce {
    /// Why, in the receiving server's words: at most 500 characters.
    #[serde(default)]
    #[schema(max_length = 500)]
    detail: Option<String>,
    /// Whether the person wants no more messages, instead of the address being none.
    #[serde(default)]
    unsubscribed: bool,
}

/// A bounce that was noted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NotedBounce)]
struct Noted {
    /// The event that says so.
    #[schema(value_type = IdText)]
    event: EventId,
}

/// Tell of a bounce.
///
/// For what comes back later: point your mail provider's bounce and complaint webhooks at something that calls this. The pass
/// notes it, and nothing more is sent to that address.
#[utoipa::path(post, path = "/v1/passes/{pass}/messages/{message}/bounce", tag = "Passes", security(("key" = ["passes_write"])),
    params(("pass" = IdText, Path, description = "Its id."), ("message" = IdText, Path, description = "The message's id.")),
    request_body = Option<Bounce>, responses((status = 200, body = Noted, description = "Noted.")))]
async fn bounce(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam((pass, message)): PathParam<(PassId, EventId)>,
    once: Once,
    body: Body<Bounce>,
) -> Result<Acted<Shown<Noted>>, Problem> {
    let Bounce { detail, unsubscribed } = body.value;
    if detail.as_ref().is_some_and(|detail| detail.chars().count() > 500) {
        return Err(Problem::field("detail", "must have at most 500 characters"));
    }
    let found = app.store.event(can.org, message).await?.ok_or_else(|| Problem::no_such("message"))?;
    let event = found.whole().ok_or(ERASED)?;
    let asked = match event.facts {
        Facts::MessageRequested { message } if event.pass == Some(pass) => message,
        _ => return Err(Problem::no_such("message of this pass")),
    };
    let (sender, channel, test) = (asked.sender, asked.channel, asked.test);
    let message = MessageRef { id: Some(message), sender, channel, to: Some(asked.to), test };
    let reason = if unsubscribed { MessageFault::Unsubscribed } else { MessageFault::Bounced };
    let news = MessageNews::Failed { reason, detail };
    let action = Action::RecordMessage { pass: PassRef::Id(pass), holder: event.contact, message: Box::new(message), news };
    let outcome = once.submit(&app, &can, &body.bytes, action).await?;
    match outcome.answer {
        Answer::Noted { event } => Ok(Acted::new(outcome.replayed, Shown::done(Noted { event }))),
        other => Err(Problem::Internal(format!("a bounce was answered with {other:?}"))),
    }
}
