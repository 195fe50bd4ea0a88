//! Deliveries that a target's own code makes.

use std::{sync::Arc, time::Duration};

use connectors::{
    catalog::Call,
    custom::settings::CODE,
    kit::{Credentials, Outcome, Owed},
};
use domain::{FieldValue, Target};
use outbound::http::Client;
use script::{Called, Connector, Host, Limits, Reply, Request};
use serde_json::json;

use super::{
    lane::{Lane, Lesson},
    send::{Attempted, Delivery, Then, Tried},
    targets::Ready,
};
use crate::{flow_reader::transform::Outside, shard::House};

/// What one call may use.
const LIMITS: Limits = Limits {
    time: Duration::from_millis(500),
    total: Duration::from_secs(20),
    host_time: Duration::from_secs(20),
    host_calls: 20,
    memory: 48 * 1024 * 1024,
    stack: 512 * 1024,
    log_lines: 100,
    log_line: 1_024,
    output: 1,
    fan_out: 1,
    stops: 1,
};
/// The longest that a call is waited for; code that the engine cannot interrupt is then left to end by itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// The setting under which secrets stand.
const SECRET: &str = "secret.";

type Which = fn(&Owed<'_>, &Target) -> Option<Call>;

/// One call for each delivery.
pub(super) async fn run(
    house: &Arc<House>,
    lane: &Lane,
    to: &Ready,
    credentials: Credentials,
    client: &Client,
    which: Which,
    deliveries: &[Delivery],
) -> Vec<Attempted> {
    let mut attempted = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let owed = Owed {
            event: &delivery.event,
            delivery: delivery.id,
            public_url: &house.settings.webhooks.public_url,
            unsubscribe: None,
            bodies: None,
        };
        let Some(call) = which(&owed, to.target()) else {
            attempted.push(Attempted { row: None, then: Then::Over });
            continue;
        };
        let at = house.now();
        let started = tokio::time::Instant::now();
        let tried = one(client, to.target(), credentials.clone(), call).await;
        let failed = tried.as_ref().is_some_and(|tried| tried.outcome != Outcome::Delivered);
        let (elapsed, now, random) = (started.elapsed(), house.now(), house.random());
        lane.learn(Lesson { elapsed, timed_out: false, failed, busy: false, left_alone_until: None, now, random });
        attempted.push(match tried {
            Some(tried) => delivery.conclude(house, at, &Tried { elapsed: started.elapsed(), ..tried }),
            None => Attempted { row: None, then: Then::Over },
        });
    }
    attempted
}

/// One call; nothing when the code has no such function.
async fn one(client: &Client, target: &Target, credentials: Credentials, call: Call) -> Option<Tried> {
    let Some(FieldValue::Text(code)) = target.settings.get(CODE.name) else {
        return Some(Tried::never("it has no code".to_owned()));
    };
    let connector = Connector::new(code);
    let hidden = credentials.clone();
    let host: Arc<dyn Host> = Arc::new(WithSecrets { outside: Outside::new(client.clone()), credentials });
    let (point, function) = (call.point, call.function);
    let shown = json!({ "point": point, "function": function, "device": argument(&call, "device") });
    let run = tokio::task::spawn_blocking(move || connector.call(call.point, call.function, &call.arguments, host, &LIMITS));
    let (result, log) = match tokio::time::timeout(PATIENCE, run).await {
        Ok(Ok(Called { result, log })) => (result.map_err(|fault| (fault.place(), fault.to_string())), log),
        Ok(Err(_)) => (Err(("connector".to_owned(), "the code ended in a panic of its engine".to_owned())), Vec::new()),
        Err(_) => (Err(("connector".to_owned(), "the code did not end and was left".to_owned())), Vec::new()),
    };
    let lines: Vec<String> = log.into_iter().map(|line| hidden.mask(&line.text)).collect();
    let mut more = vec![("call", shown), ("log", json!(lines))];
    let (outcome, error) = match result {
        Ok(false) => return None,
        Ok(true) => (Outcome::Delivered, None),
        Err((place, said)) => {
            // What the code says may repeat values of the event; the place does not.
            more.push(("fault", json!(hidden.mask(&said))));
            (Outcome::later(), Some(format!("the code failed at {place}")))
        }
    };
    Some(Tried { outcome, error, more, ..Tried::unsent(String::new()) })
}

fn argument(call: &Call, name: &str) -> serde_json::Value {
    call.arguments.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

/// The outside, with the target's secrets.
struct WithSecrets {
    outside: Outside,
    credentials: Credentials,
}

impl Host for WithSecrets {
    fn elapsed(&self) -> Duration {
        self.outside.elapsed()
    }
    fn fetch(&self, request: &Request) -> Result<Reply, String> {
        self.outside.fetch(request)
    }
    fn credential(&self, key: &str) -> Option<String> {
        self.credentials.get(&format!("{SECRET}{key}")).map(str::to_owned)
    }
}
