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
fn texts_are_read_as_json() {
    let cases = [
        ("12345678901234567890123", "tostring", json!("12345678901234567890123")),
        (" 007 ", "tonumber", json!(7)),
        ("1 [2] {\"a\":3}", "[fromjson?] | length", json!(null)),
        ("{\"a\":[1,{\"b\":null}]}", "fromjson", json!({"a": [1, {"b": null}]})),
        ("true", "toboolean", json!(true)),
        ("[1,", "try fromjson catch \"no\"", json!("no")),
        ("x", "[fromjson?]", json!([])),
    ];
    for (text, program, expected) in cases {
        let expected = if expected.is_null() { json!(3) } else { expected };
        assert_eq!(run(program, &json!(text)), Ok(Some(expected)), "{text} {program}");
    }
    let many = format!("[{}0]", "[],{},".repeat(500));
    assert_eq!(run("fromjson | length", &json!(many)), Ok(Some(json!(1_001))), "many of them side by side are not deep");
    let deep = |levels: usize| json!(format!("{}1{}", "[".repeat(levels), "]".repeat(levels)));
    assert_eq!(run("fromjson", &deep(200)), Ok(Some((0..200).fold(json!(1), |inner, _| json!([inner])))));
    assert!(run("fromjson", &deep(201)).unwrap_err().contains("too deep"));
}

/// Any sender of an event can write such a text, and the parser beneath recurs for each bracket.
#[test]
fn texts_that_nest_without_end_end_no_process() {
    let many = 1_000_000;
    let texts = [
        "[".repeat(many),
        "{\"a\":".repeat(many / 8),
        format!("{}{}", "[".repeat(many / 2), "]".repeat(many / 2)),
        format!("\"\u{1}{}", "[".repeat(many)),
        "[#]\n".repeat(many / 4),
        format!("#\"\n{}", "[".repeat(many)),
        format!("\"\\\"{}\" {}", "]".repeat(many / 4), "[".repeat(many / 4)),
        format!("b\"{}", "[".repeat(many / 2)),
    ];
    for text in texts {
        let start: String = text.chars().take(12).collect();
        for program in ["fromjson", "tonumber", "toboolean", "[.[] | fromjson]?", "try fromjson catch error(\"again\")"] {
            let made = run(program, &json!(text));
            assert!(made.is_err() || made == Ok(None), "{start} {program}");
        }
    }
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

/// It was taken for a value that is too large.
#[test]
fn a_text_is_repeated_a_whole_number_of_times() {
    for program in ["\"ab\" * 0.5", "0.5 * \"ab\"", "\"ab\" * 1e300", ".n * \"ab\"", ".s *= 0.5"] {
        let said = run(program, &json!({"n": 2_000_000.5, "s": "ab"})).unwrap_err();
        assert!(said.contains("cannot calculate"), "{program}: {said}");
    }
    for program in ["\"ab\" * 0", "\"ab\" * -3", "\"ab\" * -99999999999999999999999"] {
        assert_eq!(run(program, &json!(0)), Ok(Some(Value::Null)), "{program}");
    }
    let said = run("\"ab\" * 99999999999999999999999", &json!(0)).unwrap_err();
    assert!(said.contains("1 MiB"), "{said}");
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
        ("localtime", "`localtime`"),
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

/// What jq 1.7's manual shows, where it has an example, and `jaq`'s where they differ.
#[test]
fn texts_are_matched_taken_apart_and_changed() {
    let cases = [
        (r#""foo" | test("foo")"#, json!(true)),
        (r#""xabcd" | test("A.C"; "i")"#, json!(true)),
        (r#""bar" | test("foo")"#, json!(false)),
        (r#"[match("(abc)+"; "g")] | [.[].offset]"#, json!([0, 4])),
        (r#""foo bar foo" | [match("foo"; "g").offset]"#, json!([0, 8])),
        (
            r#""żółw bar" | match("b(?<a>a)(?<x>x)?r") | del(.captures[].length)"#,
            json!({"offset": 5, "length": 3, "string": "bar", "captures": [{"offset": 6, "string": "a", "name": "a"}]}),
        ),
        (r#""xyzzy-14" | capture("(?<a>[a-z]+)-(?<n>[0-9]+)")"#, json!({"a": "xyzzy", "n": "14"})),
        (r#""test 1, test 2" | [scan("t[^ ]+ ([0-9])")]"#, json!([["1"], ["2"]])),
        (r#""ab,cd,   ef" | [splits(", *")]"#, json!(["ab", "cd", "ef"])),
        (r#""ab, cd" | split(", *"; null + "")"#, json!(["ab", "cd"])),
        (r#""123abc456def" | sub("(?<x>[a-z]+)"; "<\(.x)>")"#, json!("123<abc>456def")),
        (r#""123abc456" | gsub("[0-9]"; "")"#, json!("abc")),
        (r#""baac" | gsub("a*"; "x")"#, json!("xbxcx")),
        (r#""Zoë" | gsub("ë"; "e")"#, json!("Zoe")),
        (r#""aXbxc" | ascii_downcase | split("x")"#, json!(["a", "b", "c"])),
        (
            r#""a
b" | test("a.b"; "s")"#,
            json!(true),
        ),
    ];
    for (program, expected) in cases {
        assert_eq!(run(program, &json!("abc abc")), Ok(Some(expected)), "{program}");
    }
    for (program, why) in [
        (r#""a" | test("(")"#, "regex"),
        (r#""a" | test("a"; "q")"#, "flag"),
        (r#"1 | test("a")"#, "text"),
        (r#""a" | test("((((a{100}){100}){100}){100})")"#, "regex"),
        (r#""a" | test("()" * 60)"#, "50 groups"),
        (r#""a" | test("a" * 5000)"#, "4096"),
    ] {
        let fault = run(program, &Value::Null).unwrap_err();
        assert!(fault.contains(why), "{program}: {fault}");
    }
}

/// Expressions that keep other engines busy for ever, and those that look at everything again and again.
#[test]
#[allow(clippy::disallowed_methods, clippy::print_stdout, reason = "it is about time")]
fn expressions_that_are_slow_end() {
    let slow = [
        r#""a" * 30 + "!" | test("^(a+)+$")"#,
        r#""x" * 400000 | test("(x+x+)+y")"#,
        r#""a" * 900000 | [match("a*b|a"; "g")] | length"#,
        r#""a" * 900000 | gsub(".*[^a]|a"; "")"#,
        r#""a" * 200000 | [match(""; "g")] | length"#,
        r#""ab" * 100000 | test("(a{0,20}b){0,20}c")"#,
        r#"[range(100000) | "aaaaaaaaaaaa" | test("(a|aa)+b")] | length"#,
        r#"def f: gsub("^"; "aaaaaaaaaa") | f; "a" | f"#,
    ];
    for program in slow {
        let started = std::time::Instant::now();
        let ended = run(program, &Value::Null);
        println!("{program}: {:?}, {ended:?}", started.elapsed());
        assert!(started.elapsed().as_secs() < 20, "{program}: {:?}", started.elapsed());
        assert!(is_stopped(&ended) || ended == Ok(Some(json!(false))), "{program}: {ended:?}");
    }
}

#[test]
fn dates_and_mathematics_are_as_in_jq() {
    let cases = [
        (r#""2015-03-05T23:51:47Z" | fromdate"#, json!(1_425_599_507)),
        (r#""2015-03-05T23:51:47.5+01:00" | fromdate"#, json!(1_425_595_907.5)),
        ("1425599621 | todate", json!("2015-03-05T23:53:41Z")),
        (r#""2015-03-05T23:51:47Z" | strptime("%Y-%m-%dT%H:%M:%SZ")"#, json!([2015, 2, 5, 23, 51, 47, 4, 63])),
        (r#""2015-03-05T23:51:47Z" | strptime("%Y-%m-%dT%H:%M:%SZ") | mktime"#, json!(1_425_599_507)),
        (r#""05.03.2015 08:15" | strptime("%d.%m.%Y %H:%M") | mktime | todate"#, json!("2015-03-05T08:15:00Z")),
        (r#"1425599621 | strftime("%A, %d %B %Y")"#, json!("Thursday, 05 March 2015")),
        ("1425599621 | gmtime", json!([2015, 2, 5, 23, 53, 41, 4, 63])),
        (r#"1425599621 | gmtime | strftime("%F")"#, json!("2015-03-05")),
        ("9 | sqrt", json!(3.0)),
        ("pow(2; 10)", json!(1024.0)),
        ("1000 | log10", json!(3.0)),
        ("[2.5, -2.7 | trunc, rint]", json!([2.0, 2.0, -2.0, -3.0])),
        ("atan2(0; 1)", json!(0.0)),
        ("2 | pow10", json!(100.0)),
    ];
    for (program, expected) in cases {
        assert_eq!(run(program, &Value::Null), Ok(Some(expected)), "{program}");
    }
    let long = format!(r#"0 | strftime("{}")"#, "%c".repeat(101));
    for (program, why) in [
        (r#""x" | fromdate"#, ""),
        (r#""x" | strptime("%Y")"#, ""),
        ("1e300 | todate", ""),
        ("[1, 2] | mktime", "taken apart"),
        ("[1e9, 0, 1, 0, 0, 0] | mktime", "taken apart"),
        ("[2015, 127, 1, 0, 0, 0] | mktime", "taken apart"),
        ("\"x\" | sqrt", "number"),
        (long.as_str(), "200 bytes"),
    ] {
        let fault = run(program, &Value::Null).unwrap_err();
        assert!(fault.contains(why), "{program}: {fault}");
    }
}
