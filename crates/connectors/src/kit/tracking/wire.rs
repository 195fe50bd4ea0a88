//! RudderStack's own words: calls, limits, answers.
//!
//! Sources: the HTTP API page of RudderStack's documentation, the event specification, and Segment's HTTP API.

/// Most bytes of a request, inflated. RudderStack's gateway takes 4,000 KiB.
pub const MAX_BODY_BYTES: usize = 4_000 * 1_024;
/// Most bytes of one event of an SDK, with what it takes over from its batch, as at RudderStack's and Segment's data planes.
pub const MAX_EVENT_BYTES: usize = 32 * 1_024;
/// Most events of one request.
pub const MAX_EVENTS: usize = 10_000;
/// Most bytes that the events of one request may come to when the batch's context is in each of them.
pub const MAX_DECODED_BYTES: usize = 4 * MAX_BODY_BYTES;

/// A call of the tracking API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Who somebody is.
    Identify,
    /// What somebody did.
    Track,
    /// Which page somebody saw.
    Page,
    /// Which screen of an app somebody saw.
    Screen,
    /// Which group somebody belongs to.
    Group,
    /// Two ids are the same person.
    Alias,
    /// Many of the above.
    Batch,
}

impl Call {
    /// The call of that name: an event's `type`, or the last segment of a path.
    pub fn from_name(name: &str) -> Option<Self> {
        const CALLS: [(&str, Call); 8] = [
            ("track", Call::Track),
            ("identify", Call::Identify),
            ("page", Call::Page),
            ("screen", Call::Screen),
            ("group", Call::Group),
            ("alias", Call::Alias),
            ("batch", Call::Batch),
            ("import", Call::Batch),
        ];
        CALLS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, call)| *call)
    }
    /// The call that path segments below the data plane's address name: `v1/track`, `v1/b` as Segment's browser SDK
    /// shortens it, or `beacon/v1/batch`.
    pub fn from_path<S: AsRef<str>>(path: &[S]) -> Option<Self> {
        let short = |name: &str| match name {
            "t" => Some(Self::Track),
            "i" => Some(Self::Identify),
            "p" => Some(Self::Page),
            "g" => Some(Self::Group),
            "a" => Some(Self::Alias),
            "b" => Some(Self::Batch),
            _ => Self::from_name(name),
        };
        match path {
            [version, call] if version.as_ref() == "v1" => short(call.as_ref()),
            [beacon, version, call] if beacon.as_ref() == "beacon" && version.as_ref() == "v1" => {
                short(call.as_ref()).filter(|call| *call == Self::Batch)
            }
            _ => None,
        }
    }
    /// The value of `type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identify => "identify",
            Self::Track => "track",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Group => "group",
            Self::Alias => "alias",
            Self::Batch => "batch",
        }
    }
}

/// How RudderStack's gateway words a refusal, and the status it goes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    NoBody,
    InvalidJson,
    EmptyBatch,
    NoIdentity,
    NotAnEvent,
    TooLarge,
    NoSuchPath,
}

impl Words {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::NoBody => "Request body is nil",
            Self::InvalidJson => "Invalid JSON",
            Self::EmptyBatch => "Empty batch payload",
            Self::NoIdentity => "Request neither has anonymousId nor userId",
            Self::NotAnEvent => "Event is not a Valid Rudder Event",
            Self::TooLarge => "Request size exceeds max limit",
            Self::NoSuchPath => "404 page not found",
        }
    }
    pub(super) const fn status(self) -> u16 {
        match self {
            Self::TooLarge => 413,
            Self::NoSuchPath => 404,
            _ => 400,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_calls() {
        let of = |path: &str| Call::from_path(&path.split('/').collect::<Vec<_>>());
        assert_eq!(of("v1/identify"), Some(Call::Identify));
        assert_eq!(
            (of("v1/import"), of("v1/b"), of("beacon/v1/batch")),
            (Some(Call::Batch), Some(Call::Batch), Some(Call::Batch))
        );
        for path in ["", "v1", "v2/track", "v1/merge", "v1/track/x", "beacon/v1/track"] {
            assert_eq!(of(path), None, "{path}");
        }
    }
}
