//! Passes that were issued before their project had a Google issuer, or under another one, get their objects.
//!
//! A row for the project itself says that an account has walked its passes, or how far it is. It comes due when the account
//! first finds the project its own.

use domain::{OrgId, PassId, Project};
use store::{GoogleOutcome, GoogleThingRow};
use uuid::Uuid;

use super::{
    asked,
    lane::{Lane, Outcome},
    memory::Memory,
};
use crate::shard::End;

/// Passes that are looked at together.
const BATCH: u32 = 256;

impl Lane {
    /// Sees to it that the passes of every project that the account speaks for are walked once.
    pub(super) async fn find_projects(&self) -> Result<(), End> {
        let house = &self.shard.house;
        let backend = house.store.backend();
        let catalog = self.shard.insist("read the configuration", || house.catalog()).await?;
        let Some(config) = catalog.org(self.org) else { return Ok(()) };
        for stored in config.projects.values().filter(|stored| self.speaks_for(&stored.value)) {
            let thing = stored.value.id.uuid();
            let row = self.shard.insist("read a project's work", || backend.google_thing(self.org, thing)).await?;
            match row {
                Some(row) if row.account == self.id => continue,
                // Whoever walked it before left a mark of how far that was.
                Some(row) => self.settle(vec![self.walked(thing, Some(&row), &Memory::default())]).await?,
                None => {}
            }
            let ask = vec![walk(self.org, thing, self.id, house.now())];
            self.shard.insist("ask for a project's passes", || backend.ask_google(ask.clone(), true)).await?;
        }
        Ok(())
    }

    pub(super) fn speaks_for(&self, project: &Project) -> bool {
        project.google_issuer.as_deref() == Some(self.issuer.as_str())
    }

    /// Asks for the next passes of a project that the account has not spoken for.
    pub(super) async fn introduce(&self, row: GoogleThingRow, project: &Project) -> Result<Outcome, End> {
        let (house, mut memory) = (&self.shard.house, Memory::read(&row.body));
        if !self.speaks_for(project) {
            return Ok(Some(self.walked(row.thing, Some(&row), &Memory::default())));
        }
        let after = memory.after.as_deref().and_then(|id| id.parse::<PassId>().ok());
        let read = || house.store.passes_as_shown(self.org, project.id, after, BATCH);
        let passes = self.shard.insist("read a project's passes", read).await?;
        let rows: Vec<_> = passes.iter().map(|(pass, seq)| asked(self.org, pass, *seq, self.id, house.now())).collect();
        let backend = house.store.backend();
        self.shard.insist("ask for a project's passes", || backend.ask_google(rows.clone(), false)).await?;
        memory.after = passes.last().map(|(pass, _)| pass.id.to_string());
        let mut outcome = self.walked(row.thing, Some(&row), &memory);
        outcome.retry_at = memory.after.is_some().then(|| house.now());
        Ok(Some(outcome))
    }

    fn walked(&self, thing: Uuid, row: Option<&GoogleThingRow>, memory: &Memory) -> GoogleOutcome {
        GoogleOutcome {
            org: self.org,
            thing,
            account: self.id,
            seen_due_at: row.and_then(|row| row.due_at),
            synced_seq: None,
            retry_at: None,
            body: memory.write(),
        }
    }
}

fn walk(org: OrgId, thing: Uuid, account: Uuid, now: domain::Timestamp) -> GoogleThingRow {
    GoogleThingRow { org, thing, account, urgency: 0, wanted_seq: 0, synced_seq: 0, due_at: Some(now), body: String::new() }
}
