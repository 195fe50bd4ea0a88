//! What every connector shares: the shapes of a request in either direction, signatures, retries, JSON helpers.

pub(crate) mod crm;
pub mod headers;
mod inbound;
mod inflate;
pub mod json;
mod lock;
pub(crate) mod mail;
pub(crate) mod message;
mod outbound;
pub mod retry;
pub(crate) mod rows;
mod secret;
pub(crate) mod settings;
pub mod signature;
pub(crate) mod single;
pub(crate) mod sms;
pub(crate) mod stream;
pub(crate) mod template;
pub(crate) mod told;
pub mod tracking;
pub(crate) mod vendor;
pub mod via;
pub(crate) mod webhook;

pub use crm::{Field, State};
pub(crate) use inbound::head;
pub use inbound::{Answer, Arrival, Authentic, Decoded, Entrance, Fault, Inbound, Refused};
pub use inflate::{InflateError, inflate};
pub use lock::Lock;
pub use message::{Came, Hear, Heard, Mail, Messenger, SMTP_COMMAND, Told, status_path};
pub use outbound::{Bodies, Outcome, Owed, Pace, Reply, Request, Sending, Sent, Verdict, judge};
pub use secret::{Credentials, Earlier, KeyHash, Secret, SecretError, Secrets, SharedSecret, Token, WriteKey};
pub use settings::{Setting, SettingProblem, Settings, Takes, check as check_settings, find as find_setting, table};
pub(crate) use single::{ENABLED, MAX_BODY_BYTES, STRICT, Track, USER, Wrong, decode_all, decode_one};
pub use stream::{BrokerAccount, BrokerLogin, Sasl, StreamAccount, StreamLogin, StreamTls};
pub use vendor::{Account, Bucket, Login, StoreAccount};
pub use webhook::made;
