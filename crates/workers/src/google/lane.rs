//! A lane per Google account: what is due of it is seen to, and what became of that is noted.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use domain::OrgId;
use futures_util::{StreamExt, stream};
use google_wallet::{ServiceAccount, rest::REQUESTS_PER_SECOND};
use store::{GoogleOutcome, GoogleSettlement, GoogleThingRow, Stored, StoredGoogleAccount};
use tokio::task::{AbortHandle, JoinSet};
use uuid::Uuid;

use super::{drift, line::Line, memory::Memory, shapes::Shapes};
use crate::shard::{End, Shard};

/// Things that are seen to together; their outcomes are noted in one write.
const BATCH: u32 = 100;
/// How often the accounts are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a lane works with.
pub(super) struct Lane {
    pub(super) shard: Shard,
    pub(super) org: OrgId,
    /// The account's id.
    pub(super) id: Uuid,
    pub(super) issuer: String,
    pub(super) line: Line,
    /// Fingerprints of the classes that Google has, by template; one at a time looks after classes.
    pub(super) classes: tokio::sync::Mutex<HashMap<Uuid, String>>,
    /// The keys that Google was ever sent for the account; none before they were read.
    pub(super) shapes: tokio::sync::Mutex<Option<Shapes>>,
}

/// What is to be noted of a thing; nothing when it was not seen to.
pub(super) type Outcome = Option<GoogleOutcome>;

/// Runs the lanes of a shard until it is stopped or lost.
pub(crate) async fn run(shard: Shard) -> End {
    let mut lanes = JoinSet::new();
    let mut running = HashMap::new();
    loop {
        look(&shard, &mut lanes, &mut running);
        tokio::select! {
            () = shard.stopped() => return finish(lanes, End::Stopped).await,
            Some(ended) = lanes.join_next() => match ended {
                Ok(end @ (End::LeaseLost | End::Damaged)) => return finish(lanes, end).await,
                Ok(End::Stopped) => {}
                Err(error) if error.is_cancelled() => {}
                Err(error) => {
                    tracing::error!(%error, "a lane to Google panicked; it starts afresh");
                    running.clear();
                    lanes.abort_all();
                }
            },
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn finish(mut lanes: JoinSet<End>, end: End) -> End {
    // Told to stop, they note what became of what is under way.
    if matches!(end, End::LeaseLost | End::Damaged) {
        lanes.abort_all();
    }
    while lanes.join_next().await.is_some() {}
    end
}

/// Starts lanes for accounts that fall on this shard, stops those of accounts that changed or are gone.
fn look(shard: &Shard, lanes: &mut JoinSet<End>, running: &mut HashMap<(OrgId, Uuid, i64), Option<AbortHandle>>) {
    let house = &shard.house;
    // What the node's own look found lately is enough here; a lane reads the configuration before it tells Google anything.
    let catalog = house.store.catalog();
    let mut wanted = HashSet::new();
    for (org, config) in catalog.orgs() {
        for stored in config.google_accounts.values() {
            let mine = house.store.shard_of_text(project(&stored.value.client_email)) == shard.number();
            if !mine || (stored.value.development && !house.google.is_simulated()) {
                continue;
            }
            let key = (org, stored.value.id.uuid(), stored.revision);
            wanted.insert(key);
            if running.contains_key(&key) {
                continue;
            }
            // One that cannot be opened is not tried again until it changes.
            running.insert(key, open(shard, org, stored).map(|lane| lanes.spawn(Arc::new(lane).run())));
        }
    }
    running.retain(|key, handle| {
        let keep = wanted.contains(key);
        if let Some(handle) = handle.as_ref().filter(|_| !keep) {
            handle.abort();
        }
        keep
    });
}

/// The Google Cloud project of an account, which is what Google counts requests by: the domain of its address.
fn project(client_email: &str) -> &str {
    client_email.split_once('@').map_or(client_email, |(_, project)| project)
}

fn open(shard: &Shard, org: OrgId, stored: &Stored<StoredGoogleAccount>) -> Option<Lane> {
    let house = &shard.house;
    let id = stored.value.id.uuid();
    let key = house.store.open_of::<StoredGoogleAccount>(org, id, &stored.value.sealed_key);
    let account =
        key.map_err(|error| error.to_string()).and_then(|key| ServiceAccount::from_json(&key).map_err(|error| error.to_string()));
    let account = account.inspect_err(|why| tracing::error!(%org, why, "a Google account cannot be used")).ok()?;
    let pacer = house.paces.of(project(account.client_email()), house.now());
    Some(Lane {
        shard: shard.clone(),
        org,
        id,
        issuer: stored.value.issuer.clone(),
        line: Line::new(Arc::new(account), pacer),
        classes: tokio::sync::Mutex::default(),
        shapes: tokio::sync::Mutex::default(),
    })
}

impl Lane {
    async fn run(self: Arc<Self>) -> End {
        self.work().await.err().unwrap_or(End::Stopped)
    }

    async fn work(&self) -> Result<(), End> {
        let (shard, house) = (&self.shard, &self.shard.house);
        let backend = house.store.backend();
        let mut ticks = house.store.wake().events();
        drift::schedule(self).await?;
        let mut version = None;
        loop {
            if shard.is_stopping() {
                return Err(End::Stopped);
            }
            ticks.mark_unchanged();
            if let Some(until) = self.line.rests_until(house.now()) {
                self.sleep(until).await?;
                continue;
            }
            let current = shard.insist("read the configuration", || backend.config_version()).await?;
            if version != Some(current) {
                self.keep_classes().await?;
                self.find_projects().await?;
                version = Some(current);
            }
            let due = shard.insist("read what Google shall hear", || backend.due_google(self.org, self.id, house.now(), BATCH));
            let due = due.await?;
            if due.is_empty() {
                shard.wait(&mut ticks, house.settings.poll).await?;
                continue;
            }
            let at_once = REQUESTS_PER_SECOND as usize;
            let seen: Vec<Result<Outcome, End>> =
                stream::iter(due).map(|row| self.see_to(row)).buffer_unordered(at_once).collect().await;
            let outcomes: Vec<_> = seen.into_iter().filter_map(Result::transpose).collect::<Result<_, End>>()?;
            self.settle(outcomes).await?;
        }
    }

    async fn see_to(&self, row: GoogleThingRow) -> Result<Outcome, End> {
        // Whoever stops, or was told to ask less, leaves the rest of the batch as it is.
        if self.shard.is_stopping() || self.line.rests_until(self.shard.house.now()).is_some() {
            return Ok(None);
        }
        if row.thing == self.id {
            return drift::run(self, row).await;
        }
        if let Some(template) = Memory::read(&row.body).dry_run {
            return self.dry_run(row, &template).await;
        }
        let catalog = self.shard.house.store.catalog();
        match catalog.org(self.org).and_then(|config| config.projects.get(&row.thing)) {
            Some(project) => self.introduce(row, &project.value).await,
            None => self.sync(row).await,
        }
    }

    pub(super) async fn settle(&self, outcomes: Vec<GoogleOutcome>) -> Result<(), End> {
        if outcomes.is_empty() {
            return Ok(());
        }
        let settlement = GoogleSettlement { lease: self.shard.lease, outcomes };
        let backend = self.shard.house.store.backend();
        self.shard.insist("note what Google has", || backend.settle_google(settlement.clone())).await
    }

    async fn sleep(&self, until: domain::Timestamp) -> Result<(), End> {
        let house = &self.shard.house;
        tokio::select! {
            () = self.shard.stopped() => Err(End::Stopped),
            () = (house.google.sleep)(house.now(), until) => Ok(()),
        }
    }
}
