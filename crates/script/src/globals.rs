//! What the prelude asks of us: the host's answers and the log, each under its limit.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fault::Fault;
use crate::{Host, Limits, LogLine, Request};

/// What a sandbox keeps while code runs.
pub(crate) struct Meter {
    pub(crate) host: Arc<dyn Host>,
    pub(crate) limits: Limits,
    /// When the code that runs now has to be done, by the host's clock.
    until: Cell<Duration>,
    pub(crate) timed_out: Cell<bool>,
    host_time: Cell<Duration>,
    host_calls: Cell<usize>,
    log: RefCell<Vec<LogLine>>,
    pub(crate) log_left_out: Cell<usize>,
    /// Which event of the batch the code runs on, for the log.
    pub(crate) event: Cell<Option<usize>>,
    /// How many promises were rejected that nothing waits for, and why the first was.
    unheard: RefCell<(usize, Option<Fault>)>,
}

impl Meter {
    pub(crate) fn new(host: Arc<dyn Host>, limits: Limits) -> Self {
        Self {
            host,
            limits,
            until: Cell::default(),
            timed_out: Cell::default(),
            host_time: Cell::default(),
            host_calls: Cell::default(),
            log: RefCell::default(),
            log_left_out: Cell::default(),
            event: Cell::default(),
            unheard: RefCell::default(),
        }
    }

    /// A promise was rejected that nothing waits for yet; `why` is made when it is the only one.
    pub(crate) fn rejected(&self, why: impl FnOnce() -> Fault) {
        let mut unheard = self.unheard.borrow_mut();
        if unheard.0 == 0 {
            unheard.1 = Some(why());
        }
        unheard.0 += 1;
    }

    /// Something waits for a rejected promise after all.
    pub(crate) fn heard(&self) {
        let mut unheard = self.unheard.borrow_mut();
        unheard.0 = unheard.0.saturating_sub(1);
    }

    /// Why a promise was rejected that nothing waited for, if one was.
    pub(crate) fn take_unheard(&self) -> Option<Fault> {
        let (count, why) = self.unheard.take();
        why.filter(|_| count > 0)
    }

    /// The time limit counts from now.
    pub(crate) fn start(&self) {
        self.timed_out.set(false);
        self.until.set(self.host.elapsed() + self.limits.time);
    }

    /// Calls of the host count from now.
    pub(crate) fn begin(&self) {
        self.host_time.set(Duration::ZERO);
        self.host_calls.set(0);
    }

    /// Whether the time is over; remembered, since the code could have caught what it was stopped by.
    pub(crate) fn is_over(&self) -> bool {
        if !self.timed_out.get() && self.host.elapsed() >= self.until.get() {
            self.timed_out.set(true);
        }
        self.timed_out.get()
    }

    pub(crate) fn note(&self, line: &str) {
        let mut log = self.log.borrow_mut();
        if log.len() >= self.limits.log_lines {
            self.log_left_out.set(self.log_left_out.get() + 1);
            return;
        }
        let mut end = line.len().min(self.limits.log_line);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        let cut = if end < line.len() { "…" } else { "" };
        let text = format!("{}{cut}", line.get(..end).unwrap_or_default());
        log.push(LogLine { event: self.event.get(), text });
    }

    pub(crate) fn take_log(&self) -> Vec<LogLine> {
        self.log.take()
    }

    /// Answers a call of the prelude, as JSON; time in the host is not the code's.
    pub(crate) fn call(&self, what: &str, argument: &str) -> Result<String, String> {
        let (calls, spent) = (self.host_calls.get(), self.host_time.get());
        if calls >= self.limits.host_calls {
            return Err(format!("a run may make at most {} calls to the outside", self.limits.host_calls));
        }
        if spent >= self.limits.host_time {
            return Err(format!("calls to the outside took longer than {:?} together", self.limits.host_time));
        }
        self.host_calls.set(calls + 1);
        let before = self.host.elapsed();
        let answer = self.answer(what, argument);
        let took = self.host.elapsed().saturating_sub(before);
        self.host_time.set(spent + took);
        self.until.set(self.until.get() + took);
        answer.map(|value| value.to_string())
    }

    fn answer(&self, what: &str, argument: &str) -> Result<Value, String> {
        let argument: Value = serde_json::from_str(argument).map_err(|error| error.to_string())?;
        let text = || argument.as_str().unwrap_or_default();
        match what {
            "fetch" => {
                let reply = self.host.fetch(&request(&argument))?;
                Ok(json!({"status": reply.status, "headers": reply.headers, "body": reply.body}))
            }
            "place" => self.host.place(text()),
            "credential" => Ok(json!(self.host.credential(text()))),
            _ => Err(format!("there is no {what}")),
        }
    }
}

fn request(argument: &Value) -> Request {
    let text = |name: &str| argument[name].as_str().unwrap_or_default().to_owned();
    let headers: BTreeMap<String, String> = argument["headers"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    Request { method: text("method"), url: text("url"), headers, body: argument["body"].as_str().map(str::to_owned) }
}
