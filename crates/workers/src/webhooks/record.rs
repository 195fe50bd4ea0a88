//! What a destination that holds a state should hold of contacts.

use std::collections::HashMap;

use connectors::{catalog::Sharing, kit::State};
use domain::{Contact, ContactId, OrgId, Target};
use store::{Hash, MOST_SHARE, StoreError};

use super::targets::Ready;
use crate::shard::House;

/// Gives contacts that a destination finds by the same key, an e-mail address for one, each other's wallets: they are one record
/// there, which is to say what all of them have, whoever of them is told of, and to lose nothing that one of them has. Who shares
/// a record with whom.
pub(crate) async fn together<'c>(
    house: &House,
    to: &Ready,
    contacts: impl IntoIterator<Item = &'c mut Contact>,
) -> Result<Sharing, StoreError> {
    let (org, target) = (to.org, to.target());
    let Some(vendor) = to.vendor().filter(|vendor| vendor.may_share(target)) else { return Ok(Sharing::new()) };
    let key = |contact: &Contact| {
        let state = vendor.state.filter(|_| contact.erased_at.is_none())?;
        state(contact, target).ok().map(|state| state.key)
    };
    let mut keyed: HashMap<ContactId, (&mut Contact, String)> = HashMap::new();
    for contact in contacts {
        if let Some(key) = key(contact) {
            keyed.insert(contact.id, (contact, key));
        }
    }
    let asked: Vec<(ContactId, String)> = keyed.iter().map(|(id, (_, key))| (*id, key.clone())).collect();
    let sharing = house.store.sharing(org, target.id, &asked).await?;
    let mut ids: Vec<ContactId> = sharing.values().flatten().copied().collect();
    ids.sort_unstable();
    ids.dedup();
    let all = house.store.contacts_of(org, &ids).await?;
    let mut together: Sharing = keyed.keys().map(|id| (*id, vec![*id])).collect();
    for (id, ids) in sharing {
        let Some((contact, own)) = keyed.get_mut(&id) else { continue };
        let those: Vec<&Contact> =
            ids.iter().filter_map(|id| all.get(id)).filter(|other| key(other).as_ref() == Some(&*own)).collect();
        // Also of somebody who is not among them, being one too many: the record is theirs.
        if !those.is_empty() {
            contact.share_wallets(those.iter().copied());
            contact.spare_what_is_had(those.iter().copied());
        }
        if ids.len() < MOST_SHARE as usize {
            together.entry(id).or_default().extend(those.iter().map(|other| other.id).filter(|other| *other != id));
        } else {
            together.remove(&id);
        }
    }
    Ok(together)
}

/// A state at a place, as a keyed hash: the same for the same state, as long as the target is not turned to another account,
/// table or field.
pub(crate) fn hash(house: &House, org: OrgId, target: &Target, state: &State) -> Result<Hash, StoreError> {
    let at_place = serde_json::json!([target.url, target.settings, state.canonical()]);
    house.store.synced_hash(org, &at_place.to_string())
}
