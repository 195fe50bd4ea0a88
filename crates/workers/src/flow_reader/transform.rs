//! What transformations of source events may use, and how they ask for what is outside.

use std::time::Duration;

use bytes::Bytes;
use outbound::http::Client;
use script::{Host, Limits, Reply, Request};
use tokio::{runtime::Handle, time::Instant};

/// What code may use for an event.
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
/// The longest that code is waited for; code that the engine cannot interrupt is then left to end by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Of one request that code makes.
const FETCH: outbound::http::Limits = outbound::http::Limits { deadline: Duration::from_secs(4), max_body: 1 << 20 };

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
