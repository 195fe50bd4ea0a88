//! Targets with their secrets opened, and which of them an event is owed to.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicBool},
};

use connectors::{
    catalog::{self, Descriptor, Destination, Vendor},
    kit::{self, Earlier, Secret, Secrets},
};
use domain::{Event, EventKind, OrgId, Target, TargetId};
use flows::{
    fql::{self, Compiled},
    mapping::Rules,
    payload::Body,
};
use google_wallet::{ServiceAccount, rest::token_request_for};
use outbound::token::{Login, TokenSource};
use parking_lot::Mutex;
use serde_json::Value;
use store::{Catalog, FollowedEvent, Store, Stored, StoredTarget};

use super::{proof::Proof, ways::Way};
use crate::shard::House;

/// A target, ready to be sent to.
pub(crate) struct Ready {
    pub(crate) org: OrgId,
    /// As configured, with its revision.
    pub(crate) stored: Stored<StoredTarget>,
    /// The target with its headers opened; without them when they cannot be.
    target: Target,
    /// Its connector; nothing when this version of us does not know it.
    connector: Option<&'static Descriptor>,
    /// The secrets, or why they cannot be used.
    pub(crate) secrets: Result<Secrets, String>,
    /// The condition under which an event is sent. One that this version of us cannot read lets everything pass.
    filter: Option<Compiled>,
    /// What makes the body, unless that is code or the shape itself; or why it cannot.
    pub(crate) body: Result<Option<Body>, String>,
    /// By which way it is sent to; or why there is none.
    pub(crate) way: Result<Way, String>,
    /// How it is proven to it who we are.
    pub(crate) proof: Proof,
    /// Where the token comes from that a service wants.
    pub(crate) tokens: Option<TokenSource>,
    /// Whether what it is written to was made at the service.
    pub(crate) prepared: AtomicBool,
}

impl Ready {
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }
    /// What it takes to send to it: its secrets and its way; or why there is none.
    pub(crate) fn usable(&self) -> Result<(&Secrets, &Way), String> {
        Ok((self.secrets.as_ref().map_err(Clone::clone)?, self.way.as_ref().map_err(Clone::clone)?))
    }
    /// Whether an event fulfils the target's condition. `view` is the event as conditions see it, made once for all targets.
    pub(crate) fn lets_pass(&self, event: &Event, public_url: &str, view: &mut Option<Value>) -> bool {
        let Some(filter) = self.filter.as_ref().filter(|_| !event.kind().is_operational()) else { return true };
        filter.matches(view.get_or_insert_with(|| connectors::native::view(event, public_url)))
    }
    /// What makes it a service of its own, when it is one.
    pub(crate) fn vendor(&self) -> Option<Vendor> {
        self.dialect()?.vendor
    }
    /// After how many deliveries that were given up one after another it is switched off: as its owner wishes, else as its
    /// shape has it.
    pub(crate) fn off_after(&self) -> Option<u32> {
        self.target.switch_off.after_failures.or_else(|| self.dialect()?.profile.disable_after)
    }
    /// Its connector, and the shape that it is told in; or that this version of us does not know them.
    pub(crate) fn known(&self) -> Result<(&'static Descriptor, &'static Destination), String> {
        let connector = self.connector.ok_or("its shape is not known here")?;
        Ok((connector, connector.destination.as_ref().ok_or("its shape is not known here")?))
    }
    /// The shape that it is told in; nothing when this version of us does not know it.
    pub(crate) fn dialect(&self) -> Option<&'static Destination> {
        self.connector?.destination.as_ref()
    }
}

/// Opened targets, by id; a changed one is opened anew.
#[derive(Default)]
pub(crate) struct Targets(Mutex<HashMap<TargetId, Arc<Ready>>>);

impl Targets {
    /// A target as the configuration has it.
    pub(crate) fn ready(&self, house: &House, org: OrgId, stored: &Stored<StoredTarget>) -> Arc<Ready> {
        let store = &house.store;
        let id = stored.value.target.id;
        let mut known = self.0.lock();
        if let Some(ready) = known.get(&id).filter(|ready| ready.stored.revision == stored.revision) {
            return Arc::clone(ready);
        }
        let opened = store.open_target(org, &stored.value).map_err(|error| error.to_string());
        let (target, secrets) = match (opened, open(store, org, &stored.value)) {
            (Ok(target), secrets) => (target, secrets),
            (Err(why), _) => (stored.value.target.clone(), Err(why)),
        };
        let filter = target.filter.as_deref().and_then(|text| fql::parse(text).ok()?.compile().ok());
        let body = target.payload.as_ref().map_or(Ok(None), |payload| Body::compile_by(payload, Rules::Stored));
        let body = body.map_err(|problems| problems.first().map(ToString::to_string).unwrap_or_default());
        let way = house.ways.of(org, target.egress.as_deref());
        let proof = Proof::of(&target, way.as_ref().map_or(&house.client, |way| &way.client));
        let tokens = tokens(house, &target, &secrets);
        let ready = Arc::new(Ready {
            org,
            stored: stored.clone(),
            connector: catalog::find(&target.dialect),
            target,
            secrets,
            filter,
            body,
            way,
            proof,
            tokens,
            prepared: AtomicBool::new(false),
        });
        if let Err(why) = &ready.secrets {
            tracing::error!(%org, target = %id, why, "a webhook's credentials cannot be used; nothing can be sent to it");
        }
        known.insert(id, Arc::clone(&ready));
        ready
    }
}

fn tokens(house: &House, target: &Target, secrets: &Result<Secrets, String>) -> Option<TokenSource> {
    let login = dialect(target)?.vendor?.login?(target, &secrets.as_ref().ok()?.credentials)?;
    Some(match login {
        kit::Login::Client { url, client_id, client_secret, scope } => {
            TokenSource::new(Login { url, client_id, client_secret, scope, audience: None, in_body: true })
        }
        kit::Login::ServiceAccount { key_file, scope } => {
            let clock = Arc::clone(&house.clock);
            TokenSource::signed(move || {
                let account = ServiceAccount::from_json(key_file.as_bytes()).map_err(|error| error.to_string())?;
                token_request_for(&account, scope, clock.now().as_seconds(), None).map_err(|error| error.to_string())
            })
        }
    })
}

fn open(store: &Store, org: OrgId, stored: &StoredTarget) -> Result<Secrets, String> {
    let mut secrets = Vec::new();
    for held in &stored.sealed_secrets {
        let opened = store.open_of::<StoredTarget>(org, stored.target.id.uuid(), &held.sealed);
        let opened = opened.map_err(|error| error.to_string())?;
        let text = std::str::from_utf8(&opened).map_err(|_| "the signing secret is no text".to_owned())?;
        let secret = text.parse::<Secret>().map_err(|error| error.to_string())?;
        secrets.push(Earlier { secret, until: held.until });
    }
    let mut secrets = secrets.into_iter();
    let current = secrets.next().ok_or("there is no signing secret")?.secret;
    let credentials = store.open_settings(org, stored).map_err(|error| error.to_string())?.into_iter().collect();
    Ok(Secrets { credentials, ..Secrets::rotated(current, secrets.collect()) })
}

fn dialect(target: &Target) -> Option<&'static Destination> {
    catalog::find(&target.dialect)?.destination.as_ref()
}

/// The targets that are owed an event: those whose filters it passes and whose shape has a word for it.
pub(crate) fn owed<'c>(catalog: &'c Catalog, event: &'c Event) -> impl Iterator<Item = &'c Stored<StoredTarget>> {
    let kind = event.kind();
    let about_none = kind == EventKind::ScanUnknown || kind.is_operational();
    let told = about_none || event.image.pass.is_some() || event.image.contact.is_some();
    let config = catalog.org(event.org).filter(|_| told);
    config.into_iter().flat_map(|config| config.targets.values()).filter(move |stored| {
        let target = &stored.value.target;
        target.is_for(event) && dialect(target).is_some_and(|dialect| (dialect.wants)(kind))
    })
}

/// Whether somebody may be owed an event, by its row alone: most events are owed to nobody and need not be opened for that. Of a
/// message it has to be noted where there is nobody to send it, and what kind a newer version wrote is found out by opening it.
pub(crate) fn may_be_owed(catalog: &Catalog, event: &FollowedEvent) -> bool {
    let Some(kind) = event.kind().filter(|kind| *kind != EventKind::MessageRequested) else { return true };
    catalog.org(event.org()).is_some_and(|config| {
        config.targets.values().any(|stored| {
            let target = &stored.value.target;
            target.may_want(kind, event.project(), event.recorded_at())
                && dialect(target).is_some_and(|dialect| (dialect.wants)(kind))
        })
    })
}
