//! The way out.

use std::io::Write;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{InstallationState, OrgId, PassId, Timestamp, Wallet};

use super::{
    Frame, MoveError, Moved, MovedEvent, MovedInstallation, MovedName, MovedPass, MovedResource, Tally,
    file::{FORM, RELEASE, Writer},
};
use crate::{
    BlobRow, InboxFilter, InboxStatus, LoggedEvent, MasterKey, PassRow, Reader, ResourceRow, Store, StoreError, error::Result,
};

/// Contacts of a frame.
const CONTACTS: u32 = 200;
/// Passes of a frame.
const PASSES: u32 = 50;
/// Installations that are read together.
const INSTALLATIONS: u32 = 1_000;
/// Events of a frame beyond which no further pass is added.
const EVENTS: usize = 1_000;

impl Store {
    /// Writes organizations into a file, sealed under a transfer key, and says how much that was and the file's SHA-256. Nobody may
    /// write meanwhile. What is still owed (deliveries, source events that wait) is refused, unless it is to be left behind;
    /// attempts, the inbox, jobs and the audit log stay.
    ///
    /// # Errors
    /// When something is owed, or the database or the file fails.
    pub async fn export(
        &self,
        orgs: &[OrgId],
        transfer: &MasterKey,
        leave_behind: bool,
        now: Timestamp,
        out: impl Write + Send,
    ) -> Moved<(Tally, String)> {
        if !leave_behind {
            self.nothing_owed(orgs).await?;
        }
        let mut tally = Tally::default();
        let mut writer = Writer::begin(out, transfer, self)?;
        writer.frame(&Frame::Header { form: FORM, made_at: now, release: Some(RELEASE.to_owned()) })?;
        for org in orgs {
            self.export_org(*org, now, &mut writer, &mut tally).await?;
        }
        Ok((tally, writer.end()?))
    }

    async fn nothing_owed(&self, orgs: &[OrgId]) -> Moved<()> {
        let refused = |what: &str| {
            MoveError::Refused(format!("{what}: start the server and let it finish, or leave behind what is not done"))
        };
        if self.is_unread().await? {
            return Err(refused("there are events that were not worked on"));
        }
        for org in orgs {
            if !self.backend.deliveries(*org, None, None, 1).await?.is_empty() {
                return Err(refused("deliveries are owed"));
            }
            let waiting = InboxFilter { status: Some(InboxStatus::Waiting.number()), ..InboxFilter::default() };
            if !self.backend.source_events(*org, &waiting, 1).await?.is_empty() {
                return Err(refused("source events wait"));
            }
            let delayed = InboxFilter { status: Some(InboxStatus::Delayed.number()), ..InboxFilter::default() };
            if !self.backend.source_events(*org, &delayed, 1).await?.is_empty() {
                return Err(refused("steps of flows wait for their time"));
            }
        }
        Ok(())
    }

    /// Whether a reader has not come to the end of its log.
    pub(super) async fn is_unread(&self) -> Result<bool> {
        for reader in Reader::CARRIERS {
            let heads = self.backend.heads(reader.log()).await?;
            let marks = self.backend.watermarks(reader).await?;
            for ((shard, head), mark) in (0..).zip(heads).zip(marks) {
                let behind = match reader {
                    Reader::Flows | Reader::Webhooks | Reader::Integrity => mark < head,
                    // They note the last change of what a pass shows, which other events may come after.
                    Reader::WalletSync | Reader::Google => self.backend.changed_passes(shard, mark, 1).await?.0 > mark,
                };
                if behind {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn export_org<W: Write>(&self, org: OrgId, now: Timestamp, writer: &mut Writer<'_, W>, tally: &mut Tally) -> Moved<()> {
        let catalog = self.catalog_now().await?;
        let config = catalog.org(org).and_then(|config| config.organization.as_ref());
        let name = config.ok_or_else(|| MoveError::Refused(format!("there is no organization {org}")))?.value.name.clone();
        let wrapped = self.backend.org_keys().await?.into_iter().find(|(of, _)| *of == org);
        let (_, wrapped) = wrapped.ok_or_else(|| StoreError::Internal(format!("no key for organization {org}")))?;
        let key = STANDARD.encode(self.keyring.rewrap(org, &wrapped, writer.key)?);
        writer.frame(&Frame::Organization { org, name, key })?;
        self.export_files(org, writer, tally).await?;
        let mut after = None;
        loop {
            let contacts = self.contacts(org, after, CONTACTS).await?;
            let Some(last) = contacts.last() else { break };
            after = Some(last.id);
            tally.contacts += contacts.len() as u64;
            let ids: Vec<_> = contacts.iter().map(|contact| contact.id).collect();
            let places = Some(self.backend.places(org, &ids).await?);
            writer.frame(&Frame::Contacts { org, contacts, places })?;
        }
        self.export_passes(org, writer, tally).await?;
        self.export_loose_events(org, writer, tally).await?;
        self.export_carried(org, now, writer, tally).await?;
        let rows = self.backend.config_since(0, u32::MAX).await?;
        let rows = rows.into_iter().filter(|row| row.org == org && !row.deleted);
        let resources = rows.map(|row| {
            let ResourceRow { kind, id, slug, body, created_at, updated_at, .. } = row;
            MovedResource { kind, id, slug, body, created_at, updated_at }
        });
        let resources = resources.collect();
        let mut names = Vec::new();
        let mut after = (0, Vec::new());
        loop {
            let page = self.backend.names(org, &after, 1_000).await?;
            let Some(last) = page.last() else { break };
            after = (last.kind, last.name.clone());
            names.extend(page.into_iter().map(|row| MovedName {
                kind: row.kind,
                name: STANDARD.encode(&row.name),
                target: row.target,
            }));
        }
        writer.frame(&Frame::Configuration { org, resources, names })?;
        tally.organizations += 1;
        Ok(())
    }

    async fn export_files<W: Write>(&self, org: OrgId, writer: &mut Writer<'_, W>, tally: &mut Tally) -> Moved<()> {
        for sha256 in self.backend.blob_names(org).await? {
            let Some(blob) = self.backend.blob(org, sha256).await? else { continue };
            let BlobRow { media_type, bytes, created_at, .. } = blob;
            writer.frame(&Frame::File { org, media_type, bytes: STANDARD.encode(bytes), created_at })?;
            tally.files += 1;
        }
        Ok(())
    }

    async fn installations_of(&self, pass: &PassRow) -> Moved<Vec<MovedInstallation>> {
        let (mut after, mut all) = (None, Vec::new());
        loop {
            let page = self.backend.installations(pass.org, pass.id, after, INSTALLATIONS).await?;
            let Some(last) = page.last() else { return Ok(all) };
            after = Some((last.wallet, last.device.clone()));
            for row in page {
                let installation = crate::states::open_installation(&row)?;
                let is_active = matches!(installation.state, InstallationState::Active { .. });
                let behind = is_active && installation.wallet == Wallet::Apple && row.pushed_seq < pass.content_seq;
                all.push(MovedInstallation { installation, behind: behind || row.push_due_at.is_some() });
            }
        }
    }

    async fn export_passes<W: Write>(&self, org: OrgId, writer: &mut Writer<'_, W>, tally: &mut Tally) -> Moved<()> {
        let (mut after, mut passes, mut held) = (None, Vec::new(), 0);
        loop {
            let rows = self.backend.passes(org, None, None, after, PASSES).await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.id);
            for row in rows {
                let (_, pass) = self.open_pass(&row)?;
                let installations = self.installations_of(&row).await?;
                let events = self.events_of(org, pass.id).await?;
                held += events.len();
                tally.passes += 1;
                tally.installations += installations.len() as u64;
                tally.events += events.len() as u64;
                passes.push(MovedPass { pass, installations, events });
                if held >= EVENTS || passes.len() >= PASSES as usize {
                    held = 0;
                    writer.frame(&Frame::Passes { org, passes: std::mem::take(&mut passes) })?;
                }
            }
        }
        if passes.is_empty() { Ok(()) } else { writer.frame(&Frame::Passes { org, passes }) }
    }

    async fn events_of(&self, org: OrgId, pass: PassId) -> Result<Vec<MovedEvent>> {
        let (mut after, mut all) = (0, Vec::new());
        loop {
            let page = self.events_of_pass(org, pass, after, 500).await?;
            let Some(last) = page.last() else { return Ok(all) };
            after = last.position().seq;
            all.extend(page.into_iter().filter_map(LoggedEvent::whole).map(MovedEvent::of));
        }
    }

    /// Events about no pass: of contacts, of the running of things.
    async fn export_loose_events<W: Write>(&self, org: OrgId, writer: &mut Writer<'_, W>, tally: &mut Tally) -> Moved<()> {
        let mut after = vec![0; usize::from(self.backend.shards())];
        loop {
            let page = self.feed(org, &after, 500).await?;
            if page.is_empty() {
                return Ok(());
            }
            for logged in &page {
                let position = logged.position();
                if let Some(mark) = after.get_mut(usize::from(position.shard)) {
                    *mark = position.seq.max(*mark);
                }
            }
            let loose = page.into_iter().filter_map(LoggedEvent::whole).filter(|event| event.pass.is_none());
            let events: Vec<_> = loose.map(MovedEvent::of).collect();
            if !events.is_empty() {
                tally.events += events.len() as u64;
                writer.frame(&Frame::Events { org, events })?;
            }
        }
    }
}
