//! Events on their way through a transformation ([`script`]) before a flow looks at them.

use std::sync::Arc;

use domain::{Source, Timestamp, TransformationId};
use script::{Fault, FaultKind, Host, Input, Limits, LogLine, Program, Transformed};
use serde_json::{Map, Value, json};

/// A transformation that is ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transformation {
    /// Its id.
    pub id: TransformationId,
    /// Its version: how often it was changed.
    pub version: i64,
    /// Its code.
    pub program: Program,
}

/// An event with what `metadata(event)` tells about it.
#[derive(Debug, Clone, Copy)]
pub struct Arrived<'a> {
    /// The event.
    pub event: &'a Value,
    /// Who sent it; none in a trial without one.
    pub source: Option<&'a Source>,
    /// When it reached us.
    pub received_at: Timestamp,
}

impl Transformation {
    /// Runs events through it, in one context.
    #[must_use]
    pub fn run(&self, events: &[Arrived<'_>], host: Arc<dyn Host>, limits: &Limits) -> script::Outcome {
        let batch: Vec<Input<'_>> = events.iter().map(|arrived| self.input(*arrived)).collect();
        self.program.run(&batch, host, limits)
    }

    /// An event as its code is given it.
    #[must_use]
    pub fn input<'a>(&self, arrived: Arrived<'a>) -> Input<'a> {
        Input { event: arrived.event, metadata: self.metadata(&arrived) }
    }

    /// What RudderStack's metadata say of an event, as far as there is such a thing here.
    fn metadata(&self, arrived: &Arrived<'_>) -> Map<String, Value> {
        let text = |key: &str| arrived.event.get(key).and_then(Value::as_str);
        let mut out = Map::new();
        if let Some(source) = arrived.source {
            out.insert("sourceId".to_owned(), json!(source.id));
            out.insert("sourceName".to_owned(), json!(source.name));
            out.insert("sourceType".to_owned(), json!(source.kind));
        }
        for (name, value) in [("messageId", "messageId"), ("eventName", "event"), ("eventType", "type"), ("recordId", "recordId")]
        {
            out.extend(text(value).map(|value| (name.to_owned(), json!(value))));
        }
        out.insert("receivedAt".to_owned(), json!(arrived.received_at));
        out.insert("transformationId".to_owned(), json!(self.id));
        out.insert("transformationVersionId".to_owned(), json!(self.version.to_string()));
        out
    }
}

/// What is kept beside an event that a transformation failed on: kind and place, without what the code said, since that may
/// repeat a value of the event.
#[must_use]
pub fn reason(fault: &Fault) -> String {
    let what = match fault.kind {
        FaultKind::Syntax => "it is no JavaScript",
        FaultKind::Import => "it imports what there is not",
        FaultKind::Export => "it does not export what is called",
        FaultKind::Thrown => "it threw an error",
        FaultKind::Time => "it took more time than an event may take",
        FaultKind::Memory => "it used more memory than it may",
        FaultKind::Stack => "it called itself too deeply",
        FaultKind::Unsettled => "it waits for what never happens",
        FaultKind::Result => "what it returned cannot be used",
        FaultKind::Untried => "it was not tried, since the events before it took too long or had to be stopped",
    };
    format!("{}: {what}; try it with the event to see what it said", fault.place())
}

/// A trial, with everything that the code said.
#[must_use]
pub fn shown(transformed: &Transformed, log: &[LogLine], log_left_out: usize) -> Value {
    let mut out = match transformed {
        Transformed::Kept(events) => json!({"outcome": "kept", "events": events}),
        Transformed::Dropped => json!({"outcome": "dropped"}),
        Transformed::Failed(fault) => json!({"outcome": "failed", "error": fault, "message": fault.to_string()}),
    };
    out["log"] = log.iter().map(|line| line.text.as_str()).collect();
    if log_left_out > 0 {
        out["log_left_out"] = json!(log_left_out);
    }
    out
}
