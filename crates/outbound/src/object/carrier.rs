//! Our client as the one that the storage library sends by: under the address policy, with deadlines and caps.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use object_store::{
    ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService},
};
use tokio::sync::watch;

use super::Unwritten;
use crate::http::{Client, Failure, Limits};

/// Bytes of an answer that are read.
const MAX_REPLY: usize = 64 * 1_024;
/// Longest word for an error that is kept, in bytes.
const MAX_CODE: usize = 64;

/// Sends by our client, and remembers what last went wrong, for the library's errors hide it.
#[derive(Debug, Clone)]
pub(super) struct Carrier {
    client: Client,
    limits: Limits,
    why: Arc<watch::Sender<Option<Unwritten>>>,
}

impl Carrier {
    pub(super) fn new(client: Client, deadline: Duration) -> Self {
        let limits = Limits { deadline, max_body: MAX_REPLY };
        Self { client, limits, why: Arc::new(watch::Sender::new(None)) }
    }

    /// What last went wrong.
    pub(super) fn why(&self) -> Option<Unwritten> {
        self.why.borrow().clone()
    }
}

impl HttpConnector for Carrier {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl HttpService for Carrier {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        match self.client.send(http::Request::from_parts(head, body), self.limits).await {
            Ok(reply) => {
                if !reply.status.is_success() {
                    let refused = Unwritten::Refused { status: reply.status.as_u16(), code: code(&reply.body) };
                    self.why.send_replace(Some(refused));
                }
                let mut response = HttpResponse::new(HttpResponseBody::from(reply.body));
                *response.status_mut() = reply.status;
                *response.headers_mut() = reply.headers;
                Ok(response)
            }
            Err(failure) => {
                let kind = match failure {
                    Failure::Timeout { .. } => HttpErrorKind::Timeout,
                    Failure::Reset { .. } => HttpErrorKind::Interrupted,
                    Failure::Forbidden(_) | Failure::Tls { .. } => HttpErrorKind::Unknown,
                    _ => HttpErrorKind::Connect,
                };
                self.why.send_replace(Some(Unwritten::Failed(failure.clone())));
                Err(HttpError::new(kind, failure))
            }
        }
    }
}

/// The storage's word for an error: `<Code>` in S3's and Azure's XML; empty where there is none.
fn code(body: &Bytes) -> String {
    let text = String::from_utf8_lossy(body);
    let word = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(word, _)| word);
    word.unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).take(MAX_CODE).collect()
}
