//! Flows: when this source event, if this holds, do these commands with these fields.
//!
//! A flow is a document ([`Flow`]), YAML in a file and JSON over the API:
//!
//! ```yaml
//! slug: sign-up
//! project: coffee-club
//! when:
//!   event: membership_signed_up
//!   condition: properties.plan != "trial"
//! steps:
//!   - id: card
//!     action: issue
//!     variant: $.properties.tier
//!     fields:
//!       member_since: $.timestamp
//!     balances:
//!       points: 50
//! ```
//!
//! Every value is a [mapping](crate::mapping). Saving a flow checks it against its project ([`Flow::check`]) and gives a
//! [`Plan`]; running the plan on an event gives commands and an account of every step ([`Run`]). Nothing is looked up:
//! a command names its pass by a key, and the engine finds it.

mod check;
mod document;
mod expression;
mod lines;
mod plan;
mod run;
#[cfg(test)]
mod tests;
mod trace;
mod wait;
mod work;

pub(crate) use check::check_step;
pub(crate) use document::from_yaml;
pub use document::{Find, Flow, IfExists, Names, OnError, Step, StepAction, When};
pub(crate) use expression::fits;
pub(crate) use plan::PlanStep;
pub use plan::{Audience, Label, Occasion, Plan};
pub(crate) use run::describe as described;
pub use run::{NotMatched, Run, StepOutcome, StepRun};
#[cfg(test)]
pub(crate) use tests::project as test_project;
pub use trace::{Marks, cancel, is_waiting, still, waiting_since};

pub use wait::{MAX_WAIT_DAYS, Place, Wait};
pub(crate) use work::{Order, command};

/// The largest flow document, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
/// The most steps in one flow.
pub const MAX_STEPS: usize = 20;
/// The longest slug and step id, in characters.
pub const MAX_ID_CHARS: usize = 64;
/// The longest text that identifies something (an external id, an e-mail address, a name), in bytes.
pub const MAX_TEXT_BYTES: usize = 512;
/// The longest message to a holder, in characters.
pub const MAX_MESSAGE_CHARS: usize = 500;
/// The longest text that is sent by e-mail or SMS, in characters.
pub const MAX_SENT_CHARS: usize = 2_000;
/// The longest subject of an e-mail, in characters.
pub const MAX_SUBJECT_CHARS: usize = 200;
