//! Presenting a pass at a reader. Whatever comes of it is an event, refusals too.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    Amount, Answer, Booking, Extension, Facts, Lifecycle, Pass, PassRef, Proof, RefusedScan, Reject, RejectCode, ScanInput,
    ScanOrder, ScanRules, Timestamp, ZoneName,
};

use super::Draft;

/// Most bytes of what is told about a scan.
const MAX_TEXT_BYTES: usize = 256;
/// Oldest scan that a scanner may tell of later.
const MAX_OFFLINE_AGE: Duration = Duration::from_secs(30 * 86_400);
/// How far a scanner's clock may be ahead of ours.
const MAX_CLOCK_AHEAD: Duration = Duration::from_secs(300);
/// What a full card adds to its reward.
const ONE: Amount = Amount::from_micros(1_000_000);
const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn scan(draft: &mut Draft<'_>, passes: &[PassRef], order: &ScanOrder) -> Result<Answer, Reject> {
    check(&order.input)?;
    let at = made_at(draft, order)?;
    let found = passes.iter().find(|pass| draft.view.states.find_pass(draft.view.org, pass).is_some());
    let Some(reference) = found.filter(|_| order.proof != Proof::Forged) else {
        draft.happened_at = Some(at);
        let reason = if order.proof == Proof::Forged { RefusedScan::Forged } else { RefusedScan::Unknown };
        let facts = Facts::ScanUnknown { scan: order.input.clone(), reason, read: order.read.clone() };
        let scan = Some(draft.bare_event(facts));
        return Ok(Answer::ScanRefused { pass: None, scan, reason, version: 0 });
    };
    let before = draft.pass(reference)?;
    draft.happened_at = Some(at);
    let project = draft.view.config.project(before.project).cloned();
    let (plain, utc) = (ScanRules::default(), ZoneName::default());
    let (rules, zone) =
        project.as_ref().map_or((&plain, &utc), |project| (project.scan_rules(&before.variant), &project.time_zone));
    check_booking(rules, &order.book)?;
    let mut pass = before.clone();
    let (day, oldest) = (zone.day(at), zone.day(draft.now.minus(MAX_OFFLINE_AGE)));
    let accepted = admit(&before, order, rules, at)
        .and_then(|()| count(&mut pass, rules, day, oldest))
        .and_then(|()| book(&mut pass, rules, &order.book))
        .and_then(|()| agree(&order.input));
    if let Err(reason) = accepted {
        let facts = Facts::PassScanRefused { scan: order.input.clone(), reason };
        let scan = Some(draft.event(facts, false, &before));
        return Ok(Answer::ScanRefused { pass: Some(before.id), scan, reason, version: before.version });
    }
    let extended = extend(&mut pass, rules, at);
    let remaining = pass.uses.limit.map(|limit| limit.saturating_sub(pass.uses.count));
    if remaining == Some(0) && matches!(pass.lifecycle, Lifecycle::Active | Lifecycle::Expired { .. }) {
        pass.lifecycle = Lifecycle::Used { at: draft.now };
    }
    let booked = changes(&before, &pass)?;
    let content = pass.lifecycle != before.lifecycle || !booked.is_empty() || extended.is_some();
    draft.touch_pass(&mut pass, content);
    draft.put_pass(Some(&before), &pass);
    let (input, changed, day) = (order.input.clone(), booked.clone(), Some(day));
    let facts = Facts::PassScanned { scan: input, remaining, balance_changes: changed, day, extended };
    let scan = draft.event(facts, content, &pass);
    Ok(Answer::Scanned { pass: pass.id, scan, remaining, booked, version: pass.version })
}

/// Whether what is told about a scan fits.
pub(super) fn check(input: &ScanInput) -> Result<(), Reject> {
    for (path, text) in [("operator", &input.operator), ("device", &input.device), ("location", &input.location)] {
        if text.as_ref().is_some_and(|text| text.len() > MAX_TEXT_BYTES) {
            return Err(Reject::new(RejectCode::Invalid, path, "must have at most 256 bytes"));
        }
    }
    Ok(())
}

/// When the pass was presented: now, or when a scanner without a network says.
fn made_at(draft: &Draft<'_>, order: &ScanOrder) -> Result<Timestamp, Reject> {
    let Some(offline) = &order.input.offline else { return Ok(draft.now) };
    if offline.at > draft.now.plus(MAX_CLOCK_AHEAD) {
        return Err(Reject::new(RejectCode::Invalid, "at", "lies in the future: set the scanner's clock"));
    }
    // A replay of a mirrored account begins at the beginning.
    if offline.at < draft.now.minus(MAX_OFFLINE_AGE) && !order.is_mirrored {
        return Err(Reject::new(RejectCode::Invalid, "at", "is more than 30 days ago"));
    }
    Ok(offline.at.min(draft.now))
}

/// A scanner books only what the project lets it.
fn check_booking(rules: &ScanRules, book: &BTreeMap<String, Amount>) -> Result<(), Reject> {
    for (name, amount) in book {
        if rules.scanner_may.get(name).is_none_or(|may| !may.allows(*amount)) {
            let message = "scanners may not book that here: allow it in the project's scan.scanner_may";
            return Err(Reject::new(RejectCode::NotAllowed, format!("book.{name}"), message));
        }
    }
    Ok(())
}

fn admit(pass: &Pass, order: &ScanOrder, rules: &ScanRules, at: Timestamp) -> Result<(), RefusedScan> {
    if order.project.is_some_and(|project| project != pass.project) {
        return Err(RefusedScan::WrongProject);
    }
    match order.proof {
        Proof::None if rules.signed_only => return Err(RefusedScan::Unsigned),
        Proof::Signed { epoch, .. } if epoch != pass.barcode_epoch => return Err(RefusedScan::Superseded),
        Proof::Signed { stale: true, .. } => return Err(RefusedScan::Stale),
        _ => {}
    }
    pass.refuses_scan(at).map_or(Ok(()), Err)
}

/// Whom the reader turned away by itself, nobody let in, whatever we would have said.
fn agree(input: &ScanInput) -> Result<(), RefusedScan> {
    let turned_away = input.offline.as_ref().is_some_and(|offline| !offline.accepted);
    if turned_away { Err(RefusedScan::ByReader) } else { Ok(()) }
}

fn count(pass: &mut Pass, rules: &ScanRules, day: u32, oldest: u32) -> Result<(), RefusedScan> {
    if rules.per_day.is_some_and(|most| pass.uses_of(day) >= most) {
        return Err(RefusedScan::UsedToday);
    }
    pass.count_use(day, rules.per_day.map(|_| oldest));
    Ok(())
}

fn book(pass: &mut Pass, rules: &ScanRules, extra: &BTreeMap<String, Amount>) -> Result<(), RefusedScan> {
    for Booking { balance, amount, full_at, reward } in &rules.books {
        let held = add(pass, balance, *amount)?;
        let Some(full) = full_at.filter(|full| *full > Amount::ZERO && held >= *full) else { continue };
        let cards = held.micros() / full.micros();
        pass.balances.insert(balance.clone(), Amount::from_micros(held.micros() % full.micros()));
        if let Some(reward) = reward {
            let cards = cards.checked_mul(ONE.micros()).ok_or(RefusedScan::Insufficient)?;
            add(pass, reward, Amount::from_micros(cards))?;
        }
    }
    for (name, amount) in extra {
        add(pass, name, *amount)?;
    }
    Ok(())
}

fn add(pass: &mut Pass, name: &str, amount: Amount) -> Result<Amount, RefusedScan> {
    let held = pass.balances.get(name).copied().unwrap_or_default();
    let next = held.plus(amount).ok().filter(|next| *next >= Amount::ZERO).ok_or(RefusedScan::Insufficient)?;
    pass.balances.insert(name.to_owned(), next);
    Ok(next)
}

fn extend(pass: &mut Pass, rules: &ScanRules, at: Timestamp) -> Option<Extension> {
    let (from, days) = (pass.validity.expires_at?, rules.extends_days?);
    let to = at.plus(DAY * u32::from(days));
    (to > from).then(|| {
        pass.validity.expires_at = Some(to);
        Extension { from, to }
    })
}

fn changes(before: &Pass, after: &Pass) -> Result<BTreeMap<String, Amount>, Reject> {
    let mut changed = BTreeMap::new();
    for (name, amount) in &after.balances {
        let held = before.balances.get(name).copied().unwrap_or_default();
        if *amount != held {
            let out = |error: domain::AmountError| Reject::new(RejectCode::Invalid, format!("book.{name}"), error.to_string());
            changed.insert(name.clone(), amount.minus(held).map_err(out)?);
        }
    }
    Ok(changed)
}
