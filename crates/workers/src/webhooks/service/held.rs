//! What a service holds of contacts, read and compared.

use std::{sync::Arc, time::Duration};

use connectors::{
    catalog::{Destination, Differences, Holds, Sharing},
    kit::{Outcome, Pace, Sent, Token, Verdict},
};
use domain::Contact;
use outbound::http::Limits;

use super::{
    super::{DEADLINE, carry, targets::Ready},
    READ_BODY,
};
use crate::shard::House;

/// What a service holds of contacts otherwise than it should: of each the fields, or that there is no record. Why that is not
/// known, and when it wants to be asked again, where it does not answer.
pub(crate) async fn held(
    house: &Arc<House>,
    to: &Ready,
    holds: Holds,
    (contacts, sharing): (&[&Contact], &Sharing),
) -> Result<Differences, (String, Option<Duration>)> {
    let at_once = |why: String| (why, None);
    if contacts.is_empty() {
        return Ok(Vec::new());
    }
    let (secrets, way) = to.usable().map_err(at_once)?;
    let mut secrets = secrets.clone();
    if let Some(tokens) = &to.tokens {
        let token = tokens.token(&way.client).await.map_err(|error| at_once(error.to_string()))?;
        secrets.token = Some(Token::new(token.as_str()));
    }
    let (connector, destination) = to.known().map_err(at_once)?;
    let Some(vendor) = destination.vendor else { return Err(at_once("it is no service".to_owned())) };
    let lane = house.dispatcher.lane(to.target());
    let limits = Limits { deadline: DEADLINE, max_body: READ_BODY };
    let mut all = Vec::with_capacity(contacts.len());
    let (mut pieces, mut renewed) = (contacts.chunks(holds.most.max(1)).peekable(), false);
    while let Some(piece) = pieces.peek() {
        let request = (holds.ask)(piece, to.target(), &secrets).map_err(at_once)?;
        if !connector.may_call(to.target(), &request.url) {
            return Err(at_once("the address is none that this destination may call".to_owned()));
        }
        let pace = if holds.paced { destination.pace } else { Pace::SINGLE };
        let turn = lane.turns.begin(pace).await;
        let carried = carry::send(house, vendor.carrier, to, (&secrets, &way.client), &request, limits).await.map_err(at_once)?;
        drop(turn);
        let Some(reply) = carried.reply else { return Err(at_once(carried.error.unwrap_or_default())) };
        if let (401, false, Some(tokens), Some(refused)) = (reply.status, renewed, &to.tokens, &secrets.token) {
            let token = tokens.renew(&way.client, refused.expose()).await.map_err(|error| at_once(error.to_string()))?;
            (secrets.token, renewed) = (Some(Token::new(token.as_str())), true);
            continue;
        }
        let sent = Sent { request: &request, reply: Some(&reply), records: piece.len(), now: house.now() };
        let differs = (holds.differs)(piece, sharing, to.target(), &reply);
        all.extend(differs.map_err(|why| (why, pause(&sent, destination)))?);
        pieces.next();
    }
    Ok(all)
}

/// How long a service that did not answer a question wants to be left alone: as after a write that it would not hear of, for its
/// limits count both.
fn pause(sent: &Sent<'_>, destination: &Destination) -> Option<Duration> {
    let asked = match (destination.judge)(sent) {
        Verdict::Each(outcomes) => outcomes.into_iter().find_map(|outcome| match outcome {
            Outcome::Retry { after } => after,
            _ => None,
        }),
        Verdict::Split(_) | Verdict::Renew => None,
    };
    asked.or_else(|| sent.asked())
}
