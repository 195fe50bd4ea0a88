//! What wallets and pages tell us: installed, uninstalled, seen.

use domain::{
    Answer, Facts, Installation, InstallationState, Pass, PassRef, Reject, RejectCode, Sighting, UninstallReason, VisitKind,
    Wallet,
};

use super::Draft;

/// Most bytes of a device library identifier.
pub(super) const MAX_DEVICE_BYTES: usize = 128;
/// Most bytes of a push token.
const MAX_TOKEN_BYTES: usize = 256;

pub(super) fn install(
    draft: &mut Draft<'_>,
    reference: &PassRef,
    wallet: Wallet,
    device: &str,
    push_token: Option<&str>,
    sighting: &Sighting,
) -> Result<Answer, Reject> {
    if device.len() > MAX_DEVICE_BYTES || push_token.is_some_and(|token| token.len() > MAX_TOKEN_BYTES) {
        return Err(Reject::new(RejectCode::Invalid, "device", "longer than 128 bytes, or its push token than 256"));
    }
    let before = named(draft, reference)?;
    let key = (draft.view.org, before.id, wallet, device.to_owned());
    let held = draft.view.states.installations.get(&key);
    let token = push_token.map(str::to_owned);
    if let Some(held) = held.filter(|held| held.is_active()) {
        if held.push_token != token {
            draft.put_installation(Installation { push_token: token, ..held.clone() });
        }
        return Ok(Draft::unchanged(&before));
    }
    let stand_in = [wallet, Wallet::Unknown].into_iter().find_map(|wallet| draft.stand_in(before.id, wallet));
    let again = held.is_some() || stand_in.is_some();
    draft.put_installation(Installation {
        pass: before.id,
        wallet,
        device: device.to_owned(),
        push_token: token,
        state: InstallationState::Active { since: draft.now },
        first_installed_at: held.map_or(draft.now, |held| held.first_installed_at),
    });
    let mut pass = before.clone();
    let holding = pass.holding_mut(wallet);
    holding.active += 1;
    holding.ever += 1;
    holding.held_until = None;
    holding.first_installed_at.get_or_insert(draft.now);
    holding.last_installed_at = Some(draft.now);
    if let Some(stand_in) = stand_in {
        // The phone that another platform knew has a name of its own now.
        replace(draft, &mut pass, stand_in);
    }
    pass.installed = Some(Sighting { at: draft.now, ..sighting.clone() });
    draft.touch_pass(&mut pass, false);
    draft.put_pass(Some(&before), &pass);
    let (device, sighting) = (device.to_owned(), sighting.clone());
    let facts = Facts::PassInstalled { wallet, device, again, elsewhere: false, sighting };
    draft.event(facts, false, &pass);
    Ok(Draft::done(&pass, true))
}

/// Ends what stood in for an installation that is known now: nothing left the wallet.
pub(super) fn replace(draft: &mut Draft<'_>, pass: &mut Pass, stand_in: Installation) {
    let holding = pass.holding_mut(stand_in.wallet);
    holding.active = holding.active.saturating_sub(1);
    holding.ever = holding.ever.saturating_sub(1);
    // Of a wallet that was not named nothing is known since: what is told later may be of the other one.
    let since = if stand_in.wallet == Wallet::Unknown { stand_in.since() } else { draft.now };
    let state = InstallationState::Gone { since, reason: UninstallReason::Told };
    draft.put_installation(Installation { state, ..stand_in });
}

/// The pass of an installation, which is only loaded by the pass's id.
pub(super) fn named(draft: &mut Draft<'_>, reference: &PassRef) -> Result<Pass, Reject> {
    match reference {
        PassRef::Id(_) => draft.pass(reference),
        _ => Err(Reject::new(RejectCode::Invalid, "pass", "a wallet names a pass by its id")),
    }
}

pub(super) fn uninstall(
    draft: &mut Draft<'_>,
    reference: &PassRef,
    wallet: Wallet,
    device: &str,
    reason: UninstallReason,
) -> Result<Answer, Reject> {
    let before = named(draft, reference)?;
    let key = (draft.view.org, before.id, wallet, device.to_owned());
    let Some(held) = draft.view.states.installations.get(&key).filter(|held| held.is_active()) else {
        return Ok(Draft::unchanged(&before));
    };
    draft.put_installation(Installation {
        state: InstallationState::Gone { since: draft.now, reason },
        push_token: None,
        ..held.clone()
    });
    let mut pass = before.clone();
    let holding = pass.holding_mut(wallet);
    holding.active = holding.active.saturating_sub(1);
    holding.first_uninstalled_at.get_or_insert(draft.now);
    holding.last_uninstalled_at = Some(draft.now);
    holding.last_uninstall_reason = Some(reason);
    if holding.active == 0 {
        holding.held_until = Some(draft.now.plus(Pass::HOLD));
    }
    let remaining = pass.installations();
    draft.touch_pass(&mut pass, false);
    draft.put_pass(Some(&before), &pass);
    let (device, confidence) = (device.to_owned(), reason.confidence());
    let facts = Facts::PassUninstalled { wallet, device, reason, confidence, remaining, elsewhere: false };
    draft.event(facts, false, &pass);
    Ok(Draft::done(&pass, false))
}

pub(super) fn visit(draft: &mut Draft<'_>, reference: &PassRef, kind: VisitKind, sighting: &Sighting) -> Result<Answer, Reject> {
    let before = draft.pass(reference)?;
    let mut pass = before.clone();
    let sighting = Sighting { at: draft.now, ..sighting.clone() };
    match kind {
        VisitKind::Page => {
            // A page that the same visitor reloads is no news.
            let same = |seen: &Sighting| seen.ip == sighting.ip && seen.user_agent == sighting.user_agent;
            if pass.rendered.as_ref().is_some_and(same) {
                return Ok(Draft::unchanged(&before));
            }
            pass.rendered = Some(sighting.clone());
        }
        VisitKind::ApplePackage | VisitKind::GoogleObject => {
            let wallet = if kind == VisitKind::ApplePackage { Wallet::Apple } else { Wallet::Google };
            let holding = pass.holding_mut(wallet);
            if holding.created_at.is_some() {
                return Ok(Draft::unchanged(&before));
            }
            holding.created_at = Some(draft.now);
        }
    }
    draft.touch_pass(&mut pass, false);
    draft.put_pass(Some(&before), &pass);
    draft.event(Facts::PassRendered { kind, sighting }, false, &pass);
    Ok(Draft::done(&pass, false))
}
