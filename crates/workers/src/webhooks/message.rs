//! Messages to holders: rendered, sent by mail or HTTP, judged, and noted on the pass.
//!
//! A server that does not know a message again when it comes twice is never asked twice unless it said that it took nothing:
//! that a message is about to be sent is written down before it is. Whoever finds that written and no outcome (after a crash,
//! after an answer that did not come) does not know whether it was sent, says so on the pass, and leaves it. One that the server
//! knows again is sent once more; where that cannot be any more, it is not known either.

use std::{
    borrow::Cow,
    fmt::Display,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use connectors::{
    catalog::Carrier,
    kit::{Came, Mail, Messenger, Outcome, Owed, Reply, Request, SMTP_COMMAND, Sent},
};
use domain::{
    Action, Actor, Cause, Command, CommandId, DeliveryId, Event, Facts, IdempotencyKey, MESSAGES, MessageFault, MessageNews,
    MessageRef, Outgoing, PassRef, Timestamp,
};
use engine::EngineError;
use http::{HeaderMap, HeaderValue};
use outbound::{
    http::{Failure, Limits},
    mail::{Attachment, Server, Unsent},
};
use render::PassView;
use serde_json::json;
use store::{StoreError, Wish};

use super::{
    DEADLINE, carry,
    lane::{Lane, Lesson, Ticket},
    send::{Attempted, Delivery, Then, Tried, ready},
};
use crate::shard::House;

/// Bytes of an answer that are read.
const READ_BODY: usize = 64 * 1_024;
/// Longest pause between tries to write down what came of a message.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What the package of a pass is called as a file.
const PASS_FILE: &str = "pass.pkpass";

/// One message, from its lane to its outcome.
pub(super) async fn fly(
    house: Arc<House>,
    delivery: Delivery,
    lane: Arc<Lane>,
    (ticket, decided): (Ticket, Arc<AtomicBool>),
    messenger: Messenger,
) -> Attempted {
    let place = lane.place(&house.dispatcher, ticket).await;
    if decided.swap(true, Ordering::AcqRel) {
        // It was taken back; this task is about to be aborted.
        std::future::pending::<()>().await;
    }
    if let Err(due) = lane.may_go(house.now(), ticket) {
        return Attempted { row: None, then: Then::Again(delivery.row(delivery.attempts, due)) };
    }
    let Some(errand) = Errand::of(&house, &lane, &delivery, messenger) else {
        return Attempted { row: None, then: Then::Over };
    };
    let attempted = errand.run().await;
    drop(place);
    attempted
}

/// Writes down that a message has nobody to send it, unless what came of it is known already. Of so many tries it is known that
/// they are over.
pub(super) async fn unsent(house: &House, event: &Event, attempts: i32, why: &str) -> Result<(), StoreError> {
    let Facts::MessageRequested { message } = &event.facts else { return Ok(()) };
    let (sender, channel, test) = (message.sender, message.channel, message.test);
    let message = MessageRef { id: Some(event.id), sender, channel, to: Some(message.to.clone()), test };
    let id = DeliveryId::of(event.id.uuid(), sender.uuid());
    let may_have_gone = may_have_gone(house, event, &message, id, Some(attempts)).await?;
    let news = if may_have_gone { unknown(why) } else { failed(MessageFault::Undelivered, why) };
    match note(house, event, &message, done(id), news).await {
        Err(EngineError::Unavailable(error)) => Err(StoreError::Unavailable(error.to_string())),
        Err(EngineError::Rejected(reject)) => {
            tracing::warn!(event = %event.id, %reject, "what came of a message cannot be noted on its pass");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

/// Under which key what came of it is noted.
fn done(id: DeliveryId) -> String {
    format!("{id}/done")
}

/// Under which key is noted that a try is about to be made, after so many.
fn begun(id: DeliveryId, attempts: i32) -> String {
    format!("{id}/begin/{attempts}")
}

/// Under which key is noted that nobody knows what came of one of its tries.
fn unsure(id: DeliveryId) -> String {
    format!("{id}/unsure")
}

/// Has the engine write something down about a message under a key; whether it was not there before.
async fn note(house: &House, event: &Event, message: &MessageRef, key: String, news: MessageNews) -> Result<bool, EngineError> {
    let Some(command) = noting(house, event, message, key, news) else { return Ok(true) };
    Ok(!house.engine.submit(command).await?.replayed)
}

fn noting(house: &House, event: &Event, message: &MessageRef, key: String, news: MessageNews) -> Option<Command> {
    let key = IdempotencyKey { principal: MESSAGES.to_owned(), key, fingerprint: [0; 32], keep_image: false };
    let id = CommandId::mint(house.now(), &*house.entropy);
    let (pass, holder) = (PassRef::Id(event.pass?), event.contact);
    let action = Action::RecordMessage { pass, holder, message: Box::new(message.clone()), news };
    Some(Command { id, org: event.org, actor: Actor::System, cause: Cause::Schedule, key: Some(key), told: None, action })
}

/// Whether a message may have gone out although no answer says so: the try after so many was begun and its end is not known, or
/// that of an earlier one. Writes nothing.
async fn may_have_gone(
    house: &House,
    event: &Event,
    message: &MessageRef,
    id: DeliveryId,
    attempts: Option<i32>,
) -> Result<bool, StoreError> {
    let keys = attempts.map(|attempts| begun(id, attempts)).into_iter().chain([unsure(id)]);
    let asked: Vec<Command> = keys.filter_map(|key| noting(house, event, message, key, MessageNews::Begun)).collect();
    let verdicts = engine::preview(&house.store, &*house.clock, &asked).await?;
    Ok(verdicts.into_iter().flatten().any(|verdict| verdict.replayed))
}

/// What came of a try, with what there is to show of it.
struct Trial {
    came: Came,
    /// Why it is tried again, where that is not the server's answer.
    why: Option<String>,
    reply: Option<Reply>,
    elapsed: Duration,
    timed_out: bool,
    attached: Option<usize>,
}

impl Trial {
    fn of(came: Came) -> Self {
        Self { came, why: None, reply: None, elapsed: Duration::ZERO, timed_out: false, attached: None }
    }
    fn later(why: &dyn Display) -> Self {
        Self { why: Some(why.to_string()), ..Self::of(Came::Later) }
    }
    fn never(why: &str) -> Self {
        Self::of(Came::Never { reason: MessageFault::Refused, said: why.to_owned() })
    }
}

/// A message on its way.
struct Errand<'e> {
    house: &'e Arc<House>,
    lane: &'e Lane,
    delivery: &'e Delivery,
    messenger: Messenger,
    message: MessageRef,
    at: Timestamp,
}

impl<'e> Errand<'e> {
    fn of(house: &'e Arc<House>, lane: &'e Lane, delivery: &'e Delivery, messenger: Messenger) -> Option<Self> {
        let Facts::MessageRequested { message } = &delivery.event.facts else { return None };
        let id = Some(delivery.event.id);
        let (sender, channel, test) = (message.sender, message.channel, message.test);
        let message = MessageRef { id, sender, channel, to: Some(message.to.clone()), test };
        Some(Self { house, lane, delivery, messenger, message, at: house.now() })
    }

    async fn run(&self) -> Attempted {
        let target = self.delivery.to.target();
        let catalog = self.house.store.catalog();
        let stored = catalog.org(self.delivery.event.org).and_then(|config| config.targets.get(&target.id.uuid()));
        if !stored.is_some_and(|stored| stored.value.target.enabled) {
            let why = "its sender was switched off";
            let news = self.failed(Some(self.delivery.attempts), why).await;
            self.note_for_good(news).await;
            return self.delivery.expire(self.house, why);
        }
        let request = match self.request().await {
            Ok(request) => request,
            Err(trial) => return self.conclude(None, self.unsent(*trial).await).await,
        };
        let knows_again = (self.messenger.knows_again)(target);
        match self.begin(&begun(self.delivery.id, self.delivery.attempts)).await {
            Ok(true) => {}
            Ok(false) if knows_again => self.unsure().await,
            Ok(false) => return self.not_known(request).await,
            Err(why) => return self.conclude(Some(request), Trial::later(&why)).await,
        }
        let by_mail = matches!(self.delivery.to.vendor().map(|vendor| vendor.carrier), Some(Carrier::Mail));
        let mut trial = if by_mail { self.mail(&request).await } else { self.call(&request).await };
        if matches!(trial.came, Came::Unknown { .. }) && knows_again {
            self.unsure().await;
            trial.came = Came::Later;
        }
        self.learn(&trial);
        self.conclude(Some(request), trial).await
    }

    /// A message that is not sent now, or not at all: whether it went out before may not be known.
    async fn unsent(&self, trial: Trial) -> Trial {
        let why = match &trial.came {
            Came::Never { reason, said } if said.is_empty() => reason.name().to_owned(),
            Came::Never { said, .. } => said.clone(),
            _ => trial.why.clone().unwrap_or_default(),
        };
        if !self.may_have_gone(Some(self.delivery.attempts)).await {
            return trial;
        }
        if trial.came == Came::Later && (self.messenger.knows_again)(self.delivery.to.target()) {
            // The next try has another number.
            self.unsure().await;
            return trial;
        }
        Trial { came: Came::Unknown { said: went(&why) }, why: None, ..trial }
    }

    /// That it failed without its server's word, unless it went: by the try after so many, if one was to come.
    async fn failed(&self, attempts: Option<i32>, why: &str) -> MessageNews {
        if self.may_have_gone(attempts).await { unknown(why) } else { failed(MessageFault::Undelivered, why) }
    }

    async fn may_have_gone(&self, attempts: Option<i32>) -> bool {
        let asked = || may_have_gone(self.house, &self.delivery.event, &self.message, self.delivery.id, attempts);
        self.for_good("it could not be asked whether a message went out", asked).await
    }

    async fn request(&self) -> Result<Request, Box<Trial>> {
        let to = &self.delivery.to;
        let (connector, destination) = to.known().map_err(|why| Box::new(Trial::later(&why)))?;
        let secrets = to.secrets.as_ref().map_err(|why| Box::new(Trial::later(why)))?;
        let public_url = &self.house.settings.webhooks.public_url;
        let unsubscribe = self.unsubscribe().map_err(|why| Box::new(Trial::later(&why)))?;
        let event = self.as_it_is().await?;
        let owed =
            Owed { event: &event, delivery: self.delivery.id, public_url, unsubscribe: unsubscribe.as_deref(), bodies: None };
        let sending = (destination.render)(&[owed], to.target(), secrets, self.at).pop();
        let request = sending.ok_or_else(|| Box::new(Trial::never("there is nothing to say")))?.request;
        let request = request.map_err(|why| Box::new(Trial::never(&why)))?;
        if !connector.may_call(to.target(), &request.url) {
            return Err(Box::new(Trial::later(&"the address is none that this destination may call")));
        }
        Ok(request)
    }

    /// By the pass and its holder as they are now, for it may be long since the message was asked for: nobody is told of a pass
    /// that was deleted, nor whoever wants nothing more, and what is said leads to no wallet that would not take the pass, as a
    /// flight that is not named.
    async fn as_it_is(&self) -> Result<Cow<'e, Event>, Box<Trial>> {
        let event = &*self.delivery.event;
        let (Some(id), Facts::MessageRequested { message }) = (event.pass, &event.facts) else {
            return Ok(Cow::Borrowed(event));
        };
        let found = self.house.store.pass_with_contact(event.org, id).await.map_err(|why| Box::new(Trial::later(&why)))?;
        let never = |reason, said: &str| Err(Box::new(Trial::of(Came::Never { reason, said: said.to_owned() })));
        let Some((pass, holder)) = found.filter(|(pass, _)| !pass.lifecycle.is_deleted()) else {
            return never(MessageFault::Undelivered, "its pass was deleted");
        };
        match holder.filter(|holder| Some(holder.id) == event.contact) {
            _ if message.test => {}
            None => return never(MessageFault::Undelivered, "its pass is somebody else's now"),
            Some(holder) if holder.erased_at.is_some() => return never(MessageFault::NoAddress, "the person was erased"),
            Some(holder) if !holder.wants(message.channel) => return never(MessageFault::Unsubscribed, ""),
            Some(_) => {}
        }
        let catalog = self.house.store.catalog();
        let config = catalog.org(event.org);
        let project = config.and_then(|config| config.project(pass.project));
        let template = config.and_then(|config| config.templates.get(&pass.template.uuid()));
        let (Some(project), Some(template)) = (project, template) else { return Ok(Cow::Borrowed(event)) };
        let offer = render::offer(&PassView { project, template: &template.value, pass: &pass, contact: None, codes: None });
        let mut wallets = message.wallets.clone();
        wallets.retain(|wallet| offer.has(*wallet));
        let facts = Facts::MessageRequested { message: Outgoing { wallets, ..message.clone() } };
        Ok(Cow::Owned(Event { facts, ..event.clone() }))
    }

    /// Where its holder says that they want no more. Whoever tries a sender is somebody else.
    fn unsubscribe(&self) -> Result<Option<String>, StoreError> {
        let event = &self.delivery.event;
        let Some(contact) = event.contact.filter(|_| !self.message.test) else { return Ok(None) };
        let wish = Wish { org: event.org, contact, channel: self.message.channel };
        let text = wish.text(self.house.store.keyring())?;
        Ok(Some(format!("{}/u/{text}", self.house.settings.webhooks.public_url)))
    }

    /// Notes under a key that it is about to be sent; whether that was not noted before.
    async fn begin(&self, key: &str) -> Result<bool, String> {
        match note(self.house, &self.delivery.event, &self.message, key.to_owned(), MessageNews::Begun).await {
            Ok(is_new) => Ok(is_new),
            Err(EngineError::Rejected(reject)) => Err(reject.message),
            Err(EngineError::Unavailable(error)) => Err(error.to_string()),
        }
    }

    /// It was about to be sent once. If what came of that was written down after all, that stands.
    async fn not_known(&self, request: Request) -> Attempted {
        let detail = "it was being sent when this server stopped, or was asked for once more".to_owned();
        if !self.note_for_good(MessageNews::Unknown { detail: detail.clone() }).await {
            return Attempted { row: None, then: Then::Over };
        }
        self.attempted(Some(request), Trial::of(Came::Unknown { said: detail }))
    }

    async fn mail(&self, request: &Request) -> Trial {
        let Ok(mail) = serde_json::from_slice::<Mail>(&request.body) else { return Trial::never("it is no mail") };
        let to = &self.delivery.to;
        let way = match &to.way {
            Ok(way) => way,
            Err(why) => return Trial::later(why),
        };
        let server = match Server::parse(self.house.client.policy(), &request.url) {
            Ok(server) => server,
            Err(refusal) => return Trial::later(&refusal),
        };
        let mut attachments = Vec::new();
        if let (true, Some(pass)) = (mail.attach, self.delivery.event.pass) {
            match (self.house.packages)(self.delivery.event.org, pass).await {
                Ok(package) => attachments.extend(package.map(|package| Attachment {
                    name: PASS_FILE.to_owned(),
                    media: pkpass::MIME_PKPASS.to_owned(),
                    bytes: package.to_vec(),
                })),
                Err(why) => return Trial::later(&format!("the pass cannot be attached: {why}")),
            }
        }
        let attached = attachments.first().map(|package| package.bytes.len());
        let login = to.secrets.as_ref().ok().and_then(|secrets| carry::login(to, secrets));
        let mail = carry::written_down(mail, attachments);
        let started = tokio::time::Instant::now();
        let result = way.mailer.send(&server, login.as_ref(), &mail, DEADLINE).await;
        let elapsed = started.elapsed();
        let trial = match result {
            Ok(said) => {
                let mut headers = HeaderMap::new();
                headers.insert(SMTP_COMMAND, HeaderValue::from_static(said.command));
                self.judged(request, Reply { status: said.code, headers, body: Bytes::from(said.text) })
            }
            Err(Unsent::Bad(bad)) if bad.part == "to" => {
                Trial::of(Came::Never { reason: MessageFault::NoAddress, said: bad.to_string() })
            }
            Err(Unsent::Bad(bad)) => Trial::never(&bad.to_string()),
            Err(unsent) => {
                let unknown = matches!(unsent, Unsent::Unanswered(_)).then(|| Came::Unknown { said: unsent.to_string() });
                Trial { timed_out: is_timeout(&unsent), came: unknown.unwrap_or(Came::Later), ..Trial::later(&unsent) }
            }
        };
        Trial { elapsed, attached, ..trial }
    }

    async fn call(&self, request: &Request) -> Trial {
        let (sent, way) = match (ready(request), &self.delivery.to.way) {
            (Ok(sent), Ok(way)) => (sent, way),
            (Err(why), _) => return Trial::later(&why),
            (_, Err(why)) => return Trial::later(why),
        };
        let limits = Limits { deadline: DEADLINE, max_body: READ_BODY };
        let started = tokio::time::Instant::now();
        let result = way.client.send(sent, limits).await;
        let elapsed = started.elapsed();
        let trial = match result {
            Ok(reply) => self.judged(request, Reply { status: reply.status.as_u16(), headers: reply.headers, body: reply.body }),
            Err(failure) => {
                let timed_out = matches!(failure, Failure::Timeout { .. });
                let came = if failure.may_have_arrived() { Came::Unknown { said: failure.to_string() } } else { Came::Later };
                Trial { timed_out, came, ..Trial::later(&failure) }
            }
        };
        Trial { elapsed, ..trial }
    }

    fn judged(&self, request: &Request, reply: Reply) -> Trial {
        let came = (self.messenger.read)(&Sent { request, reply: Some(&reply), records: 1, now: self.house.now() });
        let why = (came == Came::Later).then(|| format!("the server answered {}", reply.status));
        Trial { why, reply: Some(reply), ..Trial::of(came) }
    }

    fn learn(&self, trial: &Trial) {
        let failed = trial.came == Came::Later;
        let (elapsed, timed_out, now, random) = (trial.elapsed, trial.timed_out, self.house.now(), self.house.random());
        let busy = trial.reply.as_ref().is_some_and(|reply| [421, 429, 503].contains(&reply.status));
        self.lane.learn(Lesson { elapsed, timed_out, failed, busy, left_alone_until: None, now, random });
    }

    /// Notes on the pass what came of it, unless it is tried again, and then what the delivery is to know.
    async fn conclude(&self, request: Option<Request>, trial: Trial) -> Attempted {
        let news = match &trial.came {
            Came::Sent { server_id } => Some(MessageNews::Sent { server_id: server_id.clone() }),
            Came::Never { reason, said } => Some(failed(*reason, said)),
            Came::Unknown { said } => Some(MessageNews::Unknown { detail: said.clone() }),
            Came::Later => None,
        };
        let why = trial.why.clone().unwrap_or_default();
        let attempted = self.attempted(request, trial);
        if let Some(news) = news {
            self.note_for_good(news).await;
        } else if matches!(attempted.then, Then::GaveUp) {
            // This try itself came to its end.
            let news = self.failed(None, &why).await;
            self.note_for_good(news).await;
        }
        attempted
    }

    fn attempted(&self, request: Option<Request>, trial: Trial) -> Attempted {
        let outcome = match &trial.came {
            Came::Sent { .. } => Outcome::Delivered,
            Came::Later => {
                let after =
                    trial.reply.as_ref().zip(request.as_ref()).and_then(|(reply, request)| {
                        Sent { request, reply: Some(reply), records: 1, now: self.house.now() }.asked()
                    });
                Outcome::Retry { after }
            }
            Came::Never { reason, .. } => Outcome::reject(format!("the message does not arrive: {}", reason.name())),
            Came::Unknown { .. } => {
                Outcome::reject("it is not known whether the message was sent; it is not sent again by itself")
            }
        };
        let mut more = Vec::new();
        match &trial.came {
            Came::Never { said, .. } | Came::Unknown { said } => more.push(("said", json!(said))),
            Came::Sent { .. } | Came::Later => {}
        }
        more.extend(trial.attached.map(|bytes| ("attached_bytes", json!(bytes))));
        let (reply, elapsed, error) = (trial.reply, trial.elapsed, trial.why);
        self.delivery.conclude(self.house, self.at, &Tried { request, reply, elapsed, outcome, error, more, random: None })
    }

    /// Writes down what came of it, however long that takes: it happened. Whether it was not written down before.
    async fn note_for_good(&self, news: MessageNews) -> bool {
        self.note_under(&done(self.delivery.id), &news).await
    }

    /// Writes down, however long that takes, that nobody knows what came of a try.
    async fn unsure(&self) {
        self.note_under(&unsure(self.delivery.id), &MessageNews::Begun).await;
    }

    async fn note_under(&self, key: &str, news: &MessageNews) -> bool {
        self.for_good("what came of a message could not be noted", || async {
            match note(self.house, &self.delivery.event, &self.message, key.to_owned(), news.clone()).await {
                Ok(is_new) => Ok(is_new),
                Err(EngineError::Rejected(reject)) => {
                    tracing::warn!(delivery = %self.delivery.id, %reject, "what came of a message cannot be noted on its pass");
                    Ok(true)
                }
                Err(EngineError::Unavailable(error)) => Err(error),
            }
        })
        .await
    }

    /// Tries again until the store answers.
    async fn for_good<T, E: Display, F: Future<Output = Result<T, E>>>(&self, what: &str, try_it: impl Fn() -> F) -> T {
        let mut pause = Duration::from_millis(100);
        loop {
            match try_it().await {
                Ok(done) => return done,
                Err(error) => {
                    tracing::warn!(%error, delivery = %self.delivery.id, "{what}; trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

fn failed(reason: MessageFault, said: &str) -> MessageNews {
    MessageNews::Failed { reason, detail: Some(said.to_owned()).filter(|said| !said.is_empty()) }
}

fn unknown(why: &str) -> MessageNews {
    MessageNews::Unknown { detail: went(why) }
}

fn went(why: &str) -> String {
    format!("it may have gone out before, and is not sent again: {why}")
}

fn is_timeout(unsent: &Unsent) -> bool {
    match unsent {
        Unsent::Unanswered(unsent) => is_timeout(unsent),
        unsent => matches!(unsent, Unsent::Failed(Failure::Timeout { .. })),
    }
}
