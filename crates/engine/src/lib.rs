//! The only writer of passes and events.
//!
//! Commands are handled in batches and three steps: *load* the states that the batch touches (one round trip); *decide*, a
//! pure function of state, command and time; *commit* new states, events and results in one transaction. Callers that
//! come while a commit runs are gathered into the next one, so that the disk is asked once for many. When they fill a batch,
//! it is loaded and decided meanwhile, and written if it shares nothing with the one before; else it is decided anew.

mod batch;
pub mod decide;
mod footprint;
mod group;
mod touch;

pub use batch::preview;
pub use group::{Engine, EngineError, Outcome, Runner};
