//! Requests that change configuration and happen once: their answers are kept, sealed, under their `Idempotency-Key`, in the
//! commit of what they did.

use axum::response::{IntoResponse, Response};
use domain::{IdempotencyKey, Reject, RejectCode};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use store::ConfigWrite;

use super::{commands::Once, config::Shown};
use crate::{App, Problem, auth::Caller};

/// How often what is decided on how many there are is decided again, where others were faster.
pub(crate) const MAX_RACES: usize = 100;
/// Says that the answer is the stored one of an earlier request.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// An answer in JSON that can be kept and given again byte for byte.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Made {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    #[serde(skip)]
    replayed: bool,
}

impl Made {
    /// What a new or changed thing is shown as.
    fn of<V: Serialize>(shown: &Shown<V>) -> Result<Self, Problem> {
        let body = serde_json::to_string(shown.body()).map_err(|error| Problem::Internal(error.to_string()))?;
        let text = |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), value.to_str().unwrap_or_default().to_owned());
        let mut headers = HeaderMap::new();
        shown.write(&mut headers);
        Ok(Self { status: shown.status().as_u16(), headers: headers.iter().map(text).collect(), body, replayed: false })
    }
}

impl IntoResponse for Made {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], self.body).into_response();
        let headers = response.headers_mut();
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
        if self.replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

impl Once {
    /// The answer that was given to this request before; another request under its key is refused.
    pub(crate) async fn kept(&self, app: &App, caller: &Caller, body: &[u8]) -> Result<Option<Made>, Problem> {
        let Some(key) = self.key(caller, body) else { return Ok(None) };
        let Some(kept) = app.store.kept_answer(caller.org, &key.principal, &key.key, app.now()).await? else { return Ok(None) };
        let reused =
            || Reject::new(RejectCode::KeyReused, "", "this idempotency key was used for another request: use a new key");
        if kept.fingerprint != key.fingerprint {
            return Err(reused().into());
        }
        let answer = kept.answer.ok_or_else(reused)?;
        let made: Made = serde_json::from_slice(&answer).map_err(|error| Problem::Internal(format!("a kept answer: {error}")))?;
        Ok(Some(Made { replayed: true, ..made }))
    }

    /// Writes what a request asks for, and its answer with it. Call [`Once::kept`] first.
    pub(crate) async fn write<V: Serialize>(
        &self,
        app: &App,
        caller: &Caller,
        body: &[u8],
        write: ConfigWrite,
        shown: Shown<V>,
    ) -> Result<Made, Problem> {
        self.write_unless_raced(app, caller, body, write, shown).await?.ok_or_else(Problem::raced)
    }

    /// As [`Once::write`], for a change that was decided on what there is (`unchanged`): nothing where that is not so any more.
    /// The configuration has been read anew then, to decide again.
    pub(crate) async fn write_unless_raced<V: Serialize>(
        &self,
        app: &App,
        caller: &Caller,
        body: &[u8],
        mut write: ConfigWrite,
        shown: Shown<V>,
    ) -> Result<Option<Made>, Problem> {
        let made = Made::of(&shown)?;
        if let Some(key) = self.key(caller, body) {
            write.results.push(row(app, caller, &key, &made)?);
        }
        if app.store.written(write).await? {
            return Ok(Some(made));
        }
        app.store.refresh().await?;
        // Perhaps the same request was faster on another connection.
        self.kept(app, caller, body).await
    }

    /// Keeps the answer to a request that did something which may be done twice.
    pub(crate) async fn keep<V: Serialize>(
        &self,
        app: &App,
        caller: &Caller,
        body: &[u8],
        shown: Shown<V>,
    ) -> Result<Made, Problem> {
        let made = Made::of(&shown)?;
        let Some(key) = self.key(caller, body) else { return Ok(made) };
        let results = vec![row(app, caller, &key, &made)?];
        let commit = store::CommitRows { now: app.now(), results, ..store::CommitRows::default() };
        app.store.backend().commit(commit).await?;
        Ok(made)
    }
}

fn row(app: &App, caller: &Caller, key: &IdempotencyKey, made: &Made) -> Result<store::ResultRow, Problem> {
    let answer = serde_json::to_vec(made).map_err(|error| Problem::Internal(error.to_string()))?;
    Ok(app.store.answer_row(caller.org, key, &answer, app.now())?)
}
