//! What cases work with: letters, the endpoint's answers, and whether the pass counts as saved.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Method, StatusCode};

use super::Endpoint;
use crate::conformance::bench::{Outcome, Short, broken};
use crate::google::{Event, Letter};
use crate::iphone::{Exchange, Network, NoAnswer};

/// How often it is looked whether a right call-back counts.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(20);
const AGENT: &str = "Googlebot";

/// One run of Google's side.
pub(super) struct Desk<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) network: &'a Network,
    letters: AtomicU64,
}

impl<'a> Desk<'a> {
    pub(super) fn new(endpoint: &'a Endpoint, network: &'a Network) -> Self {
        Self { endpoint, network, letters: AtomicU64::new(0) }
    }

    /// A right letter of a nonce of its own.
    pub(super) fn letter(&self, event: Event) -> Letter {
        let number = self.letters.fetch_add(1, Ordering::Relaxed);
        let nonce = format!("conformance-{}-{number}", self.endpoint.run);
        Letter::new(&self.endpoint.class, &self.endpoint.object, event, &nonce, self.endpoint.google.now())
    }

    /// Posts a body; once more where no answer comes, as Google does: a connection may have ended meanwhile.
    pub(super) async fn post(&self, body: impl Into<Bytes>) -> Result<Exchange, NoAnswer> {
        let (headers, body) = ([("content-type", "application/json"), ("user-agent", AGENT)], body.into());
        match self.network.send(Method::POST, &self.endpoint.url, &headers, body.clone()).await {
            Ok(answer) => Ok(answer),
            Err(_) => self.network.send(Method::POST, &self.endpoint.url, &headers, body).await,
        }
    }

    pub(super) async fn send(&self, letter: &Letter) -> Result<Exchange, NoAnswer> {
        self.post(self.endpoint.google.sealed(letter)).await
    }

    /// A right letter, which must be taken.
    pub(super) async fn taken(&self, letter: &Letter) -> Result<(), Short> {
        let answer = self.send(letter).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        let fetched = self.endpoint.google.key_fetches();
        let keys = if fetched == 0 { " (and it never fetched the root keys of the kit)" } else { "" };
        broken(format!("a right call-back was answered {}{keys}", answer.status.as_u16()))
    }

    /// Whether the pass counts as saved, where that can be told.
    pub(super) async fn holds(&self) -> Result<Option<bool>, Short> {
        match &self.endpoint.holds {
            None => Ok(None),
            Some(holds) => holds().await.map(Some).map_err(|why| Short::Without(format!("nobody can tell: {why}"))),
        }
    }

    /// Waits until the pass counts as saved or not.
    pub(super) async fn comes_to(&self, saved: bool) -> Result<(), Short> {
        let deadline = tokio::time::Instant::now() + self.endpoint.patience;
        loop {
            match self.holds().await? {
                Some(is) if is != saved && tokio::time::Instant::now() < deadline => tokio::time::sleep(LOOK_AGAIN).await,
                Some(is) if is != saved => return broken(format!("the pass counts as {}", word(is))),
                _ => return Ok(()),
            }
        }
    }

    /// The pass is not saved, by right call-backs.
    pub(super) async fn cleared(&self) -> Result<(), Short> {
        for event in [Event::Save, Event::Del] {
            self.without(self.taken(&self.letter(event)).await)?;
        }
        self.without(self.comes_to(false).await)
    }

    /// What another case is about is no fault of this one.
    pub(super) fn without<T>(&self, outcome: Result<T, Short>) -> Result<T, Short> {
        outcome.map_err(|short| match short {
            Short::Broken(came) => Short::Without(format!("it takes an endpoint that takes right ones: {came}")),
            other @ Short::Without(_) => other,
        })
    }

    /// A letter that is wrong in one way is refused, and changes nothing. It says that the pass was saved.
    pub(super) async fn refused(&self, letter: &Letter) -> Outcome {
        self.cleared().await?;
        let answer = self.send(letter).await?;
        if !answer.status.is_client_error() {
            return broken(format!("it was answered {}", answer.status.as_u16()));
        }
        if self.holds().await? == Some(true) {
            return broken("it was refused, and the pass counts as saved");
        }
        Ok(format!("it was answered {}", answer.status.as_u16()))
    }

    /// Leaves the pass deleted. What cannot be is said by the cases that are about it.
    pub(super) async fn leave(&self) {
        let _ = self.send(&self.letter(Event::Del)).await;
    }
}

fn word(saved: bool) -> &'static str {
    if saved { "saved" } else { "not saved" }
}

/// Fails on an answer that blames the endpoint.
pub(super) fn no_fault(answer: &Exchange, what: &str) -> Result<StatusCode, Short> {
    if answer.status.is_server_error() {
        return broken(format!("{what} was answered {}", answer.status.as_u16()));
    }
    Ok(answer.status)
}
