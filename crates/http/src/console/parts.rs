//! What pages of the console are made of.

use domain::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use super::{ask::query, frame::Desk};

/// Seconds of a minute, an hour, a day; after so many days a date says more than a distance.
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const MOST_DAYS: u64 = 30;
/// Characters of a long id that are shown where there is little room.
const SHORT_ID_CHARS: usize = 8;

/// The text at a place of an answer (`/contact/email`, RFC 6901); empty where there is none.
pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a page of a list.
pub(super) fn items(page: &Value) -> impl Iterator<Item = &Value> {
    page["data"].as_array().into_iter().flatten()
}

/// A list as a table; on a phone each row becomes a card. Each row has a cell for each column.
pub(super) fn table(caption: &str, columns: &[&str], rows: Vec<Vec<Markup>>, empty: &str) -> Markup {
    html! {
        @if rows.is_empty() { p.empty { (empty) } } @else {
            div.table {
                table {
                    caption.hidden { (caption) }
                    thead { tr { @for column in columns { th scope="col" { (column) } } } }
                    tbody {
                        @for row in rows {
                            tr { @for (column, cell) in columns.iter().zip(row) { td data-label=(column) { div { (cell) } } } }
                        }
                    }
                }
            }
        }
    }
}

/// Names and what they say.
pub(super) fn facts(facts: Vec<(&str, Markup)>) -> Markup {
    html! { dl.facts { @for (name, says) in facts { div { dt { (name) } dd { (says) } } } } }
}

/// A state as a chip, in a colour that says how good it is.
pub(super) fn chip(state: &str) -> Markup {
    let tone = match state {
        "active" | "installed" | "done" | "delivered" | "enabled" | "published" | "applied" | "healthy" | "matched" => "good",
        "pending" | "waiting" | "running" | "reading" | "checking" | "checked" | "scheduled" | "delayed" | "retrying"
        | "awaiting_rows" | "uploaded" | "requested" => "busy",
        "paused" | "parked" | "disabled" | "uninstalled" | "expired" | "used" | "skipped" | "still_used" | "still_expired"
        | "still_revoked" => "warn",
        "failed" | "revoked" | "deleted" | "invalidated" | "rejected" | "refused" => "bad",
        _ => "quiet",
    };
    toned(tone, state)
}

/// A chip in a colour of one's own choice: `good`, `busy`, `warn`, `bad` or `quiet`.
pub(super) fn toned(tone: &str, says: &str) -> Markup {
    html! { span class={ "chip " (tone) } { (says.replace('_', " ")) } }
}

/// An id, to be copied.
pub(super) fn id(id: &str) -> Markup {
    html! { @if id.is_empty() { span.soft { "–" } } @else { span.id { code { (id) } (copy(id)) } } }
}

/// An id that leads somewhere.
pub(super) fn linked_id(id: &str, to: &str) -> Markup {
    html! { @if id.is_empty() { span.soft { "–" } } @else { span.id { a href=(to) { code { (id) } } (copy(id)) } } }
}

/// The end of an id that leads somewhere: enough to tell two apart in a narrow column.
pub(super) fn short_id(id: &str, to: &str) -> Markup {
    let start = id.char_indices().rev().nth(SHORT_ID_CHARS - 1).map_or(0, |(start, _)| start);
    html! { a.id href=(to) title=(id) { code { "…" (&id[start..]) } } }
}

fn copy(id: &str) -> Markup {
    html! {
        button.copy type="button" data-copy=(id) aria-label="Copy the id" title="Copy" hidden {
            svg viewBox="0 0 16 16" width="13" height="13" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.6" {
                rect x="5.5" y="5.5" width="8" height="8" rx="1.5" {}
                path d="M10.5 3.5v-.5a1 1 0 0 0-1-1h-6a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h.5" {}
            }
        }
    }
}

/// A time as a distance from now, with the exact one beside it; a dash for null.
pub(super) fn time(desk: &Desk, value: &Value) -> Markup {
    let Some(at) = value.as_str().and_then(|text| text.parse::<Timestamp>().ok()) else {
        return html! { span.soft { "–" } };
    };
    html! { time datetime=(at) title=(exact(at)) data-relative { (distance(desk.now(), at)) } }
}

/// A time to the second, in UTC.
pub(super) fn exact(at: Timestamp) -> String {
    let text = Timestamp::from_seconds(at.as_seconds()).to_string();
    format!("{} UTC", text.trim_end_matches('Z').replace('T', " "))
}

fn distance(now: Timestamp, at: Timestamp) -> String {
    let (seconds, ahead) = if at > now { (at.since(now).as_secs(), true) } else { (now.since(at).as_secs(), false) };
    let says = match seconds {
        0..10 if ahead => return "in a moment".to_owned(),
        0..10 => return "just now".to_owned(),
        10..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..DAY => format!("{} h", seconds / HOUR),
        seconds if seconds < MOST_DAYS * DAY => match seconds / DAY {
            1 => "1 day".to_owned(),
            days => format!("{days} days"),
        },
        _ => return exact(at).get(..10).unwrap_or_default().to_owned(),
    };
    if ahead { format!("in {says}") } else { format!("{says} ago") }
}

/// The way to the next page of a list, and back to the first. `keep` are the filters of this one.
pub(super) fn pager(path: &str, keep: &[(&str, &str)], page: &Value) -> Markup {
    pager_from(path, keep, page, "")
}

/// The same on a page that was itself reached by a cursor.
pub(super) fn pager_from(path: &str, keep: &[(&str, &str)], page: &Value, cursor: &str) -> Markup {
    let next = text(page, "/next_cursor");
    let with = [keep, &[("cursor", next)]].concat();
    html! {
        @if !next.is_empty() || !cursor.is_empty() {
            nav.pager aria-label="Pages" {
                @if !cursor.is_empty() { a href=(query(path, keep)) { "First page" } }
                @if !next.is_empty() { a rel="next" href=(query(path, &with)) { "Next page" } }
            }
        }
    }
}

/// JSON to be read.
pub(super) fn json(value: &Value) -> Markup {
    html! { pre.json tabindex="0" { code { (serde_json::to_string_pretty(value).unwrap_or_default()) } } }
}

/// Something that needs a second thought: what it does stays folded until it is asked for. `form` has the button that does it.
pub(super) fn considered(opens: &str, form: &Markup) -> Markup {
    html! { details.considered { summary.button { (opens) } div { (form) } } }
}

/// A value of an answer in a line: text as it is, the rest as JSON.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_do() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        for (at, says) in [
            ("2026-11-22T11:59:59.5Z", "just now"),
            ("2026-11-22T11:59:30Z", "30 s ago"),
            ("2026-11-22T11:00:01Z", "59 min ago"),
            ("2026-11-21T12:00:01Z", "23 h ago"),
            ("2026-11-21T12:00:00Z", "1 day ago"),
            ("2026-11-24T13:00:00Z", "in 2 days"),
            ("2026-11-22T12:00:05Z", "in a moment"),
            ("2026-09-01T13:00:00Z", "2026-09-01"),
        ] {
            assert_eq!(distance(now, at.parse().unwrap()), says, "{at}");
        }
        assert_eq!(exact("2026-11-22T06:14:13.123Z".parse().unwrap()), "2026-11-22 06:14:13 UTC");
    }

    #[test]
    fn whatever_it_is_called_it_is_escaped() {
        let shown = [id("<b>\""), short_id("é<script>", "/x"), toned("good", "<i>"), json(&Value::from("<u>"))];
        for markup in shown {
            let text = markup.into_string();
            assert!(
                !text.contains("<b>") && !text.contains("<script>") && !text.contains("<i>") && !text.contains("<u>"),
                "{text}"
            );
        }
    }
}
