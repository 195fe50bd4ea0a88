//! A decision in the making.

use domain::{
    Answer, Command, Contact, ContactId, Event, EventId, Facts, Image, Installation, Lifecycle, Message, MessageEnd, Pass,
    PassId, PassRef, Position, ProjectImage, Reject, RejectCode, Timestamp, VariantImage, Wallet,
};
use store::NewEvent;

use super::{Decision, View};

/// New states and events that count only once the whole decision stands.
pub(super) struct Draft<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) now: Timestamp,
    /// When what is told happened, where that is earlier than now.
    pub(super) happened_at: Option<Timestamp>,
    /// When passes came into wallets or left them, where that is known to be earlier than now.
    pub(super) counted_at: Option<Timestamp>,
    command: &'a Command,
    passes: Vec<Pass>,
    contacts: Vec<Contact>,
    installations: Vec<Installation>,
    events: Vec<NewEvent>,
    erased: Vec<ContactId>,
    /// Changes of contacts' wallet status, told after what brought them about.
    turned: Vec<(Facts, Contact)>,
    /// Planned messages that nobody will see, told after what brought that about.
    dropped: Vec<(PassId, Message, MessageEnd)>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(view: &'a View<'a>, command: &'a Command, now: Timestamp) -> Self {
        Self {
            view,
            now,
            happened_at: None,
            counted_at: None,
            command,
            passes: Vec::new(),
            contacts: Vec::new(),
            installations: Vec::new(),
            events: Vec::new(),
            erased: Vec::new(),
            turned: Vec::new(),
            dropped: Vec::new(),
        }
    }

    /// The pass that a reference means, after what its time has brought: messages that were planned, and its end.
    pub(super) fn pass(&mut self, pass: &PassRef) -> Result<Pass, Reject> {
        let found =
            self.view.states.find_pass(self.view.org, pass).and_then(|id| self.view.states.passes.get(&(self.view.org, id)));
        let held = found.ok_or_else(|| Reject::new(RejectCode::NotFound, "pass", "no such pass"))?;
        let mut pass = held.value.clone();
        self.settle(&mut pass);
        self.say_planned(&mut pass);
        if pass.is_past(self.now) {
            let before = pass.clone();
            pass.lifecycle = Lifecycle::Expired { at: self.now };
            self.touch_pass(&mut pass, true);
            self.put_pass(Some(&before), &pass);
            self.event(Facts::PassExpired, true, &pass);
        }
        Ok(pass)
    }

    /// A pass as this decision leaves it so far.
    pub(super) fn left(&self, id: PassId) -> Option<&Pass> {
        let drafted = self.passes.iter().find(|pass| pass.id == id);
        drafted.or_else(|| self.view.states.passes.get(&(self.view.org, id)).map(|held| &held.value))
    }

    /// What stands in for installations of a pass that another platform knew of, while it counts as there.
    pub(super) fn stand_in(&self, pass: PassId, wallet: Wallet) -> Option<Installation> {
        self.installation(pass, wallet, &Installation::stand_in(pass)).filter(|held| held.is_active()).cloned()
    }

    /// An installation as this decision found it.
    pub(super) fn installation(&self, pass: PassId, wallet: Wallet, device: &str) -> Option<&'a Installation> {
        self.view.states.installations.get(&(self.view.org, pass, wallet, device.to_owned()))
    }

    /// Lets removals count that were held long enough: the wallet did not take the pass again.
    fn settle(&mut self, pass: &mut Pass) {
        let is_due = |pass: &Pass, wallet| pass.holding(wallet).held_until.is_some_and(|due| due <= self.now);
        let due: Vec<Wallet> = Wallet::ALL.into_iter().filter(|wallet| is_due(pass, *wallet)).collect();
        if due.is_empty() {
            return;
        }
        let before = pass.clone();
        for wallet in due {
            pass.holding_mut(wallet).held_until = None;
        }
        self.touch_pass(pass, false);
        self.put_pass(Some(&before), pass);
    }

    /// The contact as this decision leaves it so far.
    pub(super) fn contact(&self, id: ContactId) -> Option<&Contact> {
        let drafted = self.contacts.iter().find(|contact| contact.id == id);
        drafted.or_else(|| self.view.states.contacts.get(&(self.view.org, id)).map(|held| &held.value))
    }

    /// Counts a change of a pass; `content` when a wallet shows it. `Last-Modified` rises by at least a second then.
    /// A void pass counts in no wallet, so no removal of it is held: it would seem to come back when the pass does.
    pub(super) fn touch_pass(&mut self, pass: &mut Pass, content: bool) {
        if let Some(end) = MessageEnd::of(&pass.lifecycle) {
            pass.apple.held_until = None;
            pass.google.held_until = None;
            pass.unknown.held_until = None;
            let planned = std::mem::take(&mut pass.planned);
            self.drop_messages(pass.id, planned, end);
        }
        pass.version += 1;
        pass.updated_at = self.now.max(pass.updated_at);
        if content {
            pass.content_version += 1;
            pass.as_of = pass.as_of.max(Some(self.as_of()));
            pass.last_modified = self.now.as_seconds().max(pass.last_modified + 1);
        }
    }

    /// Notes that messages which were planned for a pass are not going to be shown.
    pub(super) fn drop_messages(&mut self, pass: PassId, messages: Vec<Message>, end: MessageEnd) {
        self.dropped.extend(messages.into_iter().map(|message| (pass, message, end)));
    }

    /// How new what is decided is: when it happened by the clock of whoever told it, which may be wrong, but not later than now.
    pub(super) fn as_of(&self) -> Timestamp {
        let told = self.happened_at.or(self.command.told.map(|told| told.at));
        told.unwrap_or(self.now).min(self.now)
    }

    /// Keeps a pass's new state, and with it how many of the holder's live passes are in which wallet.
    pub(super) fn put_pass(&mut self, before: Option<&Pass>, after: &Pass) {
        for wallet in Wallet::ALL {
            let was = before.and_then(|pass| pass.contact.filter(|_| is_present(pass, wallet)));
            let is = after.contact.filter(|_| is_present(after, wallet));
            if was != is {
                self.count(was, after, wallet, false);
                self.count(is, after, wallet, true);
            }
        }
        self.passes.retain(|pass| pass.id != after.id);
        self.passes.push(after.clone());
    }

    fn count(&mut self, contact: Option<ContactId>, pass: &Pass, wallet: Wallet, arrives: bool) {
        let Some(mut contact) = contact.and_then(|id| self.contact(id)).filter(|it| it.erased_at.is_none()).cloned() else {
            return;
        };
        let overall_before = contact.wallet_status().name().to_owned();
        let status = contact.wallets.entry(pass.project).or_default();
        let before = status.name().to_owned();
        // A removal that was held happened when the wallet told of it.
        let was_held = !arrives && !pass.lifecycle.is_void() && !pass.holding(wallet).is_present();
        let left_at = pass.holding(wallet).last_uninstalled_at.filter(|_| was_held);
        let turned_wallet = status.count(wallet, arrives, left_at.or(self.counted_at).unwrap_or(self.now));
        let after = status.name().to_owned();
        let turned = turned_wallet && before != after;
        contact.version += 1;
        contact.updated_at = self.now.max(contact.updated_at);
        if turned {
            let overall_after = contact.wallet_status().name().to_owned();
            let project = pass.project;
            let facts = Facts::ContactWalletStatusChanged { project, before, after, overall_before, overall_after };
            self.turned.push((facts, contact.clone()));
        }
        self.put_contact(contact);
    }

    /// Keeps a contact's new state.
    pub(super) fn put_contact(&mut self, contact: Contact) {
        self.contacts.retain(|held| held.id != contact.id);
        self.contacts.push(contact);
    }

    /// Keeps an installation's new state.
    pub(super) fn put_installation(&mut self, installation: Installation) {
        self.installations.push(installation);
    }

    /// Has a contact's personal values destroyed.
    pub(super) fn erase(&mut self, contact: ContactId) {
        self.erased.push(contact);
    }

    /// Says what happened to a pass; `content` when a wallet shows it.
    pub(super) fn event(&mut self, facts: Facts, content: bool, pass: &Pass) -> EventId {
        let project = self.view.config.project(pass.project);
        let variant = project.and_then(|project| project.variant(Some(&pass.variant)));
        let image = Image {
            pass: Some(pass.clone()),
            contact: pass.contact.and_then(|id| self.contact(id)).cloned(),
            project: project.map(|it| ProjectImage { id: it.id, name: it.name.clone(), kind: it.kind }),
            variant: variant.map(|it| VariantImage { id: it.id.clone(), name: it.name.clone() }),
        };
        self.push(facts, content, pass.shard, pass.version, image)
    }

    /// Says what happened that is about no pass and no contact.
    pub(super) fn bare_event(&mut self, facts: Facts) -> EventId {
        let shard = (self.view.shard)(self.command.id.uuid());
        self.push(facts, false, shard, 0, Image::default())
    }

    /// Says what happened to a contact.
    pub(super) fn contact_event(&mut self, facts: Facts, contact: &Contact) {
        let shard = (self.view.shard)(contact.id.uuid());
        let image = Image { contact: Some(contact.clone()), ..Image::default() };
        self.push(facts, false, shard, contact.version, image);
    }

    fn push(&mut self, facts: Facts, content: bool, shard: u16, version: u64, image: Image) -> EventId {
        let number = self.events.len().to_be_bytes();
        let id = EventId::derive(self.now, self.command.id.uuid(), &number);
        let project = match &facts {
            Facts::ContactWalletStatusChanged { project, .. } => Some(*project),
            _ => image.pass.as_ref().map(|pass| pass.project),
        };
        let event = Event {
            id,
            org: self.view.org,
            position: Position { shard, seq: 0 },
            schema: Event::SCHEMA,
            occurred_at: self.happened_at.unwrap_or(self.now),
            recorded_at: self.now,
            actor: self.command.actor.clone(),
            cause: self.command.cause.clone(),
            project,
            pass: image.pass.as_ref().map(|pass| pass.id),
            contact: image.contact.as_ref().map(|contact| contact.id),
            version,
            facts,
            image,
        };
        self.events.push(NewEvent { event, content });
        id
    }

    /// The answer when the pass is as it should be already.
    pub(super) fn unchanged(pass: &Pass) -> Answer {
        Answer::Unchanged { pass: Some(pass.id), contact: pass.contact, version: pass.version, late: None, stays: None }
    }

    /// The answer when the pass changed.
    pub(super) fn done(pass: &Pass, created: bool) -> Answer {
        Answer::Done { pass: Some(pass.id), contact: pass.contact, version: pass.version, created, late: None, stays: None }
    }

    pub(super) fn finish(mut self, answer: Answer) -> Decision {
        // Messages end and the status changes now, even by what comes late from a reader.
        self.happened_at = None;
        for (pass, message, reason) in std::mem::take(&mut self.dropped) {
            if let Some(pass) = self.left(pass).cloned() {
                self.event(Facts::PassMessageDropped { message, reason }, false, &pass);
            }
        }
        for (facts, contact) in std::mem::take(&mut self.turned) {
            self.contact_event(facts, &contact);
        }
        Decision {
            answer,
            passes: self.passes,
            contacts: self.contacts,
            installations: self.installations,
            events: self.events,
            erased: self.erased,
        }
    }
}

/// Whether a live pass is in a wallet now.
fn is_present(pass: &Pass, wallet: Wallet) -> bool {
    !pass.lifecycle.is_void() && pass.holding(wallet).is_present()
}
