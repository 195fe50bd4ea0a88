//! The load generator, run as a process of its own so that its processor time is not the server's. Loopback alone, bounded in
//! count and time. It is also the sink that webhooks are sent to, so that both ends of a delivery are timed by one clock.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::hmac;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::sink::{self, Received};
use crate::stats::percentile;

/// Longest that a run may take, whatever it was asked for.
const MAX_SECONDS: f64 = 900.0;
/// How long the next delivery is waited for.
const SINK_PATIENCE: Duration = Duration::from_secs(30);
/// How often the open loop releases what is due.
const TICK: Duration = Duration::from_millis(1);
/// Requests that may be due and not sent.
const MAX_WAITING: usize = 100_000;
/// What stands before the number of an event in its user id, and in the webhook that it causes.
pub(crate) const MARK: &str = "bench-user-";

/// What to send.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Server, as `127.0.0.1:8080`
    #[arg(long)]
    server: SocketAddr,
    /// Write key of the source
    #[arg(long)]
    write_key: String,
    /// Name of the events
    #[arg(long)]
    event: String,
    /// Send to the address of this source and not to RudderStack's data plane
    #[arg(long, requires = "secret")]
    source: Option<String>,
    /// Sign bodies with this secret: HMAC-SHA256, hexadecimal, in `X-Signature`
    #[arg(long)]
    secret: Option<String>,
    /// Number of the first event
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Connections at once
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Events in a request; with 1, single `track` calls are sent
    #[arg(long, default_value_t = 1)]
    batch: u64,
    /// Events per second; without it every connection sends as soon as it has its answer
    #[arg(long)]
    rate: Option<u64>,
    /// Most seconds
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Most events
    #[arg(long, default_value_t = 5_000_000)]
    events: u64,
    /// Port of the sink that deliveries are expected at
    #[arg(long)]
    sink: Option<u16>,
    /// Port of endpoints that do not answer as they should, on a thread of their own: what they stream holds up no other
    #[arg(long, requires = "sink")]
    hostile: Option<u16>,
    /// Deliveries that each event causes, to `/in/0`, `/in/1` … of the sink
    #[arg(long, default_value_t = 1)]
    endpoints: u32,
}

impl Options {
    fn requests(&self) -> u64 {
        self.events.div_ceil(self.batch)
    }
}

/// What happened.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Events that were accepted.
    pub(crate) events: u64,
    /// Requests that were refused or failed.
    pub(crate) failed: u64,
    pub(crate) seconds: f64,
    pub(crate) accept_p50_ms: f64,
    pub(crate) accept_p99_ms: f64,
    /// Webhooks that came, each event's at each endpoint once.
    pub(crate) delivered: u64,
    /// From the start to the last webhook.
    pub(crate) delivered_seconds: f64,
    /// Mean bytes of a webhook's body.
    pub(crate) delivered_bytes: u64,
    pub(crate) delivery_p50_ms: f64,
    pub(crate) delivery_p99_ms: f64,
    /// The first refusal, in words.
    pub(crate) fault: Option<String>,
}

/// Runs the load generator against a server on this machine, in a process of its own.
pub(crate) fn start(server: SocketAddr, arguments: &[(&str, String)]) -> Result<Outcome> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["load", "--server", &server.to_string()]);
    for (name, value) in arguments {
        command.args([*name, value]);
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the load generator failed");
    let outcome: Outcome = serde_json::from_slice(&output.stdout)?;
    ensure!(outcome.failed == 0, "{} requests failed, the first: {:?}", outcome.failed, outcome.fault);
    Ok(outcome)
}

/// When each event was accepted, by its number.
type Accepted = Arc<Mutex<HashMap<u64, Instant>>>;

#[derive(Default)]
struct Tally {
    events: u64,
    failed: u64,
    latencies_ms: Vec<f64>,
    fault: Option<String>,
}

pub(crate) async fn run(options: Options) -> Result<Outcome> {
    ensure!(options.server.ip().is_loopback(), "load is sent to this machine alone");
    ensure!(options.seconds <= MAX_SECONDS && options.batch > 0, "at most {MAX_SECONDS} seconds, at least one event a request");
    let options = Arc::new(options);
    let (accepted, received) = (Accepted::default(), Received::default());
    if let Some(port) = options.sink {
        tokio::spawn(sink::serve(TcpListener::bind(("127.0.0.1", port)).await?, Arc::clone(&received)));
    }
    if let Some(port) = options.hostile {
        sink::serve_apart(port)?;
    }
    let (send, due) = mpsc::channel(MAX_WAITING);
    let start = Instant::now();
    let work = Arc::new(Work { start, next: AtomicU64::new(0), due: tokio::sync::Mutex::new(due) });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..options.connections {
        tasks.spawn(connection(Arc::clone(&options), Arc::clone(&work), Arc::clone(&accepted)));
    }
    if let Some(rate) = options.rate {
        release(&options, rate, send).await?;
    }
    let mut tally = Tally::default();
    while let Some(done) = tasks.join_next().await {
        let part = done??;
        tally.events += part.events;
        tally.failed += part.failed;
        tally.latencies_ms.extend(part.latencies_ms);
        tally.fault = tally.fault.or(part.fault);
    }
    let mut outcome = Outcome {
        events: tally.events,
        failed: tally.failed,
        seconds: start.elapsed().as_secs_f64(),
        accept_p50_ms: percentile(&tally.latencies_ms, 0.5),
        accept_p99_ms: percentile(&tally.latencies_ms, 0.99),
        fault: tally.fault,
        ..Outcome::default()
    };
    if options.sink.is_some() {
        await_deliveries(&options, &accepted, &received).await;
        let (accepted, received) = (lock(&accepted), sink::lock(&received));
        let waits: Vec<f64> = received
            .first
            .iter()
            .filter_map(|((number, _), came)| {
                accepted.get(number).map(|at| came.saturating_duration_since(*at).as_secs_f64() * 1000.0)
            })
            .collect();
        outcome.delivered = waits.len() as u64;
        outcome.delivered_bytes = received.bytes / received.requests.max(1);
        outcome.delivered_seconds = received.last.map_or(0.0, |last| last.saturating_duration_since(start).as_secs_f64());
        outcome.delivery_p50_ms = percentile(&waits, 0.5);
        outcome.delivery_p99_ms = percentile(&waits, 0.99);
    }
    Ok(outcome)
}

fn lock(times: &Accepted) -> std::sync::MutexGuard<'_, HashMap<u64, Instant>> {
    times.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until every event that was accepted came to every endpoint, or nothing has come for a while.
async fn await_deliveries(options: &Options, accepted: &Accepted, received: &Received) {
    let expected = lock(accepted).len() * options.endpoints as usize;
    let mut seen = (0, Instant::now());
    while seen.0 < expected && seen.1.elapsed() < SINK_PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let came = sink::lock(received).first.len();
        if came > seen.0 {
            seen = (came, Instant::now());
        }
    }
}

/// What is to be sent next.
struct Work {
    start: Instant,
    /// Number of the next request of a closed loop.
    next: AtomicU64,
    /// Requests of an open loop with the moment of their release.
    due: tokio::sync::Mutex<mpsc::Receiver<(u64, Instant)>>,
}

impl Work {
    /// The next request and the moment from which its latency counts.
    async fn take(&self, options: &Options) -> Option<(u64, Instant)> {
        if options.rate.is_some() {
            return self.due.lock().await.recv().await;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let goes_on = number < options.requests() && self.start.elapsed().as_secs_f64() < options.seconds;
        goes_on.then(|| (number, Instant::now()))
    }
}

/// Releases the requests of an open loop by the clock.
async fn release(options: &Options, rate: u64, send: mpsc::Sender<(u64, Instant)>) -> Result<()> {
    let mut ticks = tokio::time::interval(TICK);
    let (start, mut number) = (Instant::now(), 0);
    while number < options.requests() && start.elapsed().as_secs_f64() < options.seconds {
        ticks.tick().await;
        let due = (start.elapsed().as_secs_f64() * rate as f64 / options.batch as f64) as u64;
        while number < due.min(options.requests()) {
            send.send((number, Instant::now())).await?;
            number += 1;
        }
    }
    Ok(())
}

async fn connection(options: Arc<Options>, work: Arc<Work>, accepted: Accepted) -> Result<Tally> {
    use base64::Engine as _;
    let stream = TcpStream::connect(options.server).await.with_context(|| format!("no server at {}", options.server))?;
    stream.set_nodelay(true)?;
    let (mut sender, driver) = handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await?;
    tokio::spawn(driver);
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{}:", options.write_key)));
    let key = options.secret.as_ref().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
    let caller = Caller { options: &options, basic, key };
    let mut tally = Tally::default();
    while let Some((request, from)) = work.take(&options).await {
        let first = options.first + request * options.batch;
        match caller.send(&mut sender, first).await {
            Ok(None) => {
                let now = Instant::now();
                tally.events += options.batch;
                tally.latencies_ms.push((now - from).as_secs_f64() * 1000.0);
                if options.sink.is_some() {
                    lock(&accepted).extend((first..first + options.batch).map(|number| (number, now)));
                }
            }
            Ok(Some(refusal)) => {
                tally.failed += 1;
                tally.fault.get_or_insert(refusal);
            }
            Err(fault) => {
                tally.failed += 1;
                tally.fault.get_or_insert(fault.to_string());
                break;
            }
        }
    }
    Ok(tally)
}

/// Who sends, and by which key.
struct Caller<'o> {
    options: &'o Options,
    basic: String,
    key: Option<hmac::Key>,
}

impl Caller<'_> {
    /// Sends one request; gives the refusal in words where there is one.
    async fn send(&self, sender: &mut SendRequest<Full<Bytes>>, first: u64) -> Result<Option<String>> {
        let options = self.options;
        let (name, batch) = (&options.event, options.batch);
        let request = Request::builder()
            .method(Method::POST)
            .header(header::HOST, options.server.to_string())
            .header(header::CONTENT_TYPE, "application/json");
        let request = match (&options.source, &self.key) {
            (Some(source), Some(key)) => {
                let body = if batch == 1 { event(name, first) } else { events(name, first, batch) };
                let signature = data_encoding::HEXLOWER.encode(hmac::sign(key, body.as_bytes()).as_ref());
                request.uri(format!("/ingest/{source}")).header("x-signature", signature).body(Full::new(Bytes::from(body)))?
            }
            _ => {
                let path = if batch == 1 { "/rudderstack/v1/track" } else { "/rudderstack/v1/batch" };
                let body = Full::new(Bytes::from(body(name, first, batch)));
                request.uri(path).header(header::AUTHORIZATION, &self.basic).body(body)?
            }
        };
        sender.ready().await?;
        let reply = sender.send_request(request).await?;
        let status = reply.status();
        let body = reply.into_body().collect().await?.to_bytes();
        Ok((!status.is_success()).then(|| format!("{status}: {}", String::from_utf8_lossy(&body))))
    }
}

/// What RudderStack's data plane is sent: a single event, or a batch of them.
pub(crate) fn body(name: &str, first: u64, batch: u64) -> String {
    if batch == 1 { event(name, first) } else { format!("{{\"batch\":{}}}", events(name, first, batch)) }
}

/// An array of events.
fn events(name: &str, first: u64, batch: u64) -> String {
    let events: Vec<String> = (first..first + batch).map(|number| event(name, number)).collect();
    format!("[{}]", events.join(","))
}

/// A `track` call as an SDK sends it, about a kilobyte.
pub(crate) fn event(name: &str, number: u64) -> String {
    format!(
        concat!(
            r#"{{"type":"track","event":"{name}","userId":"{mark}{number}","anonymousId":"4d9f0c1e-3b7a-4a55-9a3e-{number:012x}","#,
            r#""messageId":"bench-message-{number}","channel":"web","originalTimestamp":"2026-11-20T12:00:00.000Z","#,
            r#""sentAt":"2026-11-20T12:00:00.100Z","properties":{{"total":12.5,"currency":"EUR","order_id":"o-{number}","#,
            r#""tier":"silver","store":"Harbour Street 12","items":[{{"sku":"beans-1kg","name":"House blend, 1 kg","price":9.5,"quantity":1}},"#,
            r#"{{"sku":"cup-blue","name":"Cup, blue","price":3.0,"quantity":1}}]}},"context":{{"traits":{{"name":"Robin Example","#,
            r#""email":"robin.{number}@example.com","phone":"+49 30 0000000"}},"library":{{"name":"RudderLabs JavaScript SDK","version":"3.0.0"}},"#,
            r#""locale":"de-DE","userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36","#,
            r#""page":{{"path":"/checkout","referrer":"https://shop.example/cart","search":"?utm_source=mail","title":"Checkout","#,
            r#""url":"https://shop.example/checkout?utm_source=mail"}},"screen":{{"width":1440,"height":900,"density":2}},"#,
            r#""campaign":{{"source":"mail","medium":"newsletter","name":"november"}},"timezone":"Europe/Berlin"}}}}"#
        ),
        name = name,
        mark = MARK,
        number = number
    )
}
