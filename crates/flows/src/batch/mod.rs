//! Batches: a file of rows, each of which becomes one command.
//!
//! A batch is a document ([`Batch`]) beside a file in CSV (RFC 4180), NDJSON (one JSON object a line) or Parquet, of which
//! whoever can read it makes NDJSON:
//!
//! ```yaml
//! project: coffee-club
//! operation: issue
//! map:
//!   external_id: $.member_no
//!   contact: {email: "$['E-Mail']", name: "{{first}} {{last}}"}
//!   fields: {tier: $.tier}
//! ```
//!
//! `map` is a step of a [flow](crate::flow) whose event is the row: an object of column names and cells. What it leaves out is
//! taken from columns that are called what it is called ([`Batch::check`]).
//!
//! A file is read in pieces of any size: a [`Decoder`] makes UTF-8 of it, a [`Reader`] finds its rows, a [`BatchPlan`] makes
//! commands of them, and a [`Report`] writes down those that failed, so that they can be mended and fed back.

mod columns;
mod csv;
mod decode;
mod document;
mod ndjson;
mod plan;
mod report;
mod rows;
mod schedule;
#[cfg(test)]
mod tests;

pub use decode::{Decoder, Misread};
pub use document::{Batch, EmptyCells, Operation};
pub use ndjson::{line, row, unread};
pub use plan::{BatchPlan, Ticket};
pub use report::{Note, Report};
pub use rows::{Format, Layout, Place, Reader, Row};
pub use schedule::Schedule;

/// The largest batch document, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
/// The longest row, in bytes of UTF-8.
pub const MAX_ROW_BYTES: usize = 1 << 20;
/// The most columns of a CSV file.
pub const MAX_COLUMNS: usize = 1_000;
