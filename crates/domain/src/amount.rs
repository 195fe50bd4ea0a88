//! Balances: decimals of fixed scale, so that points and money add up exactly.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Digits after the point that every amount keeps; Google's micros and PassKit's `%f` have the same six.
const SCALE: u32 = 6;
const UNIT: i64 = 10_i64.pow(SCALE);

/// A signed decimal with six digits after the point, within ±9.2 × 10^12. Text form: shortest, for example `10.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(i64);

/// Text or arithmetic that is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a plain decimal.
    #[error("not a decimal: expected digits with at most {SCALE} after the point, for example 10.5")]
    Malformed,
    /// Out of the range that an amount holds.
    #[error("out of range: an amount holds at most 9223372036854.775807")]
    Overflow,
    /// A JSON number that readers do not agree on.
    #[error("a number of so many digits is not exact: give it as text, for example \"123456789012.123456\"")]
    Inexact,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From millionths.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }
    /// In millionths.
    pub const fn micros(self) -> i64 {
        self.0
    }
    /// The sum, unless it is out of range.
    pub fn plus(self, other: Self) -> Result<Self, AmountError> {
        self.0.checked_add(other.0).map(Self).ok_or(AmountError::Overflow)
    }
    /// The difference, unless it is out of range.
    pub fn minus(self, other: Self) -> Result<Self, AmountError> {
        self.0.checked_sub(other.0).map(Self).ok_or(AmountError::Overflow)
    }
    /// With all six digits after the point, as Go's `%f` prints it.
    pub fn to_fixed(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        format!("{sign}{}.{:06}", magnitude / UNIT.unsigned_abs(), magnitude % UNIT.unsigned_abs())
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fixed = self.to_fixed();
        f.write_str(fixed.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let text = text.trim();
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let fraction = if fraction.len() > SCALE as usize { fraction.trim_end_matches('0') } else { fraction };
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !plain(whole) || !plain(fraction) || fraction.len() > SCALE as usize {
            return Err(AmountError::Malformed);
        }
        let whole: i64 = whole.parse().map_err(|_| AmountError::Overflow)?;
        let fraction: i64 = format!("{fraction:0<6}").parse().map_err(|_| AmountError::Malformed)?;
        let signed = |part: i64| if negative { -part } else { part };
        signed(whole)
            .checked_mul(UNIT)
            .and_then(|micros| micros.checked_add(signed(fraction)))
            .map(Self)
            .ok_or(AmountError::Overflow)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Amount {
    /// Accepts text and JSON numbers.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Number(serde_json::Number),
        }
        let text = match Form::deserialize(deserializer)? {
            Form::Text(text) => text,
            Form::Number(number) if number.is_f64() => plain(number.as_f64().unwrap_or(f64::NAN)).map_err(de::Error::custom)?,
            Form::Number(number) => number.to_string(),
        };
        text.parse().map_err(de::Error::custom)
    }
}

/// A number as digits. A double keeps any fifteen of them; what has more was perhaps written otherwise.
fn plain(number: f64) -> Result<String, AmountError> {
    const EXACT_DIGITS: usize = 15;
    let text = number.to_string();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    match text.split_once('.') {
        Some((_, decimals)) if decimals.len() <= SCALE as usize && digits > EXACT_DIGITS => Err(AmountError::Inexact),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parses_and_prints() {
        for (text, shown) in [("10", "10"), ("10.50", "10.5"), ("-0.000001", "-0.000001"), ("+3", "3"), ("1.0000000", "1")] {
            assert_eq!(text.parse::<Amount>().unwrap().to_string(), shown);
        }
        assert_eq!("10".parse::<Amount>().unwrap().to_fixed(), "10.000000");
        for text in ["", ".", "1e3", "1,5", "0.0000001", "١"] {
            assert_eq!(text.parse::<Amount>(), Err(AmountError::Malformed), "{text}");
        }
        assert_eq!("99999999999999".parse::<Amount>(), Err(AmountError::Overflow));
    }

    #[test]
    fn numbers_are_read_digit_by_digit_or_not_at_all() {
        for (json, shown) in [
            ("0.000001", "0.000001"),
            ("1e-6", "0.000001"),
            ("-1e2", "-100"),
            ("123456789.123456", "123456789.123456"),
            ("123456789012.12", "123456789012.12"),
            ("9223372036854", "9223372036854"),
            ("\"123456789012.123456\"", "123456789012.123456"),
        ] {
            assert_eq!(serde_json::from_str::<Amount>(json).unwrap().to_string(), shown, "{json}");
        }
        for json in ["123456789012.123456", "-9223372036854.775808", "9007199254.740991"] {
            let error = serde_json::from_str::<Amount>(json).unwrap_err().to_string();
            assert!(error.contains("as text"), "{json}: {error}");
        }
        let long = serde_json::from_str::<Amount>("0.30000000000000004").unwrap_err().to_string();
        assert!(long.contains("at most 6 after the point"), "{long}");
        assert!(serde_json::from_str::<Amount>("0.0000001").is_err() && serde_json::from_str::<Amount>("1e300").is_err());
    }

    proptest! {
        #[test]
        fn every_amount_round_trips(micros: i64) {
            let amount = Amount::from_micros(micros);
            prop_assume!(micros != i64::MIN);
            prop_assert_eq!(amount.to_string().parse::<Amount>(), Ok(amount));
        }
    }
}
