//! What keys bind, and what destinations and syncs remember.

use std::{collections::HashSet, io::Write};

use domain::{Answer, ContactId, ContactRef, IdempotencyKey, OrgId, PassId, PassRef, SyncId, TargetId, Timestamp};
use uuid::Uuid;

use super::{Frame, MoveError, Moved, MovedMessageId, MovedResult, Tally, file::Writer};
use crate::{
    CommitRows, Committed, DedupeRow, ResultRow, Store, Touch,
    states::{RESULT_CONTEXT, ResultBody, context},
    store::to_json,
};

/// Results of a frame.
const RESULTS: u32 = 500;
/// Narrow rows of a frame.
const NARROW: u32 = 5_000;

impl Store {
    pub(super) async fn export_carried<W: Write>(
        &self,
        org: OrgId,
        now: Timestamp,
        writer: &mut Writer<'_, W>,
        tally: &mut Tally,
    ) -> Moved<()> {
        let mut after = (String::new(), String::new());
        loop {
            let rows = self.backend.results_after(org, after, now, RESULTS).await?;
            let Some(last) = rows.last() else { break };
            after = (last.principal.clone(), last.key.clone());
            tally.keys += rows.len() as u64;
            let results = rows.into_iter().map(|row| self.open_result(row)).collect::<Moved<_>>()?;
            writer.frame(&Frame::Results { org, results })?;
        }
        let mut after = Vec::new();
        loop {
            let (rows, behind) = self.backend.dedupe_after(org, &after, NARROW).await?;
            if rows.is_empty() {
                break;
            }
            after = behind;
            tally.keys += rows.len() as u64;
            let moved = |row: DedupeRow| {
                let DedupeRow { source, dedupe, id, until, .. } = row;
                MovedMessageId { source, dedupe, id, until }
            };
            writer.frame(&Frame::Messages { org, ids: rows.into_iter().map(moved).collect() })?;
        }
        self.export_notes(org, writer, tally).await
    }

    async fn export_notes<W: Write>(&self, org: OrgId, writer: &mut Writer<'_, W>, tally: &mut Tally) -> Moved<()> {
        let mut after = (TargetId::from_uuid(Uuid::nil()), ContactId::from_uuid(Uuid::nil()));
        loop {
            let rows = self.backend.synced_after(org, after, NARROW).await?;
            let Some(last) = rows.last() else { break };
            after = (last.0, last.1);
            tally.notes += rows.len() as u64;
            for part in rows.chunk_by(|one, next| one.0 == next.0) {
                let told = part.iter().map(|(_, contact, hash)| (*contact, *hash)).collect();
                writer.frame(&Frame::Synced { org, target: part[0].0, told })?;
            }
        }
        self.export_records(org, writer, tally).await?;
        let mut after = (SyncId::from_uuid(Uuid::nil()), PassId::from_uuid(Uuid::nil()));
        loop {
            let mut rows = self.backend.mirrored_after(org, after, NARROW).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = (last.0, last.1);
            tally.notes += rows.len() as u64;
            rows.sort_unstable_by_key(|(sync, pass, run)| (*sync, *run, *pass));
            for part in rows.chunk_by(|one, next| (one.0, one.2) == (next.0, next.2)) {
                let passes = part.iter().map(|(_, pass, _)| *pass).collect();
                writer.frame(&Frame::Mirrored { org, sync: part[0].0, run: part[0].2, passes })?;
            }
        }
    }

    async fn export_records<W: Write>(&self, org: OrgId, writer: &mut Writer<'_, W>, tally: &mut Tally) -> Moved<()> {
        let mut after = (TargetId::from_uuid(Uuid::nil()), [0; 16], ContactId::from_uuid(Uuid::nil()));
        loop {
            let rows = self.backend.records_after(org, after, NARROW).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = *last;
            tally.notes += rows.len() as u64;
            for part in rows.chunk_by(|one, next| one.0 == next.0) {
                let found = part.iter().map(|(_, record, contact)| (*record, *contact)).collect();
                writer.frame(&Frame::Records { org, target: part[0].0, found })?;
            }
        }
    }

    fn open_result(&self, row: ResultRow) -> Moved<MovedResult> {
        let about = || context(RESULT_CONTEXT, row.subject);
        let body = self.unseal(row.org, row.subject, row.data_key.as_deref(), about, &row.body)?;
        let body = body.map(|body| String::from_utf8_lossy(&body).into_owned());
        let ResultRow { principal, key, fingerprint, subject, expires_at, .. } = row;
        Ok(MovedResult { principal, key, fingerprint, subject, expires_at, body })
    }

    /// Those that an import which broke off has written are passed over.
    pub(super) async fn import_results(&self, org: OrgId, results: Vec<MovedResult>, now: Timestamp) -> Moved<()> {
        let subjects: HashSet<Uuid> = results.iter().map(|moved| moved.subject).filter(|subject| !subject.is_nil()).collect();
        let mut touches = vec![Touch {
            passes: subjects.iter().map(|subject| PassRef::Id(PassId::from_uuid(*subject))).collect(),
            contacts: subjects.iter().map(|subject| ContactRef::Id(ContactId::from_uuid(*subject))).collect(),
            ..Touch::default()
        }];
        touches.extend(results.iter().map(|moved| {
            let (principal, key, fingerprint) = (moved.principal.clone(), moved.key.clone(), moved.fingerprint);
            Touch { key: Some(IdempotencyKey { principal, key, fingerprint, keep_image: false }), ..Touch::default() }
        }));
        let touches: Vec<_> = touches.into_iter().map(|touch| (org, touch)).collect();
        let states = self.load(&touches, now).await?;
        let mut rows = CommitRows { now, ..CommitRows::default() };
        for moved in results {
            let MovedResult { principal, key, fingerprint, subject, expires_at, body } = moved;
            if expires_at <= now || states.results.contains_key(&(org, principal.clone(), key.clone())) {
                continue;
            }
            let (subject, body) = match (body, states.data_key(org, subject)) {
                (Some(body), _) if subject.is_nil() => (subject, body.into_bytes()),
                (Some(body), Some(data_key)) => {
                    (subject, self.keyring.seal(data_key, &context(RESULT_CONTEXT, subject), body.as_bytes())?)
                }
                // It only binds.
                _ => {
                    let answer = Answer::Unchanged { pass: None, contact: None, version: 0, late: None, stays: None };
                    let nothing = ResultBody { answer, pass: None, contact: None, sealed_answer: None };
                    (Uuid::nil(), to_json(&nothing)?.into_bytes())
                }
            };
            rows.results.push(ResultRow { org, principal, key, fingerprint, subject, data_key: None, body, expires_at });
        }
        if rows.results.is_empty() {
            return Ok(());
        }
        match self.backend.commit(rows).await? {
            Committed::Done(_) => Ok(()),
            Committed::Conflict => Err(MoveError::Refused("somebody else uses the same idempotency keys meanwhile".to_owned())),
        }
    }

    pub(super) async fn import_message_ids(&self, org: OrgId, ids: Vec<MovedMessageId>) -> Moved<()> {
        let row = |moved: MovedMessageId| {
            let MovedMessageId { source, dedupe, id, until } = moved;
            DedupeRow { org, source, dedupe, id, until }
        };
        Ok(self.backend.keep_dedupe(ids.into_iter().map(row).collect()).await?)
    }
}
