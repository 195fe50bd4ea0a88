//! The thread that writes.
//!
//! It takes what is queued, runs it in one transaction, commits, and only then answers. Where one of several calls has to
//! be undone the whole group is run again with a savepoint per call: savepoints copy every page that is touched, and
//! nearly always nothing has to be undone.

use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, TransactionState};
use store::StoreError;
use tokio::sync::{Semaphore, oneshot};

use crate::{
    Options,
    fault::{Fault, Result, named},
    folder::Folder,
    keys::Keys,
    schema,
};

/// Calls that are written in one transaction at most.
const GROUP_CALLS: usize = 128;
/// Calls that are let into the queue; more wait outside.
const QUEUE_CALLS: usize = 1_024;
/// Pages of the write-ahead log (of 4 KiB) from which on the writer copies them into the database between two groups.
const LOG_PAGES: i64 = 4_096;
/// Bytes that the log's file may keep after it was copied.
const LOG_BYTES_KEPT: i64 = 32 << 20;
/// How long the queue must be empty before the writer uses the time to copy the log.
const IDLE: Duration = Duration::from_millis(100);
/// How long a call that can wait is kept for others to go with.
const LATER: Duration = Duration::from_millis(5);
/// How long a cut of the log waits for readers to finish.
const CUT_WAIT: Duration = Duration::from_secs(2);
/// Statements that stay prepared.
const STATEMENTS: usize = 160;

/// What a call leaves.
pub(crate) enum Written<T> {
    /// Keep what it wrote, answer this.
    Done(T),
    /// It wrote nothing, answer this.
    Nothing(T),
    /// Undo what it wrote, answer this.
    Undone(T),
    /// Keep what it wrote, and answer only when no old version of it is left in the log: something was erased.
    Erased(T),
}

/// How a call ended within its transaction.
enum Ran {
    Keep,
    Erase,
    Nothing,
    Undo,
    /// SQLite refused something with this code; it may have ended the transaction.
    Failed(rusqlite::ffi::Error),
}

/// A call that waits for its transaction.
trait Call: Send {
    /// Runs it, again if need be, and keeps its answer.
    fn run(&mut self, db: &Connection) -> Ran;
    /// Gives the answer, or the reason why nothing of the transaction was kept.
    fn answer(self: Box<Self>, lost: Option<&rusqlite::Error>);
}

struct Waiting<T, F> {
    work: F,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: Fn(&Connection) -> Result<Written<T>> + Send> Call for Waiting<T, F> {
    fn run(&mut self, db: &Connection) -> Ran {
        let (ran, result) = match (self.work)(db) {
            Ok(Written::Done(value)) => (Ran::Keep, Ok(value)),
            Ok(Written::Erased(value)) => (Ran::Erase, Ok(value)),
            Ok(Written::Nothing(value)) => (Ran::Nothing, Ok(value)),
            Ok(Written::Undone(value)) => (Ran::Undo, Ok(value)),
            Err(Fault::Sqlite(rusqlite::Error::SqliteFailure(code, text))) => {
                (Ran::Failed(code), Err(rusqlite::Error::SqliteFailure(code, text).into()))
            }
            Err(fault) => (Ran::Undo, Err(fault)),
        };
        self.result = Some(result);
        ran
    }

    fn answer(self: Box<Self>, lost: Option<&rusqlite::Error>) {
        let result = match (lost, self.result) {
            (Some(_), Some(Err(Fault::Sqlite(own)))) => Err(named(&own)),
            // Also where the call refused by itself: it may have seen rows of neighbours that are not there now.
            (Some(lost), _) => Err(named(lost)),
            (None, Some(Err(fault))) => Err(fault.into()),
            (None, Some(Ok(value))) => Ok(value),
            (None, None) => Err(StoreError::Internal("a write was never run".to_owned())),
        };
        // Whoever asked may have gone; what was written stays.
        let _ = self.reply.send(result);
    }
}

enum Message {
    Call(Box<dyn Call>),
    /// A call that may wait a little for others to go with.
    Later(Box<dyn Call>),
    /// Work that makes its own transactions.
    Alone(Box<dyn FnOnce(&Connection) + Send>),
    Close(oneshot::Sender<()>),
}

/// The way to the thread.
pub(crate) struct Writer {
    queue: Sender<Message>,
    room: Semaphore,
}

impl Writer {
    /// Opens the database for writing and starts the thread, which holds the folder until it ends.
    pub(crate) fn start(folder: Folder, keys: Arc<Keys>, options: &Options) -> Result<Self> {
        let db = open(&folder.database(), options)?;
        let (queue, calls) = channel();
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        let run = Thread { db, keys, calls, folder, dirty: false, cut: false };
        thread.spawn(move || run.run()).map_err(|error| StoreError::Unavailable(format!("cannot start a thread: {error}")))?;
        Ok(Self { queue, room: Semaphore::new(QUEUE_CALLS) })
    }

    /// Runs `work` in a transaction, answers after its COMMIT.
    pub(crate) async fn call<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<Written<T>> + Send + 'static,
    {
        self.send(Message::Call, work).await
    }

    /// The same for what nobody waits for: it goes with the next transaction, or has one of its own a little later.
    pub(crate) async fn call_later<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<Written<T>> + Send + 'static,
    {
        self.send(Message::Later, work).await
    }

    async fn send<T, F>(&self, message: fn(Box<dyn Call>) -> Message, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<Written<T>> + Send + 'static,
    {
        let _room = self.room.acquire().await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        let call = Waiting { work, result: None, reply };
        self.queue.send(message(Box::new(call))).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Runs `work` outside of any transaction of the thread's.
    pub(crate) async fn alone<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let work = move |db: &Connection| drop(reply.send(work(db).map_err(StoreError::from)));
        self.queue.send(Message::Alone(Box::new(work))).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Finishes what is queued and closes the database.
    pub(crate) async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        if self.queue.send(Message::Close(reply)).is_ok() {
            let _ = answer.await;
        }
    }
}

pub(crate) fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

fn open(path: &Path, options: &Options) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    // Nobody else has the folder; only our own readers can hold a lock, and only for the length of a cut.
    db.busy_timeout(CUT_WAIT)?;
    schema::check(&db)?;
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let text = format!("the data folder's file system allows no write-ahead log (mode {mode}): use a local disk");
        return Err(StoreError::Unavailable(text).into());
    }
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "secure_delete", "ON")?;
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    db.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.pragma_update(None, "cache_size", -i64::from(options.writer_cache_kib))?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    schema::keep_plans(&db)?;
    if let Some(pages) = options.max_pages {
        db.pragma_update(None, "max_page_count", pages)?;
    }
    Ok(db)
}

struct Thread {
    db: Connection,
    keys: Arc<Keys>,
    calls: Receiver<Message>,
    folder: Folder,
    /// Whether something was committed since the log was last copied whole.
    dirty: bool,
    /// Whether the log still holds what was erased, because a reader kept it from being cut.
    cut: bool,
}

impl Thread {
    fn run(mut self) {
        let closing = loop {
            let first = if self.dirty || self.cut {
                match self.calls.recv_timeout(IDLE) {
                    Ok(message) => message,
                    Err(RecvTimeoutError::Timeout) => {
                        self.tidy();
                        self.rest();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break None,
                }
            } else {
                match self.calls.recv() {
                    Ok(message) => message,
                    Err(_) => break None,
                }
            };
            let mut group = Vec::new();
            let last = self.gather(first, &mut group);
            self.write(group);
            match last {
                None | Some(Message::Call(_) | Message::Later(_)) => {}
                Some(Message::Alone(work)) => {
                    work(&self.db);
                    self.dirty = true;
                }
                Some(Message::Close(reply)) => break Some(reply),
            }
            self.bound_log();
        };
        self.cut_log();
        if let Err((_, error)) = self.db.close() {
            tracing::warn!(%error, "the database did not close cleanly");
        }
        drop(self.folder);
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
    }

    /// Takes the calls that wait, up to one that has to run alone.
    fn gather(&self, first: Message, group: &mut Vec<Box<dyn Call>>) -> Option<Message> {
        let (mut next, mut can_wait) = (Some(first), true);
        while let Some(message) = next {
            match message {
                Message::Call(call) => {
                    can_wait = false;
                    group.push(call);
                }
                Message::Later(call) => group.push(call),
                other => return Some(other),
            }
            next = if group.len() < GROUP_CALLS { self.calls.try_recv().ok() } else { None };
            if next.is_none() && std::mem::take(&mut can_wait) {
                next = self.calls.recv_timeout(LATER).ok();
            }
        }
        None
    }

    fn write(&mut self, mut group: Vec<Box<dyn Call>>) {
        if group.is_empty() {
            return;
        }
        let outcome = self.transaction(&mut group);
        match &outcome {
            Ok(erased) => {
                self.dirty = true;
                if *erased {
                    self.cut = true;
                    self.cut_log();
                }
            }
            Err(error) => {
                tracing::error!(%error, calls = group.len(), "a transaction was not written");
                if self.db.transaction_state(None::<&str>).is_ok_and(|state| state != TransactionState::None) {
                    let _ = self.execute("ROLLBACK");
                }
                self.keys.undo(0);
            }
        }
        for call in group {
            call.answer(outcome.as_ref().err());
        }
    }

    /// Whether something was erased.
    fn transaction(&self, group: &mut [Box<dyn Call>]) -> Result<bool, rusqlite::Error> {
        match self.all_or_nothing(group)? {
            Some(erased) => Ok(erased),
            None => self.one_by_one(group),
        }
    }

    /// Runs the calls without savepoints; nothing when one of several has to be undone.
    fn all_or_nothing(&self, group: &mut [Box<dyn Call>]) -> Result<Option<bool>, rusqlite::Error> {
        self.begin()?;
        let alone = group.len() == 1;
        let (mut kept, mut erased) = (false, false);
        for call in group {
            match call.run(&self.db) {
                Ran::Keep => kept = true,
                Ran::Erase => (kept, erased) = (true, true),
                Ran::Nothing => {}
                Ran::Failed(code) if self.db.is_autocommit() => return Err(rusqlite::Error::SqliteFailure(code, None)),
                Ran::Undo | Ran::Failed(_) => {
                    self.end(false)?;
                    return Ok(alone.then_some(false));
                }
            }
        }
        self.end(kept)?;
        Ok(Some(erased))
    }

    /// Runs each call in a savepoint of its own.
    fn one_by_one(&self, group: &mut [Box<dyn Call>]) -> Result<bool, rusqlite::Error> {
        self.begin()?;
        let (mut kept, mut erased) = (false, false);
        for call in group {
            let mark = self.keys.mark();
            self.execute("SAVEPOINT call")?;
            match call.run(&self.db) {
                Ran::Keep => kept = true,
                Ran::Erase => (kept, erased) = (true, true),
                Ran::Nothing => {}
                // A full disk or a fault in reading or writing ends the whole transaction.
                Ran::Failed(code) if self.db.is_autocommit() => return Err(rusqlite::Error::SqliteFailure(code, None)),
                Ran::Undo | Ran::Failed(_) => {
                    self.execute("ROLLBACK TO call")?;
                    self.keys.undo(mark);
                }
            }
            self.execute("RELEASE call")?;
        }
        self.end(kept)?;
        Ok(erased)
    }

    fn begin(&self) -> Result<(), rusqlite::Error> {
        self.keys.begin();
        self.execute("BEGIN IMMEDIATE")
    }

    fn end(&self, kept: bool) -> Result<(), rusqlite::Error> {
        if kept {
            self.keys.write(&self.db)?;
            self.execute("COMMIT")?;
            self.keys.committed();
        } else {
            self.execute("ROLLBACK")?;
            self.keys.undo(0);
        }
        Ok(())
    }

    fn execute(&self, sql: &str) -> Result<(), rusqlite::Error> {
        self.db.prepare_cached(sql)?.execute([]).map(|_| ())
    }

    /// Copies the log into the database while nobody waits.
    fn tidy(&mut self) {
        if self.cut {
            self.cut_log();
        }
        match self.checkpoint("PASSIVE") {
            Ok(done) => self.dirty = !done,
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log could not be copied");
                self.dirty = false;
            }
        }
    }

    /// Gives back the memory for pages when nothing is left to do: the system still has them, should they be wanted again.
    fn rest(&self) {
        if !self.dirty
            && let Err(error) = self.execute("PRAGMA shrink_memory")
        {
            tracing::warn!(%error, "memory for pages was not given back");
        }
    }

    /// Copies the log when it has grown past its bound.
    fn bound_log(&mut self) {
        let pages = self
            .db
            .prepare_cached("PRAGMA wal_checkpoint(NOOP)")
            .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(1)));
        if pages.is_ok_and(|pages| pages >= LOG_PAGES) {
            self.tidy();
        }
    }

    /// Copies the log and cuts its file, so that nothing old is left in it.
    fn cut_log(&mut self) {
        match self.checkpoint("TRUNCATE") {
            Ok(true) => (self.cut, self.dirty) = (false, false),
            Ok(false) => tracing::warn!("the write-ahead log could not be cut while a reader uses it; trying again"),
            Err(error) => tracing::warn!(%error, "the write-ahead log could not be cut"),
        }
    }

    /// Whether the whole log was copied.
    fn checkpoint(&self, mode: &str) -> Result<bool, Fault> {
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        let mut statement = self.db.prepare_cached(&sql)?;
        let (busy, pages, copied) =
            statement.query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))?;
        Ok(busy == 0 && pages == copied)
    }
}
