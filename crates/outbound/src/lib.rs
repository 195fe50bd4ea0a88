//! Every socket that Passbridge opens, except the one to its own database.
//!
//! This room knows addresses, deadlines, caps and TLS; it knows nothing of passes, events or retries. Three rules hold
//! for everything in it:
//!
//! - **An address is judged where it is dialled.** [`policy::AddressPolicy`] looks at a URL when somebody configures
//!   it, for an early and helpful refusal, and again at each resolved address inside the connector. What was judged is
//!   what is dialled: a name is never resolved a second time, so a record that changes in between gains nothing.
//! - **One deadline covers everything**: resolving, connecting, TLS, writing, headers and body.
//! - **Everything that a stranger sends is capped**: header bytes and count, body bytes, addresses per name.

mod dial;
pub mod egress;
pub mod http;
pub mod mail;
pub mod object;
pub mod policy;
pub mod rows;
mod socket;
pub mod sql;
pub mod stream;
pub mod tables;
pub mod token;

pub use dial::{Names, SystemNames};
