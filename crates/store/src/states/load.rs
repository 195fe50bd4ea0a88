//! Rows become states: loaded for a batch of commands, and opened.

use std::{collections::HashMap, sync::Arc};

use domain::{
    Answer, Contact, ContactRef, Installation, InstallationState, OrgId, Pass, PassId, PassRef, Timestamp, Wallet,
    normalise_email,
};
use uuid::Uuid;

use super::{
    CONTACT_CONTEXT, Held, PASS_CONTEXT, RESULT_CONTEXT, ResultBody, States, StoredResult, Touch, context, names_of, normalised,
    parse,
};
use crate::{
    DataKey, Keyring, Store, StoreError,
    error::Result,
    kinds::{reason_from_number, wallet_from_number, wallet_number},
    rows::{ContactKey, ContactRow, Hash, InstallationRow, LoadKeys, LoadedRows, PassRow},
};

impl Store {
    /// Loads the states that a batch of commands touches, with the results that have not expired at `now`.
    pub async fn load(&self, touches: &[(OrgId, Touch)], now: Timestamp) -> Result<States> {
        let mut keys = LoadKeys { now, ..LoadKeys::default() };
        let mut states = States::default();
        let mut names: HashMap<(OrgId, Hash), ContactRef> = HashMap::new();
        for (org, touch) in touches {
            self.add_keys(*org, touch, &mut keys, &mut names)?;
        }
        dedupe(&mut keys);
        let rows = self.backend.load(&keys).await?;
        states.config_version = rows.config_version;
        self.open_rows(rows, &names, &mut states)?;
        Ok(states)
    }

    fn add_keys(
        &self,
        org: OrgId,
        touch: &Touch,
        keys: &mut LoadKeys,
        names: &mut HashMap<(OrgId, Hash), ContactRef>,
    ) -> Result<()> {
        let mut name = |contact: &ContactRef| -> Result<Option<Hash>> {
            let Some(hash) = self.contact_hash(org, contact)? else { return Ok(None) };
            names.insert((org, hash), normalised(contact));
            Ok(Some(hash))
        };
        for pass in &touch.passes {
            match pass {
                PassRef::Id(id) => keys.passes.push((org, *id)),
                PassRef::External { project, external_id } => {
                    keys.externals.push((org, *project, self.external_hash(org, external_id)?));
                }
                PassRef::OfContact { contact: ContactRef::Id(id), .. } => keys.passes_of.push((org, *id)),
                PassRef::OfContact { contact, .. } => keys.passes_of_keys.extend(name(contact)?.map(|hash| (org, hash))),
            }
        }
        for contact in &touch.contacts {
            match contact {
                ContactRef::Id(id) => keys.contacts.push((org, *id)),
                other => keys.contact_keys.extend(name(other)?.map(|hash| (org, hash))),
            }
        }
        for contact in &touch.everything_of {
            match contact {
                ContactRef::Id(id) => {
                    keys.contacts.push((org, *id));
                    keys.passes_of.push((org, *id));
                }
                other => keys.passes_of_keys.extend(name(other)?.map(|hash| (org, hash))),
            }
        }
        let installation =
            |(pass, wallet, device): &(PassId, Wallet, String)| (org, *pass, wallet_number(*wallet), device.clone());
        keys.installations.extend(touch.installations.iter().map(installation));
        keys.results.extend(touch.key.iter().map(|key| (org, key.principal.clone(), key.key.clone())));
        Ok(())
    }

    pub(crate) fn external_hash(&self, org: OrgId, external_id: &str) -> Result<Hash> {
        self.keyring.blind(org, "pass external id", external_id)
    }

    pub(crate) fn contact_hash(&self, org: OrgId, contact: &ContactRef) -> Result<Option<Hash>> {
        match contact {
            ContactRef::Id(_) => Ok(None),
            ContactRef::External(id) => self.keyring.blind(org, "contact external id", id).map(Some),
            ContactRef::Email(email) => self.keyring.blind(org, "contact e-mail", &normalise_email(email)).map(Some),
        }
    }

    fn open_rows(&self, rows: LoadedRows, names: &HashMap<(OrgId, Hash), ContactRef>, states: &mut States) -> Result<()> {
        for row in rows.contacts {
            let (key, contact) = self.open_contact(&row)?;
            states.data_keys.extend(key.map(|key| ((row.org, row.id.uuid()), Arc::new(key))));
            states.contacts.insert((row.org, row.id), Held { stored_version: Some(contact.version), value: contact });
        }
        for row in rows.passes {
            let (key, pass) = self.open_pass(&row)?;
            states.data_keys.extend(key.map(|key| ((row.org, row.subject), Arc::new(key))));
            if let Some(external_id) = pass.external_id.clone().filter(|_| !pass.lifecycle.is_deleted()) {
                states.externals.insert((row.org, pass.project, external_id), pass.id);
            }
            states.passes.insert((row.org, row.id), Held { stored_version: Some(pass.version), value: pass });
        }
        for (org, hash, contact) in rows.contact_keys {
            states.names.extend(names.get(&(org, hash)).map(|name| ((org, name.clone()), contact)));
        }
        for row in rows.installations {
            let installation = open_installation(&row)?;
            states.installations.insert((row.org, row.pass, installation.wallet, row.device), installation);
        }
        for row in rows.results {
            let body =
                self.unseal(row.org, row.subject, row.data_key.as_deref(), || context(RESULT_CONTEXT, row.subject), &row.body)?;
            // A result whose subject was erased still binds, without saying about whom: what was done stays done.
            let body: ResultBody = match body {
                Some(body) => parse(&body, "results", row.subject)?,
                None => {
                    let answer = Answer::Unchanged { pass: None, contact: None, version: 0, late: None, stays: None };
                    ResultBody { answer, pass: None, contact: None, sealed_answer: None }
                }
            };
            let result =
                StoredResult { fingerprint: row.fingerprint, answer: body.answer, pass: body.pass, contact: body.contact };
            states.results.insert((row.org, row.principal, row.key), result);
        }
        Ok(())
    }

    /// Opens a pass row; also the data key, for sealing it again.
    pub(crate) fn open_pass(&self, row: &PassRow) -> Result<(Option<DataKey>, Pass)> {
        let key = row.data_key.as_deref().map(|wrapped| self.keyring.open_data_key(row.org, row.subject, wrapped)).transpose()?;
        let opened = match (&key, row.subject.is_nil()) {
            (_, true) => row.body.clone(),
            (Some(key), false) => Keyring::open(key, &context(PASS_CONTEXT, row.id.uuid()), &row.body)?,
            (None, false) => return Err(lost_key("passes", row.id.uuid())),
        };
        Ok((key, parse(&opened, "passes", row.id.uuid())?))
    }

    /// The keys of names that a contact has: the external id is nobody else's.
    pub(crate) fn keys_of(&self, org: OrgId, contact: &Contact) -> Result<Vec<ContactKey>> {
        let mut keys = Vec::new();
        for name in names_of(contact) {
            let required = matches!(name, ContactRef::External(_));
            keys.extend(self.contact_hash(org, &name)?.map(|hash| ContactKey { hash, required, place: None }));
        }
        Ok(keys)
    }

    pub(crate) fn open_contact(&self, row: &ContactRow) -> Result<(Option<DataKey>, Contact)> {
        if row.body.is_empty() {
            return Ok((None, erased(row)));
        }
        let wrapped = row.data_key.as_deref().ok_or_else(|| lost_key("contacts", row.id.uuid()))?;
        let key = self.keyring.open_data_key(row.org, row.id.uuid(), wrapped)?;
        let opened = Keyring::open(&key, &context(CONTACT_CONTEXT, row.id.uuid()), &row.body)?;
        Ok((Some(key), parse(&opened, "contacts", row.id.uuid())?))
    }

    /// Opens a body sealed under a subject's key; nothing when that key was destroyed.
    pub(crate) fn unseal(
        &self,
        org: OrgId,
        subject: Uuid,
        wrapped: Option<&[u8]>,
        context: impl FnOnce() -> Vec<u8>,
        body: &[u8],
    ) -> Result<Option<Vec<u8>>> {
        match wrapped {
            _ if subject.is_nil() => Ok(Some(body.to_vec())),
            None => Ok(None),
            Some(wrapped) => Keyring::open(&self.keyring.open_data_key(org, subject, wrapped)?, &context(), body).map(Some),
        }
    }
}

fn dedupe(keys: &mut LoadKeys) {
    fn unique<T: Ord>(list: &mut Vec<T>) {
        list.sort_unstable();
        list.dedup();
    }
    unique(&mut keys.passes);
    unique(&mut keys.externals);
    unique(&mut keys.contacts);
    unique(&mut keys.contact_keys);
    unique(&mut keys.passes_of);
    unique(&mut keys.passes_of_keys);
    unique(&mut keys.installations);
    unique(&mut keys.results);
}

fn erased(row: &ContactRow) -> Contact {
    Contact {
        version: u64::try_from(row.version).unwrap_or(0),
        erased_at: Some(row.updated_at),
        updated_at: row.updated_at,
        ..Contact::new(row.id, row.created_at)
    }
}

pub(crate) fn open_installation(row: &InstallationRow) -> Result<Installation> {
    let fault = |column, why: String| StoreError::Inconsistent { table: "installations", column, row: row.pass.to_string(), why };
    let wallet = wallet_from_number(row.wallet).ok_or_else(|| fault("wallet", format!("{} is no wallet", row.wallet)))?;
    let state = if row.active {
        InstallationState::Active { since: row.since }
    } else {
        let reason = row.reason.and_then(reason_from_number);
        let reason = reason.ok_or_else(|| fault("reason", format!("{:?} is no reason", row.reason)))?;
        InstallationState::Gone { since: row.since, reason }
    };
    Ok(Installation {
        pass: row.pass,
        wallet,
        device: row.device.clone(),
        push_token: row.push_token.clone(),
        state,
        first_installed_at: row.first_installed_at,
    })
}

fn lost_key(table: &'static str, id: Uuid) -> StoreError {
    StoreError::Inconsistent { table, column: "subject", row: id.to_string(), why: "its data key is gone".to_owned() }
}
