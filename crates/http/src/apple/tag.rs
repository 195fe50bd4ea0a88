//! The update tag: how far a device has seen the passes of a type change. Opaque to the device.
//!
//! Text form: the logs' epoch, the configuration version and the time of the answer (in microseconds), then `shard.seq` for
//! every shard that the device has passes in, all hexadecimal: `5f3a9c-2f-6449e2a1b2c40-0.1b-3.2`. A tag of another epoch, or
//! one that is ahead of log or configuration, comes from another life of the database and counts as none: the device is told
//! everything.
//!
//! Each part finds another kind of news: the numbers per shard changes of passes, the configuration version publications of
//! their templates, and the time passes that the device was registered for since then.

use std::{collections::BTreeMap, fmt, time::Duration};

use domain::Timestamp;

/// Longest tag that is read, in bytes; more than 16 shards of full width need.
const MAX_BYTES: usize = 1_024;

/// How far clocks of nodes may be apart, and how long a registration may take to be written.
const CLOCK_MARGIN: Duration = Duration::from_secs(10);

/// How far the logs and the configuration are; a tag cannot be ahead of them.
pub(super) struct Present<'a> {
    /// The logs' epoch.
    pub(super) epoch: u64,
    /// The number of the last event of each shard.
    pub(super) heads: &'a [u64],
    /// The configuration version.
    pub(super) version: i64,
    /// The time.
    pub(super) now: Timestamp,
}

/// Sequence numbers per shard in an epoch, a configuration version and a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    epoch: u64,
    version: i64,
    at: Timestamp,
    seen: BTreeMap<u16, u64>,
}

impl Tag {
    /// What a device has seen that is answered now, before it is told of any pass.
    pub(super) fn new(present: &Present<'_>) -> Self {
        Self { epoch: present.epoch, version: present.version, at: present.now, seen: BTreeMap::new() }
    }

    /// What a device gives back, if it is from this life of the logs.
    pub(super) fn read(text: &str, present: &Present<'_>) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let mut parts = text.split('-');
        let epoch = u64::from_str_radix(parts.next()?, 16).ok()?;
        let version = i64::from_str_radix(parts.next()?, 16).ok()?;
        let at = Timestamp::from_micros(i64::from_str_radix(parts.next()?, 16).ok()?);
        if epoch != present.epoch || version > present.version {
            return None;
        }
        let mut seen = BTreeMap::new();
        for part in parts {
            let (shard, seq) = part.split_once('.')?;
            let (shard, seq) = (u16::from_str_radix(shard, 16).ok()?, u64::from_str_radix(seq, 16).ok()?);
            if present.heads.get(usize::from(shard)).is_none_or(|head| seq > *head) {
                return None;
            }
            seen.insert(shard, seq);
        }
        Some(Self { epoch, version, at, seen })
    }

    /// Whether the publication of a pass's template is news.
    pub(super) fn is_published_since(&self, publication: i64) -> bool {
        publication > self.version
    }

    /// Whether the device was registered for a pass since.
    pub(super) fn is_registered_since(&self, since: Timestamp) -> bool {
        since.plus(CLOCK_MARGIN) > self.at
    }

    /// The same shards, as of an answer that is given now.
    pub(super) fn brought_to(self, present: &Present<'_>) -> Self {
        Self { version: present.version, at: present.now, ..self }
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
        write!(f, "{:x}-{:x}-{:x}", self.epoch, self.version, self.at.as_micros())?;
        self.seen.iter().try_for_each(|(shard, seq)| write!(f, "-{shard:x}.{seq:x}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(0xffff);

    fn present(epoch: u64, heads: &[u64]) -> Present<'_> {
        Present { epoch, heads, version: 0x2f, now: NOW }
    }

    #[test]
    fn a_tag_of_another_life_counts_as_none() {
        let heads = [27, 0, 0, 9];
        let mut tag = Tag::new(&present(0xabc, &heads));
        tag.see(0, 27);
        tag.see(0, 3);
        tag.see(3, 2);
        assert_eq!(tag.to_string(), "abc-2f-ffff-0.1b-3.2");
        let read = |text: &str| Tag::read(text, &present(0xabc, &heads));
        assert_eq!(read("abc-2f-ffff-0.1b-3.2"), Some(tag.clone()));
        assert_eq!(read("abd-2f-ffff-0.1b-3.2"), None, "another epoch");
        assert_eq!(read("abc-30-ffff-0.1b-3.2"), None, "ahead of the configuration");
        assert_eq!(read("abc-2f-ffff-0.1c"), None, "ahead of the log");
        assert_eq!(read("abc-2f-ffff-9.1"), None, "no such shard");
        assert_eq!(read("abc-0.1b-3.2"), None, "of a version before this one");
        assert!(tag.is_news(0, 28) && !tag.is_news(0, 27) && tag.is_news(1, 1));
        assert!(tag.is_published_since(0x30) && !tag.is_published_since(0x2f));
        assert!(tag.is_registered_since(NOW) && !tag.is_registered_since(Timestamp::from_micros(0xffff - 11_000_000)));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_not(text in ".{0,40}") {
            let _ = Tag::read(&text, &present(1, &[5]));
        }

        #[test]
        fn round_trips(epoch: u64, seen in proptest::collection::btree_map(0u16..16, 0u64..1_000, 0..16)) {
            let tag = Tag { epoch, version: 7, at: NOW, seen };
            prop_assert_eq!(Tag::read(&tag.to_string(), &present(epoch, &[1_000; 16])), Some(tag));
        }
    }
}
