//! The languages of a flow, and the flow itself: a source event in, commands on passes out.
//!
//! Three small languages that marketers and data engineers already know, each compiled once and then evaluated on JSON
//! without I/O, clock, randomness or an unbounded loop:
//!
//! - [`fql`]: conditions in Segment's Filter Query Language, as text or as the JSON tree that Segment's editor uses;
//! - [`mapping`]: Segment's mapping-kit directives, RudderStack from/to lists and flat `field: {{path}}` maps;
//! - [`script::text`]: texts for people, in Jinja's syntax, under a fuel limit.
//!
//! [`payload`] makes webhooks' bodies of the last two. [`flow`] puts them together: an event name and a condition, and steps
//! whose values are mappings. [`batch`] does a step for every row of a file, and [`targets`] tells what such a step can set.
//!
//! A mistake never passes silently: compiling answers with every [`Problem`] and where it is.

pub mod batch;
pub mod flow;
pub mod fql;
pub mod mapping;
pub mod path;
pub mod payload;
pub mod strict;
pub mod targets;
pub mod transform;

mod problem;

pub use problem::{Problem, plainly};
