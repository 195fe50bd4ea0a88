//! The storage contract.
//!
//! [`Backend`] is what an adapter fulfils: rows with plain columns and sealed bodies, about forty calls, each one
//! transaction. [`Store`] is what the house uses: the same in domain words, with everything personal sealed on the way
//! down and opened on the way up. Adapters decide nothing; the conformance suite holds every one of them to the contract.

mod backend;
mod error;
mod kinds;
mod rows;

pub use backend::{Backend, Log, Reader, Retention};
pub use error::{Result, StoreError};
pub use kinds::{DELETED, InboxStatus, NameKind, ResourceKind, pass_state_number, wallet_number};
pub use rows::*;
