//! Cursors: places in lists as clients carry them. Opaque, and refused when they were changed or come from another list.
//!
//! Text form: base64url of a 16-byte MAC and the place. The MAC is made with the organization's key over the list's path and
//! the place, so it is the same on every node and after every start. Which list a request reads is known to the door it came
//! in by ([`of_list`]), so that no list can forget to ask.

use std::{future::Future, sync::Arc};

use aws_lc_rs::constant_time;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::OrgId;
use serde::{Deserialize, Deserializer, de};
use uuid::Uuid;

use crate::App;

/// Bytes of a MAC.
const MAC_BYTES: usize = 16;
/// Longest cursor that is read, in characters: more than a place in a log of 1,024 shards needs.
const MAX_CHARS: usize = 12_000;
const REFUSED: &str = "the cursor is none of this list, or was changed: give `next_cursor` of the page before as it was, or none";

tokio::task_local! {
    static LIST: List;
}

/// The list that a request reads.
struct List {
    app: Arc<App>,
    org: OrgId,
    path: String,
}

/// Answers a request to a list of an organization.
pub(crate) async fn of_list<F: Future>(app: &Arc<App>, org: OrgId, path: &str, answer: F) -> F::Output {
    LIST.scope(List { app: Arc::clone(app), org, path: path.to_owned() }, answer).await
}

impl List {
    fn mac(&self, place: &[u8]) -> Option<[u8; MAC_BYTES]> {
        let purpose = format!("cursor {}", self.path);
        self.app.store.keyring().blind(self.org, &purpose, &URL_SAFE_NO_PAD.encode(place)).ok()
    }
}

/// A place of the list that is being read, as a client may carry it.
pub(crate) fn text(place: &[u8]) -> String {
    let mac = LIST.try_with(|list| list.mac(place)).ok().flatten().unwrap_or_default();
    URL_SAFE_NO_PAD.encode([mac.as_slice(), place].concat())
}

fn read(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text.get(..text.len().min(MAX_CHARS))?).ok()?;
    let (mac, place) = bytes.split_at_checked(MAC_BYTES)?;
    let expected = LIST.try_with(|list| list.mac(place)).ok()??;
    constant_time::verify_slices_are_equal(mac, &expected).ok()?;
    Some(place.to_vec())
}

/// What a list's own kind of place is read from.
pub(crate) trait Place: Sized {
    /// From the bytes that were given to [`text`].
    fn read(place: &[u8]) -> Option<Self>;
}

/// A cursor that a client gave back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor<P>(pub(crate) P);

impl<P: Place> Cursor<P> {
    /// From its text, where it comes by another way than the query.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        read(text).and_then(|place| P::read(&place)).map(Self).ok_or(REFUSED)
    }
}

impl<'de, P: Place> Deserialize<'de> for Cursor<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Place for Uuid {
    fn read(place: &[u8]) -> Option<Self> {
        Self::from_slice(place).ok()
    }
}

/// Numbers, written one after another.
impl Place for Vec<u64> {
    fn read(place: &[u8]) -> Option<Self> {
        let (words, rest) = place.as_chunks::<8>();
        rest.is_empty().then(|| words.iter().map(|word| u64::from_be_bytes(*word)).collect())
    }
}

/// The bytes of numbers.
pub(crate) fn words(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    numbers.into_iter().flat_map(u64::to_be_bytes).collect()
}
