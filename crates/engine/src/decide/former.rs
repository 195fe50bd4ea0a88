//! What another platform knew of a pass in a wallet, before it came to us.
//!
//! What we know ourselves is never overruled: where a wallet told us anything of the pass, nothing changes. Times are those that
//! are told, in the contact's wallet status too. A phone of Apple's stands in by a name of ours until it registers here.

use domain::{
    Answer, Facts, Installation, InstallationState, Pass, PassRef, Reject, RejectCode, Sighting, Timestamp, UninstallReason,
    Wallet,
};

use super::{Draft, wallet::named};

pub(super) fn record(
    draft: &mut Draft<'_>,
    reference: &PassRef,
    wallet: Wallet,
    installed_at: Timestamp,
    uninstalled_at: Option<Timestamp>,
) -> Result<Answer, Reject> {
    check(installed_at, uninstalled_at, draft.now)?;
    let before = named(draft, reference)?;
    let device = Installation::former_device(wallet, before.id);
    let is_known = draft.view.states.installations.contains_key(&(draft.view.org, before.id, wallet, device.clone()));
    if is_known || before.holding(wallet).first_installed_at.is_some() {
        return Ok(Draft::unchanged(&before));
    }
    let reason = match wallet {
        Wallet::Apple => UninstallReason::Unregistered,
        Wallet::Google => UninstallReason::Removed,
        Wallet::Unknown => UninstallReason::Told,
    };
    let state = match uninstalled_at {
        None => InstallationState::Active { since: installed_at },
        Some(since) => InstallationState::Gone { since, reason },
    };
    let (pass, push_token) = (before.id, None);
    draft.put_installation(Installation {
        pass,
        wallet,
        device: device.clone(),
        push_token,
        state,
        first_installed_at: installed_at,
    });
    let sighting = Sighting { at: installed_at, ..Sighting::default() };
    let mut pass = before.clone();
    let holding = pass.holding_mut(wallet);
    holding.active += 1;
    holding.ever += 1;
    holding.first_installed_at = Some(installed_at);
    holding.last_installed_at = Some(installed_at);
    if pass.installed.is_none() {
        pass.installed = Some(sighting.clone());
    }
    (draft.happened_at, draft.counted_at) = (Some(installed_at), Some(installed_at));
    draft.touch_pass(&mut pass, false);
    draft.put_pass(Some(&before), &pass);
    draft.event(Facts::PassInstalled { wallet, device: device.clone(), again: false, elsewhere: true, sighting }, false, &pass);
    if let Some(at) = uninstalled_at {
        leave(draft, &mut pass, wallet, device, reason, at);
    }
    Ok(Draft::done(&pass, false))
}

fn check(installed_at: Timestamp, uninstalled_at: Option<Timestamp>, now: Timestamp) -> Result<(), Reject> {
    let refuse = |path: &str, why: &str| Err(Reject::new(RejectCode::Invalid, path, why));
    match uninstalled_at {
        _ if installed_at > now => refuse("installed_at", "is in the future"),
        Some(at) if at > now => refuse("uninstalled_at", "is in the future"),
        Some(at) if at <= installed_at => refuse("uninstalled_at", "is not after installed_at"),
        _ => Ok(()),
    }
}

fn leave(draft: &mut Draft<'_>, pass: &mut Pass, wallet: Wallet, device: String, reason: UninstallReason, at: Timestamp) {
    let there = pass.clone();
    let holding = pass.holding_mut(wallet);
    holding.active = holding.active.saturating_sub(1);
    holding.first_uninstalled_at = Some(at);
    holding.last_uninstalled_at = Some(at);
    holding.last_uninstall_reason = Some(reason);
    let remaining = pass.installations();
    (draft.happened_at, draft.counted_at) = (Some(at), Some(at));
    draft.touch_pass(pass, false);
    draft.put_pass(Some(&there), pass);
    let confidence = reason.confidence();
    let facts = Facts::PassUninstalled { wallet, device, reason, confidence, remaining, elsewhere: true };
    draft.event(facts, false, pass);
}
