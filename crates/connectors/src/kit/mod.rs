//! What every connector shares: the shapes of a request in either direction, signatures, retries, JSON helpers.

pub mod headers;
mod inbound;
mod inflate;
pub mod json;
mod outbound;
pub mod retry;
mod secret;
mod settings;
pub mod signature;

pub(crate) use inbound::head;
pub use inbound::{Answer, Arrival, Authentic, Decoded, Entrance, Fault, Inbound, Refused};
pub use inflate::{InflateError, inflate};
pub use outbound::{Outcome, Owed, Reply, Request, Sending, judge};
pub use secret::{KeyHash, Secret, SecretError, Secrets, WriteKey};
pub use settings::{Setting, table};
