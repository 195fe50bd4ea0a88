//! What the tests share.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use script::{Fault, Host, Input, Limits, Outcome, Program, Reply, Request, Transformed};
use serde_json::{Map, Value, json};

/// A host with a real clock that answers one address.
pub struct TestHost(Instant);

impl TestHost {
    pub fn start() -> Arc<dyn Host> {
        // A deadline is what is measured here.
        #[allow(clippy::disallowed_methods)]
        Arc::new(Self(Instant::now()))
    }
}

impl Host for TestHost {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
    fn fetch(&self, request: &Request) -> Result<Reply, String> {
        if !request.url.starts_with("https://api.example.com/") {
            return Err("this address may not be reached".to_owned());
        }
        let body = match request.url.ends_with("/text") {
            true => "plain".to_owned(),
            false => json!({"method": request.method, "key": request.headers.get("x-key"), "sent": request.body}).to_string(),
        };
        Ok(Reply { status: 201, headers: BTreeMap::from([("x-a".to_owned(), "b".to_owned())]), body })
    }
    fn place(&self, ip: &str) -> Result<Value, String> {
        if ip == "64.233.160.0" { Ok(json!({"country": "US"})) } else { Err("not known".to_owned()) }
    }
    fn credential(&self, key: &str) -> Option<String> {
        (key == "token").then(|| "s3cret".to_owned())
    }
}

pub fn checked(source: &str, libraries: &[(&str, &str)]) -> Result<Program, Fault> {
    let libraries = libraries.iter().map(|(name, source)| ((*name).to_owned(), (*source).to_owned())).collect();
    Program::check(source, Arc::new(libraries), TestHost::start(), &Limits::default())
}

pub fn run_with(program: &Program, events: &[Value], limits: &Limits) -> Outcome {
    let metadata = |index: usize| Map::from_iter([("sourceId".to_owned(), json!(format!("source-{index}")))]);
    let batch: Vec<Input<'_>> =
        events.iter().enumerate().map(|(index, event)| Input { event, metadata: metadata(index) }).collect();
    program.run(&batch, TestHost::start(), limits)
}

pub fn run(source: &str, events: &[Value]) -> Outcome {
    run_with(&checked(source, &[]).unwrap(), events, &Limits::default())
}

/// The single event that one event became.
pub fn one(source: &str, event: Value) -> Value {
    match run(source, &[event]).events.remove(0) {
        Transformed::Kept(mut events) if events.len() == 1 => events.remove(0),
        other => panic!("{other:?}"),
    }
}

pub fn fault(outcome: &Outcome, index: usize) -> &Fault {
    match &outcome.events[index] {
        Transformed::Failed(fault) => fault,
        other => panic!("{other:?}"),
    }
}
