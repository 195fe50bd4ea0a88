//! Rows as adapters see them: plain columns and sealed bodies. An adapter converts them to SQL and back, and nothing else.

mod commit;
mod config;
mod deliveries;
mod devices;
mod inbox;
mod jobs;
mod nodes;
mod passes;

pub use commit::*;
pub use config::*;
pub use deliveries::*;
pub use devices::*;
pub use inbox::*;
pub use jobs::*;
pub use nodes::*;
pub use passes::*;

/// A blind index: keyed hash of a value that must be found again without being readable.
pub type Hash = [u8; 16];
