//! Code that was checked.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use serde::Serialize;

use crate::fault::{Fault, FaultKind};
use crate::globals::Meter;
use crate::limits::MAX_SOURCE_BYTES;
use crate::{Host, Limits, sandbox};

/// Which function a program exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// `transformEvent(event, metadata)`
    #[serde(rename = "transformEvent")]
    Event,
    /// `transformBatch(events, metadata)`
    #[serde(rename = "transformBatch")]
    Batch,
}

impl Entry {
    /// The function's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Event => "transformEvent",
            Self::Batch => "transformBatch",
        }
    }
}

/// Something that runs here and may do something else than on V8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// `transformation`, or the name of a library.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// What it is.
    pub message: String,
}

/// A program with its libraries, as source; loaded anew for every batch. Equal are those of the same source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub(crate) source: Arc<str>,
    pub(crate) libraries: Arc<BTreeMap<String, String>>,
    entry: Entry,
}

impl Program {
    /// Checks a program: that it is JavaScript, finds its libraries, loads within the limits and exports what is called.
    ///
    /// # Errors
    /// The first fault, with its place.
    pub fn check(
        source: &str,
        libraries: Arc<BTreeMap<String, String>>,
        host: Arc<dyn Host>,
        limits: &Limits,
    ) -> Result<Self, Fault> {
        if source.len() > MAX_SOURCE_BYTES {
            let message = format!("code has at most {MAX_SOURCE_BYTES} bytes, this has {}", source.len());
            return Err(Fault::new(FaultKind::Syntax, message));
        }
        for (file, source) in
            libraries.iter().map(|(name, source)| (name.as_str(), source.as_str())).chain([(sandbox::MAIN, source)])
        {
            if source.contains('\0') {
                return Err(Fault::new(FaultKind::Syntax, format!("{file}: holds a NUL character")));
            }
        }
        let mut program = Self { source: source.into(), libraries, entry: Entry::Event };
        let meter = Rc::new(Meter::new(host, limits.clone()));
        program.entry = sandbox::with(&program, &meter, |loaded| Ok(loaded.entry))?;
        Ok(program)
    }

    /// A program that was checked before.
    #[must_use]
    pub fn load(source: &str, libraries: Arc<BTreeMap<String, String>>, entry: Entry) -> Self {
        Self { source: source.into(), libraries, entry }
    }

    /// Which function it exports.
    #[must_use]
    pub fn entry(&self) -> Entry {
        self.entry
    }

    /// Uses of what this engine does not have: `Intl` and formatting for a locale.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let libraries = self.libraries.iter().map(|(name, source)| (name.as_str(), source.as_str()));
        libraries.chain([(sandbox::MAIN, &*self.source)]).flat_map(|(file, source)| locale_uses(file, source)).collect()
    }
}

/// Most warnings of one file.
const MAX_WARNINGS: usize = 20;

fn locale_uses(file: &str, source: &str) -> Vec<Warning> {
    const WORDS: [(&str, &str); 4] = [
        ("Intl.", "there is no Intl here: format by hand"),
        ("toLocaleString(", "does not know locales here: format by hand"),
        ("toLocaleDateString(", "does not know locales here: format by hand"),
        ("toLocaleTimeString(", "does not know locales here: format by hand"),
    ];
    let whole = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mut out = Vec::new();
    for (index, line) in source.lines().enumerate() {
        for (word, why) in WORDS {
            if let Some(at) = line.find(word).filter(|_| out.len() < MAX_WARNINGS) {
                let column = line.get(..at).unwrap_or_default().chars().count() + 1;
                let message = format!("{} {why}", word.trim_end_matches(['.', '(']));
                out.push(Warning { file: file.to_owned(), line: whole(index + 1), column: whole(column), message });
            }
        }
    }
    out
}
