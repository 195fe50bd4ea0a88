//! The way in.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Read},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{Contact, ContactId, ContactRef, OrgId, PassRef, Timestamp};

use super::{Frame, MoveError, Moved, MovedEvent, MovedInstallation, MovedName, MovedPass, MovedResource, Tally, file::Frames};
use crate::{
    Changes, Committed, ConfigWrite, DirectoryRow, Lease, Log, MasterKey, NameKind, NewEvent, OrgCatalog, Reader, ResourceRow,
    States, Store, StoreError, Touch, error::Result,
};

/// Who holds the shards while an organization is taken in.
const OWNER: &str = "import";
/// Tries to write a frame that somebody else got in the way of.
const RACES: u32 = 8;

impl Store {
    /// Takes in what [`Store::export`] wrote. The file is read twice: wholly before anything is written, then to write. What was
    /// taken in by an import that broke off is passed over.
    ///
    /// # Errors
    /// When the file is damaged, an organization of it is here already, a name of it is another's, or something here is still to be
    /// worked on.
    pub async fn import<R: Read + Send>(
        &self,
        transfer: &MasterKey,
        now: Timestamp,
        mut open: impl FnMut() -> io::Result<R> + Send,
    ) -> Moved<Tally> {
        self.check_file(transfer, open()?).await?;
        let imported = async {
            let leases = self.hold_shards().await?;
            self.import_frames(transfer, now, open()?, &leases).await
        }
        .await;
        self.backend.release(OWNER).await?;
        imported.map_err(|error| match error {
            MoveError::Damaged(what) => {
                MoveError::Refused(format!("the file changed while it was taken in ({what}): start again"))
            }
            other => other,
        })
    }

    async fn check_file<R: Read>(&self, transfer: &MasterKey, from: R) -> Moved<()> {
        let mut frames = Frames::open(from, transfer)?;
        let known = self.backend.org_keys().await?;
        let catalog = self.catalog_now().await?;
        let mut is_resumed = false;
        while let Some(frame) = frames.next()? {
            match frame {
                Frame::Organization { org, name, .. } => {
                    if catalog.org(org).is_some_and(|config| config.organization.is_some()) {
                        return Err(MoveError::Refused(format!("the organization {name} ({org}) is here already")));
                    }
                    is_resumed |= known.iter().any(|(of, _)| *of == org);
                }
                Frame::Configuration { org, resources, names } => {
                    let mut config = OrgCatalog::default();
                    for resource in resources {
                        config.apply(&resource.into_row(org)).map_err(|error| frames.foreign(&error.to_string()))?;
                    }
                    if config.organization.is_none() {
                        return Err(MoveError::Damaged("it has no organization".to_owned()));
                    }
                    for name in names {
                        let bytes = STANDARD.decode(&name.name).map_err(|_| MoveError::Damaged("a name".to_owned()))?;
                        // Where a page once was is worth no refusal.
                        let is_needed = name.kind != NameKind::FormerEnrolment.number();
                        if is_needed && self.backend.look_up(name.kind, &bytes).await?.is_some_and(|(of, _)| of != org) {
                            let what = "a name of it (a pass type, an issuer, a page, a key) is another organization's here";
                            return Err(MoveError::Refused(what.to_owned()));
                        }
                    }
                }
                _ => {}
            }
        }
        if !is_resumed && self.is_unread().await? {
            let what = "there are events here that were not worked on: start the server and let it finish first";
            return Err(MoveError::Refused(what.to_owned()));
        }
        Ok(())
    }

    /// Takes all shards, so that no node works meanwhile.
    async fn hold_shards(&self) -> Result<Vec<Lease>> {
        let mut held = Vec::new();
        for row in self.backend.leases().await? {
            let taken = self.backend.seize(row.lease, OWNER).await?;
            held.push(taken.ok_or_else(|| StoreError::Unavailable("another node works on this database".to_owned()))?);
        }
        Ok(held)
    }

    async fn import_frames<R: Read>(&self, transfer: &MasterKey, now: Timestamp, from: R, leases: &[Lease]) -> Moved<Tally> {
        let (mut frames, mut tally) = (Frames::open(from, transfer)?, Tally::default());
        while let Some(frame) = frames.next()? {
            match frame {
                Frame::Header { .. } | Frame::End { .. } => {}
                Frame::Organization { org, key, .. } => self.adopt(org, &key, transfer, now).await?,
                Frame::File { org, media_type, bytes, created_at } => {
                    let bytes = STANDARD.decode(bytes).map_err(|_| MoveError::Damaged("a file".to_owned()))?;
                    let blob = crate::blob_row(org, &media_type, bytes, created_at);
                    if self.backend.blob(org, blob.sha256).await?.is_none() {
                        self.backend.write_config(ConfigWrite { blobs: vec![blob], now, ..ConfigWrite::default() }).await?;
                    }
                    tally.files += 1;
                }
                Frame::Contacts { org, contacts, places } => {
                    tally.contacts += contacts.len() as u64;
                    self.import_contacts(org, contacts, places, now).await?;
                }
                Frame::Passes { org, passes } => {
                    tally.passes += passes.len() as u64;
                    tally.installations += passes.iter().map(|moved| moved.installations.len() as u64).sum::<u64>();
                    tally.events += passes.iter().map(|moved| moved.events.len() as u64).sum::<u64>();
                    self.import_passes(org, passes, now).await?;
                    self.pass_over(leases).await?;
                }
                Frame::Events { org, events } => {
                    tally.events += events.len() as u64;
                    self.import_events(org, events, now).await?;
                    self.pass_over(leases).await?;
                }
                Frame::Results { org, results } => {
                    tally.keys += results.len() as u64;
                    self.import_results(org, results, now).await?;
                }
                Frame::Messages { org, ids } => {
                    tally.keys += ids.len() as u64;
                    self.import_message_ids(org, ids).await?;
                }
                Frame::Synced { org, target, told } => {
                    tally.notes += told.len() as u64;
                    self.note_synced(org, target, told.into_iter().map(|(contact, hash)| (contact, Some(hash)))).await?;
                }
                Frame::Records { org, target, found } => {
                    tally.notes += found.len() as u64;
                    self.backend.note_records(org, target, found).await?;
                }
                Frame::Mirrored { org, sync, run, passes } => {
                    tally.notes += passes.len() as u64;
                    self.backend.note_mirrored(org, sync, run, passes).await?;
                }
                Frame::Configuration { org, resources, names } => {
                    self.publish_org(org, resources, names, now).await?;
                    tally.organizations += 1;
                }
            }
        }
        Ok(tally)
    }

    async fn adopt(&self, org: OrgId, key: &str, transfer: &MasterKey, now: Timestamp) -> Moved<()> {
        let sealed = STANDARD.decode(key).map_err(|_| MoveError::Damaged("a key".to_owned()))?;
        let wrapped = self.keyring.adopt(org, &sealed, transfer)?;
        if self.backend.org_keys().await?.iter().all(|(of, _)| *of != org) {
            self.backend.write_config(ConfigWrite { org_keys: vec![(org, wrapped)], now, ..ConfigWrite::default() }).await?;
        }
        Ok(())
    }

    async fn import_contacts(
        &self,
        org: OrgId,
        contacts: Vec<Contact>,
        places: Option<Vec<(ContactId, i64)>>,
        now: Timestamp,
    ) -> Moved<()> {
        let places: Option<HashMap<ContactId, i64>> = places.map(|places| places.into_iter().collect());
        let touch = Touch { contacts: contacts.iter().map(|it| ContactRef::Id(it.id)).collect(), ..Touch::default() };
        let mut states = self.load(&[(org, touch)], now).await?;
        let mut changes = Changes { now, ..Changes::default() };
        for contact in contacts.into_iter().filter(|it| !states.contacts.contains_key(&(org, it.id))).collect::<Vec<_>>() {
            let id = contact.id;
            changes.contacts.push((org, id));
            states.put_contact(org, contact);
            states.stand(org, id, places.as_ref().map(|places| places.get(&id).copied().unwrap_or(0)));
        }
        self.write_frame(&mut states, changes).await
    }

    async fn import_passes(&self, org: OrgId, passes: Vec<MovedPass>, now: Timestamp) -> Moved<()> {
        let events = passes.iter().flat_map(|moved| &moved.events);
        let people = events.flat_map(|event| [event.contact, event.image.pass.as_ref().and_then(|pass| pass.contact)]);
        let people = people.chain(passes.iter().map(|moved| moved.pass.contact)).flatten();
        let touch = Touch {
            passes: passes.iter().map(|moved| PassRef::Id(moved.pass.id)).collect(),
            contacts: people.collect::<HashSet<_>>().into_iter().map(ContactRef::Id).collect(),
            ..Touch::default()
        };
        let mut states = self.load(&[(org, touch)], now).await?;
        let mut changes = Changes { now, ..Changes::default() };
        let mut behind = Vec::new();
        for MovedPass { mut pass, installations, events } in passes {
            let id = pass.id;
            behind.extend(installations.iter().filter(|it| it.behind).map(|it| (id, it.installation.device.clone())));
            if states.passes.contains_key(&(org, id)) {
                continue;
            }
            pass.shard = self.shard_of(org, pass.contact.map_or(id.uuid(), |contact| contact.uuid()));
            let shard = pass.shard;
            changes.passes.push((org, id));
            states.put_pass(org, pass);
            for MovedInstallation { installation, .. } in installations {
                let key = (org, id, installation.wallet, installation.device.clone());
                changes.installations.push(key.clone());
                states.installations.insert(key, installation);
            }
            let last = events.len().saturating_sub(1);
            // The last event of a pass stands for what it shows: whoever reads on from the new log's beginning finds it there.
            let event =
                |(number, moved): (usize, MovedEvent)| NewEvent { event: moved.into_event(org, shard), content: number == last };
            changes.events.extend(events.into_iter().enumerate().map(event));
        }
        self.write_frame(&mut states, changes).await?;
        for (pass, device) in behind {
            self.backend.owe_push(org, pass, &device, now).await?;
        }
        Ok(())
    }

    async fn import_events(&self, org: OrgId, events: Vec<MovedEvent>, now: Timestamp) -> Moved<()> {
        let Some(last) = events.last() else { return Ok(()) };
        if self.backend.event(org, last.id).await?.is_some() {
            return Ok(());
        }
        let people: HashSet<ContactId> = events.iter().filter_map(|event| event.contact).collect();
        let touch = Touch { contacts: people.into_iter().map(ContactRef::Id).collect(), ..Touch::default() };
        let mut states = self.load(&[(org, touch)], now).await?;
        let mut changes = Changes { now, ..Changes::default() };
        for moved in events {
            let shard = self.shard_of(org, moved.contact.map_or(moved.id.uuid(), |contact| contact.uuid()));
            changes.events.push(NewEvent { event: moved.into_event(org, shard), content: false });
        }
        self.write_frame(&mut states, changes).await
    }

    async fn write_frame(&self, states: &mut States, mut changes: Changes) -> Moved<()> {
        if changes.passes.is_empty() && changes.contacts.is_empty() && changes.events.is_empty() {
            return Ok(());
        }
        for _ in 0..RACES {
            if let Committed::Done(_) = self.commit(states, &mut changes).await? {
                return Ok(());
            }
        }
        Err(MoveError::Refused("somebody else writes the same passes or contacts meanwhile".to_owned()))
    }

    /// What was taken in is news to nobody: readers pass over it.
    async fn pass_over(&self, leases: &[Lease]) -> Result<()> {
        let heads = self.backend.heads(Log::Events).await?;
        for lease in leases {
            let Some(head) = heads.get(usize::from(lease.shard)) else { continue };
            for reader in Reader::CARRIERS.into_iter().filter(|reader| reader.log() == Log::Events) {
                self.backend.advance(reader, *lease, *head).await?;
            }
        }
        Ok(())
    }

    /// Makes the organization known, all at once.
    async fn publish_org(&self, org: OrgId, resources: Vec<MovedResource>, names: Vec<MovedName>, now: Timestamp) -> Moved<()> {
        let resources = resources.into_iter().map(|resource| resource.into_row(org));
        let mut rows = Vec::new();
        for MovedName { kind, name, target } in names {
            let name = STANDARD.decode(&name).map_err(|_| MoveError::Damaged("a name".to_owned()))?;
            if self.backend.look_up(kind, &name).await?.is_none() {
                rows.push(DirectoryRow { kind, name, org, target });
            }
        }
        let write = ConfigWrite { resources: resources.collect(), names: rows, now, ..ConfigWrite::default() };
        if self.written(write).await? { Ok(()) } else { Err(MoveError::Refused("somebody else made it meanwhile".to_owned())) }
    }
}

impl MovedResource {
    fn into_row(self, org: OrgId) -> ResourceRow {
        let Self { kind, id, slug, body, created_at, updated_at } = self;
        ResourceRow { org, kind, id, slug, body, revision: 1, changed: 0, deleted: false, created_at, updated_at }
    }
}
