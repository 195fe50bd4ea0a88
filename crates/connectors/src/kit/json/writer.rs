//! Writing JSON whose parts are text already.

use domain::Timestamp;

use super::{Object, push_text};

/// Writes one JSON object whose members are mostly raw text.
pub(crate) struct Writer {
    out: String,
    first: bool,
}

impl Writer {
    pub(crate) fn new(bytes: usize) -> Self {
        let mut out = String::with_capacity(bytes);
        out.push('{');
        Self { out, first: true }
    }
    pub(crate) fn key(&mut self, key: &str) {
        if !self.first {
            self.out.push(',');
        }
        self.first = false;
        push_text(&mut self.out, key);
        self.out.push(':');
    }
    pub(crate) fn raw(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.push_str(value);
    }
    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        push_text(&mut self.out, value);
    }
    pub(crate) fn time(&mut self, key: &str, time: Timestamp) {
        use std::fmt::Write as _;
        self.key(key);
        let _ = write!(self.out, "\"{time}\"");
    }
    pub(crate) fn open(&mut self, key: &str) {
        self.key(key);
        self.out.push('{');
        self.first = true;
    }
    pub(crate) fn close(&mut self) {
        self.out.push('}');
        self.first = false;
    }
    pub(crate) fn object(&mut self, key: &str, members: &Object<'_>) {
        self.open(key);
        for (key, value) in members.members() {
            self.raw(key, value);
        }
        self.close();
    }
    pub(crate) fn finish(mut self) -> String {
        self.out.push('}');
        self.out
    }
}
