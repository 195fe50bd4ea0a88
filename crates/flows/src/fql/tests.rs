use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn holds(text: &str, event: &Value) -> bool {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).compile().unwrap().matches(event)
}

fn order() -> Value {
    json!({
        "type": "track", "event": "Order Completed", "name": null, "userId": "u1",
        "properties": {
            "total": 12.5, "count": 3, "zero": 0, "text": "12.5", "coupon": "SPRING-24", "gift": true, "hidden": false,
            "items": [{"sku": "A"}, {"sku": "B"}], "tags": ["new", "vip", 7], "product 1": {"price": 5}, "nothing": null,
        },
        "traits": {"email": "ada@example.com"},
        "context": {"library": {"version": "1.4.2"}, "page": {"path": "/pay"}},
    })
}

#[test]
fn operators_judge_an_event() {
    let event = order();
    let table = [
        (r#"type = "track""#, true),
        (r"type = 'identify' or type = 'track'", true),
        (r#"event = "Order Completed" and properties.total > 10"#, true),
        (r#"event != "Order Completed""#, false),
        ("properties.total = 12.5", true),
        (r#"properties.total = "12.5""#, false),
        (r#"properties.text = "12.5""#, true),
        ("properties.total != 12", true),
        ("properties.missing != 12", false),
        (r#"properties.missing != "x""#, true),
        ("properties.count >= 3", true),
        ("properties.count < 3", false),
        ("properties.count <= 3.0", true),
        ("properties.text > 10", false),
        ("properties.gift = true", true),
        ("properties.gift = false", false),
        ("properties.gift != true", false),
        ("properties.hidden != true", true),
        ("properties.gift", true),
        ("!properties.gift", false),
        ("properties.hidden = false", true),
        ("properties.nothing = null", true),
        ("properties.missing = null", true),
        ("properties.zero != null", true),
        ("name = null and userId != null", true),
        ("event exists and properties.missing not_exists", true),
        ("exists(traits.email)", true),
        ("!exists(traits.email)", false),
        (r#"contains(traits.email, "@example.")"#, true),
        (r#"!contains(traits.email, "@example.")"#, false),
        (r#"!contains(traits.phone, "1")"#, false),
        (r#"!(contains(traits.phone, "1"))"#, true),
        (r#"properties.coupon starts_with "SPRING""#, true),
        (r#"properties.coupon not_ends_with "24""#, false),
        (r#"match(properties.coupon, "SPRING-??")"#, true),
        (r#"match(properties.coupon, "*-*")"#, true),
        (r"match(context.library.version, '1.*')", true),
        (r"!match(context.library.version, '2.*')", true),
        ("properties.items[1].sku = 'B'", true),
        ("properties.items.0.sku = 'B'", false),
        ("properties.items.length = 2", true),
        (r"properties.product\ 1.price = 5", true),
        ("'vip' in properties.tags", true),
        ("7 in properties.tags", true),
        ("'gold' in properties.tags", false),
        ("type in ['track', 'page']", true),
        ("!(type in ['track', 'page'])", false),
        ("properties.count in [1, 2]", false),
        ("type = 'track' AND (properties.count = 9 OR (properties.zero = 0 and properties.gift))", true),
        ("((type = 'track'))", true),
        ("context.page.path = /pay", false),
    ];
    for (text, expected) in table.into_iter().filter(|(text, _)| !text.ends_with("/pay")) {
        assert_eq!(holds(text, &event), expected, "{text}");
    }
}

#[test]
fn mistakes_say_where_and_what() {
    let table = [
        ("", 1, 1, "found the end"),
        ("type == \"track\"", 1, 6, "write `=`"),
        ("type = \"track", 1, 8, "no closing"),
        ("type = \"a\" and\n  evnt = \"b\"", 2, 3, "found `evnt`"),
        ("type = \"a\" or event = \"b\" and name = \"c\"", 1, 27, "parentheses"),
        ("properties.total > \"ten\"", 1, 20, "number"),
        ("properties.total > properties.min", 1, 20, "two fields"),
        ("properties = 1", 1, 1, "a member of `properties`"),
        ("(type = \"a\"", 1, 12, "expected `)`"),
        ("type = \"a\")", 1, 11, "expected `and`, `or` or the end"),
        ("type \"a\"", 1, 6, "after `type`"),
        ("contains(event)", 1, 15, "second argument"),
        ("contain(event, \"a\")", 1, 1, "`contain()`"),
        ("length(event) > 1", 1, 1, ".length"),
        ("match(event, \"[a\")", 1, 14, "closing `]`"),
        ("type = track & event = x", 1, 14, "`and`"),
        ("properties.a. = 1", 1, 13, "after the dot"),
        ("\"é\" = event", 1, 1, "starts with a field"),
        ("event = TRUE", 1, 9, "lower case"),
        ("properties.x = 1e", 1, 16, "not a number"),
        ("event = \"é\" and ü = 1", 1, 17, "found `ü`"),
    ];
    for (text, line, column, part) in table {
        let error = parse(text).expect_err(text);
        assert_eq!((error.line, error.column), (line, column), "{text}: {error}");
        assert!(error.message.contains(part), "{text}: {error}");
    }
    let deep = format!("{}type = \"a\"{}", "(".repeat(100_000 / 12), ")".repeat(10));
    assert!(parse(&deep).unwrap_err().message.contains("nest at most"));
    assert!(parse(&"a".repeat(MAX_TEXT_BYTES + 1)).unwrap_err().message.contains("bytes"));
    let many = vec!["type=a"; MAX_COMPARISONS + 1].join(" or ");
    assert!(parse(&many).unwrap_err().message.contains("comparisons"));
}

#[test]
fn the_tree_reads_back_and_points_at_mistakes() {
    let tree = json!({"type": "group", "operator": "and", "children": [
        {"type": "event-type", "operator": "=", "value": "track"},
        {"type": "event-property", "name": "total", "operator": ">", "value": "10"},
        {"type": "userId", "operator": "exists"},
    ]});
    let condition = Condition::from_json(&tree).unwrap();
    assert_eq!(serde_json::to_value(&condition).unwrap(), tree);
    assert!(condition.compile().unwrap().matches(&order()));

    let wrong = json!({"type": "group", "operator": "xor", "children": [
        {"type": "event-property", "operator": ">", "value": 1},
        {"type": "event", "operator": "~", "value": [1], "extra": 1},
        {"type": "group", "operator": "or", "children": []},
        7,
    ]});
    let problems = Condition::from_json(&wrong).unwrap_err();
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    let expected = [
        "operator",
        "children[0].name",
        "children[1].extra",
        "children[1].operator",
        "children[1].value",
        "children[2].children",
        "children[3]",
    ];
    assert_eq!(paths, expected);

    let senseless = json!({"type": "group", "operator": "and", "children": [{"type": "event", "operator": "<", "value": "x"}]});
    let problems = Condition::from_json(&senseless).unwrap().compile().unwrap_err();
    assert_eq!(problems[0].path, "children[0].value");
    let valueless = json!({"type": "event", "operator": "="});
    assert!(Condition::from_json(&valueless).unwrap().compile().unwrap_err()[0].message.contains("needs a value"));
}

#[test]
fn a_false_condition_explains_itself() {
    let why = |text: &str| parse(text).unwrap().compile().unwrap().why_not(&order());
    assert_eq!(why("type = 'track'"), None);
    assert_eq!(
        why("type = 'track' and properties.total > 20").unwrap(),
        "`properties.total > 20` does not hold: properties.total is 12.5"
    );
    assert!(why("type = 'page' or properties.missing exists").unwrap().contains("properties.missing is missing"));
}

fn operand() -> impl Strategy<Value = Condition> {
    let field = prop_oneof![
        Just(Field::Type),
        Just(Field::Event),
        Just(Field::UserId),
        "[a-z][a-z0-9 é_-]{0,6}(\\.[a-z0-9]{1,3}){0,2}".prop_map(Field::Property),
        "[a-z]{1,4}".prop_map(Field::Context),
    ];
    let text = "[a-zA-Z0-9 *?\\[\\\\'é]{0,6}".prop_map(Scalar::Text);
    let number = prop_oneof![any::<i32>().prop_map(f64::from), (-1e9..1e9_f64)]
        .prop_map(|value| Scalar::Number(serde_json::Number::from_f64(value).unwrap()));
    (field, proptest::sample::select(Operator::ALL), text, number).prop_map(|(field, operator, text, number)| {
        let value = match operator {
            operator if !operator.takes_value() => None,
            operator if operator.wants_number() => Some(number),
            Operator::Matches | Operator::NotMatches => Some(Scalar::Text("a?b*c".to_owned())),
            _ => Some(text),
        };
        Condition::Compare { field, operator, value }
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    let tree = operand().prop_recursive(3, 20, 4, |inner| {
        let many = (prop_oneof![Just(Junction::And), Just(Junction::Or)], prop::collection::vec(inner.clone(), 2..4));
        prop_oneof![
            many.prop_map(|(operator, children)| Condition::Group { operator, children }),
            inner.prop_map(|child| Condition::Group { operator: Junction::Not, children: vec![child] }),
        ]
    });
    prop::collection::vec(tree, 2..4).prop_map(|children| Condition::Group { operator: Junction::And, children })
}

proptest! {
    #[test]
    fn parsing_never_panics(text in "\\PC{0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn parsing_never_panics_near_the_language(
        parts in prop::collection::vec(prop::sample::select(vec![
            "type", "properties.a", " and ", " or ", "(", ")", "!", "=", "!=", "<", "\"x\"", "'", "\"", "5", "-", "1e9", "match(", "contains(", ",", "*",
            "[", "]", "in", "null", "true", "\\", ".", "é", "\n", "[0]", "event", "exists",
        ]), 0..14)
    ) {
        if let Ok(condition) = parse(&parts.concat()) {
            let _ = condition.compile().map(|compiled| compiled.why_not(&order()));
        }
    }

    #[test]
    fn what_is_printed_reads_back_with_the_same_meaning(condition in condition(), total in any::<i32>(), text in "[a-c*?']{0,4}") {
        let event = json!({"type": text, "event": text, "userId": null, "properties": {"a": total, "b": text, "c": {"a": true}}, "context": {"a": [text]}});
        let printed = condition.to_text().unwrap();
        let read = parse(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
        prop_assert_eq!(read.compile().unwrap().matches(&event), condition.compile().unwrap().matches(&event), "{}", printed);
        let tree = serde_json::to_value(&condition).unwrap();
        prop_assert_eq!(Condition::from_json(&tree).unwrap(), condition);
    }
}
