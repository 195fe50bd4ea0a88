//! Taking an accepted scan back: an event that makes up for it, once.
//!
//! What the scan did comes from its own event. That it happens once is the command's idempotency key, which names the scan;
//! results are kept longer than a scan may be taken back.

use std::time::Duration;

use domain::{Amount, Answer, Facts, Lifecycle, PassRef, Reject, RejectCode, ScanInput, ScanRecord};

use super::{Draft, lifecycle, scan};

/// How long a scan may be taken back.
const MAX_AGE: Duration = Duration::from_secs(14 * 86_400);
const _: () = assert!(MAX_AGE.as_secs() < store::RESULT_DAYS * 86_400, "the key must outlive the right to undo");
/// Most bytes of a reason.
const MAX_REASON_BYTES: usize = 256;

pub(super) fn undo(
    draft: &mut Draft<'_>,
    reference: &PassRef,
    record: &ScanRecord,
    by: &ScanInput,
    reason: Option<&str>,
) -> Result<Answer, Reject> {
    scan::check(by)?;
    if reason.is_some_and(|reason| reason.len() > MAX_REASON_BYTES) {
        return Err(Reject::new(RejectCode::Invalid, "reason", "must have at most 256 bytes"));
    }
    if draft.now.since(record.recorded_at) > MAX_AGE {
        return Err(Reject::new(RejectCode::NotAllowed, "scan", "was made more than 14 days ago"));
    }
    let before = draft.pass(reference)?;
    lifecycle::refuse_deleted(&before)?;
    let mut pass = before.clone();
    pass.take_back_use(record.day);
    let mut balance_changes = std::collections::BTreeMap::new();
    for (name, amount) in &record.booked {
        let held = pass.balances.get(name).copied().unwrap_or_default();
        let next = held.minus(*amount).ok().filter(|next| *next >= Amount::ZERO);
        let spent = || {
            let message = format!("the holder has {held} left and the scan gave {amount}: it was spent since");
            Reject::new(RejectCode::Insufficient, format!("balances.{name}"), message)
        };
        let next = next.ok_or_else(spent)?;
        balance_changes.insert(name.clone(), next.minus(held).map_err(|_| spent())?);
        pass.balances.insert(name.clone(), next);
    }
    if let Some(extended) = record.extended {
        pass.take_back(extended);
    }
    if matches!(pass.lifecycle, Lifecycle::Used { .. }) && pass.uses.limit.is_none_or(|limit| pass.uses.count < limit) {
        pass.lifecycle = Lifecycle::Active;
    }
    draft.touch_pass(&mut pass, true);
    draft.put_pass(Some(&before), &pass);
    let reason = reason.map(str::to_owned);
    draft.event(Facts::PassScanUndone { scan: record.id, by: by.clone(), reason, balance_changes }, true, &pass);
    Ok(Draft::done(&pass, false))
}
