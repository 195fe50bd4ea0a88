//! The rows of a batch's file, out of its chunks.

use flows::batch::{Layout, Place, Reader, Row};
use store::{BatchFile, CHUNK_BYTES};

use crate::shard::{End, Shard};

/// Reads on from a place in a file.
pub(super) struct Feed<'s> {
    shard: &'s Shard,
    org: domain::OrgId,
    file: BatchFile,
    reader: Reader,
    /// Where the next chunk to be read begins, or the place within it.
    offset: u64,
}

impl<'s> Feed<'s> {
    pub(super) fn new(shard: &'s Shard, org: domain::OrgId, file: BatchFile, layout: Layout, place: Place) -> Self {
        Self { shard, org, file, reader: Reader::new(layout, place), offset: place.offset }
    }

    pub(super) fn layout(&self) -> &Layout {
        self.reader.layout()
    }

    /// The next row; none at the end. Why the file cannot be read any further is the inner error.
    pub(super) async fn next(&mut self) -> Result<Result<Option<Row>, String>, End> {
        loop {
            let is_whole = self.offset >= self.file.bytes;
            match self.reader.next(is_whole) {
                Ok(None) if !is_whole => {}
                other => return Ok(other),
            }
            if let Err(why) = self.read_on().await? {
                return Ok(Err(why));
            }
        }
    }

    async fn read_on(&mut self) -> Result<Result<(), String>, End> {
        let chunk_bytes = CHUNK_BYTES as u64;
        let number = u32::try_from(self.offset / chunk_bytes).unwrap_or(u32::MAX);
        let within = usize::try_from(self.offset % chunk_bytes).unwrap_or(0);
        let store = &self.shard.house.store;
        let (org, bundle) = (self.org, self.file.bundle);
        let chunk = self.shard.insist("read a batch's rows", || store.chunk(org, bundle, number)).await?;
        let Some(rest) = chunk.as_ref().and_then(|chunk| chunk.get(within..)) else {
            return Ok(Err("its rows are not kept any longer: make a new batch of them".to_owned()));
        };
        self.reader.push(rest);
        self.offset += rest.len() as u64;
        Ok(Ok(()))
    }
}
