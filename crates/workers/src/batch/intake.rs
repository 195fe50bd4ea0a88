//! Rows are brought in from a file of columns or a database: read once, from the first to the last, and kept as NDJSON.
//!
//! What is brought in becomes the batch's file when all of it is there. An attempt that was cut short, by a crash or by somebody
//! who halted the batch, leaves nothing that counts: the next begins with the first row.

use std::{collections::VecDeque, io, ops::ControlFlow, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use domain::OrgId;
use flows::batch::{Batch as Document, EmptyCells, Layout, line};
use outbound::tables::{Storage, Table, Unreadable};
use parking_lot::Mutex;
use store::{Batch, BatchFile, BatchPhase, CHUNK_BYTES, Chunk, Intake, IntakeFrom, JobState, Store, SyncScope};
use tokio::{runtime::Handle, sync::mpsc, task::JoinSet, time::MissedTickBehavior};

use super::{
    fail, lag,
    sync::{self, Wanted},
    turn::{GIVE_WAY, new_bundle},
};
use crate::{
    jobs,
    shard::{End, Shard},
};

/// How often it is written down how far it is, and looked whether somebody halted the batch.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// Bytes of rows that are handed over together.
pub(super) const PIECE_BYTES: usize = 128 << 10;
/// How often a reader that is behind is looked at before a chunk is kept all the same, so that somebody who halts the batch is
/// heard.
const LOOKS: usize = 10;
/// Pieces that are read ahead of the store.
const AHEAD: usize = 2;
/// Chunks of an upload that are kept at hand: columns lie far from each other and are read side by side. 32 MiB.
const NEAR_CHUNKS: usize = 64;
/// The most bytes that rows may take: 16 GiB.
const MAX_BYTES: u64 = 16 << 30;
/// How often larger than its file the rows may be, beyond [`SMALL_BYTES`].
const MAX_SWELL: u64 = 1_000;
/// Rows that take no more are never too many for their file: 256 MiB.
const SMALL_BYTES: u64 = 256 << 20;
/// Pause before an upload is read again that the store does not give out at the moment.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What comes from whoever reads.
pub(super) enum Piece {
    /// The columns, by name and type.
    Columns(Vec<(String, String)>),
    /// Lines, and how many.
    Rows(Vec<u8>, u64),
    /// How far changes have come with them.
    Mark(String),
    /// Nothing more comes.
    End(Ended),
}

/// How reading ended.
pub(super) enum Ended {
    /// All rows were handed over.
    Whole,
    /// They cannot be read, and why.
    Refused(String),
    /// They cannot be read at the moment.
    Away(io::Error),
}

/// Brings the rows of a batch in; the batch as it is then.
pub(super) async fn bring_in(shard: &Shard, mut batch: Batch) -> Result<Batch, End> {
    let (house, org) = (&shard.house, batch.org);
    let document: Option<Document> = serde_json::from_value(batch.progress.document.clone()).ok();
    let (Some(document), Some(intake)) = (document, batch.progress.intake.as_mut()) else {
        return fail(shard, batch, "it has no rows, or was made by another version".to_owned()).await;
    };
    let from = intake.from;
    (intake.rows, intake.mark) = (0, None);
    if let Some(left) = intake.bundle.replace(new_bundle(house.now(), &*house.entropy)) {
        shard.insist("forget rows", || house.store.drop_bundle(org, left)).await?;
    }
    let batch = jobs::save(shard, batch, &[]).await?;
    let Some(bundle) = batch.progress.intake.as_ref().and_then(|intake| intake.bundle) else { return Ok(batch) };
    if batch.state != JobState::Running {
        return Ok(batch);
    }
    let (sender, pieces) = mpsc::channel(AHEAD);
    let most = match from {
        IntakeFrom::Upload(file) => SMALL_BYTES.max(file.bytes.saturating_mul(MAX_SWELL)).min(MAX_BYTES),
        IntakeFrom::Query { .. } => MAX_BYTES,
    };
    let Some(_reading) = begin(shard, org, from, &document, sender).await? else {
        return fail(shard, batch, "its sync was deleted".to_owned()).await;
    };
    let file = BatchFile { bundle, bytes: 0 };
    Bringing { shard, batch, document, file, most, text: Vec::new(), columns: Vec::new(), number: 0 }.run(pieces).await
}

/// Begins to read; none where there is nothing to be read any more. Reading ends with the answer.
async fn begin(
    shard: &Shard,
    org: OrgId,
    from: IntakeFrom,
    document: &Document,
    to: mpsc::Sender<Piece>,
) -> Result<Option<JoinSet<()>>, End> {
    let house = Arc::clone(&shard.house);
    let empty_cells = document.empty_cells;
    let mut reading = JoinSet::new();
    match from {
        IntakeFrom::Upload(file) => {
            let near = Mutex::default();
            let chunks = Chunks { store: house.store.clone(), org, file, runtime: Handle::current(), near };
            // What blocks is not ended: it ends when nobody takes what it hands over.
            reading.spawn_blocking(move || read(chunks, empty_cells, &to));
        }
        IntakeFrom::Query { sync, scope } => {
            let catalog = shard.insist("read the configuration", || house.catalog()).await?;
            let Some(stored) = catalog.org(org).and_then(|config| config.syncs.get(&sync.uuid())) else { return Ok(None) };
            let (wanted, empty_cells) = match scope {
                // What a trial finds is shown as it is.
                SyncScope::Trial => (Wanted::Trial, EmptyCells::Clear),
                SyncScope::Changed if stored.value.incremental.is_some() => {
                    // A sync that was changed reads everything once.
                    let mark = || house.store.sync_mark(org, sync, stored.updated_at);
                    (Wanted::After(shard.insist("read how far a sync is", mark).await?), empty_cells)
                }
                SyncScope::Changed | SyncScope::All => (Wanted::After(None), empty_cells),
            };
            let sync = Arc::clone(&stored.value);
            reading.spawn(async move {
                let ended = sync::ask(&house, org, &sync, wanted, empty_cells, &to).await;
                let _ = to.send(Piece::End(ended)).await;
            });
        }
    }
    Ok(Some(reading))
}

/// Reads a file from its first row to its last.
fn read(chunks: Chunks, empty_cells: EmptyCells, to: &mpsc::Sender<Piece>) {
    let hand_over = || {
        let table = Table::open(Arc::new(chunks))?;
        let columns = table.columns().into_iter().map(|name| (name, String::new())).collect();
        // Who is not there any more needs nothing.
        let _ = to.blocking_send(Piece::Columns(columns));
        let (mut text, mut rows) = (Vec::new(), 0);
        table.rows(|row| {
            line(row, empty_cells, &mut text);
            rows += 1;
            if text.len() < PIECE_BYTES {
                return ControlFlow::Continue(());
            }
            let piece = Piece::Rows(std::mem::take(&mut text), std::mem::take(&mut rows));
            if to.blocking_send(piece).is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let _ = to.blocking_send(Piece::Rows(text, rows));
        Ok(())
    };
    let ended = match hand_over() {
        Ok(()) => Ended::Whole,
        Err(Unreadable::Away(error)) if error.kind() != io::ErrorKind::NotFound => Ended::Away(error),
        Err(error) => Ended::Refused(error.to_string()),
    };
    let _ = to.blocking_send(Piece::End(ended));
}

/// Rows on their way into the store.
struct Bringing<'s> {
    shard: &'s Shard,
    batch: Batch,
    document: Document,
    /// What is kept of them.
    file: BatchFile,
    /// Bytes that they may take.
    most: u64,
    /// What is no whole chunk yet.
    text: Vec<u8>,
    columns: Vec<(String, String)>,
    number: u32,
}

impl Bringing<'_> {
    async fn run(mut self, mut pieces: mpsc::Receiver<Piece>) -> Result<Batch, End> {
        let mut notes = tokio::time::interval(NOTE_EVERY);
        notes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.shard.stopped() => return Err(End::Stopped),
                _ = notes.tick() => {
                    self.batch = jobs::save(self.shard, self.batch, &[]).await?;
                    if self.batch.state != JobState::Running {
                        return self.halted().await;
                    }
                }
                piece = pieces.recv() => match piece {
                    Some(Piece::Columns(columns)) => self.columns = columns,
                    Some(Piece::Rows(text, rows)) => {
                        if let Err(why) = self.take(&text, rows).await? {
                            return fail(self.shard, self.batch, why).await;
                        }
                    }
                    Some(Piece::Mark(mark)) => {
                        if let Some(intake) = self.batch.progress.intake.as_mut() {
                            intake.mark = Some(mark);
                        }
                    }
                    Some(Piece::End(Ended::Whole)) => return self.end().await,
                    Some(Piece::End(Ended::Away(error))) => {
                        tracing::warn!(batch = %self.batch.id, %error, "an upload cannot be read now; it is read again");
                        self.shard.pause(AGAIN_AFTER).await?;
                        return Ok(self.batch);
                    }
                    Some(Piece::End(Ended::Refused(why))) => return fail(self.shard, self.batch, why).await,
                    None => return fail(self.shard, self.batch, "its rows cannot be read".to_owned()).await,
                },
            }
        }
    }

    async fn take(&mut self, text: &[u8], rows: u64) -> Result<Result<(), String>, End> {
        self.text.extend_from_slice(text);
        if let Some(intake) = self.batch.progress.intake.as_mut() {
            intake.rows += rows;
        }
        if self.file.bytes + self.text.len() as u64 > self.most {
            return Ok(Err(format!(
                "its rows take more than {} bytes, too much for where they come from: split them",
                self.most
            )));
        }
        while self.text.len() >= CHUNK_BYTES {
            let rest = self.text.split_off(CHUNK_BYTES);
            self.keep(rest).await?;
        }
        Ok(Ok(()))
    }

    /// Waits a while where a reader of a log is too far behind: what is kept is written, too.
    async fn give_way(&mut self) -> Result<(), End> {
        let house = &self.shard.house;
        for _ in 0..LOOKS {
            let behind = self.shard.insist("look at readers", || lag::behind(house.store.backend(), house.now())).await?;
            self.batch.progress.waits_for = behind.map(str::to_owned);
            if behind.is_none() {
                break;
            }
            self.shard.pause(GIVE_WAY).await?;
        }
        Ok(())
    }

    /// Keeps what there is, and goes on with the rest.
    async fn keep(&mut self, rest: Vec<u8>) -> Result<(), End> {
        self.give_way().await?;
        let bytes = std::mem::replace(&mut self.text, rest);
        self.file.bytes += bytes.len() as u64;
        let chunk = Chunk { bundle: self.file.bundle, number: self.number, bytes };
        self.number += 1;
        let house = &self.shard.house;
        let org = self.batch.org;
        self.shard.insist("keep rows", || house.store.put_chunk(org, &chunk, house.now())).await
    }

    /// All rows are there: they are the batch's file, and what was uploaded is of no use any more.
    async fn end(mut self) -> Result<Batch, End> {
        if !self.text.is_empty() {
            self.keep(Vec::new()).await?;
        }
        let from = self.batch.progress.intake.as_ref().map(|intake| intake.from);
        let is_upload = matches!(from, Some(IntakeFrom::Upload(_)));
        if self.file.bytes == 0 && is_upload {
            return fail(self.shard, self.batch, "the file has no rows".to_owned()).await;
        }
        let work = &mut self.batch.progress;
        work.waits_for = None;
        let is_trial = work.intake.as_ref().is_some_and(Intake::is_trial);
        work.file = (self.file.bytes > 0).then_some(self.file);
        work.layout = if is_trial {
            serde_json::to_value(self.columns).unwrap_or_default()
        } else {
            let names = self.columns.into_iter().map(|(name, _)| name).collect();
            serde_json::to_value(Layout::of_table(&self.document, names)).unwrap_or_default()
        };
        if work.file.is_some() && !is_trial {
            work.phase = BatchPhase::Check;
            if work.hold {
                self.batch.state = JobState::Paused;
            }
        } else if !is_trial && work.removal.as_ref().is_some_and(|removal| removal.is_due) {
            // There is nothing any more.
            (work.phase, work.run.ended_at) = (BatchPhase::Run, Some(self.shard.house.now()));
        } else {
            // A query that finds nothing is no fault: there was nothing to do.
            self.batch.state = JobState::Done;
        }
        let upload = work.intake.as_mut().and_then(|intake| {
            intake.bundle = None;
            intake.upload()
        });
        let (org, kept) = (self.batch.org, self.file.bundle);
        let batch = jobs::save(self.shard, self.batch, &[]).await?;
        let store = &self.shard.house.store;
        // Who cancelled it meanwhile knew nothing of these rows.
        let needless = if batch.state == JobState::Cancelled { Some(kept) } else { upload };
        if let Some(bundle) = needless {
            self.shard.insist("forget an upload", || store.drop_bundle(org, bundle)).await?;
        }
        Ok(batch)
    }

    /// Somebody halted the batch or ended it.
    async fn halted(self) -> Result<Batch, End> {
        let (store, org, bundle) = (&self.shard.house.store, self.batch.org, self.file.bundle);
        self.shard.insist("forget rows", || store.drop_bundle(org, bundle)).await?;
        Ok(self.batch)
    }
}

/// An upload, out of its chunks.
struct Chunks {
    store: Arc<Store>,
    org: OrgId,
    file: BatchFile,
    runtime: Handle,
    /// Those that were asked for last, the last at the end.
    near: Mutex<VecDeque<(u32, Bytes)>>,
}

impl Chunks {
    fn chunk(&self, number: u32) -> io::Result<Bytes> {
        let mut near = self.near.lock();
        if let Some(place) = near.iter().position(|(held, _)| *held == number)
            && let Some(found) = near.remove(place)
        {
            let bytes = found.1.clone();
            near.push_back(found);
            return Ok(bytes);
        }
        let chunk = self.runtime.block_on(self.store.chunk(self.org, self.file.bundle, number)).map_err(io::Error::other)?;
        let gone = || io::Error::new(io::ErrorKind::NotFound, "it is not kept any longer: make a new batch");
        let bytes = Bytes::copy_from_slice(&chunk.ok_or_else(gone)?);
        if near.len() >= NEAR_CHUNKS {
            near.pop_front();
        }
        near.push_back((number, bytes.clone()));
        Ok(bytes)
    }
}

impl Storage for Chunks {
    fn bytes(&self) -> u64 {
        self.file.bytes
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let mut out = BytesMut::with_capacity(length);
        while out.len() < length {
            let at = offset + out.len() as u64;
            let number = u32::try_from(at / CHUNK_BYTES as u64).map_err(io::Error::other)?;
            let within = usize::try_from(at % CHUNK_BYTES as u64).map_err(io::Error::other)?;
            let chunk = self.chunk(number)?;
            let end = chunk.len().min(within + length - out.len());
            if end <= within {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            out.extend_from_slice(&chunk[within..end]);
        }
        Ok(out.freeze())
    }
}
