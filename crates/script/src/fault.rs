//! What is wrong with code, and where.

use std::fmt;

use rquickjs::{CaughtError, Ctx, Error};
use serde::Serialize;

/// What kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// It is not JavaScript.
    Syntax,
    /// It imports what there is not.
    Import,
    /// It does not export what is called.
    Export,
    /// It threw.
    Thrown,
    /// It ran too long.
    Time,
    /// It used too much memory.
    Memory,
    /// It called itself too deeply.
    Stack,
    /// It waits for something that never happens.
    Unsettled,
    /// What it returned cannot be used.
    Result,
    /// It was not tried: the code had to be stopped too often, or took too long over the events before.
    Untried,
}

impl FaultKind {
    /// Whether the context that it happened in is not to be used again.
    pub(crate) fn spoils(self) -> bool {
        matches!(self, Self::Time | Self::Memory | Self::Stack | Self::Unsettled)
    }
}

/// A fault in code, with its place where that is known. `transformation` is the program itself, other files are libraries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// What to change. May repeat values of the event, as the code put them there.
    pub message: String,
    /// `transformation`, or the name of a library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(file), Some(line), Some(column)) = (&self.file, self.line, self.column) {
            write!(f, "{file}:{line}:{column}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Longest message that is kept, in characters.
const MAX_MESSAGE: usize = 500;

impl Fault {
    pub(crate) fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        let message: String = message.into();
        let message = match message.char_indices().nth(MAX_MESSAGE) {
            Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
            None => message,
        };
        Self { kind, message, file: None, line: None, column: None }
    }

    /// Where it is, without what the code said: fit to be kept beside an event, since it repeats no value of it.
    #[must_use]
    pub fn place(&self) -> String {
        match (&self.file, self.line, self.column) {
            (Some(file), Some(line), Some(column)) => format!("{file}:{line}:{column}"),
            _ => "transformation".to_owned(),
        }
    }

    fn at(mut self, stack: &str) -> Self {
        if let Some((file, line, column)) = stack.lines().find_map(frame) {
            (self.file, self.line, self.column) = (Some(file), Some(line), Some(column));
        }
        self
    }

    /// What the engine answers, in our terms; takes the exception from the context.
    pub(crate) fn caught(ctx: &Ctx<'_>, error: Error) -> Self {
        match CaughtError::from_error(ctx, error) {
            CaughtError::Exception(exception) => {
                let name: Option<String> = exception.as_object().get("name").ok();
                let name = name.unwrap_or_default();
                let message = exception.message().unwrap_or_default();
                let stack = exception.stack().unwrap_or_default();
                Self::of_exception(&name, &message).at(&stack)
            }
            // What the engine throws when there is no memory left for an exception.
            CaughtError::Value(value) if value.is_null() => Self::new(FaultKind::Memory, "out of memory"),
            CaughtError::Value(value) if value.is_undefined() => Self::new(FaultKind::Thrown, "threw undefined"),
            CaughtError::Value(value) => {
                let shown = ctx.json_stringify(value).ok().flatten().and_then(|text| text.to_string().ok());
                Self::new(FaultKind::Thrown, format!("threw {}", shown.unwrap_or_else(|| "a value".to_owned())))
            }
            CaughtError::Error(Error::WouldBlock) => Self::new(FaultKind::Unsettled, "waits for a promise that nothing settles"),
            CaughtError::Error(Error::Allocation) => Self::new(FaultKind::Memory, "out of memory"),
            CaughtError::Error(error) => Self::new(FaultKind::Thrown, error.to_string()),
        }
    }

    fn of_exception(name: &str, message: &str) -> Self {
        let kind = match (name, message) {
            (_, text) if text.contains("out of memory") => FaultKind::Memory,
            ("InternalError" | "RangeError", text) if text.contains("stack") => FaultKind::Stack,
            ("SyntaxError", text) if text.contains("export") && text.contains("module") => FaultKind::Import,
            ("SyntaxError", _) => FaultKind::Syntax,
            ("ReferenceError", text) if text.contains("module") || text.contains("library") => FaultKind::Import,
            _ => FaultKind::Thrown,
        };
        match kind {
            FaultKind::Memory => Self::new(kind, "out of memory"),
            FaultKind::Stack => Self::new(kind, "calls itself too deeply"),
            _ if name.is_empty() => Self::new(kind, message),
            _ => Self::new(kind, format!("{name}: {message}")),
        }
    }
}

/// File, line and column of a line of a stack, unless it is the engine's own: `    at name (file:3:11)`, `    at file:2:5`.
fn frame(text: &str) -> Option<(String, u32, u32)> {
    let text = text.trim().strip_prefix("at ")?;
    let place = match text.rsplit_once('(') {
        Some((_, place)) => place.strip_suffix(')')?,
        None => text,
    };
    let (rest, column) = place.rsplit_once(':')?;
    let (file, line) = rest.rsplit_once(':')?;
    let own = file.is_empty() || file == crate::sandbox::PRELUDE || file == "native" || file.starts_with('<');
    (!own).then_some(())?;
    Some((file.to_owned(), line.parse().ok()?, column.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_from_stacks() {
        let place = |line: &str| frame(line).map(|(file, line, column)| format!("{file}:{line}:{column}"));
        assert_eq!(place("    at transformEvent (transformation:3:11)").as_deref(), Some("transformation:3:11"));
        assert_eq!(place("    at hash:2:5").as_deref(), Some("hash:2:5"));
        assert_eq!(place("    at parse (native)"), None);
        assert_eq!(place("nonsense"), None);
    }
}
