//! Answers to requests, kept under their idempotency keys in the commit of what they did.
//!
//! They share the table and the keys of commands' results, so that a key that was used for one kind of request is known
//! to have been used when it comes with another.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{Answer, IdempotencyKey, OrgId, Timestamp};
use uuid::Uuid;

use crate::{
    LoadKeys, RESULT_DAYS, ResultRow, Store, StoreError,
    error::Result,
    states::{ResultBody, parse},
    store::to_json,
};

/// What is kept under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// What was asked.
    pub fingerprint: [u8; 32],
    /// What was given to [`Store::answer_row`]; none when the key belongs to a command.
    pub answer: Option<Vec<u8>>,
}

impl Store {
    /// What is kept under an idempotency key.
    pub async fn kept_answer(&self, org: OrgId, principal: &str, key: &str, now: Timestamp) -> Result<Option<KeptAnswer>> {
        let results = vec![(org, principal.to_owned(), key.to_owned())];
        let rows = self.backend.load(&LoadKeys { now, results, ..LoadKeys::default() }).await?;
        let Some(row) = rows.results.into_iter().next() else { return Ok(None) };
        if !row.subject.is_nil() {
            return Ok(Some(KeptAnswer { fingerprint: row.fingerprint, answer: None }));
        }
        let body: ResultBody = parse(&row.body, "results", row.subject)?;
        let open = |sealed: String| {
            let damaged = |_| StoreError::Internal("a kept answer is no base64".to_owned());
            let sealed = STANDARD.decode(sealed).map_err(damaged)?;
            self.keyring.open_secret(org, &context(principal, key), &sealed).map(|opened| opened.to_vec())
        };
        Ok(Some(KeptAnswer { fingerprint: row.fingerprint, answer: body.sealed_answer.map(open).transpose()? }))
    }

    /// The row that keeps an answer, sealed, to be written with what was done.
    pub fn answer_row(&self, org: OrgId, key: &IdempotencyKey, answer: &[u8], now: Timestamp) -> Result<ResultRow> {
        let sealed = self.keyring.seal_secret(org, &context(&key.principal, &key.key), answer)?;
        let nothing = Answer::Unchanged { pass: None, contact: None, version: 0, late: None, stays: None };
        let body = ResultBody { answer: nothing, pass: None, contact: None, sealed_answer: Some(STANDARD.encode(sealed)) };
        Ok(ResultRow {
            org,
            principal: key.principal.clone(),
            key: key.key.clone(),
            fingerprint: key.fingerprint,
            subject: Uuid::nil(),
            data_key: None,
            body: to_json(&body)?.into_bytes(),
            expires_at: now.plus(std::time::Duration::from_secs(RESULT_DAYS * 86_400)),
        })
    }
}

/// Ties a sealed answer to its key.
fn context(principal: &str, key: &str) -> Vec<u8> {
    [b"answer".as_slice(), principal.as_bytes(), &[0], key.as_bytes()].concat()
}
