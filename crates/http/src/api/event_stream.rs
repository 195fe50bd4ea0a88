//! `/v1/events/stream`: the feed of events as it grows, as server-sent events.
//!
//! The id of each is a cursor of the feed, so that a client that comes back with it as `Last-Event-ID`, as browsers do by
//! themselves, goes on where it was: nothing is skipped and nothing told twice. A stream reads a piece of the feed once the client
//! has taken the one before, so a slow client costs a piece and no more.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event as Message, KeepAlive, Sse},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use connectors::{
    catalog::Destination,
    kit::{Owed, Secret, Secrets},
};
use domain::{DeliveryId, Event, EventKind, KeyId, OrgId, ProjectId, Target, TargetId};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, header};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use store::LoggedEvent;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    config,
    cursor::{self, Cursor},
    events::{FeedPlace, View},
    schema::IdText,
};
use crate::{
    App, Problem, QueryParams,
    auth::{Can, scope},
    problem::Limited,
};

/// Events that are read together.
const PIECE: u32 = 100;
/// How often a silent stream says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often a stream looks for events that nobody in this process wrote.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same where there are no other nodes.
const LOOK_ANYWAY: Duration = Duration::from_secs(10);
/// How long events are gathered once one came.
const GATHER: Duration = Duration::from_millis(20);
/// Longest life of a stream, in seconds; the client comes again by itself.
const LONGEST: u64 = 3_600;
/// Most streams of an organization on this node.
const MOST: usize = 20;
/// The list whose cursors are the ids.
const FEED: &str = "/v1/events";

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(tail))
}

/// The streams of this node.
#[derive(Debug, Clone)]
pub struct Streams(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    open: Mutex<HashMap<OrgId, usize>>,
    ending: watch::Sender<bool>,
}

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Inner { open: Mutex::default(), ending: watch::Sender::new(false) }))
    }
}

impl Streams {
    /// Ends all streams, and new ones as soon as they begin: the server is about to stop. A refusal would have browsers give up.
    pub fn end(&self) {
        self.0.ending.send_replace(true);
    }

    fn open(&self, org: OrgId) -> Result<Place, Problem> {
        let mut open = self.0.open.lock();
        let count = open.entry(org).or_default();
        if *count >= MOST {
            return Err(Problem::RateLimited { by: Limited::Streams, seconds: HEARTBEAT.as_secs() });
        }
        *count += 1;
        Ok(Place { streams: self.clone(), org })
    }
}

/// One of the streams of an organization.
#[derive(Debug)]
struct Place {
    streams: Streams,
    org: OrgId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.0.open.lock();
        if let Some(count) = open.get_mut(&self.org) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.org);
            }
        }
    }
}

/// What to tell, and from where.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wish {
    /// Only events of these types, separated by commas; all unless told.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "pass.created,pass.installed")]
    types: Option<String>,
    /// Only events of this project.
    #[param(value_type = Option<IdText>)]
    project: Option<ProjectId>,
    /// Tell each event as the request that a webhook of this shape would get, signed: a slug of `GET /v1/connectors` that has a
    /// `webhook`. The first message is `ready` and tells the signing secret, which stays the same for the API key.
    #[param(pattern = "^[a-z0-9-]+$", max_length = 64)]
    dialect: Option<String>,
    /// `next_cursor` of the feed, or the id of a message: what came after it is told first. Without one only what happens from
    /// now on.
    cursor: Option<String>,
    /// After how many seconds the stream ends: 1 to 3600, 3600 unless told.
    #[serde(default = "longest")]
    #[param(value_type = Option<u64>, minimum = 1, maximum = 3600)]
    for_seconds: u64,
}

const fn longest() -> u64 {
    LONGEST
}

/// A message of the stream, in the words of <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
#[derive(ToSchema)]
#[schema(as = EventMessage, value_type = String, examples("id: AAEC\nevent: pass.created\ndata: {...}\n\n"))]
#[allow(dead_code, reason = "describes the stream in the document")]
struct Told(String);

/// Follow events live.
///
/// Server-sent events: `event` is the type, `data` the event as in the feed, `id` a cursor of the feed, which the stream begins with.
/// Come back with the last id as `Last-Event-ID` and nothing is skipped or told twice. A stream ends after an hour at most, when its key is
/// revoked or expires and when the server stops.
#[utoipa::path(get, path = "/v1/events/stream", tag = "Events", security(("key" = ["passes_read"])),
    params(Wish, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last message that was taken.")),
    responses((status = 200, body = Told, content_type = "text/event-stream", description = "The stream.")))]
async fn tail(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    QueryParams(wish): QueryParams<Wish>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !(1..=LONGEST).contains(&wish.for_seconds) {
        return Err(Problem::parameter("for_seconds", format!("expected 1 to {LONGEST}")));
    }
    let kinds = wish.types.as_deref().map(kinds).transpose()?;
    let shape = wish.dialect.map(|dialect| Shape::of(&app, can.org, can.key.id, &dialect)).transpose()?;
    let given = headers.get("last-event-id").map(|value| value.to_str().unwrap_or_default().to_owned()).or(wish.cursor);
    let read = async || given.filter(|given| !given.is_empty()).map(|given| Cursor::<Vec<u64>>::parse(&given)).transpose();
    let cursor = cursor::of_list(&app, can.org, FEED, read()).await.map_err(|why| Problem::parameter("cursor", why))?;
    let feed = match cursor {
        Some(Cursor(cursor)) => FeedPlace::start(&app, Some(cursor)).await?,
        None => FeedPlace::end(&app).await?,
    };
    let mut tail = Tail {
        place: app.streams.open(can.org)?,
        org: can.org,
        key: can.key.id,
        ending: app.streams.0.ending.subscribe(),
        ticks: app.store.wake().events(),
        ends_at: Instant::now() + Duration::from_secs(wish.for_seconds),
        has_read: false,
        ready: VecDeque::new(),
        app,
        kinds,
        project: wish.project,
        shape,
        feed,
    };
    tail.greet().await;
    let told = stream::unfold(tail, |mut tail| async move {
        let message = tail.next().await?;
        Some((Ok::<_, Infallible>(message), tail))
    });
    let keep_alive = KeepAlive::new().interval(HEARTBEAT);
    let mut response = Sse::new(told).keep_alive(keep_alive).into_response();
    // Proxies that gather what they pass on would hold events back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn kinds(text: &str) -> Result<Vec<EventKind>, Problem> {
    let unknown = |name: &str| Problem::parameter("types", format!("there is no event type `{name}`"));
    text.split(',').map(str::trim).map(|name| EventKind::from_name(name).ok_or_else(|| unknown(name))).collect()
}

/// One stream.
struct Tail {
    app: Arc<App>,
    #[allow(dead_code, reason = "gives its place back when it ends")]
    place: Place,
    org: OrgId,
    key: KeyId,
    kinds: Option<Vec<EventKind>>,
    project: Option<ProjectId>,
    shape: Option<Shape>,
    feed: FeedPlace,
    ready: VecDeque<Message>,
    ticks: watch::Receiver<u64>,
    ending: watch::Receiver<bool>,
    ends_at: Instant,
    /// Whether it was looked at what there is: no stream ends before.
    has_read: bool,
}

impl Tail {
    /// The next message; nothing once the stream ends.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            if *self.ending.borrow() || self.has_read && Instant::now() >= self.ends_at || !self.is_allowed() {
                return None;
            }
            self.ticks.mark_unchanged();
            let has_more = match self.fill().await {
                Ok(has_more) => has_more,
                // The client comes again with the last id that it has.
                Err(error) => {
                    tracing::warn!(%error, "a stream of events ends early");
                    return None;
                }
            };
            self.has_read = true;
            // What was read while its key ended is not for it.
            if !self.is_allowed() {
                return None;
            }
            if self.ready.is_empty() && !has_more {
                self.wait().await;
            }
        }
    }

    /// Whether its key is there and in force. It may be another organization's, when it is an operator's.
    fn is_allowed(&self) -> bool {
        let (catalog, now) = (self.app.store.catalog(), self.app.now());
        let key = catalog.orgs().find_map(|(_, org)| org.keys.get(&self.key.uuid()));
        key.is_some_and(|key| key.value.expires_at.is_none_or(|end| end > now))
    }

    /// Reads the next piece of the feed.
    async fn fill(&mut self) -> Result<bool, Problem> {
        let mut place = self.feed.clone();
        let (events, has_more) = place.read(&self.app, self.org, PIECE).await?;
        let catalog = config::org(&self.app, self.org)?;
        for logged in events {
            self.feed.pass(&logged);
            if !self.is_wanted(&logged) {
                continue;
            }
            let id = cursor::of_list(&self.app, self.org, FEED, async { self.feed.text() }).await;
            let message = match (&self.shape, logged) {
                (None, logged) => {
                    let view = View::of(&self.app, &catalog, logged);
                    Message::default().event(view.kind).json_data(view).ok()
                }
                (Some(shape), LoggedEvent::Whole(event, _)) => shape.request(&self.app, &event),
                (Some(_), LoggedEvent::Erased(_)) => None,
            };
            self.ready.extend(message.map(|message| message.id(id)));
        }
        self.feed = place;
        Ok(has_more)
    }

    fn is_wanted(&self, logged: &LoggedEvent) -> bool {
        let (kind, project) = match logged {
            LoggedEvent::Whole(event, _) => (Some(event.kind()), event.project),
            LoggedEvent::Erased(outline) => (outline.kind, None),
        };
        self.kinds.as_ref().is_none_or(|kinds| kind.is_some_and(|kind| kinds.contains(&kind)))
            && self.project.is_none_or(|only| project == Some(only))
    }

    /// Tells where the stream begins, so that who comes back before anything happened misses nothing; and who asks for requests
    /// what they are signed with.
    async fn greet(&mut self) {
        let place = cursor::of_list(&self.app, self.org, FEED, async { self.feed.text() }).await;
        let secret = self.shape.as_ref().map(|shape| shape.secrets.current.expose().to_owned());
        let greeting = secret.and_then(|secret| Message::default().event("ready").json_data(Ready { secret }).ok());
        self.ready.push_back(greeting.unwrap_or_default().id(place));
    }

    /// Waits until something may have happened.
    async fn wait(&mut self) {
        let look = if self.app.store.backend().is_shared() { LOOK_EVERY } else { LOOK_ANYWAY };
        let until = self.ends_at.min(Instant::now() + look);
        let ticked = tokio::select! {
            ticked = timeout_at(until, self.ticks.changed()) => ticked.is_ok(),
            _ = self.ending.changed() => false,
        };
        if ticked {
            tokio::time::sleep(GATHER).await;
        }
    }
}

#[derive(Serialize)]
struct Ready {
    secret: String,
}

/// A request that a webhook would get.
#[derive(Serialize)]
struct Forward {
    method: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// A webhook that is nowhere: events are told in its shape, signed with a secret that belongs to the key.
struct Shape {
    destination: Destination,
    target: Target,
    secrets: Secrets,
}

impl Shape {
    fn of(app: &App, org: OrgId, key: KeyId, dialect: &str) -> Result<Self, Problem> {
        let found = connectors::catalog::find(dialect).and_then(|shape| shape.destination).filter(|shape| shape.vendor.is_none());
        let destination = found.ok_or_else(|| Problem::parameter("dialect", "there is no such shape"))?;
        let half = |part: &str| app.store.keyring().blind(org, part, &key.to_string());
        let bytes = [half("listen 1")?, half("listen 2")?].concat();
        let secret = format!("whsec_{}", STANDARD.encode(bytes)).parse::<Secret>();
        let secret = secret.map_err(|error| Problem::Internal(error.to_string()))?;
        let mut target = Target::new(TargetId::from_uuid(key.uuid()), "listen", "http://localhost/", app.now());
        dialect.clone_into(&mut target.dialect);
        Ok(Self { destination, target, secrets: Secrets::one(secret) })
    }

    /// The request of an event, if the shape has words for it.
    fn request(&self, app: &App, event: &Event) -> Option<Message> {
        if event.kind().is_operational() || !(self.destination.wants)(event.kind()) {
            return None;
        }
        let delivery = DeliveryId::of(event.id.uuid(), self.target.id.uuid());
        let owed = [Owed { event, delivery, public_url: &app.settings.public_url, unsubscribe: None, bodies: None }];
        let request = (self.destination.render)(&owed, &self.target, &self.secrets, app.now()).pop()?.request.ok()?;
        let header = |(name, value): (&http::HeaderName, &HeaderValue)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let forward = Forward {
            method: request.method.to_string(),
            headers: request.headers.iter().map(header).collect(),
            body: String::from_utf8_lossy(&request.body).into_owned(),
        };
        Message::default().event("request").json_data(forward).ok()
    }
}
