//! What the placeholders of a design stand for, and how a value is written where the reader's locale is unknown.

use domain::{Amount, DateFormat, DateLength, DesignField, FieldType, FieldValue, Lifecycle, NumberFormat, Text, Timestamp};
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use serde_json::Number;

use crate::PassView;

/// Digits that a double holds without loss.
const EXACT_DIGITS: usize = 15;

/// A value that a field shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Number(Number),
    Time(Moment),
}

/// A time together with the offset that it was given in: an event or a departure is read by the clocks of its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moment {
    at: Timestamp,
    offset: Offset,
}

impl Moment {
    pub(crate) fn utc(at: Timestamp) -> Self {
        Self { at, offset: Offset::UTC }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let at = text.parse().ok()?;
        let offset = Pieces::parse(text).ok()?.to_numeric_offset().unwrap_or(Offset::UTC);
        Some(Self { at, offset })
    }

    pub(crate) fn at(self) -> Timestamp {
        self.at
    }

    /// Whether it is a day rather than an hour: midnight by its own clock.
    pub(crate) fn is_day(self) -> bool {
        (self.at.as_seconds() + i64::from(self.offset.seconds())) % 86_400 == 0
    }

    /// Whether it is to be shown by the clocks of its own place, wherever the reader is.
    pub(crate) fn is_local(self) -> bool {
        self.is_day() || self.offset != Offset::UTC
    }

    /// For people: the day alone, or with the hour.
    pub(crate) fn human(self) -> String {
        let pattern = match (self.is_day(), self.is_local()) {
            (true, _) => "%-d %b %Y",
            (false, true) => "%-d %b %Y, %H:%M",
            (false, false) => "%-d %b %Y, %H:%M UTC",
        };
        self.written(pattern)
    }

    /// For people, as much of the day and of the hour as a field asks for.
    pub(crate) fn styled(self, asked: DateFormat) -> String {
        let day = match asked.date {
            Some(DateLength::None) => "",
            None | Some(DateLength::Short | DateLength::Medium) => "%-d %b %Y",
            Some(DateLength::Long) => "%-d %B %Y",
            Some(DateLength::Full) => "%A, %-d %B %Y",
        };
        let hour = match asked.time {
            Some(DateLength::None) => "",
            None if self.is_day() => "",
            None | Some(DateLength::Short) => "%H:%M",
            Some(DateLength::Medium | DateLength::Long | DateLength::Full) => "%H:%M:%S",
        };
        let zone = if hour.is_empty() || asked.local || self.offset != Offset::UTC { "" } else { " UTC" };
        match (day, hour) {
            ("", "") => self.human(),
            (day, "") => self.written(day),
            ("", hour) => self.written(&format!("{hour}{zone}")),
            (day, hour) => self.written(&format!("{day}, {hour}{zone}")),
        }
    }

    /// As both wallets read it: RFC 3339, whole seconds.
    pub(crate) fn wallet(self) -> String {
        self.written(if self.offset == Offset::UTC { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%:z" })
    }

    /// As Google reads the times of flights: by the clock of a place, without an offset. A zone that has no such name in the
    /// database of zones counts for nothing: the time is then read by the clock that it was given in.
    pub(crate) fn local(self, zone: Option<&str>) -> String {
        let zone = zone.and_then(|zone| TimeZone::get(zone).ok());
        let at = jiff::Timestamp::from_second(self.at.as_seconds()).ok();
        let offset = zone.zip(at).map_or(self.offset, |(zone, at)| zone.to_offset(at));
        Self { offset, ..self }.written("%Y-%m-%dT%H:%M:%S")
    }

    fn written(self, pattern: &str) -> String {
        match jiff::Timestamp::from_second(self.at.as_seconds()) {
            Ok(instant) => instant.to_zoned(TimeZone::fixed(self.offset)).strftime(pattern).to_string(),
            Err(_) => self.at.to_string(),
        }
    }
}

impl PassView<'_> {
    /// Whether only a blank, void card may be shown.
    pub(crate) fn is_blank(&self) -> bool {
        matches!(self.pass.lifecycle, Lifecycle::Deleted { .. })
    }

    /// Fills a text in; one that is a single placeholder keeps the type of its value. Nothing when it comes out empty.
    pub(crate) fn value(&self, text: &Text) -> Option<Value> {
        let value = match text.sole_name() {
            Some(name) => self.look_up(name)?,
            None => Value::Text(self.text(text)),
        };
        match &value {
            Value::Text(text) if text.trim().is_empty() => None,
            _ => Some(value),
        }
    }

    /// Fills a text in that stands for a time; nothing while it is not known, or no time.
    pub(crate) fn moment(&self, text: &Text) -> Option<Moment> {
        match self.value(text)? {
            Value::Time(time) => Some(time),
            Value::Text(text) => Moment::parse(&text),
            Value::Number(_) => None,
        }
    }

    /// Fills a text in.
    pub fn text(&self, text: &Text) -> String {
        text.fill(|name| self.look_up(name).map(|value| plain(&value)))
    }

    fn look_up(&self, name: &str) -> Option<Value> {
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        let (group, key) = name.split_once('.')?;
        match (group, key) {
            ("fields", key) => self.field(key),
            ("balances", key) => self.pass.balances.get(key).or_else(|| self.project.balances.get(key)).copied().map(amount),
            ("contact", "name") => text(self.contact?.name.as_deref()?),
            ("contact", "email") => text(self.contact?.email.as_deref()?),
            ("contact", "phone") => text(self.contact?.phone.as_deref()?),
            ("contact", "external_id") => text(self.contact?.external_id.as_deref()?),
            ("pass", "id") => Some(Value::Text(self.pass.id.to_string())),
            ("pass", "external_id") => text(self.pass.external_id.as_deref()?),
            ("pass", "serial") => text(&self.pass.serial),
            ("pass", "code") => text(self.pass.code.as_str()),
            ("pass", "signed" | "rotating") => Some(Value::Text(self.codes?.sign(&self.ticket()))),
            ("pass", "message") => text(&self.pass.message.as_ref()?.text),
            ("pass", "expires_at") => self.pass.validity.expires_at.map(|at| Value::Time(Moment::utc(at))),
            ("variant", "id") => text(self.pass.variant.as_str()),
            ("variant", "name") => text(&self.project.variant(Some(&self.pass.variant))?.name),
            ("project", "name") => text(&self.project.name),
            _ => None,
        }
    }

    /// What the pass's signed code says.
    pub(crate) fn ticket(&self) -> scan_code::Ticket {
        let seconds = |time: Option<Timestamp>| time.map(Timestamp::as_seconds);
        scan_code::Ticket {
            pass: self.pass.id.uuid(),
            epoch: self.pass.barcode_epoch,
            not_before: seconds(self.pass.validity.starts_at),
            not_after: seconds(self.pass.validity.expires_at),
        }
    }

    /// A field of the pass, or its default.
    pub(crate) fn field(&self, key: &str) -> Option<Value> {
        let definition = self.project.field(key);
        let value = self.pass.fields.get(key).or_else(|| definition.and_then(|field| field.default.as_ref()))?;
        Some(match value {
            FieldValue::Number(number) => Value::Number(number.clone()),
            FieldValue::Flag(flag) => Value::Text(if *flag { "Yes" } else { "No" }.to_owned()),
            FieldValue::Text(text) => {
                let is_time = definition.is_some_and(|field| field.field_type == FieldType::Time);
                match Moment::parse(text) {
                    Some(time) if is_time => Value::Time(time),
                    _ => Value::Text(text.clone()),
                }
            }
        })
    }

    /// A field of the pass as text.
    pub(crate) fn field_text(&self, key: &str) -> Option<String> {
        self.field(key).map(|value| plain(&value)).filter(|text| !text.trim().is_empty())
    }
}

/// An amount as a JSON number; one with more digits than a double holds stays text.
pub(crate) fn amount(amount: Amount) -> Value {
    let text = amount.to_string();
    if let Ok(whole) = text.parse::<i64>() {
        return Value::Number(whole.into());
    }
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let number = text.parse::<f64>().ok().filter(|_| digits <= EXACT_DIGITS).and_then(Number::from_f64);
    number.map_or(Value::Text(text), Value::Number)
}

/// A value as one would write it without knowing more.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Time(time) => time.human(),
    }
}

/// A value as a field shows it where no device formats it: on the web and in Google's text modules.
pub(crate) fn as_shown(value: &Value, field: &DesignField) -> String {
    let time = match (value, &field.number, &field.date) {
        (Value::Time(time), ..) => Some(*time),
        (Value::Text(text), None, Some(_)) => Moment::parse(text),
        _ => None,
    };
    match time {
        Some(time) => time.styled(field.date.unwrap_or_default()),
        None => formatted(value, field.number.as_ref()),
    }
}

/// A number as a field asks for it, and anything else as it is.
pub(crate) fn formatted(value: &Value, format: Option<&NumberFormat>) -> String {
    let (Some(format), Some(number)) = (format, micros(value)) else {
        return match value {
            Value::Number(number) => micros(value).map_or_else(|| number.to_string(), |micros| grouped(micros, None)),
            other => plain(other),
        };
    };
    match format {
        NumberFormat::Decimal => grouped(number, None),
        NumberFormat::Percent => {
            number.checked_mul(100).map_or_else(|| plain(value), |hundred| format!("{}%", grouped(hundred, None)))
        }
        NumberFormat::Currency(code) => money(number, code),
    }
}

/// Millionths, when the value is a decimal number in range.
pub(crate) fn micros(value: &Value) -> Option<i64> {
    match value {
        Value::Text(text) => text.parse::<Amount>().ok().map(Amount::micros),
        Value::Number(number) => number.to_string().parse::<Amount>().ok().map(Amount::micros),
        Value::Time(_) => None,
    }
}

fn money(micros: i64, code: &str) -> String {
    let digits = grouped(micros.saturating_abs(), Some(minor_digits(code)));
    let sign = if micros < 0 { "-" } else { "" };
    match code {
        "EUR" => format!("{sign}€{digits}"),
        "USD" => format!("{sign}${digits}"),
        "GBP" => format!("{sign}£{digits}"),
        "JPY" => format!("{sign}¥{digits}"),
        code => format!("{sign}{code}\u{a0}{digits}"),
    }
}

/// Digits after the point that a currency is written with (ISO 4217).
fn minor_digits(code: &str) -> usize {
    match code {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "VND" | "VUV" | "XAF" | "XOF"
        | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// Millionths with a comma every three digits, rounded to so many digits after the point, or as many as it has.
fn grouped(micros: i64, digits: Option<usize>) -> String {
    let rounded = match digits {
        Some(digits) if digits < 6 => {
            let step = 10i128.pow(6 - u32::try_from(digits).unwrap_or(0));
            let half = if micros < 0 { -step / 2 } else { step / 2 };
            (i128::from(micros) + half) / step * step
        }
        _ => i128::from(micros),
    };
    let magnitude = rounded.unsigned_abs();
    let whole = (magnitude / 1_000_000).to_string();
    let fraction = format!("{:06}", magnitude % 1_000_000);
    let fraction = match digits {
        Some(digits) => &fraction[..digits.min(6)],
        None => fraction.trim_end_matches('0'),
    };
    let mut out = String::from(if rounded < 0 { "-" } else { "" });
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// A time as both wallets read it: RFC 3339, UTC, whole seconds.
pub(crate) fn wallet_time(time: Timestamp) -> String {
    Moment::utc(time).wallet()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Value {
        Value::Number(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn numbers_are_written_as_the_field_asks() {
        let eur = NumberFormat::Currency("EUR".to_owned());
        let table = [
            (number("1250"), None, "1,250"),
            (number("1234567.5"), Some(NumberFormat::Decimal), "1,234,567.5"),
            (number("0.25"), Some(NumberFormat::Percent), "25%"),
            (number("12.5"), Some(eur.clone()), "€12.50"),
            (number("-0.005"), Some(eur.clone()), "-€0.01"),
            (number("1500"), Some(NumberFormat::Currency("JPY".to_owned())), "¥1,500"),
            (number("1.5"), Some(NumberFormat::Currency("KWD".to_owned())), "KWD\u{a0}1.500"),
            (Value::Text("7".to_owned()), Some(eur.clone()), "€7.00"),
            (Value::Text("soon".to_owned()), Some(eur), "soon"),
            (number("1e300"), None, "1e+300"),
        ];
        for (value, format, wanted) in table {
            assert_eq!(formatted(&value, format.as_ref()), wanted, "{value:?}");
        }
    }

    #[test]
    fn times_are_written_as_the_field_asks() {
        let field = |value: &str, date: serde_json::Value| -> DesignField {
            let field = serde_json::json!({"key": "at", "label": "At", "value": value, "place": "back", "date": date});
            serde_json::from_value(field).unwrap()
        };
        let evening = "2026-12-20T18:30:05+01:00";
        for (text, date, wanted) in [
            (evening, serde_json::json!({"date": "medium", "time": "short"}), "20 Dec 2026, 18:30"),
            (evening, serde_json::json!({"date": "long", "time": "none"}), "20 December 2026"),
            (evening, serde_json::json!({"date": "full", "time": "none"}), "Sunday, 20 December 2026"),
            (evening, serde_json::json!({"date": "none", "time": "medium"}), "18:30:05"),
            (evening, serde_json::json!({"date": "none", "time": "none"}), "20 Dec 2026, 18:30"),
            ("2026-12-20T18:30:00Z", serde_json::json!({}), "20 Dec 2026, 18:30 UTC"),
            ("2026-12-20T18:30:00Z", serde_json::json!({"date": "none", "time": "short", "local": true}), "18:30"),
            ("2026-12-20T00:00:00Z", serde_json::json!({}), "20 Dec 2026"),
            ("2026-12-20T00:00:00Z", serde_json::json!({"time": "short"}), "20 Dec 2026, 00:00 UTC"),
            ("at dusk", serde_json::json!({"date": "medium"}), "at dusk"),
            (evening, serde_json::Value::Null, evening),
        ] {
            let field = field(text, date);
            assert_eq!(as_shown(&Value::Text(text.to_owned()), &field), wanted, "{:?}", field.date);
        }
        let known = Value::Time(Moment::parse("2026-12-20T18:30:00Z").unwrap());
        assert_eq!(as_shown(&known, &field("{{pass.expires_at}}", serde_json::json!({"time": "none"}))), "20 Dec 2026");
    }

    #[test]
    fn amounts_stay_numbers_as_long_as_that_is_exact() {
        let number_of = |text: &str| amount(text.parse().unwrap());
        assert_eq!(number_of("120"), number("120"));
        assert_eq!(number_of("12.34"), number("12.34"));
        assert_eq!(number_of("9223372036854.775807"), Value::Text("9223372036854.775807".to_owned()));
    }

    #[test]
    fn times_are_shown_by_the_clock_that_they_were_given_in() {
        let table = [
            ("2026-11-20T09:30:00.25Z", "20 Nov 2026, 09:30 UTC", "2026-11-20T09:30:00Z", false),
            ("2026-11-20T09:30:00+05:30", "20 Nov 2026, 09:30", "2026-11-20T09:30:00+05:30", true),
            ("2026-12-31T00:00:00Z", "31 Dec 2026", "2026-12-31T00:00:00Z", true),
            ("2026-12-31T00:00:00-08:00", "31 Dec 2026", "2026-12-31T00:00:00-08:00", true),
        ];
        for (text, human, wallet, local) in table {
            let moment = Moment::parse(text).unwrap();
            assert_eq!((moment.human().as_str(), moment.wallet().as_str(), moment.is_local()), (human, wallet, local), "{text}");
        }
        assert_eq!(Moment::parse("tomorrow"), None);
        let noon = Moment::parse("2026-11-20T12:00:00Z").unwrap();
        let local = |zone| noon.local(zone);
        assert_eq!(local(Some("Asia/Tokyo")), "2026-11-20T21:00:00");
        assert_eq!((local(None), local(Some("Nowhere"))), ("2026-11-20T12:00:00".to_owned(), "2026-11-20T12:00:00".to_owned()));
        assert_eq!(Moment::parse("2026-11-20T12:00:00+01:00").unwrap().local(None), "2026-11-20T12:00:00");
    }
}
