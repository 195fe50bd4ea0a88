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

impl Transformed {
    /// Whether the code failed in a way after which its context is not used again: it had to be stopped.
    #[must_use]
    pub fn spoils(&self) -> bool {
        matches!(self, Self::Failed(fault) if fault.kind.spoils())
    }
}

/// Events that come one at a time, each when the one before is done with.
pub trait Feed {
    /// The next event; none when the run is to end.
    fn next(&mut self) -> Option<Input<'_>>;
    /// What became of the event that was given last.
    fn became(&mut self, transformed: Transformed);
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

    /// Runs `transformEvent` on what a feed gives, in one context, until there is no more or an event spoilt the context. Limits
    /// on calls of the host hold for each event by itself; [`Limits::total`] and [`Limits::stops`] are the feed's to keep.
    pub fn pull(&self, feed: &mut dyn Feed, host: Arc<dyn Host>, limits: &Limits) {
        let meter = Rc::new(Meter::new(host, limits.clone()));
        let Some(first) = feed.next().map(|input| Taken::of(&input)) else { return };
        let ran = sandbox::with(self, &meter, |loaded| {
            let mut next = Some(first);
            while let Some(taken) = next.take() {
                meter.begin();
                let metadata = loaded.metadata(&taken.known);
                let became = metadata.and_then(|metadata| one(&meter, loaded, &taken.event, &metadata));
                let became = became.unwrap_or_else(Transformed::Failed);
                let spoilt = became.spoils();
                feed.became(became);
                if !spoilt {
                    next = feed.next().map(|input| Taken::of(&input));
                }
            }
            Ok(())
        });
        // It could not be loaded: nothing was tried.
        if let Err(fault) = ran {
            feed.became(Transformed::Failed(fault));
        }
    }
}

/// An event of a feed and what is known of it, as JSON.
struct Taken {
    event: String,
    known: String,
}

impl Taken {
    fn of(input: &Input<'_>) -> Self {
        Self { event: input.event.to_string(), known: known(std::slice::from_ref(input)) }
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
        let known = known(self.batch);
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
            let became = one(&self.meter, loaded, &input.event.to_string(), metadata).unwrap_or_else(Transformed::Failed);
            let spoilt = became.spoils();
            self.out.push(became);
            if spoilt {
                return;
            }
        }
    }

    /// The batch at once. Outputs are tied to inputs by `messageId`; one with none that is known follows the one before it.
    fn batch(&mut self) {
        let known = known(self.batch);
        let list = Value::Array(self.batch.iter().map(|input| input.event.clone()).collect()).to_string();
        let (program, meter) = (self.program, Rc::clone(&self.meter));
        let answered = sandbox::with(program, &meter, |loaded| {
            let metadata = loaded.metadata(&known)?;
            let value = loaded.call(&list, &metadata)?;
            let wrong = || Fault::new(FaultKind::Result, "transformBatch has to return a list of events");
            if !value.is_array() {
                return Err(wrong());
            }
            match read(loaded, &value, meter.limits.output * self.batch.len().max(1))? {
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
}

/// What is known of each event, by message id, as JSON.
fn known(batch: &[Input<'_>]) -> String {
    let known = batch.iter().filter_map(|input| {
        let id = input.event.get("messageId").and_then(Value::as_str)?;
        Some((id.to_owned(), Value::Object(input.metadata.clone())))
    });
    Value::Object(known.collect()).to_string()
}

/// One event, as JSON, through `transformEvent`.
fn one<'js>(meter: &Meter, loaded: &Loaded<'js>, event: &str, metadata: &Function<'js>) -> Result<Transformed, Fault> {
    let value = loaded.call(event, metadata)?;
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
    let events = match read(loaded, &value, meter.limits.output)? {
        Value::Array(events) => events,
        Value::Object(event) => vec![Value::Object(event)],
        _ => return Err(wrong()),
    };
    if events.len() > meter.limits.fan_out {
        let message = format!("returned {} events for one: at most {}", events.len(), meter.limits.fan_out);
        return Err(Fault::new(FaultKind::Result, message));
    }
    match events.iter().find(|event| !event.is_object()) {
        Some(_) => Err(Fault::new(FaultKind::Result, "returned a list in which not everything is an event")),
        None if events.is_empty() => Ok(Transformed::Dropped),
        None => Ok(Transformed::Kept(events)),
    }
}

/// A value that came back, by way of JSON of at most so many bytes.
fn read<'js>(loaded: &Loaded<'js>, value: &Js<'js>, limit: usize) -> Result<Value, Fault> {
    let Some(text) = loaded.json(value)? else {
        return Err(Fault::new(FaultKind::Result, "returned what has no form in JSON"));
    };
    if text.len() > limit {
        return Err(Fault::new(FaultKind::Result, format!("returned {} bytes of JSON: at most {limit}", text.len())));
    }
    serde_json::from_str(&text)
        .map_err(|error| Fault::new(FaultKind::Result, format!("returned what cannot be kept as JSON: {error}")))
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
