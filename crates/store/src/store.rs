//! The store as the house uses it: [`Backend`] in domain words, sealing on the way down and opening on the way up.

use std::{collections::HashSet, sync::Arc};

use base64::Engine as _;
use domain::{Entropy, OrgId, Organization, ProjectId, Timestamp};
use parking_lot::RwLock;
use serde::Serialize;
use tokio::sync::watch;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Catalog, ConfigWrite, ConfigWritten, DirectoryRow, InboxEntry, Keyring, MasterKey, NameKind, Resource, ResourceRow,
    StoreError,
    backend::Backend,
    error::Result,
    rows::{AuditRow, BlobRow, CaptureRow},
    tail::{KeptEvent, Tails},
};

/// Most resources that are read at once, so that a large configuration is not in memory twice, as rows and as what they say.
const CONFIG_PAGE: u32 = 256;

/// Ticks when something was written, for readers in this process. A wake-up carries no data: whoever is woken asks the
/// store what there is, and asks by itself now and then in case a tick was missed.
#[derive(Debug)]
pub struct Wake {
    /// Of whichever shard.
    any: Ticks,
    shards: Vec<Ticks>,
    config: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ticks {
    inbox: watch::Sender<u64>,
    waiting: watch::Sender<u64>,
    events: watch::Sender<u64>,
}

impl Wake {
    fn new(shards: u16) -> Self {
        let shards = (0..shards).map(|_| Ticks::default()).collect();
        Self { any: Ticks::default(), shards, config: watch::Sender::new(0) }
    }
    /// Ticks when source events were accepted.
    pub fn inbox(&self) -> watch::Receiver<u64> {
        self.any.inbox.subscribe()
    }
    /// Ticks when source events of a shard were accepted.
    pub fn inbox_of(&self, shard: u16) -> watch::Receiver<u64> {
        self.of(shard).inbox.subscribe()
    }
    /// Ticks when a source event of a shard was made to wait until now: a replay. The inbox ticks with it.
    pub fn waiting_of(&self, shard: u16) -> watch::Receiver<u64> {
        self.of(shard).waiting.subscribe()
    }
    /// Ticks when events were committed.
    pub fn events(&self) -> watch::Receiver<u64> {
        self.any.events.subscribe()
    }
    /// Ticks when events of a shard were committed.
    pub fn events_of(&self, shard: u16) -> watch::Receiver<u64> {
        self.of(shard).events.subscribe()
    }
    /// Ticks when configuration changed.
    pub fn config(&self) -> watch::Receiver<u64> {
        self.config.subscribe()
    }
    /// Whether any was told.
    pub(crate) fn tick_inbox(&self, shards: impl Iterator<Item = u16>) -> bool {
        self.tick(shards, |ticks| &ticks.inbox)
    }
    pub(crate) fn tick_waiting(&self, shard: u16) {
        self.tick(std::iter::once(shard), |ticks| &ticks.waiting);
        self.tick_inbox(std::iter::once(shard));
    }
    /// Whether any was told.
    pub(crate) fn tick_events(&self, shards: impl Iterator<Item = u16>) -> bool {
        self.tick(shards, |ticks| &ticks.events)
    }
    pub(crate) fn tick_config(&self) {
        self.config.send_modify(|count| *count += 1);
    }
    /// A shard that does not exist has the ticks of all.
    fn of(&self, shard: u16) -> &Ticks {
        self.shards.get(usize::from(shard)).unwrap_or(&self.any)
    }
    /// Each shard once, however often it is named.
    fn tick(&self, shards: impl Iterator<Item = u16>, which: impl Fn(&Ticks) -> &watch::Sender<u64>) -> bool {
        let mut touched = vec![false; self.shards.len()];
        for shard in shards {
            touched.get_mut(usize::from(shard)).into_iter().for_each(|touched| *touched = true);
        }
        let touched = self.shards.iter().zip(&touched).filter(|(_, touched)| **touched).map(|(ticks, _)| ticks);
        let count = touched.map(|ticks| which(ticks).send_modify(|count| *count += 1)).count();
        if count > 0 {
            which(&self.any).send_modify(|count| *count += 1);
        }
        count > 0
    }
}

/// The kind of a file in the audit log; files are no [`Resource`]s. Its resource is the first half of its SHA-256.
pub const AUDITED_BLOB: i16 = 1_000;

/// The store.
pub struct Store {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) keyring: Keyring,
    catalog: RwLock<Arc<Catalog>>,
    refreshing: tokio::sync::Mutex<()>,
    wake: Wake,
    pub(crate) inbox_tails: Tails<InboxEntry>,
    pub(crate) event_tails: Tails<KeptEvent>,
    epoch: u64,
    entropy: Arc<dyn Entropy>,
    /// Projects that have a pass, as far as it was seen here: they are never removed.
    with_passes: RwLock<HashSet<(OrgId, ProjectId)>>,
}

/// A change of one configured thing.
pub struct ConfigChange<'a> {
    /// Whose.
    pub org: OrgId,
    /// Who changes it, as JSON, for the audit log.
    pub actor: String,
    /// The present.
    pub now: Timestamp,
    /// Names to add beside it.
    pub names: Vec<(NameKind, Vec<u8>, Uuid)>,
    /// Names to remove beside it.
    pub removed_names: Vec<(NameKind, &'a [u8])>,
}

impl Store {
    /// Opens a store whose schema is up to date: unlocks every organization's key and reads the configuration.
    pub async fn open(backend: Arc<dyn Backend>, master: &MasterKey, entropy: Arc<dyn Entropy>) -> Result<Arc<Self>> {
        let keyring = Keyring::new(master, Arc::clone(&entropy))?;
        for (org, wrapped) in backend.org_keys().await? {
            keyring.open_org(org, &wrapped)?;
        }
        let epoch = backend.log_epoch().await?;
        let wake = Wake::new(backend.shards());
        let (inbox_tails, event_tails) = (Tails::new(backend.shards()), Tails::new(backend.shards()));
        let store = Arc::new(Self {
            backend,
            keyring,
            catalog: RwLock::default(),
            refreshing: tokio::sync::Mutex::default(),
            wake,
            inbox_tails,
            event_tails,
            epoch,
            entropy,
            with_passes: RwLock::default(),
        });
        store.refresh().await?;
        store.seal_plain_headers().await?;
        store.line_up().await?;
        Ok(store)
    }

    /// The adapter, for calls that hold nothing sealed.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }
    /// Every organization's keys.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }
    /// Ticks for readers in this process.
    pub fn wake(&self) -> &Wake {
        &self.wake
    }
    pub(crate) fn tell_inbox(&self, shards: impl Iterator<Item = u16>) {
        if self.wake.tick_inbox(shards) {
            self.backend.nudge();
        }
    }
    pub(crate) fn tell_events(&self, shards: impl Iterator<Item = u16>) {
        if self.wake.tick_events(shards) {
            self.backend.nudge();
        }
    }
    /// Those of these projects that may be removed as far as is known here.
    pub(crate) fn may_be_removed(&self, projects: &[(OrgId, ProjectId)]) -> Vec<(OrgId, ProjectId)> {
        let known = self.with_passes.read();
        projects.iter().filter(|project| !known.contains(project)).copied().collect()
    }
    /// Passes were issued into these.
    pub(crate) fn never_removed(&self, projects: Vec<(OrgId, ProjectId)>) {
        if !projects.is_empty() {
            self.with_passes.write().extend(projects);
        }
    }
    /// The epoch of the logs: part of every cursor and update tag, so that one from another life is recognised.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
    /// The randomness that ids are minted from.
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }

    /// The shard of something that is named by an id; the same for ever, for a given number of shards.
    pub fn shard_of(&self, org: OrgId, id: Uuid) -> u16 {
        let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = org.uuid().as_bytes().iter().chain(id.as_bytes()).fold(0xcbf2_9ce4_8422_2325, fnv);
        ((hash ^ (hash >> 32)) % u64::from(self.backend.shards())) as u16
    }

    /// The shard of something that is named by a text; the same for ever, for a given number of shards.
    pub fn shard_of_text(&self, text: &str) -> u16 {
        let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = text.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, fnv);
        ((hash ^ (hash >> 32)) % u64::from(self.backend.shards())) as u16
    }

    /// The configuration as last read.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read())
    }

    /// The configuration, read anew if its version is another than the one given.
    pub async fn catalog_at(&self, version: i64) -> Result<Arc<Catalog>> {
        if self.catalog.read().version < version {
            self.refresh().await?;
        }
        Ok(self.catalog())
    }

    /// The configuration as it is in the store now, so that what another node acknowledged is known here.
    pub async fn catalog_now(&self) -> Result<Arc<Catalog>> {
        self.catalog_at(self.backend.config_version().await?).await
    }

    /// The configuration as it is in the store now where other nodes may have changed it, else as last read.
    pub async fn current(&self) -> Result<Arc<Catalog>> {
        if !self.backend.is_shared() {
            return Ok(self.catalog());
        }
        let version = self.backend.config_version().await?;
        self.catalog_at(version).await
    }

    /// Reads what changed in the configuration since it was last read.
    pub async fn refresh(&self) -> Result<()> {
        let _one_at_a_time = self.refreshing.lock().await;
        let known = self.catalog().version;
        let mut next = None;
        loop {
            let version = next.as_ref().map_or(known, |next: &Catalog| next.version);
            let rows = self.backend.config_since(version, CONFIG_PAGE).await?;
            if rows.is_empty() {
                break;
            }
            if rows.iter().any(|row| !self.keyring.knows(row.org)) {
                for (org, wrapped) in self.backend.org_keys().await? {
                    self.keyring.open_org(org, &wrapped)?;
                }
            }
            next.get_or_insert_with(|| Catalog::clone(&self.catalog())).apply(&rows)?;
            if rows.len() < CONFIG_PAGE as usize {
                break;
            }
        }
        if let Some(next) = next {
            *self.catalog.write() = Arc::new(next);
            self.wake.tick_config();
        }
        Ok(())
    }

    /// Sets up a new organization with its key.
    pub async fn create_org(&self, organization: &Organization, actor: String, now: Timestamp) -> Result<()> {
        self.written(self.org_write(organization, actor, now)?).await.map(drop)
    }

    /// The rows of a new organization with its key, for [`Store::written`].
    pub fn org_write(&self, organization: &Organization, actor: String, now: Timestamp) -> Result<ConfigWrite> {
        let wrapped = self.keyring.create_org(organization.id)?;
        let change = ConfigChange { org: organization.id, actor, now, names: Vec::new(), removed_names: Vec::new() };
        let write = self.config_write(&change, organization, 0, false)?;
        Ok(ConfigWrite { org_keys: vec![(organization.id, wrapped)], ..write })
    }

    /// Adds (`revision` 0) or changes (the revision it was read at) a configured thing; false when somebody else changed it
    /// meanwhile.
    pub async fn put<T: Resource>(&self, change: &ConfigChange<'_>, value: &T, revision: i64) -> Result<bool> {
        self.written(self.config_write(change, value, revision, false)?).await
    }

    /// Removes a configured thing that was read at a revision; false when somebody else changed it meanwhile.
    pub async fn remove<T: Resource>(&self, change: &ConfigChange<'_>, value: &T, revision: i64) -> Result<bool> {
        self.written(self.config_write(change, value, revision, true)?).await
    }

    /// Several configuration changes at once: all or none.
    pub async fn written(&self, write: ConfigWrite) -> Result<bool> {
        let has_jobs = !write.jobs.is_empty();
        match self.backend.write_config(write).await? {
            ConfigWritten::Done(_) => {
                self.backend.nudge();
                self.refresh().await?;
                if has_jobs {
                    // A job alone is no change of what is configured, and its worker waits for a tick.
                    self.wake.tick_config();
                }
                Ok(true)
            }
            ConfigWritten::Conflict => Ok(false),
        }
    }

    /// The rows of one configuration change, to be merged with others before [`Store::written`].
    pub fn config_write<T: Resource>(
        &self,
        change: &ConfigChange<'_>,
        value: &T,
        revision: i64,
        deleted: bool,
    ) -> Result<ConfigWrite> {
        let body = to_json(value)?;
        let catalog = self.catalog();
        let before = catalog.org(change.org).and_then(|org| T::held(org, value.id()));
        let created_at = before.map_or(change.now, |stored| stored.created_at);
        let before = before.map(|stored| to_json(&*stored.value)).transpose()?;
        let audit = AuditRow {
            org: change.org,
            id: domain::Id::<domain::EventIdKind>::mint(change.now, self.entropy()).uuid(),
            at: change.now,
            actor: change.actor.clone(),
            action: if deleted {
                "delete"
            } else if revision == 0 {
                "create"
            } else {
                "update"
            }
            .to_owned(),
            kind: T::KIND.number(),
            resource: value.id(),
            before,
            after: (!deleted).then(|| body.clone()),
        };
        let row = ResourceRow {
            org: change.org,
            kind: T::KIND.number(),
            id: value.id(),
            slug: value.slug().map(str::to_owned),
            body,
            revision: revision + 1,
            changed: 0,
            deleted,
            created_at,
            updated_at: change.now,
        };
        let named = |(kind, name, target): &(NameKind, Vec<u8>, Uuid)| DirectoryRow {
            kind: kind.number(),
            name: name.clone(),
            org: change.org,
            target: *target,
        };
        Ok(ConfigWrite {
            resources: vec![row],
            names: change.names.iter().map(named).collect(),
            removed_names: change.removed_names.iter().map(|(kind, name)| (kind.number(), name.to_vec())).collect(),
            audit: vec![audit],
            now: change.now,
            ..ConfigWrite::default()
        })
    }

    /// Owes an Apple installation a push, whatever it was woken for before.
    pub async fn owe_push(&self, org: OrgId, pass: domain::PassId, device: &str, at: Timestamp) -> Result<()> {
        self.backend.owe_push(org, pass, device, at).await?;
        self.tell_events(0..self.backend.shards());
        Ok(())
    }

    /// What a global name stands for.
    pub async fn look_up(&self, kind: NameKind, name: &[u8]) -> Result<Option<(OrgId, Uuid)>> {
        self.backend.look_up(kind.number(), name).await
    }

    /// Stores a file under its SHA-256 and tells that.
    pub async fn put_blob(&self, org: OrgId, media_type: &str, bytes: Vec<u8>, now: Timestamp) -> Result<[u8; 32]> {
        let actor = r#"{"type":"system"}"#.to_owned();
        let change = ConfigChange { org, actor, now, names: Vec::new(), removed_names: Vec::new() };
        let (sha256, write) = self.blob_write(&change, media_type, bytes)?;
        self.backend.write_config(write).await?;
        Ok(sha256)
    }

    /// The rows of a file that is stored under its SHA-256, with its audit entry.
    pub fn blob_write(&self, change: &ConfigChange<'_>, media_type: &str, bytes: Vec<u8>) -> Result<([u8; 32], ConfigWrite)> {
        let length = bytes.len();
        let blob = blob_row(change.org, media_type, bytes, change.now);
        let sha256 = blob.sha256;
        let hex: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let after = serde_json::json!({ "sha256": hex, "media_type": media_type, "bytes": length });
        let mut resource = [0; 16];
        resource.copy_from_slice(&sha256[..16]);
        let audit = AuditRow {
            org: change.org,
            id: domain::Id::<domain::EventIdKind>::mint(change.now, self.entropy()).uuid(),
            at: change.now,
            actor: change.actor.clone(),
            action: "create".to_owned(),
            kind: AUDITED_BLOB,
            resource: Uuid::from_bytes(resource),
            before: None,
            after: Some(to_json(&after)?),
        };
        let write = ConfigWrite { blobs: vec![blob], audit: vec![audit], now: change.now, ..ConfigWrite::default() };
        Ok((sha256, write))
    }

    /// Opens an organization's secret that was sealed in a resource, for example a target's signing secret.
    pub fn open_secret(&self, org: OrgId, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.keyring.open_secret(org, context, sealed)
    }

    /// Seals a secret for keeping in a resource of this kind and id, as base64; [`Store::open_of`] opens it.
    pub fn seal_for<T: Resource>(&self, org: OrgId, id: Uuid, secret: &[u8]) -> Result<String> {
        let sealed = self.keyring.seal_secret(org, &resource_context::<T>(id), secret)?;
        Ok(base64::engine::general_purpose::STANDARD.encode(sealed))
    }

    /// Opens a secret out of a resource of this kind and id: a signer's or account's key, a target's signing secret.
    pub fn open_of<T: Resource>(&self, org: OrgId, id: Uuid, sealed: &str) -> Result<Zeroizing<Vec<u8>>> {
        let damaged = |why: &str| StoreError::Inconsistent {
            table: "resources",
            column: "body",
            row: format!("{} {id}", T::KIND.number()),
            why: why.to_owned(),
        };
        let sealed = base64::engine::general_purpose::STANDARD.decode(sealed).map_err(|_| damaged("no base64"))?;
        self.keyring.open_secret(org, &resource_context::<T>(id), &sealed)
    }

    /// Seals an organization's secret for keeping in a resource.
    pub fn seal_secret(&self, org: OrgId, context: &[u8], secret: &[u8]) -> Result<Vec<u8>> {
        self.keyring.seal_secret(org, context, secret)
    }
}

/// Something that a ring keeps, opened.
#[derive(Debug, Clone)]
pub struct Capture {
    /// Its id, sorts by time.
    pub id: Uuid,
    /// When it came.
    pub at: Timestamp,
    /// What was given to [`Store::capture`].
    pub body: Vec<u8>,
}

impl Store {
    /// Keeps something in a bounded ring for people to look at, sealed; the ring keeps its newest.
    pub async fn capture(&self, org: OrgId, ring: &str, at: Timestamp, body: &[u8], keep: u32) -> Result<()> {
        let id = domain::Id::<domain::EventIdKind>::mint(at, self.entropy()).uuid();
        let body = self.keyring.seal_secret(org, &capture_context(ring, id), body)?;
        self.backend.capture(CaptureRow { org, ring: ring.to_owned(), id, at, body }, keep).await
    }

    /// What a ring holds, newest first.
    pub async fn captures(&self, org: OrgId, ring: &str, limit: u32) -> Result<Vec<Capture>> {
        let open = |row: CaptureRow| {
            let body = self.keyring.open_secret(org, &capture_context(ring, row.id), &row.body)?;
            Ok(Capture { id: row.id, at: row.at, body: body.to_vec() })
        };
        self.backend.captures(org, ring, limit).await?.into_iter().map(open).collect()
    }
}

/// A file under its SHA-256.
pub fn blob_row(org: OrgId, media_type: &str, bytes: Vec<u8>, created_at: Timestamp) -> BlobRow {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest.as_ref());
    BlobRow { org, sha256, media_type: media_type.to_owned(), bytes, created_at }
}

/// Ties what is sealed in a ring to its place.
fn capture_context(ring: &str, id: Uuid) -> Vec<u8> {
    [b"capture".as_slice(), ring.as_bytes(), &[0], id.as_bytes()].concat()
}

/// Ties a sealed secret to the resource that it lies in.
fn resource_context<T: Resource>(id: Uuid) -> Vec<u8> {
    [b"resource".as_slice(), &T::KIND.number().to_be_bytes(), id.as_bytes()].concat()
}

pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Internal(error.to_string()))
}
