//! Requests that may go at the same moment go as one.
//!
//! Whoever comes first lets the others come that are ready too, and sends for all of them. Where no batch is taken, each goes alone
//! from then on.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use google_wallet::rest::{self, Part};
use http::{Request, StatusCode};
use outbound::http::{Client, Limits};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Statuses by which a server says that it takes no batch, so that nothing of it was done.
const NO_BATCH: [StatusCode; 6] = [
    StatusCode::BAD_REQUEST,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::GONE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::NOT_IMPLEMENTED,
];

/// What came of a request; words where nobody knows.
type Answer = Result<Part, String>;

/// Where requests meet.
#[derive(Default)]
pub(super) struct Post {
    waiting: Mutex<Vec<(Request<Bytes>, oneshot::Sender<Answer>)>>,
    /// Whether a batch was refused as such.
    takes_no_batch: AtomicBool,
}

impl Post {
    /// Sends a request, together with others that come at this moment. Lists go alone: they are long.
    pub(super) async fn send(&self, client: &Client, request: Request<Bytes>, limits: Limits) -> Answer {
        if request.uri().query().is_some() || self.takes_no_batch.load(Ordering::Relaxed) {
            return alone(client, request, limits).await;
        }
        let (reply, answer) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting.lock();
            waiting.push((request, reply));
            waiting.len() == 1
        };
        if is_first {
            tokio::task::yield_now().await;
            let (requests, replies): (Vec<_>, Vec<_>) = std::mem::take(&mut *self.waiting.lock()).into_iter().unzip();
            let answers = self.together(client, requests, limits).await;
            for (reply, answer) in replies.into_iter().zip(answers) {
                // Whoever asked may have gone.
                let _ = reply.send(answer);
            }
        }
        answer.await.unwrap_or_else(|_| Err("the batch that it was in broke off".to_owned()))
    }

    async fn together(&self, client: &Client, requests: Vec<Request<Bytes>>, limits: Limits) -> Vec<Answer> {
        if requests.len() == 1 {
            return join_all(requests.into_iter().map(|request| alone(client, request, limits))).await;
        }
        let whole = match rest::batch(&requests) {
            Ok(whole) => whole,
            Err(error) => return vec![Err(error.to_string()); requests.len()],
        };
        let reply = match client.send(whole, limits).await {
            Ok(reply) => reply,
            Err(failure) => return vec![Err(failure.to_string()); requests.len()],
        };
        if reply.status == StatusCode::OK {
            let parts = rest::read_batch(&reply.headers, &reply.body, requests.len());
            let unread = || "the answer to the batch that it was in says nothing of it".to_owned();
            return parts.into_iter().map(|part| part.ok_or_else(unread)).collect();
        }
        if NO_BATCH.contains(&reply.status) {
            tracing::warn!(status = %reply.status, "Google takes no batch; requests go one by one");
            self.takes_no_batch.store(true, Ordering::Relaxed);
            return join_all(requests.into_iter().map(|request| alone(client, request, limits))).await;
        }
        if reply.status.is_client_error() || reply.status.is_server_error() {
            // It is said of whoever asks, and so of every request.
            return vec![Ok(Part { status: reply.status, body: reply.body }); requests.len()];
        }
        vec![Err(format!("the batch that it was in was answered {}", reply.status)); requests.len()]
    }
}

async fn alone(client: &Client, request: Request<Bytes>, limits: Limits) -> Answer {
    let reply = client.send(request, limits).await.map_err(|failure| failure.to_string())?;
    Ok(Part { status: reply.status, body: reply.body })
}
