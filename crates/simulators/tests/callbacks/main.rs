//! Google's side of the conformance kit against a small endpoint: as Google demands it, it passes whole; broken in one way at a
//! time, as endpoints in the field are, the case that is about it fails.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, unreachable_pub, reason = "a test")]

mod endpoint;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use simulators::conformance::{CALLBACK_CASES, Depth, Endpoint, Played, Verdict, play_callbacks};
use simulators::google::{GoogleServer, Options};
use simulators::iphone::Network;

use endpoint::{Desk, Fault};

const ISSUER: &str = "3388000000000000001";

/// Every way in which the endpoint can be broken, and the case that is about it. Those that peers were found with say where.
const BROKEN: &[(Fault, &str)] = &[
    (Fault::ForbiddenByRobots, "callback_robots"),
    (Fault::WantsJwt, "callback_save"),
    (Fault::IgnoresDeletions, "callback_delete"),
    (Fault::RefusesRepeats, "callback_repeat"),
    (Fault::ForgetsNonces, "callback_replay"),
    (Fault::CountsLetters, "callback_bytes"),
    (Fault::RecipientFromMessage, "callback_other_issuer"),
    (Fault::MessageUnverified, "callback_tampered"),
    (Fault::IgnoresExpiry, "callback_expired"),
    (Fault::IgnoresKeyExpiry, "callback_key_expired"),
    (Fault::KeyUnverified, "callback_unknown_root"),
    (Fault::AnyProtocolsRoot, "callback_root_protocol"),
    (Fault::ExpiredRoots, "callback_root_expired"),
    (Fault::ProtocolInAnyCase, "callback_protocol"),
    (Fault::RefetchesKeys, "callback_no_refetch"),
    (Fault::FallsOverGarbage, "callback_garbage"),
    (Fault::TakesGarbage, "callback_garbage"),
    (Fault::FallsOverUnknownPass, "callback_unknown_pass"),
    (Fault::Overloaded, "callback_storm"),
];

/// The present of everybody here, in milliseconds since 1970.
const fn now() -> i64 {
    1_800_000_000_000
}

async fn played(fault: Option<Fault>, depth: Depth) -> Vec<Played> {
    let google = Arc::new(GoogleServer::start(Options::new(now)).await.unwrap());
    let network = Network::new(&[]).unwrap();
    let object = format!("{ISSUER}.card");
    let desk = Desk::open(fault, ISSUER, &object, &google.root_keys_url()).await;
    let watched = Arc::clone(&desk);
    let endpoint = Endpoint {
        url: format!("{}/google/callback", desk.url),
        class: format!("{ISSUER}.club"),
        object,
        google,
        holds: Some(Arc::new(move || {
            let saved = watched.is_saved();
            Box::pin(async move { Ok(saved) })
        })),
        callers: 20,
        patience: Duration::from_millis(200),
        run: "test".to_owned(),
    };
    let all = play_callbacks(&endpoint, &network, depth, |_| ()).await;
    assert!(fault.is_some() || !desk.is_saved(), "the kit leaves the pass saved");
    all
}

fn failed(all: &[Played]) -> Vec<&'static str> {
    all.iter().filter(|one| matches!(one.verdict, Verdict::Failed(_))).map(|one| one.case.name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_as_google_demands_it_passes() {
    let all = played(None, Depth::Whole).await;
    assert_eq!(all.len(), CALLBACK_CASES.len());
    for Played { case, verdict } in &all {
        match (case.name, verdict) {
            ("callback_https", Verdict::Skipped(_)) | (_, Verdict::Passed(_)) => {}
            (name, other) => panic!("{name}: {other:?}"),
        }
    }
    let looked = played(None, Depth::Look).await;
    assert!(looked.len() == 2 && failed(&looked).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_is_found_by_its_case() {
    for (fault, case) in BROKEN {
        let found = failed(&played(Some(*fault), Depth::Whole).await);
        // One that verifies nothing of a kind is found by more than one case, but no case blames what it is not about.
        assert!(found.contains(case) && found.len() <= 3, "{fault:?}: {found:?}");
    }
    let covered: BTreeSet<&str> = BROKEN.iter().map(|(_, case)| *case).chain(["callback_https"]).collect();
    let missing: Vec<_> = CALLBACK_CASES.iter().map(|case| case.name).filter(|name| !covered.contains(name)).collect();
    assert!(missing.is_empty(), "no fault is found by {missing:?}");
}
