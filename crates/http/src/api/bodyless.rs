//! Operations that take no body. One that comes nonetheless is meant to say something, which nobody would do: it is refused,
//! so that who sent it learns of it. An empty object says nothing, and many clients send one with every request.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    body::{Body, HttpBody as _},
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::Value;

use crate::{Problem, extract::read_body};

/// Most bytes of a body that may still say nothing.
const NOTHING_BYTES: usize = 64;

/// The paths of operations that take no body, with their methods in lower case.
pub(super) type Bodyless = Arc<BTreeSet<(String, String)>>;

/// Those of a document; reading is left out, where a body has no meaning anyhow.
pub(super) fn of(document: &Value) -> Bodyless {
    let mut found = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        let without =
            operations.as_object().into_iter().flatten().filter(|(_, operation)| operation.get("requestBody").is_none());
        let methods = without.map(|(method, _)| method.clone()).filter(|method| method != "get");
        found.extend(methods.map(|method| (path.clone(), method)));
    }
    found.into()
}

/// Refuses a body where none is taken.
pub(super) async fn guard(State(bodyless): State<Bodyless>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    if !bodyless.contains(&(path, request.method().as_str().to_ascii_lowercase())) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match read_body(Request::new(body), NOTHING_BYTES).await {
        Ok(bytes) if says_nothing(&bytes) => next.run(Request::from_parts(parts, Body::empty())).await,
        Ok(_) | Err(Problem::TooLarge(_)) => Problem::Malformed("this takes no body: leave it out".to_owned()).into_response(),
        Err(problem) => problem.into_response(),
    }
}

fn says_nothing(body: &[u8]) -> bool {
    let text: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    matches!(&text[..], b"" | b"{}" | b"null")
}
