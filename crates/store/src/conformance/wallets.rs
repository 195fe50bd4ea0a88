//! Devices: what they hold, what they have to be woken for.

use std::collections::BTreeSet;

use super::fixtures::{
    START, Shared, at, commit, done, event, id, insert, installation, issued, lease, org, other_org, pass, update,
};
use crate::{CommitRows, InstallationRow, PassRow, PassWrite, PushOutcome, PushSettlement, Reader, StalePlace};

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
    let on = backend.installations(org(), id(10), None, 9).await.unwrap();
    assert_eq!(on.iter().map(|row| row.device.as_str()).collect::<BTreeSet<_>>(), ["phone", "watch"].into());
    assert_eq!(backend.installations(org(), id(11), None, 9).await.unwrap().len(), 2, "gone ones and other wallets included");
    assert!(backend.installations(other_org(), id(10), None, 9).await.unwrap().is_empty());
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
    let stale_devices = async |after, limit| {
        let (place, found) = backend.stale_devices(0, &StalePlace::after(after), limit).await.unwrap();
        (place.seq, found)
    };
    let (seen, stale) = stale_devices(0, 100).await;
    assert_eq!((seen, stale.len()), (2, 0), "whoever installs has just fetched");
    assert_eq!(stale_devices(2, 100).await.0, 2, "nothing after it");

    let number = change(backend, &mut row, 80).await;
    let (seen, stale) = stale_devices(2, 100).await;
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
    assert!(stale_devices(0, 100).await.1.is_empty());
    change(backend, &mut row, 81).await;
    assert_eq!(stale_devices(0, 1).await.0, 2, "the limit counts passes looked at");
    assert_eq!(stale_devices(number, 1).await.1.len(), 1);
}

/// A pass may be on more devices than are read together: they come in parts, each once, and then what comes after it.
pub async fn a_pass_on_many_devices_is_walked_in_parts(backend: &Shared) {
    let mut rows = [pass(10), pass(11), pass(12)];
    for row in &rows {
        issued(backend, row.clone()).await;
    }
    let mut installations: Vec<_> = (0..23).map(|n| installation(&rows[1], &format!("phone-{n:02}"))).collect();
    installations.extend([installation(&rows[0], "before"), installation(&rows[2], "after")]);
    let all = installations.len();
    done(backend, CommitRows { installations, ..commit() }).await;
    let mut last = 0;
    for (n, row) in (80..).zip(&mut rows) {
        last = change(backend, row, n).await;
    }
    for limit in [2, 5, 6, 25, 26] {
        let mut place = StalePlace::after(0);
        let mut found = Vec::new();
        while place != StalePlace::after(last) {
            let (next, part) = backend.stale_devices(0, &place, limit).await.unwrap();
            assert!(part.len() <= limit as usize, "{} of at most {limit}", part.len());
            assert_ne!(next, place, "it goes on");
            found.extend(part.into_iter().map(|device| (device.content_seq, device.installation.device)));
            place = next;
        }
        assert_eq!(found.len(), all, "in parts of {limit}");
        assert!(found.is_sorted() && found.first().is_some_and(|(_, device)| device == "before"), "{found:?}");
    }
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = backend.installations(org(), rows[1].id, after, 10).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.wallet, last.device.clone()));
        pages.extend(page.into_iter().map(|row| row.device));
    }
    assert_eq!(pages.len(), 23);
    assert!(pages.is_sorted(), "{pages:?}");
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
    assert_eq!(due[0].installation.push_tries, 1);
    assert_eq!(backend.due_pushes(0, at(300), 1).await.unwrap().len(), 1);
    settle("phone", None, Some(at(110))).await;
    assert_eq!(backend.due_pushes(0, at(110), 9).await.unwrap()[0].installation.push_tries, 2, "failures in a row are counted");
    settle("phone", Some(number), None).await;
    let phone = backend.installations(org(), row.id, None, 9).await.unwrap().remove(0);
    assert_eq!((phone.device.as_str(), phone.push_tries), ("phone", 0), "until one succeeds");
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
    let mut place = StalePlace::default();
    let mut found = BTreeSet::new();
    for _ in 0..5 {
        let (seen, stale) = backend.stale_devices(0, &place, 2).await.unwrap();
        found.extend(stale.into_iter().map(|stale| stale.installation.pass));
        place = seen;
    }
    assert_eq!(place, StalePlace::after(5));
    assert_eq!(found, (10..14).map(id).collect());
}

/// All devices are walked, each with all that it holds.
pub async fn devices_are_walked_in_their_order(backend: &Shared) {
    let rows = [pass(10), pass(11)];
    let foreign = PassRow { org: other_org(), ..pass(13) };
    let installations = vec![
        installation(&rows[0], "b"),
        installation(&rows[1], "b"),
        installation(&rows[0], "a"),
        installation(&rows[1], "c"),
        InstallationRow { active: false, ..installation(&rows[0], "sold") },
        InstallationRow { wallet: 2, ..installation(&rows[1], "") },
        installation(&foreign, "a"),
    ];
    let passes = rows.iter().chain([&foreign]).cloned().map(insert).collect();
    done(backend, CommitRows { passes, installations, ..commit() }).await;
    let walk = async |after: &str, limit| -> Vec<_> {
        let found = backend.devices(org(), after, limit).await.unwrap();
        found.into_iter().map(|row| (row.installation.device, row.installation.pass, row.project)).collect()
    };
    let of = |device: &str, row: &PassRow| (device.to_owned(), row.id, row.project);
    assert_eq!(walk("", 2).await, [of("a", &rows[0]), of("b", &rows[0]), of("b", &rows[1])]);
    assert_eq!(walk("b", 2).await, [of("c", &rows[1])]);
    assert_eq!(walk("c", 2).await, []);
    assert_eq!(backend.device_count(org()).await.unwrap(), 3);
    let since = backend.device_since(org(), "b").await.unwrap();
    assert_eq!(since.into_iter().collect::<BTreeSet<_>>(), [(rows[0].id, START), (rows[1].id, START)].into());
}

/// A push that is owed comes due, whatever the device was woken for before.
pub async fn owed_pushes_come_due(backend: &Shared) {
    let row = pass(10);
    issued(backend, row.clone()).await;
    let gone = InstallationRow { active: false, ..installation(&row, "sold") };
    done(backend, CommitRows { installations: vec![installation(&row, "phone"), gone], ..commit() }).await;
    backend.owe_push(org(), row.id, "phone", at(10)).await.unwrap();
    backend.owe_push(org(), row.id, "sold", at(10)).await.unwrap();
    assert!(backend.due_pushes(0, at(9), 9).await.unwrap().is_empty());
    let due = backend.due_pushes(0, at(10), 9).await.unwrap();
    let [found] = &due[..] else { panic!("one active device is owed a push: {due:?}") };
    assert_eq!(found.installation.device, "phone");
    assert!(found.installation.pushed_seq < found.content_seq, "it counts as behind");
}
