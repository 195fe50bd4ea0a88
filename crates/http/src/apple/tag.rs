//! The update tag: how far a device has seen the passes of a type change. Opaque to the device.
//!
//! Text form: the logs' epoch, then `shard.seq` for every shard that the device has passes in, all hexadecimal:
//! `5f3a9c-0.1b-3.2`. A tag of another epoch, or one that is ahead of the log, comes from another life of the database and
//! counts as none: the device is told everything.

use std::{collections::BTreeMap, fmt};

/// Longest tag that is read, in bytes; more than 16 shards of full width need.
const MAX_BYTES: usize = 1_024;

/// Sequence numbers per shard in an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    epoch: u64,
    seen: BTreeMap<u16, u64>,
}

impl Tag {
    /// Nothing seen yet.
    pub(super) const fn new(epoch: u64) -> Self {
        Self { epoch, seen: BTreeMap::new() }
    }

    /// What a device gives back, if it is from this life of the logs, whose heads are given.
    pub(super) fn read(text: &str, epoch: u64, heads: &[u64]) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let mut parts = text.split('-');
        if u64::from_str_radix(parts.next()?, 16).ok()? != epoch {
            return None;
        }
        let mut seen = BTreeMap::new();
        for part in parts {
            let (shard, seq) = part.split_once('.')?;
            let (shard, seq) = (u16::from_str_radix(shard, 16).ok()?, u64::from_str_radix(seq, 16).ok()?);
            if heads.get(usize::from(shard)).is_none_or(|head| seq > *head) {
                return None;
            }
            seen.insert(shard, seq);
        }
        Some(Self { epoch, seen })
    }

    /// Whether a change is news.
    pub(super) fn is_news(&self, shard: u16, seq: u64) -> bool {
        self.seen.get(&shard).is_none_or(|seen| seq > *seen)
    }

    /// From now on a change has been seen.
    pub(super) fn see(&mut self, shard: u16, seq: u64) {
        let seen = self.seen.entry(shard).or_default();
        *seen = seq.max(*seen);
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.epoch)?;
        self.seen.iter().try_for_each(|(shard, seq)| write!(f, "-{shard:x}.{seq:x}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tag_of_another_life_counts_as_none() {
        let mut tag = Tag::new(0xabc);
        tag.see(0, 27);
        tag.see(0, 3);
        tag.see(3, 2);
        assert_eq!(tag.to_string(), "abc-0.1b-3.2");
        let heads = [27, 0, 0, 9];
        assert_eq!(Tag::read("abc-0.1b-3.2", 0xabc, &heads), Some(tag.clone()));
        assert_eq!(Tag::read("abd-0.1b-3.2", 0xabc, &heads), None, "another epoch");
        assert_eq!(Tag::read("abc-0.1c", 0xabc, &heads), None, "ahead of us");
        assert_eq!(Tag::read("abc-9.1", 0xabc, &heads), None, "no such shard");
        assert!(tag.is_news(0, 28) && !tag.is_news(0, 27) && tag.is_news(1, 1));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_not(text in ".{0,40}") {
            let _ = Tag::read(&text, 1, &[5]);
        }

        #[test]
        fn round_trips(epoch: u64, seen in proptest::collection::btree_map(0u16..16, 0u64..1_000, 0..16)) {
            let tag = Tag { epoch, seen };
            prop_assert_eq!(Tag::read(&tag.to_string(), epoch, &[1_000; 16]), Some(tag));
        }
    }
}
