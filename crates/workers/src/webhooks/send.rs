//! One attempt: rendered, sent, judged, and put into the words of the store.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use connectors::{
    catalog::Destination,
    kit::{Bodies, Outcome, Reply, Request, Sent, Verdict, retry, via},
};
use domain::{DeliveryId, Event, Timestamp};
use http::HeaderMap;
use outbound::http::{Failure, Limits};
use serde_json::{Value, json};
use store::{AttemptOutcome, AttemptRow, DeliveryRow, SealedUnder};

use super::{
    DEADLINE,
    lane::{Lane, Lesson, Ticket},
    made, order,
    proof::Unsent,
    targets::Ready,
};
use crate::shard::House;

/// Bytes of an answer that are read.
const READ_BODY: usize = 64 * 1_024;
/// Bytes of a request's or answer's body that are kept.
const KEEP_BODY: usize = 4 * 1_024;
/// Bytes of one header that are kept.
const KEEP_HEADER: usize = 512;
/// Headers that are kept.
const KEEP_HEADERS: usize = 48;
/// Statuses by which a receiver says that it has too much (RFC 9110, RFC 6585).
const BUSY: [u16; 3] = [429, 502, 503];
/// Headers of a user's that may hold credentials are kept without their values, but for signatures.
const SHOWN: [&str; 14] = [
    "content-type",
    "user-agent",
    "x-passkit-signature",
    "x-passengine-signature",
    "x-2pass-event",
    "x-passslot-signature",
    "x-neostore-signature",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "content-length",
    "accept",
    "passbridge-via",
    "passbridge-pass-via",
];

/// An event that is owed to a target.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) id: DeliveryId,
    pub(crate) event: Arc<Event>,
    pub(crate) under: Arc<SealedUnder>,
    /// What was made of the event for its other targets.
    pub(crate) bodies: Arc<Bodies>,
    pub(crate) to: Arc<Ready>,
    /// Attempts made before.
    pub(crate) attempts: i32,
    /// Whether it is a replay.
    pub(crate) behind: bool,
    /// When it was asked for once more.
    pub(crate) asked_at: Option<Timestamp>,
}

/// What one attempt led to.
pub(crate) struct Attempted {
    pub(crate) row: Option<AttemptRow>,
    pub(crate) then: Then,
}

/// What becomes of a delivery.
#[derive(Debug, Clone)]
pub(crate) enum Then {
    /// It is over.
    Over,
    /// It is tried again.
    Again(DeliveryRow),
    /// It is over after its last attempt failed.
    GaveUp,
    /// It is over, and its target wants nothing more.
    Disable(String),
    /// It is over because its target was switched off before.
    Missed,
}

impl Delivery {
    /// The row that keeps it for later.
    pub(crate) fn row(&self, attempts: i32, due_at: Timestamp) -> DeliveryRow {
        let target = self.to.target().id;
        DeliveryRow {
            org: self.event.org,
            id: self.id,
            target,
            event: self.event.id,
            position: self.event.position,
            attempts,
            due_at,
            behind: self.behind,
            asked_at: self.asked_at,
        }
    }

    /// Whether it goes on at its own pauses while its target is left alone: where so many that were given up switch a target off,
    /// what was tried once has to come to its end.
    pub(crate) fn keeps_its_pauses(&self) -> bool {
        self.attempts > 0 && self.to.vendor().is_none() && self.to.off_after().is_some()
    }

    /// Until when it waits although it has a place: for its target to be well again, or for its turn.
    pub(crate) async fn waits(&self, house: &House, lane: &Lane, ticket: Ticket) -> Option<Timestamp> {
        match lane.may_go(house.now(), ticket) {
            Err(due) => Some(due),
            Ok(ticket) => self.waits_for(house, lane).await.inspect(|_| lane.tries_nothing(ticket)),
        }
    }

    /// Until when an earlier event of the same pass is to be waited for, where the target wants them in order.
    pub(crate) async fn waits_for(&self, house: &House, lane: &Lane) -> Option<Timestamp> {
        let (target, pass) = order::line(self)?;
        let line = (target, pass, self.event.position);
        let earlier = house.store.backend().earlier_owed(self.event.org, &[line]).await;
        let pause = order::pause(lane.pace());
        match earlier {
            Ok(due) => due.into_iter().flatten().next().map(|due| due.max(house.now()).plus(pause)),
            Err(error) => {
                tracing::warn!(%error, delivery = %self.id, "it could not be asked whose turn it is; trying again");
                Some(house.now().plus(pause))
            }
        }
    }

    /// How it is retried.
    fn profile(&self) -> retry::Profile {
        self.to.dialect().map_or(retry::Profile::STANDARD, |dialect| dialect.profile)
    }

    /// One attempt, from rendering to judgement.
    pub(crate) async fn attempt(&self, house: &Arc<House>, lane: &Lane) -> Attempted {
        let at = house.now();
        let (secrets, way) = match self.to.usable() {
            Ok(usable) => usable,
            Err(why) => return self.conclude(house, at, &Tried::unsent(why)),
        };
        let dialect = match self.to.known() {
            Ok((_, dialect)) => dialect,
            Err(why) => return self.conclude(house, at, &Tried::unsent(why)),
        };
        let request = match made::request(house, self, dialect, secrets, &way.client, at).await {
            Ok(Some(mut request)) => {
                via::mark(&mut request.headers, &self.event);
                request
            }
            Ok(None) => return Attempted { row: None, then: Then::Over },
            Err(why) => return self.conclude(house, at, &Tried::unsent(why)),
        };
        let sent = match ready(&request) {
            Ok(sent) => sent,
            Err(why) => return self.conclude(house, at, &Tried { request: Some(request), ..Tried::unsent(why) }),
        };
        let asked = self.to.target().pace.timeout_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let limits = Limits { deadline: asked.or(self.profile().deadline).unwrap_or(DEADLINE), max_body: READ_BODY };
        let started = tokio::time::Instant::now();
        let result = self.to.proof.send(&way.client, sent, limits).await;
        let elapsed = started.elapsed();
        let mut tried = Tried { request: Some(request), elapsed, ..Tried::unsent(String::new()) };
        let mut timed_out = false;
        match result {
            Ok(reply) => {
                let reply = Reply { status: reply.status.as_u16(), headers: reply.headers, body: reply.body };
                let request = tried.request.as_ref();
                tried.outcome = request.map_or(Outcome::later(), |request| judged(dialect, request, &reply, house.now()));
                tried.error = (!(200..300).contains(&reply.status)).then(|| format!("the receiver answered {}", reply.status));
                tried.reply = Some(reply);
            }
            Err(Unsent::Failed(failure)) => {
                timed_out = matches!(failure, Failure::Timeout { .. });
                tried.error = Some(failure.to_string());
            }
            Err(Unsent::Unproven(why)) => tried.error = Some(why),
        }
        let left_alone_until = match &tried.outcome {
            Outcome::Retry { after: Some(after) } => Some(house.now().plus((*after).min(retry::MAX_RETRY_AFTER))),
            _ => None,
        };
        let failed = matches!(tried.outcome, Outcome::Retry { .. });
        let busy = tried.reply.as_ref().is_some_and(|reply| BUSY.contains(&reply.status));
        let (now, random) = (house.now(), house.random());
        lane.learn(Lesson { elapsed, timed_out, failed, busy, left_alone_until, now, random });
        self.conclude(house, at, &tried)
    }

    /// The delivery ends because its target is switched off or gone.
    pub(crate) fn expire(&self, house: &House, why: &str) -> Attempted {
        let detail = json!({ "request": null, "reply": null });
        let error = Some(why.to_owned());
        let row = self.attempt_row(house, house.now(), Duration::ZERO, AttemptOutcome::Expired, None, error, None, &detail);
        Attempted { row, then: Then::Missed }
    }

    pub(super) fn conclude(&self, house: &House, at: Timestamp, tried: &Tried) -> Attempted {
        let made = self.attempts.saturating_add(1);
        let mut error = tried.error.clone();
        let (outcome, then) = match &tried.outcome {
            Outcome::Delivered => (AttemptOutcome::Delivered, Then::Over),
            Outcome::Reject { reason, .. } => {
                error = Some(reason.clone());
                (AttemptOutcome::Failed, Then::Over)
            }
            Outcome::Disable { reason } => {
                error = Some(reason.clone());
                (AttemptOutcome::Failed, Then::Disable(reason.clone()))
            }
            Outcome::Retry { after } => {
                match self.profile().next(made.unsigned_abs(), *after, tried.random.unwrap_or_else(|| house.random())) {
                    Some(pause) => (AttemptOutcome::Retrying, Then::Again(self.row(made, house.now().plus(pause)))),
                    None => (AttemptOutcome::Failed, Then::GaveUp),
                }
            }
        };
        let next_at = match &then {
            Then::Again(row) => Some(row.due_at),
            Then::Over | Then::Missed | Then::GaveUp | Then::Disable(_) => None,
        };
        let status = tried.reply.as_ref().and_then(|reply| i16::try_from(reply.status).ok());
        let mut detail = tried.detail();
        if let Some(egress) = &self.to.target().egress {
            detail["egress"] = json!(egress);
        }
        let row = self.attempt_row(house, at, tried.elapsed, outcome, status, error, next_at, &detail);
        Attempted { row, then }
    }

    #[allow(clippy::too_many_arguments, reason = "the columns of one row")]
    fn attempt_row(
        &self,
        house: &House,
        at: Timestamp,
        elapsed: Duration,
        outcome: AttemptOutcome,
        status: Option<i16>,
        error: Option<String>,
        next_at: Option<Timestamp>,
        detail: &Value,
    ) -> Option<AttemptRow> {
        metrics::counter!("delivery_attempts_total", "outcome" => name(outcome)).increment(1);
        metrics::histogram!("delivery_attempt_seconds").record(elapsed.as_secs_f64());
        let sealed = house.store.seal_detail(&self.event, &self.under, detail.to_string().as_bytes());
        // Only an organization without its key comes here, and then there is nobody to tell.
        let (subject, detail) = sealed.inspect_err(|error| tracing::error!(%error, "an attempt could not be sealed")).ok()?;
        Some(AttemptRow {
            org: self.event.org,
            delivery: self.id,
            target: self.to.target().id,
            event: self.event.id,
            position: self.event.position,
            attempt: self.attempts.saturating_add(1),
            at,
            elapsed_micros: i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX),
            outcome: outcome.number(),
            status,
            error,
            next_at,
            subject,
            data_key: None,
            detail,
        })
    }
}

/// What was sent and came back.
pub(super) struct Tried {
    pub(super) request: Option<Request>,
    pub(super) reply: Option<Reply>,
    pub(super) elapsed: Duration,
    pub(super) outcome: Outcome,
    pub(super) error: Option<String>,
    /// What else there is to say, by name.
    pub(super) more: Vec<(&'static str, Value)>,
    /// What spreads the next attempt, where that is the same for several.
    pub(super) random: Option<u64>,
}

impl Tried {
    /// Nothing came back: to be tried again.
    pub(super) fn unsent(why: String) -> Self {
        let outcome = Outcome::later();
        Self { request: None, reply: None, elapsed: Duration::ZERO, outcome, error: Some(why), more: Vec::new(), random: None }
    }

    /// Nothing can be sent, now or later.
    pub(super) fn never(why: String) -> Self {
        Self { outcome: Outcome::reject(why.clone()), ..Self::unsent(why) }
    }

    fn detail(&self) -> Value {
        let request = self.request.as_ref().map(|request| {
            json!({
                "method": request.method.as_str(),
                "url": request.url,
                "headers": headers(&request.headers, |name| SHOWN.contains(&name)),
                "body": text(&request.body),
            })
        });
        let reply = self.reply.as_ref().map(|reply| {
            json!({ "status": reply.status, "headers": headers(&reply.headers, |name| name != "set-cookie"), "body": text(&reply.body) })
        });
        let mut detail = json!({ "request": request, "reply": reply });
        for (name, value) in &self.more {
            detail[*name] = value.clone();
        }
        detail
    }
}

fn headers(headers: &HeaderMap, shown: impl Fn(&str) -> bool) -> Value {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let value = if shown(name.as_str()) {
            let bytes = &value.as_bytes()[..value.len().min(KEEP_HEADER)];
            String::from_utf8_lossy(bytes).into_owned()
        } else {
            "(kept secret)".to_owned()
        };
        (name.as_str().to_owned(), Value::String(value))
    };
    Value::Object(headers.iter().take(KEEP_HEADERS).map(line).collect())
}

fn text(body: &Bytes) -> String {
    String::from_utf8_lossy(&body[..body.len().min(KEEP_BODY)]).into_owned()
}

/// What a reply means to the one event that was sent.
fn judged(dialect: &Destination, request: &Request, reply: &Reply, now: Timestamp) -> Outcome {
    match (dialect.judge)(&Sent { request, reply: Some(reply), records: 1, now }) {
        Verdict::Each(mut outcomes) => outcomes.pop().unwrap_or(Outcome::later()),
        Verdict::Split(outcome) => outcome,
        Verdict::Renew => Outcome::later(),
    }
}

pub(super) fn ready(request: &Request) -> Result<http::Request<Bytes>, String> {
    let mut sent = http::Request::builder().method(request.method.clone()).uri(request.url.as_str()).body(request.body.clone());
    if let Ok(sent) = &mut sent {
        sent.headers_mut().clone_from(&request.headers);
    }
    sent.map_err(|error| format!("the address cannot be used: {error}"))
}

/// As the metrics call it.
const fn name(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Delivered => "delivered",
        AttemptOutcome::Retrying => "retrying",
        AttemptOutcome::Failed => "failed",
        AttemptOutcome::Expired => "expired",
    }
}
