//! This node among those on the same database: its name, whether the name is free, and who else is alive.
//!
//! A name is had by one incarnation at a time. Whoever starts under a name that somebody has asks for a sign of life first:
//! where one comes, two processes were given the same name, and the second does not start. Where none comes it was this
//! node's former self, and the new one takes its place and its leases. Should a living one have been too slow to answer, it
//! finds its name gone at its next beat and stops working; what it still writes is refused by the leases' epochs.

use std::{collections::HashMap, time::Duration};

use domain::Entropy;
use store::{Backend, NodeRow, StoreError};
use tokio::time::Instant;

use crate::Pace;

/// Characters of a node's name.
const NAME_CHARS: std::ops::RangeInclusive<usize> = 1..=64;
/// How often a sign of life is looked for.
const LISTEN_EVERY: Duration = Duration::from_millis(25);

/// Why this node's workers do not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Two nodes were given one name.
    #[error(
        "another node named `{0}` is running on this database: give every node a name of its own (`node`), or stop the other one"
    )]
    NameTaken(String),
    /// The name cannot be used.
    #[error("the node's name `{0}` must be 1 to 64 letters, digits, `.`, `_` or `-`")]
    BadName(String),
    /// A way out cannot be used.
    #[error("the egress `{0}` cannot be used: {1}")]
    Egress(String, String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) incarnation: i64,
    /// What it signs its leases with.
    pub(crate) owner: String,
}

impl Identity {
    /// A configured name or a random one, and an incarnation that was never there.
    pub(crate) fn mint(name: Option<String>, entropy: &dyn Entropy) -> Result<Self, StartError> {
        let random = || {
            let mut bytes = [0; 8];
            entropy.fill(&mut bytes);
            u64::from_le_bytes(bytes)
        };
        let name = name.unwrap_or_else(|| format!("node-{:016x}", random()));
        let is_fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !NAME_CHARS.contains(&name.len()) || !name.chars().all(is_fine) {
            return Err(StartError::BadName(name));
        }
        let incarnation = (random() >> 1) as i64;
        let owner = format!("{name}/{incarnation:016x}");
        Ok(Self { name, incarnation, owner })
    }

    /// Whether a lease's owner is this node or its former self.
    pub(crate) fn was(&self, owner: &str) -> bool {
        owner.split_once('/').map_or(owner, |(name, _)| name) == self.name
    }

    /// Takes the name.
    pub(crate) async fn join(&self, backend: &dyn Backend, pace: &Pace, alone: bool) -> Result<(), StartError> {
        loop {
            let former = find(backend, &self.name).await?;
            if let Some(row) = former.as_ref().filter(|_| !alone)
                && !is_dead(backend, row, pace.answer_within).await?
            {
                return Err(StartError::NameTaken(self.name.clone()));
            }
            if backend.join(&self.name, self.incarnation, former.map(|row| row.incarnation)).await? {
                backend.nudge();
                return Ok(());
            }
            // Somebody came or went meanwhile.
        }
    }

    /// Shows that this node is alive; false when its name is another's now.
    pub(crate) async fn show(&self, backend: &dyn Backend) -> Result<bool, StoreError> {
        if backend.show(&self.name, self.incarnation).await? {
            return Ok(true);
        }
        // Taken for dead after a long silence and forgotten, unless somebody has the name.
        backend.join(&self.name, self.incarnation, None).await
    }
}

async fn find(backend: &dyn Backend, name: &str) -> Result<Option<NodeRow>, StoreError> {
    Ok(backend.nodes().await?.into_iter().find(|row| row.name == name))
}

/// Asks for a sign of life and waits for it.
async fn is_dead(backend: &dyn Backend, row: &NodeRow, patience: Duration) -> Result<bool, StoreError> {
    backend.challenge(&row.name, row.incarnation).await?;
    let until = Instant::now() + patience;
    loop {
        let seen = find(backend, &row.name).await?;
        match seen {
            Some(seen) if (seen.incarnation, seen.beat) != (row.incarnation, row.beat) => return Ok(false),
            // It just left.
            None => return Ok(true),
            Some(_) if Instant::now() >= until => return Ok(true),
            Some(_) => tokio::time::sleep(LISTEN_EVERY).await,
        }
    }
}

/// A sign of life, and since when it has looked the same on our own clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    sign: (i64, i64),
    since: Instant,
}

impl Seen {
    pub(crate) fn new(sign: (i64, i64), now: Instant) -> Self {
        Self { sign, since: now }
    }

    /// How long it has been silent, after this look at it.
    pub(crate) fn silence(&mut self, sign: (i64, i64), now: Instant) -> Duration {
        if self.sign != sign {
            *self = Self::new(sign, now);
        }
        now.duration_since(self.since)
    }
}

/// Who else works on this database, as far as can be seen.
#[derive(Debug, Default)]
pub(crate) struct Peers(HashMap<String, Seen>);

impl Peers {
    /// How many nodes are alive, this one included, and those that are not.
    pub(crate) fn look(&mut self, rows: Vec<NodeRow>, own: &Identity, pace: &Pace, now: Instant) -> (usize, Vec<NodeRow>) {
        self.0.retain(|name, _| rows.iter().any(|row| row.name == *name));
        let (mut alive, mut dead) = (1, Vec::new());
        for row in rows.into_iter().filter(|row| row.name != own.name) {
            let sign = (row.incarnation, row.beat);
            let seen = self.0.entry(row.name.clone()).or_insert_with(|| Seen::new(sign, now));
            match seen.silence(sign, now) >= pace.take_over_after {
                true => dead.push(row),
                false => alive += 1,
            }
        }
        (alive, dead)
    }

    /// Nobody's silence counts that was not listened to.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;
    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(7);
        }
    }

    fn row(name: &str, beat: i64) -> NodeRow {
        NodeRow { name: name.to_owned(), incarnation: 1, beat, challenge: 0 }
    }

    #[test]
    fn names_are_plain() {
        for name in ["a", "pod-7.eu_1", &"x".repeat(64)] {
            assert!(Identity::mint(Some(name.to_owned()), &Counting).unwrap().was(name));
        }
        for name in ["", "a/b", "a b", "ä", &"x".repeat(65)] {
            let refused = Identity::mint(Some(name.to_owned()), &Counting);
            assert!(matches!(refused, Err(StartError::BadName(_))), "{name}");
        }
    }

    #[test]
    fn a_former_self_is_known_by_its_name() {
        let node = Identity::mint(Some("a".to_owned()), &Counting).unwrap();
        assert!(node.was("a/0000000000000001") && node.was(&node.owner) && node.was("a"));
        assert!(!node.was("ab/0000000000000001") && !node.was(""));
    }

    #[test]
    fn silence_is_counted_on_our_own_clock() {
        let (pace, own) = (Pace::default(), Identity::mint(Some("me".to_owned()), &Counting).unwrap());
        let (mut peers, start) = (Peers::default(), Instant::now());
        let mut look = |rows: Vec<NodeRow>, after: u64| {
            let (alive, dead) = peers.look(rows, &own, &pace, start + Duration::from_secs(after));
            (alive, dead.into_iter().map(|row| row.name).collect::<Vec<_>>())
        };
        assert_eq!(look(vec![row("me", 1), row("a", 1), row("b", 1)], 0), (3, vec![]));
        assert_eq!(look(vec![row("me", 1), row("a", 2), row("b", 1)], 29), (3, vec![]));
        assert_eq!(look(vec![row("a", 2), row("b", 1)], 30), (2, vec!["b".to_owned()]));
        assert_eq!(look(vec![row("a", 2)], 58), (2, vec![]));
        assert_eq!(look(vec![row("a", 2)], 59), (1, vec!["a".to_owned()]));
        assert_eq!(look(vec![row("a", 3)], 60), (2, vec![]), "alive after all");
    }
}
