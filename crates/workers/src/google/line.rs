//! The line to Google for one account: its access token, its pace, and when to keep quiet.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use domain::Timestamp;
use google_wallet::{
    ServiceAccount,
    rest::{self, AccessToken, Api, RestError, TokenError, Verdict},
};
use http::Request;
use outbound::http::Limits;
use parking_lot::Mutex;

use super::{pacer::Pacer, post::Post};
use crate::shard::House;

/// The bounds of one request; a page of a thousand objects is long.
const LIMITS: Limits = Limits { deadline: Duration::from_secs(30), max_body: 16 << 20 };
/// A token is replaced so long before it ends, in seconds.
const TOKEN_MARGIN: i64 = 300;
/// First pause of the line after Google asked for one or gave no answer; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause of the line.
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);

/// What came of a call.
pub(super) enum Came {
    /// An answer.
    Answer(Verdict, Bytes),
    /// None: it may have been done or not.
    Nothing(String),
    /// It was not sent: the line rests, or there is no token.
    NotSent(String),
}

pub(super) struct Line {
    pub(super) account: Arc<ServiceAccount>,
    pub(super) pacer: Arc<Pacer>,
    post: Post,
    token: tokio::sync::Mutex<Option<(AccessToken, i64)>>,
    rest: Mutex<Rest>,
}

#[derive(Default)]
struct Rest {
    until: Option<Timestamp>,
    pause: Duration,
}

impl Line {
    pub(super) fn new(account: Arc<ServiceAccount>, pacer: Arc<Pacer>) -> Self {
        Self { account, pacer, post: Post::default(), token: tokio::sync::Mutex::default(), rest: Mutex::default() }
    }

    /// Until when the line rests, if it does.
    pub(super) fn rests_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.rest.lock().until.filter(|until| *until > now)
    }

    /// Rests, longer each time until something succeeds; with jitter, so that accounts do not come back together.
    fn rest(&self, house: &House) {
        let mut rest = self.rest.lock();
        if rest.until.is_some_and(|until| until > house.now()) {
            return; // others that were under way tell the same
        }
        rest.pause = (rest.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        let jitter = house.random() % u64::try_from(rest.pause.as_millis() / 4).unwrap_or(1).max(1);
        rest.until = Some(house.now().plus(rest.pause + Duration::from_millis(jitter)));
    }

    /// Asks once, with another token once more if the first was refused.
    pub(super) async fn ask<F>(&self, house: &House, build: F) -> Came
    where
        F: Fn(&Api<'_>) -> Result<Request<Bytes>, RestError>,
    {
        for fresh in [false, true] {
            let token = match self.token(house, fresh).await {
                Ok(token) => token,
                Err(why) => {
                    self.rest(house);
                    return Came::NotSent(why);
                }
            };
            let request = Api::new(&house.google.api_url, token.secret()).and_then(|api| build(&api));
            let request = match request {
                Ok(request) => request,
                Err(error) => return denied(error.to_string(), "correct the id or the address"),
            };
            let Some(slot) = self.pacer.slot(house).await else { return Came::NotSent("stopping".to_owned()) };
            if self.rests_until(house.now()).is_some() {
                return Came::NotSent("the line rests".to_owned());
            }
            let sent = self.post.send(&house.client, request, LIMITS).await;
            drop(slot);
            let reply = match sent {
                Ok(reply) => reply,
                Err(why) => {
                    self.rest(house);
                    metrics::counter!("google_requests_total", "outcome" => "no_answer").increment(1);
                    return Came::Nothing(why);
                }
            };
            let verdict = rest::judge(reply.status, &reply.body);
            metrics::counter!("google_requests_total", "outcome" => name(&verdict)).increment(1);
            match &verdict {
                Verdict::TokenExpired if !fresh => continue,
                Verdict::TokenExpired | Verdict::Retry | Verdict::QuotaExceeded { quota: rest::Quota::Requests, .. } => {
                    self.rest(house);
                }
                _ => *self.rest.lock() = Rest::default(),
            }
            return Came::Answer(verdict, reply.body);
        }
        Came::NotSent("no token".to_owned())
    }

    async fn token(&self, house: &House, fresh: bool) -> Result<AccessToken, String> {
        let now = house.now().as_seconds();
        let mut held = self.token.lock().await;
        // Whoever waited for the lock finds a new one there; it was fetched at or after this time.
        if let Some((token, fetched)) = held.as_ref()
            && fetched + token.expires_in_seconds - TOKEN_MARGIN > now
            && (!fresh || *fetched == now)
        {
            return Ok(token.clone());
        }
        let request = rest::token_request(&self.account, now, house.google.token_url.as_deref());
        let request = request.map_err(|error| error.to_string())?;
        let reply = house.client.send(request, LIMITS).await.map_err(|failure| failure.to_string())?;
        let token = rest::read_token(reply.status, &reply.body).map_err(|error: TokenError| error.to_string())?;
        *held = Some((token.clone(), now));
        Ok(token)
    }
}

fn denied(why: String, mend: &'static str) -> Came {
    Came::Answer(Verdict::Denied { why, mend }, Bytes::new())
}

const fn name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Done => "done",
        Verdict::NotFound => "not_found",
        Verdict::Conflict => "conflict",
        Verdict::QuotaExceeded { .. } => "quota",
        Verdict::TokenExpired => "token",
        Verdict::Denied { .. } => "denied",
        Verdict::Retry => "retry",
    }
}
