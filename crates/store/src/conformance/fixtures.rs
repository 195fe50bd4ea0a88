//! Small rows with everything filled in, numbered so that a failure can be read.

use std::time::Duration;

use domain::{Id, IdKind, OrgId, Position, SourceEventId, Timestamp};
use uuid::Uuid;

use crate::{
    Backend, CommitRows, Committed, ContactKey, ContactRow, ContactWrite, DeliveryRow, EventRow, Hash, InboxInsert, InboxResult,
    InboxSettlement, InboxStatus, InstallationRow, Lease, PassRow, PassWrite, ResultRow,
};

/// The present of every case, and what a fresh backend is migrated at.
pub const START: Timestamp = Timestamp::from_seconds(1_780_000_000);

pub(super) type Shared = std::sync::Arc<dyn Backend>;

/// Seconds after the start.
pub(super) fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

/// Days after the start.
pub(super) fn day(days: u64) -> Timestamp {
    at(days * 86_400)
}

pub(super) fn uuid(n: u64) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(n))
}

/// Ids of any kind that sort by their number.
pub(super) fn id<K: IdKind>(n: u64) -> Id<K> {
    Id::from_uuid(uuid(n))
}

pub(super) fn hash(n: u64) -> Hash {
    u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).to_be_bytes()
}

/// A first organization, in which most cases play.
pub(super) fn org() -> OrgId {
    id(1)
}

/// A second one, which must not see or feel anything of the first.
pub(super) fn other_org() -> OrgId {
    id(2)
}

pub(super) fn key_bytes(n: u64) -> Vec<u8> {
    let mut bytes = vec![0xD5; 52];
    bytes.extend(n.to_be_bytes());
    bytes
}

pub(super) fn source_event(n: u64, shard: u16) -> InboxInsert {
    InboxInsert {
        org: org(),
        id: id(n),
        source: id(70),
        dedupe: hash(n),
        dedupe_until: day(30),
        order_key: hash(n % 3),
        shard,
        received_at: at(n),
        occurred_at: n.is_multiple_of(2).then_some(START),
        name: format!("purchase_{n}"),
        data_key: key_bytes(n),
        body: vec![n as u8; 40],
        fault: None,
    }
}

pub(super) fn outcome(status: InboxStatus, due_at: Option<Timestamp>) -> InboxResult {
    InboxResult { status: status.number(), runs: 1, due_at, at: at(5), trace: r#"{"flows":[]}"#.to_owned() }
}

pub(super) fn settlement(lease: Lease) -> InboxSettlement {
    InboxSettlement { lease, results: Vec::new(), owners: Vec::new(), watermark: None }
}

/// A pass of its own subject in shard 0, version 1, active.
pub(super) fn pass(n: u64) -> PassRow {
    PassRow {
        org: org(),
        id: id(n),
        project: id(50),
        shard: 0,
        version: 1,
        content_seq: 0,
        contact: None,
        external: None,
        state: 1,
        installed: 0,
        due_at: None,
        issued_at: START,
        updated_at: START,
        subject: uuid(n),
        data_key: None,
        body: vec![n as u8; 60],
    }
}

pub(super) fn contact(n: u64) -> ContactRow {
    ContactRow {
        org: org(),
        id: id(n),
        version: 1,
        created_at: START,
        updated_at: START,
        wallets: 0,
        data_key: None,
        body: vec![n as u8; 30],
    }
}

/// An event about a pass in its shard, sealed under the pass's subject.
pub(super) fn event(n: u64, about: &PassRow) -> EventRow {
    EventRow {
        position: Position { shard: about.shard, seq: 0 },
        org: about.org,
        id: id(n),
        kind: 1,
        schema: 1,
        occurred_at: at(n),
        recorded_at: at(n),
        project: Some(about.project),
        pass: Some(about.id),
        contact: about.contact,
        version: about.version,
        subject: about.subject,
        data_key: None,
        body: vec![n as u8; 80],
    }
}

pub(super) fn installation(about: &PassRow, device: &str) -> InstallationRow {
    InstallationRow {
        org: about.org,
        pass: about.id,
        wallet: 1,
        device: device.to_owned(),
        shard: about.shard,
        active: true,
        since: START,
        reason: None,
        first_installed_at: START,
        push_token: Some(format!("token-{device}")),
        pushed_seq: 0,
        push_due_at: None,
        push_tries: 0,
    }
}

pub(super) fn result(key: &str, expires_at: Timestamp) -> ResultRow {
    ResultRow {
        org: org(),
        principal: "key:1".to_owned(),
        key: key.to_owned(),
        fingerprint: [7; 32],
        subject: Uuid::nil(),
        data_key: None,
        body: b"{\"ok\":true}".to_vec(),
        expires_at,
    }
}

pub(super) fn delivery(n: u64, position: Position, due_at: Timestamp) -> DeliveryRow {
    DeliveryRow {
        org: org(),
        id: id(n),
        target: id(60 + n % 2),
        event: id(n),
        position,
        attempts: 0,
        due_at,
        behind: false,
        asked_at: None,
    }
}

pub(super) fn insert(row: PassRow) -> PassWrite {
    PassWrite { row, expected: None, content_event: None, code: None }
}

/// The next version of a pass.
pub(super) fn update(row: &PassRow) -> PassWrite {
    let row = PassRow { version: row.version + 1, ..row.clone() };
    PassWrite { expected: Some(row.version - 1), row, content_event: None, code: None }
}

pub(super) fn insert_contact(row: ContactRow, keys: &[(u64, bool)]) -> ContactWrite {
    let keys = keys.iter().map(|&(n, required)| ContactKey { hash: hash(n), required, place: None }).collect();
    ContactWrite { row, expected: None, keys }
}

/// An empty commit of the present.
pub(super) fn commit() -> CommitRows {
    CommitRows { now: START, ..CommitRows::default() }
}

/// Commits what must succeed.
pub(super) async fn done(backend: &Shared, rows: CommitRows) -> Vec<Position> {
    match backend.commit(rows).await.expect("the commit succeeds") {
        Committed::Done(positions) => positions,
        Committed::Conflict => panic!("the commit conflicts with nothing"),
    }
}

/// Commits what must be a conflict.
pub(super) async fn conflict(backend: &Shared, rows: CommitRows, why: &str) {
    assert_eq!(backend.commit(rows).await.expect("a conflict is no error"), Committed::Conflict, "{why}");
}

/// A pass with its data key and one event each, committed.
pub(super) async fn issued(backend: &Shared, row: PassRow) -> Position {
    let rows = CommitRows {
        data_keys: vec![(row.org, row.subject, key_bytes(1))],
        events: vec![event(row.id.uuid().as_u128() as u64 & 0xFFFF | 0x1_0000, &row)],
        passes: vec![PassWrite { content_event: Some(0), ..insert(row) }],
        ..commit()
    };
    done(backend, rows).await[0]
}

/// Takes a shard's lease from whoever has it.
pub(super) async fn lease(backend: &Shared, shard: u16, owner: &str) -> Lease {
    let seen = backend.leases().await.unwrap().into_iter().find(|row| row.lease.shard == shard).expect("each shard has a lease");
    backend.seize(seen.lease, owner).await.unwrap().expect("nobody else seizes")
}

/// Inbox ids in the order that they were read.
pub(super) async fn inbox_ids(backend: &Shared, shard: u16, after: u64) -> Vec<SourceEventId> {
    backend.read_inbox(shard, after, 1_000).await.unwrap().into_iter().map(|row| row.id).collect()
}
