//! Mappings whose result must be of one type, and how a value becomes that type.

use std::time::Duration;

use domain::{Amount, FieldType, FieldValue, PassId, Project, Timestamp, UninstallReason, Wallet};
use serde_json::{Map, Value};

use super::MAX_TEXT_BYTES;
use super::plan::find_variant;
use crate::Problem;
use crate::mapping::{Mapping, Rules};
use crate::problem::kind;
use crate::targets::Takes;

/// A compiled mapping and where it stands in the document.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    mapping: Mapping,
    path: String,
}

/// What an expression found.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Given<T> {
    /// Nothing.
    Missing,
    /// Null, or a text of blanks.
    Null,
    /// A value.
    Value(T),
}

impl<T> Given<T> {
    pub(super) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Missing | Self::Null => None,
        }
    }

    /// As a change: nothing, lift it, or set it.
    pub(super) fn change(self) -> Option<Option<T>> {
        match self {
            Self::Missing => None,
            Self::Null => Some(None),
            Self::Value(value) => Some(Some(value)),
        }
    }
}

impl Expression {
    pub(super) fn compile(value: &Value, path: &str, rules: Rules, problems: &mut Vec<Problem>) -> Option<Self> {
        match Mapping::compile_by(value, rules) {
            Ok(mapping) => Some(Self { mapping, path: path.to_owned() }),
            Err(found) => {
                problems.extend(found.into_iter().map(|problem| problem.under(path)));
                None
            }
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Where the value would come from, for messages: `userId`, or `the mapping` when it names no path.
    pub(super) fn origin(&self) -> String {
        let paths = self.mapping.paths();
        if paths.is_empty() { "the mapping".to_owned() } else { paths.join(", ") }
    }

    /// Resolves and reads the value; the message of a reader never repeats the value, which may be personal.
    pub(super) fn read<T>(
        &self,
        event: &Value,
        reader: impl FnOnce(&Value) -> Result<Option<T>, String>,
    ) -> Result<Given<T>, Problem> {
        let resolved = self.mapping.resolve(event).map_err(|problem| problem.under(&self.path))?;
        match resolved {
            None => Ok(Given::Missing),
            Some(Value::Null) => Ok(Given::Null),
            Some(value) => match reader(&value) {
                Ok(Some(value)) => Ok(Given::Value(value)),
                Ok(None) => Ok(Given::Null),
                Err(message) => Err(Problem::new(self.path.clone(), format!("{message} (from {})", self.origin()))),
            },
        }
    }
}

/// A text that identifies or names: numbers are written out, blanks around it go, an empty one is none.
pub(super) fn text(value: &Value) -> Result<Option<String>, String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => script::js::number(number),
        other => return Err(format!("expected a text, found {}", kind(other))),
    };
    if text.len() > MAX_TEXT_BYTES {
        return Err(format!("expected a text of at most {MAX_TEXT_BYTES} bytes"));
    }
    Ok((!text.is_empty()).then_some(text))
}

/// The id of a pass.
pub(super) fn pass(value: &Value) -> Result<Option<String>, String> {
    let found = text(value)?;
    match found.as_ref().map(|id| id.parse::<PassId>()) {
        Some(Err(_)) => Err(NO_PASS_ID.to_owned()),
        Some(Ok(_)) | None => Ok(found),
    }
}

/// What is wrong with the id of a pass that is none.
pub(super) const NO_PASS_ID: &str = "expected a pass id: 22 letters and digits, or a UUID";

/// An object of names and values.
pub(super) fn object(value: &Value) -> Result<Option<Map<String, Value>>, String> {
    value.as_object().cloned().map(Some).ok_or_else(|| format!("expected an object of names and values, found {}", kind(value)))
}

/// Whether a value is a text of blanks.
pub(super) fn is_blank(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// A wallet by its name, however it is written.
pub(super) fn wallet(value: &Value) -> Result<Option<Wallet>, String> {
    let Some(name) = text(value)? else { return Ok(None) };
    let found = Wallet::ALL.into_iter().find(|wallet| wallet.name().eq_ignore_ascii_case(&name));
    found.map(Some).ok_or_else(|| "expected apple or google, or nothing where it is not known".to_owned())
}

/// How another platform knows that a pass is gone.
pub(super) fn reason(value: &Value) -> Result<Option<UninstallReason>, String> {
    match text(value)?.as_deref() {
        None => Ok(None),
        Some("told") => Ok(Some(UninstallReason::Told)),
        Some("unregistered") => Ok(Some(UninstallReason::Unregistered)),
        Some("removed") => Ok(Some(UninstallReason::Removed)),
        Some("token_dead") => Ok(Some(UninstallReason::TokenDead)),
        Some(_) => Err("expected told, unregistered, removed or token_dead".to_owned()),
    }
}

/// True or false, also as text.
pub(super) fn flag(value: &Value) -> Result<Option<bool>, String> {
    match value {
        Value::Bool(flag) => Ok(Some(*flag)),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => {
            text.trim().to_lowercase().parse().map(Some).map_err(|_| "expected true or false, found another text".to_owned())
        }
        other => Err(format!("expected true or false, found {}", kind(other))),
    }
}

/// A whole number that counts something.
pub(super) fn count(value: &Value) -> Result<Option<u32>, String> {
    let amount = amount(value)?;
    let whole = |amount: Amount| u32::try_from(amount.micros() / MICROS).ok().filter(|_| amount.micros() % MICROS == 0);
    amount.map(|amount| whole(amount).ok_or_else(|| "expected a whole number, not below zero".to_owned())).transpose()
}

const MICROS: i64 = 1_000_000;

/// A decimal. A number is rounded to the six digits that a balance keeps; a text must be written that way.
pub(super) fn amount(value: &Value) -> Result<Option<Amount>, String> {
    let parsed = match value {
        Value::Number(number) if number.is_f64() => format!("{:.6}", number.as_f64().unwrap_or(0.0)).parse::<Amount>(),
        Value::Number(number) => number.to_string().parse::<Amount>(),
        Value::String(text) if text.trim().is_empty() => return Ok(None),
        Value::String(text) => text.parse::<Amount>(),
        other => return Err(format!("expected a number, found {}", kind(other))),
    };
    parsed.map(Some).map_err(|error| error.to_string())
}

/// A point in time: RFC 3339, a date (its first moment, UTC), or Unix seconds or milliseconds.
pub(super) fn time(value: &Value) -> Result<Option<Timestamp>, String> {
    const EXPECTED: &str = "expected a time such as 2026-11-20T09:30:00Z or a date such as 2026-11-20";
    /// From here on a number is taken for milliseconds; as seconds it would be after the year 5000.
    const FIRST_MILLIS: i64 = 100_000_000_000;
    match value {
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => {
            let text = text.trim();
            let date = text.len() == 10 && text.bytes().filter(|byte| *byte == b'-').count() == 2;
            let full = if date { format!("{text}T00:00:00Z") } else { text.to_owned() };
            full.parse().map(Some).map_err(|_| EXPECTED.to_owned())
        }
        Value::Number(number) => match number.as_i64() {
            Some(millis) if millis >= FIRST_MILLIS => Ok(Some(Timestamp::from_micros(millis.saturating_mul(1_000)))),
            Some(seconds) if seconds >= 0 => Ok(Some(Timestamp::from_seconds(seconds))),
            _ => Err(EXPECTED.to_owned()),
        },
        other => Err(format!("{EXPECTED}, found {}", kind(other))),
    }
}

/// A span written as `90m`, `12h`, `30d` or `4w`.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    const MAX_DAYS: u64 = 36_500;
    const EXPECTED: &str = "expected a span such as 90m, 12h, 30d or 4w, at most 100 years";
    let text = text.trim();
    let unit = match text.chars().last() {
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        Some('w') => 7 * 86_400,
        _ => return Err(EXPECTED.to_owned()),
    };
    let digits = text.get(..text.len() - 1).unwrap_or_default();
    let seconds =
        digits.parse::<u64>().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit())).and_then(|n| n.checked_mul(unit));
    seconds.filter(|seconds| *seconds <= MAX_DAYS * 86_400).map(Duration::from_secs).ok_or_else(|| EXPECTED.to_owned())
}

/// A rate written as `10/second`, `300/minute` or `5000/hour`: how far its turns lie apart.
pub(super) fn rate(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected a rate such as 10/second, 300/minute or 5000/hour, at most 1000/second";
    let (count, unit) = text.split_once('/').ok_or(EXPECTED)?;
    let unit = match unit.trim() {
        "second" | "s" => 1,
        "minute" | "m" => 60,
        "hour" | "h" => 3_600,
        "day" | "d" => 86_400,
        _ => return Err(EXPECTED.to_owned()),
    };
    let count = count.trim();
    let count = count.parse::<u32>().ok().filter(|n| *n > 0 && count.bytes().all(|b| b.is_ascii_digit())).ok_or(EXPECTED)?;
    let apart = Duration::from_secs(unit) / count;
    if apart < Duration::from_millis(1) { Err(EXPECTED.to_owned()) } else { Ok(apart) }
}

/// A value of a pass's field, brought to the type of the field where that is plain to see.
pub(super) fn field(value: &Value, field_type: FieldType) -> Result<Option<FieldValue>, String> {
    let read = match field_type {
        FieldType::Text => FieldValue::from_json(value),
        FieldType::Number => match value {
            Value::String(text) if text.trim().is_empty() => return Ok(None),
            Value::String(text) => text.trim().parse::<serde_json::Number>().ok().map(FieldValue::Number),
            other => FieldValue::from_json(other),
        },
        FieldType::Flag => return Ok(flag(value)?.map(FieldValue::Flag)),
        FieldType::Time => return Ok(time(value)?.map(|time| FieldValue::Text(time.to_string()))),
    };
    let Some(read) = read else {
        let expected =
            if field_type == FieldType::Number { "a number" } else { "a text of at most 4,096 bytes, a number, true or false" };
        return Err(format!("expected {expected}, found {}", kind(value)));
    };
    match field_type.misfit(&read) {
        Some(misfit) => Err(format!("{misfit}, found {}", kind(value))),
        None => Ok(Some(read)),
    }
}

/// Whether a value could stand at a place of a step.
pub(crate) fn fits(project: &Project, place: &str, takes: Takes, value: &Value) -> bool {
    let typed = |field_type| field(value, field_type).is_ok_and(|read| read.is_some());
    match takes {
        Takes::Text | Takes::Message => {
            let read = text(value).ok().flatten();
            read.is_some_and(|text| place != "variant" || find_variant(project, &text).is_some())
        }
        Takes::Number => typed(FieldType::Number),
        Takes::Flag => typed(FieldType::Flag),
        Takes::Time => typed(FieldType::Time),
        Takes::Count => count(value).is_ok_and(|read| read.is_some()),
        Takes::Amount => amount(value).is_ok_and(|read| read.is_some()),
        Takes::Object => value.is_object(),
    }
}

/// How a computed amount is brought to whole units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rounding {
    /// To the next whole one below.
    Down,
    /// To the nearest whole one, halves away from zero.
    Nearest,
    /// To the next whole one above.
    Up,
}

/// `amount` × `factor`, then rounded.
pub(super) fn scaled(amount: Amount, factor: Option<Amount>, rounding: Option<Rounding>) -> Result<Amount, String> {
    let unit = i128::from(MICROS);
    let mut micros = i128::from(amount.micros());
    if let Some(factor) = factor {
        micros = nearest(micros * i128::from(factor.micros()), unit);
    }
    micros = match rounding {
        None => micros,
        Some(Rounding::Down) => micros.div_euclid(unit) * unit,
        Some(Rounding::Up) => -((-micros).div_euclid(unit)) * unit,
        Some(Rounding::Nearest) => nearest(micros, unit) * unit,
    };
    i64::try_from(micros).map(Amount::from_micros).map_err(|_| "the amount is out of range".to_owned())
}

/// `value / unit` to the nearest whole, halves away from zero.
fn nearest(value: i128, unit: i128) -> i128 {
    let half = if value < 0 { -unit / 2 } else { unit / 2 };
    (value + half) / unit
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_become_their_type() {
        assert_eq!(text(&json!("  a ")), Ok(Some("a".to_owned())));
        assert_eq!(text(&json!(5.0)), Ok(Some("5".to_owned())));
        assert_eq!(text(&json!(" ")), Ok(None));
        assert!(text(&json!([1])).is_err());
        assert_eq!(flag(&json!("TRUE")), Ok(Some(true)));
        assert!(flag(&json!("yes")).is_err());
        assert_eq!(count(&json!("3")), Ok(Some(3)));
        assert!(count(&json!(1.5)).is_err() && count(&json!(-1)).is_err());
        let shown = |value: Value| amount(&value).map(|amount| amount.map(|amount| amount.to_string()));
        assert_eq!(shown(json!(0.1 + 0.2)), Ok(Some("0.3".to_owned())));
        assert_eq!(shown(json!("10.50")), Ok(Some("10.5".to_owned())));
        assert_eq!(shown(json!("")), Ok(None));
        assert!(shown(json!("ten")).is_err() && shown(json!(1e30)).is_err());
        let at = |value: Value| time(&value).map(|time| time.map(|time| time.to_string()));
        assert_eq!(at(json!("2026-11-20")), Ok(Some("2026-11-20T00:00:00Z".to_owned())));
        assert_eq!(at(json!("2026-11-20T10:00:00+01:00")), Ok(Some("2026-11-20T09:00:00Z".to_owned())));
        assert_eq!(at(json!(1_700_000_000)), at(json!(1_700_000_000_000_i64)));
        assert!(at(json!("tomorrow")).is_err() && at(json!(-1)).is_err() && at(json!("2026-13-40")).is_err());
        assert_eq!(span("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert!(["", "d", "3", "3y", "-1d", "99999999999999999999w", "9999w"].iter().all(|text| span(text).is_err()));
    }

    #[test]
    fn rates_are_spans_between_turns() {
        assert_eq!(rate("10/second"), Ok(Duration::from_millis(100)));
        assert_eq!(rate(" 300 / minute "), Ok(Duration::from_millis(200)));
        assert_eq!(rate("1/day"), Ok(Duration::from_secs(86_400)));
        assert!(
            ["10", "0/second", "-1/second", "1001/second", "5/week", "1.5/second", "/second"].iter().all(|it| rate(it).is_err())
        );
    }

    #[test]
    fn fields_fit_their_type() {
        assert_eq!(field(&json!("5"), FieldType::Number), Ok(FieldValue::from_json(&json!(5))));
        assert!(field(&json!("five"), FieldType::Number).is_err() && field(&json!(true), FieldType::Number).is_err());
        assert_eq!(field(&json!("true"), FieldType::Flag), Ok(Some(FieldValue::Flag(true))));
        assert_eq!(field(&json!("2026-11-20"), FieldType::Time), Ok(Some(FieldValue::from("2026-11-20T00:00:00Z"))));
        assert!(field(&json!({}), FieldType::Text).is_err());
    }

    #[test]
    fn amounts_scale_and_round() {
        let scale = |amount: &str, factor: Option<&str>, rounding| {
            let factor = factor.map(|factor| factor.parse().unwrap());
            scaled(amount.parse().unwrap(), factor, rounding).map(|amount| amount.to_string())
        };
        assert_eq!(scale("42.5", None, None).unwrap(), "42.5");
        assert_eq!(scale("42.5", Some("2"), None).unwrap(), "85");
        assert_eq!(scale("42.9", Some("0.1"), Some(Rounding::Down)).unwrap(), "4");
        assert_eq!(scale("-1.2", None, Some(Rounding::Down)).unwrap(), "-2");
        assert_eq!(scale("1.2", None, Some(Rounding::Up)).unwrap(), "2");
        assert_eq!(scale("-1.2", None, Some(Rounding::Up)).unwrap(), "-1");
        assert_eq!(scale("2.5", None, Some(Rounding::Nearest)).unwrap(), "3");
        assert_eq!(scale("-2.5", None, Some(Rounding::Nearest)).unwrap(), "-3");
        assert!(scale("9000000000000", Some("9000000"), None).is_err());
    }
}
