//! Who reads: threads with a connection each that cannot write, and a few connections more for reads so short that handing
//! them to a thread and back would cost more than they do.

use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
};

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use store::StoreError;
use tokio::sync::{Semaphore, oneshot};

use crate::{Options, fault::Result, keys::Keys, schema, writer::closed};

/// Reads that are let into the queue; more wait outside.
const QUEUE_CALLS: usize = 1_024;
/// Statements that stay prepared, per connection.
const STATEMENTS: usize = 96;

/// Connections for short reads; who finds none free goes to the threads.
const NEAR: usize = 2;

type Work = Box<dyn FnOnce(&Connection) + Send>;

/// The way to the threads; they end when all of these are gone or it is closed.
pub(crate) struct Readers {
    queue: Mutex<Option<Sender<Work>>>,
    room: Semaphore,
    keys: Arc<Keys>,
    /// Nothing once closed.
    near: Mutex<Option<Vec<Connection>>>,
}

impl Readers {
    /// Opens the connections and starts a thread for each.
    pub(crate) fn start(path: &Path, keys: Arc<Keys>, options: &Options) -> Result<Self> {
        let (queue, work) = channel();
        let work = Arc::new(Mutex::new(work));
        for number in 0..options.readers.max(1) {
            let db = open(path, options)?;
            let work = work.clone();
            let thread = std::thread::Builder::new().name(format!("store-reader-{number}"));
            let run = move || serve(&db, &work);
            thread.spawn(run).map_err(|error| StoreError::Unavailable(format!("cannot start a thread: {error}")))?;
        }
        let near = (0..NEAR).map(|_| open(path, options)).collect::<Result<_>>()?;
        Ok(Self { queue: Mutex::new(Some(queue)), room: Semaphore::new(QUEUE_CALLS), keys, near: Mutex::new(Some(near)) })
    }

    /// Runs a short `read` of few rows, mostly ones that were just written, on the thread that asks.
    pub(crate) async fn call_near<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let free = self.near.lock().as_mut().and_then(Vec::pop);
        let Some(db) = free else { return self.call(read).await };
        let found = on_one_state(&db, &self.keys, read);
        if let Some(near) = self.near.lock().as_mut() {
            near.push(db);
        }
        Ok(found?)
    }

    /// Runs `read` on one of the connections, all of it on one state of the database.
    pub(crate) async fn call<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let _room = self.room.acquire().await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        let keys = self.keys.clone();
        let work = move |db: &Connection| drop(reply.send(on_one_state(db, &keys, read).map_err(StoreError::from)));
        let queue = self.queue.lock().clone().ok_or_else(closed)?;
        queue.send(Box::new(work)).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Lets the threads end when they have done what is queued.
    pub(crate) fn close(&self) {
        *self.queue.lock() = None;
        *self.near.lock() = None;
    }
}

fn on_one_state<T>(db: &Connection, keys: &Keys, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    let _hold = keys.hold();
    db.prepare_cached("BEGIN")?.execute([])?;
    let found = read(db);
    db.prepare_cached("ROLLBACK")?.execute([])?;
    found
}

fn serve(db: &Connection, work: &Mutex<Receiver<Work>>) {
    loop {
        let next = work.lock().recv();
        match next {
            Ok(work) => work(db),
            Err(_) => return,
        }
    }
}

fn open(path: &Path, options: &Options) -> Result<Connection> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.pragma_update(None, "query_only", true)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.pragma_update(None, "cache_size", -i64::from(options.reader_cache_kib))?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    schema::keep_plans(&db)?;
    Ok(db)
}
