//! Dates, by the names of jq and in the forms of `jaq`: seconds since 1970, texts of RFC 3339, and times taken apart (year, month
//! from 0, day, hour, minute, second, day of the week from Sunday, day of the year from 0). All in UTC.

use jaq_core::{
    Cv, Exn, Native, RunPtr, ValXs,
    box_iter::box_once,
    native::{Fun, v},
};
use jaq_json::Val;
use jaq_std::ValT as _;
use jiff::{
    Timestamp,
    civil::DateTime,
    fmt::strtime::{self, BrokenDownTime},
    tz::{Offset, TimeZone},
};

use super::{Kind, fault, words};

/// The longest format, in bytes: each sign of it may become many.
const MAX_FORMAT_BYTES: usize = 200;

type Made<'a> = Result<Val, Exn<'a, Val>>;

pub(super) fn functions() -> impl Iterator<Item = Fun<Kind>> {
    let named = |(name, arguments, run): (&'static str, usize, RunPtr<Kind>)| (name, v(arguments), Native::<Kind>::new(run));
    TABLE.into_iter().map(named)
}

const TABLE: [(&str, usize, RunPtr<Kind>); 6] = [
    ("fromdateiso8601", 0, |cv| box_once(seconds_of_text(&cv.1))),
    ("todateiso8601", 0, |cv| box_once(moment(&cv.1).map(|moment| Val::from(moment.to_string())))),
    ("gmtime", 0, |cv| box_once(moment(&cv.1).map(|moment| apart(TimeZone::UTC.to_datetime(moment))))),
    ("mktime", 0, |cv| box_once(together(&cv.1).and_then(|moment| seconds(moment, moment.subsec_nanosecond() != 0)))),
    ("strptime", 1, |cv| formatted(cv, read)),
    ("strftime", 1, |cv| formatted(cv, write)),
];

fn formatted(mut cv: Cv<'_, Kind>, made: for<'v> fn(&'v Val, &'v str) -> Made<'static>) -> ValXs<'_, Val> {
    let format = cv.0.pop_var();
    let made = words(&format).and_then(|format| match format.len() {
        0..=MAX_FORMAT_BYTES => made(&cv.1, format),
        _ => Err(fault("a time's format has at most 200 bytes")),
    });
    box_once(made)
}

fn read(value: &Val, format: &str) -> Made<'static> {
    let mut parts = BrokenDownTime::parse(format, words(value)?).map_err(fault)?;
    if parts.offset().is_none() && parts.iana_time_zone().is_none() {
        parts.set_offset(Some(Offset::UTC));
    }
    Ok(apart(parts.to_zoned().map_err(fault)?.datetime()))
}

fn write(value: &Val, format: &str) -> Made<'static> {
    let moment = if matches!(value, Val::Arr(_)) { together(value)? } else { moment(value)? };
    strtime::format(format, &moment.to_zoned(TimeZone::UTC)).map(Val::from).map_err(fault)
}

fn seconds_of_text<'a>(value: &Val) -> Made<'a> {
    let text = words(value)?;
    seconds(text.parse::<Timestamp>().map_err(fault)?, text.contains('.'))
}

fn seconds<'a>(moment: Timestamp, with_fraction: bool) -> Made<'a> {
    if with_fraction {
        return Ok(Val::from(moment.as_microsecond() as f64 / 1e6));
    }
    isize::try_from(moment.as_second()).map(Val::from).map_err(fault)
}

/// The moment of so many seconds.
fn moment<'a>(value: &Val) -> Result<Timestamp, Exn<'a, Val>> {
    match value.as_isize() {
        Some(whole) => Timestamp::from_second(whole as i64),
        None => {
            let seconds = value.as_f64().ok_or_else(|| fault("expected seconds since 1970"))?;
            Timestamp::from_microsecond((seconds * 1e6) as i64)
        }
    }
    .map_err(fault)
}

fn apart(time: DateTime) -> Val {
    let whole = |number: i16| Val::from(isize::from(number));
    let second = match time.subsec_nanosecond() {
        0 => whole(time.second().into()),
        nanoseconds => Val::from(f64::from(time.second()) + f64::from(nanoseconds) / 1e9),
    };
    let parts = [
        whole(time.year()),
        whole(i16::from(time.month()) - 1),
        whole(time.day().into()),
        whole(time.hour().into()),
        whole(time.minute().into()),
        second,
        whole(time.weekday().to_sunday_zero_offset().into()),
        whole(time.day_of_year() - 1),
    ];
    parts.into_iter().collect()
}

/// The moment of a time that was taken apart.
fn together<'a>(value: &Val) -> Result<Timestamp, Exn<'a, Val>> {
    let wrong = || fault("expected a time taken apart: [year, month, day, hour, minute, second]");
    let Val::Arr(parts) = value else { return Err(wrong()) };
    let [year, month, day, hour, minute, second, ..] = parts.as_slice() else { return Err(wrong()) };
    let whole = |part: &Val| part.as_isize().and_then(|part| i8::try_from(part).ok()).ok_or_else(wrong);
    let year = year.as_isize().and_then(|year| i16::try_from(year).ok()).ok_or_else(wrong)?;
    let month = whole(month)?.checked_add(1).ok_or_else(wrong)?;
    let seconds = second.as_f64().ok_or_else(wrong)?;
    let (full, part) = (seconds.floor() as i8, (seconds.fract() * 1e9) as i32);
    let time = DateTime::new(year, month, whole(day)?, whole(hour)?, whole(minute)?, full, part).map_err(fault)?;
    Ok(TimeZone::UTC.to_zoned(time).map_err(fault)?.timestamp())
}
