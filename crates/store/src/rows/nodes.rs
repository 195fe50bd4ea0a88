//! Nodes, and the shards that they hold.

/// A lease on a shard: the right to work on it, and the fence that every write of a worker is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The shard.
    pub shard: u16,
    /// Rises whenever the lease changes hands.
    pub epoch: i64,
}

/// A shard's lease as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    /// The lease.
    pub lease: Lease,
    /// Which node holds it; empty when nobody does.
    pub owner: String,
    /// Rises while its holder is alive.
    pub beat: i64,
}

/// A node that works on this database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Its name, which one node has at a time.
    pub name: String,
    /// Drawn at every start of a node, so that it is told from its former self and from another of the same name.
    pub incarnation: i64,
    /// Rises while it is alive.
    pub beat: i64,
    /// Rises when somebody wants to know whether it is alive.
    pub challenge: i64,
}
