//! From a request to the engine and back: one command, its idempotency key, its answer.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use domain::{Action, Cause, Command, CommandId, IdempotencyKey};
use engine::Outcome;
use http::{HeaderValue, request::Parts};

use super::once::REPLAYED;
use crate::{App, Problem, auth::Caller};

/// The header that names a request, so that it happens once.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Most characters of an idempotency key.
const MAX_KEY_CHARS: usize = 255;

/// The idempotency key of a request, and what the request was.
#[derive(Debug, Clone)]
pub(crate) struct Once {
    key: Option<String>,
    asked: String,
}

impl<S: Sync> FromRequestParts<S> for Once {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let key = match parts.headers.get(IDEMPOTENCY_KEY) {
            None => None,
            Some(value) => {
                let text = value.to_str().unwrap_or_default();
                if !(1..=MAX_KEY_CHARS).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(Problem::parameter("Idempotency-Key", "expected 1 to 255 visible ASCII characters"));
                }
                Some(text.to_owned())
            }
        };
        let asked = parts.uri.path_and_query().map_or(parts.uri.path(), |asked| asked.as_str());
        Ok(Self { key, asked: format!("{} {asked}\n", parts.method) })
    }
}

impl Once {
    /// The key, if the request has one, with what was asked under it.
    pub(crate) fn key(&self, caller: &Caller, body: &[u8]) -> Option<IdempotencyKey> {
        let key = self.key.clone()?;
        let fingerprint = fingerprint(&[self.asked.as_bytes(), body]);
        Some(IdempotencyKey { principal: format!("key {}", caller.key.id), key, fingerprint, keep_image: true })
    }

    /// Has the engine carry out what was asked with this body.
    pub(crate) async fn submit(&self, app: &Arc<App>, caller: &Caller, body: &[u8], action: Action) -> Result<Outcome, Problem> {
        Ok(app.engine.submit(command(app, caller, self.key(caller, body), action)).await?)
    }
}

/// A command of a request.
pub(crate) fn command(app: &App, caller: &Caller, key: Option<IdempotencyKey>, action: Action) -> Command {
    Command {
        id: CommandId::mint(app.now(), &*app.entropy),
        org: caller.org,
        actor: caller.actor(),
        cause: Cause::Request,
        key,
        told: None,
        action,
    }
}

/// SHA-256 of what was asked.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in parts {
        hash.update(part);
    }
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(hash.finish().as_ref());
    fingerprint
}

/// An answer, and whether it was given before.
#[derive(Debug)]
pub(crate) struct Acted<R> {
    replayed: bool,
    answer: R,
}

impl<R> Acted<R> {
    /// The answer to an outcome.
    pub(crate) const fn new(replayed: bool, answer: R) -> Self {
        Self { replayed, answer }
    }
}

impl<R: IntoResponse> IntoResponse for Acted<R> {
    fn into_response(self) -> Response {
        let mut response = self.answer.into_response();
        if self.replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// What an erased person's stored answer says.
pub(crate) const ERASED: Problem = Problem::Gone("whom this was about has been erased since");
