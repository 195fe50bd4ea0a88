//! Conditions in Segment's Filter Query Language: `type = "track" and properties.total > 10`.
//!
//! A condition is written as text ([`parse`]) or edited as the JSON tree that Segment's own package reads and writes
//! ([`Condition`], npm `@segment/destination-subscriptions`), and is compiled once ([`Condition::compile`]).
//!
//! The tree and its operators mean what they mean there. What the original parser drops in silence is either understood
//! here, as Segment's language page documents it (single quotes, `!( … )`, `in`, whole glob patterns, nested
//! parentheses), or refused with the place and the correction (`and` beside `or` without parentheses, an unknown field,
//! a comparison of two fields).

mod ast;
mod eval;
mod glob;
mod lex;
mod parse;
mod print;

pub use ast::{Condition, Field, Junction, Operator, Scalar};
pub use eval::Compiled;
pub use parse::parse;

/// The longest condition text, in bytes.
pub const MAX_TEXT_BYTES: usize = 10_000;
/// How deep parentheses and groups may nest.
pub const MAX_DEPTH: usize = 16;
/// The most comparisons in one condition.
pub const MAX_COMPARISONS: usize = 500;

/// A condition that is not one: where reading stopped, what stood there and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ParseError {
    /// Byte offset of the mistake in the text.
    pub offset: usize,
    /// Line of the mistake, from 1.
    pub line: usize,
    /// Column of the mistake in characters, from 1.
    pub column: usize,
    /// What was expected and what was found.
    pub message: String,
}

impl ParseError {
    fn at(text: &str, offset: usize, message: String) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { offset, line, column, message }
    }
}

#[cfg(test)]
mod tests;
