//! Small rows for tests.
#![allow(dead_code, reason = "each test file uses some")]

use domain::{Id, IdKind, Position, Timestamp};
use store::{
    CommitRows, ContactKey, ContactRow, ContactWrite, EventRow, InboxInsert, PassRow, PassWrite, ResultRow, conformance::START,
};
use uuid::Uuid;

/// Ids of any kind that sort by their number.
pub(crate) fn id<K: IdKind>(n: u64) -> Id<K> {
    Id::from_uuid(uuid(n))
}

pub(crate) fn uuid(n: u64) -> Uuid {
    Uuid::from_u128((0x0190 << 112) + u128::from(n))
}

pub(crate) fn hash(n: u64) -> [u8; 16] {
    u128::from(n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).to_be_bytes()
}

pub(crate) fn source_event(n: u64, shard: u16) -> InboxInsert {
    InboxInsert {
        org: id(1),
        id: id(n),
        source: id(2),
        dedupe: hash(n),
        dedupe_until: Timestamp::from_micros(i64::MAX),
        order_key: hash(n % 100),
        shard,
        received_at: START,
        occurred_at: None,
        name: "purchase".to_owned(),
        data_key: vec![7; 60],
        body: vec![5; 900],
        fault: None,
    }
}

pub(crate) fn pass(n: u64, shard: u16) -> PassRow {
    PassRow {
        org: id(1),
        id: id(n),
        project: id(3),
        shard,
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
        body: vec![9; 600],
    }
}

pub(crate) fn event(n: u64, about: &PassRow) -> EventRow {
    EventRow {
        position: Position { shard: about.shard, seq: 0 },
        org: about.org,
        id: id(n),
        kind: 1,
        schema: 1,
        occurred_at: START,
        recorded_at: START,
        project: Some(about.project),
        pass: Some(about.id),
        contact: about.contact,
        version: about.version,
        subject: about.subject,
        data_key: None,
        body: vec![4; 700],
    }
}

pub(crate) fn insert(row: PassRow) -> PassWrite {
    PassWrite { row, expected: None, content_event: None, code: None }
}

/// The next version of a pass.
pub(crate) fn update(row: &PassRow) -> PassWrite {
    let row = PassRow { version: row.version + 1, ..row.clone() };
    PassWrite { expected: Some(row.version - 1), row, content_event: None, code: None }
}

pub(crate) fn contact(n: u64, names: &[u64]) -> ContactWrite {
    let row = ContactRow {
        org: id(1),
        id: id(n),
        version: 1,
        created_at: START,
        updated_at: START,
        wallets: 0,
        data_key: None,
        body: vec![1; 100],
    };
    let keys = names.iter().map(|&n| ContactKey { hash: hash(n), required: true, place: None }).collect();
    ContactWrite { row, expected: None, keys }
}

pub(crate) fn result(key: u64) -> ResultRow {
    ResultRow {
        org: id(1),
        principal: "key".to_owned(),
        key: key.to_string(),
        fingerprint: [3; 32],
        subject: Uuid::nil(),
        data_key: None,
        body: b"{}".to_vec(),
        expires_at: Timestamp::from_micros(i64::MAX),
    }
}

pub(crate) fn commit() -> CommitRows {
    CommitRows { now: START, ..CommitRows::default() }
}
