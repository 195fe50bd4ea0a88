//! A Google Wallet in small: the REST interface with its rules and limits, access tokens, root keys, and holders who save
//! and delete passes, of which it tells by signed call-backs.
//!
//! It enforces what Google documents and forgets nothing in between: what was inserted is there, what was not is 404. It can
//! be told to fail, to cut the line after it has done what it was asked, and to keep quiet about what holders do.
//! Public sources: the discovery document of `walletobjects` v1 and the guides under <https://developers.google.com/wallet>.

mod batch;
mod callback;
mod holder;
mod rest;
mod rules;
mod token;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::iphone::Network;
use callback::Keys;
use token::Accounts;

pub use callback::{Event, Letter, Root};
pub use holder::HolderError;
pub use token::BadKeyFile;

/// Requests per second that a project is granted.
pub const REQUESTS_PER_SECOND: usize = 20;
/// Messages and updates that may notify the holder of one pass in 24 hours.
pub const NOTIFICATIONS_PER_DAY: usize = 3;
/// Where the REST interface is below the server's address.
const API: &str = "/walletobjects/v1/";
/// Largest request that is read, in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;
/// Connections under way at once.
const MAX_CONNECTIONS: usize = 256;
/// Pause after the system refused to accept a connection.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Arrivals that are remembered, for who wants to check the pace.
const MAX_ARRIVALS: usize = 1 << 20;

/// The present in milliseconds since 1970.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How it behaves.
#[derive(Clone)]
pub struct Options {
    /// Its clock.
    pub now: Now,
    /// Whether a class may be called back over plain http, as it must be on one machine; Google wants https.
    pub plain_callbacks: bool,
}

impl Options {
    /// By a clock, taking any address for call-backs.
    pub fn new(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self { now: Arc::new(now), plain_callbacks: true }
    }
}

/// What happens to a request instead of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done and this status is answered.
    Status(u16),
    /// Nothing is done and the line is cut.
    LostBefore,
    /// It is done, and the line is cut before the answer.
    LostAfter,
}

/// What a holder was shown on the lock screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// On which pass.
    pub object: String,
    /// The message's text, or nothing where a field has changed.
    pub text: Option<String>,
    /// When, in milliseconds since 1970.
    pub at: i64,
}

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Its method.
    pub method: String,
    /// Its path below the interface's address.
    pub path: String,
    /// What was answered; 0 where the line was cut.
    pub status: u16,
}

/// Everything it knows. Classes and objects by collection (`loyaltyClass`) and id.
#[derive(Default)]
struct World {
    things: BTreeMap<(String, String), Value>,
    /// When requests of each project arrived, within the last second.
    window: HashMap<String, VecDeque<i64>>,
    arrivals: Vec<Arrival>,
    faults: VecDeque<Fault>,
    fault_at: Option<(String, Fault)>,
    notified: Vec<Notification>,
    mute: bool,
    sent: u64,
    /// How many requests were in each batch.
    batches: Vec<usize>,
    takes_no_batch: bool,
}

struct State {
    options: Options,
    accounts: Mutex<Accounts>,
    world: Mutex<World>,
    keys: Mutex<Keys>,
    network: Network,
    addr: SocketAddr,
    key_fetches: AtomicU64,
}

/// A running Google. Stops, with its connections, when dropped.
pub struct GoogleServer {
    /// Where it listens, on 127.0.0.1.
    pub addr: SocketAddr,
    state: Arc<State>,
    accepting: AbortHandle,
}

impl Drop for GoogleServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its keys could not be made or its network not be set up.
    #[error("the simulated Google cannot make its keys: {0}")]
    Keys(String),
    /// No port could be opened.
    #[error("the simulated Google cannot listen on 127.0.0.1: {0}")]
    Listen(#[from] io::Error),
}

impl GoogleServer {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be opened or no key be made.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        Self::start_at(0, options).await
    }

    /// Opens the port; 0 for any.
    ///
    /// # Errors
    /// When the port cannot be opened or no key be made.
    pub async fn start_at(port: u16, options: Options) -> Result<Self, StartError> {
        let keys = Keys::generate().ok_or_else(|| StartError::Keys("no random numbers".to_owned()))?;
        let network = Network::new(&[]).map_err(|error| StartError::Keys(error.to_string()))?;
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let addr = listener.local_addr()?;
        let state = Arc::new(State {
            options,
            accounts: Mutex::default(),
            world: Mutex::default(),
            keys: Mutex::new(keys),
            network,
            addr,
            key_fetches: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state))).abort_handle();
        Ok(Self { addr, state, accepting })
    }

    /// The address of the REST interface.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("http://{}{}", self.addr, API.trim_end_matches('/'))
    }

    /// Where access tokens are granted.
    #[must_use]
    pub fn token_url(&self) -> String {
        self.state.token_url()
    }

    /// Where its root signing keys are published.
    #[must_use]
    pub fn root_keys_url(&self) -> String {
        format!("http://{}/gp/m/issuer/keys", self.addr)
    }

    /// How often its root keys were fetched.
    #[must_use]
    pub fn key_fetches(&self) -> u64 {
        self.state.key_fetches.load(Ordering::Relaxed)
    }

    /// The present by its clock, in milliseconds since 1970.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.state.now()
    }

    /// Makes the account of a key file a user of an issuer, as a person does in Google's console.
    ///
    /// # Errors
    /// When it is no key file of a service account.
    pub fn add_user(&self, key_file: &[u8], issuer: &str) -> Result<(), BadKeyFile> {
        self.state.accounts.lock().add_user(key_file, issuer)
    }

    /// Forgets every access token that was granted.
    pub fn revoke_tokens(&self) {
        self.state.accounts.lock().revoke_tokens();
    }

    /// Takes new root keys; what the old ones signed is worth nothing any more.
    pub fn rotate_keys(&self) {
        if let Some(keys) = Keys::generate() {
            *self.state.keys.lock() = keys;
        }
    }

    /// The next requests to the REST interface fail so, one after another.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.world.lock().faults.extend(faults);
    }

    /// The next request whose path contains a text fails so; with `/batch`, the next batch as a whole.
    pub fn fail_matching(&self, text: &str, fault: Fault) {
        self.state.world.lock().fault_at = Some((text.to_owned(), fault));
    }

    /// Whether it keeps quiet about what holders do.
    pub fn mute(&self, mute: bool) {
        self.state.world.lock().mute = mute;
    }

    /// A class or an object as it is now, by collection (`loyaltyObject`) and id.
    #[must_use]
    pub fn get(&self, collection: &str, id: &str) -> Option<Value> {
        self.state.world.lock().things.get(&(collection.to_owned(), id.to_owned())).cloned()
    }

    /// How many classes or objects there are of a collection.
    #[must_use]
    pub fn count(&self, collection: &str) -> usize {
        self.state.world.lock().things.keys().filter(|(of, _)| of == collection).count()
    }

    /// What holders were shown on the lock screen.
    #[must_use]
    pub fn notifications(&self) -> Vec<Notification> {
        self.state.world.lock().notified.clone()
    }

    /// Every request to the REST interface so far.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.state.world.lock().arrivals.clone()
    }

    /// How many requests were in each batch so far; those that came alone are in none.
    #[must_use]
    pub fn batches(&self) -> Vec<usize> {
        self.state.world.lock().batches.clone()
    }

    /// Whether batches are refused, as at an address that has nothing.
    pub fn refuse_batches(&self, refuse: bool) {
        self.state.world.lock().takes_no_batch = refuse;
    }

    /// The most requests that arrived within any second, its end not included.
    #[must_use]
    pub fn most_in_a_second(&self) -> usize {
        let mut times: Vec<i64> = self.state.world.lock().arrivals.iter().map(|arrival| arrival.at).collect();
        times.sort_unstable();
        let within = |(index, start): (usize, &i64)| times[index..].partition_point(|at| *at < start + 1_000);
        times.iter().enumerate().map(within).max().unwrap_or(0)
    }

    /// A holder opens a save link and saves the pass; returns the object's id. The call-back has been sent when this returns.
    ///
    /// # Errors
    /// When Google would show an error page instead.
    pub async fn save(&self, link: &str) -> Result<String, HolderError> {
        let object = holder::save(&self.state, link)?;
        callback::tell(&self.state, &object, Event::Save).await;
        Ok(object)
    }

    /// A holder saves an object that is there already, and Google tells nobody.
    ///
    /// # Errors
    /// When there is no such object.
    pub fn hold(&self, object: &str) -> Result<(), HolderError> {
        holder::hold(&self.state, object)
    }

    /// A holder deletes a saved pass. The call-back has been sent when this returns.
    ///
    /// # Errors
    /// When nobody holds it.
    pub async fn delete(&self, object: &str) -> Result<(), HolderError> {
        holder::delete(&self.state, object)?;
        callback::tell(&self.state, object, Event::Del).await;
        Ok(())
    }
}

impl State {
    fn now(&self) -> i64 {
        (self.options.now)()
    }

    fn token_url(&self) -> String {
        format!("http://{}/token", self.addr)
    }
}

/// Accepts until aborted; the set ends its connections with it.
async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((tcp, _)) => {
                    connections.spawn(serve(tcp, Arc::clone(&state)));
                }
                // Out of sockets, most likely; they come back.
                Err(_) => tokio::time::sleep(ACCEPT_AGAIN_AFTER).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(tcp: TcpStream, state: Arc<State>) {
    let service = service_fn(|request| {
        let state = Arc::clone(&state);
        async move { answer(&state, request).await.ok_or(Cut) }
    });
    // A client that goes away is no news, and a line that was cut was meant to be.
    let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(tcp), service).await;
}

/// Ends the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the line was cut on purpose")]
struct Cut;

impl From<Infallible> for Cut {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

type Answer = (StatusCode, Value);

/// Nothing cuts the line.
async fn answer(state: &State, request: Request<Incoming>) -> Option<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
        return Some(respond(&refusal(413, "FAILED_PRECONDITION", "requestTooLarge", "The request is too large.")));
    };
    let body = body.to_bytes();
    let path = head.uri.path();
    if (&head.method, path) == (&Method::POST, batch::PATH) {
        return batch::answer(state, &head.headers, &body);
    }
    let answer = match (&head.method, path) {
        (&Method::POST, "/token") => state.accounts.lock().grant(&body, &state.token_url(), state.now()),
        (&Method::GET, "/gp/m/issuer/keys") => {
            state.key_fetches.fetch_add(1, Ordering::Relaxed);
            (StatusCode::OK, state.keys.lock().published(state.now()))
        }
        _ => match path.strip_prefix(API) {
            Some(path) => {
                let token = head.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
                let call =
                    rest::Call { method: &head.method, path, query: head.uri.query().unwrap_or_default(), body: &body, token };
                rest::take(state, &call)?
            }
            None => refusal(404, "NOT_FOUND", "notFound", "There is nothing at this address."),
        },
    };
    Some(respond(&answer))
}

/// An error in Google's shape.
fn refusal(code: u16, status: &str, reason: &str, message: &str) -> Answer {
    let error = json!({"code": code, "message": message, "status": status,
        "errors": [{"message": message, "domain": "walletobjects", "reason": reason}]});
    (StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), json!({"error": error}))
}

fn respond((status, body): &Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = *status;
    let json = http::HeaderValue::from_static("application/json; charset=UTF-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}
