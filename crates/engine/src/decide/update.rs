//! Changing passes.

use std::collections::BTreeMap;

use domain::{
    Amount, Answer, BalanceChange, Contact, ContactInput, Facts, Lifecycle, Message, Pass, PassChange, PassRef, Project,
    ProjectKind, Reactivation, Reject, RejectCode, TemplateId, VariantId,
};

use super::{Draft, check_version, contact, issue, lifecycle};

pub(super) fn update(
    draft: &mut Draft<'_>,
    reference: &PassRef,
    change: &PassChange,
    expected_version: Option<u64>,
) -> Result<Answer, Reject> {
    let before = draft.pass(reference)?;
    lifecycle::refuse_deleted(&before)?;
    check_version("pass", expected_version, before.version)?;
    let mut pass = before.clone();
    let mut news = News::default();
    let project = draft
        .view
        .config
        .project(pass.project)
        .cloned()
        .ok_or_else(|| Reject::new(RejectCode::NotFound, "project", "the pass's project was removed"))?;
    if let Some(variant) = &change.variant {
        set_variant(draft, &mut pass, &project, variant, &mut news)?;
    }
    set_external_id(draft, &mut pass, change, &mut news)?;
    set_fields(draft, &mut pass, &project, change, &mut news)?;
    set_balances(&mut pass, &project, change, &mut news)?;
    set_validity(draft, &mut pass, change, &mut news)?;
    set_holder(draft, &mut pass, change, &mut news)?;
    if let Some(text) = &change.message {
        lifecycle::check_message(text)?;
        pass.message = Some(Message { text: text.clone(), at: draft.now, until: None });
        news.changed.push("message".to_owned());
    }
    let is_revived = revive(draft, &mut pass, &change.reactivation)?;
    if news.changed.is_empty() && !is_revived {
        return Ok(Draft::unchanged(&before));
    }
    draft.touch_pass(&mut pass, true);
    draft.put_pass(Some(&before), &pass);
    if is_revived {
        draft.event(Facts::PassActivated, true, &pass);
    }
    if !news.changed.is_empty() {
        let News { changed, balances: balance_changes, previous_variant } = news;
        draft.event(Facts::PassUpdated { changed, balance_changes, previous_variant }, true, &pass);
    }
    Ok(Draft::done(&pass, false))
}

/// Lets a pass that was revoked be active again, where that is wanted; whether it is.
fn revive(draft: &Draft<'_>, pass: &mut Pass, wanted: &Reactivation) -> Result<bool, Reject> {
    let Lifecycle::Revoked { reason, .. } = &pass.lifecycle else { return Ok(false) };
    let has_ended = pass.validity.expires_at.is_some_and(|end| end <= draft.now);
    match wanted {
        Reactivation::Always if has_ended => return Err(lifecycle::ended()),
        Reactivation::Always => {}
        Reactivation::RevokedFor(undone) if reason.as_ref() == Some(undone) && !has_ended => {}
        Reactivation::Never | Reactivation::RevokedFor(_) => return Ok(false),
    }
    pass.lifecycle = Lifecycle::Active;
    Ok(true)
}

/// Says that a pass looks anew because its template was published anew.
pub(super) fn redesigned(draft: &mut Draft<'_>, reference: &PassRef, template: TemplateId) -> Result<Answer, Reject> {
    let before = draft.pass(reference)?;
    if before.template != template || matches!(before.lifecycle, Lifecycle::Deleted { .. }) {
        return Ok(Draft::unchanged(&before));
    }
    let mut pass = before.clone();
    draft.touch_pass(&mut pass, false);
    draft.put_pass(Some(&before), &pass);
    let changed = vec!["template".to_owned()];
    draft.event(Facts::PassUpdated { changed, balance_changes: BTreeMap::new(), previous_variant: None }, false, &pass);
    Ok(Draft::done(&pass, false))
}

/// What an update turned out to change.
#[derive(Default)]
struct News {
    changed: Vec<String>,
    balances: BTreeMap<String, Amount>,
    previous_variant: Option<VariantId>,
}

fn set_variant(draft: &Draft<'_>, pass: &mut Pass, project: &Project, id: &VariantId, news: &mut News) -> Result<(), Reject> {
    let variant = issue::variant(draft, project, Some(id))?;
    if pass.variant != variant.id || pass.template != variant.template {
        let previous = std::mem::replace(&mut pass.variant, variant.id.clone());
        news.previous_variant = (previous != variant.id).then_some(previous);
        pass.template = variant.template;
        news.changed.push("variant".to_owned());
    }
    Ok(())
}

fn set_external_id(draft: &Draft<'_>, pass: &mut Pass, change: &PassChange, news: &mut News) -> Result<(), Reject> {
    issue::check_external_id(change.external_id.as_deref())?;
    let Some(external_id) = change.external_id.as_ref().filter(|id| pass.external_id.as_ref() != Some(id)) else {
        return Ok(());
    };
    let other = PassRef::External { project: pass.project, external_id: external_id.clone() };
    if draft.view.states.find_pass(draft.view.org, &other).is_some() {
        return Err(Reject::new(RejectCode::AlreadyExists, "external_id", "another pass of the project has this external id"));
    }
    pass.external_id = Some(external_id.clone());
    news.changed.push("external_id".to_owned());
    Ok(())
}

fn set_fields(draft: &Draft<'_>, pass: &mut Pass, project: &Project, change: &PassChange, news: &mut News) -> Result<(), Reject> {
    for (key, value) in &change.fields {
        let is_new = match value {
            Some(value) => {
                issue::check_field(project, key, value)?;
                let is_new = pass.fields.get(key) != Some(value);
                is_new.then(|| pass.fields.insert(key.clone(), value.clone()));
                is_new
            }
            None if project.field(key).is_some_and(|def| def.required) => {
                return Err(Reject::new(RejectCode::Invalid, format!("fields.{key}"), "is required and cannot be removed"));
            }
            None => pass.fields.remove(key).is_some(),
        };
        if is_new {
            news.changed.push(format!("fields.{key}"));
            if project.kind == ProjectKind::BoardingPass {
                pass.fields_as_of.insert(key.clone(), draft.as_of());
            }
        }
    }
    Ok(())
}

fn set_balances(pass: &mut Pass, project: &Project, change: &PassChange, news: &mut News) -> Result<(), Reject> {
    for (name, change) in &change.balances {
        let held = pass.balances.get(name).copied().unwrap_or_default();
        let invalid =
            |error: domain::AmountError| Reject::new(RejectCode::Invalid, format!("balances.{name}"), error.to_string());
        let next = match change {
            BalanceChange::Set(amount) => *amount,
            BalanceChange::Add(amount) => held.plus(*amount).map_err(invalid)?,
        };
        check_balance(project, name, next)?;
        if next != held {
            news.balances.insert(name.clone(), next.minus(held).map_err(invalid)?);
            pass.balances.insert(name.clone(), next);
            news.changed.push(format!("balances.{name}"));
        }
    }
    Ok(())
}

/// Whether a project's passes have such a balance and the amount is not below zero.
pub(super) fn check_balance(project: &Project, name: &str, amount: Amount) -> Result<(), Reject> {
    let path = format!("balances.{name}");
    if !project.balances.contains_key(name) {
        return Err(Reject::new(RejectCode::Invalid, path, format!("project {} has no such balance", project.slug)));
    }
    if amount < Amount::ZERO {
        return Err(Reject::new(RejectCode::Insufficient, path, format!("would be {amount}: a balance cannot fall below zero")));
    }
    Ok(())
}

fn set_validity(draft: &Draft<'_>, pass: &mut Pass, change: &PassChange, news: &mut News) -> Result<(), Reject> {
    let mut validity = pass.validity;
    if let Some(starts_at) = change.starts_at {
        validity.starts_at = starts_at;
    }
    if let Some(expires_at) = change.expires_at {
        validity.expires_at = expires_at;
    }
    if validity != pass.validity {
        issue::check_validity(&validity, draft.now)?;
        for (name, same) in [
            ("starts_at", validity.starts_at == pass.validity.starts_at),
            ("expires_at", validity.expires_at == pass.validity.expires_at),
        ] {
            news.changed.extend((!same).then(|| name.to_owned()));
        }
        pass.validity = validity;
        if matches!(pass.lifecycle, Lifecycle::Expired { .. }) {
            pass.lifecycle = Lifecycle::Active;
            news.changed.push("state".to_owned());
        }
    }
    if let Some(limit) = change.uses_limit.filter(|limit| *limit != pass.uses.limit) {
        pass.uses.limit = limit;
        news.changed.push("uses_limit".to_owned());
        let spent = limit.is_some_and(|limit| pass.uses.count >= limit);
        match (&pass.lifecycle, spent) {
            (Lifecycle::Used { .. }, false) => pass.lifecycle = Lifecycle::Active,
            (Lifecycle::Active, true) => pass.lifecycle = Lifecycle::Used { at: draft.now },
            _ => {}
        }
    }
    Ok(())
}

fn set_holder(draft: &mut Draft<'_>, pass: &mut Pass, change: &PassChange, news: &mut News) -> Result<(), Reject> {
    let Some(input) = change.contact.as_ref().filter(|input| **input != ContactInput::default()) else { return Ok(()) };
    let held = pass.contact.and_then(|id| draft.contact(id)).filter(|contact| contact.erased_at.is_none()).cloned();
    let same = held.as_ref().filter(|held| is_same_person(held, input));
    let before = same.map(shown);
    let contact = match (same, change.new_contact) {
        (Some(held), _) => contact::tell(draft, input, held.id, Some(pass.id))?,
        (None, Some(new_id)) => contact::tell(draft, input, new_id, Some(pass.id))?,
        (None, None) => {
            return Err(Reject::new(RejectCode::Invalid, "contact", "the pass has no holder yet and no id for one was given"));
        }
    };
    if pass.contact != Some(contact.id) {
        pass.contact = Some(contact.id);
        news.changed.push("contact".to_owned());
    } else if before != Some(shown(&contact)) {
        news.changed.push("contact".to_owned());
    }
    Ok(())
}

fn is_same_person(held: &Contact, input: &ContactInput) -> bool {
    match (&held.external_id, &input.external_id) {
        (Some(held), Some(given)) => held == given,
        _ => true,
    }
}

/// What passes show of a contact.
pub(super) fn shown(contact: &Contact) -> [Option<String>; 4] {
    [contact.name.clone(), contact.email.clone(), contact.phone.clone(), contact.external_id.clone()]
}
