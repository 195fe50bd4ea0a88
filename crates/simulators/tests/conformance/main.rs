//! The conformance kit against a small web service: as Apple demands it, it passes whole; broken in one way at a time, as
//! services in the field are, the case that is about it fails.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, unreachable_pub, reason = "a test")]

mod push;
mod service;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use simulators::conformance::{CASES, Credential, Depth, Played, Subject, Verdict, play};
use simulators::iphone::Network;

use push::Pushing;
use service::{Fault, House, NOW, TYPE, token_of};

/// Every way in which the service can be broken, and the case that is about it. Those that peers were found with say where.
const BROKEN: &[(Fault, &str)] = &[
    (Fault::WrongType, "fetch"),
    (Fault::SignedByAnother, "package"),
    (Fault::FieldTwice, "package"),
    (Fault::AnyToken, "fetch_wrong_token"),
    (Fault::FallsOverUnknownSerial, "fetch_unknown_serial"),
    (Fault::DateIsNumber, "http_date"),
    (Fault::ConditionIsNumber, "not_modified"),
    (Fault::AlwaysUnmodified, "modified_since_long_ago"),
    (Fault::FallsOverBadDate, "modified_since_long_ago"),
    (Fault::NoHead, "head"),
    (Fault::ListWantsToken, "list_unknown_device"),
    (Fault::UnknownDeviceIs400, "list_unknown_device"),
    (Fault::AlwaysCreated, "register_twice"),
    (Fault::RegistersAnybody, "register_wrong_token"),
    (Fault::TakesGarbage, "register_garbage"),
    (Fault::TagIsNumber, "list_first"),
    (Fault::StuckTag, "list_nothing_new"),
    (Fault::AnyType, "list_other_type"),
    (Fault::OnlyNewest, "list_complete"),
    (Fault::FallsOverBadTag, "list_strange_tag"),
    (Fault::OneToken, "cross_pass_token"),
    (Fault::UnregistersAnybody, "unregister"),
    (Fault::RemembersUnregistered, "flips"),
    (Fault::OneDeviceOnly, "wipe"),
    (Fault::LogWantsToken, "log"),
    (Fault::PersonalizesAnybody, "personalize_refused"),
    (Fault::NoDate, "whole_life"),
    (Fault::FewDevices, "many_device_ids"),
    (Fault::Overloaded, "storm"),
    (Fault::UpdateIsSilent, "update"),
    (Fault::DateStandsStill, "update"),
    (Fault::TagInSeconds, "two_updates_in_one_second"),
    (Fault::DateInSeconds, "two_updates_in_one_second"),
    (Fault::NewTokenOnUpdate, "identity_stays"),
    (Fault::NeverPushes, "push"),
    (Fault::KeepsOldPushToken, "token_rotation"),
    (Fault::PushesToTheDead, "dead_token"),
    (Fault::ForgetsEnded, "ended"),
    (Fault::EndsSilently, "ended"),
];

fn credential(serial: &str) -> Credential {
    Credential { pass_type: TYPE.to_owned(), serial: serial.to_owned(), token: token_of(serial) }
}

async fn played(fault: Option<Fault>, depth: Depth) -> Vec<Played> {
    let pushing = Pushing::start().await;
    let house = House::open(fault, pushing.sender()).await;
    let (changing, ending) = (Arc::clone(&house), Arc::clone(&house));
    let subject = Subject {
        service: house.url.clone(),
        pass: Some(credential("A/1")),
        other: Some(credential("B")),
        update: Some(Arc::new(move || {
            let house = Arc::clone(&changing);
            Box::pin(async move {
                house.update("A/1").await;
                Ok(())
            })
        })),
        end: Some(Arc::new(move || {
            let house = Arc::clone(&ending);
            Box::pin(async move {
                house.end("A/1").await;
                Ok(())
            })
        })),
        apns: Some(Arc::clone(&pushing.apns)),
        phones: 20,
        patience: Duration::from_millis(400),
        now: NOW,
        run: "test".to_owned(),
    };
    let all = play(&subject, &Network::new(&[]).unwrap(), depth, |_| ()).await;
    assert!(fault.is_some() || house.registrations() == 0, "the kit leaves phones behind");
    all
}

fn failed(all: &[Played]) -> Vec<&'static str> {
    all.iter().filter(|one| matches!(one.verdict, Verdict::Failed(_))).map(|one| one.case.name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_as_apple_demands_it_passes() {
    let all = played(None, Depth::Whole).await;
    assert_eq!(all.len(), CASES.len());
    for Played { case, verdict } in &all {
        match (case.name, verdict) {
            ("https", Verdict::Skipped(_)) | (_, Verdict::Passed(_)) => {}
            (name, other) => panic!("{name}: {other:?}"),
        }
    }
    let looked = played(None, Depth::Look).await;
    assert!(looked.len() > 5 && looked.iter().all(|one| one.case.only_looks) && failed(&looked).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_is_found_by_its_case() {
    for (fault, case) in BROKEN {
        let all = played(Some(*fault), Depth::Whole).await;
        assert!(failed(&all).contains(case), "{fault:?} is not found by {case}: {all:#?}");
    }
    let covered: BTreeSet<&str> = BROKEN.iter().map(|(_, case)| *case).chain(["https"]).collect();
    let missing: Vec<_> = CASES.iter().map(|case| case.name).filter(|name| !covered.contains(name)).collect();
    assert!(missing.is_empty(), "no fault is found by {missing:?}");
}

#[tokio::test]
async fn http_elsewhere_fails_and_what_is_missing_is_said() {
    let subject = Subject {
        service: "http://passes.invalid/apple".to_owned(),
        pass: Some(credential("A/1")),
        other: None,
        update: None,
        end: None,
        apns: None,
        phones: 2,
        patience: Duration::from_millis(1),
        now: NOW,
        run: "test".to_owned(),
    };
    let all = play(&subject, &Network::new(&[]).unwrap(), Depth::Whole, |_| ()).await;
    let of = |name: &str| &all.iter().find(|one| one.case.name == name).unwrap().verdict;
    assert!(matches!(of("https"), Verdict::Failed(came) if came.contains("http://passes.invalid")));
    assert!(matches!(of("fetch"), Verdict::Failed(came) if came.contains("GET http://passes.invalid")));
    assert!(matches!(of("cross_pass_token"), Verdict::Skipped(what) if what.contains("second pass")));
}
