//! Contacts: telling about a person, erasing one.

use domain::{
    Answer, Channel, Contact, ContactId, ContactInput, ContactRef, Facts, Lifecycle, PassId, Reject, RejectCode, normalise_email,
};

use super::{Draft, check_version, issue::MAX_EXTERNAL_ID_BYTES, update};

/// Most bytes of a name, an address, a number or an id.
const MAX_TEXT_BYTES: usize = 512;
/// Most traits of a person.
const MAX_TRAITS: usize = 100;

pub(super) fn put(draft: &mut Draft<'_>, new_id: ContactId, input: &ContactInput) -> Result<Answer, Reject> {
    let before = find(draft, input, new_id).map(|contact| contact.version);
    let contact = tell(draft, input, new_id, None)?;
    Ok(match before {
        Some(version) if version == contact.version => {
            Answer::Unchanged { pass: None, contact: Some(contact.id), version: contact.version, late: None, stays: None }
        }
        _ => Answer::Done {
            pass: None,
            contact: Some(contact.id),
            version: contact.version,
            created: before.is_none(),
            late: None,
            stays: None,
        },
    })
}

/// Takes in what is told about a person, who is found by external id, else under `id`, else by e-mail address, as the one who has had
/// it longest, else new under `id`. Passes of theirs that show what changed are updated, except the one that the caller is changing anyway.
pub(super) fn tell(
    draft: &mut Draft<'_>,
    input: &ContactInput,
    id: ContactId,
    except: Option<PassId>,
) -> Result<Contact, Reject> {
    check(input)?;
    let Some(mut contact) = find(draft, input, id) else {
        let mut contact = Contact::new(id, draft.now);
        contact.merge(input);
        draft.put_contact(contact.clone());
        draft.contact_event(Facts::ContactCreated, &contact);
        return Ok(contact);
    };
    let before = update::shown(&contact);
    if contact.merge(input) {
        contact.version += 1;
        contact.updated_at = draft.now.max(contact.updated_at);
        draft.put_contact(contact.clone());
        draft.contact_event(Facts::ContactUpdated, &contact);
        if update::shown(&contact) != before {
            redraw(draft, contact.id, except);
        }
    }
    Ok(contact)
}

fn find(draft: &Draft<'_>, input: &ContactInput, id: ContactId) -> Option<Contact> {
    let by = |reference: ContactRef| {
        let id = draft.view.states.find_contact(draft.view.org, &reference)?;
        draft.contact(id).filter(|contact| contact.erased_at.is_none()).cloned()
    };
    let by_external = input.external_id.clone().map(ContactRef::External).and_then(by);
    let by_email = || {
        let found = input.email.as_deref().map(normalise_email).map(ContactRef::Email).and_then(by);
        // Somebody known under another external id is another person, whatever the address.
        found.filter(|contact| contact.external_id.is_none() || input.external_id.is_none())
    };
    by_external.or_else(|| by(ContactRef::Id(id))).or_else(by_email)
}

pub(super) fn set_wanted(draft: &mut Draft<'_>, id: ContactId, channel: Channel, wanted: bool) -> Result<Answer, Reject> {
    let found = draft.contact(id).filter(|contact| contact.erased_at.is_none()).cloned();
    let mut contact = found.ok_or_else(|| Reject::new(RejectCode::NotFound, "contact", "no such contact"))?;
    if !contact.set_wanted(channel, wanted) {
        return Ok(Answer::Unchanged { pass: None, contact: Some(id), version: contact.version, late: None, stays: None });
    }
    contact.version += 1;
    contact.updated_at = draft.now.max(contact.updated_at);
    draft.put_contact(contact.clone());
    draft.contact_event(Facts::ContactUpdated, &contact);
    Ok(Answer::Done { pass: None, contact: Some(id), version: contact.version, created: false, late: None, stays: None })
}

fn redraw(draft: &mut Draft<'_>, contact: ContactId, except: Option<PassId>) {
    let mut passes: Vec<_> = draft.view.states.passes_of(draft.view.org, contact).cloned().collect();
    passes.sort_by_key(|pass| pass.id);
    for before in passes.into_iter().filter(|pass| Some(pass.id) != except) {
        let mut pass = before.clone();
        draft.touch_pass(&mut pass, true);
        draft.put_pass(Some(&before), &pass);
        let changed = vec!["contact".to_owned()];
        draft.event(Facts::PassUpdated { changed, balance_changes: Default::default(), previous_variant: None }, true, &pass);
    }
}

fn check(input: &ContactInput) -> Result<(), Reject> {
    let invalid = |path: &str, message: &str| Err(Reject::new(RejectCode::Invalid, format!("contact.{path}"), message));
    for (path, text) in
        [("external_id", &input.external_id), ("name", &input.name), ("email", &input.email), ("phone", &input.phone)]
    {
        if text.as_ref().is_some_and(|text| text.trim().is_empty() || text.len() > MAX_TEXT_BYTES) {
            return invalid(path, "must have 1 to 512 bytes");
        }
    }
    if input.external_id.as_ref().is_some_and(|id| id.len() > MAX_EXTERNAL_ID_BYTES) {
        return invalid("external_id", "must have 1 to 256 bytes");
    }
    if let Some(email) = input.email.as_deref().map(normalise_email) {
        if !email.contains('@') {
            return invalid("email", "is no e-mail address: it has no @");
        }
        // a line break would reach the header of a mail, and no address that is given out has a space
        if email.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return invalid("email", "is no e-mail address: it holds a space, a line break or a control character");
        }
        // what stands in none, and lists of several
        let whole = email.rsplit_once('@').is_some_and(|(local, domain)| {
            let plain = !local.contains('@') && !email.contains([',', ';', '<', '>']);
            !local.is_empty() && !domain.is_empty() && (plain || local.starts_with('"'))
        });
        if !whole {
            return invalid("email", "is no e-mail address: expected one, such as name@example.com");
        }
    }
    if input.traits.len() > MAX_TRAITS {
        return invalid("traits", "more than 100");
    }
    Ok(())
}

pub(super) fn erase(draft: &mut Draft<'_>, reference: &ContactRef, expected_version: Option<u64>) -> Result<Answer, Reject> {
    let found = draft.view.states.find_contact(draft.view.org, reference).and_then(|id| draft.contact(id)).cloned();
    let held = found.ok_or_else(|| Reject::new(RejectCode::NotFound, "contact", "no such contact"))?;
    check_version("contact", expected_version, held.version)?;
    let contact = Contact {
        version: held.version + 1,
        erased_at: Some(draft.now),
        updated_at: draft.now.max(held.updated_at),
        ..Contact::new(held.id, held.created_at)
    };
    draft.put_contact(contact.clone());
    let org = draft.view.org;
    let theirs =
        draft.view.states.passes.iter().filter(|((owner, _), pass)| *owner == org && pass.value.contact == Some(held.id));
    let mut passes: Vec<_> = theirs.map(|(_, pass)| pass.value.clone()).collect();
    passes.sort_by_key(|pass| pass.id);
    for before in passes {
        let mut pass = before.clone();
        pass.external_id = None;
        pass.fields.clear();
        pass.fields_as_of.clear();
        pass.balances.clear();
        pass.message = None;
        pass.planned.clear();
        pass.undone.clear();
        pass.earlier_days.clear();
        pass.origin = Default::default();
        pass.rendered = None;
        pass.installed = None;
        let was_deleted = pass.lifecycle.is_deleted();
        if !was_deleted {
            pass.lifecycle = Lifecycle::Revoked { at: draft.now, reason: None };
        }
        draft.touch_pass(&mut pass, true);
        draft.put_pass(None, &pass);
        if !was_deleted {
            draft.event(Facts::PassRevoked { reason: None }, true, &pass);
        }
    }
    draft.contact_event(Facts::ContactErased, &contact);
    draft.erase(contact.id);
    Ok(Answer::Done { pass: None, contact: Some(contact.id), version: contact.version, created: false, late: None, stays: None })
}
