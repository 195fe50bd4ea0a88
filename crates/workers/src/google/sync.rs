//! Makes Google's object of a pass what the pass is: inserts or patches, then sends what is to be said to the holder.
//!
//! Each step may be repeated: an insert of what is there is told so and becomes a patch, a patch of what is not there an
//! insert, and a patch says the same however often. A message that may have arrived is looked for before it is sent again.

use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use domain::{ContactRef, Pass, PassId, Template};
use google_wallet::{
    Class, Object, ResourceId, Vertical,
    model::{Message, MessageType},
    rest::{Api, Kind, Quota, RestError, Verdict},
};
use http::Request;
use render::{CodeSigner, FlightFact, GoogleContext, PassView};
use serde::Serialize;
use serde_json::{Map, Value};
use store::{GoogleOutcome, GoogleThingRow};
use uuid::Uuid;

use super::{
    flight::{self, Facts},
    flight_news,
    lane::{Lane, Outcome},
    line::Came,
    memory::Memory,
};
use crate::shard::End;

/// Why a step was not done.
pub(super) enum Fault {
    /// Nothing was asked; the thing is as due as before.
    NotSent,
    /// To be tried again, later each time.
    Later(String),
    /// The worker ends.
    End(End),
}

impl From<End> for Fault {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

pub(super) type Step<T> = Result<T, Fault>;

/// A class as it is now.
#[derive(Clone)]
pub(super) struct Drawn {
    pub(super) thing: Uuid,
    pub(super) class: Class,
    /// Of a flight: the pass that it was drawn from, and what that says of it.
    said: Option<(PassId, Vec<FlightFact>)>,
    /// Of a flight: what is true of it.
    pub(super) facts: Facts,
    /// Of a flight: the values whose change notifies.
    pub(super) noticed: Option<Map<String, Value>>,
}

impl Drawn {
    fn shared(thing: Uuid, class: Class) -> Self {
        Self { thing, class, said: None, facts: Facts::new(), noticed: None }
    }

    /// With what was said last of the flight, whichever pass said it.
    fn true_of(&self, template: &Template, held: &Memory) -> Step<Self> {
        let Some((by, said)) = &self.said else { return Ok(self.clone()) };
        let facts = flight::newest(&held.facts, *by, said);
        let class = render::with_flight_facts(&self.class, facts.iter().map(|(place, fact)| (place.as_str(), &fact.value)));
        let class = class.map_err(|error| Fault::Later(format!("the class cannot be drawn: {error}")))?;
        let noticed = render::google_class_notice(&template.design, &class);
        Ok(Self { thing: self.thing, class, said: None, facts, noticed })
    }
}

/// What became of an object.
enum Put {
    /// Google did not have it.
    New,
    /// Google had it.
    Changed,
    /// Google lost the class that it needs.
    ClassIsGone,
}

impl Lane {
    /// Asks, and sorts the answers into those that a step can go on with and faults.
    pub(super) async fn request<F>(&self, build: F) -> Step<(Verdict, Bytes)>
    where
        F: Fn(&Api<'_>) -> Result<Request<Bytes>, RestError>,
    {
        match self.ask(build).await? {
            (Verdict::Denied { why, mend }, _) => Err(Fault::Later(format!("{why} ({mend})"))),
            answered => Ok(answered),
        }
    }

    /// Asks, and lets what Google will never take be an answer too.
    pub(super) async fn ask<F>(&self, build: F) -> Step<(Verdict, Bytes)>
    where
        F: Fn(&Api<'_>) -> Result<Request<Bytes>, RestError>,
    {
        match self.line.ask(&self.shard.house, build).await {
            Came::Answer(Verdict::Retry, _) => Err(Fault::Later("Google failed to answer".to_owned())),
            Came::Answer(Verdict::TokenExpired | Verdict::QuotaExceeded { quota: Quota::Requests, .. }, _) => Err(Fault::NotSent),
            Came::Answer(verdict, body) => Ok((verdict, body)),
            Came::Nothing(why) => Err(Fault::Later(why)),
            Came::NotSent(why) => {
                tracing::debug!(why, issuer = self.issuer, "Google was not asked");
                Err(Fault::NotSent)
            }
        }
    }

    /// What a thing comes to: settled, tried again later, or left as it was.
    pub(super) fn outcome(
        &self,
        row: &GoogleThingRow,
        mut memory: Memory,
        step: Step<()>,
        synced: Option<i64>,
    ) -> Result<Outcome, End> {
        let house = &self.shard.house;
        let (synced_seq, retry_at) = match step {
            Ok(()) => {
                memory.succeeded();
                (synced, None)
            }
            Err(Fault::Later(why)) => {
                tracing::warn!(why, issuer = self.issuer, thing = %row.thing, "Google did not take something; trying again");
                let pause = memory.failed(why);
                let jitter = house.random() % u64::try_from(pause.as_millis() / 4).unwrap_or(1).max(1);
                (None, Some(house.now().plus(pause + Duration::from_millis(jitter))))
            }
            Err(Fault::NotSent) => return Ok(None),
            Err(Fault::End(end)) => return Err(end),
        };
        let body = memory.write();
        let (org, thing, account, seen_due_at) = (self.org, row.thing, self.id, row.due_at);
        Ok(Some(GoogleOutcome { org, thing, account, seen_due_at, synced_seq, retry_at, body }))
    }

    /// Tells Google of a pass.
    pub(super) async fn sync(&self, row: GoogleThingRow) -> Result<Outcome, End> {
        let mut memory = Memory::read(&row.body);
        let step = self.tell(&row, &mut memory).await;
        self.outcome(&row, memory, step, Some(row.wanted_seq))
    }

    async fn tell(&self, row: &GoogleThingRow, memory: &mut Memory) -> Step<()> {
        let (shard, store) = (&self.shard, &self.shard.house.store);
        let id = PassId::from_uuid(row.thing);
        let Some(pass) = shard.insist("read a pass", || store.pass(self.org, id)).await? else { return Ok(()) };
        let contact = match &pass.contact {
            Some(id) => {
                let contact = ContactRef::Id(*id);
                shard.insist("read a contact", || store.contact(self.org, &contact)).await?
            }
            None => None,
        };
        let catalog = shard.insist("read the configuration", || shard.house.catalog()).await?;
        let config = catalog.org(self.org);
        let project = config.and_then(|config| config.project(pass.project));
        let template = config.and_then(|config| config.templates.get(&pass.template.uuid()));
        let (Some(project), Some(template)) = (project, template) else { return Ok(()) };
        let codes = self.codes(config.map_or(0, |config| *config.scan_key_numbers().end()))?;
        let view = PassView { project, template: &template.value, pass: &pass, contact: contact.as_ref(), codes: Some(&codes) };
        let object = self.draw(|context| render::google_object(&view, context))?;
        let has_class = !object.common().class_id.is_empty();
        let never_there = pass.google.created_at.is_none() && pass.google.first_installed_at.is_none();
        if (pass.lifecycle.is_deleted() || !has_class) && row.synced_seq == 0 && never_there {
            return Ok(());
        }
        let class = if has_class { Some(self.class_of(&view)?) } else { None };
        if let Some(class) = &class {
            let told = self.keep_class(&template.value, class).await?;
            flight_news::count_in(memory, &pass, &told);
        }
        let noticed = render::google_notice(&view, &object);
        let news = self.news(row, memory, &object, &pass, noticed).await?;
        let mut put = self.put_object(row, memory, &object, &pass, news.is_some()).await?;
        if let (Put::ClassIsGone, Some(class)) = (&put, &class) {
            // Somebody else's doing; it is inserted anew.
            self.forget_class(class.thing).await?;
            self.keep_class(&template.value, class).await?;
            put = self.put_object(row, memory, &object, &pass, news.is_some()).await?;
        }
        if news.is_some() {
            memory.noticed = news;
            memory.noticing = None;
        }
        let is_new = match put {
            Put::New => true,
            Put::Changed => false,
            Put::ClassIsGone => return Err(Fault::Later("Google has no class for the pass".to_owned())),
        };
        match render::google_message(&view) {
            Some(message) => self.say(row, memory, &object, &pass, message, is_new).await,
            None => Ok(()),
        }
    }

    /// What signs the organization's scan codes under the key of a number.
    pub(super) fn codes(&self, number: u8) -> Step<CodeSigner> {
        let secrets = self.shard.house.store.keyring().scan_secrets(self.org, number);
        let (seed, rotation) = secrets.map_err(|error| Fault::Later(format!("the scan key cannot be had: {error}")))?;
        let signer = CodeSigner::new(self.org.uuid(), number, &seed, *rotation);
        signer.ok_or_else(|| Fault::Later("the scan key cannot be made".to_owned()))
    }

    pub(super) fn draw<T>(&self, draw: impl FnOnce(&GoogleContext<'_>) -> Result<T, render::RenderError>) -> Step<T> {
        let google = &self.shard.house.google;
        let (public_url, org) = (&google.public_url, self.org);
        let image_url = |hash: &str| format!("{public_url}/images/{org}/{hash}.png");
        let context = GoogleContext {
            issuer_id: &self.issuer,
            language: "en",
            callback_url: google.callback_url.as_deref(),
            image_url: &image_url,
        };
        draw(&context).map_err(|error| Fault::Later(format!("the pass cannot be drawn: {error}")))
    }

    /// Inserts or patches, whichever it takes; with a notification of what changed when that is asked for and allowed.
    async fn put_object(
        &self,
        row: &GoogleThingRow,
        memory: &mut Memory,
        object: &Object,
        pass: &Pass,
        mut notify: bool,
    ) -> Step<Put> {
        let id = id_of(object)?;
        let kind = Kind::Object(object.vertical());
        let keys = self.sent(kind, object).await?;
        // Nobody holds it: its messages go along, and nobody is disturbed.
        let mut patch = render::google_patch(object.vertical(), keys, pass.google.active == 0);
        if notify {
            patch.insert("notifyPreference".to_owned(), "NOTIFY_ON_UPDATE".into());
        }
        let is_blank = pass.lifecycle.is_deleted() || object.common().class_id.is_empty();
        let mut insert_next = row.synced_seq == 0 && !is_blank;
        let mut is_missing = false;
        for _ in 0..4 {
            if insert_next {
                match self.request(|api| api.insert_object(object)).await?.0 {
                    Verdict::NotFound => return Ok(Put::ClassIsGone),
                    // The object is there, so it was the class of the patch that is not.
                    Verdict::Conflict if is_missing => return Ok(Put::ClassIsGone),
                    Verdict::Conflict => insert_next = false,
                    _ => return Ok(Put::New),
                }
                continue;
            }
            match self.request(|api| api.patch(kind, &id, &patch)).await?.0 {
                Verdict::NotFound if is_blank => return Ok(Put::Changed),
                Verdict::NotFound => (insert_next, is_missing) = (true, true),
                // Somebody else notifies too: it counts for both.
                Verdict::QuotaExceeded { .. } if notify => {
                    memory.has_no_more(self.shard.house.now());
                    patch.remove("notifyPreference");
                    notify = false;
                }
                _ => {
                    if notify {
                        memory.has_notified(self.shard.house.now());
                    }
                    return Ok(Put::Changed);
                }
            }
        }
        Err(Fault::Later("Google says that the object is there, and that it is not".to_owned()))
    }

    /// Has a class sent anew. What its passes said of a flight is true still.
    async fn forget_class(&self, thing: Uuid) -> Result<(), End> {
        self.classes.lock().await.remove(&thing);
        let backend = self.shard.house.store.backend();
        let row = self.shard.insist("read a class", || backend.google_thing(self.org, thing)).await?;
        let facts = row.map(|row| Memory::read(&row.body).facts).unwrap_or_default();
        self.note_class(thing, Memory { facts, ..Memory::default() }).await
    }

    /// Sends the last message to the holder, unless Google has it. The third within a day is the last that notifies.
    async fn say(
        &self,
        row: &GoogleThingRow,
        memory: &mut Memory,
        object: &Object,
        pass: &Pass,
        message: Message,
        is_new: bool,
    ) -> Step<()> {
        let Some(at) = pass.message.as_ref().map(|message| message.at) else { return Ok(()) };
        if memory.message_at >= Some(at.as_micros()) {
            return Ok(());
        }
        // It went along with the object or, before we knew of the object, with the link that it was saved by.
        let came_along = is_new || pass.google.active == 0;
        let was_saved_with_it = row.synced_seq == 0 && pass.google.last_installed_at.is_some_and(|saved| saved >= at);
        if !came_along && !was_saved_with_it && !self.has_arrived(memory, object, &message, at.as_micros()).await? {
            self.announce(row, memory, at.as_micros()).await?;
            self.send(memory, object, message).await?;
        }
        memory.message_at = Some(at.as_micros());
        memory.sending = None;
        Ok(())
    }

    /// Whether a message whose sending was announced before is there: then it may have notified, too.
    async fn has_arrived(&self, memory: &mut Memory, object: &Object, message: &Message, at: i64) -> Step<bool> {
        if memory.sending != Some(at) {
            return Ok(false);
        }
        let (id, vertical) = (id_of(object)?, object.vertical());
        let (verdict, body) = self.request(|api| api.get(Kind::Object(vertical), &id)).await?;
        if verdict != Verdict::Done {
            return Ok(false);
        }
        let held = read_object(vertical, &body)?;
        let arrived = held.common().messages.iter().any(|held| held.id.is_some() && held.id == message.id);
        if arrived {
            memory.has_notified(self.shard.house.now());
        }
        Ok(arrived)
    }

    /// Writes down that a message is being sent, before it is.
    async fn announce(&self, row: &GoogleThingRow, memory: &mut Memory, at: i64) -> Step<()> {
        if memory.sending == Some(at) {
            return Ok(());
        }
        memory.sending = Some(at);
        self.remember(row, memory).await
    }

    /// Writes down what is remembered of a thing that stays due.
    pub(super) async fn remember(&self, row: &GoogleThingRow, memory: &Memory) -> Step<()> {
        let (org, thing, account, body) = (self.org, row.thing, self.id, memory.write());
        let (seen_due_at, retry_at) = (row.due_at, row.due_at);
        let outcome = GoogleOutcome { org, thing, account, seen_due_at, synced_seq: None, retry_at, body };
        Ok(self.settle(vec![outcome]).await?)
    }

    async fn send(&self, memory: &mut Memory, object: &Object, message: Message) -> Step<()> {
        let (id, kind) = (id_of(object)?, Kind::Object(object.vertical()));
        let now = self.shard.house.now();
        let typed = |kind| Message { message_type: Some(kind), ..message.clone() };
        if memory.may_notify(now) {
            let notifying = typed(MessageType::TextAndNotify);
            match self.request(|api| api.add_message(kind, &id, &notifying)).await?.0 {
                Verdict::Done => {
                    memory.has_notified(now);
                    return Ok(());
                }
                // Somebody else notifies too: it counts for both.
                Verdict::QuotaExceeded { .. } => memory.has_no_more(now),
                _ => return Err(Fault::Later("Google has no such object".to_owned())),
            }
        }
        let silent = typed(MessageType::Text);
        match self.request(|api| api.add_message(kind, &id, &silent)).await?.0 {
            Verdict::Done => Ok(()),
            _ => Err(Fault::Later("Google did not take a message without a notification".to_owned())),
        }
    }

    /// The class of a pass.
    fn class_of(&self, view: &PassView<'_>) -> Step<Drawn> {
        let (template, has_flights) = (view.template, render::has_flights(view.project, &view.template.design));
        let class = self.draw(|context| render::google_class(view, context))?;
        let thing = store::google_class_thing(template.id, &class.common().id);
        let said = has_flights.then(|| (view.pass.id, render::flight_facts(view, &class)));
        Ok(Drawn { said, ..Drawn::shared(thing, class) })
    }

    /// Sees to it that Google has a class as it is now: one request per version of it. Gives when a flight's class notified.
    async fn keep_class(&self, template: &Template, drawn: &Drawn) -> Step<Vec<i64>> {
        let thing = drawn.thing;
        let mut known = self.classes.lock().await;
        if let Some(known) = known.get(&thing)
            && *known == fingerprint(&drawn.class)?
        {
            return Ok(Vec::new());
        }
        let backend = self.shard.house.store.backend();
        let row = self.shard.insist("read a class", || backend.google_thing(self.org, thing)).await?;
        let mut held = row.as_ref().map(|row| Memory::read(&row.body)).unwrap_or_default();
        let by = drawn.said.is_some().then_some(template.version);
        let drawn = &drawn.true_of(template, &held)?;
        let fingerprint = fingerprint(&drawn.class)?;
        if held.fingerprint != fingerprint || (&drawn.facts, by) != (&held.facts, held.drawn_by) {
            if held.fingerprint != fingerprint {
                // Another design is no news of the flight; what else is new comes with it.
                let is_news = by == held.drawn_by || flight_news::is_otherwise(drawn, &held.facts);
                let notify = is_news && self.flight_news(drawn, &mut held).await?;
                self.put_class(&drawn.class, row.is_some(), notify, &mut held).await?;
            }
            let (noticed, notified) = (flight_news::told(drawn)?, held.notified.clone());
            let (fingerprint, facts) = (fingerprint.clone(), drawn.facts.clone());
            let memory = Memory { fingerprint, facts, drawn_by: by, noticed, notified, ..Memory::default() };
            self.note_class(thing, memory).await?;
        }
        // as many as there are templates; flights come and go, so they are looked up
        if thing == template.id.uuid() {
            known.insert(thing, fingerprint);
        }
        Ok(held.notified)
    }

    async fn put_class(&self, class: &Class, was_there: bool, mut notify: bool, memory: &mut Memory) -> Step<()> {
        let (mut insert_next, kind) = (!was_there, Kind::Class(class.vertical()));
        let id = class_id_of(class)?;
        let mut patch = self.sent(kind, class).await?;
        if notify {
            patch.insert("notifyPreference".to_owned(), "NOTIFY_ON_UPDATE".into());
        }
        for _ in 0..4 {
            let verdict = if insert_next {
                self.request(|api| api.insert_class(class)).await?.0
            } else {
                self.request(|api| api.patch(kind, &id, &patch)).await?.0
            };
            match verdict {
                Verdict::Done => {
                    if notify && !insert_next {
                        memory.has_notified(self.shard.house.now());
                    }
                    return Ok(());
                }
                Verdict::Conflict => insert_next = false,
                Verdict::QuotaExceeded { .. } if notify => {
                    memory.has_no_more(self.shard.house.now());
                    patch.remove("notifyPreference");
                    notify = false;
                }
                _ => insert_next = true,
            }
        }
        Err(Fault::Later("Google says that the class is there, and that it is not".to_owned()))
    }

    pub(super) async fn note_class(&self, thing: Uuid, memory: Memory) -> Result<(), End> {
        let body = memory.write();
        let (org, account, synced_seq) = (self.org, self.id, Some(1));
        self.settle(vec![GoogleOutcome { org, thing, account, seen_due_at: None, synced_seq, retry_at: None, body }]).await
    }

    /// Classes that Google has already follow their templates and our address, whether or not their passes change. Flights
    /// follow their passes, which a publication asks for, and our address when they are compared.
    pub(super) async fn keep_classes(&self) -> Result<(), End> {
        let house = &self.shard.house;
        let catalog = self.shard.insist("read the configuration", || house.catalog()).await?;
        let Some(config) = catalog.org(self.org) else { return Ok(()) };
        for stored in config.templates.values() {
            let template = &stored.value;
            let project = config.project(template.project).filter(|it| it.google_issuer.as_deref() == Some(self.issuer.as_str()));
            let Some(project) = project else { continue };
            let thing = template.id.uuid();
            let backend = house.store.backend();
            if self.shard.insist("read a class", || backend.google_thing(self.org, thing)).await?.is_none() {
                continue;
            }
            let class = match self.draw(|context| render::shared_class(project, template, context)) {
                Ok(Some(class)) => Ok(Drawn::shared(thing, class)),
                Ok(None) => continue,
                Err(fault) => Err(fault),
            };
            let kept = match class {
                Ok(class) => self.keep_class(template, &class).await.map(drop),
                Err(fault) => Err(fault),
            };
            match kept {
                Ok(()) | Err(Fault::NotSent) => {}
                // It is tried again with the next of its passes, or the next change.
                Err(Fault::Later(why)) => tracing::warn!(why, template = %template.id, "Google did not take a class"),
                Err(Fault::End(end)) => return Err(end),
            }
        }
        Ok(())
    }
}

pub(super) fn class_id_of(class: &Class) -> Step<ResourceId> {
    class.common().id.parse().map_err(|error: google_wallet::IdError| Fault::Later(error.to_string()))
}

pub(super) fn id_of(object: &Object) -> Step<ResourceId> {
    object.common().id.parse().map_err(|error: google_wallet::IdError| Fault::Later(error.to_string()))
}

pub(super) fn read_object(vertical: Vertical, body: &[u8]) -> Step<Object> {
    let later = |error: &dyn std::fmt::Display| Fault::Later(format!("Google's answer cannot be read: {error}"));
    let value = serde_json::from_slice(body).map_err(|error| later(&error))?;
    Object::from_value(vertical, value).map_err(|error| later(&error))
}

/// A value as it was told, hashed.
pub(super) fn fingerprint(value: &impl Serialize) -> Step<String> {
    let json = serde_json::to_vec(value).map_err(|error| Fault::Later(error.to_string()))?;
    let hash = digest::digest(&digest::SHA256, &json);
    Ok(hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}
