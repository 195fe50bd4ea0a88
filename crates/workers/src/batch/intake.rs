//! Rows are brought in from a file of columns: read once, from the first to the last, and kept as NDJSON.
//!
//! What is brought in becomes the batch's file when all of it is there. An attempt that was cut short, by a crash or by somebody
//! who halted the batch, leaves nothing that counts: the next begins with the first row.

use std::{collections::VecDeque, io, ops::ControlFlow, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use domain::OrgId;
use flows::batch::{Batch as Document, Layout, line};
use outbound::tables::{Storage, Table, Unreadable};
use parking_lot::Mutex;
use store::{Batch, BatchFile, BatchPhase, CHUNK_BYTES, Chunk, JobState, Store};
use tokio::{runtime::Handle, sync::mpsc, time::MissedTickBehavior};

use super::{fail, turn::new_bundle};
use crate::{
    jobs,
    shard::{End, Shard},
};

/// How often it is written down how far it is, and looked whether somebody halted the batch.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// Bytes of rows that are handed over together.
const PIECE_BYTES: usize = 128 << 10;
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
enum Piece {
    Columns(Vec<String>),
    /// Lines, and how many.
    Rows(Vec<u8>, u64),
    /// Nothing more comes.
    End(Result<(), Unreadable>),
}

/// Brings the rows of a batch in; the batch as it is then.
pub(super) async fn bring_in(shard: &Shard, mut batch: Batch) -> Result<Batch, End> {
    let (house, org) = (&shard.house, batch.org);
    let document: Option<Document> = serde_json::from_value(batch.progress.document.clone()).ok();
    let (Some(document), Some(intake)) = (document, batch.progress.intake.as_mut()) else {
        return fail(shard, batch, "it has no rows, or was made by another version".to_owned()).await;
    };
    let upload = intake.upload;
    intake.rows = 0;
    if let Some(left) = intake.bundle.replace(new_bundle(house.now(), &*house.entropy)) {
        shard.insist("forget rows", || house.store.drop_bundle(org, left)).await?;
    }
    let batch = jobs::save(shard, batch, &[]).await?;
    let Some(bundle) = batch.progress.intake.as_ref().and_then(|intake| intake.bundle) else { return Ok(batch) };
    if batch.state != JobState::Running {
        return Ok(batch);
    }
    let (sender, pieces) = mpsc::channel(AHEAD);
    let chunks = Chunks { store: house.store.clone(), org, file: upload, runtime: Handle::current(), near: Mutex::default() };
    let empty_cells = document.empty_cells;
    // It ends when nobody takes what it hands over.
    tokio::task::spawn_blocking(move || read(chunks, empty_cells, &sender));
    let most = SMALL_BYTES.max(upload.bytes.saturating_mul(MAX_SWELL)).min(MAX_BYTES);
    let file = BatchFile { bundle, bytes: 0 };
    Bringing { shard, batch, document, file, most, text: Vec::new(), columns: Vec::new(), number: 0 }.run(pieces).await
}

/// Reads a file from its first row to its last.
fn read(chunks: Chunks, empty_cells: flows::batch::EmptyCells, to: &mpsc::Sender<Piece>) {
    let hand_over = || {
        let table = Table::open(Arc::new(chunks))?;
        // Who is not there any more needs nothing.
        let _ = to.blocking_send(Piece::Columns(table.columns()));
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
    let ended = hand_over();
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
    columns: Vec<String>,
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
                    Some(Piece::End(Ok(()))) => return self.end().await,
                    Some(Piece::End(Err(Unreadable::Away(error)))) if error.kind() != io::ErrorKind::NotFound => {
                        tracing::warn!(batch = %self.batch.id, %error, "an upload cannot be read now; it is read again");
                        self.shard.pause(AGAIN_AFTER).await?;
                        return Ok(self.batch);
                    }
                    Some(Piece::End(Err(error))) => return fail(self.shard, self.batch, error.to_string()).await,
                    None => return fail(self.shard, self.batch, "its file cannot be read".to_owned()).await,
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

    /// Keeps what there is, and goes on with the rest.
    async fn keep(&mut self, rest: Vec<u8>) -> Result<(), End> {
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
        if self.file.bytes == 0 {
            return fail(self.shard, self.batch, "the file has no rows".to_owned()).await;
        }
        let work = &mut self.batch.progress;
        work.file = Some(self.file);
        work.phase = BatchPhase::Check;
        work.layout = serde_json::to_value(Layout::of_table(&self.document, self.columns)).unwrap_or_default();
        let upload = work.intake.as_mut().map(|intake| {
            intake.bundle = None;
            intake.upload
        });
        let (org, kept) = (self.batch.org, self.file.bundle);
        let batch = jobs::save(self.shard, self.batch, &[]).await?;
        let store = &self.shard.house.store;
        // Who cancelled it meanwhile knew nothing of these rows.
        let needless = if batch.state.is_over() { Some(kept) } else { upload.map(|upload| upload.bundle) };
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
