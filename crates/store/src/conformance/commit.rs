//! Commits: guards, claims, numbers, keys.

use domain::Position;

use super::fixtures::{
    START, Shared, at, commit, conflict, contact, day, done, event, hash, id, insert, insert_contact, installation, issued,
    key_bytes, lease, org, other_org, pass, result, update, uuid,
};
use crate::{
    CaptureRow, CommitRows, ContactWrite, DELETED, InstallationRow, LoadKeys, Log, NameKind, PassRow, PassWrite, PushOutcome,
    PushSettlement, ResultRow, StoreError, StoredInspector,
};

async fn stored_pass(backend: &Shared, n: u64) -> Option<PassRow> {
    let keys = LoadKeys { passes: vec![(org(), id(n))], ..LoadKeys::default() };
    backend.load(&keys).await.unwrap().passes.pop()
}

async fn holder(backend: &Shared, key: u64) -> Option<domain::ContactId> {
    let keys = LoadKeys { contact_keys: vec![(org(), hash(key))], ..LoadKeys::default() };
    let mut loaded = backend.load(&keys).await.unwrap();
    assert!(loaded.contact_keys.len() <= 1);
    loaded.contact_keys.pop().map(|(_, _, contact)| contact)
}

/// Nothing is lost or changed on the way.
pub async fn new_rows_come_back_as_they_went_in(backend: &Shared) {
    let shard = backend.shards() - 1;
    let person = crate::ContactRow { wallets: 2, ..contact(30) };
    let issued = PassRow {
        shard,
        contact: Some(person.id),
        external: Some(hash(5)),
        installed: 3,
        due_at: Some(day(3)),
        subject: person.id.uuid(),
        ..pass(10)
    };
    let phone = installation(&issued, "phone");
    let google = InstallationRow {
        wallet: 2,
        push_token: None,
        active: false,
        reason: Some(3),
        since: at(9),
        ..installation(&issued, "")
    };
    let answer = ResultRow { subject: person.id.uuid(), ..result("issue-1", day(30)) };
    let rows = CommitRows {
        passes: vec![PassWrite { content_event: Some(0), code: Some("c0de".to_owned()), ..insert(issued.clone()) }],
        contacts: vec![insert_contact(person.clone(), &[(40, true), (41, false)])],
        installations: vec![phone.clone(), google.clone()],
        data_keys: vec![(org(), person.id.uuid(), key_bytes(30))],
        events: vec![event(80, &issued), event(81, &issued)],
        results: vec![answer.clone()],
        ..commit()
    };
    assert_eq!(done(backend, rows).await, [1, 2].map(|seq| Position { shard, seq }));

    let keys = LoadKeys {
        now: START,
        passes: vec![(org(), issued.id)],
        contact_keys: vec![(org(), hash(40)), (org(), hash(41))],
        installations: vec![
            (org(), issued.id, 1, "phone".to_owned()),
            (org(), issued.id, 2, String::new()),
            (org(), issued.id, 1, "another".to_owned()),
        ],
        results: vec![(org(), "key:1".to_owned(), "issue-1".to_owned())],
        ..LoadKeys::default()
    };
    let mut loaded = backend.load(&keys).await.unwrap();
    let key = Some(key_bytes(30));
    assert_eq!(loaded.passes, [PassRow { content_seq: 1, data_key: key.clone(), ..issued.clone() }]);
    assert_eq!(loaded.contacts, [crate::ContactRow { data_key: key.clone(), ..person.clone() }]);
    loaded.contact_keys.sort();
    let mut names = vec![(org(), hash(40), person.id), (org(), hash(41), person.id)];
    names.sort();
    assert_eq!(loaded.contact_keys, names);
    loaded.installations.sort_by_key(|row| row.wallet);
    assert_eq!(loaded.installations, [phone, google]);
    assert_eq!(loaded.results, [ResultRow { data_key: key.clone(), ..answer }]);
    let code = backend.look_up(NameKind::LinkCode.number(), b"c0de").await.unwrap();
    assert_eq!(code, Some((org(), issued.id.uuid())));
    let logged = backend.event(org(), id(81)).await.unwrap().unwrap();
    let sent = event(81, &issued);
    assert_eq!(logged, crate::EventRow { position: Position { shard, seq: 2 }, data_key: key, ..sent });
}

/// A row that must not exist guards against somebody else's making it.
pub async fn an_insert_of_what_exists_is_a_conflict(backend: &Shared) {
    done(backend, CommitRows { passes: vec![insert(pass(10))], ..commit() }).await;
    conflict(backend, CommitRows { passes: vec![insert(pass(10))], ..commit() }, "the pass exists").await;
    done(backend, CommitRows { contacts: vec![insert_contact(contact(30), &[])], ..commit() }).await;
    conflict(backend, CommitRows { contacts: vec![insert_contact(contact(30), &[])], ..commit() }, "the contact exists").await;
    let elsewhere = PassRow { org: other_org(), ..pass(10) };
    done(backend, CommitRows { passes: vec![insert(elsewhere)], ..commit() }).await;
}

/// A version that is not the loaded one, or a row that is gone, is a conflict.
pub async fn a_version_that_moved_is_a_conflict(backend: &Shared) {
    let first = pass(10);
    let person = contact(30);
    let rows =
        CommitRows { passes: vec![insert(first.clone())], contacts: vec![insert_contact(person.clone(), &[])], ..commit() };
    done(backend, rows).await;
    let write = PassWrite { row: PassRow { version: 2, body: vec![2], state: 3, ..first.clone() }, ..update(&first) };
    done(backend, CommitRows { passes: vec![write.clone()], ..commit() }).await;
    conflict(backend, CommitRows { passes: vec![write], ..commit() }, "version 1 is gone").await;
    let stored = stored_pass(backend, 10).await.unwrap();
    assert_eq!((stored.version, stored.state, stored.body), (2, 3, vec![2]));
    conflict(backend, CommitRows { passes: vec![update(&pass(11))], ..commit() }, "there is no such pass").await;

    let next = crate::ContactRow { version: 2, body: vec![9], ..person };
    let write = ContactWrite { row: next, expected: Some(1), keys: Vec::new() };
    done(backend, CommitRows { contacts: vec![write.clone()], ..commit() }).await;
    conflict(backend, CommitRows { contacts: vec![write], ..commit() }, "version 1 is gone").await;
}

/// All or nothing: neighbours of a lost row leave no trace.
pub async fn a_conflict_writes_nothing(backend: &Shared) {
    done(backend, CommitRows { passes: vec![insert(pass(10))], ..commit() }).await;
    let rows = CommitRows {
        passes: vec![PassWrite { code: Some("trace".to_owned()), ..insert(pass(11)) }, insert(pass(10))],
        contacts: vec![insert_contact(contact(30), &[(40, true)])],
        installations: vec![installation(&pass(11), "phone")],
        data_keys: vec![(org(), uuid(30), key_bytes(30))],
        events: vec![event(80, &pass(11))],
        results: vec![result("r", day(1))],
        ..commit()
    };
    conflict(backend, rows, "pass 10 exists").await;
    let keys = LoadKeys {
        now: START,
        passes: vec![(org(), id(11))],
        contacts: vec![(org(), id(30))],
        contact_keys: vec![(org(), hash(40))],
        installations: vec![(org(), id(11), 1, "phone".to_owned())],
        results: vec![(org(), "key:1".to_owned(), "r".to_owned())],
        ..LoadKeys::default()
    };
    let loaded = backend.load(&keys).await.unwrap();
    assert!(loaded.passes.is_empty() && loaded.contacts.is_empty() && loaded.contact_keys.is_empty());
    assert!(loaded.installations.is_empty() && loaded.results.is_empty());
    assert_eq!(backend.heads(Log::Events).await.unwrap()[0], 0);
    assert_eq!(backend.event(org(), id(80)).await.unwrap(), None);
    assert_eq!(backend.look_up(NameKind::LinkCode.number(), b"trace").await.unwrap(), None);
    let position = done(backend, CommitRows { events: vec![event(81, &pass(10))], ..commit() }).await[0];
    assert_eq!(position.seq, 1, "a refused commit takes no number");
}

/// One pass per external id and project, not counting deleted ones.
pub async fn external_ids_are_unique_until_deleted(backend: &Shared) {
    let first = PassRow { external: Some(hash(5)), ..pass(10) };
    done(backend, CommitRows { passes: vec![insert(first.clone())], ..commit() }).await;
    let rival = PassRow { external: Some(hash(5)), ..pass(11) };
    conflict(backend, CommitRows { passes: vec![insert(rival.clone())], ..commit() }, "the external id is taken").await;
    let elsewhere = PassRow { project: id(51), ..PassRow { id: id(12), ..rival.clone() } };
    done(backend, CommitRows { passes: vec![insert(elsewhere)], ..commit() }).await;
    let other = PassRow { org: other_org(), ..rival.clone() };
    done(backend, CommitRows { passes: vec![insert(other)], ..commit() }).await;

    let mut gone = update(&first);
    gone.row.state = DELETED;
    done(backend, CommitRows { passes: vec![gone], ..commit() }).await;
    done(backend, CommitRows { passes: vec![insert(rival.clone())], ..commit() }).await;
    let keys = LoadKeys { externals: vec![(org(), id(50), hash(5))], ..LoadKeys::default() };
    let found: Vec<_> = backend.load(&keys).await.unwrap().passes.into_iter().map(|row| row.id).collect();
    assert_eq!(found, [rival.id], "a deleted pass is not found by its external id");
}

/// An external id that somebody else has is a conflict; who comes to have an address after others stands behind them.
pub async fn required_contact_keys_conflict_and_others_stand_in_line(backend: &Shared) {
    done(backend, CommitRows { contacts: vec![insert_contact(contact(30), &[(40, true), (41, false)])], ..commit() }).await;
    let refused = insert_contact(contact(31), &[(40, true)]);
    conflict(backend, CommitRows { contacts: vec![refused], ..commit() }, "the required name is taken").await;
    let shared = insert_contact(contact(31), &[(41, false), (42, true)]);
    done(backend, CommitRows { contacts: vec![shared], ..commit() }).await;
    assert_eq!(holder(backend, 40).await, Some(id(30)));
    assert_eq!(holder(backend, 41).await, Some(id(30)), "the first is found");
    assert_eq!(holder(backend, 42).await, Some(id(31)));
    let alone = insert_contact(contact(33), &[(41, true)]);
    conflict(backend, CommitRows { contacts: vec![alone], ..commit() }, "nobody was to have the name").await;
    let elsewhere = crate::ContactRow { org: other_org(), ..contact(32) };
    done(backend, CommitRows { contacts: vec![insert_contact(elsewhere, &[(40, true)])], ..commit() }).await;
}

/// A contact's names are those of its last write.
pub async fn contact_keys_are_replaced(backend: &Shared) {
    done(backend, CommitRows { contacts: vec![insert_contact(contact(30), &[(40, true), (41, false)])], ..commit() }).await;
    done(backend, CommitRows { contacts: vec![renamed(30, 1, &[(40, true), (43, false)])], ..commit() }).await;
    let holders = [holder(backend, 40).await, holder(backend, 41).await, holder(backend, 43).await];
    assert_eq!(holders, [Some(id(30)), None, Some(id(30))]);
    done(backend, CommitRows { contacts: vec![insert_contact(contact(31), &[(41, true)])], ..commit() }).await;
}

/// A contact's next version, with other names.
fn renamed(n: u64, version: i64, keys: &[(u64, bool)]) -> ContactWrite {
    let row = crate::ContactRow { version: version + 1, ..contact(n) };
    ContactWrite { expected: Some(version), ..insert_contact(row, keys) }
}

/// Whoever leaves a line makes place for the next; who comes back stands last, and who stays keeps the place. A line of one
/// organization is none of another's.
pub async fn the_oldest_claim_that_stands_is_found(backend: &Shared) {
    for n in 30..34 {
        done(backend, CommitRows { contacts: vec![insert_contact(contact(n), &[(n + 20, true), (40, false)])], ..commit() })
            .await;
    }
    let elsewhere = crate::ContactRow { org: other_org(), ..contact(30) };
    done(backend, CommitRows { contacts: vec![insert_contact(elsewhere, &[(40, true)])], ..commit() }).await;
    let line = async |behind: Option<u64>, limit| backend.line(org(), hash(40), behind.map(id), limit).await.unwrap();
    let ids = |numbers: &[u64]| numbers.iter().map(|n| id(*n)).collect::<Vec<_>>();
    assert_eq!(line(None, 9).await, ids(&[30, 31, 32, 33]));
    assert_eq!((line(None, 2).await, line(Some(31), 9).await), (ids(&[30, 31]), ids(&[32, 33])));

    // One that stays is written anew and keeps its place; one that is erased has no name any more.
    done(backend, CommitRows { contacts: vec![renamed(31, 1, &[(51, true), (40, false)])], ..commit() }).await;
    done(backend, CommitRows { contacts: vec![renamed(30, 1, &[])], ..commit() }).await;
    assert_eq!((holder(backend, 40).await, holder(backend, 50).await), (Some(id(31)), None));
    // In one commit the first leaves, comes back behind the others, and somebody new comes.
    done(backend, CommitRows { contacts: vec![renamed(31, 2, &[(51, true)])], ..commit() }).await;
    let both = vec![insert_contact(contact(35), &[(40, false)]), renamed(31, 3, &[(51, true), (40, false)])];
    done(backend, CommitRows { contacts: both, ..commit() }).await;
    assert_eq!(line(None, 9).await, ids(&[32, 33, 35, 31]), "those of one commit come in its order");
    let mut places = backend.places(org(), &ids(&[30, 31, 32, 33, 35])).await.unwrap();
    places.sort_unstable_by_key(|(_, place)| *place);
    assert_eq!(places.iter().map(|(contact, _)| *contact).collect::<Vec<_>>(), ids(&[32, 33, 35, 31]));

    // Where a place is known it is taken, whatever the order.
    let at = |n, place| {
        let mut write = insert_contact(contact(n), &[(45, false)]);
        write.keys[0].place = Some(place);
        write
    };
    done(backend, CommitRows { contacts: vec![at(60, 7), at(61, 0)], ..commit() }).await;
    done(backend, CommitRows { contacts: vec![at(62, 3)], ..commit() }).await;
    conflict(backend, CommitRows { contacts: vec![at(63, 7)], ..commit() }, "the place is taken").await;
    done(backend, CommitRows { contacts: vec![insert_contact(contact(63), &[(45, false)])], ..commit() }).await;
    assert_eq!(backend.line(org(), hash(45), None, 9).await.unwrap(), ids(&[61, 62, 60, 63]));

    for n in [32, 33, 35] {
        done(backend, CommitRows { contacts: vec![renamed(n, 1, &[])], ..commit() }).await;
    }
    done(backend, CommitRows { contacts: vec![renamed(31, 4, &[])], ..commit() }).await;
    assert!(line(None, 9).await.is_empty() && holder(backend, 40).await.is_none(), "nothing is left behind");
    assert!(backend.unlined().await.unwrap().is_empty());
    backend.lined(org()).await.unwrap();
}

/// An idempotency key is claimed by one commit.
pub async fn result_keys_are_claimed_once(backend: &Shared) {
    done(backend, CommitRows { results: vec![result("a", day(1))], ..commit() }).await;
    let rows = CommitRows { results: vec![result("b", day(1)), result("a", day(1))], ..commit() };
    conflict(backend, rows, "the key is claimed").await;
    let others = vec![
        result("b", day(1)),
        ResultRow { principal: "key:2".to_owned(), ..result("a", day(1)) },
        ResultRow { org: other_org(), ..result("a", day(1)) },
    ];
    done(backend, CommitRows { results: others, ..commit() }).await;
}

/// After its time a key means nothing and may be claimed anew.
pub async fn results_expire(backend: &Shared) {
    done(backend, CommitRows { results: vec![result("a", at(100))], ..commit() }).await;
    let keys = |now| LoadKeys { now, results: vec![(org(), "key:1".to_owned(), "a".to_owned())], ..LoadKeys::default() };
    assert_eq!(backend.load(&keys(at(99))).await.unwrap().results.len(), 1);
    assert!(backend.load(&keys(at(100))).await.unwrap().results.is_empty());
    let fresh = ResultRow { body: b"new".to_vec(), ..result("a", at(300)) };
    done(backend, CommitRows { now: at(100), results: vec![fresh.clone()], ..commit() }).await;
    assert_eq!(backend.load(&keys(at(101))).await.unwrap().results, [fresh]);
    let rows = CommitRows { now: at(101), results: vec![result("a", at(400))], ..commit() };
    conflict(backend, rows, "claimed anew").await;
}

/// `content_seq` is the number of the named event, or stays.
pub async fn content_numbers_come_from_their_event(backend: &Shared) {
    let row = pass(10);
    let rows = CommitRows {
        events: vec![event(80, &row), event(81, &row), event(82, &row)],
        passes: vec![PassWrite { content_event: Some(1), ..insert(PassRow { content_seq: 77, ..row.clone() }) }],
        ..commit()
    };
    done(backend, rows).await;
    assert_eq!(stored_pass(backend, 10).await.unwrap().content_seq, 2);
    let rows = CommitRows { events: vec![event(83, &row)], passes: vec![update(&row)], ..commit() };
    done(backend, rows).await;
    assert_eq!(stored_pass(backend, 10).await.unwrap().content_seq, 2, "no content event leaves it");
    let second = PassRow { version: 2, ..row };
    let rows = CommitRows {
        events: vec![event(84, &second)],
        passes: vec![PassWrite { content_event: Some(0), ..update(&second) }],
        ..commit()
    };
    done(backend, rows).await;
    assert_eq!(stored_pass(backend, 10).await.unwrap().content_seq, 5);
}

/// A subject has one key, and none after it was destroyed; what was sealed under it stays, unreadable.
pub async fn data_keys_are_made_once_and_destroyed(backend: &Shared) {
    let position = issued(backend, pass(10)).await;
    let rows = CommitRows { data_keys: vec![(org(), uuid(10), key_bytes(2))], ..commit() };
    conflict(backend, rows, "the subject has a key, under which things are sealed").await;
    let elsewhere = CommitRows { data_keys: vec![(other_org(), uuid(10), key_bytes(3))], ..commit() };
    done(backend, elsewhere).await;
    assert_eq!(stored_pass(backend, 10).await.unwrap().data_key, Some(key_bytes(1)));

    done(backend, CommitRows { destroyed_keys: vec![(org(), uuid(10))], ..commit() }).await;
    assert_eq!(stored_pass(backend, 10).await.unwrap().data_key, None);
    let logged = backend.events_at(&[position]).await.unwrap().remove(0);
    assert_eq!(logged.data_key, None);
    done(backend, CommitRows { destroyed_keys: vec![(org(), uuid(10))], ..commit() }).await;

    done(backend, CommitRows { data_keys: vec![(org(), uuid(10), key_bytes(4))], ..commit() }).await;
    let rows =
        CommitRows { destroyed_keys: vec![(org(), uuid(10))], data_keys: vec![(org(), uuid(10), key_bytes(5))], ..commit() };
    done(backend, rows).await;
    assert_eq!(stored_pass(backend, 10).await.unwrap().data_key, Some(key_bytes(5)), "destroyed first, then made");
    what_inspectors_took_goes_with_whoever_is_destroyed(backend).await;
}

/// Whoever is destroyed may stand in any request that an inspector took.
async fn what_inspectors_took_goes_with_whoever_is_destroyed(backend: &Shared) {
    let rings = [(org(), "one"), (org(), "two"), (other_org(), "three")].map(|(org, bin)| (org, StoredInspector::ring(bin)));
    for (org, ring) in rings.iter().cloned().chain([(org(), "apple log".to_owned())]) {
        backend.capture(CaptureRow { org, ring, id: uuid(1), at: at(1), body: vec![1] }, 9).await.unwrap();
    }
    let held = async |org, ring: &str| backend.captures(org, ring, 9).await.unwrap().len();
    let counts = async || {
        let [one, two, theirs] = &rings;
        [held(org(), &one.1).await, held(org(), &two.1).await, held(theirs.0, &theirs.1).await, held(org(), "apple log").await]
    };
    done(backend, commit()).await;
    assert_eq!(counts().await, [1, 1, 1, 1]);
    done(backend, CommitRows { destroyed_keys: vec![(org(), uuid(10))], ..commit() }).await;
    assert_eq!(counts().await, [0, 0, 1, 1]);
}

/// A page's code belongs to one pass in the world.
pub async fn link_codes_are_claimed_once(backend: &Shared) {
    let with_code = |n, code: &str| PassWrite { code: Some(code.to_owned()), ..insert(pass(n)) };
    done(backend, CommitRows { passes: vec![with_code(10, "code")], ..commit() }).await;
    let mut rival = with_code(11, "code");
    rival.row.org = other_org();
    let refused = backend.commit(CommitRows { passes: vec![rival], ..commit() }).await;
    assert!(matches!(refused, Err(StoreError::Taken(_))), "{refused:?}");
    let stored = backend.look_up(NameKind::LinkCode.number(), b"code").await.unwrap();
    assert_eq!(stored, Some((org(), uuid(10))));
    let keys = LoadKeys { passes: vec![(other_org(), id(11))], ..LoadKeys::default() };
    assert!(backend.load(&keys).await.unwrap().passes.is_empty(), "nothing was written");
    let again = PassWrite { code: Some("code".to_owned()), ..update(&pass(10)) };
    done(backend, CommitRows { passes: vec![again], ..commit() }).await;
}

/// A commit may change an installation but not what pushes wrote about it; a new one has seen the pass as it was.
pub async fn installations_leave_pushes_alone(backend: &Shared) {
    let row = pass(10);
    let number = issued(backend, row.clone()).await.seq as i64;
    let phone = installation(&row, "phone");
    let rows = CommitRows {
        events: vec![event(80, &row)],
        passes: vec![PassWrite { content_event: Some(0), ..update(&row) }],
        installations: vec![InstallationRow { pushed_seq: 99, ..phone.clone() }],
        ..commit()
    };
    done(backend, rows).await;
    let stored = backend.installations(org(), row.id, None, 9).await.unwrap().remove(0);
    assert_eq!(stored.pushed_seq, number, "what changed in the same commit is still to be fetched");
    assert_eq!(stored.push_due_at, None);

    let lease = lease(backend, 0, "a").await;
    let push = PushOutcome { org: org(), pass: row.id, device: "phone".to_owned(), pushed_seq: None, retry_at: Some(at(50)) };
    backend.settle_pushes(PushSettlement { lease, pushes: vec![push], watermark: None }).await.unwrap();
    let changed = InstallationRow { push_token: Some("new".to_owned()), since: at(9), ..phone };
    done(backend, CommitRows { installations: vec![changed.clone()], ..commit() }).await;
    let stored = backend.installations(org(), row.id, None, 9).await.unwrap().remove(0);
    assert_eq!(stored, InstallationRow { pushed_seq: number, push_due_at: Some(at(50)), push_tries: 1, ..changed });
}
