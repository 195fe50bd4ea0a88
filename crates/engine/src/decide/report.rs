//! What another platform tells of a pass in a wallet, where the pass's account is mirrored here.
//!
//! Reports come late, twice and out of order. The newest of an installation counts, by the platform's clock; what is older than
//! what is known changes nothing, and is an event only where nothing was known of an install before. See [`Report`].

use domain::{
    Answer, Facts, Installation, InstallationState, Pass, PassId, PassRef, Reject, RejectCode, Report, Sighting, Timestamp,
    UninstallReason, Wallet,
};

use super::{
    Draft,
    wallet::{MAX_DEVICE_BYTES, replace},
};

pub(super) fn record(draft: &mut Draft<'_>, reference: &PassRef, report: &Report) -> Result<Answer, Reject> {
    if report.device.as_ref().is_some_and(|device| device.is_empty() || device.len() > MAX_DEVICE_BYTES) {
        return Err(Reject::new(RejectCode::Invalid, "device", "must have 1 to 128 bytes"));
    }
    let before = draft.pass(reference)?;
    let told = Told::of(draft, before.id, report);
    (draft.happened_at, draft.counted_at) = (Some(told.at), Some(told.at));
    Ok(match report.gone {
        None => install(draft, &before, &told),
        Some(reason) => uninstall(draft, &before, &told, reason),
    })
}

/// A report, and what is known of the installations that it may mean.
struct Told {
    wallet: Wallet,
    device: String,
    has_name: bool,
    at: Timestamp,
    /// Those of its device, or standing in, that no wallet told of itself: in its wallet, or else in one that is not known.
    known: Vec<Installation>,
    /// Whether the wallet itself told of this very device.
    is_ours: bool,
}

impl Told {
    fn of(draft: &Draft<'_>, pass: PassId, report: &Report) -> Self {
        let stand_in = Installation::stand_in(pass);
        let device = report.device.clone().unwrap_or_else(|| stand_in.clone());
        let is_meant = |wallet: &Wallet| report.wallet == Wallet::Unknown || [report.wallet, Wallet::Unknown].contains(wallet);
        let meant = || Wallet::ALL.into_iter().filter(is_meant);
        let named = meant().filter_map(|wallet| draft.installation(pass, wallet, &device));
        let (ours, mut known): (Vec<_>, Vec<_>) = named.cloned().partition(|held| held.push_token.is_some());
        if device != stand_in {
            known.extend(draft.installation(pass, Wallet::Unknown, &stand_in).filter(|held| held.is_active()).cloned());
        }
        let is_ours = ours.iter().any(Installation::is_active);
        Self { wallet: report.wallet, device, has_name: report.device.is_some(), at: report.at.min(draft.now), known, is_ours }
    }

    /// Those that are there, of which an unknown one is meant only where the wallet's own is not.
    fn there(&self) -> Vec<&Installation> {
        let active = || self.known.iter().filter(|held| held.is_active());
        match active().find(|held| held.wallet == self.wallet) {
            Some(own) if self.wallet != Wallet::Unknown => vec![own],
            _ => active().collect(),
        }
    }

    fn gone_since(&self) -> Option<Timestamp> {
        self.known.iter().filter(|held| !held.is_active()).map(Installation::since).max()
    }

    /// When the pass left the wallet, by whomever that was told: what stands in for all is not there since.
    fn left_at(&self, pass: &Pass) -> Option<Timestamp> {
        let meant = Wallet::ALL.into_iter().filter(|wallet| [*wallet, Wallet::Unknown].contains(&self.wallet));
        let left = meant.map(|wallet| pass.holding(wallet)).filter(|holding| holding.active == 0);
        left.filter_map(|holding| holding.last_uninstalled_at).max().filter(|_| !self.has_name)
    }

    /// It, in a state of which it is told.
    fn installation(&self, pass: PassId, state: InstallationState) -> Installation {
        let held = self.known.iter().find(|held| held.wallet == self.wallet && held.device == self.device);
        let first_installed_at = held.map_or(self.at, |held| held.first_installed_at.min(self.at));
        Installation { pass, wallet: self.wallet, device: self.device.clone(), push_token: None, state, first_installed_at }
    }
}

fn install(draft: &mut Draft<'_>, before: &Pass, told: &Told) -> Answer {
    let mut pass = before.clone();
    if told.gone_since().max(told.left_at(before)).is_some_and(|gone| told.at < gone) {
        return came_late(draft, before, told);
    }
    let there = told.there();
    if let Some(same) = there.into_iter().find(|held| held.wallet == told.wallet || told.wallet == Wallet::Unknown) {
        // It is there already, and a removal that is told later but was earlier is older than this.
        if told.at > same.since() {
            let state = InstallationState::Active { since: told.at };
            draft.put_installation(Installation { state, ..same.clone() });
            draft.touch_pass(&mut pass, false);
            draft.put_pass(Some(before), &pass);
        }
        return Draft::unchanged(before);
    }
    let stand_ins = [told.wallet, Wallet::Unknown].map(|wallet| draft.stand_in(pass.id, wallet));
    let is_present = match told.wallet {
        Wallet::Unknown => pass.installations() > 0,
        wallet => pass.holding(wallet).active > 0,
    };
    if told.is_ours || !told.has_name && is_present {
        return Draft::unchanged(before);
    }
    let again = told.known.iter().any(|held| held.wallet == told.wallet);
    draft.put_installation(told.installation(pass.id, InstallationState::Active { since: told.at }));
    let sighting = Sighting { at: told.at, ..Sighting::default() };
    let holding = pass.holding_mut(told.wallet);
    holding.active += 1;
    holding.ever += 1;
    holding.held_until = None;
    holding.first_installed_at = Some(holding.first_installed_at.map_or(told.at, |first| first.min(told.at)));
    holding.last_installed_at = holding.last_installed_at.max(Some(told.at));
    if pass.installed.as_ref().is_none_or(|last| last.at < told.at) {
        pass.installed = Some(sighting.clone());
    }
    if let Some(stand_in) = stand_ins.into_iter().flatten().next() {
        replace(draft, &mut pass, stand_in);
    }
    draft.touch_pass(&mut pass, false);
    draft.put_pass(Some(before), &pass);
    let (wallet, device) = (told.wallet, told.device.clone());
    draft.event(Facts::PassInstalled { wallet, device, again, elsewhere: true, sighting }, false, &pass);
    Draft::done(&pass, false)
}

/// An install that was over when it was told: a fact where none was known, and no more than that.
fn came_late(draft: &mut Draft<'_>, before: &Pass, told: &Told) -> Answer {
    let installed = |wallet: &Wallet| before.holding(*wallet).first_installed_at.is_some();
    if installed(&told.wallet) || told.wallet == Wallet::Unknown && Wallet::ALL.iter().any(installed) {
        return Draft::unchanged(before);
    }
    let mut pass = before.clone();
    let holding = pass.holding_mut(told.wallet);
    holding.ever += 1;
    holding.first_installed_at = Some(told.at);
    holding.last_installed_at = Some(told.at);
    draft.touch_pass(&mut pass, false);
    draft.put_pass(Some(before), &pass);
    let (wallet, device, sighting) = (told.wallet, told.device.clone(), Sighting { at: told.at, ..Sighting::default() });
    draft.event(Facts::PassInstalled { wallet, device, again: false, elsewhere: true, sighting }, false, &pass);
    Draft::done(&pass, false)
}

fn uninstall(draft: &mut Draft<'_>, before: &Pass, told: &Told, reason: UninstallReason) -> Answer {
    let there = told.there();
    if there.is_empty() {
        return never_there(draft, before, told, reason);
    }
    let mut pass = before.clone();
    let mut is_news = false;
    for held in there.into_iter().filter(|held| held.since() <= told.at).cloned() {
        let (there, device) = (pass.clone(), held.device.clone());
        let wallet = held.wallet;
        draft.put_installation(Installation { state: InstallationState::Gone { since: told.at, reason }, ..held });
        let holding = pass.holding_mut(wallet);
        holding.active = holding.active.saturating_sub(1);
        leave(holding, told.at, reason);
        if holding.active == 0 {
            holding.held_until = Some(told.at.plus(Pass::HOLD)).filter(|until| *until > draft.now);
        }
        draft.touch_pass(&mut pass, false);
        draft.put_pass(Some(&there), &pass);
        say_gone(draft, &pass, wallet, device, reason);
        is_news = true;
    }
    if is_news { Draft::done(&pass, false) } else { Draft::unchanged(before) }
}

/// A removal of what was not known to be there: it is kept, for an install that is told later may be older. It is news only where
/// nothing was ever known of the wallet.
fn never_there(draft: &mut Draft<'_>, before: &Pass, told: &Told, reason: UninstallReason) -> Answer {
    if told.is_ours || told.gone_since().is_some_and(|gone| told.at <= gone) {
        return Draft::unchanged(before);
    }
    let mut pass = before.clone();
    draft.put_installation(told.installation(pass.id, InstallationState::Gone { since: told.at, reason }));
    let is_news = !is_known(before, told.wallet);
    if is_news {
        leave(pass.holding_mut(told.wallet), told.at, reason);
    }
    draft.touch_pass(&mut pass, false);
    draft.put_pass(Some(before), &pass);
    if !is_news {
        return Draft::unchanged(before);
    }
    say_gone(draft, &pass, told.wallet, told.device.clone(), reason);
    Draft::done(&pass, false)
}

/// Whether anything was ever told of the wallet, or of any where it is not named.
fn is_known(pass: &Pass, wallet: Wallet) -> bool {
    let told = |holding: &domain::Holding| holding.first_installed_at.or(holding.last_uninstalled_at).is_some();
    match wallet {
        Wallet::Unknown => Wallet::ALL.into_iter().any(|wallet| told(pass.holding(wallet))),
        wallet => told(pass.holding(wallet)),
    }
}

fn leave(holding: &mut domain::Holding, at: Timestamp, reason: UninstallReason) {
    holding.first_uninstalled_at = Some(holding.first_uninstalled_at.map_or(at, |first| first.min(at)));
    if holding.last_uninstalled_at.is_none_or(|last| last <= at) {
        holding.last_uninstalled_at = Some(at);
        holding.last_uninstall_reason = Some(reason);
    }
}

fn say_gone(draft: &mut Draft<'_>, pass: &Pass, wallet: Wallet, device: String, reason: UninstallReason) {
    let (confidence, remaining) = (reason.confidence(), pass.installations());
    draft.event(Facts::PassUninstalled { wallet, device, reason, confidence, remaining, elsewhere: true }, false, pass);
}
