//! A row for every value of a key column: the two columns that tell which rows there are are read, then rows that there are are
//! overwritten (`values:batchUpdate`) and the others added.
//!
//! The first column of a row is the id of the event that it shows. Ids begin with the time at which their events were written
//! down, so a row that shows a newer event is left as it is, and deliveries may come in any order. Google cannot make a request
//! depend on what is there: one node sends one request to a sheet after another, but where two nodes come to tell of a new value
//! in the same second, or somebody sorts the sheet between reading and writing, a value may get two rows, or a row another's
//! values. Of two rows with one value the first is kept up to date.
//! Sources: <https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets.values/batchGet>,
//! <https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets.values/batchUpdate>.

use std::collections::HashMap;

use domain::{EventId, Target};
use http::Method;
use script::text::percent_encoded;
use serde_json::{Value, json};

use super::destination::{MAX_BYTES, MOST, append, columns, range, request, row, wants};
use super::settings::KEY;
use crate::kit::vendor::{self, Record};
use crate::kit::{Owed, Reply, Request, Secrets, Sending};

/// Where the key stands in a row, where there is one.
pub(super) fn key_column(target: &Target) -> Option<usize> {
    let key = vendor::text(target, KEY.name, "");
    columns(target).position(|column| column == key).map(|place| place + 1)
}

/// A column's letters: A, Z, AA.
fn letters(column: usize) -> String {
    let letter = |number: usize| char::from(b'A' + u8::try_from(number % 26).unwrap_or_default());
    if column < 26 { letter(column).to_string() } else { format!("{}{}", letter(column / 26 - 1), letter(column)) }
}

/// Asks for the first column and that of the key.
pub(super) fn ask(target: &Target, secrets: &Secrets) -> Option<Result<Request, String>> {
    let key = letters(key_column(target)?);
    let ranges = ["A:A".to_owned(), format!("{key}:{key}")].map(|cells| percent_encoded(&range(target, &cells)));
    let path =
        format!(":batchGet?ranges={}&ranges={}&majorDimension=COLUMNS&valueRenderOption=UNFORMATTED_VALUE", ranges[0], ranges[1]);
    Some(request(Method::GET, &path, String::new(), target, secrets))
}

/// A row that there is.
struct Kept {
    /// Its number, from 1.
    number: usize,
    /// The event that it shows, where it tells.
    shows: Option<EventId>,
}

/// The rows that there are, by their keys; the first of each.
fn kept(reply: &Reply) -> Result<HashMap<String, Kept>, String> {
    let body: Value = serde_json::from_slice(&reply.body)
        .map_err(|_| "the sheet's key column cannot be read: it is too long, or Google answered something else".to_owned())?;
    let column = |nth: usize| body["valueRanges"][nth]["values"][0].as_array().map(Vec::as_slice).unwrap_or_default();
    let (ids, mut rows) = (column(0), HashMap::new());
    for (nth, key) in column(1).iter().enumerate() {
        let first = ids.get(nth).and_then(text);
        let shows = first.as_ref().and_then(|id| id.parse().ok());
        // What begins with something else than an id is a heading. A row that people began has none yet.
        if let Some(key) = text(key).filter(|_| first.is_none() || shows.is_some()) {
            rows.entry(key).or_insert(Kept { number: nth + 1, shows });
        }
    }
    Ok(rows)
}

/// What a cell says; a number as people write it, because a sheet may show a text as one.
fn text(cell: &Value) -> Option<String> {
    match cell {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(_) | Value::Bool(_) => Some(cell.to_string()),
        _ => None,
    }
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, reply: &Reply) -> Result<Vec<Sending>, String> {
    let (Some(column), kept) = (key_column(target), kept(reply)?) else { return Ok(Vec::new()) };
    let (mut changed, mut new) = (Vec::new(), Vec::new());
    let mut in_order: Vec<_> = owed.iter().enumerate().filter(|(_, owed)| wants(owed.event.kind())).collect();
    in_order.sort_by_key(|(_, owed)| owed.event.id);
    for (event, owed) in in_order {
        let row = row(owed, target);
        let Some(key) = row.get(column).and_then(text) else { continue };
        match kept.get(&key) {
            // It was told already, or something newer was.
            Some(Kept { shows: Some(shows), .. }) if *shows >= owed.event.id => {}
            Some(Kept { number, .. }) => {
                let cells = range(target, &format!("A{number}:{}{number}", letters(row.len() - 1)));
                vendor::newest(&mut changed, key, event, json!({ "range": cells, "majorDimension": "ROWS", "values": [row] }));
            }
            None => vendor::newest(&mut new, key, event, row.into()),
        }
    }
    let mut sendings = overwrite(changed, target, secrets);
    sendings.extend(append(new, target, secrets));
    Ok(sendings)
}

fn overwrite(records: Vec<Record>, target: &Target, secrets: &Secrets) -> Vec<Sending> {
    let groups = vendor::groups(records, MOST, MAX_BYTES, |record| record.json.to_string().len());
    let sending = |group: Vec<Record>| {
        let (rows, covers) = vendor::apart(group);
        let body = json!({ "valueInputOption": "RAW", "data": rows }).to_string();
        Sending { request: request(Method::POST, ":batchUpdate", body, target, secrets), covers }
    };
    groups.into_iter().map(sending).collect()
}
