//! The contract, call by call: which thread does it, and which function.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use domain::{
    BatchId, ContactId, DeliveryId, EventId, OrgId, PassId, Position, ProjectId, SourceEventId, SyncId, TargetId, Timestamp,
};
use parking_lot::Mutex;
use rusqlite::Connection;
use store::{
    About, Accepted, AttemptFilter, AttemptRow, AuditRow, Backend, BlobRow, CaptureRow, ChangedPass, ChunkRow, CommitRows,
    Committed, ConfigWrite, ConfigWritten, ContactRow, DedupeRow, DeliveryRow, DeliverySettlement, DirectoryRow, EventRow,
    GoogleSettlement, GoogleThingRow, GoogleWants, Hash, InboxFilter, InboxInsert, InboxRow, InboxSettlement, InstallationRow,
    JobRow, Lease, LeaseRow, LoadKeys, LoadedRows, Log, Newest, NodeRow, PassFilter, PassRow, Pulse, PushSettlement, Reader,
    Repeats, ResourceRow, Result, ResultRow, Retention, StaleDevice, StalePlace, StoreError, Turns, WaitingKey,
};
use uuid::Uuid;

use crate::{
    carried, commit, config, deliveries, fault,
    folder::Folder,
    google, inbox, jobs,
    keys::{Keys, KeysAside},
    leases, load, log, mirrored, names, nodes,
    readers::Readers,
    schema, synced,
    upkeep::{self, Cursors},
    wallets,
    writer::{Writer, Written},
};

/// Shards of the logs: one process and one disk gain nothing from more.
pub(crate) const SHARDS: u16 = 1;

/// How the database is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Threads that read, at least one.
    pub readers: u8,
    /// Memory for pages of the writing thread, KiB.
    pub writer_cache_kib: u32,
    /// Memory for pages of each reading connection, KiB. Little: what was read is forgotten when something is written, and the
    /// system keeps the file's pages anyway.
    pub reader_cache_kib: u32,
    /// Pages of 4 KiB that the database may grow to; past them the disk counts as full.
    pub max_pages: Option<u32>,
    /// How much of the index of keys stands in memory, ten bytes and a few more each, until it is taken over.
    pub keys_aside: KeysAside,
}

impl Default for Options {
    fn default() -> Self {
        let keys_aside = KeysAside { least: 1 << 16, most: 1 << 19 };
        Self { readers: 3, writer_cache_kib: 16 << 10, reader_cache_kib: 1 << 10, max_pages: None, keys_aside }
    }
}

/// A database in a folder that this process has to itself.
pub struct Sqlite {
    writer: Writer,
    readers: Readers,
    keys: Arc<Keys>,
    cursors: Arc<Mutex<Cursors>>,
    config: Arc<config::Known>,
}

impl Sqlite {
    /// Opens the database in the folder `path`, making both if need be. [`Backend::migrate`] comes next.
    ///
    /// Fails with [`StoreError::Locked`] when another process has the folder, [`StoreError::Corrupt`] when the file is
    /// damaged or somebody else's, and [`StoreError::TooNew`] when a newer version has written it.
    pub fn open(path: &Path, options: &Options) -> Result<Arc<Self>> {
        let folder = Folder::lock(path)?;
        let database = folder.database();
        let keys = Arc::new(Keys::new(options.keys_aside));
        let writer = Writer::start(folder, keys.clone(), options)?;
        let readers = Readers::start(&database, keys.clone(), options)?;
        Ok(Arc::new(Self { writer, readers, keys, cursors: Arc::default(), config: Arc::default() }))
    }

    async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> fault::Result<Written<T>> + Send + 'static,
    {
        self.writer.call(work).await
    }

    async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> fault::Result<T> + Send + 'static,
    {
        self.readers.call(work).await
    }

    /// For short reads of what was mostly just written.
    async fn read_near<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> fault::Result<T> + Send + 'static,
    {
        self.readers.call_near(work).await
    }

    /// Writes a worker's own bookkeeping, for which nobody outside waits: together with what is to be written anyway, or
    /// after a moment.
    async fn write_later<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> fault::Result<Written<T>> + Send + 'static,
    {
        self.writer.call_later(work).await
    }

    async fn sweep<F>(&self, step: F) -> Result<()>
    where
        F: Fn(&Connection, &mut Cursors) -> fault::Result<Written<bool>> + Send + 'static,
    {
        let cursors = self.cursors.clone();
        self.write(move |db| step(db, &mut cursors.lock())).await.map(|_| ())
    }
}

#[async_trait]
impl Backend for Sqlite {
    fn shards(&self) -> u16 {
        SHARDS
    }
    fn name(&self) -> &'static str {
        "sqlite"
    }
    async fn migrate(&self, _now: Timestamp) -> Result<()> {
        let keys = self.keys.clone();
        self.writer.alone(move |db| schema::migrate(db).and_then(|()| keys.read(db))).await
    }
    async fn log_epoch(&self) -> Result<u64> {
        self.read(|db| config::meta(db, "log_epoch")).await.map(|epoch| epoch as u64)
    }
    async fn ready(&self) -> Result<()> {
        self.write(|db| {
            db.prepare_cached("UPDATE meta SET value = value + 1 WHERE name = 'written'")?.execute([])?;
            Ok(Written::Done(()))
        })
        .await
    }
    async fn maintain(&self, now: Timestamp, keep: Retention) -> Result<()> {
        self.sweep(move |db, cursors| upkeep::inbox(db, keep, cursors)).await?;
        self.sweep(move |db, cursors| upkeep::events(db, keep, cursors)).await?;
        self.sweep(move |db, cursors| upkeep::attempts(db, keep, cursors)).await?;
        self.sweep(move |db, cursors| upkeep::results(db, now, cursors)).await?;
        self.sweep(move |db, _| upkeep::chunks(db, now)).await?;
        let keys = self.keys.clone();
        self.sweep(move |db, cursors| upkeep::dedupe(db, &keys, now, cursors)).await
    }
    async fn close(&self) {
        self.readers.close();
        self.writer.close().await;
    }

    async fn config_version(&self) -> Result<i64> {
        // Nobody else has the folder, so what was read holds until this process writes.
        let change = match self.config.version() {
            Ok(version) => return Ok(version),
            Err(change) => change,
        };
        let version = self.read_near(config::version).await?;
        self.config.learn(change, version);
        Ok(version)
    }
    async fn config_since(&self, version: i64, most: u32) -> Result<Vec<ResourceRow>> {
        self.read(move |db| config::since(db, version, most)).await
    }
    async fn write_config(&self, write: ConfigWrite) -> Result<ConfigWritten> {
        // Kept until the call was answered, after its COMMIT.
        let changing = config::Changing::begin(&self.config);
        self.write(move |db| {
            let _ = &changing;
            config::write(db, &write)
        })
        .await
    }
    async fn org_keys(&self) -> Result<Vec<(OrgId, Vec<u8>)>> {
        self.read(config::org_keys).await
    }
    async fn look_up(&self, kind: i16, name: &[u8]) -> Result<Option<(OrgId, Uuid)>> {
        let (keys, name) = (self.keys.clone(), name.to_vec());
        self.read(move |db| config::look_up(db, &keys, kind, &name)).await
    }
    async fn audit(&self, org: OrgId, before: Option<Uuid>, limit: u32) -> Result<Vec<AuditRow>> {
        self.read(move |db| config::audit(db, org, before, limit)).await
    }
    async fn names(&self, org: OrgId, after: &(i16, Vec<u8>), limit: u32) -> Result<Vec<DirectoryRow>> {
        let after = after.clone();
        self.read(move |db| config::names(db, org, &after, limit)).await
    }
    async fn blob_names(&self, org: OrgId) -> Result<Vec<[u8; 32]>> {
        self.read(move |db| config::blob_names(db, org)).await
    }
    async fn blob(&self, org: OrgId, sha256: [u8; 32]) -> Result<Option<BlobRow>> {
        self.read(move |db| config::blob(db, org, sha256)).await
    }

    async fn accept(&self, rows: Vec<InboxInsert>) -> Result<Vec<Accepted>> {
        if let Some(row) = rows.iter().find(|row| row.shard >= SHARDS) {
            return Err(no_shard(row.shard));
        }
        let keys = self.keys.clone();
        self.write(move |db| inbox::accept(db, &keys, &rows)).await
    }
    async fn read_inbox(&self, shard: u16, after: u64, limit: u32) -> Result<Vec<InboxRow>> {
        self.read_near(move |db| inbox::next(db, shard, after, limit)).await
    }
    async fn due_inbox(&self, shard: u16, now: Timestamp, limit: u32) -> Result<Vec<InboxRow>> {
        self.read_near(move |db| inbox::due(db, shard, now, limit)).await
    }
    async fn waiting_keys(&self, shard: u16) -> Result<Vec<WaitingKey>> {
        self.read(move |db| inbox::waiting_keys(db, shard)).await
    }
    async fn hasten_inbox(&self, lease: Lease, now: Timestamp) -> Result<()> {
        self.write(move |db| inbox::hasten(db, lease, now)).await
    }
    async fn take_turns(&self, turns: Turns) -> Result<Timestamp> {
        self.write(move |db| inbox::take_turns(db, &turns)).await
    }
    async fn settle_inbox(&self, settlement: InboxSettlement) -> Result<()> {
        self.write_later(move |db| inbox::settle(db, &settlement)).await
    }
    async fn repeats(&self, org: OrgId, id: SourceEventId) -> Result<Option<Repeats>> {
        self.read(move |db| inbox::repeats(db, org, id)).await
    }
    async fn source_event(&self, org: OrgId, id: SourceEventId) -> Result<Option<InboxRow>> {
        self.read(move |db| inbox::one(db, org, id)).await
    }
    async fn source_events(&self, org: OrgId, filter: &InboxFilter, limit: u32) -> Result<Vec<InboxRow>> {
        let filter = filter.clone();
        self.read(move |db| inbox::list(db, org, &filter, limit)).await
    }

    async fn load(&self, keys: &LoadKeys) -> Result<LoadedRows> {
        let (index, keys) = (self.keys.clone(), keys.clone());
        if load::is_short(&keys) {
            return self.read_near(move |db| load::load(db, &index, &keys)).await;
        }
        self.read(move |db| load::load(db, &index, &keys)).await
    }
    async fn commit(&self, rows: CommitRows) -> Result<Committed> {
        if let Some(row) = rows.events.iter().find(|row| row.position.shard >= SHARDS) {
            return Err(no_shard(row.position.shard));
        }
        let keys = self.keys.clone();
        self.write(move |db| commit::commit(db, &keys, &rows)).await
    }
    async fn unlined(&self) -> Result<Vec<OrgId>> {
        self.read(names::unlined).await
    }
    async fn lined(&self, org: OrgId) -> Result<()> {
        self.write(move |db| names::lined(db, org)).await
    }

    async fn passes(
        &self,
        org: OrgId,
        project: Option<ProjectId>,
        contact: Option<ContactId>,
        after: Option<PassId>,
        limit: u32,
    ) -> Result<Vec<PassRow>> {
        self.read(move |db| load::list_passes(db, org, project, contact, after, limit)).await
    }
    async fn find_passes(&self, org: OrgId, filter: &PassFilter, limit: u32) -> Result<Vec<PassRow>> {
        let filter = filter.clone();
        self.read(move |db| load::find_passes(db, org, &filter, limit)).await
    }
    async fn count_passes(&self, org: OrgId, project: ProjectId, most: u32) -> Result<u32> {
        self.read(move |db| load::count_passes(db, org, project, most)).await
    }
    async fn contacts(&self, org: OrgId, after: Option<ContactId>, limit: u32) -> Result<Vec<ContactRow>> {
        self.read(move |db| load::list_contacts(db, org, after, limit)).await
    }
    async fn line(&self, org: OrgId, name: Hash, behind: Option<ContactId>, limit: u32) -> Result<Vec<ContactId>> {
        let keys = self.keys.clone();
        self.read(move |db| names::line(db, &keys, org, name, behind, limit)).await
    }
    async fn find_contacts(&self, org: OrgId, wallets: i16, after: Option<ContactId>, limit: u32) -> Result<Vec<ContactRow>> {
        self.read(move |db| load::find_contacts(db, org, wallets, after, limit)).await
    }
    async fn due_passes(&self, shard: u16, now: Timestamp, limit: u32) -> Result<Vec<(OrgId, PassId)>> {
        self.read(move |db| load::due(db, shard, now, limit)).await
    }

    async fn pulse(&self) -> Result<Vec<Pulse>> {
        self.read_near(log::pulse).await
    }
    async fn heads(&self, log: Log) -> Result<Vec<u64>> {
        self.read(move |db| log::heads(db, log)).await
    }
    async fn read_events(&self, shard: u16, after: u64, limit: u32) -> Result<Vec<EventRow>> {
        self.read_near(move |db| log::next(db, shard, after, limit)).await
    }
    async fn events_at(&self, positions: &[Position]) -> Result<Vec<EventRow>> {
        let positions = positions.to_vec();
        self.read(move |db| log::at(db, &positions)).await
    }
    async fn feed(&self, org: OrgId, after: &[u64], limit: u32) -> Result<Vec<EventRow>> {
        let after = after.to_vec();
        self.read(move |db| log::feed(db, org, &after, limit)).await
    }
    async fn newest(&self, org: OrgId, wish: &Newest) -> Result<Vec<EventRow>> {
        let wish = wish.clone();
        self.read(move |db| log::newest(db, org, &wish)).await
    }
    async fn events_of_pass(&self, org: OrgId, pass: PassId, after: u64, limit: u32) -> Result<Vec<EventRow>> {
        self.read(move |db| log::of_pass(db, org, pass, after, limit)).await
    }
    async fn newest_of_pass(&self, org: OrgId, pass: PassId, before: u64, limit: u32) -> Result<Vec<EventRow>> {
        self.read(move |db| log::newest_of_pass(db, org, pass, before, limit)).await
    }
    async fn event(&self, org: OrgId, id: EventId) -> Result<Option<EventRow>> {
        self.read(move |db| log::one(db, org, id)).await
    }

    async fn watermarks(&self, reader: Reader) -> Result<Vec<u64>> {
        self.read(move |db| leases::watermarks(db, reader)).await
    }
    async fn advance(&self, reader: Reader, lease: Lease, to: u64) -> Result<()> {
        self.write_later(move |db| leases::advance(db, reader, lease, to)).await
    }
    async fn leases(&self) -> Result<Vec<LeaseRow>> {
        self.read(leases::list).await
    }
    async fn seize(&self, seen: Lease, owner: &str) -> Result<Option<Lease>> {
        let owner = owner.to_owned();
        self.write(move |db| leases::seize(db, seen, &owner)).await
    }
    async fn beat(&self, owner: &str) -> Result<Vec<Lease>> {
        let owner = owner.to_owned();
        self.write(move |db| leases::beat(db, &owner)).await
    }
    async fn release(&self, owner: &str) -> Result<()> {
        let owner = owner.to_owned();
        self.write(move |db| leases::release(db, &owner)).await
    }
    async fn give_back(&self, lease: Lease) -> Result<()> {
        self.write(move |db| leases::give_back(db, lease)).await
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>> {
        self.read(nodes::list).await
    }
    async fn join(&self, name: &str, incarnation: i64, former: Option<i64>) -> Result<bool> {
        let name = name.to_owned();
        self.write(move |db| nodes::join(db, &name, incarnation, former)).await
    }
    async fn challenge(&self, name: &str, incarnation: i64) -> Result<()> {
        let name = name.to_owned();
        self.write(move |db| nodes::challenge(db, &name, incarnation)).await
    }
    async fn show(&self, name: &str, incarnation: i64) -> Result<bool> {
        let name = name.to_owned();
        self.write(move |db| nodes::show(db, &name, incarnation)).await
    }
    async fn leave(&self, name: &str, incarnation: i64) -> Result<()> {
        let name = name.to_owned();
        self.write(move |db| nodes::leave(db, &name, incarnation)).await
    }

    async fn claim_deliveries(&self, lease: Lease, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<DeliveryRow>> {
        self.write(move |db| deliveries::claim(db, lease, now, until, limit)).await
    }
    async fn unclaim_deliveries(&self, lease: Lease, now: Timestamp) -> Result<()> {
        self.write(move |db| deliveries::unclaim(db, lease, now)).await
    }
    async fn settle_deliveries(&self, settlement: DeliverySettlement) -> Result<()> {
        self.write_later(move |db| deliveries::settle(db, &settlement)).await
    }
    async fn touched_deliveries(&self, shard: u16, after: u64) -> Result<Vec<DeliveryId>> {
        self.read(move |db| deliveries::touched(db, shard, after)).await
    }
    async fn next_delivery(&self, shard: u16) -> Result<Option<Timestamp>> {
        self.read_near(move |db| deliveries::next_due(db, shard)).await
    }
    async fn deliveries(
        &self,
        org: OrgId,
        target: Option<TargetId>,
        after: Option<(Timestamp, DeliveryId)>,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>> {
        self.read(move |db| deliveries::list(db, org, target, after, limit)).await
    }
    async fn deliveries_about(
        &self,
        org: OrgId,
        about: About,
        target: Option<TargetId>,
        after: Option<(Timestamp, DeliveryId)>,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>> {
        self.read(move |db| deliveries::about(db, org, about, target, after, limit)).await
    }
    async fn delivery(&self, org: OrgId, id: DeliveryId) -> Result<Option<DeliveryRow>> {
        self.read(move |db| deliveries::one(db, org, id)).await
    }
    async fn owe(&self, rows: Vec<DeliveryRow>) -> Result<()> {
        self.write(move |db| deliveries::owe(db, &rows).map(Written::Done)).await
    }
    async fn hasten(&self, org: OrgId, target: TargetId, now: Timestamp, limit: u32) -> Result<u64> {
        self.write(move |db| deliveries::hasten(db, org, target, now, limit)).await
    }
    async fn owed(&self, org: OrgId, target: TargetId) -> Result<(u64, Option<Timestamp>)> {
        self.read(move |db| deliveries::owed(db, org, target)).await
    }
    async fn behind(&self, org: OrgId, target: TargetId) -> Result<(u64, Option<Timestamp>)> {
        self.read(move |db| deliveries::behind(db, org, target)).await
    }
    async fn earlier_owed(&self, org: OrgId, lines: &[(TargetId, PassId, Position)]) -> Result<Vec<Option<Timestamp>>> {
        let lines = lines.to_vec();
        self.read(move |db| deliveries::earlier_owed(db, org, &lines)).await
    }
    async fn taken_or_owed(&self, org: OrgId, target: TargetId, events: &[EventId]) -> Result<Vec<EventId>> {
        let events = events.to_vec();
        self.read(move |db| deliveries::taken_or_owed(db, org, target, &events)).await
    }
    async fn newest_attempts(&self, org: OrgId, of: &[(TargetId, Option<EventId>)]) -> Result<Vec<Option<AttemptRow>>> {
        let of = of.to_vec();
        self.read(move |db| deliveries::newest_attempts(db, org, &of)).await
    }
    async fn attempts(&self, org: OrgId, filter: &AttemptFilter, limit: u32) -> Result<Vec<AttemptRow>> {
        let filter = filter.clone();
        self.read(move |db| deliveries::attempts(db, org, &filter, limit)).await
    }

    async fn passes_on_device(&self, org: OrgId, device: &str) -> Result<Vec<PassRow>> {
        let device = device.to_owned();
        self.read(move |db| wallets::on_device(db, org, &device)).await
    }
    async fn installations(
        &self,
        org: OrgId,
        pass: PassId,
        after: Option<(i16, String)>,
        limit: u32,
    ) -> Result<Vec<InstallationRow>> {
        self.read(move |db| wallets::of_pass(db, org, pass, after, limit)).await
    }
    async fn stale_devices(&self, shard: u16, after: &StalePlace, limit: u32) -> Result<(StalePlace, Vec<StaleDevice>)> {
        let after = after.clone();
        self.read_near(move |db| wallets::stale(db, shard, &after, limit)).await
    }
    async fn due_pushes(&self, shard: u16, now: Timestamp, limit: u32) -> Result<Vec<StaleDevice>> {
        self.read_near(move |db| wallets::due(db, shard, now, limit)).await
    }
    async fn settle_pushes(&self, settlement: PushSettlement) -> Result<()> {
        self.write_later(move |db| wallets::settle(db, &settlement)).await
    }

    async fn devices(&self, org: OrgId, after: &str, limit: u32) -> Result<Vec<StaleDevice>> {
        let after = after.to_owned();
        self.read(move |db| wallets::devices(db, org, &after, limit)).await
    }
    async fn device_count(&self, org: OrgId) -> Result<u64> {
        self.read(move |db| wallets::device_count(db, org)).await
    }
    async fn owe_push(&self, org: OrgId, pass: PassId, device: &str, at: Timestamp) -> Result<()> {
        let device = device.to_owned();
        self.write(move |db| wallets::owe_push(db, org, pass, &device, at)).await
    }
    async fn device_since(&self, org: OrgId, device: &str) -> Result<Vec<(PassId, Timestamp)>> {
        let device = device.to_owned();
        self.read(move |db| wallets::since(db, org, &device)).await
    }
    async fn job(&self, org: OrgId, id: Uuid) -> Result<Option<JobRow>> {
        self.read(move |db| jobs::one(db, org, id)).await
    }
    async fn jobs(&self, org: OrgId, kind: i16, before: Option<Uuid>, limit: u32) -> Result<Vec<JobRow>> {
        self.read(move |db| jobs::list(db, org, kind, before, limit)).await
    }
    async fn jobs_about(&self, org: OrgId, kind: i16, subject: Uuid, before: Option<Uuid>, limit: u32) -> Result<Vec<JobRow>> {
        self.read(move |db| jobs::about(db, org, kind, subject, before, limit)).await
    }
    async fn running_jobs(&self, kind: i16, shard: u16, limit: u32) -> Result<Vec<JobRow>> {
        self.read(move |db| jobs::running(db, kind, shard, limit)).await
    }
    async fn save_job(&self, lease: Option<Lease>, row: JobRow, chunks: Vec<ChunkRow>) -> Result<bool> {
        self.write(move |db| jobs::save(db, lease, &row, &chunks)).await
    }
    async fn put_chunk(&self, row: ChunkRow) -> Result<()> {
        self.write(move |db| jobs::put_chunk(db, &row)).await
    }
    async fn chunk(&self, org: OrgId, bundle: Uuid, number: u32) -> Result<Option<ChunkRow>> {
        self.read(move |db| jobs::chunk(db, org, bundle, number)).await
    }
    async fn drop_chunks(&self, org: OrgId, bundle: Uuid, limit: u32) -> Result<u32> {
        self.write(move |db| jobs::drop_chunks(db, org, bundle, limit)).await
    }
    async fn synced(&self, org: OrgId, target: TargetId, contacts: &[ContactId]) -> Result<Vec<(ContactId, Hash)>> {
        let contacts = contacts.to_vec();
        self.read(move |db| synced::read(db, org, target, &contacts)).await
    }
    async fn note_synced(&self, org: OrgId, target: TargetId, told: Vec<(ContactId, Option<Hash>)>) -> Result<()> {
        self.write(move |db| synced::note(db, org, target, &told)).await
    }
    async fn note_records(&self, org: OrgId, target: TargetId, found: Vec<(Hash, ContactId)>) -> Result<()> {
        self.write(move |db| synced::note_records(db, org, target, &found)).await
    }
    async fn record_contacts(
        &self,
        org: OrgId,
        target: TargetId,
        records: Vec<Hash>,
        each: u32,
    ) -> Result<Vec<(Hash, ContactId)>> {
        self.read(move |db| synced::records(db, org, target, &records, each)).await
    }
    async fn next_synced(&self, after: Option<(OrgId, TargetId)>) -> Result<Option<(OrgId, TargetId)>> {
        self.read(move |db| synced::next(db, after)).await
    }
    async fn drop_synced(&self, org: OrgId, target: TargetId, limit: u32) -> Result<u32> {
        self.write(move |db| synced::drop_some(db, org, target, limit)).await
    }

    async fn note_mirrored(&self, org: OrgId, sync: SyncId, run: BatchId, passes: Vec<PassId>) -> Result<()> {
        self.write(move |db| mirrored::note(db, org, sync, run, &passes)).await
    }
    async fn count_mirrored(&self, org: OrgId, sync: SyncId, run: BatchId) -> Result<(u64, u64)> {
        self.read(move |db| mirrored::count(db, org, sync, run)).await
    }
    async fn left_behind(
        &self,
        org: OrgId,
        sync: SyncId,
        run: BatchId,
        after: Option<PassId>,
        limit: u32,
    ) -> Result<Vec<PassId>> {
        self.read(move |db| mirrored::left_behind(db, org, sync, run, after, limit)).await
    }
    async fn results_after(&self, org: OrgId, after: (String, String), now: Timestamp, limit: u32) -> Result<Vec<ResultRow>> {
        self.read(move |db| carried::results(db, org, &after, now, limit)).await
    }
    async fn dedupe_after(&self, org: OrgId, after: &[u8], limit: u32) -> Result<(Vec<DedupeRow>, Vec<u8>)> {
        let after = after.to_vec();
        self.read(move |db| carried::dedupe(db, org, &after, limit)).await
    }
    async fn keep_dedupe(&self, rows: Vec<DedupeRow>) -> Result<()> {
        let keys = self.keys.clone();
        self.write(move |db| carried::keep_dedupe(db, &keys, &rows)).await
    }
    async fn places(&self, org: OrgId, contacts: &[ContactId]) -> Result<Vec<(ContactId, i64)>> {
        let contacts = contacts.to_vec();
        self.read(move |db| names::places(db, org, &contacts)).await
    }
    async fn synced_after(
        &self,
        org: OrgId,
        after: (TargetId, ContactId),
        limit: u32,
    ) -> Result<Vec<(TargetId, ContactId, Hash)>> {
        self.read(move |db| carried::synced(db, org, after, limit)).await
    }
    async fn records_after(
        &self,
        org: OrgId,
        after: (TargetId, Hash, ContactId),
        limit: u32,
    ) -> Result<Vec<(TargetId, Hash, ContactId)>> {
        self.read(move |db| carried::records(db, org, after, limit)).await
    }
    async fn mirrored_after(&self, org: OrgId, after: (SyncId, PassId), limit: u32) -> Result<Vec<(SyncId, PassId, BatchId)>> {
        self.read(move |db| carried::mirrored(db, org, after, limit)).await
    }
    async fn forget_mirrored(&self, org: OrgId, sync: SyncId, passes: Vec<PassId>) -> Result<()> {
        self.write(move |db| mirrored::forget(db, org, sync, &passes)).await
    }
    async fn changed_passes(&self, shard: u16, after: u64, limit: u32) -> Result<(u64, Vec<ChangedPass>)> {
        self.read(move |db| google::changed(db, shard, after, limit)).await
    }
    async fn want_google(&self, wants: GoogleWants) -> Result<()> {
        self.write(move |db| google::want(db, &wants)).await
    }
    async fn due_google(&self, org: OrgId, account: Uuid, now: Timestamp, limit: u32) -> Result<Vec<GoogleThingRow>> {
        self.read(move |db| google::due(db, org, account, now, limit)).await
    }
    async fn google_thing(&self, org: OrgId, thing: Uuid) -> Result<Option<GoogleThingRow>> {
        self.read(move |db| google::one(db, org, thing)).await
    }
    async fn ask_google(&self, rows: Vec<GoogleThingRow>, again: bool) -> Result<()> {
        self.write(move |db| google::ask(db, &rows, again)).await
    }
    async fn settle_google(&self, settlement: GoogleSettlement) -> Result<()> {
        self.write(move |db| google::settle(db, &settlement)).await
    }
    async fn forget_google(&self, lease: Lease, org: OrgId, things: Vec<Uuid>) -> Result<()> {
        self.write(move |db| google::forget(db, lease, org, &things)).await
    }

    async fn capture(&self, row: CaptureRow, keep: u32) -> Result<()> {
        self.write(move |db| upkeep::capture(db, &row, keep)).await
    }
    async fn drop_captures(&self, org: OrgId, ring: &str) -> Result<()> {
        let ring = ring.to_owned();
        self.write(move |db| upkeep::drop_captures(db, org, &ring)).await
    }
    async fn captures(&self, org: OrgId, ring: &str, limit: u32) -> Result<Vec<CaptureRow>> {
        let ring = ring.to_owned();
        self.read(move |db| upkeep::captures(db, org, &ring, limit)).await
    }
}

fn no_shard(shard: u16) -> StoreError {
    StoreError::Internal(format!("there is no shard {shard}: the embedded store has {SHARDS}"))
}
