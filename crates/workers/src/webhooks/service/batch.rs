//! Events on their way to a service: rendered within its limits, sent, judged, taken apart.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use connectors::{
    catalog::{Descriptor, Destination},
    kit::{Outcome, Owed, Reply, Request, Secrets, Sending, Sent, Token, Verdict, retry},
};
use domain::{DeliveryId, Event, OrgId, Target, TargetId, Timestamp};
use http::HeaderMap;
use outbound::http::{Client, Limits};
use serde_json::json;
use tokio::time::Instant;

use super::{
    super::{
        DEADLINE,
        carry::{self, Carried},
        lane::{Lane, Lesson},
        made::Body,
        send::{Attempted, Delivery, Then, Tried},
        targets::Ready,
    },
    READ_BODY,
};
use crate::shard::House;

/// Bytes of an answer that are read where something is looked for: a column or two of a long table.
const LOOK_BODY: usize = 8 << 20;
/// Why nothing was written where it does not say.
const UNTOLD: &str = "the receiver does not tell what it has already";
/// What is answered where some of what is to be made is there already.
const SOME_ARE_THERE: [u16; 3] = [207, 400, 409];
/// How long outcomes take to be written down, with room to spare.
const WRITTEN_BY_THEN: Duration = Duration::from_millis(500);
/// Deliveries that are hastened together.
const HASTENED: u32 = 1_000;

/// What came of one event.
#[derive(Clone)]
pub(super) enum Came {
    /// There is nothing to tell.
    Nothing,
    /// Something was tried.
    Tried(Box<Trial>),
}

/// What was sent for an event and came back, as far as it concerns that event alone.
#[derive(Clone)]
pub(super) struct Trial {
    pub(super) outcome: Outcome,
    pub(super) error: Option<String>,
    reply: Option<Reply>,
    elapsed: Duration,
    /// How many events went with it.
    together: usize,
}

/// A batch on its way.
pub(super) struct Batch<'b> {
    house: &'b Arc<House>,
    lane: &'b Lane,
    to: &'b Ready,
    connector: &'static Descriptor,
    pub(super) destination: &'static Destination,
    client: &'b Client,
    /// What the target's owner makes of the events; nothing of services that take no such bodies.
    pub(super) made: Vec<Body>,
    secrets: Secrets,
    events: &'b [Event],
    /// The delivery of each event.
    ids: Vec<DeliveryId>,
    public_url: String,
    /// Whether a new token was got in the course of it.
    renewed: bool,
    /// Spreads the next attempts, which are made together.
    random: u64,
}

impl<'b> Batch<'b> {
    /// These events for a target, each with its delivery; why they cannot be sent to it.
    pub(super) fn new(
        house: &'b Arc<House>,
        lane: &'b Lane,
        to: &'b Ready,
        (events, ids): (&'b [Event], Vec<DeliveryId>),
    ) -> Result<Self, String> {
        let (secrets, way) = to.usable()?;
        let (connector, destination) = to.known()?;
        let public_url = house.settings.webhooks.public_url.clone();
        Ok(Self {
            house,
            lane,
            to,
            connector,
            destination,
            client: &way.client,
            made: Vec::new(),
            secrets: secrets.clone(),
            events,
            ids,
            public_url,
            renewed: false,
            random: house.random(),
        })
    }

    fn target(&self) -> &Target {
        self.to.target()
    }

    fn render(&self, events: &[usize], at: Timestamp) -> Vec<Sending> {
        let owed: Vec<Owed<'_>> = events.iter().map(|number| self.owed(*number)).collect();
        let made = events.iter().map(|number| self.made.get(*number));
        if let (Some(around), true) =
            (self.destination.vendor.and_then(|vendor| vendor.around), made.clone().flatten().any(|made| *made != Body::Shapes))
        {
            let one = |((at, owed), made): ((usize, &Owed<'_>), Option<&Body>)| {
                let Some(Body::Made(content, body)) = made else { return None };
                let body = Bytes::from(body.clone());
                Some(match around(owed, self.target(), &self.secrets, self.house.now(), content.media(), body) {
                    Ok(request) => Sending::of_one(request, at),
                    Err(why) => Sending::never(why, at),
                })
            };
            return owed.iter().enumerate().zip(made).filter_map(one).collect();
        }
        (self.destination.render)(&owed, self.target(), &self.secrets, at)
    }

    /// Sends the events, in pieces as small as it takes.
    pub(super) async fn run(&mut self, wanted: Vec<usize>) -> Vec<Came> {
        let mut came = vec![Came::Nothing; self.events.len()];
        let ready = match self.log_in().await {
            Ok(()) => self.prepare().await,
            Err(why) => Err(why),
        };
        if let Err(why) = ready {
            for number in wanted {
                came[number] = Came::Tried(Box::new(Trial::unsent(why.clone())));
            }
            return came;
        }
        let mut pieces = vec![wanted];
        while let Some(piece) = pieces.pop().filter(|piece| !piece.is_empty()) {
            let sendings = match self.rendered(&piece).await {
                Ok(sendings) => sendings,
                Err(Told::Again) => {
                    pieces.push(piece);
                    continue;
                }
                Err(Told::Each(trials)) => {
                    piece.iter().zip(trials).for_each(|(number, trial)| came[*number] = Came::Tried(Box::new(trial)));
                    continue;
                }
                Err(Told::Split) => continue,
            };
            for sending in sendings {
                let events = |record: &Vec<usize>| record.iter().filter_map(|at| piece.get(*at).copied()).collect::<Vec<_>>();
                let records: Vec<Vec<usize>> = sending.covers.iter().map(events).collect();
                let request = match sending.request {
                    Ok(request) => request,
                    Err(why) => {
                        records
                            .iter()
                            .flatten()
                            .for_each(|number| came[*number] = Came::Tried(Box::new(Trial::never(why.clone()))));
                        continue;
                    }
                };
                match self.exchange(&request, records.len()).await {
                    Told::Each(trials) => {
                        for (record, trial) in records.iter().zip(trials) {
                            record.iter().for_each(|number| came[*number] = Came::Tried(Box::new(trial.clone())));
                        }
                    }
                    Told::Split => {
                        let half = records.len() / 2;
                        pieces.push(records[half..].concat());
                        pieces.push(records[..half].concat());
                    }
                    Told::Again => pieces.push(records.concat()),
                }
            }
        }
        came
    }

    /// Gets the token that the destination wants.
    async fn log_in(&mut self) -> Result<(), String> {
        let Some(tokens) = &self.to.tokens else { return Ok(()) };
        let token = tokens.token(self.client).await.map_err(|error| error.to_string())?;
        self.secrets.token = Some(Token::new(token.as_str()));
        Ok(())
    }

    /// Makes what is written to, where the service lets that be made; why nothing can be sent now.
    async fn prepare(&self) -> Result<(), String> {
        let Some(makes) = self.destination.vendor.and_then(|vendor| vendor.makes) else { return Ok(()) };
        if self.to.prepared.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut status = self.make((makes.all)(self.target(), &self.secrets)?).await?;
        if SOME_ARE_THERE.contains(&status) {
            for request in (makes.each)(self.target(), &self.secrets)? {
                status = self.make(request).await?;
            }
        }
        if !(200..300).contains(&status) && !SOME_ARE_THERE.contains(&status) {
            let target = self.target().id;
            tracing::warn!(org = %self.to.org, %target, status, "a service does not let its fields be made; they may be there");
        }
        self.to.prepared.store(true, Ordering::Release);
        Ok(())
    }

    /// Sends a request that makes something; the status that it is answered with.
    async fn make(&self, request: Request) -> Result<u16, String> {
        let house = self.house;
        if !self.connector.may_call(self.target(), &request.url) {
            return Err("the address is none that this destination may call".to_owned());
        }
        let Some(vendor) = self.destination.vendor else { return Err("it is no service".to_owned()) };
        let limits = Limits { deadline: DEADLINE, max_body: READ_BODY };
        let turn = self.lane.turns.begin(self.destination.pace).await;
        let carried = carry::send(house, vendor.carrier, self.to, (&self.secrets, self.client), &request, limits).await?;
        drop(turn);
        let status = carried.reply.map(|reply| reply.status).ok_or(carried.error.unwrap_or_default())?;
        if status == 429 || status >= 500 { Err(format!("the receiver answered {status}")) } else { Ok(status) }
    }

    /// What is to be sent of these events, given what the service holds where that has to be looked at first; what became of
    /// them where it does not tell.
    async fn rendered(&mut self, piece: &[usize]) -> Result<Vec<Sending>, Told> {
        let at = self.house.now();
        let looks = self.destination.vendor.and_then(|vendor| vendor.looks);
        let asked = looks.and_then(|looks| Some((looks, (looks.ask)(self.target(), &self.secrets)?)));
        let Some((looks, request)) = asked else { return Ok(self.render(piece, at)) };
        let all = |trial: Trial| Told::Each(vec![trial; piece.len()]);
        let request = request.map_err(|why| all(Trial::unsent(why)))?;
        let (reply, told) = self.told_of(&request, piece.len(), LOOK_BODY).await;
        let Some(reply) = reply.filter(|reply| reply.status == 200) else {
            return Err(match told {
                Told::Again => Told::Again,
                Told::Split => all(Trial::unsent(UNTOLD.to_owned())),
                Told::Each(trials) => Told::Each(trials.into_iter().map(Trial::not_at_fault).collect()),
            });
        };
        let owed: Vec<Owed<'_>> = piece.iter().map(|number| self.owed(*number)).collect();
        (looks.render)(&owed, self.target(), &self.secrets, &reply).map_err(|why| all(Trial::unsent(why)))
    }

    fn owed(&self, number: usize) -> Owed<'_> {
        Owed {
            event: &self.events[number],
            delivery: self.ids[number],
            public_url: &self.public_url,
            unsubscribe: None,
            bodies: None,
        }
    }

    /// Sends one request, and what it means.
    async fn exchange(&mut self, request: &Request, records: usize) -> Told {
        self.told_of(request, records, READ_BODY).await.1
    }

    /// Sends one request: the reply, read so far, and what it means.
    async fn told_of(&mut self, request: &Request, records: usize, max_body: usize) -> (Option<Reply>, Told) {
        let (house, together) = (self.house, records);
        let all = |trial: Trial| Told::Each(vec![Trial { together, ..trial }; records]);
        if !self.connector.may_call(self.target(), &request.url) {
            return (None, all(Trial::unsent("the address is none that this destination may call".to_owned())));
        }
        let Some(vendor) = self.destination.vendor else { return (None, all(Trial::unsent("it is no service".to_owned()))) };
        let asked = self.target().pace.timeout_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let limits = Limits { deadline: asked.unwrap_or(DEADLINE), max_body };
        let turn = self.lane.turns.begin(self.destination.pace).await;
        let started = Instant::now();
        let carried = carry::send(house, vendor.carrier, self.to, (&self.secrets, self.client), request, limits).await;
        let elapsed = started.elapsed();
        drop(turn);
        let Carried { reply, error, timed_out } = match carried {
            Ok(carried) => carried,
            Err(why) => return (None, all(Trial::unsent(why))),
        };
        let verdict = (self.destination.judge)(&Sent { request, reply: reply.as_ref(), records, now: house.now() });
        self.learn(elapsed, timed_out, records, &verdict);
        if verdict == Verdict::Renew && !self.renewed && self.renew().await {
            return (None, Told::Again);
        }
        let outcomes = match verdict {
            Verdict::Each(outcomes) => outcomes,
            Verdict::Split(_) if records > 1 => return (None, Told::Split),
            Verdict::Split(outcome) => vec![outcome; records],
            Verdict::Renew => vec![Outcome::later(); records],
        };
        let status = reply.as_ref().map(|reply| reply.status);
        let trial = |outcome: Outcome| {
            let failed = status.filter(|status| !(200..300).contains(status) || outcome != Outcome::Delivered);
            let error = error.clone().or_else(|| failed.map(|status| format!("the receiver answered {status}")));
            let error = error.filter(|_| outcome != Outcome::Delivered);
            Trial { reply: own_reply(reply.as_ref(), &outcome, together), outcome, error, elapsed, together }
        };
        let trials = outcomes.into_iter().map(trial).collect();
        (reply, Told::Each(trials))
    }

    /// Gets a new token in the place of the one that was not taken; whether there is one.
    async fn renew(&mut self) -> bool {
        self.renewed = true;
        let (Some(tokens), Some(refused)) = (&self.to.tokens, &self.secrets.token) else { return false };
        let Ok(token) = tokens.renew(self.client, refused.expose()).await else { return false };
        self.secrets.token = Some(Token::new(token.as_str()));
        true
    }

    /// The lane learns how long an event takes, at the rate at which those of other lanes are sent side by side.
    fn learn(&self, elapsed: Duration, timed_out: bool, records: usize, verdict: &Verdict) {
        let asked = match verdict {
            Verdict::Each(outcomes) => match outcomes.first() {
                Some(Outcome::Retry { after: Some(after) }) => Some(self.house.now().plus((*after).min(retry::MAX_RETRY_AFTER))),
                _ => None,
            },
            _ => None,
        };
        let side_by_side = u32::try_from(self.house.settings.webhooks.concurrency).unwrap_or(1);
        let each = (elapsed + self.destination.pace.pause) / u32::try_from(records.max(1)).unwrap_or(1);
        let each = if self.destination.pace.events > 1 { each.saturating_mul(side_by_side) } else { elapsed };
        let failed =
            matches!(verdict, Verdict::Each(outcomes) if outcomes.iter().all(|outcome| matches!(outcome, Outcome::Retry { .. })));
        let (now, random) = (self.house.now(), self.house.random());
        let again =
            self.lane.learn(Lesson { elapsed: each, timed_out, failed, busy: false, left_alone_until: asked, now, random });
        if again && self.lane.is_database() {
            tokio::spawn(hasten(Arc::clone(self.house), self.to.org, self.target().id));
        }
    }

    /// The attempt of one delivery. What it shows was rendered for this event alone: others' values are none of its person's.
    pub(super) fn conclude(&self, delivery: &Delivery, number: usize, came: Came, at: Timestamp) -> Attempted {
        let Came::Tried(trial) = came else { return Attempted { row: None, then: Then::Over } };
        let alone = self.render(&[number], at).into_iter().next().and_then(|sending| sending.request.ok());
        let request = alone.map(|request| self.without_secrets(request));
        let more = if trial.together > 1 { vec![("together", json!(trial.together))] } else { Vec::new() };
        let Trial { outcome, error, reply, elapsed, .. } = *trial;
        delivery.conclude(self.house, at, &Tried { request, reply, elapsed, outcome, error, more, random: Some(self.random) })
    }

    /// An address may be a credential itself.
    fn without_secrets(&self, request: Request) -> Request {
        let Ok(uri) = request.url.parse::<http::Uri>() else { return request };
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        let is_secret = path.len() > 1 && self.secrets.credentials.iter().any(|(_, value)| value.ends_with(path));
        let host = uri.authority().map_or("", |authority| authority.as_str());
        let url = if is_secret { format!("{}://{host}/(kept secret)", uri.scheme_str().unwrap_or("https")) } else { request.url };
        Request { url, ..request }
    }
}

/// What waits for a database that takes rows again need wait no longer. What failed a moment ago is written down first.
async fn hasten(house: Arc<House>, org: OrgId, target: TargetId) {
    loop {
        tokio::time::sleep(WRITTEN_BY_THEN).await;
        match house.store.backend().hasten(org, target, house.now(), HASTENED).await {
            Ok(count) if count >= u64::from(HASTENED) => {}
            Ok(_) => return,
            Err(error) => {
                // It comes at its time.
                tracing::warn!(%error, %target, "what waits for a database could not be hastened");
                return;
            }
        }
    }
}

/// What a request led to.
enum Told {
    Each(Vec<Trial>),
    Split,
    Again,
}

impl Trial {
    fn unsent(why: String) -> Self {
        Self { outcome: Outcome::later(), error: Some(why), reply: None, elapsed: Duration::ZERO, together: 1 }
    }
    /// That what was asked before it was at fault is not laid to an event.
    fn not_at_fault(self) -> Self {
        match self.outcome {
            Outcome::Reject { .. } => Self { outcome: Outcome::later(), error: Some(UNTOLD.to_owned()), ..self },
            _ => self,
        }
    }
    fn never(why: String) -> Self {
        Self { outcome: Outcome::reject(why.clone()), ..Self::unsent(why) }
    }
}

/// The reply as far as it concerns one record: of many, only what was said of this one.
fn own_reply(reply: Option<&Reply>, outcome: &Outcome, together: usize) -> Option<Reply> {
    let reply = reply?;
    if together <= 1 {
        return Some(reply.clone());
    }
    let said = match outcome {
        Outcome::Reject { said: Some(said), .. } => said.clone(),
        _ => String::new(),
    };
    Some(Reply { status: reply.status, headers: HeaderMap::new(), body: Bytes::from(said) })
}
