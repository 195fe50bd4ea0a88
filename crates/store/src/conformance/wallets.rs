//! Devices: what they hold, what they have to be woken for.

use std::collections::BTreeSet;

use super::fixtures::{Shared, at, commit, done, event, id, insert, installation, issued, lease, org, other_org, pass, update};
use crate::{CommitRows, InstallationRow, PassRow, PassWrite, PushOutcome, PushSettlement, Reader};

/// A phone is told of the passes that it holds now, its account of none of another organization.
pub async fn devices_see_their_passes(backend: &Shared) {
    let rows = [pass(10), pass(11), pass(12)];
    let foreign = PassRow { org: other_org(), ..pass(13) };
    let installations = vec![
        installation(&rows[0], "phone"),
        installation(&rows[0], "watch"),
        InstallationRow { active: false, reason: Some(1), ..installation(&rows[1], "phone") },
        installation(&rows[2], "phone"),
        InstallationRow { wallet: 2, ..installation(&rows[1], "") },
        installation(&foreign, "phone"),
    ];
    let passes = rows.iter().chain([&foreign]).cloned().map(insert).collect();
    done(backend, CommitRows { passes, installations, ..commit() }).await;
    let held = async |device: &str| -> BTreeSet<_> {
        backend.passes_on_device(org(), device).await.unwrap().into_iter().map(|row| row.id).collect()
    };
    assert_eq!(held("phone").await, [10, 12].map(id).into());
    assert_eq!(held("watch").await, [id(10)].into());
    assert_eq!(held("").await, BTreeSet::new(), "only Apple's are devices");
    let on = backend.installations(org(), id(10)).await.unwrap();
    assert_eq!(on.iter().map(|row| row.device.as_str()).collect::<BTreeSet<_>>(), ["phone", "watch"].into());
    assert_eq!(backend.installations(org(), id(11)).await.unwrap().len(), 2, "gone ones and other wallets included");
    assert!(backend.installations(other_org(), id(10)).await.unwrap().is_empty());
}

async fn change(backend: &Shared, row: &mut PassRow, event_number: u64) -> u64 {
    let write = PassWrite { content_event: Some(0), ..update(row) };
    let position = done(backend, CommitRows { events: vec![event(event_number, row)], passes: vec![write], ..commit() }).await[0];
    row.version += 1;
    position.seq
}

/// A device that is behind its pass is found, until it was woken for what the pass is now.
pub async fn stale_devices_are_found_once(backend: &Shared) {
    let mut row = pass(10);
    issued(backend, row.clone()).await;
    issued(backend, pass(11)).await;
    let installations = vec![
        installation(&row, "phone"),
        InstallationRow { active: false, ..installation(&row, "sold") },
        InstallationRow { wallet: 2, ..installation(&row, "") },
        installation(&pass(11), "phone"),
    ];
    done(backend, CommitRows { installations, ..commit() }).await;
    let (seen, stale) = backend.stale_devices(0, 0, 100).await.unwrap();
    assert_eq!((seen, stale.len()), (2, 0), "whoever installs has just fetched");
    assert_eq!(backend.stale_devices(0, 2, 100).await.unwrap().0, 2, "nothing after it");

    let number = change(backend, &mut row, 80).await;
    let (seen, stale) = backend.stale_devices(0, 2, 100).await.unwrap();
    assert_eq!(seen, number);
    let [found] = &stale[..] else { panic!("one active Apple device is behind: {stale:?}") };
    assert_eq!((found.content_seq, found.project), (number as i64, row.project));
    assert_eq!((found.installation.device.as_str(), found.installation.pushed_seq), ("phone", 1));
    assert_eq!(found.installation.push_token.as_deref(), Some("token-phone"));

    let lease = lease(backend, 0, "a").await;
    let push =
        PushOutcome { org: org(), pass: row.id, device: "phone".to_owned(), pushed_seq: Some(number as i64), retry_at: None };
    let write = PushSettlement { lease, pushes: vec![push], watermark: Some(number) };
    backend.settle_pushes(write).await.unwrap();
    assert_eq!(backend.watermarks(Reader::WalletSync).await.unwrap()[0], number);
    assert!(backend.stale_devices(0, 0, 100).await.unwrap().1.is_empty());
    change(backend, &mut row, 81).await;
    assert_eq!(backend.stale_devices(0, 0, 1).await.unwrap().0, 2, "the limit counts passes looked at");
    assert_eq!(backend.stale_devices(0, number, 1).await.unwrap().1.len(), 1);
}

/// A push that failed comes due; a later success ends that.
pub async fn failed_pushes_come_due(backend: &Shared) {
    let row = pass(10);
    let number = issued(backend, row.clone()).await.seq as i64;
    let installations = vec![installation(&row, "phone"), installation(&row, "watch")];
    done(backend, CommitRows { installations, ..commit() }).await;
    let lease = lease(backend, 0, "a").await;
    let settle = async |device: &str, pushed_seq, retry_at| {
        let push = PushOutcome { org: org(), pass: row.id, device: device.to_owned(), pushed_seq, retry_at };
        backend.settle_pushes(PushSettlement { lease, pushes: vec![push], watermark: None }).await.unwrap();
    };
    settle("phone", None, Some(at(100))).await;
    settle("watch", None, Some(at(200))).await;
    assert!(backend.due_pushes(0, at(99), 9).await.unwrap().is_empty());
    let due = backend.due_pushes(0, at(100), 9).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].installation.device.as_str(), due[0].installation.pushed_seq), ("phone", number));
    assert_eq!((due[0].content_seq, due[0].installation.push_due_at), (number, Some(at(100))));
    assert_eq!(backend.due_pushes(0, at(300), 1).await.unwrap().len(), 1);
    settle("phone", Some(number), None).await;
    let due = backend.due_pushes(0, at(300), 9).await.unwrap();
    assert_eq!(due.iter().map(|found| found.installation.device.as_str()).collect::<Vec<_>>(), ["watch"]);
    let gone = InstallationRow { active: false, reason: Some(2), ..installation(&row, "watch") };
    done(backend, CommitRows { installations: vec![gone], ..commit() }).await;
    assert!(backend.due_pushes(0, at(300), 9).await.unwrap().is_empty(), "nobody pushes to what is gone");
}

/// Passes changed by one event have one number; a limit must not part them.
pub async fn passes_sharing_a_number_come_together(backend: &Shared) {
    let rows: Vec<_> = (10..14).map(pass).collect();
    for row in &rows {
        issued(backend, row.clone()).await;
    }
    let installations = rows.iter().map(|row| installation(row, "phone")).collect();
    done(backend, CommitRows { installations, ..commit() }).await;
    let passes = rows.iter().map(|row| PassWrite { content_event: Some(0), ..update(row) }).collect();
    done(backend, CommitRows { passes, events: vec![event(80, &rows[0])], ..commit() }).await;
    let mut after = 0;
    let mut found = BTreeSet::new();
    for _ in 0..4 {
        let (seen, stale) = backend.stale_devices(0, after, 2).await.unwrap();
        found.extend(stale.into_iter().map(|stale| stale.installation.pass));
        after = seen;
    }
    assert_eq!(after, 5);
    assert_eq!(found, (10..14).map(id).collect());
}
