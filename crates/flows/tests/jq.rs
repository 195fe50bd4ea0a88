//! `@jq` in mappings.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use flows::mapping::Mapping;
use serde_json::{Value, json};

#[test]
fn jq_is_the_way_out_and_ends() {
    let event = json!({"items": [{"sku": "a", "qty": 2}, {"sku": "b", "qty": 1}], "mail": "ann@example.com"});
    let made = |mapping: Value| Mapping::compile(&mapping).unwrap().resolve(&event);
    assert_eq!(made(json!({"skus": {"@jq": "[.items[].sku] | join(\",\")"}})).unwrap(), Some(json!({"skus": "a,b"})));
    assert_eq!(made(json!({"none": {"@jq": "empty"}, "kept": 1})).unwrap(), Some(json!({"kept": 1})));
    let shape = json!({"@arrayPath": ["$.items", {"double": {"@jq": ".qty * 2"}}]});
    assert_eq!(made(shape).unwrap(), Some(json!([{"double": 4}, {"double": 2}])));
    let endless = made(json!({"a": {"@jq": "def f: f; f"}})).unwrap_err();
    assert!(endless.message.contains("does not end"), "{endless:?}");
    let own = made(json!({"a": {"@jq": ".mail | tonumber"}})).unwrap_err();
    assert!(own.message.contains("jq program ends with an error") && !own.message.contains("ann"), "{own:?}");
    // All programs of a mapping share what one may do.
    let many: Vec<Value> = (0..200).map(|_| json!({"@jq": "[range(2000)] | length"})).collect();
    assert!(made(json!({"a": {"@coalesce": [{"@jq": "[range(2000)] | length"}]}})).is_ok());
    assert!(made(json!({ "a": many })).unwrap_err().message.contains("does not end"));
}
