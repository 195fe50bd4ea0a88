//! The storage contract on PostgreSQL: many nodes on one database.
//!
//! - Every call is one transaction of a handful of statements, whatever the size of its batch: lists travel as arrays and
//!   are taken apart by `unnest`; statements are prepared once per connection, and those that do not hang on each other's
//!   answers travel together.
//! - Readers of many shards that ask or write at the same time do so in one statement.
//! - Lists are sorted before they are sent, so rows are locked in the order of their keys. The heads of the logs come last,
//!   in ascending order, together with the rows that carry the numbers: a number is visible only when all before it are.
//! - A transaction that lost a race (serialization failure, deadlock) is run again, a bounded number of times.
//! - Workers' writes hang on their lease by a row lock that a seizure waits for.
//! - No triggers, advisory locks, sequences or notifications carry meaning. Tables that only grow are partitioned by day.

mod captures;
mod carried;
mod commit;
mod config;
mod convert;
mod deliveries;
mod error;
mod gather;
mod google;
mod inbox;
mod jobs;
mod leases;
mod load;
mod log;
mod migrate;
mod mirrored;
mod names;
mod nodes;
mod nudge;
mod partitions;
mod passes;
mod pool;
mod synced;
mod upkeep;
mod wallets;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    BatchId, ContactId, DeliveryId, EventId, OrgId, PassId, Position, ProjectId, SourceEventId, SyncId, TargetId, Timestamp,
};
use store::{
    About, Accepted, AttemptFilter, AttemptRow, AuditRow, Backend, BlobRow, CaptureRow, ChangedPass, ChunkRow, CommitRows,
    Committed, ConfigWrite, ConfigWritten, ContactRow, DedupeRow, DeliveryRow, DeliverySettlement, DirectoryRow, EventRow,
    GoogleSettlement, GoogleThingRow, GoogleWants, Hash, InboxFilter, InboxInsert, InboxRow, InboxSettlement, InstallationRow,
    JobRow, Lease, LeaseRow, LoadKeys, LoadedRows, Log, Newest, NodeRow, PassFilter, PassRow, Pulse, PushSettlement, Reader,
    Repeats, ResourceRow, Result, ResultRow, Retention, StaleDevice, StalePlace, StoreError, Turns, WaitingKey,
};
use tokio::sync::watch;
use uuid::Uuid;

use gather::{Gather, Pace};
use google::Changed;
use log::Next;
use wallets::Stale;

pub use pool::Options;

/// How many shards the logs have.
const SHARDS: u16 = 16;

/// Of what is asked several times on the way from an event to its pass: any distance would add up.
const AT_ONCE: Pace = Pace { distance: Duration::ZERO, crowd: 1 };
/// Between two readings of source events, once along the way.
const INBOX_READS: Pace = Pace { distance: Duration::from_millis(4), crowd: 3 };
/// Between two readings of events, once along the way from a pass to its webhook.
const EVENT_READS: Pace = Pace { distance: Duration::from_millis(10), crowd: 3 };
/// Between two writings of what became of source events: the next but one batch of a shard waits for them.
const INBOX_OUTCOMES: Pace = Pace { distance: Duration::from_millis(24), crowd: 3 };
/// Between two writings of what became of deliveries, which nobody waits for.
const DELIVERY_OUTCOMES: Pace = Pace { distance: Duration::from_millis(30), crowd: 1 };
/// Between two looks at what wallets do not have yet, which takes them longer to get.
const WALLETS: Pace = Pace { distance: Duration::from_millis(20), crowd: 1 };

/// A PostgreSQL database that holds Passbridge's state.
pub struct Postgres {
    pool: deadpool_postgres::Pool,
    inbox_hints: log::Hints,
    event_hints: log::Hints,
    cleared: upkeep::Progress,
    versions: Arc<Gather<(), i64>>,
    inbox_reads: Arc<Gather<Next, Vec<InboxRow>>>,
    event_reads: Arc<Gather<Next, Vec<EventRow>>>,
    inbox_outcomes: Arc<Gather<Arc<InboxSettlement>, bool>>,
    delivery_outcomes: Arc<Gather<Arc<DeliverySettlement>, bool>>,
    stale_devices: Arc<Gather<Stale, (StalePlace, Vec<StaleDevice>)>>,
    changed_passes: Arc<Gather<Changed, (u64, Vec<ChangedPass>)>>,
    nudger: nudge::Nudger,
}

/// A write under a lease that was not held is refused.
fn fenced(held: bool, lease: Lease) -> Result<()> {
    if held { Ok(()) } else { Err(StoreError::LeaseLost { shard: lease.shard }) }
}

impl Postgres {
    /// Opens a database by its `postgres://` URL and looks whether it answers. Migrate it before use.
    ///
    /// `sslmode=require` in the URL means TLS with the server's certificate and name checked; without it the connection is
    /// plain.
    ///
    /// # Errors
    /// When the URL is none, an authority cannot be read, or the database does not answer.
    pub async fn open(url: &str, options: &Options) -> Result<Arc<Self>> {
        let (pool, nudger) = (pool::make(url, options)?, nudge::Nudger::new(url, options)?);
        drop(pool::connection(&pool).await?);
        Ok(Arc::new(Self {
            pool,
            inbox_hints: log::Hints::default(),
            event_hints: log::Hints::default(),
            cleared: upkeep::Progress::default(),
            versions: Gather::new(AT_ONCE, |pool, asked| {
                Box::pin(async move { config::version(&pool).await.map(|version| vec![version; asked.len()]) })
            }),
            inbox_reads: Gather::new(INBOX_READS, |pool, asked| Box::pin(async move { log::read_inbox(&pool, &asked).await })),
            event_reads: Gather::new(EVENT_READS, |pool, asked| Box::pin(async move { log::read_events(&pool, &asked).await })),
            inbox_outcomes: Gather::new(INBOX_OUTCOMES, |pool, asked| {
                Box::pin(async move { inbox::settle(&pool, &asked).await })
            }),
            delivery_outcomes: Gather::new(DELIVERY_OUTCOMES, |pool, asked| {
                Box::pin(async move { deliveries::settle(&pool, &asked).await })
            }),
            stale_devices: Gather::new(WALLETS, |pool, asked| {
                Box::pin(async move { wallets::stale_devices(&pool, &asked).await })
            }),
            changed_passes: Gather::new(WALLETS, |pool, asked| Box::pin(async move { google::changed(&pool, &asked).await })),
            nudger,
        }))
    }
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("pool", &self.pool.status()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for Postgres {
    fn shards(&self) -> u16 {
        SHARDS
    }
    fn name(&self) -> &'static str {
        "postgres"
    }
    async fn migrate(&self, now: Timestamp) -> Result<()> {
        Ok(migrate::migrate(&self.pool, now).await?)
    }
    async fn log_epoch(&self) -> Result<u64> {
        Ok(migrate::log_epoch(&self.pool).await?)
    }
    async fn ready(&self) -> Result<()> {
        Ok(upkeep::ready(&self.pool).await?)
    }
    async fn maintain(&self, now: Timestamp, keep: Retention) -> Result<()> {
        Ok(upkeep::maintain(&self.pool, &self.cleared, now, keep).await?)
    }
    async fn close(&self) {
        self.nudger.close();
        self.pool.close();
    }

    async fn config_version(&self) -> Result<i64> {
        self.versions.call(&self.pool, ()).await
    }
    async fn config_since(&self, version: i64, most: u32) -> Result<Vec<ResourceRow>> {
        Ok(config::since(&self.pool, version, most).await?)
    }
    async fn write_config(&self, write: ConfigWrite) -> Result<ConfigWritten> {
        Ok(config::write(&self.pool, &write).await?)
    }
    async fn org_keys(&self) -> Result<Vec<(OrgId, Vec<u8>)>> {
        Ok(config::org_keys(&self.pool).await?)
    }
    async fn look_up(&self, kind: i16, name: &[u8]) -> Result<Option<(OrgId, Uuid)>> {
        Ok(config::look_up(&self.pool, kind, name).await?)
    }
    async fn audit(&self, org: OrgId, before: Option<Uuid>, limit: u32) -> Result<Vec<AuditRow>> {
        Ok(config::audit(&self.pool, org, before, limit).await?)
    }
    async fn names(&self, org: OrgId, after: &(i16, Vec<u8>), limit: u32) -> Result<Vec<DirectoryRow>> {
        Ok(config::names(&self.pool, org, after, limit).await?)
    }
    async fn blob_names(&self, org: OrgId) -> Result<Vec<[u8; 32]>> {
        Ok(config::blob_names(&self.pool, org).await?)
    }
    async fn blob(&self, org: OrgId, sha256: [u8; 32]) -> Result<Option<BlobRow>> {
        Ok(config::blob(&self.pool, org, sha256).await?)
    }

    async fn accept(&self, rows: Vec<InboxInsert>) -> Result<Vec<Accepted>> {
        Ok(inbox::accept(&self.pool, &rows).await?)
    }
    async fn read_inbox(&self, shard: u16, after: u64, limit: u32) -> Result<Vec<InboxRow>> {
        let rows = self.inbox_reads.call(&self.pool, self.inbox_hints.next(shard, after, limit)).await?;
        self.inbox_hints.remember(rows.last().map(|row| (row.position, row.received_at)));
        Ok(rows)
    }
    async fn due_inbox(&self, shard: u16, now: Timestamp, limit: u32) -> Result<Vec<InboxRow>> {
        Ok(inbox::due(&self.pool, shard, now, limit).await?)
    }
    async fn waiting_keys(&self, shard: u16) -> Result<Vec<WaitingKey>> {
        Ok(inbox::waiting_keys(&self.pool, shard).await?)
    }
    async fn hasten_inbox(&self, lease: Lease, now: Timestamp) -> Result<()> {
        Ok(inbox::hasten(&self.pool, lease, now).await?)
    }
    async fn take_turns(&self, turns: Turns) -> Result<Timestamp> {
        Ok(inbox::take_turns(&self.pool, &turns).await?)
    }
    async fn settle_inbox(&self, settlement: InboxSettlement) -> Result<()> {
        let lease = settlement.lease;
        fenced(self.inbox_outcomes.call(&self.pool, Arc::new(settlement)).await?, lease)
    }
    async fn repeats(&self, org: OrgId, id: SourceEventId) -> Result<Option<Repeats>> {
        Ok(inbox::repeats(&self.pool, org, id).await?)
    }
    async fn source_event(&self, org: OrgId, id: SourceEventId) -> Result<Option<InboxRow>> {
        Ok(inbox::source_event(&self.pool, org, id).await?)
    }
    async fn source_events(&self, org: OrgId, filter: &InboxFilter, limit: u32) -> Result<Vec<InboxRow>> {
        Ok(inbox::source_events(&self.pool, org, filter, limit).await?)
    }

    async fn load(&self, keys: &LoadKeys) -> Result<LoadedRows> {
        Ok(load::load(&self.pool, keys).await?)
    }
    async fn commit(&self, rows: CommitRows) -> Result<Committed> {
        Ok(commit::commit(&self.pool, &rows).await?)
    }
    async fn unlined(&self) -> Result<Vec<OrgId>> {
        Ok(names::unlined(&self.pool).await?)
    }
    async fn lined(&self, org: OrgId) -> Result<()> {
        Ok(names::lined(&self.pool, org).await?)
    }

    async fn passes(
        &self,
        org: OrgId,
        project: Option<ProjectId>,
        contact: Option<ContactId>,
        after: Option<PassId>,
        limit: u32,
    ) -> Result<Vec<PassRow>> {
        Ok(passes::passes(&self.pool, org, project, contact, after, limit).await?)
    }
    async fn find_passes(&self, org: OrgId, filter: &PassFilter, limit: u32) -> Result<Vec<PassRow>> {
        Ok(passes::find(&self.pool, org, filter, limit).await?)
    }
    async fn count_passes(&self, org: OrgId, project: ProjectId, most: u32) -> Result<u32> {
        Ok(passes::count(&self.pool, org, project, most).await?)
    }
    async fn contacts(&self, org: OrgId, after: Option<ContactId>, limit: u32) -> Result<Vec<ContactRow>> {
        Ok(passes::contacts(&self.pool, org, after, limit).await?)
    }
    async fn line(&self, org: OrgId, name: Hash, behind: Option<ContactId>, limit: u32) -> Result<Vec<ContactId>> {
        Ok(names::line(&self.pool, org, name, behind, limit).await?)
    }
    async fn find_contacts(&self, org: OrgId, wallets: i16, after: Option<ContactId>, limit: u32) -> Result<Vec<ContactRow>> {
        Ok(passes::find_contacts(&self.pool, org, wallets, after, limit).await?)
    }
    async fn due_passes(&self, shard: u16, now: Timestamp, limit: u32) -> Result<Vec<(OrgId, PassId)>> {
        Ok(passes::due(&self.pool, shard, now, limit).await?)
    }

    async fn pulse(&self) -> Result<Vec<Pulse>> {
        Ok(log::pulse(&self.pool).await?)
    }
    async fn heads(&self, log: Log) -> Result<Vec<u64>> {
        Ok(log::heads(&self.pool, log).await?)
    }
    async fn read_events(&self, shard: u16, after: u64, limit: u32) -> Result<Vec<EventRow>> {
        let rows = self.event_reads.call(&self.pool, self.event_hints.next(shard, after, limit)).await?;
        self.event_hints.remember(rows.last().map(|row| (row.position, row.recorded_at)));
        Ok(rows)
    }
    async fn events_at(&self, positions: &[Position]) -> Result<Vec<EventRow>> {
        Ok(log::events_at(&self.pool, positions).await?)
    }
    async fn feed(&self, org: OrgId, after: &[u64], limit: u32) -> Result<Vec<EventRow>> {
        Ok(log::feed(&self.pool, org, after, limit).await?)
    }
    async fn newest(&self, org: OrgId, wish: &Newest) -> Result<Vec<EventRow>> {
        Ok(log::newest(&self.pool, org, wish).await?)
    }
    async fn events_of_pass(&self, org: OrgId, pass: PassId, after: u64, limit: u32) -> Result<Vec<EventRow>> {
        Ok(log::events_of_pass(&self.pool, org, pass, after, limit).await?)
    }
    async fn newest_of_pass(&self, org: OrgId, pass: PassId, before: u64, limit: u32) -> Result<Vec<EventRow>> {
        Ok(log::newest_of_pass(&self.pool, org, pass, before, limit).await?)
    }
    async fn event(&self, org: OrgId, id: EventId) -> Result<Option<EventRow>> {
        Ok(log::event_by_id(&self.pool, org, id).await?)
    }

    async fn watermarks(&self, reader: Reader) -> Result<Vec<u64>> {
        Ok(leases::watermarks(&self.pool, reader).await?)
    }
    async fn advance(&self, reader: Reader, lease: Lease, to: u64) -> Result<()> {
        Ok(leases::advance(&self.pool, reader, lease, to).await?)
    }
    async fn leases(&self) -> Result<Vec<LeaseRow>> {
        Ok(leases::all(&self.pool).await?)
    }
    async fn seize(&self, seen: Lease, owner: &str) -> Result<Option<Lease>> {
        Ok(leases::seize(&self.pool, seen, owner).await?)
    }
    async fn beat(&self, owner: &str) -> Result<Vec<Lease>> {
        Ok(leases::beat(&self.pool, owner).await?)
    }
    async fn release(&self, owner: &str) -> Result<()> {
        Ok(leases::release(&self.pool, owner).await?)
    }

    async fn give_back(&self, lease: Lease) -> Result<()> {
        Ok(leases::give_back(&self.pool, lease).await?)
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>> {
        let nodes = nodes::all(&self.pool).await?;
        self.nudger.saw_others(nodes.len() > 1);
        Ok(nodes)
    }
    async fn join(&self, name: &str, incarnation: i64, former: Option<i64>) -> Result<bool> {
        Ok(nodes::join(&self.pool, name, incarnation, former).await?)
    }
    async fn challenge(&self, name: &str, incarnation: i64) -> Result<()> {
        Ok(nodes::challenge(&self.pool, name, incarnation).await?)
    }
    async fn show(&self, name: &str, incarnation: i64) -> Result<bool> {
        Ok(nodes::show(&self.pool, name, incarnation).await?)
    }
    async fn leave(&self, name: &str, incarnation: i64) -> Result<()> {
        Ok(nodes::leave(&self.pool, name, incarnation).await?)
    }
    fn nudge(&self) {
        self.nudger.nudge();
    }
    fn is_shared(&self) -> bool {
        self.nudger.has_others()
    }
    fn nudges(&self) -> Option<watch::Receiver<u64>> {
        Some(self.nudger.listen())
    }

    async fn claim_deliveries(&self, lease: Lease, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<DeliveryRow>> {
        Ok(deliveries::claim(&self.pool, lease, now, until, limit).await?)
    }
    async fn unclaim_deliveries(&self, lease: Lease, now: Timestamp) -> Result<()> {
        Ok(deliveries::unclaim(&self.pool, lease, now).await?)
    }
    async fn settle_deliveries(&self, settlement: DeliverySettlement) -> Result<()> {
        let lease = settlement.lease;
        fenced(self.delivery_outcomes.call(&self.pool, Arc::new(settlement)).await?, lease)
    }
    async fn touched_deliveries(&self, shard: u16, after: u64) -> Result<Vec<DeliveryId>> {
        Ok(deliveries::touched(&self.pool, shard, after).await?)
    }
    async fn next_delivery(&self, shard: u16) -> Result<Option<Timestamp>> {
        Ok(deliveries::next(&self.pool, shard).await?)
    }
    async fn deliveries(
        &self,
        org: OrgId,
        target: Option<TargetId>,
        after: Option<(Timestamp, DeliveryId)>,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>> {
        Ok(deliveries::list(&self.pool, org, target, after, limit).await?)
    }
    async fn deliveries_about(
        &self,
        org: OrgId,
        about: About,
        target: Option<TargetId>,
        after: Option<(Timestamp, DeliveryId)>,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>> {
        Ok(deliveries::about(&self.pool, org, about, target, after, limit).await?)
    }
    async fn delivery(&self, org: OrgId, id: DeliveryId) -> Result<Option<DeliveryRow>> {
        Ok(deliveries::one(&self.pool, org, id).await?)
    }
    async fn owe(&self, rows: Vec<DeliveryRow>) -> Result<()> {
        Ok(deliveries::owe(&self.pool, &rows).await?)
    }
    async fn hasten(&self, org: OrgId, target: TargetId, now: Timestamp, limit: u32) -> Result<u64> {
        Ok(deliveries::hasten(&self.pool, org, target, now, limit).await?)
    }
    async fn owed(&self, org: OrgId, target: TargetId) -> Result<(u64, Option<Timestamp>)> {
        Ok(deliveries::owed(&self.pool, org, target).await?)
    }
    async fn behind(&self, org: OrgId, target: TargetId) -> Result<(u64, Option<Timestamp>)> {
        Ok(deliveries::behind(&self.pool, org, target).await?)
    }
    async fn earlier_owed(&self, org: OrgId, lines: &[(TargetId, PassId, Position)]) -> Result<Vec<Option<Timestamp>>> {
        Ok(deliveries::earlier_owed(&self.pool, org, lines).await?)
    }
    async fn taken_or_owed(&self, org: OrgId, target: TargetId, events: &[EventId]) -> Result<Vec<EventId>> {
        Ok(deliveries::taken_or_owed(&self.pool, org, target, events).await?)
    }
    async fn newest_attempts(&self, org: OrgId, of: &[(TargetId, Option<EventId>)]) -> Result<Vec<Option<AttemptRow>>> {
        Ok(deliveries::newest_attempts(&self.pool, org, of).await?)
    }
    async fn attempts(&self, org: OrgId, filter: &AttemptFilter, limit: u32) -> Result<Vec<AttemptRow>> {
        Ok(deliveries::attempts(&self.pool, org, filter, limit).await?)
    }

    async fn passes_on_device(&self, org: OrgId, device: &str) -> Result<Vec<PassRow>> {
        Ok(wallets::passes_on_device(&self.pool, org, device).await?)
    }
    async fn installations(
        &self,
        org: OrgId,
        pass: PassId,
        after: Option<(i16, String)>,
        limit: u32,
    ) -> Result<Vec<InstallationRow>> {
        Ok(wallets::installations(&self.pool, org, pass, after, limit).await?)
    }
    async fn stale_devices(&self, shard: u16, after: &StalePlace, limit: u32) -> Result<(StalePlace, Vec<StaleDevice>)> {
        self.stale_devices.call(&self.pool, Stale { shard, after: after.clone(), limit }).await
    }
    async fn due_pushes(&self, shard: u16, now: Timestamp, limit: u32) -> Result<Vec<StaleDevice>> {
        Ok(wallets::due_pushes(&self.pool, shard, now, limit).await?)
    }
    async fn settle_pushes(&self, settlement: PushSettlement) -> Result<()> {
        Ok(wallets::settle(&self.pool, &settlement).await?)
    }

    async fn devices(&self, org: OrgId, after: &str, limit: u32) -> Result<Vec<StaleDevice>> {
        Ok(wallets::devices(&self.pool, org, after, limit).await?)
    }
    async fn device_count(&self, org: OrgId) -> Result<u64> {
        Ok(wallets::device_count(&self.pool, org).await?)
    }
    async fn owe_push(&self, org: OrgId, pass: PassId, device: &str, at: Timestamp) -> Result<()> {
        Ok(wallets::owe_push(&self.pool, org, pass, device, at).await?)
    }
    async fn device_since(&self, org: OrgId, device: &str) -> Result<Vec<(PassId, Timestamp)>> {
        Ok(wallets::device_since(&self.pool, org, device).await?)
    }
    async fn job(&self, org: OrgId, id: Uuid) -> Result<Option<JobRow>> {
        Ok(jobs::one(&self.pool, org, id).await?)
    }
    async fn jobs(&self, org: OrgId, kind: i16, before: Option<Uuid>, limit: u32) -> Result<Vec<JobRow>> {
        Ok(jobs::list(&self.pool, org, kind, before, limit).await?)
    }
    async fn jobs_about(&self, org: OrgId, kind: i16, subject: Uuid, before: Option<Uuid>, limit: u32) -> Result<Vec<JobRow>> {
        Ok(jobs::about(&self.pool, org, kind, subject, before, limit).await?)
    }
    async fn running_jobs(&self, kind: i16, shard: u16, limit: u32) -> Result<Vec<JobRow>> {
        Ok(jobs::running(&self.pool, kind, shard, limit).await?)
    }
    async fn save_job(&self, lease: Option<Lease>, row: JobRow, chunks: Vec<ChunkRow>) -> Result<bool> {
        Ok(jobs::save(&self.pool, lease, &row, &chunks).await?)
    }
    async fn put_chunk(&self, row: ChunkRow) -> Result<()> {
        Ok(jobs::put_chunk(&self.pool, &row).await?)
    }
    async fn chunk(&self, org: OrgId, bundle: Uuid, number: u32) -> Result<Option<ChunkRow>> {
        Ok(jobs::chunk(&self.pool, org, bundle, number).await?)
    }
    async fn drop_chunks(&self, org: OrgId, bundle: Uuid, limit: u32) -> Result<u32> {
        Ok(jobs::drop_chunks(&self.pool, org, bundle, limit).await?)
    }
    async fn synced(&self, org: OrgId, target: TargetId, contacts: &[ContactId]) -> Result<Vec<(ContactId, Hash)>> {
        Ok(synced::read(&self.pool, org, target, contacts).await?)
    }
    async fn note_synced(&self, org: OrgId, target: TargetId, told: Vec<(ContactId, Option<Hash>)>) -> Result<()> {
        Ok(synced::note(&self.pool, org, target, &told).await?)
    }
    async fn note_records(&self, org: OrgId, target: TargetId, found: Vec<(Hash, ContactId)>) -> Result<()> {
        Ok(synced::note_records(&self.pool, org, target, &found).await?)
    }
    async fn record_contacts(
        &self,
        org: OrgId,
        target: TargetId,
        records: Vec<Hash>,
        each: u32,
    ) -> Result<Vec<(Hash, ContactId)>> {
        Ok(synced::records(&self.pool, org, target, &records, each).await?)
    }
    async fn next_synced(&self, after: Option<(OrgId, TargetId)>) -> Result<Option<(OrgId, TargetId)>> {
        Ok(synced::next(&self.pool, after).await?)
    }
    async fn drop_synced(&self, org: OrgId, target: TargetId, limit: u32) -> Result<u32> {
        Ok(synced::drop_some(&self.pool, org, target, limit).await?)
    }

    async fn note_mirrored(&self, org: OrgId, sync: SyncId, run: BatchId, passes: Vec<PassId>) -> Result<()> {
        Ok(mirrored::note(&self.pool, org, sync, run, &passes).await?)
    }
    async fn count_mirrored(&self, org: OrgId, sync: SyncId, run: BatchId) -> Result<(u64, u64)> {
        Ok(mirrored::count(&self.pool, org, sync, run).await?)
    }
    async fn left_behind(
        &self,
        org: OrgId,
        sync: SyncId,
        run: BatchId,
        after: Option<PassId>,
        limit: u32,
    ) -> Result<Vec<PassId>> {
        Ok(mirrored::left_behind(&self.pool, org, sync, run, after, limit).await?)
    }
    async fn results_after(&self, org: OrgId, after: (String, String), now: Timestamp, limit: u32) -> Result<Vec<ResultRow>> {
        Ok(carried::results(&self.pool, org, &after, now, limit).await?)
    }
    async fn dedupe_after(&self, org: OrgId, after: &[u8], limit: u32) -> Result<(Vec<DedupeRow>, Vec<u8>)> {
        Ok(carried::dedupe(&self.pool, org, after, limit).await?)
    }
    async fn keep_dedupe(&self, rows: Vec<DedupeRow>) -> Result<()> {
        Ok(carried::keep_dedupe(&self.pool, &rows).await?)
    }
    async fn places(&self, org: OrgId, contacts: &[ContactId]) -> Result<Vec<(ContactId, i64)>> {
        Ok(names::places(&self.pool, org, contacts).await?)
    }
    async fn synced_after(
        &self,
        org: OrgId,
        after: (TargetId, ContactId),
        limit: u32,
    ) -> Result<Vec<(TargetId, ContactId, Hash)>> {
        Ok(carried::synced(&self.pool, org, after, limit).await?)
    }
    async fn records_after(
        &self,
        org: OrgId,
        after: (TargetId, Hash, ContactId),
        limit: u32,
    ) -> Result<Vec<(TargetId, Hash, ContactId)>> {
        Ok(carried::records(&self.pool, org, after, limit).await?)
    }
    async fn mirrored_after(&self, org: OrgId, after: (SyncId, PassId), limit: u32) -> Result<Vec<(SyncId, PassId, BatchId)>> {
        Ok(carried::mirrored(&self.pool, org, after, limit).await?)
    }
    async fn forget_mirrored(&self, org: OrgId, sync: SyncId, passes: Vec<PassId>) -> Result<()> {
        Ok(mirrored::forget(&self.pool, org, sync, &passes).await?)
    }
    async fn changed_passes(&self, shard: u16, after: u64, limit: u32) -> Result<(u64, Vec<ChangedPass>)> {
        self.changed_passes.call(&self.pool, Changed { shard, after, limit }).await
    }
    async fn want_google(&self, wants: GoogleWants) -> Result<()> {
        Ok(google::want(&self.pool, &wants).await?)
    }
    async fn due_google(&self, org: OrgId, account: Uuid, now: Timestamp, limit: u32) -> Result<Vec<GoogleThingRow>> {
        Ok(google::due(&self.pool, org, account, now, limit).await?)
    }
    async fn google_thing(&self, org: OrgId, thing: Uuid) -> Result<Option<GoogleThingRow>> {
        Ok(google::one(&self.pool, org, thing).await?)
    }
    async fn ask_google(&self, rows: Vec<GoogleThingRow>, again: bool) -> Result<()> {
        Ok(google::ask(&self.pool, &rows, again).await?)
    }
    async fn settle_google(&self, settlement: GoogleSettlement) -> Result<()> {
        Ok(google::settle(&self.pool, &settlement).await?)
    }
    async fn forget_google(&self, lease: Lease, org: OrgId, things: Vec<Uuid>) -> Result<()> {
        Ok(google::forget(&self.pool, lease, org, &things).await?)
    }

    async fn capture(&self, row: CaptureRow, keep: u32) -> Result<()> {
        Ok(captures::capture(&self.pool, &row, keep).await?)
    }
    async fn drop_captures(&self, org: OrgId, ring: &str) -> Result<()> {
        Ok(captures::remove(&self.pool, org, ring).await?)
    }
    async fn captures(&self, org: OrgId, ring: &str, limit: u32) -> Result<Vec<CaptureRow>> {
        Ok(captures::list(&self.pool, org, ring, limit).await?)
    }
}
