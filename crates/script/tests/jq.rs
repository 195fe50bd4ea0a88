//! jq programs: what they make, and that none of them gets out of its limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use script::jq::{Jq, MAX_WORK};
use serde_json::{Value, json};

fn run(program: &str, input: &Value) -> Result<Option<Value>, String> {
    run_within(MAX_WORK, program, input)
}

fn run_within(mut work: u64, program: &str, input: &Value) -> Result<Option<Value>, String> {
    let compiled = Jq::compile(program).unwrap_or_else(|why| panic!("{program}: {why}"));
    compiled.run(input, &mut work).map_err(|fault| fault.to_string())
}

fn is_stopped(ended: &Result<Option<Value>, String>) -> bool {
    let words = ["does not end", "1 MiB", "too deep"];
    ended.as_ref().is_err_and(|fault| words.iter().any(|word| fault.contains(word)))
}

#[test]
fn programs_make_what_jq_makes() {
    let event = json!({"user": "ann", "items": [{"sku": "a", "qty": 2, "price": 1.5}, {"sku": "b", "qty": 1, "price": 4}],
        "tags": ["x", "y"], "none": null, "name": "Ann Example"});
    let cases = [
        (".user", json!("ann")),
        ("[.items[].sku]", json!(["a", "b"])),
        ("[.items[] | .qty * .price] | add", json!(7.0)),
        (".items | map({(.sku): .qty}) | add", json!({"a": 2, "b": 1})),
        (".items | sort_by(-.price) | first | .sku", json!("b")),
        (".missing // \"none\"", json!("none")),
        ("[.items[] | select(.qty > 1)] | length", json!(1)),
        (".name | split(\" \") | .[0] | ascii_downcase", json!("ann")),
        ("if .tags | contains([\"x\"]) then \"yes\" else \"no\" end", json!("yes")),
        ("reduce .items[] as $i (0; . + $i.qty)", json!(3)),
        ("[limit(3; range(10))]", json!([0, 1, 2])),
        ("def double: . * 2; .items | map(.qty | double)", json!([4, 2])),
        (".items |= map(.qty *= 3) | [.items[].qty]", json!([6, 3])),
        ("del(.items, .tags) | keys", json!(["name", "none", "user"])),
        ("\"\\(.user)-\\(.items | length)\"", json!("ann-2")),
        ("[paths(type == \"number\")] | length", json!(4)),
        ("with_entries(select(.value | type == \"string\"))", json!({"user": "ann", "name": "Ann Example"})),
        ("try error(\"no\") catch .", json!("no")),
        ("[.items[].missing?]", json!([null, null])),
        ("\"ab\" * 3", json!("ababab")),
        ("[foreach .items[] as $i (0; . + $i.qty)]", json!([2, 3])),
        ("[recurse(if . < 3 then . + 1 else empty end)]", json!(null)),
        ("label $out | .items[] | if .sku == \"b\" then ., break $out else empty end | .qty", json!(1)),
        ("{\"a\": 1} * {\"b\": {\"c\": 2}}", json!({"a": 1, "b": {"c": 2}})),
        ("[.tags[] as $t | $t + \"!\"] | join(\",\")", json!("x!,y!")),
        ("first(range(10; 0; -1) | select(. % 4 == 0))", json!(8)),
        ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
    ];
    for (program, expected) in cases {
        if program.starts_with("[recurse") {
            assert_eq!(run(program, &json!(0)), Ok(Some(json!([0, 1, 2, 3]))), "{program}");
        } else {
            assert_eq!(run(program, &event), Ok(Some(expected)), "{program}");
        }
    }
    assert_eq!(run("empty", &event), Ok(None));
    assert_eq!(run(".items[].sku", &event), Ok(Some(json!("a"))), "the first counts");
    assert!(run(".user | tonumber", &event).unwrap_err().contains("parse"));
    assert!(run("error(\"mine\")", &event).unwrap_err().contains("mine"));
}

#[test]
fn what_never_ends_ends_with_its_error() {
    let cases = [
        "def f: f; f",
        "def f: (try error(\"x\") catch .) | f; f",
        "def f: try f catch f; f",
        "def f: f // f; f",
        "def f: (f)? // 1; f",
        "[repeat(1)]",
        "[range(1e18)]",
        "range(1e18) | empty",
        "last(range(1e18))",
        "first(range(1e18) | select(. < 0))",
        "reduce range(1e18) as $x (0; . + 1)",
        "[foreach range(1e18) as $x (0; . + 1; empty)]",
        "if (range(1e18) | empty) then 1 else 2 end",
        "if range(1e18) then empty else empty end",
        "range(1e18) + empty",
        "(range(1e18) == -1) or empty",
        "{a: range(1e18), b: empty}",
        "\"\\(range(1e18))\\(empty)\"",
        ".[range(1e18)]?",
        "[limit(1e18; repeat(0))] | length",
        "isempty(range(1e18) | empty)",
        "any(range(1e18); . < 0)",
        "until(false; . + 1)",
        "[while(true; .)]",
        "[recurse(.)]",
        "skip(1e18; range(1e19))",
        "last(path(repeat(.)))",
        "[range(1e9) as $x | range(1e9)] | add",
        "[.[] = range(1e18)] | length",
        "[combinations(1e9)]",
    ];
    for (number, program) in cases.into_iter().enumerate() {
        // As much work as is allowed takes its time in a build for tests.
        let work = if number == 0 { MAX_WORK } else { MAX_WORK / 10 };
        // Whether it takes work, room or the stack first depends on the program.
        let faults: Vec<_> = [json!([1, 2, 3]), json!(0)].iter().map(|input| run_within(work, program, input)).collect();
        assert!(faults.iter().any(is_stopped), "{program}: {faults:?}");
    }
}

#[test]
fn what_grows_ends_with_its_error() {
    let cases = [
        "\"x\" * 1000000000",
        "1000000000 * \"x\"",
        "\"x\" | until(false; . + .)",
        "\"x\" | until(false; . * 10)",
        "[1] | until(false; . + .)",
        "[1] | until(false; [., .])",
        "{} | until(false; {a: ., b: .})",
        "3 | until(false; . * .)",
        "def f: [f]; f",
        "def f: 1 + f; f",
        "def f: f | .; f",
        "def f($x): f($x + 1) + $x; f(0)",
        "def f: ., (f | . + 1); last(f)",
        "reduce range(1e6) as $x ([]; . + [$x])",
        "reduce range(1e6) as $x (null; [.])",
        "[range(30000)] | [.[] as $x | .] | tojson",
    ];
    for program in cases {
        let ended = run(program, &json!(0));
        assert!(is_stopped(&ended), "{program}: {ended:?}");
    }
    let padded = run(".[1000000000] = 1", &json!([]));
    assert!(padded.is_err(), "{padded:?}");
}

#[test]
fn nothing_reaches_outside_and_mistakes_are_said() {
    let cases = [
        ("env", "`env`"),
        ("$ENV.PATH", "$ENV"),
        ("now", "`now`"),
        ("input", "`input`"),
        ("halt", "`halt`"),
        ("debug", "`debug`"),
        ("test(\"a\")", "`test`"),
        ("import \"a\" as a; .", "modules"),
        ("include \"a\"; .", "modules"),
        (".a | nope(1)", "`nope`"),
        (".a |", "line 1, at the end"),
        (".a\n| }", "line 2"),
        ("\"abc", "no jq program"),
        ("", "no jq program"),
    ];
    for (program, why) in cases {
        let fault = Jq::compile(program).expect_err(program);
        assert!(fault.contains(why), "{program}: {fault}");
    }
    let deep =
        ["-".repeat(8_000) + "1", "[".repeat(4_000) + &"]".repeat(4_000), ".|".repeat(4_000) + ".", "1,".repeat(4_000) + "1"];
    for program in deep {
        assert!(Jq::compile(&program).unwrap_err().contains("150 deep"), "{}", &program[..10]);
    }
    assert!(Jq::compile(&" ".repeat(20_000)).unwrap_err().contains("8192"));
}
