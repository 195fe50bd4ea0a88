//! The embedded store: SQLite in a folder of its own.
//!
//! One thread owns the only connection that can write. Calls that wait while it commits are written together in the next
//! transaction and answered after its COMMIT: many callers share one fsync, and nobody fails because of a neighbour. A few
//! more threads read; the write-ahead log keeps the two apart.
//!
//! Durability is `synchronous=FULL`: an answer means that the rows survive a power cut. The write-ahead log is copied into
//! the database by the writer when it has nothing else to do, or when it has grown past a bound.
//!
//! What is looked up by a key without an order (message ids, external ids, names, codes of pages) is appended like everything
//! else; a narrow index of hashes says which rows a key may mean and is brought up to date many keys at a time (`keys`), so that
//! an event costs in a large store about what it costs in a small one.
//!
//! Erasure is real: deleted content is overwritten with zeros (`secure_delete=ON`; the cheaper `FAST` leaves traces on
//! freed pages, the tests look for them), and a commit that destroys data keys is answered only after the log, which
//! still held the keys, was copied and cut to nothing. A reader can hold that up for two seconds; then the answer is given,
//! a warning logged, and the cut tried again until it is done.
//!
//! The folder belongs to one process, by a lock on a file in it that the operating system takes back when the process dies.
//! It must be on a local disk: the locks and the shared memory of SQLite do not work over network file systems.

mod backend;
mod carried;
mod codes;
mod commit;
mod config;
mod deliveries;
mod fault;
mod folder;
mod google;
mod inbox;
mod jobs;
mod keys;
mod leases;
mod load;
mod log;
mod mirrored;
mod names;
mod nodes;
mod readers;
mod row;
mod schema;
mod synced;
mod upkeep;
mod wallets;
mod writer;

pub use backend::{Options, Sqlite};
pub use keys::KeysAside;
