//! Rows for somebody's PostgreSQL, and out of it ([`Reading`]): tables and columns are made and widened as values ask for it,
//! and every row is written once.
//!
//! A batch is one transaction on a connection of its own, so that nothing is left behind by a connection that broke and changed
//! credentials count at once. Before it, what its rows need of the schema is compared with what there is: a table that is not there
//! is made, a column that is not there is added once there is a value for it, and a column that was made for narrower values
//! becomes a wider one. A row whose key is there already is left as it is or, where its table holds a state, replaced unless
//! that is newer.

mod compare;
mod insert;
mod read;
mod schema;
mod session;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::error::SqlState;
use zeroize::Zeroizing;

use crate::{
    http::{Client, Failure, Progress, classify},
    rows::Row,
};

pub use read::{Column, Query, Reading, Since};

/// Longest name of a table or column, in bytes: what PostgreSQL keeps of one.
pub const MAX_NAME_BYTES: usize = 63;
/// Bytes that a server may send in the course of a batch, or before it answers a query.
const MAX_READ_BYTES: usize = 4 << 20;
/// Classes and codes of SQLSTATE whose messages repeat values of the rows (PostgreSQL documentation, appendix A).
const WITH_VALUES: [&str; 3] = ["22", "23", "P0"];

/// A database with a user's account.
#[derive(Clone)]
pub struct Place {
    /// `postgresql://host:port/database`.
    pub url: String,
    /// Who writes.
    pub user: String,
    /// The proof.
    pub password: Zeroizing<String>,
    /// Whether the connection is encrypted and the server's certificate and name are checked.
    pub tls: bool,
    /// Certificates of the authorities that the server's is checked against, PEM, instead of those that are trusted everywhere.
    pub authorities: Option<String>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("url", &self.url).field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// Rows that are written together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// The schema that the tables are in; made when it is not there.
    pub schema: String,
    /// The rows.
    pub rows: Vec<Row>,
}

/// Rows that are compared with those there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The schema that the tables are in.
    pub schema: String,
    /// The rows as they should be.
    pub compare: Vec<Row>,
    /// A column whose value is told of rows that are held otherwise.
    #[serde(default)]
    pub tell: Option<String>,
}

/// A row that is held otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Its key.
    pub id: String,
    /// The columns with another value; none where there is no row of this key.
    pub columns: Vec<String>,
    /// What there is in the column that is to be told, as text.
    #[serde(default)]
    pub told: Option<String>,
}

/// What the server said instead of taking the rows, or giving them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its SQLSTATE, five characters.
    pub sqlstate: String,
    /// Its words, which may repeat values of the rows.
    pub message: String,
}

impl Refused {
    /// Why, without a value of the rows.
    #[must_use]
    pub fn safe(&self) -> String {
        let Self { sqlstate, message } = self;
        if WITH_VALUES.iter().any(|class| sqlstate.starts_with(class)) {
            return format!("PostgreSQL refused a value (SQLSTATE {sqlstate})");
        }
        format!("PostgreSQL refused it: {message} (SQLSTATE {sqlstate})")
    }
}

/// Why rows were not written, or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unwritten {
    /// There was no talking to the server.
    Failed(Failure),
    /// It did not take them.
    Refused(Refused),
}

impl Unwritten {
    /// An error of the driver: the server's answer where there is one.
    fn of(error: &tokio_postgres::Error) -> Self {
        if let Some(said) = error.as_db_error() {
            return Self::refused(said.code(), said.message());
        }
        Self::Failed(Failure::Reset { phase: crate::http::Phase::Answer, status: None })
    }

    fn refused(code: &SqlState, message: &str) -> Self {
        Self::Refused(Refused { sqlstate: code.code().to_owned(), message: message.to_owned() })
    }
}

/// Writes a batch, all of it or nothing.
///
/// # Errors
/// When there is no talking to the server within `deadline`, or it refuses.
pub async fn write(client: &Client, place: &Place, batch: &Batch, deadline: Duration) -> Result<(), Unwritten> {
    let progress = Progress::default();
    let writing = async {
        let session = session::open(client, place, deadline, &progress).await?;
        let columns = schema::prepare(&session, batch).await?;
        insert::all(&session, &schema::cleared(batch, &columns), &columns).await
    };
    match tokio::time::timeout(deadline, writing).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Unwritten::Failed(Failure::Timeout { phase: progress.phase(), after: deadline, status: None })),
    }
}

/// Which rows are held otherwise than they should be. Nothing is made or written.
///
/// # Errors
/// When there is no talking to the server within `deadline`, or it refuses.
pub async fn compare(
    client: &Client,
    place: &Place,
    comparison: &Comparison,
    deadline: Duration,
) -> Result<Vec<Difference>, Unwritten> {
    let progress = Progress::default();
    let comparing = async {
        let session = session::open(client, place, deadline, &progress).await?;
        let batch = Batch { schema: comparison.schema.clone(), rows: comparison.compare.clone() };
        let columns = schema::present(&session, &batch).await?;
        compare::all(&session, &schema::cleared(&batch, &columns), &columns, comparison.tell.as_deref()).await
    };
    match tokio::time::timeout(deadline, comparing).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Unwritten::Failed(Failure::Timeout { phase: progress.phase(), after: deadline, status: None })),
    }
}

/// A name as it stands in a statement.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What an error of the handshake means.
fn tls_failure(error: &tokio_postgres::Error, target: &crate::policy::Target) -> Option<Failure> {
    let found = classify::find::<rustls::Error>(error).map(|inner| (classify::tls_reason(inner), inner.to_string()));
    let without = || error.to_string().contains("TLS").then(|| (crate::http::TlsReason::NotTls, error.to_string()));
    let (reason, detail) = found.or_else(without)?;
    Some(Failure::Tls { host: classify::host_of(target), reason, detail })
}
