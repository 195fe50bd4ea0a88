//! Passes that the rows of syncs were about.

use domain::{BatchId, PassId, SyncId};

use super::fixtures::{Shared, id, org, other_org};

/// What the last run had no row about is found in parts and forgotten, each sync's and organization's apart.
pub async fn what_a_run_leaves_behind_is_walked_and_forgotten(backend: &Shared) {
    let (one, other): (SyncId, SyncId) = (id(1), id(2));
    let (first, second): (BatchId, BatchId) = (id(11), id(12));
    let passes: Vec<PassId> = (100..110).map(id).collect();
    assert_eq!(backend.count_mirrored(org(), one, first).await.unwrap(), (0, 0));
    // A pass that two rows of a group are about is noted once.
    backend.note_mirrored(org(), one, first, [&passes[..], &passes[..3]].concat()).await.unwrap();
    backend.note_mirrored(org(), other, first, passes.clone()).await.unwrap();
    backend.note_mirrored(other_org(), one, first, passes.clone()).await.unwrap();
    assert_eq!(backend.count_mirrored(org(), one, first).await.unwrap(), (10, 0));

    backend.note_mirrored(org(), one, second, [&passes[..4], &[id(110)]].concat()).await.unwrap();
    assert_eq!(backend.count_mirrored(org(), one, second).await.unwrap(), (11, 6));
    let (mut after, mut walked) = (None, Vec::new());
    loop {
        let part = backend.left_behind(org(), one, second, after, 4).await.unwrap();
        let Some(last) = part.last() else { break };
        after = Some(*last);
        walked.extend(part);
    }
    assert_eq!(walked, passes[4..]);
    backend.forget_mirrored(org(), one, passes[4..6].to_vec()).await.unwrap();
    assert_eq!(backend.count_mirrored(org(), one, second).await.unwrap(), (9, 4));
    assert_eq!(backend.left_behind(org(), one, second, None, 9).await.unwrap(), passes[6..]);
    for (of, sync) in [(org(), other), (other_org(), one)] {
        assert_eq!(backend.count_mirrored(of, sync, first).await.unwrap(), (10, 0), "others are left alone");
    }
}
