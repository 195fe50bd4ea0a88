//! Finds rows by keys that have no order: message ids, external ids, names, codes of passes' pages.
//!
//! A B-tree whose keys come in any order has a page of its own to write for each, twice, once it is larger than what is
//! written between two copies of the log. So the rows are appended to tables in the order in which they come, and one narrow
//! index says which rows a key may mean: five bytes of a hash, and the number and kind of the row. What is new is appended to
//! `key_tail`, an entry in ten bytes, and kept in memory. A hand goes round in the order of the entries and takes as many over
//! into `key_index` as come in, so that each of its pages takes several for one write.
//!
//! The index may say too much, never too little. Whoever asks reads the rows that it names and compares them, on its own state
//! of the database: an entry that is there before its row, after it or instead of another's does no harm. An entry stays in
//! memory until nobody reads a state any more in which `key_index` has it not. Whether a key is free is decided by the thread
//! that writes, in the transaction that takes it.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use parking_lot::RwLock;
use rusqlite::{Connection, params};

use crate::{
    fault::Result,
    row::{Columns, all, first},
};

/// Bytes of an entry that are hashed from its key.
const HASH: usize = 5;
/// Bytes of an entry.
const ENTRY: usize = 10;
/// Set in the first byte behind the hash of an entry of the tail whose row is gone.
const GONE: u8 = 0x80;
/// More entries than came in that a transaction takes over while there are too many.
const MORE: usize = 64;
/// Rows of the tail that a transaction removes.
const CUT: i64 = 16;
/// Of how many rows one has its entry in memory.
const SHARE: usize = 40;
/// Entries that are sorted at a time when the index is made: each time most of its pages are written.
const SORTED: usize = 1 << 22;

/// The hash of a key, then four times the number of its row and the kind.
type Entry = [u8; ENTRY];

/// What a key is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Rows of `dedupe`, by source and message id.
    Dedupe = 0,
    /// Rows of `externals`, by project and external id.
    External = 1,
    /// Rows of `contact_keys` that are the first of their line, by organization and name.
    Name = 2,
    /// Rows of `codes`, by the code.
    Code = 3,
}

/// How many entries are kept in memory, at least and at most; between the two one for every 40 rows.
#[derive(Debug, Clone, Copy)]
pub struct KeysAside {
    /// No entry is taken over before there are so many.
    pub least: usize,
    /// However many rows there are; not below `least`.
    pub most: usize,
}

/// The entries in memory.
#[derive(Debug)]
pub(crate) struct Keys {
    aside: KeysAside,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the row of each is gone.
    entries: BTreeMap<Entry, bool>,
    /// Those that the index has and older readers may not see there, with the generation in which it got them.
    taken_over: BTreeMap<Entry, u64>,
    generation: u64,
    /// Held by everybody who began to read in this generation.
    readers: Arc<()>,
    /// Generations that are over, with those who may still read in them.
    over: VecDeque<(u64, Arc<()>, Vec<Entry>)>,
    /// What the transaction that is under way has changed, and what was there before.
    changed: Vec<Change>,
    /// What it takes over.
    taking: Vec<Entry>,
    walk: Walk,
    /// The walk as this transaction leaves it.
    next: Walk,
    /// Rows with keys, about.
    rows: usize,
}

#[derive(Debug)]
struct Change {
    entry: Entry,
    gone: bool,
    before: Option<bool>,
    taken_over: Option<u64>,
}

/// How far the hand is.
#[derive(Debug, Clone, Copy, Default)]
struct Walk {
    /// The last entry that was taken over in this turn.
    hand: Entry,
    /// The last row of the tail of which the hand meets all entries in this turn.
    turn: i64,
    /// The last row of the tail.
    tail: i64,
    /// The last row of the tail that is not needed any more, until it is removed.
    cut: Option<i64>,
}

/// See [`Keys::plan`].
type Plan = (Vec<u8>, Vec<(Entry, bool)>, Walk);

fn entry(kind: Kind, key: &[&[u8]], row: i64) -> Entry {
    let mut hash = 0xCBF2_9CE4_8422_2325 ^ kind as u64;
    for byte in key.iter().copied().flatten() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
    }
    hash = (hash ^ (hash >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut entry = [0; ENTRY];
    entry[..HASH].copy_from_slice(&hash.to_be_bytes()[..HASH]);
    entry[HASH..].copy_from_slice(&(((row as u64) << 2) | kind as u64).to_be_bytes()[8 - (ENTRY - HASH)..]);
    entry
}

/// The part of an entry behind its hash.
fn place(entry: &Entry) -> i64 {
    entry[HASH..].iter().fold(0, |place, byte| (place << 8) | i64::from(*byte))
}

impl Keys {
    pub(crate) fn new(aside: KeysAside) -> Self {
        Self { aside: KeysAside { most: aside.most.max(aside.least), ..aside }, state: RwLock::default() }
    }

    /// Keeps what is in memory now there for somebody who is about to read, until this is dropped.
    pub(crate) fn hold(&self) -> Arc<()> {
        self.state.read().readers.clone()
    }

    /// What `read` finds in the first of the rows that a key may mean in which it finds something.
    pub(crate) fn find<T>(
        &self,
        db: &Connection,
        kind: Kind,
        key: &[&[u8]],
        mut read: impl FnMut(i64) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let (least, mut most) = (entry(kind, key, 0), [u8::MAX; ENTRY]);
        most[..HASH].copy_from_slice(&least[..HASH]);
        let aside: Vec<i64> = self.state.read().entries.range(least..=most).map(|(entry, _)| place(entry)).collect();
        let of_kind = |place: i64| (place & 3 == kind as i64).then_some(place >> 2);
        for row in aside.iter().copied().filter_map(of_kind) {
            if let Some(found) = read(row)? {
                return Ok(Some(found));
            }
        }
        let mut statement = db.prepare_cached("SELECT row FROM key_index WHERE hash = ?1")?;
        let rows = all(statement.query([&least[..HASH]])?, |row| Columns::new(row, "key_index", "row").value::<i64>())?;
        for row in rows.into_iter().filter(|place| !aside.contains(place)).filter_map(of_kind) {
            if let Some(found) = read(row)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Lets a row be found by a key.
    pub(crate) fn add(&self, kind: Kind, key: &[&[u8]], row: i64) {
        self.change(entry(kind, key, row), false);
    }

    /// Forgets the key of a row that is gone.
    pub(crate) fn remove(&self, kind: Kind, key: &[&[u8]], row: i64) {
        self.change(entry(kind, key, row), true);
    }

    fn change(&self, entry: Entry, gone: bool) {
        let mut state = self.state.write();
        let taken_over = state.taken_over.remove(&entry);
        let before = state.entries.insert(entry, gone);
        state.changed.push(Change { entry, gone, before, taken_over });
    }

    /// Begins a transaction: forgets what every reader finds in the index.
    pub(crate) fn begin(&self) {
        let mut state = self.state.write();
        while state.over.front().is_some_and(|(_, readers, _)| Arc::strong_count(readers) == 1) {
            let Some((generation, _, entries)) = state.over.pop_front() else { break };
            for entry in entries {
                if state.taken_over.get(&entry) == Some(&generation) {
                    state.taken_over.remove(&entry);
                    state.entries.remove(&entry);
                }
            }
        }
    }

    /// How much the transaction has changed so far.
    pub(crate) fn mark(&self) -> usize {
        self.state.read().changed.len()
    }

    /// Takes back what the transaction has changed since a mark, because it is undone.
    pub(crate) fn undo(&self, mark: usize) {
        let mut state = self.state.write();
        while state.changed.len() > mark {
            let Some(Change { entry, before, taken_over, .. }) = state.changed.pop() else { break };
            match before {
                Some(gone) => state.entries.insert(entry, gone),
                None => state.entries.remove(&entry),
            };
            if let Some(generation) = taken_over {
                state.taken_over.insert(entry, generation);
            }
        }
        state.taking.clear();
    }

    /// Writes what the transaction has changed into the tail, just before its COMMIT, and takes over what the hand meets.
    pub(crate) fn write(&self, db: &Connection) -> Result<(), rusqlite::Error> {
        let Some((changed, taken, mut next)) = self.plan() else { return Ok(()) };
        let mut add = db.prepare_cached("INSERT OR IGNORE INTO key_index (hash, row) VALUES (?1, ?2)")?;
        let mut remove = db.prepare_cached("DELETE FROM key_index WHERE hash = ?1 AND row = ?2")?;
        for (entry, gone) in &taken {
            let statement = if *gone { &mut remove } else { &mut add };
            statement.execute(params![&entry[..HASH], place(entry)])?;
        }
        db.prepare_cached("INSERT INTO key_tail (n, entries, hand, turn) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![next.tail, changed, next.hand, next.turn])?;
        if let Some(cut) = next.cut {
            let mut drop =
                db.prepare_cached("DELETE FROM key_tail WHERE n IN (SELECT n FROM key_tail WHERE n <= ?1 ORDER BY n LIMIT ?2)")?;
            if (drop.execute(params![cut, CUT])? as i64) < CUT {
                next.cut = None;
            }
        }
        let mut state = self.state.write();
        state.taking.extend(taken.iter().map(|(entry, _)| *entry));
        state.next = next;
        Ok(())
    }

    /// What the tail gets, which entries the index gets, and how far the hand is then; nothing where nothing has changed. As many
    /// entries are taken over as came in, or somewhat more, while there are too many.
    fn plan(&self) -> Option<Plan> {
        let state = self.state.read();
        if state.changed.is_empty() {
            return None;
        }
        let mut changed = Vec::with_capacity(state.changed.len() * ENTRY);
        for change in &state.changed {
            let mut entry = change.entry;
            entry[HASH] |= if change.gone { GONE } else { 0 };
            changed.extend(entry);
        }
        let mut next = Walk { tail: state.walk.tail + 1, ..state.walk };
        let room = (state.rows / SHARE).clamp(self.aside.least, self.aside.most);
        let many = (state.entries.len() - state.taken_over.len()).saturating_sub(room);
        // Keys that come and go leave no more in memory, but in the tail.
        let long = next.tail - next.turn > room as i64 / 2;
        let pace = 2 * state.changed.len() + MORE;
        let count = if long { pace } else { many.min(pace) };
        let mut taken = Vec::with_capacity(count);
        if count > 0 {
            let after = state.entries.range((Bound::Excluded(next.hand), Bound::Unbounded));
            let new = after.filter(|(entry, _)| !state.taken_over.contains_key(*entry));
            taken.extend(new.take(count).map(|(entry, gone)| (*entry, *gone)));
            if taken.len() == count {
                next.hand = taken.last().map_or(next.hand, |(entry, _)| *entry);
            } else {
                // Once round: what the tail had when the turn began is in the index.
                next = Walk { hand: [0; ENTRY], turn: next.tail, cut: Some(next.turn), tail: next.tail };
            }
        }
        Some((changed, taken, next))
    }

    /// The transaction was committed.
    pub(crate) fn committed(&self) {
        let mut state = self.state.write();
        if state.changed.is_empty() {
            return;
        }
        state.rows += state.changed.len();
        state.changed.clear();
        state.walk = state.next;
        let taking = std::mem::take(&mut state.taking);
        if !taking.is_empty() {
            let generation = state.generation;
            state.taken_over.extend(taking.iter().map(|entry| (*entry, generation)));
            let readers = std::mem::take(&mut state.readers);
            state.over.push_back((generation, readers, taking));
            state.generation += 1;
        }
    }

    /// Reads the tail when the store is opened.
    pub(crate) fn read(&self, db: &Connection) -> Result<()> {
        let mut state = State::default();
        for table in ["dedupe", "externals", "contact_keys", "codes"] {
            let last: i64 = db.query_row(&format!("SELECT coalesce(max(n), 0) FROM {table}"), [], |row| row.get(0))?;
            state.rows += usize::try_from(last).unwrap_or(0);
        }
        let mut statement = db.prepare("SELECT n, hand, turn FROM key_tail ORDER BY n DESC LIMIT 1")?;
        let walk = first(statement.query([])?, |row| {
            let mut columns = Columns::new(row, "key_tail", "n, hand, turn");
            Ok(Walk { tail: columns.value()?, hand: columns.value()?, turn: columns.value()?, cut: None })
        })?;
        state.walk = walk.unwrap_or_default();
        let mut statement = db.prepare("SELECT n, entries FROM key_tail ORDER BY n")?;
        let mut rows = statement.query([])?;
        let mut tail: Vec<(Entry, bool)> = Vec::new();
        while let Some(row) = rows.next()? {
            let mut columns = Columns::new(row, "key_tail", "n, entries");
            let (n, bytes): (i64, Vec<u8>) = (columns.value()?, columns.value()?);
            for bytes in bytes.as_chunks::<ENTRY>().0 {
                let mut entry = *bytes;
                let gone = entry[HASH] & GONE != 0;
                entry[HASH] &= !GONE;
                // What the hand has passed in this turn is in the index.
                if n > state.walk.turn || entry > state.walk.hand {
                    tail.push((entry, gone));
                }
            }
        }
        // Of several words about an entry the last counts.
        tail.reverse();
        tail.sort_by_key(|(entry, _)| *entry);
        tail.dedup_by_key(|(entry, _)| *entry);
        state.entries = tail.into_iter().collect();
        *self.state.write() = state;
        Ok(())
    }
}

/// Whether there is no entry at all.
pub(crate) fn has_no_index(db: &Connection) -> Result<bool> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM key_index) AND NOT EXISTS (SELECT 1 FROM key_tail)";
    Ok(db.query_row(sql, [], |row| row.get(0))?)
}

/// Makes the index of the rows that there are.
pub(crate) fn index(db: &Connection) -> Result<()> {
    let tables = [
        (Kind::Dedupe, "SELECT n, source, dedupe FROM dedupe"),
        (Kind::External, "SELECT n, project, external FROM externals"),
        (Kind::Name, "SELECT n, org, hash FROM contact_keys WHERE place = 0"),
        (Kind::Code, "SELECT n, name, x'' FROM codes"),
    ];
    let mut add = db.prepare("INSERT OR IGNORE INTO key_index (hash, row) VALUES (?1, ?2)")?;
    let mut entries = Vec::new();
    let mut flush = |entries: &mut Vec<Entry>| -> Result<()> {
        entries.sort_unstable();
        for entry in entries.drain(..) {
            add.execute(params![&entry[..HASH], place(&entry)])?;
        }
        Ok(())
    };
    for (kind, sql) in tables {
        let mut statement = db.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let mut columns = Columns::new(row, "key_index", "n, key, key");
            let (n, one, two): (i64, Vec<u8>, Vec<u8>) = (columns.value()?, columns.value()?, columns.value()?);
            entries.push(entry(kind, &[&one, &two], n));
            if entries.len() >= SORTED {
                flush(&mut entries)?;
            }
        }
    }
    flush(&mut entries)
}

#[cfg(test)]
mod tests {
    use rusqlite::OpenFlags;
    use store::conformance::Dice;

    use super::*;
    use crate::schema;

    /// Different keys; few, so that they come and go.
    const KEYS: u64 = 60;
    const ASIDE: KeysAside = KeysAside { least: 12, most: 12 };

    type Model = BTreeMap<u64, i64>;

    fn found(db: &Connection, keys: &Keys, key: u64) -> Option<i64> {
        let bytes = key.to_be_bytes();
        let mut statement = db.prepare_cached("SELECT n FROM codes WHERE n = ?1 AND name = ?2").unwrap();
        keys.find(db, Kind::Code, &[&bytes], |n| {
            first(statement.query(params![n, bytes])?, |row| Columns::new(row, "codes", "n").value())
        })
        .unwrap()
    }

    fn agree(db: &Connection, keys: &Keys, model: &Model) {
        for key in 0..KEYS {
            assert_eq!(found(db, keys, key), model.get(&key).copied(), "key {key}");
        }
    }

    fn toggle(db: &Connection, keys: &Keys, model: &mut Model, key: u64) {
        let bytes = key.to_be_bytes();
        if let Some(n) = model.remove(&key) {
            db.execute("DELETE FROM codes WHERE n = ?1", [n]).unwrap();
            keys.remove(Kind::Code, &[&bytes], n);
        } else {
            db.execute("INSERT INTO codes (name, org, pass) VALUES (?1, x'', x'')", [bytes]).unwrap();
            model.insert(key, db.last_insert_rowid());
            keys.add(Kind::Code, &[&bytes], db.last_insert_rowid());
        }
    }

    /// One transaction with a part that is undone; sometimes all of it is.
    fn transaction(db: &Connection, keys: &Keys, model: &mut Model, dice: &mut Dice) {
        let before = model.clone();
        keys.begin();
        db.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..dice.below(4) {
            toggle(db, keys, model, dice.below(KEYS));
        }
        let (mark, kept) = (keys.mark(), model.clone());
        db.execute_batch("SAVEPOINT part").unwrap();
        for _ in 0..dice.below(4) {
            toggle(db, keys, model, dice.below(KEYS));
        }
        if dice.below(3) == 0 {
            db.execute_batch("ROLLBACK TO part").unwrap();
            keys.undo(mark);
            *model = kept;
        }
        agree(db, keys, model);
        let over = dice.below(4);
        if over > 0 {
            keys.write(db).unwrap();
        }
        if over > 1 {
            db.execute_batch("COMMIT").unwrap();
            keys.committed();
        } else {
            db.execute_batch("ROLLBACK").unwrap();
            keys.undo(0);
            *model = before;
        }
    }

    #[test]
    fn whoever_reads_finds_what_was_committed_when_they_began() {
        for seed in 0..4 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("keys.db");
            let db = Connection::open(&path).unwrap();
            db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF").unwrap();
            schema::migrate(&db).unwrap();
            let (mut keys, mut model, mut dice) = (Keys::new(ASIDE), Model::new(), Dice(seed));
            let mut readers = VecDeque::new();
            for _ in 0..400 {
                transaction(&db, &keys, &mut model, &mut dice);
                agree(&db, &keys, &model);
                if dice.below(3) == 0 {
                    let hold = keys.hold();
                    let reader = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
                    reader.execute_batch("BEGIN; SELECT count(*) FROM codes").unwrap();
                    readers.push_back((reader, hold, model.clone()));
                }
                for (reader, _, then) in &readers {
                    agree(reader, &keys, then);
                }
                if dice.below(6) == 0 {
                    readers.clear();
                } else if readers.len() > 5 {
                    readers.pop_front();
                }
                if dice.below(25) == 0 {
                    readers.clear();
                    keys = Keys::new(ASIDE);
                    keys.read(&db).unwrap();
                }
            }
            readers.clear();
            keys.begin();
            let state = keys.state.read();
            assert!(state.entries.len() <= ASIDE.most + 3 * MORE, "memory is bounded: {}", state.entries.len());
            let taken: i64 = db.query_row("SELECT count(*) FROM key_index", [], |row| row.get(0)).unwrap();
            assert!(taken > 0, "the hand went on");
            let tail: i64 = db.query_row("SELECT count(*) FROM key_tail", [], |row| row.get(0)).unwrap();
            assert!(tail < 100, "the tail is cut: {tail}");
        }
    }

    #[test]
    fn what_is_gone_leaves_no_entry_once_the_hand_went_round() {
        let db = Connection::open_in_memory().unwrap();
        schema::migrate(&db).unwrap();
        let (keys, mut model) = (Keys::new(KeysAside { least: 0, most: 0 }), Model::new());
        let commit = |model: &mut Model, change: &[u64]| {
            keys.begin();
            db.execute_batch("BEGIN").unwrap();
            change.iter().for_each(|key| toggle(&db, &keys, model, *key));
            keys.write(&db).unwrap();
            db.execute_batch("COMMIT").unwrap();
            keys.committed();
        };
        let count = || db.query_row("SELECT count(*) FROM key_index", [], |row| row.get::<_, i64>(0)).unwrap();
        commit(&mut model, &(0..KEYS).collect::<Vec<_>>());
        for _ in 0..3 {
            commit(&mut model, &[KEYS]);
        }
        assert_eq!(count(), KEYS as i64 + 1);
        commit(&mut model, &(0..=KEYS).collect::<Vec<_>>());
        for _ in 0..4 {
            commit(&mut model, &[KEYS + 1]);
        }
        assert_eq!(count(), 0);
        agree(&db, &keys, &model);
    }
}
