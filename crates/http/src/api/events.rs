//! `/v1/events`: facts in the life of passes and contacts, as a feed that never loses any.

use std::sync::Arc;

use axum::{Json, extract::State};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{Actor, Cause, ContactId, Event, EventId, PassId, ProjectId, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, de};
use store::{Log, LoggedEvent, OrgCatalog};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    config, contacts,
    page::{Limit, Page},
    pass_view,
    schema::{self, IdText, TimeText},
};
use crate::{
    App, PathParam, Problem, QueryParams,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(feed)).routes(routes!(get)).routes(routes!(of_pass))
}

/// A fact in the life of a pass or contact. Of one whose person was erased only id, type, time and pass are left.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: EventId,
    /// What happened.
    #[serde(rename = "type")]
    #[schema(value_type = schema::EventType)]
    kind: &'static str,
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
    /// What led to it: a request, a source event with flow and step, a page, a wallet or a due time.
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
    fn of(app: &App, catalog: &OrgCatalog, logged: LoggedEvent) -> Self {
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

/// A place in the feed: the epoch of the log and a number per shard.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    epoch: u64,
    after: Vec<u64>,
}

/// Most shards that a cursor may name.
const MAX_SHARDS: usize = 1_024;

impl Place {
    fn text(&self) -> String {
        let words = std::iter::once(&self.epoch).chain(&self.after);
        URL_SAFE_NO_PAD.encode(words.flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>())
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (words, rest) = bytes.as_chunks::<8>();
        let mut words = words.iter().map(|word| u64::from_be_bytes(*word));
        let epoch = words.next()?;
        let after: Vec<u64> = words.collect();
        (rest.is_empty() && after.len() <= MAX_SHARDS).then_some(Self { epoch, after })
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).ok_or_else(|| de::Error::custom("not a cursor of this list"))
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
    cursor: Option<Place>,
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
    let heads = app.store.backend().heads(Log::Events).await?;
    let epoch = app.store.epoch();
    let known = |place: &Place| {
        place.epoch == epoch
            && place.after.len() == heads.len()
            && place.after.iter().zip(&heads).all(|(after, head)| after <= head)
    };
    let mut after = paging.cursor.filter(known).map_or_else(|| vec![0; heads.len()], |place| place.after);
    let events = app.store.feed(can.org, &after, paging.limit.get()).await?;
    for event in &events {
        let position = event.position();
        if let Some(last) = after.get_mut(usize::from(position.shard)) {
            *last = position.seq.max(*last);
        }
    }
    let has_more = events.len() >= paging.limit.get() as usize;
    if !has_more {
        // All of this organization's events up to the heads have been seen; others' need not be looked at again.
        after.iter_mut().zip(&heads).for_each(|(after, head)| *after = (*head).max(*after));
    }
    let catalog = config::org(&app, can.org)?;
    let data = events.into_iter().map(|event| View::of(&app, &catalog, event)).collect();
    Ok(Json(Feed { data, next_cursor: Place { epoch, after }.text(), has_more }))
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

/// The place in one pass's events.
#[derive(Debug, Clone, Copy)]
struct Seq(u64);

impl<'de> Deserialize<'de> for Seq {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = URL_SAFE_NO_PAD.decode(String::deserialize(deserializer)?).ok();
        let word = bytes.and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
        word.filter(|seq| i64::try_from(*seq).is_ok()).map(Self).ok_or_else(|| de::Error::custom("not a cursor of this list"))
    }
}

/// Which part of a pass's events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PassPaging {
    /// How many: 1 to 100, 50 unless told.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Seq>,
}

/// List a pass's events, oldest first.
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
    let after = paging.cursor.map_or(0, |cursor| cursor.0);
    let mut events = app.store.events_of_pass(can.org, id, after, paging.limit.and_one()).await?;
    let more = events.len() > paging.limit.get() as usize;
    events.truncate(paging.limit.get() as usize);
    let last = events.last().filter(|_| more).map(|event| event.position().seq);
    let catalog = config::org(&app, can.org)?;
    let data = events.into_iter().map(|event| View::of(&app, &catalog, event)).collect();
    Ok(Json(Page { data, next_cursor: last.map(|seq| URL_SAFE_NO_PAD.encode(seq.to_be_bytes())) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_round_trip() {
        let place = Place { epoch: u64::MAX, after: vec![0, 7, 1 << 40] };
        assert_eq!(Place::parse(&place.text()), Some(place));
        for bad in ["", "AAAA", "!", "AAAAAAAAAAAA"] {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
    }
}
