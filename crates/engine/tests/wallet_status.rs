//! The wallet status of contacts: right whatever flips and however often it is told, and told only when it changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::{collections::BTreeSet, sync::atomic::Ordering};

use domain::{
    Action, Contact, ContactRef, EventKind, Facts, InstallationState, Lifecycle, Pass, PassChange, PassId, PassRef, Report,
    Sighting, Timestamp, UninstallReason, Wallet, WalletEvent, WalletStatus,
};
use house::{House, START, house};
use proptest::prelude::*;

/// A wallet tells that it holds a pass, or no more.
#[derive(Debug, Clone, Copy)]
struct Told {
    wallet: Wallet,
    device: u8,
    installed: bool,
    /// How often it is told.
    times: u8,
    /// Seconds since the one before.
    after: i64,
}

fn told() -> impl Strategy<Value = Told> {
    let wallet = prop_oneof![Just(Wallet::Apple), Just(Wallet::Google)];
    let after = prop_oneof![3 => 1i64..60, 1 => 300i64..900];
    (wallet, 0u8..3, any::<bool>(), 1u8..3, after).prop_map(|(wallet, device, installed, times, after)| {
        let device = if wallet == Wallet::Google { 0 } else { device };
        Told { wallet, device, installed, times, after }
    })
}

fn action(pass: PassId, told: Told) -> Action {
    let (pass, wallet) = (PassRef::Id(pass), told.wallet);
    let device = if wallet == Wallet::Google { String::new() } else { told.device.to_string() };
    if told.installed {
        Action::RecordInstall { pass, wallet, device, push_token: None, sighting: Sighting::default() }
    } else {
        Action::RecordUninstall { pass, wallet, device, reason: UninstallReason::Unregistered }
    }
}

/// What the wallets tell, each device in its own order, but one device's before or after another's as it may come.
fn two_orders() -> impl Strategy<Value = (Vec<Told>, Vec<Told>)> {
    prop::collection::vec(told(), 1..24).prop_flat_map(|list| {
        let places: Vec<usize> = (0..list.len()).collect();
        let gaps = prop::collection::vec((1u8..4, prop_oneof![1i64..60, 300i64..900]), list.len());
        (Just(list), Just(places).prop_shuffle(), gaps).prop_map(|(list, places, gaps)| {
            let key = |told: &Told| (told.wallet, told.device);
            let mut left: Vec<Option<Told>> = list.iter().copied().map(Some).collect();
            let next = |(place, (times, after)): (usize, (u8, i64))| {
                let device = list.get(place).map(key);
                let earliest = left.iter_mut().find(|told| told.as_ref().map(key) == device).and_then(Option::take);
                Told { times, after, ..earliest.unwrap() }
            };
            let other = places.into_iter().zip(gaps).map(next).collect();
            (list, other)
        })
    })
}

/// The status once all was told and nothing is held any more.
async fn settled(list: &[Told]) -> WalletStatus {
    let house = house().await;
    let pass = house.issued("a").await;
    for told in list {
        advance(&house, told.after);
        sweep(&house).await;
        for _ in 0..told.times {
            house.outcome(action(pass.id, *told)).await;
        }
    }
    advance(&house, 301);
    sweep(&house).await;
    contact(&house).await.wallet_status()
}

async fn contact(house: &House) -> Contact {
    house.store.contact(house.org, &ContactRef::External("person-a".to_owned())).await.unwrap().unwrap()
}

/// What was told of status changes: overall before and after, and when.
async fn changes(house: &House) -> Vec<(String, String, Timestamp)> {
    let log = house.store.read_events(0, 0, 10_000).await.unwrap();
    let of = |event: domain::Event| match event.facts {
        Facts::ContactWalletStatusChanged { overall_before, overall_after, .. } => {
            Some((overall_before, overall_after, event.occurred_at))
        }
        _ => None,
    };
    let whole = log.into_iter().filter_map(|event| event.whole());
    let about_it = |event: &domain::Event| event.project == Some(house.project) && event.pass.is_none();
    whole.filter(about_it).filter_map(of).collect()
}

/// The sweep, at a time.
async fn sweep(house: &House) {
    let now = Timestamp::from_micros(house.clock.0.load(Ordering::Relaxed));
    for (_, pass) in house.store.backend().due_passes(0, now, 100).await.unwrap() {
        house.outcome(Action::Expire { pass: PassRef::Id(pass) }).await;
    }
}

fn advance(house: &House, seconds: i64) {
    house.clock.0.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_status_is_that_of_the_installations_and_every_change_is_told_once(list in prop::collection::vec(told(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let house = house().await;
            let pass = house.issued("a").await;
            let mut there = BTreeSet::new();
            for told in list {
                advance(&house, told.after);
                sweep(&house).await;
                for _ in 0..told.times {
                    house.outcome(action(pass.id, told)).await;
                }
                let key = (told.wallet, told.device);
                let _ = if told.installed { there.insert(key) } else { there.remove(&key) };
                let status = contact(&house).await.wallet_status();
                for wallet in [Wallet::Apple, Wallet::Google] {
                    let counts = if wallet == Wallet::Apple { status.apple } else { status.google };
                    assert!(counts == 1 || !there.iter().any(|(known, _)| *known == wallet), "an installation counts at once");
                }
            }
            advance(&house, 301);
            sweep(&house).await;
            let (status, holds) = (contact(&house).await.wallet_status(), |wallet| u32::from(there.iter().any(|(known, _)| *known == wallet)));
            assert_eq!((status.apple, status.google), (holds(Wallet::Apple), holds(Wallet::Google)));
            let installations = house.store.installations(house.org, pass.id, None, 100).await.unwrap();
            let active = installations.iter().filter(|it| matches!(it.state, InstallationState::Active { .. })).count();
            assert_eq!(active, there.len(), "the raw state is kept beside");
            let told = changes(&house).await;
            let names: Vec<&str> = told.iter().map(|(_, after, _)| after.as_str()).collect();
            assert!(names.iter().zip(&names[1.min(names.len())..]).all(|(one, next)| one != next), "{names:?}");
            assert!(told.iter().zip(told.iter().skip(1)).all(|(one, next)| one.1 == next.0), "each goes on from the one before");
            assert_eq!(names.last().copied().unwrap_or("none"), status.name());
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_repetition_of_the_same_facts_ends_in_the_same_status((one, other) in two_orders()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (one, other) = runtime.block_on(async move { (settled(&one).await, settled(&other).await) });
        assert_eq!((one.name(), one.apple, one.google), (other.name(), other.apple, other.google));
    }
}

#[tokio::test]
async fn a_phone_that_flaps_tells_raw_events_at_once_and_changes_the_status_once() {
    let house = house().await;
    let pass = house.issued("a").await;
    let told = |installed| Told { wallet: Wallet::Apple, device: 1, installed, times: 1, after: 0 };
    house.outcome(action(pass.id, told(true))).await;
    let installed_at = contact(&house).await.wallet_status().apple_installed_at;
    for _ in 0..50 {
        advance(&house, 2);
        house.outcome(action(pass.id, told(false))).await;
        advance(&house, 2);
        sweep(&house).await;
        house.outcome(action(pass.id, told(true))).await;
    }
    let kinds = house.kinds(pass.id).await;
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::PassUninstalled).count(), 50, "raw events are not held");
    assert_eq!(changes(&house).await.len(), 1);
    assert_eq!(contact(&house).await.wallet_status().apple_installed_at, installed_at);
    house.outcome(action(pass.id, told(false))).await;
    let left_at = house.store.pass(house.org, pass.id).await.unwrap().unwrap().apple.last_uninstalled_at;
    let due = Timestamp::from_micros(house.clock.0.load(Ordering::Relaxed)).plus(Pass::HOLD);
    assert_eq!(house.store.backend().due_passes(0, due, 10).await.unwrap(), [(house.org, pass.id)]);
    advance(&house, 300);
    sweep(&house).await;
    let status = contact(&house).await.wallet_status();
    assert_eq!((status.name(), status.last_event), ("none", Some(WalletEvent::Uninstalled)));
    assert_eq!(status.changed_at, left_at, "when the wallet told of it, not when it came to count");
    assert_eq!(changes(&house).await.len(), 2);
    assert!(house.store.backend().due_passes(0, due.plus(Pass::HOLD), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_pass_that_is_called_back_counts_no_more_at_once() {
    let house = house().await;
    let pass = house.issued("a").await;
    let told = Told { wallet: Wallet::Google, device: 0, installed: true, times: 1, after: 0 };
    house.outcome(action(pass.id, told)).await;
    assert_eq!(contact(&house).await.wallets[&house.project].name(), "google");
    house.outcome(Action::Revoke { pass: PassRef::Id(pass.id), reason: None }).await;
    assert_eq!(contact(&house).await.wallets[&house.project].name(), "none");
    let told: Vec<_> = changes(&house).await.into_iter().map(|(before, after, _)| (before, after)).collect();
    let pair = |before: &str, after: &str| (before.to_owned(), after.to_owned());
    assert_eq!(told, [pair("none", "google"), pair("google", "none")]);
    assert!(house.clock.0.load(Ordering::Relaxed) < START + 1_000_000);
}

#[tokio::test]
async fn what_the_other_wallet_told_since_stays_what_happened_last() {
    let house = house().await;
    let pass = house.issued("a").await;
    let told = |wallet, installed| Told { wallet, device: 0, installed, times: 1, after: 0 };
    house.outcome(action(pass.id, told(Wallet::Apple, true))).await;
    house.outcome(action(pass.id, told(Wallet::Apple, false))).await;
    advance(&house, 60);
    house.outcome(action(pass.id, told(Wallet::Google, true))).await;
    let both = contact(&house).await.wallet_status();
    assert_eq!((both.name(), both.changed_at), ("both", both.google_installed_at));
    advance(&house, 300);
    sweep(&house).await;
    let google = contact(&house).await.wallet_status();
    assert_eq!((google.name(), google.last_event), ("google", Some(WalletEvent::Installed)));
    assert_eq!((google.changed_at, google.apple_installed_at), (both.changed_at, both.apple_installed_at));
    assert_eq!(changes(&house).await.len(), 3, "the removal is told all the same");
}

#[tokio::test]
async fn a_removal_is_not_held_over_the_end_of_a_pass() {
    let house = house().await;
    let mut issue = house.issue("a");
    issue.validity.expires_at = Some(Timestamp::from_micros(START).plus(Pass::HOLD / 2));
    let pass = house.did(Action::Issue(Box::new(issue))).await;
    let told = |installed| Told { wallet: Wallet::Apple, device: 1, installed, times: 1, after: 0 };
    house.outcome(action(pass.id, told(true))).await;
    house.outcome(action(pass.id, told(false))).await;
    advance(&house, 151);
    sweep(&house).await;
    assert_eq!(contact(&house).await.wallet_status().name(), "none", "a pass that has expired counts nowhere");
    let later = Some(Some(Timestamp::from_micros(START).plus(Pass::HOLD * 9)));
    let change = Box::new(PassChange { expires_at: later, ..PassChange::default() });
    let pass = house.did(Action::Update { pass: PassRef::Id(pass.id), change, expected_version: None }).await;
    assert_eq!((&pass.lifecycle, pass.apple.held_until), (&Lifecycle::Active, None));
    assert_eq!(contact(&house).await.wallet_status().name(), "none", "valid again, but on no phone");
    assert_eq!(changes(&house).await.len(), 2);
}

fn former(pass: PassId, wallet: Wallet, installed: i64, uninstalled: Option<i64>) -> Action {
    let at = |seconds: i64| Timestamp::from_micros(START + seconds * 1_000_000);
    Action::RecordFormer { pass: PassRef::Id(pass), wallet, installed_at: at(installed), uninstalled_at: uninstalled.map(at) }
}

#[tokio::test]
async fn what_another_platform_knew_counts_as_of_then_and_overrules_nothing() {
    let house = house().await;
    let pass = house.issued("one").await;
    let then = Timestamp::from_micros(START - 86_400_000_000);
    let held = house.did(former(pass.id, Wallet::Apple, -86_400, None)).await;
    assert_eq!((held.apple.active, held.apple.first_installed_at), (1, Some(then)));
    let contact = house.store.contact(house.org, &ContactRef::Id(held.contact.unwrap())).await.unwrap().unwrap();
    let status = contact.wallet_status();
    assert_eq!((status.name(), status.apple_installed_at, status.changed_at), ("apple", Some(then), Some(then)));
    let again = house.did(former(pass.id, Wallet::Apple, -500, Some(-400))).await;
    assert_eq!(again.version, held.version, "it is known");
    // The phone registers here: one phone, not two.
    let real = house.did(house.install(pass.id, "phone")).await;
    assert_eq!((real.apple.active, real.apple.first_installed_at), (1, Some(then)));
    let gone = house.did(Action::RecordUninstall {
        pass: PassRef::Id(pass.id),
        wallet: Wallet::Apple,
        device: "phone".to_owned(),
        reason: UninstallReason::Unregistered,
    });
    assert_eq!(gone.await.apple.active, 0);

    let left = house.did(former(pass.id, Wallet::Google, -900, Some(-300))).await;
    assert_eq!((left.google.active, left.google.last_uninstall_reason), (0, Some(UninstallReason::Removed)));
    let events = house.store.events_of_pass(house.org, pass.id, 0, 100).await.unwrap();
    let events: Vec<_> = events.into_iter().filter_map(store::LoggedEvent::whole).collect();
    let times: Vec<_> =
        events.iter().filter(|event| event.kind() == EventKind::PassInstalled).map(|event| event.occurred_at).collect();
    assert_eq!(times[0], then, "it happened then");
    assert!(events.iter().all(|event| event.recorded_at >= Timestamp::from_micros(START)), "and was written down now");

    let other = house.issued("two").await;
    for (installed, uninstalled) in [(86_400, None), (-5, Some(-5)), (-5, Some(86_400))] {
        let refused = house.refused(former(other.id, Wallet::Apple, installed, uninstalled)).await;
        assert_eq!(refused, domain::RejectCode::Invalid);
    }
}

/// Another platform tells of a pass in a wallet, at so many seconds from the start.
fn report(pass: &Pass, wallet: Wallet, device: Option<&str>, at: i64, installed: bool) -> Action {
    let at = Timestamp::from_micros(START + at * 1_000_000);
    let gone = (!installed).then_some(UninstallReason::Told);
    let pass = PassRef::External { project: pass.project, external_id: pass.external_id.clone().unwrap() };
    Action::RecordReport { pass, report: Report { wallet, device: device.map(str::to_owned), at, gone } }
}

async fn status(house: &House) -> &'static str {
    contact(house).await.wallet_status().name()
}

/// What was told of installations: which wallet, whether it holds the pass, when, and whether another platform told.
async fn told_of(house: &House, pass: &Pass) -> Vec<(Wallet, bool, i64, bool)> {
    let events = house.store.events_of_pass(house.org, pass.id, 0, 1_000).await.unwrap();
    let told = events.into_iter().filter_map(|event| event.whole()).filter_map(|event| {
        let at = (event.occurred_at.as_micros() - START) / 1_000_000;
        match event.facts {
            Facts::PassInstalled { wallet, elsewhere, .. } => Some((wallet, true, at, elsewhere)),
            Facts::PassUninstalled { wallet, elsewhere, .. } => Some((wallet, false, at, elsewhere)),
            _ => None,
        }
    });
    told.collect()
}

#[tokio::test]
async fn of_what_another_platform_tells_the_newest_counts_in_whatever_order_it_comes() {
    let (apple, at) = (Wallet::Apple, [1_000, 2_000, 3_000, 4_000]);
    let all = [(at[0], true), (at[1], false), (at[2], true), (at[3], false)];
    for until in 1..=all.len() {
        let list = &all[..until];
        let last = if list[until - 1].1 { "apple" } else { "none" };
        for turn in 0..until {
            for backwards in [false, true] {
                let house = house().await;
                let pass = house.issued("a").await;
                advance(&house, 10_000);
                let mut order: Vec<_> = list.iter().cycle().skip(turn).take(until).collect();
                if backwards {
                    order.reverse();
                }
                for (at, installed) in order {
                    house.outcome(report(&pass, apple, None, *at, *installed)).await;
                    let before = house.store.pass(house.org, pass.id).await.unwrap().unwrap().version;
                    let again = house.did(report(&pass, apple, None, *at, *installed)).await;
                    assert_eq!(again.version, before, "what is told twice is told once");
                }
                assert_eq!(status(&house).await, last, "{list:?} from {turn}, backwards {backwards}");
                let held = house.store.pass(house.org, pass.id).await.unwrap().unwrap().apple;
                assert_eq!(held.active, u32::from(last == "apple"));
            }
        }
    }
}

#[tokio::test]
async fn an_old_install_after_a_newer_removal_is_a_fact_and_changes_nothing() {
    let house = house().await;
    let pass = house.issued("a").await;
    advance(&house, 10_000);
    house.outcome(report(&pass, Wallet::Google, None, 2_000, false)).await;
    house.outcome(report(&pass, Wallet::Google, None, 1_000, true)).await;
    assert_eq!(status(&house).await, "none");
    let (google, yes) = (Wallet::Google, true);
    assert_eq!(told_of(&house, &pass).await, [(google, false, 2_000, yes), (google, true, 1_000, yes)]);
    house.outcome(report(&pass, Wallet::Google, None, 3_000, true)).await;
    let holder = contact(&house).await.wallet_status();
    let then = Timestamp::from_micros(START + 3_000_000_000);
    assert_eq!((holder.name(), holder.google_installed_at, holder.changed_at), ("google", Some(then), Some(then)));
    let held = house.store.pass(house.org, pass.id).await.unwrap().unwrap().google;
    assert_eq!(held.first_installed_at, Some(Timestamp::from_micros(START + 1_000_000_000)));
    // The clock of a platform that runs ahead does not keep what comes after it from counting.
    house.outcome(report(&pass, Wallet::Google, None, 999_999, true)).await;
    advance(&house, 1);
    house.outcome(report(&pass, Wallet::Google, None, 999_999, false)).await;
    advance(&house, 301);
    sweep(&house).await;
    assert_eq!(status(&house).await, "none");
}

#[tokio::test]
async fn a_phone_that_registers_here_takes_the_place_of_what_was_told_and_is_not_overruled() {
    let house = house().await;
    let pass = house.issued("a").await;
    advance(&house, 10_000);
    house.outcome(report(&pass, Wallet::Apple, None, 1_000, true)).await;
    let real = house.did(house.install(pass.id, "phone")).await;
    assert_eq!((real.apple.active, real.apple.ever), (1, 1));
    let echo = house.did(report(&pass, Wallet::Apple, None, 10_000, true)).await;
    assert_eq!(echo.apple.active, 1, "our own install, told back to us");
    let told = house.did(report(&pass, Wallet::Apple, None, 10_000, false)).await;
    assert_eq!((told.apple.active, status(&house).await), (1, "apple"), "it left the other platform, the phone did not leave us");
    // One that has a name is that phone, under the same name as here.
    let other = house.issued("b").await;
    let named = |at, installed| report(&other, Wallet::Apple, Some("d1"), at, installed);
    assert_eq!(house.did(named(1_000, true)).await.apple.active, 1);
    assert_eq!(house.did(house.install(other.id, "d1")).await.apple.active, 1);
    assert_eq!(house.did(named(2_000, false)).await.apple.active, 1, "it takes its updates from here now");
    assert_eq!(house.did(report(&other, Wallet::Apple, Some("d2"), 2_000, true)).await.apple.active, 2, "a second phone");
    assert_eq!(house.did(report(&other, Wallet::Apple, Some("d2"), 3_000, false)).await.apple.active, 1);
    let long = "d".repeat(129);
    assert_eq!(house.refused(report(&other, Wallet::Apple, Some(&long), 1, true)).await, domain::RejectCode::Invalid);
}

#[tokio::test]
async fn an_echo_of_what_our_own_wallets_told_ends_where_it_began() {
    let house = house().await;
    let pass = house.issued("a").await;
    house.outcome(house.install(pass.id, "phone")).await;
    advance(&house, 100);
    let gone = (PassRef::Id(pass.id), Wallet::Apple, "phone".to_owned(), UninstallReason::Unregistered);
    let (pass_ref, wallet, device, reason) = gone;
    let left = house.did(Action::RecordUninstall { pass: pass_ref, wallet, device, reason }).await;
    let events = told_of(&house, &pass).await;
    for (at, installed) in [(0, true), (100, false), (0, true)] {
        house.outcome(report(&pass, Wallet::Apple, None, at, installed)).await;
        house.outcome(report(&pass, Wallet::Unknown, None, at, installed)).await;
    }
    assert_eq!(told_of(&house, &pass).await, events, "nothing is news");
    let after = house.store.pass(house.org, pass.id).await.unwrap().unwrap();
    assert_eq!((after.apple, after.unknown), (left.apple, domain::Holding::default()));
}

#[tokio::test]
async fn a_wallet_that_is_not_named_is_unknown_until_one_is() {
    let house = house().await;
    let pass = house.issued("a").await;
    advance(&house, 10_000);
    let unknown = house.did(report(&pass, Wallet::Unknown, None, 1_000, true)).await;
    assert_eq!((unknown.unknown.active, unknown.status(), status(&house).await), (1, domain::Status::Installed, "unknown"));
    let known = house.did(report(&pass, Wallet::Apple, None, 1_500, true)).await;
    assert_eq!((known.unknown.active, known.apple.active, status(&house).await), (0, 1, "apple"));
    let last = contact(&house).await.wallet_status();
    assert_eq!((last.last_event, last.unknown), (Some(WalletEvent::Installed), 0));
    house.outcome(report(&pass, Wallet::Unknown, None, 1_600, true)).await;
    assert_eq!(status(&house).await, "apple", "it may well be the same");
    house.outcome(report(&pass, Wallet::Google, None, 1_700, true)).await;
    assert_eq!(status(&house).await, "both");
    let gone = house.did(report(&pass, Wallet::Unknown, None, 2_000, false)).await;
    assert_eq!((gone.installations(), status(&house).await), (0, "none"), "in no wallet that it told of");
    let told: Vec<_> = changes(&house).await.into_iter().map(|(before, after, _)| format!("{before} {after}")).collect();
    assert_eq!(told, ["none unknown", "unknown apple", "apple both", "both google", "google none"]);
    let installations = house.store.installations(house.org, pass.id, None, 9).await.unwrap();
    assert!(installations.iter().all(|it| !it.is_active() && it.push_token.is_none()));
}
