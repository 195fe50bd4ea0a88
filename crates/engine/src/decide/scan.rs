//! Presenting a pass at a reader.

use domain::{Answer, Facts, Lifecycle, PassRef, Reject, RejectCode, ScanInput};

use super::Draft;

/// Most bytes of what is told about a scan.
const MAX_TEXT_BYTES: usize = 256;

pub(super) fn scan(draft: &mut Draft<'_>, reference: &PassRef, scan: &ScanInput) -> Result<Answer, Reject> {
    for (path, text) in [("operator", &scan.operator), ("device", &scan.device), ("location", &scan.location)] {
        if text.as_ref().is_some_and(|text| text.len() > MAX_TEXT_BYTES) {
            return Err(Reject::new(RejectCode::Invalid, path, "must have at most 256 bytes"));
        }
    }
    let before = draft.pass(reference)?;
    if let Some(reason) = before.refuses_scan(draft.now) {
        draft.event(Facts::PassScanRefused { scan: scan.clone(), reason }, false, &before);
        return Ok(Answer::ScanRefused { pass: before.id, reason, version: before.version });
    }
    let mut pass = before.clone();
    pass.uses.count += 1;
    let remaining = pass.uses.limit.map(|limit| limit.saturating_sub(pass.uses.count));
    let spent = remaining == Some(0);
    if spent {
        pass.lifecycle = Lifecycle::Used { at: draft.now };
    }
    draft.touch_pass(&mut pass, spent);
    draft.put_pass(Some(&before), &pass);
    draft.event(Facts::PassScanned { scan: scan.clone(), remaining }, spent, &pass);
    Ok(Draft::done(&pass, false))
}
