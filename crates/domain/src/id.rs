//! Typed identifiers: UUIDs minted by us as version 7, shown in base62 as PassKit shows its own.

use std::{fmt, hash, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::{Timestamp, base62};

/// Randomness that is handed in. The binary's implementation draws from the operating system.
pub trait Entropy: Send + Sync {
    /// Fills the whole buffer with unpredictable bytes.
    fn fill(&self, buffer: &mut [u8]);
}

/// What an [`Id`] identifies; the name is used in error messages.
pub trait IdKind: 'static {
    /// The thing's name, in lower case.
    const NAME: &'static str;
}

/// A UUID that can only be compared with ids of the same kind. Text form: 22 characters of base62.
pub struct Id<K>(Uuid, PhantomData<fn() -> K>);

/// Text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {} {kind} id: expected 22 base62 characters or a UUID", article(kind))]
pub struct IdError {
    kind: &'static str,
}

/// `a` or `an`, whichever the names below are spoken with.
fn article(name: &str) -> &'static str {
    if name.starts_with(['A', 'a', 'e', 'i', 'o']) { "an" } else { "a" }
}

impl<K: IdKind> Id<K> {
    /// A new UUIDv7: sorts by the millisecond of `now`, unpredictable within it.
    pub fn mint(now: Timestamp, entropy: &dyn Entropy) -> Self {
        let mut random = [0u8; 10];
        entropy.fill(&mut random);
        Self::from_parts(now, random)
    }

    /// A UUIDv7 of `now` whose 74 free bits are derived from `name`: the same inputs give the same id.
    pub fn derive(now: Timestamp, namespace: Uuid, name: &[u8]) -> Self {
        let hash = Uuid::new_v5(&namespace, name);
        let mut bits = [0u8; 10];
        bits.copy_from_slice(&hash.as_bytes()[..10]);
        Self::from_parts(now, bits)
    }

    fn from_parts(now: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid(), PhantomData)
    }

    /// UUIDv5 of two other ids, for things that are named by what they connect.
    pub fn of(namespace: Uuid, name: Uuid) -> Self {
        Self(Uuid::new_v5(&namespace, name.as_bytes()), PhantomData)
    }

    /// Takes over a UUID of any version, as read from a store or an import.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    /// The UUID behind it.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K> hash::Hash for Id<K> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<K> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = base62::encode(self.0.as_u128());
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}
impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl<K: IdKind> FromStr for Id<K> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        base62::decode(text)
            .map(Uuid::from_u128)
            .or_else(|| Uuid::parse_str(text).ok())
            .map(Self::from_uuid)
            .ok_or(IdError { kind: K::NAME })
    }
}
impl<K> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, K: IdKind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

macro_rules! kinds {
    ($($alias:ident, $marker:ident, $name:literal;)*) => {$(
        #[doc = concat!("Marks ids of the kind ", $name, ".")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $marker {}
        impl IdKind for $marker {
            const NAME: &'static str = $name;
        }
        #[doc = concat!("An id of the kind ", $name, ".")]
        pub type $alias = Id<$marker>;
    )*};
}

kinds! {
    OrgId, OrgKind, "organization";
    KeyId, KeyKind, "API key";
    ProjectId, ProjectIdKind, "project";
    TemplateId, TemplateKind, "template";
    PublicationId, PublicationKind, "publication";
    BackfillId, BackfillKind, "backfill";
    BatchId, BatchKind, "batch";
    InspectorId, InspectorKind, "inspector";
    SignerId, SignerKind, "signer";
    ContactId, ContactKind, "contact";
    PassId, PassKind, "pass";
    SourceId, SourceIdKind, "source";
    SourceEventId, SourceEventKind, "source event";
    FlowId, FlowKind, "flow";
    TransformationId, TransformationKind, "transformation";
    CommandId, CommandKind, "command";
    EventId, EventIdKind, "event";
    TargetId, TargetKind, "target";
    DeliveryId, DeliveryKind, "delivery";
    SyncId, SyncKind, "sync";
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;
    impl Entropy for Fixed {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(7);
        }
    }

    #[test]
    fn ids_are_uuid_v7_in_22_characters() {
        let id = PassId::mint(Timestamp::from_micros(1_700_000_000_000_000), &Fixed);
        assert_eq!(id.uuid().get_version_num(), 7);
        assert_eq!(id.to_string().len(), 22);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.uuid().to_string().parse(), Ok(id));
        assert!("nonsense".parse::<PassId>().unwrap_err().to_string().starts_with("not a pass id:"));
        assert!("nonsense".parse::<EventId>().unwrap_err().to_string().starts_with("not an event id:"));
        assert!("nonsense".parse::<KeyId>().unwrap_err().to_string().starts_with("not an API key id:"));
    }

    #[test]
    fn derived_ids_repeat() {
        let at = Timestamp::from_micros(1);
        assert_eq!(EventId::derive(at, Uuid::nil(), b"1"), EventId::derive(at, Uuid::nil(), b"1"));
        assert_ne!(EventId::derive(at, Uuid::nil(), b"1"), EventId::derive(at, Uuid::nil(), b"2"));
    }
}
