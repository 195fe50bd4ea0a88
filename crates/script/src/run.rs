//! A batch of events through a program.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rquickjs::{Function, Value as Js};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::fault::{Fault, FaultKind};
use crate::globals::Meter;
use crate::program::{Entry, Program};
use crate::sandbox::{self, Loaded};
use crate::{Host, Limits};

/// An event of a batch.
#[derive(Debug, Clone)]
pub struct Input<'i> {
    /// The event.
    pub event: &'i Value,
    /// What `metadata(event)` answers; found by the event's `messageId`.
    pub metadata: Map<String, Value>,
}

/// A line that the code wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// At which event of the batch, from 0; none while it was loaded, or with `transformBatch`.
    pub event: Option<usize>,
    /// What it wrote.
    pub text: String,
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq)]
pub enum Transformed {
    /// One or more events in its place.
    Kept(Vec<Value>),
    /// The code left it out.
    Dropped,
    /// The code failed on it.
    Failed(Fault),
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// One for each event, in their order.
    pub events: Vec<Transformed>,
    /// What the code wrote.
    pub log: Vec<LogLine>,
    /// Lines that were too many to be kept.
    pub log_left_out: usize,
}

impl Program {
    /// Runs a batch. Never fails as a whole: a fault of the program is every event's.
    #[must_use]
    pub fn run(&self, batch: &[Input<'_>], host: Arc<dyn Host>, limits: &Limits) -> Outcome {
        let meter = Rc::new(Meter::new(host, limits.clone()));
        let end = meter.host.elapsed() + limits.total;
        let mut work = Work { program: self, batch, meter: Rc::clone(&meter), end, out: Vec::with_capacity(batch.len()) };
        match self.entry() {
            Entry::Event => work.events(),
            Entry::Batch => work.batch(),
        }
        Outcome { events: work.out, log: meter.take_log(), log_left_out: meter.log_left_out.get() }
    }
}

struct Work<'w> {
    program: &'w Program,
    batch: &'w [Input<'w>],
    meter: Rc<Meter>,
    /// When what is left is not tried any more, by the host's clock.
    end: Duration,
    out: Vec<Transformed>,
}

impl Work<'_> {
    /// Events one after another; in a new context after one that spoilt it.
    fn events(&mut self) {
        let known = self.known();
        for _ in 0..self.meter.limits.stops {
            if self.out.len() == self.batch.len() {
                return;
            }
            let (program, meter) = (self.program, Rc::clone(&self.meter));
            let ran = sandbox::with(program, &meter, |loaded| {
                let metadata = loaded.metadata(&known)?;
                self.until_spoilt(loaded, &metadata);
                Ok(())
            });
            if let Err(fault) = ran {
                self.fail_rest(&fault);
            }
        }
        let stops = self.meter.limits.stops;
        let message = format!("not tried: the transformation had to be stopped at {stops} events of the same batch");
        self.fail_rest(&Fault::new(FaultKind::Untried, message));
    }

    fn until_spoilt<'js>(&mut self, loaded: &Loaded<'js>, metadata: &Function<'js>) {
        while let Some(input) = self.batch.get(self.out.len()) {
            if self.meter.host.elapsed() >= self.end {
                let message = format!("not tried: the events before it took {:?} together", self.meter.limits.total);
                return self.fail_rest(&Fault::new(FaultKind::Untried, message));
            }
            self.meter.event.set(Some(self.out.len()));
            let answered = loaded.call(&input.event.to_string(), metadata);
            let became = answered.and_then(|value| self.became(loaded, &value)).unwrap_or_else(Transformed::Failed);
            let spoilt = matches!(&became, Transformed::Failed(fault) if fault.kind.spoils());
            self.out.push(became);
            if spoilt {
                return;
            }
        }
    }

    fn became<'js>(&self, loaded: &Loaded<'js>, value: &Js<'js>) -> Result<Transformed, Fault> {
        if value.is_null() || value.is_undefined() {
            return Ok(Transformed::Dropped);
        }
        let wrong = || {
            let message = format!("returned {}: return the event, a list of events, or nothing to drop it", value.type_name());
            Fault::new(FaultKind::Result, message)
        };
        if !value.is_object() || value.is_function() {
            return Err(wrong());
        }
        let events = match self.read(loaded, value)? {
            Value::Array(events) => events,
            Value::Object(event) => vec![Value::Object(event)],
            _ => return Err(wrong()),
        };
        if events.len() > self.meter.limits.fan_out {
            let message = format!("returned {} events for one: at most {}", events.len(), self.meter.limits.fan_out);
            return Err(Fault::new(FaultKind::Result, message));
        }
        match events.iter().find(|event| !event.is_object()) {
            Some(_) => Err(Fault::new(FaultKind::Result, "returned a list in which not everything is an event")),
            None if events.is_empty() => Ok(Transformed::Dropped),
            None => Ok(Transformed::Kept(events)),
        }
    }

    /// A value that came back, by way of JSON.
    fn read<'js>(&self, loaded: &Loaded<'js>, value: &Js<'js>) -> Result<Value, Fault> {
        let limit = self.meter.limits.output * if self.program.entry() == Entry::Batch { self.batch.len().max(1) } else { 1 };
        let Some(text) = loaded.json(value)? else {
            return Err(Fault::new(FaultKind::Result, "returned what has no form in JSON"));
        };
        if text.len() > limit {
            return Err(Fault::new(FaultKind::Result, format!("returned {} bytes of JSON: at most {limit}", text.len())));
        }
        serde_json::from_str(&text)
            .map_err(|error| Fault::new(FaultKind::Result, format!("returned what cannot be kept as JSON: {error}")))
    }

    /// The batch at once. Outputs are tied to inputs by `messageId`; one with none that is known follows the one before it.
    fn batch(&mut self) {
        let known = self.known();
        let list = Value::Array(self.batch.iter().map(|input| input.event.clone()).collect()).to_string();
        let (program, meter) = (self.program, Rc::clone(&self.meter));
        let answered = sandbox::with(program, &meter, |loaded| {
            let metadata = loaded.metadata(&known)?;
            let value = loaded.call(&list, &metadata)?;
            let wrong = || Fault::new(FaultKind::Result, "transformBatch has to return a list of events");
            if !value.is_array() {
                return Err(wrong());
            }
            match self.read(loaded, &value)? {
                Value::Array(events) if events.iter().all(Value::is_object) => Ok(events),
                _ => Err(wrong()),
            }
        });
        match answered {
            Ok(events) => self.out = tie(self.batch, events),
            Err(fault) => self.fail_rest(&fault),
        }
    }

    fn fail_rest(&mut self, fault: &Fault) {
        self.out.resize(self.batch.len(), Transformed::Failed(fault.clone()));
    }

    /// What is known of each event, by message id.
    fn known(&self) -> String {
        let known = self.batch.iter().filter_map(|input| {
            let id = input.event.get("messageId").and_then(Value::as_str)?;
            Some((id.to_owned(), Value::Object(input.metadata.clone())))
        });
        Value::Object(known.collect()).to_string()
    }
}

fn tie(batch: &[Input<'_>], events: Vec<Value>) -> Vec<Transformed> {
    let id = |event: &Value| event.get("messageId").and_then(Value::as_str).map(str::to_owned);
    let places: std::collections::HashMap<String, usize> =
        batch.iter().enumerate().rev().filter_map(|(index, input)| Some((id(input.event)?, index))).collect();
    let mut kept: Vec<Vec<Value>> = vec![Vec::new(); batch.len()];
    let mut place = 0;
    for event in events {
        place = id(&event).and_then(|id| places.get(&id).copied()).unwrap_or(place);
        if let Some(kept) = kept.get_mut(place) {
            kept.push(event);
        }
    }
    kept.into_iter().map(|events| if events.is_empty() { Transformed::Dropped } else { Transformed::Kept(events) }).collect()
}
