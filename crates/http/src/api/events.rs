//! `/v1/events`: facts in the life of passes and contacts, as a feed that never loses any.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{Actor, Cause, ContactId, Event, EventId, EventKind, OrgId, PassId, ProjectId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Log, LoggedEvent, Newest, OrgCatalog};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    config, contacts,
    cursor::{self, Cursor},
    page::{Limit, Page},
    pass_view,
    schema::{self, IdText, TimeText},
};
use crate::{
    App, PathParam, Problem, QueryParams,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(feed)).routes(routes!(newest)).routes(routes!(get)).routes(routes!(of_pass))
}

/// A fact in the life of a pass or contact. Of one whose person was erased only id, type, time and pass are left.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(super) struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: EventId,
    /// What happened.
    #[serde(rename = "type")]
    #[schema(value_type = schema::EventType)]
    pub(super) kind: &'static str,
    /// When it happened.
    #[schema(value_type = TimeText)]
    occurred_at: Timestamp,
    /// When we wrote it down.
    #[schema(value_type = Option<TimeText>)]
    recorded_at: Option<Timestamp>,
    /// Whether whom it was about has been erased.
    erased: bool,
    /// The pass it is about.
    #[schema(value_type = Option<IdText>)]
    pass: Option<PassId>,
    /// The contact it is about.
    #[schema(value_type = Option<IdText>)]
    contact: Option<ContactId>,
    /// The project it belongs to.
    #[schema(value_type = Option<IdText>)]
    project: Option<ProjectId>,
    /// The pass's, or else the contact's, version after it.
    version: Option<u64>,
    /// Who caused it.
    #[schema(value_type = Option<schema::Actor>)]
    actor: Option<Actor>,
    /// What led to it: a request, a source event with flow and step, a row of a batch, a page, a wallet or a due time.
    #[schema(value_type = Option<Object>)]
    cause: Option<Cause>,
    /// The facts that only this type of event has.
    #[schema(value_type = Object)]
    facts: serde_json::Value,
    /// How things stood afterwards.
    image: Option<ImageView>,
}

/// How things stood after an event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventImage)]
struct ImageView {
    /// The pass.
    pass: Option<pass_view::View>,
    /// The contact.
    contact: Option<contacts::View>,
}

impl View {
    pub(super) fn of(app: &App, catalog: &OrgCatalog, logged: LoggedEvent) -> Self {
        match logged {
            LoggedEvent::Whole(event, _) => Self::whole(app, catalog, *event),
            LoggedEvent::Erased(outline) => Self {
                id: outline.id,
                kind: outline.kind.map_or("unknown", domain::EventKind::name),
                occurred_at: outline.occurred_at,
                recorded_at: None,
                erased: true,
                pass: outline.pass,
                contact: None,
                project: None,
                version: None,
                actor: None,
                cause: None,
                facts: serde_json::json!({}),
                image: None,
            },
        }
    }

    fn whole(app: &App, catalog: &OrgCatalog, event: Event) -> Self {
        let mut facts = serde_json::to_value(&event.facts).unwrap_or_default();
        if let Some(facts) = facts.as_object_mut() {
            facts.remove("type");
        }
        let image = ImageView {
            pass: event.image.pass.as_ref().map(|pass| pass_view::View::of(app, catalog, pass)),
            contact: event.image.contact.as_ref().map(contacts::View::of),
        };
        Self {
            id: event.id,
            kind: event.kind().name(),
            occurred_at: event.occurred_at,
            recorded_at: Some(event.recorded_at),
            erased: false,
            pass: event.pass,
            contact: event.contact,
            project: event.project,
            version: Some(event.version),
            actor: Some(event.actor),
            cause: Some(event.cause),
            facts,
            image: Some(image),
        }
    }
}

/// Where to read on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Paging {
    /// How many: 1 to 100, 50 unless told.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Limit,
    /// `next_cursor` of the answer before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<Vec<u64>>>,
}

/// A piece of the feed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventFeed)]
struct Feed {
    /// The events; those about one pass are in order.
    data: Vec<View>,
    /// Give this as `cursor` to read on, now or whenever there may be more.
    next_cursor: String,
    /// Whether there is more to read at once.
    has_more: bool,
}

/// Read the feed of events.
///
/// From the oldest on; keep `next_cursor` and come back with it. A cursor from before a restore or an import starts from the
/// oldest again, so that nothing is missed: tell events apart by their ids.
#[utoipa::path(get, path = "/v1/events", tag = "Events", security(("key" = ["passes_read"])),
    params(Paging), responses((status = 200, body = Feed, description = "A piece.")))]
async fn feed(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Feed>, Problem> {
    let mut place = FeedPlace::start(&app, paging.cursor.map(|cursor| cursor.0)).await?;
    let (events, has_more) = place.read(&app, can.org, paging.limit.get()).await?;
    let catalog = config::org(&app, can.org)?;
    let data = events.into_iter().map(|event| View::of(&app, &catalog, event)).collect();
    Ok(Json(Feed { data, next_cursor: place.text(), has_more }))
}

/// Which of the newest.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct NewestFilter {
    /// Only of this type.
    #[serde(rename = "type")]
    #[param(value_type = Option<schema::EventType>)]
    kind: Option<EventKind>,
    /// How many: 1 to 100, 50 unless told.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<Vec<u64>>>,
}

/// List events, newest first.
///
/// By when they were written down; those about one pass are in their order. For people: a program that must not miss any reads
/// the feed.
#[utoipa::path(get, path = "/v1/events/newest", tag = "Events", security(("key" = ["passes_read"])),
    params(NewestFilter), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn newest(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    QueryParams(filter): QueryParams<NewestFilter>,
) -> Result<Json<Page<View>>, Problem> {
    let heads = app.store.backend().heads(Log::Events).await?;
    let epoch = app.store.epoch();
    let before = filter.cursor.and_then(|Cursor(place)| match place.split_first() {
        Some((of, before)) if *of == epoch && before.len() == heads.len() => Some(before.to_vec()),
        _ => None,
    });
    let before = before.unwrap_or_else(|| heads.iter().map(|head| head + 1).collect());
    let kinds = filter.kind.map_or_else(|| EventKind::all().collect(), |kind| vec![kind]);
    let found = app.store.newest(can.org, &Newest { kinds, since: None, before, limit: filter.limit.get() }).await?;
    let next = std::iter::once(epoch).chain(found.before.iter().copied());
    let next_cursor = found.has_more.then(|| cursor::text(&cursor::words(next)));
    let catalog = config::org(&app, can.org)?;
    let data = found.events.into_iter().map(|event| View::of(&app, &catalog, event)).collect();
    Ok(Json(Page { data, next_cursor }))
}

/// How far the feed was read: the epoch of the log, and a number per shard.
#[derive(Debug, Clone)]
pub(super) struct FeedPlace {
    epoch: u64,
    after: Vec<u64>,
}

impl FeedPlace {
    /// The place of a cursor, if it is one of this log; else the oldest.
    pub(super) async fn start(app: &App, cursor: Option<Vec<u64>>) -> Result<Self, Problem> {
        let heads = app.store.backend().heads(Log::Events).await?;
        let epoch = app.store.epoch();
        let known = |place: Vec<u64>| {
            let (of, after) = place.split_first()?;
            let within = after.len() == heads.len() && after.iter().zip(&heads).all(|(after, head)| after <= head);
            (*of == epoch && within).then(|| after.to_vec())
        };
        let after = cursor.and_then(known).unwrap_or_else(|| vec![0; heads.len()]);
        Ok(Self { epoch, after })
    }

    /// After a number per shard.
    pub(super) fn after(app: &App, after: Vec<u64>) -> Self {
        Self { epoch: app.store.epoch(), after }
    }

    /// The number per shard.
    pub(super) fn numbers(&self) -> &[u64] {
        &self.after
    }

    /// Leaves out what is left of a shard up to a number.
    pub(super) fn skip(&mut self, shard: u16, to: u64) {
        if let Some(last) = self.after.get_mut(usize::from(shard)) {
            *last = to.max(*last);
        }
    }

    /// After everything that there is.
    pub(super) async fn end(app: &App) -> Result<Self, Problem> {
        let after = app.store.backend().heads(Log::Events).await?;
        Ok(Self { epoch: app.store.epoch(), after })
    }

    /// The next events, and whether there is more to read at once. The place is after all of them then.
    pub(super) async fn read(&mut self, app: &App, org: OrgId, limit: u32) -> Result<(Vec<LoggedEvent>, bool), Problem> {
        let heads = app.store.backend().heads(Log::Events).await?;
        let events = app.store.feed(org, &self.after, limit).await?;
        events.iter().for_each(|event| self.pass(event));
        let has_more = events.len() >= limit as usize;
        if !has_more {
            // All of this organization's events up to the heads have been seen; others' need not be looked at again.
            self.after.iter_mut().zip(&heads).for_each(|(after, head)| *after = (*head).max(*after));
        }
        Ok((events, has_more))
    }

    /// Goes past an event.
    pub(super) fn pass(&mut self, event: &LoggedEvent) {
        let position = event.position();
        if let Some(last) = self.after.get_mut(usize::from(position.shard)) {
            *last = position.seq.max(*last);
        }
    }

    /// As a client may carry it.
    pub(super) fn text(&self) -> String {
        cursor::text(&cursor::words(std::iter::once(self.epoch).chain(self.after.iter().copied())))
    }
}

/// Read an event.
#[utoipa::path(get, path = "/v1/events/{event}", tag = "Events", security(("key" = ["passes_read"])),
    params(("event" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<EventId>,
) -> Result<Json<View>, Problem> {
    let event = app.store.event(can.org, id).await?.ok_or_else(|| Problem::no_such("event"))?;
    Ok(Json(View::of(&app, &*config::org(&app, can.org)?, event)))
}

/// Which events come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Order {
    #[default]
    Oldest,
    Newest,
}

/// Which part of a pass's events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PassPaging {
    /// Which come first: `oldest`, unless told, or `newest`.
    #[serde(default)]
    #[param(inline, value_type = Option<Order>)]
    order: Order,
    /// How many: 1 to 100, 50 unless told.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<Vec<u64>>>,
}

/// List a pass's events.
#[utoipa::path(get, path = "/v1/passes/{pass}/events", tag = "Passes", security(("key" = ["passes_read"])),
    params(("pass" = IdText, Path, description = "Its id."), PassPaging),
    responses((status = 200, body = Page<View>, description = "A page.")))]
async fn of_pass(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PassId>,
    QueryParams(paging): QueryParams<PassPaging>,
) -> Result<Json<Page<View>>, Problem> {
    app.store.pass(can.org, id).await?.ok_or_else(|| Problem::no_such("pass"))?;
    let epoch = app.store.epoch();
    let place = match paging.cursor.as_ref().map(|cursor| cursor.0.as_slice()) {
        Some([of, place]) if *of == epoch => Some(*place),
        _ => None,
    };
    let limit = paging.limit.and_one();
    let mut events = match paging.order {
        Order::Oldest => app.store.events_of_pass(can.org, id, place.unwrap_or(0), limit).await?,
        Order::Newest => app.store.newest_of_pass(can.org, id, place.unwrap_or(u64::MAX), limit).await?,
    };
    let more = events.len() > paging.limit.get() as usize;
    events.truncate(paging.limit.get() as usize);
    let last = events.last().filter(|_| more).map(|event| event.position().seq);
    let catalog = config::org(&app, can.org)?;
    let data = events.into_iter().map(|event| View::of(&app, &catalog, event)).collect();
    Ok(Json(Page { data, next_cursor: last.map(|seq| cursor::text(&cursor::words([epoch, seq]))) }))
}
