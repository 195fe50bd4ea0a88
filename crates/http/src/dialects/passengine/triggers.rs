//! `GET /triggers?event=&since=&limit=`: what happened, newest first, as polling clients ask for it.
//!
//! An item is the body that a webhook of PassEngine's shape gets, with the event's id as `id` in front: clients that poll tell
//! items apart by it, and the id of a pass would hide its second scan. `since` goes by when things were written down, which is
//! never before `timestamp`: who asks with the newest `timestamp` they know misses nothing, and gets that item once more at
//! most. What is older than an answer holds is at the address in its `Link` header (RFC 8288, `rel="next"`), without a gap and
//! nothing twice however much is written meanwhile; PassEngine has nothing of the kind, so its clients leave it alone.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse as _, Response},
};
use connectors::passengine;
use domain::{EventKind, OrgId, Scope, Timestamp};
use http::{HeaderValue, header};
use serde::Deserialize;
use serde_json::Value;
use store::{Log, LoggedEvent, Newest};

use super::{EVENTS, answer::Refused, kinds};
use crate::{
    App, Caller, Problem,
    api::cursor::{self, Cursor},
};

/// Most items of an answer, and how many there are unless asked for less.
const MOST: u32 = 100;
/// How often one answer looks further back for what was left out of it, and at how many at a time.
const LOOKS: usize = 20;
const MOST_LOOKED_AT: u32 = 500;
/// What cursors of this list are sealed for.
const LIST: &str = "/passengine/api/v1/triggers";

/// What is asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    event: Option<String>,
    since: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// Lists what happened, newest first.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Response, Refused> {
    if !caller.key.may(Scope::PassesRead) {
        return Err(Problem::Forbidden(Scope::PassesRead).into());
    }
    let Query(wish) = wish.map_err(|rejection| Refused::parameter("query", &rejection.body_text()))?;
    cursor::of_list(&app, caller.org, LIST, page(&app, caller.org, &wish)).await
}

async fn page(app: &App, org: OrgId, wish: &Wish) -> Result<Response, Refused> {
    let kinds = wish.kinds()?;
    let since = wish.since()?;
    let (most, mut before, mut has_more) = (wish.limit()? as usize, wish.before(app).await?, true);
    let (mut items, mut look): (Vec<Value>, _) = (Vec::new(), wish.limit()?);
    // What was erased is left out and takes nobody's place; where much of it was, more is looked at each time.
    for _ in 0..LOOKS {
        if items.len() == most || !has_more {
            break;
        }
        let ask = Newest { kinds: kinds.clone(), since, before: before.clone(), limit: look };
        let found = app.store.newest(org, &ask).await.map_err(Problem::from)?;
        let mut events = found.events.iter();
        for event in events.by_ref() {
            let at = event.position();
            before[usize::from(at.shard)] = at.seq;
            items.extend(item(app, event));
            if items.len() == most {
                break;
            }
        }
        has_more = found.has_more || events.len() > 0;
        look = look.saturating_mul(2).min(MOST_LOOKED_AT);
    }
    let mut response = Json(items).into_response();
    if has_more {
        let place = std::iter::once(app.store.epoch()).chain(before);
        let next = wish.address(app, &cursor::text(&cursor::words(place)));
        if let Ok(next) = HeaderValue::from_str(&format!("<{next}>; rel=\"next\"")) {
            response.headers_mut().insert(header::LINK, next);
        }
    }
    Ok(response)
}

/// The body of a webhook with the event's id in front; nothing of what was erased.
fn item(app: &App, logged: &LoggedEvent) -> Option<Value> {
    let LoggedEvent::Whole(event, _) = logged else { return None };
    let mut item = passengine::told(event, &app.settings.public_url)?;
    item["id"] = event.id.to_string().into();
    Some(item)
}

impl Wish {
    fn kinds(&self) -> Result<Vec<EventKind>, Refused> {
        let all = || EVENTS.iter().flat_map(|(_, kinds)| kinds.iter().copied()).collect();
        self.event.as_deref().filter(|name| !name.is_empty()).map_or_else(|| Ok(all()), kinds)
    }

    fn since(&self) -> Result<Option<Timestamp>, Refused> {
        let Some(text) = self.since.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        // A plus that was not encoded came as a space.
        let since = text.replace(' ', "+").parse();
        since.map(Some).map_err(|_| Refused::parameter("since", "expected a time such as 2026-11-20T10:00:00Z"))
    }

    fn limit(&self) -> Result<u32, Refused> {
        let Some(text) = self.limit.as_deref().filter(|text| !text.is_empty()) else { return Ok(MOST) };
        match text.parse::<u32>() {
            Ok(limit) if limit > 0 => Ok(limit.min(MOST)),
            _ => Err(Refused::parameter("limit", "expected 1 to 100")),
        }
    }

    /// Before which number of each shard the page begins. A cursor of another log's begins at the newest.
    async fn before(&self, app: &App) -> Result<Vec<u64>, Refused> {
        let heads = app.store.backend().heads(Log::Events).await.map_err(Problem::from)?;
        let start = || heads.iter().map(|head| head + 1).collect();
        let Some(text) = self.cursor.as_deref() else { return Ok(start()) };
        let Cursor(place) = Cursor::<Vec<u64>>::parse(text).map_err(|why| Refused::parameter("cursor", why))?;
        Ok(match place.split_first() {
            Some((epoch, before)) if *epoch == app.store.epoch() && before.len() == heads.len() => before.to_vec(),
            _ => start(),
        })
    }

    fn address(&self, app: &App, cursor: &str) -> String {
        let mut query = vec![("cursor", cursor)];
        for (name, value) in [("event", &self.event), ("since", &self.since), ("limit", &self.limit)] {
            query.extend(value.as_deref().map(|value| (name, value)));
        }
        let query = serde_urlencoded::to_string(query).unwrap_or_default();
        format!("{}{LIST}?{query}", app.settings.public_url)
    }
}
