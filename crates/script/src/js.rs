//! The few rules of JavaScript values that the public languages inherit from their first implementation.

use std::fmt::Write as _;

use serde_json::{Number, Value};

/// Whether JavaScript takes the value for false in `a && b`.
#[must_use]
pub fn falsy(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Bool(true) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// A number as JavaScript prints it: no `.0`, exponents from 1e21 up and below 1e-6. Integers keep all their digits.
#[must_use]
pub fn number(number: &Number) -> String {
    if number.is_f64() { float(number.as_f64().unwrap_or(0.0)) } else { number.to_string() }
}

fn float(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs();
    if (1e-6..1e21).contains(&magnitude) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

/// A value as JavaScript's `String(value)`: lists joined by commas, objects by their class name.
#[must_use]
pub fn string(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(value) => number(value),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let parts: Vec<String> = items.iter().map(|item| if item.is_null() { String::new() } else { string(item) }).collect();
            parts.join(",")
        }
        Value::Object(_) => "[object Object]".to_owned(),
    }
}

/// Compact JSON with numbers printed as JavaScript does.
pub fn stringify(value: &Value, out: &mut String) {
    match value {
        Value::Number(value) => out.push_str(&number(value)),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                stringify(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, (name, member)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                let _ = write!(out, "{}:", Value::from(name.as_str()));
                stringify(member, out);
            }
            out.push('}');
        }
        plain => {
            let _ = write!(out, "{plain}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_print_as_in_javascript() {
        let cases = [
            (json!(5), "5"),
            (json!(5.0), "5"),
            (json!(-0.0), "0"),
            (json!(0.1), "0.1"),
            (json!(1e21), "1e+21"),
            (json!(1.5e300), "1.5e+300"),
            (json!(123_456_789_012_345_680_000.0), "123456789012345680000"),
            (json!(0.000_001), "0.000001"),
            (json!(0.000_000_1), "1e-7"),
            (json!(9_007_199_254_740_993_u64), "9007199254740993"),
        ];
        for (value, expected) in cases {
            assert_eq!(string(&value), expected);
        }
    }

    #[test]
    fn lists_and_objects_print_as_in_javascript() {
        assert_eq!(string(&json!([1, null, "a", [2.0, 3]])), "1,,a,2,3");
        assert_eq!(string(&json!({"a": 1})), "[object Object]");
        let mut out = String::new();
        stringify(&json!({"a": [1.0, "x\"y", null, true], "b": {}}), &mut out);
        assert_eq!(out, r#"{"a":[1,"x\"y",null,true],"b":{}}"#);
    }
}
