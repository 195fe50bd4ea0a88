//! SmartPass: links that carry what the pass will say, encrypted, so that a record comes into being on the first visit.
//!
//! `?data=…&iv=…`, AES-256-CBC with PKCS #7 padding under a key of 64 hexadecimal digits, around a JSON object of names and
//! texts. PassKit's published generators write it in two ways, and both are read: unpadded base64url with the `iv` in
//! hexadecimal digits (Go, CSV), and standard base64 that was not escaped for a URL (Node), so that `+` arrives as a blank.
//! There is no authentication: who can write such a link knows the key, and nothing more is believed of it.

use std::{collections::BTreeMap, str::FromStr};

use aws_lc_rs::{
    cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey},
    iv::FixedLength,
};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use domain::{Amount, ContactInput, FieldDef, FieldType, FieldValue, Prefill, Project, Timestamp, Validity, VariantId};
use serde_json::Value;

use super::record::{POINTS, SECONDARY_POINTS, TIER_POINTS};

/// Length of the block and of the initialization vector, in bytes.
const BLOCK: usize = 16;
/// Either alphabet is turned into this one; padding may be there or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
);

/// What a link says, by PassKit's names. Nothing when it was not written with the key: why is not told, since an answer that
/// differs by the padding gives the text away byte by byte.
pub fn open(key: &[u8; 32], data: &str, iv: &str) -> Option<BTreeMap<String, String>> {
    let iv: [u8; BLOCK] = initial(iv)?.try_into().ok()?;
    let mut data = bytes(data)?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, key).ok()?).ok()?;
    let plain = key.decrypt(&mut data, DecryptionContext::Iv128(FixedLength::from(iv))).ok()?;
    let Value::Object(members) = serde_json::from_slice(plain).ok()? else { return None };
    let text = |value: Value| match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    Some(members.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect())
}

fn initial(text: &str) -> Option<Vec<u8>> {
    if text.len() == 2 * BLOCK { crate::kit::signature::unhex(text) } else { bytes(text) }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let url_safe: String = text
        .chars()
        .map(|c| match c {
            ' ' | '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    BASE64.decode(url_safe).ok()
}

/// What a link's names mean for a pass of a project. Names that neither PassKit nor the project knows are left out, as
/// PassKit does.
///
/// # Errors
/// Names the value that does not fit, and what was expected.
pub fn read(names: &BTreeMap<String, String>, project: &Project) -> Result<Prefill, String> {
    let text = |name: &str| names.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let mut prefill = Prefill {
        contact: contact(&text),
        external_id: ["members.member.externalId", "singleUseCoupons.coupon.externalId"].into_iter().find_map(text),
        validity: Validity { starts_at: None, expires_at: parsed("universal.expiryDate", &text, time)? },
        ..Prefill::default()
    };
    let tier = ["members.tier.id", "members.tierId"].into_iter().find(|name| names.contains_key(*name));
    if let Some(name) = tier {
        prefill.variant = parsed(name, &text, |text| VariantId::from_str(text).ok())?;
    }
    for (name, known) in [("points", POINTS), ("secondaryPoints", SECONDARY_POINTS), ("tierPoints", TIER_POINTS)] {
        let balance = known.iter().find(|balance| project.balances.contains_key(**balance));
        let amount = parsed(&format!("members.member.{name}"), &text, |text| Amount::from_str(text).ok())?;
        prefill.balances.extend(balance.map(|balance| (*balance).to_owned()).zip(amount));
    }
    for (name, value) in names {
        if let Some(key) = name.strip_prefix("utm_") {
            prefill.utm.insert(key.to_owned(), value.clone());
        } else if let Some(field) = name.strip_prefix("meta.").and_then(|key| project.field(key))
            && !value.is_empty()
        {
            prefill.fields.insert(field.key.clone(), value_of(field, value).ok_or_else(|| misfit(name))?);
        }
    }
    Ok(prefill)
}

fn contact(text: &impl Fn(&str) -> Option<String>) -> ContactInput {
    let parts = ["person.forename", "person.surname"].into_iter().filter_map(text).collect::<Vec<_>>();
    ContactInput {
        external_id: text("person.externalId"),
        name: text("person.displayName").or_else(|| (!parts.is_empty()).then(|| parts.join(" "))),
        email: text("person.emailAddress"),
        phone: text("person.mobileNumber"),
        ..ContactInput::default()
    }
}

fn parsed<T>(name: &str, text: &impl Fn(&str) -> Option<String>, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, String> {
    text(name).map(|text| parse(&text).ok_or_else(|| misfit(name))).transpose()
}

fn misfit(name: &str) -> String {
    format!("{name} has a value that does not fit")
}

/// A time as PassKit takes it: RFC 3339, or seconds since 1970.
fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| text.parse().ok().map(Timestamp::from_seconds))
}

fn value_of(field: &FieldDef, text: &str) -> Option<FieldValue> {
    Some(match field.field_type {
        FieldType::Text => FieldValue::Text(text.to_owned()),
        FieldType::Number => FieldValue::Number(text.parse().ok()?),
        FieldType::Flag => FieldValue::Flag(match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => true,
            "false" | "no" | "0" => false,
            _ => return None,
        }),
        FieldType::Time => FieldValue::Text(time(text)?.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_opens_what_was_not_sealed(data in "\\PC*", iv in "[0-9a-fA-F]{32}|\\PC*") {
            prop_assert!(open(&[7; 32], &data, &iv).is_none());
        }
    }

    #[test]
    fn both_alphabets_with_and_without_padding() {
        for text in ["-_-_aQ", "-_-_aQ==", "+/+/aQ==", " / /aQ=="] {
            assert_eq!(bytes(text).unwrap(), [0xfb, 0xff, 0xbf, 0x69], "{text}");
        }
        assert_eq!(bytes("*"), None);
    }

    #[test]
    fn times_are_read_in_both_ways() {
        assert_eq!(time("1767225600"), time("2026-01-01T00:00:00Z"));
        assert_eq!(time("soon"), None);
    }
}
