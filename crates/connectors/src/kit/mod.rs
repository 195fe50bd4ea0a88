//! What every connector shares: the shapes of a request in either direction, signatures, retries, JSON helpers.

pub mod headers;
mod inbound;
mod inflate;
pub mod json;
mod lock;
mod outbound;
pub mod retry;
mod secret;
pub(crate) mod settings;
pub mod signature;
pub(crate) mod single;
pub(crate) mod told;
pub mod tracking;
pub(crate) mod webhook;

pub(crate) use inbound::head;
pub use inbound::{Answer, Arrival, Authentic, Decoded, Entrance, Fault, Inbound, Refused};
pub use inflate::{InflateError, inflate};
pub use lock::Lock;
pub use outbound::{Outcome, Owed, Reply, Request, Sending, judge};
pub use secret::{KeyHash, Secret, SecretError, Secrets, SharedSecret, WriteKey};
pub use settings::{Setting, SettingProblem, Settings, Takes, check as check_settings, table};
pub(crate) use single::{ENABLED, MAX_BODY_BYTES, STRICT, Track, USER, Wrong, decode_all, decode_one};
pub use webhook::made;
