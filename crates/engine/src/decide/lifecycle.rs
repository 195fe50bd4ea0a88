//! Activating, revoking, deleting, expiring, notifying.

use domain::{Answer, Facts, Lifecycle, Pass, PassRef, Reject, RejectCode};

use super::{Draft, check_version};

/// Most characters of a message to the holder.
const MAX_MESSAGE_CHARS: usize = 500;

pub(super) fn activate(draft: &mut Draft<'_>, reference: &PassRef) -> Result<Answer, Reject> {
    let before = draft.pass(reference)?;
    refuse_deleted(&before)?;
    let not_allowed = |message: &str| Err(Reject::new(RejectCode::NotAllowed, "pass", message));
    match before.lifecycle {
        Lifecycle::Active => return Ok(Draft::unchanged(&before)),
        Lifecycle::Expired { .. } => return not_allowed("the pass has expired: give it a later expires_at"),
        Lifecycle::Used { .. } => return not_allowed("the pass is used up: give it a higher uses_limit"),
        Lifecycle::Revoked { .. } if before.validity.expires_at.is_some_and(|end| end <= draft.now) => {
            return Err(ended());
        }
        Lifecycle::Inactive | Lifecycle::Revoked { .. } | Lifecycle::Deleted { .. } => {}
    }
    Ok(enter(draft, &before, Lifecycle::Active, Facts::PassActivated))
}

/// Why a pass whose time is over is not switched on.
pub(super) fn ended() -> Reject {
    Reject::new(RejectCode::NotAllowed, "pass", "the pass's validity has ended: give it a later expires_at first")
}

pub(super) fn revoke(draft: &mut Draft<'_>, reference: &PassRef, reason: Option<&str>) -> Result<Answer, Reject> {
    let before = draft.pass(reference)?;
    refuse_deleted(&before)?;
    if matches!(before.lifecycle, Lifecycle::Revoked { .. }) {
        return Ok(Draft::unchanged(&before));
    }
    let reason = reason.map(str::to_owned);
    let state = Lifecycle::Revoked { at: draft.now, reason: reason.clone() };
    Ok(enter(draft, &before, state, Facts::PassRevoked { reason }))
}

pub(super) fn delete(draft: &mut Draft<'_>, reference: &PassRef, expected_version: Option<u64>) -> Result<Answer, Reject> {
    let before = draft.pass(reference)?;
    check_version("pass", expected_version, before.version)?;
    if before.lifecycle.is_deleted() {
        return Ok(Draft::unchanged(&before));
    }
    let at = draft.now;
    Ok(enter(draft, &before, Lifecycle::Deleted { at }, Facts::PassDeleted))
}

/// Looking at the pass is enough: [`Draft::pass`] expires it when its time has come.
pub(super) fn expire(draft: &mut Draft<'_>, reference: &PassRef) -> Result<Answer, Reject> {
    let pass = draft.pass(reference)?;
    let expired_now = matches!(pass.lifecycle, Lifecycle::Expired { at } if at == draft.now);
    Ok(if expired_now { Draft::done(&pass, false) } else { Draft::unchanged(&pass) })
}

pub(super) fn renew_barcode(draft: &mut Draft<'_>, reference: &PassRef) -> Result<Answer, Reject> {
    let before = draft.pass(reference)?;
    refuse_deleted(&before)?;
    let mut pass = before.clone();
    pass.barcode_epoch = pass
        .barcode_epoch
        .checked_add(1)
        .ok_or_else(|| Reject::new(RejectCode::NotAllowed, "pass", "its barcode was renewed too often: issue a new pass"))?;
    draft.touch_pass(&mut pass, true);
    draft.put_pass(Some(&before), &pass);
    let changed = vec!["barcode".to_owned()];
    draft.event(Facts::PassUpdated { changed, balance_changes: Default::default(), previous_variant: None }, true, &pass);
    Ok(Draft::done(&pass, false))
}

fn enter(draft: &mut Draft<'_>, before: &Pass, state: Lifecycle, facts: Facts) -> Answer {
    let mut pass = before.clone();
    pass.lifecycle = state;
    draft.touch_pass(&mut pass, true);
    draft.put_pass(Some(before), &pass);
    draft.event(facts, true, &pass);
    Draft::done(&pass, false)
}

pub(super) fn refuse_deleted(pass: &Pass) -> Result<(), Reject> {
    if pass.lifecycle.is_deleted() {
        return Err(Reject::new(RejectCode::NotAllowed, "pass", "the pass was deleted: issue a new one"));
    }
    Ok(())
}

pub(super) fn check_message(text: &str) -> Result<(), Reject> {
    if text.trim().is_empty() || text.chars().count() > MAX_MESSAGE_CHARS {
        return Err(Reject::new(RejectCode::Invalid, "message", "must have 1 to 500 characters"));
    }
    Ok(())
}
