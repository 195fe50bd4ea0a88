use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn event() -> Value {
    json!({
        "userId": "u1", "zero": 0, "empty": "", "no": false, "nothing": null,
        "traits": {"name": "Ada", "email": "ADA@Example.com", "address": {"city": "Köln", "zip": null}},
        "properties": {
            "total": 42.5, "count": 3, "currency": "EUR", "big": 1e21, "tags": ["a", "b"],
            "products": [{"sku": "A-1", "price": 2}, {"sku": "B-2", "price": 3.5}],
            "raw": "{\"a\": [1, 2]}", "bad": "{",
        },
    })
}

fn map(mapping: &Value) -> Option<Value> {
    let compiled = Mapping::compile(mapping).unwrap_or_else(|problems| panic!("{mapping}: {problems:?}"));
    compiled.resolve(&event()).unwrap_or_else(|problem| panic!("{mapping}: {problem}"))
}

fn check(table: Vec<(Value, Value)>) {
    for (mapping, expected) in table {
        assert_eq!(map(&json!({"out": mapping})), Some(expected), "{mapping}");
    }
}

#[test]
fn paths_and_templates() {
    check(vec![
        (json!({"@path": "$.traits.name"}), json!({"out": "Ada"})),
        (json!({"@path": "properties.products[1].sku"}), json!({"out": "B-2"})),
        (json!({"@path": "$.nope"}), json!({})),
        (json!({"@path": "$.nothing"}), json!({"out": null})),
        (json!({"@path": {"@template": "properties.{{nope}}count"}}), json!({"out": 3})),
        (
            json!({"@template": "Hi {{traits.name}}, {{ properties.total }} {{nope}}{{nothing}}!"}),
            json!({"out": "Hi Ada, 42.5 !"}),
        ),
        (json!({"@template": "{{{properties.tags}}} {{properties.big}} {{no}}"}), json!({"out": "a,b 1e+21 false"})),
        (json!({"@template": {"@path": "traits.name"}}), json!({"out": "Ada"})),
        (json!({"@literal": "{{traits.name}} $.x"}), json!({"out": "{{traits.name}} $.x"})),
        (json!({"@literal": {"a": {"@path": "userId"}}}), json!({"out": {"a": "u1"}})),
        (json!("plain"), json!({"out": "plain"})),
        (json!("$['traits'].name"), json!({"out": "Ada"})),
        (json!({"@path": "$['traits'][\"name\"]"}), json!({"out": "Ada"})),
        (json!("$.traits['first name']"), json!({})),
        (json!("$5 off"), json!({"out": "$5 off"})),
        (json!({"@literal": "$.50 off"}), json!({"out": "$.50 off"})),
        (json!([1, {"@path": "$.nope"}, null, {"@path": "userId"}]), json!({"out": [1, null, null, "u1"]})),
        (json!({"a": {"@path": "nope"}, "b": null}), json!({"out": {"b": null}})),
        (json!({"@path": "userId", "_metadata": {"label": "x"}}), json!({"out": "u1"})),
    ]);
}

#[test]
fn choices() {
    check(vec![
        (json!({"@if": {"exists": {"@path": "userId"}, "then": "yes", "else": "no"}}), json!({"out": "yes"})),
        (json!({"@if": {"exists": {"@path": "nothing"}, "then": "yes", "else": "no"}}), json!({"out": "no"})),
        (json!({"@if": {"exists": {"@path": "empty"}, "then": "yes"}}), json!({"out": "yes"})),
        (json!({"@if": {"blank": {"@path": "empty"}, "then": "yes", "else": "no"}}), json!({"out": "no"})),
        (json!({"@if": {"blank": {"@path": "userId"}, "then": {"@path": "userId"}}}), json!({"out": "u1"})),
        (json!({"@if": {"exists": {"@path": "nope"}, "then": 1}}), json!({})),
        (json!({"@if": {"exists": {"@path": "nope"}, "then": 1, "else": 0}}), json!({"out": 0})),
        (json!({"@coalesce": [{"@path": "nope"}, {"@path": "nothing"}, {"@path": "zero"}, 9]}), json!({"out": 0})),
        (json!({"@coalesce": [{"@path": "nope"}, {"@path": "nothing"}]}), json!({"out": null})),
    ]);
}

#[test]
fn texts() {
    check(vec![
        (json!({"@case": {"operator": "lower", "value": {"@path": "traits.email"}}}), json!({"out": "ada@example.com"})),
        (json!({"@case": {"operator": "upper", "value": {"@path": "traits.address.city"}}}), json!({"out": "KÖLN"})),
        (json!({"@case": {"operator": "upper", "value": {"@path": "properties.count"}}}), json!({"out": 3})),
        (json!({"@replace": {"pattern": "a", "replacement": "_", "value": "banana"}}), json!({"out": "b_n_n_"})),
        (
            json!({"@replace": {"pattern": "A", "replacement": "_", "value": "banana", "ignorecase": true, "global": false}}),
            json!({"out": "b_nana"}),
        ),
        (json!({"@replace": {"pattern": "€", "replacement": "$$", "value": "€ 5"}}), json!({"out": "$ 5"})),
        (
            json!({"@replace": {"pattern": "n", "replacement": "<$&>", "pattern2": "<", "replacement2": "(", "value": "on"}}),
            json!({"out": "o(n>"}),
        ),
        (
            json!({"@replace": {"pattern": ".", "replacement": ",", "value": {"@path": "properties.total"}}}),
            json!({"out": "42,5"}),
        ),
        (json!({"@replace": {"pattern": "x", "value": {"@path": "traits"}}}), json!({"out": ""})),
        (
            json!({"@json": {"mode": "encode", "value": {"@path": "properties.products"}}}),
            json!({"out": "[{\"sku\":\"A-1\",\"price\":2},{\"sku\":\"B-2\",\"price\":3.5}]"}),
        ),
        (json!({"@json": {"mode": "encode", "value": {"a": {"@path": "nope"}, "b": 1.0}}}), json!({"out": "{\"b\":1}"})),
        (json!({"@json": {"mode": "decode", "value": {"@path": "properties.raw"}}}), json!({"out": {"a": [1, 2]}})),
        (json!({"@json": {"mode": "decode", "value": {"@path": "properties.bad"}}}), json!({"out": "{"})),
    ]);
}

#[test]
fn shapes() {
    let item = json!({"id": {"@path": "$.sku"}, "gone": {"@path": "$.nope"}});
    check(vec![
        (json!({"@arrayPath": ["$.properties.products"]}), json!({"out": event()["properties"]["products"]})),
        (json!({"@arrayPath": ["$.properties.products", item]}), json!({"out": [{"id": "A-1"}, {"id": "B-2"}]})),
        (json!({"@arrayPath": ["$.properties.products", {"@path": "price"}]}), json!({"out": [2, 3.5]})),
        (json!({"@arrayPath": ["$.traits", {"n": "$.name"}]}), json!({"out": [{"n": "Ada"}]})),
        (json!({"@arrayPath": ["$.nope", {"n": "$.name"}]}), json!({})),
        (
            json!({"@arrayPath": [{"@json": {"mode": "decode", "value": {"@path": "properties.raw"}}}, {"n": "$.a[1]"}]}),
            json!({"out": [{"n": 2}]}),
        ),
        (
            json!({"@merge": {"direction": "right", "objects": [{"a": 1, "b": 1}, {"b": 2}, {"a": {"@path": "nope"}}]}}),
            json!({"out": {"b": 2}}),
        ),
        (json!({"@merge": {"direction": "left", "objects": [{"a": 1}, {"a": 2, "b": 3}]}}), json!({"out": {"a": 1, "b": 3}})),
        (
            json!({"@transform": {"apply": {"x": {"@path": "traits.address"}}, "mapping": {"city": {"@path": "$.x.city"}, "u": {"@path": "userId"}}}}),
            json!({"out": {"city": "Köln"}}),
        ),
        (
            json!({"@flatten": {"separator": ".", "value": {"@path": "traits"}}}),
            json!({"out": {"name": "Ada", "email": "ADA@Example.com", "address.city": "Köln", "address.zip": null}}),
        ),
        (
            json!({"@flatten": {"separator": "_", "value": {"t": {"@path": "properties.tags"}}}}),
            json!({"out": {"t_0": "a", "t_1": "b"}}),
        ),
        (
            json!({"@flatten": {"separator": "_", "omitArrays": true, "value": {"t": {"@path": "properties.tags"}}}}),
            json!({"out": {"t": ["a", "b"]}}),
        ),
        (json!({"@excludeWhenNull": {"@path": "nothing"}}), json!({})),
        (
            json!({"@excludeWhenNull": {"a": null, "b": {"@path": "traits.address"}, "c": [null]}}),
            json!({"out": {"b": {"city": "Köln"}, "c": [null]}}),
        ),
    ]);
}

#[test]
fn other_ways_of_writing() {
    let pairs = json!([
        {"from": "properties.total", "to": "fields.total"},
        {"from": "$.traits.name", "to": "fields.name"},
        {"from": "userId", "to": "id"},
        {"from": "nope", "to": "fields.nope"},
    ]);
    assert_eq!(map(&pairs), Some(json!({"fields": {"total": 42.5, "name": "Ada"}, "id": "u1"})));
    let flat =
        json!({"id": "$.userId", "total": "{{properties.total}}", "hello": "Hi {{traits.name}}", "tier": "gold", "price": "$ 5"});
    assert_eq!(map(&flat), Some(json!({"id": "u1", "total": 42.5, "hello": "Hi Ada", "tier": "gold", "price": "$ 5"})));
    let twice = json!([{"from": "a", "to": "x"}, {"from": "b", "to": "x.y"}, {"from": "c", "to": ""}]);
    let problems = Mapping::compile(&twice).unwrap_err();
    assert_eq!(problems.iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>(), ["[1].to", "[2].to"]);
    assert_eq!(Mapping::compile(&json!({"a": ["x", 1]})).unwrap().constant(), Some(&json!({"a": ["x", 1]})));
    assert_eq!(Mapping::compile(&json!(true)).unwrap().constant(), Some(&json!(true)));
}

#[test]
fn mistakes_point_at_their_place() {
    let table = [
        (json!({"a": {"@paht": "x"}}), "a", "@paht is not a directive"),
        (json!({"a": {"@path": "x", "b": 1}}), "a", "one @-key"),
        (json!({"a": {"@path": "x", "@template": "y"}}), "a", "one @-key"),
        (json!({"a": [{"@path": 5}]}), "a[0].@path", "found a number"),
        (json!({"a": {"@path": "x['y"}}), "a.@path", "closing"),
        (json!({"a.b": {"@template": "{{x"}}), "[\"a.b\"].@template", "closing"),
        (json!({"@template": "{{ }}"}), "@template", "names no field"),
        (json!({"@template": "{{x | upper}}"}), "@template", "filters"),
        (json!({"@if": {"exists": 1}}), "@if", "`then`"),
        (json!({"@if": {"then": 1}}), "@if", "`exists`"),
        (json!({"@if": {"exists": 1, "than": 1, "then": 2}}), "@if.than", "unknown key"),
        (json!({"@if": {"exists": {"@path": "a"}, "then": {"@path": []}}}), "@if.then.@path", "a list"),
        (json!({"@case": {"operator": "title", "value": "x"}}), "@case.operator", "lower, upper"),
        (json!({"@case": {"operator": "lower", "value": 5}}), "@case.value", "a number"),
        (json!({"@replace": {"value": "x"}}), "@replace.pattern", "1 to"),
        (json!({"@replace": {"pattern": "x", "value": "x", "global": 1}}), "@replace.global", "true or false"),
        (json!({"@arrayPath": "x"}), "@arrayPath", "a list of a path"),
        (json!({"@arrayPath": ["x", 5]}), "@arrayPath[1]", "shape"),
        (json!({"@merge": {"objects": [1], "direction": "right"}}), "@merge.objects[0]", "found a number"),
        (json!({"@merge": {"objects": []}}), "@merge.direction", "left, right"),
        (json!({"@transform": {"apply": {"a": 1}}}), "@transform.mapping", "missing"),
        (json!({"@flatten": {"value": {}}}), "@flatten.separator", "joins"),
        (json!({"@json": {"mode": "x", "value": 1}}), "@json.mode", "encode, decode"),
        (json!({"@liquid": "{{x}}"}), "@liquid", "@template"),
        (json!({"@jq": ".a |"}), "@jq", "no jq program"),
        (json!({"@jq": ["."]}), "@jq", "as a text"),
        (json!({"@coalesce": []}), "@coalesce", "list"),
    ];
    for (mapping, path, part) in table {
        let problems = Mapping::compile(&mapping).expect_err(&mapping.to_string());
        assert_eq!(problems.len(), 1, "{mapping}: {problems:?}");
        assert_eq!(problems[0].path, path, "{mapping}");
        assert!(problems[0].message.contains(part), "{mapping}: {}", problems[0]);
    }
    let several = json!({"a": {"@x": 1}, "b": [{"@path": 1}, {"@y": 1}]});
    assert_eq!(Mapping::compile(&several).unwrap_err().len(), 3);
    let deep = (0..=MAX_DEPTH).fold(json!(1), |inner, _| json!({"a": inner}));
    assert!(Mapping::compile(&deep).unwrap_err()[0].message.contains("nests at most"));
    let wide = Value::Array(vec![json!(1); MAX_NODES + 1]);
    assert_eq!(Mapping::compile(&wide).unwrap_err().len(), 1);
}

#[test]
fn growth_is_bounded() {
    let grown = (0..9).fold(json!({"@path": "properties"}), |inner, _| {
        let copies: serde_json::Map<String, Value> =
            ["a", "b", "c", "d", "e"].map(|name| (name.to_owned(), json!({"@path": "x"}))).into_iter().collect();
        json!({"@transform": {"apply": {"x": inner}, "mapping": copies}})
    });
    let problem = Mapping::compile(&grown).unwrap().resolve(&event()).unwrap_err();
    assert!(problem.message.contains("map less"), "{problem}");
    let text = "{{properties.long}}".repeat(500);
    let long = json!({"properties": {"long": "x".repeat(100_000)}});
    assert!(Mapping::compile(&json!({"@template": text})).unwrap().resolve(&long).is_err());
    let replace = json!({"@replace": {"pattern": "x", "replacement": "$&".repeat(50), "value": {"@path": "properties.long"}}});
    assert!(Mapping::compile(&replace).unwrap().resolve(&long).is_err());
}

#[test]
fn a_computed_path_must_be_a_text() {
    for path in ["properties", "properties.count", "nope", "properties.tags"] {
        let mapping = Mapping::compile(&json!({"@path": {"@path": path}})).unwrap();
        assert!(mapping.resolve(&event()).unwrap_err().message.contains("needs a text"), "{path}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "@path",
        "@template",
        "@if",
        "@merge",
        "@json",
        "@flatten",
        "@case",
        "@replace",
        "@arrayPath",
        "@transform",
        "@literal",
        "@coalesce",
        "@excludeWhenNull",
        "exists",
        "then",
        "else",
        "value",
        "mode",
        "objects",
        "direction",
        "pattern",
        "apply",
        "mapping",
        "a",
        "separator",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        prop::sample::select(vec![
            "$.traits.name",
            "{{userId}}",
            "{{",
            "encode",
            "decode",
            "lower",
            "right",
            "properties",
            "$.",
            ".",
            "[",
            "a['"
        ])
        .prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn compiling_and_resolving_never_panic(mapping in any_json(), payload in any_json()) {
        if let Ok(compiled) = Mapping::compile(&mapping) {
            let _ = compiled.resolve(&payload);
        }
    }
}

#[test]
fn what_begins_like_a_path_is_one_or_is_refused() {
    for text in ["$.50 off", "$.a b['c']", "$[0] b", "$['a' b]"] {
        let problems = Mapping::compile(&json!({"out": text})).unwrap_err();
        assert_eq!((problems.len(), problems[0].path.as_str()), (1, "out"), "{text}: {problems:?}");
    }
    let problems = Mapping::compile(&json!({"out": "$.50 off"})).unwrap_err();
    assert!(problems[0].message.contains("@literal") && problems[0].message.contains("$['First name']"), "{problems:?}");
    let row = json!({"First name": "Ada"});
    for text in ["$['First name']", "$.['First name']", " $[\"First name\"]".trim()] {
        let found = Mapping::compile(&json!(text)).unwrap().resolve(&row).unwrap();
        assert_eq!(found, Some(json!("Ada")), "{text}");
    }
    for text in ["$.50 off", "$[x]", "$[0] b"] {
        assert!(Mapping::compile(&json!(text)).is_err(), "{text}");
        let stored = Mapping::compile_by(&json!(text), Rules::Stored).unwrap();
        assert_eq!(stored.resolve(&row).unwrap(), Some(json!(text)), "what was saved before stays what it was");
    }
}
