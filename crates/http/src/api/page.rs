//! Pages of lists: `limit` and an opaque `cursor`.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use store::Stored;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::cursor::{self, Cursor};

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The things.
    pub(crate) data: Vec<T>,
    /// Give this as `cursor` to get the next page; null on the last one.
    #[schema(required = true)]
    pub(crate) next_cursor: Option<String>,
}

/// How many things a page holds: 1 to 100, 50 unless told.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u32")]
pub(crate) struct Limit(u32);

impl Limit {
    /// The number.
    pub(crate) const fn get(self) -> u32 {
        self.0
    }
    /// One more than asked, to see whether another page follows.
    pub(crate) const fn and_one(self) -> u32 {
        self.0 + 1
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl TryFrom<u32> for Limit {
    type Error = &'static str;

    fn try_from(limit: u32) -> Result<Self, Self::Error> {
        if (1..=100).contains(&limit) { Ok(Self(limit)) } else { Err("limit must be 1 to 100") }
    }
}

/// The place after a thing, in a list that is ordered by id.
pub(crate) type After = Cursor<Uuid>;

/// Paging alone, for lists without filters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// How many: 1 to 100, 50 unless told.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    pub(crate) limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    pub(crate) cursor: Option<After>,
}

impl Paging {
    /// The id after which the page starts.
    pub(crate) fn after(&self) -> Option<Uuid> {
        self.cursor.map(|cursor| cursor.0)
    }
    /// A page of configured things, oldest first.
    pub(crate) fn of<T, V>(&self, things: &HashMap<Uuid, Stored<T>>, show: impl Fn(&Stored<T>) -> V) -> Page<V> {
        sorted_page(things.iter(), self.after(), self.limit, show)
    }
}

/// A page of configured things in the order of their ids.
pub(crate) fn sorted_page<'a, T: 'a, V>(
    things: impl Iterator<Item = (&'a Uuid, &'a Stored<T>)>,
    after: Option<Uuid>,
    limit: Limit,
    show: impl Fn(&Stored<T>) -> V,
) -> Page<V> {
    let mut rest: Vec<_> = things.filter(|(id, _)| after.is_none_or(|after| **id > after)).collect();
    rest.sort_unstable_by_key(|(id, _)| **id);
    page(&rest, limit, |(id, _)| **id, |(_, stored)| show(stored))
}

/// A page of rows that were read with [`Limit::and_one`], ordered by id.
pub(crate) fn page<R, V>(rows: &[R], limit: Limit, id: impl Fn(&R) -> Uuid, show: impl Fn(&R) -> V) -> Page<V> {
    page_by(rows, limit, |row| id(row).as_bytes().to_vec(), show)
}

/// A page of rows that were read with [`Limit::and_one`], ordered by a place of their own.
pub(crate) fn page_by<R, V>(rows: &[R], limit: Limit, place: impl Fn(&R) -> Vec<u8>, show: impl Fn(&R) -> V) -> Page<V> {
    let shown = &rows[..rows.len().min(limit.get() as usize)];
    let more = rows.len() > shown.len();
    let next_cursor = shown.last().filter(|_| more).map(|last| cursor::text(&place(last)));
    Page { data: shown.iter().map(show).collect(), next_cursor }
}
