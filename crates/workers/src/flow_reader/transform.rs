//! Events on their way through their flows' transformations, before the flows look at them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use domain::{SourceEventId, TransformationId};
use flows::transform::{Arrived, Transformation};
use outbound::http::Client;
use script::{Host, Limits, Reply, Request, Transformed};
use serde_json::Value;
use store::InboxEntry;
use tokio::{runtime::Handle, time::Instant};

use super::plans::OrgPlans;
use crate::shard::House;

/// What code may use while other customers' events wait behind it.
pub(crate) const LIMITS: Limits = Limits {
    time: Duration::from_millis(500),
    total: Duration::from_secs(5),
    host_time: Duration::from_secs(5),
    host_calls: 500,
    memory: 48 * 1024 * 1024,
    stack: 512 * 1024,
    log_lines: 0,
    log_line: 0,
    output: 512 * 1024,
    fan_out: 100,
    stops: 3,
};
/// The longest that a batch is waited for; code that the engine cannot interrupt is then left to end by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Of one request that code makes.
const FETCH: outbound::http::Limits = outbound::http::Limits { deadline: Duration::from_secs(4), max_body: 1 << 20 };

/// An event with the flows of its organization.
type At = (InboxEntry, Arc<OrgPlans>);

/// What transformations made of events.
#[derive(Debug, Default)]
pub(crate) struct Made(HashMap<(SourceEventId, TransformationId), Transformed>);

impl Made {
    pub(crate) fn of(&self, event: SourceEventId, transformation: TransformationId) -> Option<&Transformed> {
        self.0.get(&(event, transformation))
    }
}

/// Runs every event through every transformation that a flow of its organization wants it to go through, each
/// transformation once over all of its events.
pub(crate) async fn run(house: &House, entries: &[At]) -> Made {
    let mut work: HashMap<TransformationId, (Transformation, Vec<&At>)> = HashMap::new();
    for at in entries {
        let (entry, plans) = at;
        for plan in plans.plans.iter().filter(|plan| plan.listens_to(entry.source)) {
            let Some(transformation) = plans.transformations.get(&plan.id()) else { continue };
            let (_, events) = work.entry(transformation.id).or_insert_with(|| (transformation.clone(), Vec::new()));
            if events.last().is_none_or(|last| last.0.id != entry.id) {
                events.push(at);
            }
        }
    }
    let mut made = Made::default();
    for (id, (transformation, entries)) in work {
        let read = |at: &&At| {
            let (entry, plans) = *at;
            let event: Value = serde_json::from_str(entry.payload.as_deref()?).ok()?;
            Some((entry.id, event, plans.sources.get(&entry.source).cloned(), entry.received_at))
        };
        let events: Vec<_> = entries.iter().filter_map(read).collect();
        let ids: Vec<SourceEventId> = events.iter().map(|event| event.0).collect();
        let host: Arc<dyn Host> = Arc::new(Outside::new(house.client.clone()));
        let ran = tokio::task::spawn_blocking(move || {
            let arrived: Vec<Arrived<'_>> = events
                .iter()
                .map(|(_, event, source, received_at)| Arrived { event, source: source.as_deref(), received_at: *received_at })
                .collect();
            transformation.run(&arrived, host, &LIMITS).events
        });
        match tokio::time::timeout(PATIENCE, ran).await {
            Ok(Ok(out)) => made.0.extend(ids.into_iter().map(|event| (event, id)).zip(out)),
            // What is missing parks its events.
            Ok(Err(error)) => tracing::error!(%error, transformation = %id, "a transformation ended in a panic"),
            Err(_) => tracing::warn!(transformation = %id, "a transformation did not end and was left"),
        }
    }
    made
}

/// What code may ask of the outside: requests, under the policy for addresses that users name.
pub(crate) struct Outside {
    client: Client,
    runtime: Handle,
    began: Instant,
}

impl Outside {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, runtime: Handle::current(), began: Instant::now() }
    }
}

impl Host for Outside {
    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn fetch(&self, request: &Request) -> Result<Reply, String> {
        let mut out = http::Request::builder().method(request.method.as_str()).uri(request.url.as_str());
        for (name, value) in &request.headers {
            out = out.header(name, value);
        }
        let body = Bytes::from(request.body.clone().unwrap_or_default());
        let out = out.body(body).map_err(|error| error.to_string())?;
        let reply = self.runtime.block_on(self.client.send(out, FETCH)).map_err(|failure| failure.to_string())?;
        if reply.body_truncated {
            return Err(format!("the answer is longer than {} bytes", FETCH.max_body));
        }
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Ok(Reply {
            status: reply.status.as_u16(),
            headers: reply.headers.iter().map(header).collect(),
            body: String::from_utf8_lossy(&reply.body).into_owned(),
        })
    }
}
