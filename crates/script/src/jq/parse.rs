//! `fromjson`, on which `tonumber` and `toboolean` rest.
//!
//! The parser of `jaq` recurs as deep as a text nests, and bounds nothing: a text of nothing but brackets, which any sender of
//! an event can write, would end the process. So what may nest deeper than values may is looked at first, as JSON.

use jaq_core::{
    Cv, Exn, Native, ValXs,
    box_iter::box_once,
    native::{Fun, v},
};
use jaq_json::{Val, read::parse_many};
use serde::de::IgnoredAny;

use super::{Kind, MAX_DEPTH, TOO_DEEP, fault, words};

/// What is replaced.
pub(super) const NAME: &str = "fromjson";

pub(super) fn function() -> Fun<Kind> {
    (NAME, v(0), Native::<Kind>::new(|cv| from_json(&cv)))
}

fn from_json<'a>(cv: &Cv<'a, Kind>) -> ValXs<'a, Val> {
    match parsed(cv) {
        Ok(values) => Box::new(values.into_iter()),
        Err(error) => box_once(Err(error)),
    }
}

/// The values of a text one after another, up to the first that cannot be read.
fn parsed<'a>(cv: &Cv<'a, Kind>) -> Result<Vec<Result<Val, Exn<'a, Val>>>, Exn<'a, Val>> {
    let (meter, text) = (cv.0.data(), words(&cv.1)?);
    meter.spend(text.len() / 16)?;
    let wrong = |why: &dyn std::fmt::Display| fault(format!("cannot parse {} as JSON: {why}", cv.1));
    if opened(text) > MAX_DEPTH {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
        values.try_for_each(|value| value.map(drop)).map_err(|why| wrong(&why))?;
        if depth(text) > MAX_DEPTH {
            return Err(meter.stop(TOO_DEEP));
        }
    }
    let mut values = Vec::new();
    for value in parse_many(text.as_bytes()) {
        let failed = value.is_err();
        values.push(value.map_err(|why| wrong(&why)));
        if failed {
            break;
        }
    }
    Ok(values)
}

/// How many lists and objects a text may open: it nests no deeper, whatever it is.
fn opened(text: &str) -> usize {
    text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count()
}

/// How deep a text that is JSON nests.
fn depth(text: &str) -> usize {
    let (mut most, mut depth, mut quoted, mut escaped) = (0, 0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => depth += 1,
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        most = most.max(depth);
    }
    most
}
