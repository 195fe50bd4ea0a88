//! The tracking protocol that the SDKs of Segment and RudderStack speak: six calls, batches of them, one normal form.

pub(crate) mod destination;
mod normal;
mod source;
pub(crate) mod time;
mod wire;

pub use source::{credential, decode};
pub use wire::{Call, MAX_BODY_BYTES, MAX_DECODED_BYTES, MAX_EVENT_BYTES, MAX_EVENTS};
