//! Amounts and points.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::parts::{Extra, LocalizedString};

/// Decimal places of Google's micros: always six, whatever the currency.
const MICRO_DIGITS: u32 = 6;

/// An amount of money.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Money {
    /// Millionths of the currency's unit, in every currency: one yen and one euro are both 1 000 000.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text_or_number")]
    pub micros: i64,
    /// ISO 4217, as `EUR`.
    pub currency_code: String,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Money {
    /// `unscaled` × 10^-`scale` of `currency_code`. `None` when Google's integer cannot hold it or digits would be lost.
    #[must_use]
    pub fn from_decimal(unscaled: i128, scale: u32, currency_code: &str) -> Option<Self> {
        let micros = if scale <= MICRO_DIGITS {
            unscaled.checked_mul(10i128.pow(MICRO_DIGITS - scale))?
        } else {
            let divisor = 10i128.checked_pow(scale - MICRO_DIGITS)?;
            if unscaled % divisor != 0 {
                return None;
            }
            unscaled / divisor
        };
        let micros = i64::try_from(micros).ok()?;
        Some(Self { micros, currency_code: currency_code.to_owned(), extra: Extra::new() })
    }
}

// Google writes 64-bit integers as text, so that JavaScript does not round them, and reads both.
fn as_text<S: Serializer>(micros: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&micros.to_string())
}

fn from_text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum TextOrNumber {
        Number(i64),
        Text(String),
    }
    match TextOrNumber::deserialize(deserializer)? {
        TextOrNumber::Number(number) => Ok(number),
        TextOrNumber::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

/// A balance with its label.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoyaltyPoints {
    /// The label, about nine characters are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The balance, about seven characters are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<PointsBalance>,
    /// The label in several languages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub localized_label: Option<LocalizedString>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A balance: exactly one of the four is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PointsBalance {
    /// A whole number of 32 bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub int: Option<i32>,
    /// A number with a fraction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub double: Option<f64>,
    /// A text, shown as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string: Option<String>,
    /// An amount of money.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub money: Option<Money>,
}

impl PointsBalance {
    /// A whole number; one that does not fit into Google's 32 bits is shown as text.
    #[must_use]
    pub fn whole(points: i64) -> Self {
        match i32::try_from(points) {
            Ok(int) => Self { int: Some(int), ..Self::default() },
            Err(_) => Self::text(points.to_string()),
        }
    }

    /// A text, shown as it is.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { string: Some(text.into()), ..Self::default() }
    }

    /// An amount of money.
    #[must_use]
    pub fn money(money: Money) -> Self {
        Self { money: Some(money), ..Self::default() }
    }

    /// How many of the four are set.
    pub(super) fn set(&self) -> usize {
        usize::from(self.int.is_some())
            + usize::from(self.double.is_some())
            + usize::from(self.string.is_some())
            + usize::from(self.money.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn micros_are_millionths_in_every_currency() {
        for (unscaled, scale, currency, micros) in [
            (1234, 2, "EUR", 12_340_000),
            (500, 0, "JPY", 500_000_000),
            (1500, 3, "KWD", 1_500_000),
            (10_000_000, 7, "USD", 1_000_000),
        ] {
            assert_eq!(Money::from_decimal(unscaled, scale, currency).unwrap().micros, micros, "{currency}");
        }
        assert_eq!(Money::from_decimal(1, 7, "USD"), None, "a digit would be lost");
        assert_eq!(Money::from_decimal(i128::from(i64::MAX), 0, "USD"), None, "too large");
    }

    #[test]
    fn micros_travel_as_text_and_are_read_as_text_or_number() {
        let money = Money::from_decimal(5, 0, "EUR").unwrap();
        assert_eq!(serde_json::to_string(&money).unwrap(), r#"{"micros":"5000000","currencyCode":"EUR"}"#);
        let read: Money = serde_json::from_str(r#"{"micros":5000000,"currencyCode":"EUR"}"#).unwrap();
        assert_eq!(read, money);
    }

    #[test]
    fn a_balance_beyond_32_bits_becomes_text() {
        assert_eq!(PointsBalance::whole(7).int, Some(7));
        assert_eq!(PointsBalance::whole(3_000_000_000).string.as_deref(), Some("3000000000"));
    }
}
