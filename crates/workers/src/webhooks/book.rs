//! What is not written yet: how far the log was read, which events are still open, and outcomes that wait for the next
//! transaction.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use domain::DeliveryId;
use store::{AttemptRow, DeliveryOver, DeliveryRow, DeliverySettlement, Lease};
use tokio::time::Instant;

/// Outcomes that are written together at most.
pub(crate) const FLUSH_AT: usize = 256;
/// How long an outcome waits for others.
const FLUSH_AFTER: Duration = Duration::from_millis(10);
/// How long the watermark waits when there is nothing else to write; it only says what need not be read again.
const WATERMARK_AFTER: Duration = Duration::from_secs(1);

/// What is to be written about a delivery; the last word counts.
enum Word {
    Over(DeliveryOver),
    Owed(DeliveryRow),
}

/// The book of one shard.
pub(crate) struct Book {
    read_to: u64,
    written: u64,
    /// Deliveries under way by the number of their event.
    open: BTreeMap<u64, usize>,
    attempts: Vec<AttemptRow>,
    words: HashMap<DeliveryId, Word>,
    since: Option<Instant>,
    written_at: Instant,
}

impl Book {
    pub(crate) fn new(watermark: u64) -> Self {
        Self {
            read_to: watermark,
            written: watermark,
            open: BTreeMap::new(),
            attempts: Vec::new(),
            words: HashMap::new(),
            since: None,
            written_at: Instant::now(),
        }
    }

    pub(crate) fn read_to(&self) -> u64 {
        self.read_to
    }

    /// An event was read, and so many deliveries of it are under way.
    pub(crate) fn opened(&mut self, seq: u64, deliveries: usize) {
        self.read_to = self.read_to.max(seq);
        if deliveries > 0 {
            self.open.insert(seq, deliveries);
        }
    }

    /// One delivery of an event needs its event no more.
    pub(crate) fn closed(&mut self, seq: u64) {
        if let Some(left) = self.open.get_mut(&seq) {
            *left -= 1;
            if *left == 0 {
                self.open.remove(&seq);
            }
        }
    }

    pub(crate) fn attempt(&mut self, row: Option<AttemptRow>) {
        self.attempts.extend(row);
        self.touch();
    }

    /// The delivery is over; its row goes, if it has one.
    pub(crate) fn over(&mut self, over: DeliveryOver) {
        self.words.insert(over.id, Word::Over(over));
        self.touch();
    }

    /// The delivery is kept for later.
    pub(crate) fn owed(&mut self, row: DeliveryRow) {
        self.words.insert(row.id, Word::Owed(row));
        self.touch();
    }

    fn touch(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    fn watermark(&self) -> u64 {
        self.open.first_key_value().map_or(self.read_to, |(seq, _)| seq - 1)
    }

    /// How many outcomes wait to be written.
    pub(crate) fn outcomes(&self) -> usize {
        self.attempts.len() + self.words.len()
    }

    /// When to write, if there is something to write.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.outcomes() >= FLUSH_AT {
            return self.since;
        }
        let outcomes = self.since.map(|since| since + FLUSH_AFTER);
        outcomes.or_else(|| (self.watermark() > self.written).then(|| self.written_at + WATERMARK_AFTER))
    }

    /// Whether there is anything to write, however little.
    pub(crate) fn is_clean(&self) -> bool {
        self.since.is_none() && self.watermark() == self.written
    }

    /// Takes all that is to be written.
    pub(crate) fn take(&mut self, lease: Lease) -> DeliverySettlement {
        let watermark = self.watermark();
        let (mut finished, mut owed) = (Vec::new(), Vec::new());
        for (_, word) in self.words.drain() {
            match word {
                Word::Over(over) => finished.push(over),
                Word::Owed(row) => owed.push(row),
            }
        }
        self.since = None;
        self.written = watermark;
        self.written_at = Instant::now();
        DeliverySettlement { lease, attempts: std::mem::take(&mut self.attempts), finished, owed, watermark: Some(watermark) }
    }
}

#[cfg(test)]
mod tests {
    use domain::{EventId, OrgId, Position, TargetId, Timestamp};

    use super::*;

    const LEASE: Lease = Lease { shard: 0, epoch: 1 };

    fn row(number: u128) -> DeliveryRow {
        let id = DeliveryId::from_uuid(uuid(number));
        let (org, target, event) = (OrgId::from_uuid(uuid(1)), TargetId::from_uuid(uuid(2)), EventId::from_uuid(uuid(3)));
        DeliveryRow {
            org,
            id,
            target,
            event,
            position: Position { shard: 0, seq: 1 },
            attempts: 0,
            due_at: Timestamp::default(),
            behind: false,
            asked_at: None,
        }
    }

    fn uuid(number: u128) -> uuid::Uuid {
        uuid::Uuid::from_u128(number)
    }

    #[tokio::test]
    async fn the_watermark_stays_behind_what_is_open() {
        let mut book = Book::new(4);
        assert!(book.is_clean());
        book.opened(5, 2);
        book.opened(6, 0);
        book.opened(7, 1);
        assert_eq!(book.take(LEASE).watermark, Some(4));
        book.closed(7);
        book.closed(5);
        assert_eq!(book.take(LEASE).watermark, Some(4));
        book.closed(5);
        assert!(!book.is_clean());
        assert_eq!(book.take(LEASE).watermark, Some(7));
        assert!(book.is_clean());
    }

    #[tokio::test]
    async fn the_last_word_about_a_delivery_counts() {
        let mut book = Book::new(0);
        book.owed(row(9));
        book.over(row(9).over());
        book.over(row(8).over());
        book.owed(row(8));
        let settlement = book.take(LEASE);
        assert_eq!((settlement.finished, settlement.owed), (vec![row(9).over()], vec![row(8)]));
    }
}
