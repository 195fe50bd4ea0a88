//! What Google Wallet holds: noted, due, settled.

use super::fixtures::{Shared, at, commit, done, event, id, installation, issued, lease, org, other_org, pass, update, uuid};
use crate::{
    ChangedPass, CommitRows, GoogleOutcome, GoogleSettlement, GoogleThingRow, GoogleWants, InstallationRow, Lease, PassWrite,
    Reader, StoreError,
};

const ACCOUNT: u64 = 77;

fn changed(n: u64, content_seq: i64) -> ChangedPass {
    ChangedPass { org: org(), pass: id(n), project: id(50), content_seq, held: false }
}

fn wants(lease: Lease, passes: &[(u64, i64, i16)], due: u64) -> GoogleWants {
    let passes = passes.iter().map(|(n, seq, urgency)| (changed(*n, *seq), uuid(ACCOUNT), *urgency)).collect::<Vec<_>>();
    let watermark = passes.iter().map(|(pass, ..)| pass.content_seq as u64).max().unwrap_or(0);
    GoogleWants { lease, passes, due_at: at(due), watermark }
}

fn outcome(n: u64, synced_seq: Option<i64>, retry_at: Option<u64>, body: &str) -> GoogleOutcome {
    let (thing, account) = (uuid(n), uuid(ACCOUNT));
    let retry_at = retry_at.map(at);
    GoogleOutcome { org: org(), thing, account, seen_due_at: None, synced_seq, retry_at, body: body.to_owned() }
}

/// Settles what was read just now.
async fn settle(backend: &Shared, lease: Lease, mut outcomes: Vec<GoogleOutcome>) {
    for outcome in &mut outcomes {
        outcome.seen_due_at = backend.google_thing(outcome.org, outcome.thing).await.unwrap().and_then(|row| row.due_at);
    }
    backend.settle_google(GoogleSettlement { lease, outcomes }).await.unwrap();
}

async fn due(backend: &Shared, now: u64) -> Vec<GoogleThingRow> {
    backend.due_google(org(), uuid(ACCOUNT), at(now), 100).await.unwrap()
}

/// Changed passes come with whether somebody holds them at Google.
pub async fn changed_passes_tell_who_is_held(backend: &Shared) {
    let (mut row, other) = (pass(10), pass(11));
    issued(backend, row.clone()).await;
    issued(backend, other.clone()).await;
    let installations = vec![
        InstallationRow { wallet: 2, ..installation(&row, "") },
        InstallationRow { wallet: 2, active: false, ..installation(&other, "") },
        InstallationRow { wallet: 2, ..installation(&other, "told of by another platform") },
        installation(&other, "phone"),
    ];
    done(backend, CommitRows { installations, ..commit() }).await;
    let (seen, found) = backend.changed_passes(0, 0, 100).await.unwrap();
    assert_eq!((seen, found), (2, vec![ChangedPass { held: true, ..changed(10, 1) }, changed(11, 2)]));
    assert_eq!(backend.changed_passes(0, 0, 1).await.unwrap().0, 1, "the limit counts passes");
    assert_eq!(backend.changed_passes(0, 2, 100).await.unwrap(), (2, Vec::new()));
    let write = PassWrite { content_event: Some(0), ..update(&row) };
    done(backend, CommitRows { events: vec![event(80, &row)], passes: vec![write], ..commit() }).await;
    row.version += 1;
    assert_eq!(backend.changed_passes(0, 2, 100).await.unwrap().1, [ChangedPass { held: true, ..changed(10, 3) }]);
}

/// A pass comes due, urgent ones first, until Google has it as it is; what is noted twice is noted once.
pub async fn what_google_shall_hear_comes_due_until_it_knows(backend: &Shared) {
    let lease = lease(backend, 0, "a").await;
    backend.want_google(wants(lease, &[(10, 1, 1), (11, 2, 0)], 5)).await.unwrap();
    assert_eq!(backend.watermarks(Reader::Google).await.unwrap()[0], 2);
    assert!(due(backend, 4).await.is_empty(), "not yet");
    let rows = due(backend, 5).await;
    assert_eq!(rows.iter().map(|row| row.thing).collect::<Vec<_>>(), [uuid(11), uuid(10)], "the urgent first");
    let first = GoogleThingRow {
        org: org(),
        thing: uuid(11),
        account: uuid(ACCOUNT),
        urgency: 0,
        wanted_seq: 2,
        synced_seq: 0,
        due_at: Some(at(5)),
        body: String::new(),
    };
    assert_eq!(rows[0], first);
    assert!(backend.due_google(other_org(), uuid(ACCOUNT), at(9), 9).await.unwrap().is_empty());
    settle(backend, lease, vec![outcome(11, Some(2), None, "{}"), outcome(10, None, Some(60), "{\"tries\":1}")]).await;
    assert!(due(backend, 59).await.is_empty());
    let rows = due(backend, 60).await;
    assert_eq!((rows.len(), rows[0].thing, rows[0].body.as_str()), (1, uuid(10), "{\"tries\":1}"));
    backend.want_google(wants(lease, &[(11, 2, 0)], 70)).await.unwrap();
    assert_eq!(due(backend, 99).await.len(), 1, "Google knows it so");
    let known = backend.google_thing(org(), uuid(11)).await.unwrap().unwrap();
    assert_eq!(known, GoogleThingRow { synced_seq: 2, due_at: None, body: "{}".to_owned(), ..first });
    assert!(backend.google_thing(other_org(), uuid(11)).await.unwrap().is_none());

    let standing = GoogleThingRow { thing: uuid(ACCOUNT), due_at: Some(at(200)), wanted_seq: 0, synced_seq: 0, ..known };
    backend.ask_google(vec![standing.clone()], true).await.unwrap();
    backend.ask_google(vec![GoogleThingRow { due_at: Some(at(90)), body: "other".to_owned(), ..standing }], true).await.unwrap();
    let asked = backend.google_thing(org(), uuid(ACCOUNT)).await.unwrap().unwrap();
    assert_eq!((asked.due_at, asked.body.as_str()), (Some(at(90)), "{}"), "what is remembered stays");
    settle(backend, lease, vec![outcome(ACCOUNT, None, None, "done"), outcome(90, Some(1), None, "a class")]).await;
    assert_eq!(backend.google_thing(org(), uuid(90)).await.unwrap().unwrap().synced_seq, 1, "a new thing");
    assert_eq!(due(backend, 999).await.len(), 1);
}

/// A pass that changes while Google is told of it stays due.
pub async fn a_change_meanwhile_stays_due(backend: &Shared) {
    let lease = lease(backend, 0, "a").await;
    backend.want_google(wants(lease, &[(10, 1, 1)], 0)).await.unwrap();
    backend.want_google(wants(lease, &[(10, 4, 1)], 7)).await.unwrap();
    settle(backend, lease, vec![outcome(10, Some(1), None, "")]).await;
    let rows = due(backend, 7).await;
    assert_eq!((rows.len(), rows[0].wanted_seq, rows[0].synced_seq), (1, 4, 1));
    settle(backend, lease, vec![outcome(10, Some(4), None, "")]).await;
    assert!(due(backend, 99).await.is_empty());
    settle(backend, lease, vec![outcome(10, Some(3), None, "")]).await;
    assert_eq!(backend.google_thing(org(), uuid(10)).await.unwrap().unwrap().synced_seq, 4, "what is known is not forgotten");
}

/// What is asked for anew while Google is told of it stays due; what an account has already is left alone unless asked for anew.
pub async fn what_is_asked_for_meanwhile_stays_due(backend: &Shared) {
    let lease = lease(backend, 0, "a").await;
    let row = |n: u64, account: u64, due: u64| GoogleThingRow {
        org: org(),
        thing: uuid(n),
        account: uuid(account),
        urgency: 2,
        wanted_seq: n as i64,
        synced_seq: 0,
        due_at: Some(at(due)),
        body: String::new(),
    };
    backend.ask_google(vec![row(10, ACCOUNT, 5), row(11, ACCOUNT, 5)], false).await.unwrap();
    assert_eq!(due(backend, 5).await.len(), 2);
    let told = |n: u64| GoogleOutcome { seen_due_at: Some(at(5)), ..outcome(n, Some(n as i64), None, "told") };
    backend.ask_google(vec![row(10, ACCOUNT, 6)], true).await.unwrap();
    let outcomes = vec![told(10), told(11)];
    backend.settle_google(GoogleSettlement { lease, outcomes }).await.unwrap();
    let rows = due(backend, 9).await;
    assert_eq!((rows.len(), rows[0].thing, rows[0].due_at, rows[0].body.as_str()), (1, uuid(10), Some(at(6)), "told"));
    settle(backend, lease, vec![outcome(10, Some(10), None, "told")]).await;
    backend.ask_google(vec![row(10, ACCOUNT, 7), row(11, 78, 7), row(12, 78, 8)], false).await.unwrap();
    assert!(due(backend, 99).await.is_empty(), "it is the account's already");
    let moved = backend.due_google(org(), uuid(78), at(9), 9).await.unwrap();
    assert_eq!(moved.iter().map(|row| row.thing).collect::<Vec<_>>(), [uuid(11), uuid(12)]);
    assert_eq!((moved[0].synced_seq, moved[0].body.as_str()), (11, "told"), "what is remembered stays");
}

/// Things that are over are forgotten, of one organization and under the lease alone.
pub async fn what_is_over_is_forgotten(backend: &Shared) {
    let lost = lease(backend, 0, "a").await;
    let held = lease(backend, 0, "b").await;
    let told = [10, 11, 12].map(|n| outcome(n, Some(1), None, "told")).to_vec();
    settle(backend, held, told).await;
    let refused = backend.forget_google(lost, org(), vec![uuid(10)]).await;
    assert!(matches!(refused, Err(StoreError::LeaseLost { shard: 0 })), "{refused:?}");
    backend.forget_google(held, other_org(), vec![uuid(10)]).await.unwrap();
    backend.forget_google(held, org(), vec![uuid(11), uuid(12), uuid(99)]).await.unwrap();
    backend.forget_google(held, org(), Vec::new()).await.unwrap();
    let mut left = Vec::new();
    for n in [10, 11, 12] {
        left.push(backend.google_thing(org(), uuid(n)).await.unwrap().is_some());
    }
    assert_eq!(left, [true, false, false]);
}

/// Whoever lost the lease writes nothing.
pub async fn things_of_a_lost_lease_are_refused(backend: &Shared) {
    let lost = lease(backend, 0, "a").await;
    lease(backend, 0, "b").await;
    let refused = backend.want_google(wants(lost, &[(10, 1, 1)], 0)).await;
    assert!(matches!(refused, Err(StoreError::LeaseLost { shard: 0 })), "{refused:?}");
    let refused = backend.settle_google(GoogleSettlement { lease: lost, outcomes: vec![outcome(10, Some(1), None, "")] }).await;
    assert!(matches!(refused, Err(StoreError::LeaseLost { shard: 0 })), "{refused:?}");
    assert!(backend.google_thing(org(), uuid(10)).await.unwrap().is_none());
    assert_eq!(backend.watermarks(Reader::Google).await.unwrap()[0], 0);
}
