//! The languages beside their originals: Segment's npm packages answer the same cases, and every difference is either
//! absent or listed here with its reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of a test")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use flows::fql::{self, Condition};
use flows::mapping::Mapping;
use serde_json::{Value, json};

const FILES: [&str; 4] = ["package.json", "package-lock.json", ".npmrc", "oracle.mjs"];
const CONDITIONS: usize = 600;
const TREES: usize = 600;
const MAPPINGS: usize = 900;

/// The folder with the originals installed, made on first use.
fn oracle() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(install)
}

fn install() -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("flows-oracle");
    std::fs::create_dir_all(&to).unwrap();
    // A runner may start every test in a process of its own: one installs, the others wait.
    let turn = std::fs::File::create(to.with_extension("lock")).unwrap();
    turn.lock().unwrap();
    let is_same = |file: &str| std::fs::read(to.join(file)).is_ok_and(|bytes| bytes == std::fs::read(from.join(file)).unwrap());
    let installed = to.join("node_modules/.package-lock.json").exists() && is_same("package-lock.json");
    // What is there already may be what another process reads just now.
    for file in FILES.into_iter().filter(|file| !is_same(file)) {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    if !installed {
        let npm =
            Command::new("npm").args(["ci", "--no-progress"]).current_dir(&to).output().expect("npm is needed for this test");
        assert!(
            npm.status.success(),
            "npm ci failed:\n{}{}",
            String::from_utf8_lossy(&npm.stdout),
            String::from_utf8_lossy(&npm.stderr)
        );
    }
    to
}

/// What the originals answer: one reply for each question, in order.
fn ask(questions: &[Value]) -> Vec<Result<Value, String>> {
    let mut node = Command::new("node")
        .arg("oracle.mjs")
        .current_dir(oracle())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node is needed for this test");
    let mut stdin = node.stdin.take().unwrap();
    let lines: String = questions.iter().map(|question| format!("{question}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = node.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "the oracle failed");
    let replies: Vec<Result<Value, String>> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let reply: Value = serde_json::from_str(line).unwrap();
            match reply.get("error") {
                Some(error) => Err(error.as_str().unwrap_or_default().to_owned()),
                None => Ok(reply.get("ok").cloned().unwrap_or(Value::Null)),
            }
        })
        .collect();
    assert_eq!(replies.len(), questions.len());
    replies
}

/// Equal as JavaScript sees it: 1 and 1.0 are one number.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => ours == theirs,
    }
}

/// A small generator of choices; the same seed gives the same cases everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())].clone()
    }
}

fn events() -> Vec<Value> {
    vec![
        json!({}),
        json!({"type": "track", "event": "Order Completed", "userId": "u1", "name": "Pay", "properties": {"total": 10, "count": "3",
            "gift": true, "tier": "gold", "list": [{"sku": "A"}, 5, "x"], "deep": {"er": {"x": -2.5}}, "product 1": {"price": 5}, "none": null}}),
        json!({"type": "identify", "userId": 5, "traits": {"email": "ada@example.com", "age": 36, "vip": false, "tier": "silver", "total": 0},
            "context": {"page": {"path": "/pay"}, "total": 10.0, "tier": "", "gift": "true"}}),
        json!({"type": "page", "name": "", "event": null, "userId": "", "properties": {"total": 0, "deep": 0, "list": "abc", "gift": false, "tier": "go"},
            "traits": null, "context": {"total": 1e21, "deep": {"er": false}, "count": 3}}),
        json!({"type": "screen", "event": "5", "name": "true", "userId": true, "properties": [1, 2], "traits": {"total": "10", "list": [], "tier": ["gold"]}}),
    ]
}

const MEMBERS: [&str; 10] =
    ["total", "count", "gift", "tier", "deep.er.x", "deep.er", "list[0].sku", "email", "none", "missing.far"];

fn field(dice: &mut Dice) -> String {
    let member = dice.pick(&MEMBERS).replace("[0]", ".sku");
    match dice.roll(8) {
        0 => "type".to_owned(),
        1 => "event".to_owned(),
        2 => "name".to_owned(),
        3 => "userId".to_owned(),
        4 => format!("traits.{member}"),
        5 => format!("context.{member}"),
        6 => "properties.product\\ 1.price".to_owned(),
        _ => format!("properties.{member}"),
    }
}

fn comparison(dice: &mut Dice) -> String {
    let field = field(dice);
    let member = field.contains('.');
    let text = dice.pick(&["track", "gold", "Order Completed", "", "10", "a", "/pay", "5", "é"]);
    let number = dice.pick(&["10", "-2.5", "0", "3", "36", "+5"]);
    match dice.roll(9) {
        0 => format!("{field} = \"{text}\""),
        1 => format!("{field} != \"{text}\""),
        2 => format!("{field} = {number}"),
        3 if member => format!("{field} != {number}"),
        4 => format!("{field} {} {number}", dice.pick(&["<", "<=", ">", ">="])),
        5 if field != "type" => format!("{}contains({field}, \"{text}\")", dice.pick(&["", "!"])),
        6 if field != "type" => {
            format!("{}match({field}, \"{}\")", dice.pick(&["", "!"]), dice.pick(&["g*", "*d", "Order*", "*@example.com", "*"]))
        }
        7 if member || field == "name" || field == "userId" => format!("{field} {} null", dice.pick(&["=", "!="])),
        8 => format!("{field} = {}", dice.pick(&["true", "false", "track"])),
        _ => format!("{field}=\"{text}\""),
    }
}

/// A comparison without parentheses: in the original the first `)` ends a group.
fn plain(dice: &mut Dice) -> String {
    loop {
        let text = comparison(dice);
        if !text.contains('(') {
            return text;
        }
    }
}

/// Text that the original reads as it is meant: one joining word a level, parentheses one deep.
fn condition(dice: &mut Dice) -> String {
    let joined = |dice: &mut Dice, deep: bool| {
        let word = dice.pick(&[" and ", " or "]);
        let count = 1 + dice.roll(4);
        let parts: Vec<String> = (0..count)
            .map(|_| {
                if deep && dice.roll(4) == 0 {
                    let inner = dice.pick(&[" and ", " or "]);
                    format!("({}{inner}{})", plain(dice), plain(dice))
                } else {
                    comparison(dice)
                }
            })
            .collect();
        parts.join(word)
    };
    joined(dice, true)
}

#[test]
fn conditions_as_text() {
    let mut dice = Dice(0x5eed_0001);
    let texts: Vec<String> = (0..CONDITIONS).map(|_| condition(&mut dice)).collect();
    let parse: Vec<Value> = texts.iter().map(|text| json!({"kind": "parse", "text": text})).collect();
    let trees = ask(&parse);
    let mut judge = Vec::new();
    for (text, tree) in texts.iter().zip(&trees) {
        let tree = tree.as_ref().unwrap_or_else(|error| panic!("{text}: {error}"));
        let ours = fql::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let ours = serde_json::to_value(&ours).unwrap();
        assert!(same(&ours, tree), "{text}\nours   {ours}\ntheirs {tree}");
        judge.push(json!({"kind": "validate", "tree": tree, "events": events()}));
    }
    let mut holds = 0;
    for (text, verdict) in texts.iter().zip(ask(&judge)) {
        let compiled = fql::parse(text).unwrap().compile().unwrap();
        let ours: Vec<bool> = events().iter().map(|event| compiled.matches(event)).collect();
        holds += ours.iter().filter(|held| **held).count();
        assert_eq!(json!(ours), verdict.unwrap(), "{text}");
    }
    assert!(holds > CONDITIONS / 2, "the cases must not all be false: {holds}");
}

fn tree(dice: &mut Dice, depth: usize) -> Value {
    if depth > 0 && dice.roll(3) == 0 {
        let children: Vec<Value> = (0..1 + dice.roll(3)).map(|_| tree(dice, depth - 1)).collect();
        return json!({"type": "group", "operator": dice.pick(&["and", "or"]), "children": children});
    }
    let shared = [
        "=",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "number_equals",
        "number_not_equals",
        "contains",
        "not_contains",
        "starts_with",
        "not_starts_with",
        "ends_with",
        "not_ends_with",
        "exists",
        "not_exists",
        "is_true",
        "is_false",
    ];
    let operator = dice.pick(&shared);
    let mut node = json!({"type": dice.pick(&["event-type", "event", "name", "userId", "event-property", "event-trait", "event-context"]), "operator": operator});
    if node["type"].as_str().unwrap().contains('-') && node["type"] != "event-type" {
        node["name"] = json!(dice.pick(&MEMBERS));
    }
    if ["<", "<=", ">", ">=", "number_equals", "number_not_equals"].contains(&operator) {
        node["value"] = dice.pick(&[json!(10), json!("10"), json!(0), json!(-2.5), json!("3")]);
    } else if !["exists", "not_exists", "is_true", "is_false"].contains(&operator) {
        node["value"] = dice.pick(&[json!("track"), json!(10), json!(""), json!("gold"), json!("o"), json!("A"), json!(1.5)]);
    }
    node
}

#[test]
fn conditions_as_trees() {
    let mut dice = Dice(0x5eed_0002);
    let trees: Vec<Value> = (0..TREES)
        .map(|_| json!({"type": "group", "operator": dice.pick(&["and", "or"]), "children": [tree(&mut dice, 2), tree(&mut dice, 2)]}))
        .collect();
    let questions: Vec<Value> = trees.iter().map(|tree| json!({"kind": "validate", "tree": tree, "events": events()})).collect();
    for (tree, verdict) in trees.iter().zip(ask(&questions)) {
        let compiled = Condition::from_json(tree).unwrap().compile().unwrap_or_else(|problems| panic!("{tree}: {problems:?}"));
        let ours: Vec<bool> = events().iter().map(|event| compiled.matches(event)).collect();
        assert_eq!(json!(ours), verdict.unwrap(), "{tree}");
    }
}

fn payload() -> Value {
    json!({
        "userId": "u1", "zero": 0, "empty": "", "no": false, "nothing": null, "one": 1.0, "big": 1e21, "small": 1e-7,
        "traits": {"name": "Ada Lovelace", "email": "ADA@Example.com", "address": {"city": "Köln", "zip": null, "geo": {"lat": 50.9}}},
        "properties": {"total": 42.5, "count": 3, "tags": ["a", null, "b", [1, 2]], "raw": "{\"a\": [1, {\"b\": null}]}", "bad": "{x",
            "products": [{"sku": "A-1", "price": 2}, {"sku": "B-2", "price": 3.5, "sku2": null}], "dotted key": 1},
    })
}

const PATHS: [&str; 24] = [
    "$.userId",
    "userId",
    "$.zero",
    "empty",
    "no",
    "nothing",
    "one",
    "big",
    "small",
    "traits",
    "$.traits.name",
    "traits.email",
    "traits.address",
    "traits.address.geo",
    "properties.total",
    "properties.tags",
    "properties.tags[0]",
    "properties.raw",
    "properties.bad",
    "$.properties.products",
    "properties.products[1].sku",
    "properties.products.0.price",
    "properties['dotted key']",
    "missing.deep",
];

fn directive(dice: &mut Dice, depth: usize) -> Value {
    let path = dice.pick(&PATHS);
    if depth == 0 {
        return json!({"@path": path});
    }
    let other = dice.pick(&PATHS);
    let inner = |dice: &mut Dice| directive(dice, depth - 1);
    match dice.roll(16) {
        0 | 1 => json!({"@path": path}),
        2 => {
            json!({"@template": format!("{{{{{path}}}}} and {{{{{{ {other} }}}}}}!", path = path.trim_start_matches("$."), other = other.trim_start_matches("$."))})
        }
        3 => {
            json!({"@if": {"exists": inner(dice), "then": inner(dice), "else": dice.pick(&[json!("else"), json!(7), json!({"@path": "one"})])}})
        }
        4 => json!({"@if": {"blank": inner(dice), "then": inner(dice)}}),
        5 => json!({"@case": {"operator": dice.pick(&["lower", "upper"]), "value": inner(dice)}}),
        6 => {
            json!({"@replace": {"pattern": dice.pick(&["a", "-", "L", ".", "ö", "A", "["]), "replacement": dice.pick(&["", "_", "$$", "<$&>"]),
            "value": inner(dice), "ignorecase": dice.roll(2) == 0, "global": dice.roll(2) == 0}})
        }
        7 => json!({"@arrayPath": [path, {"id": {"@path": "$.sku"}, "n": inner(dice)}]}),
        8 => {
            json!({"@arrayPath": [inner(dice), dice.pick(&[json!({"@path": "sku"}), json!({}), json!({"a": 1, "b": {"@template": "{{price}}"}})])]})
        }
        9 => {
            let sources: Vec<Value> = (0..1 + dice.roll(3)).map(|_| object(dice, depth - 1)).collect();
            json!({"@merge": {"direction": dice.pick(&["left", "right"]), "objects": sources}})
        }
        10 => {
            json!({"@transform": {"apply": object(dice, depth - 1), "mapping": {"x": {"@path": "$.a"}, "y": {"@template": "{{b}}"}, "z": inner(dice)}}})
        }
        11 => {
            json!({"@flatten": {"separator": dice.pick(&[".", "_", "--"]), "omitArrays": dice.roll(2) == 0, "value": inner(dice)}})
        }
        12 => json!({"@json": {"mode": dice.pick(&["encode", "decode"]), "value": inner(dice)}}),
        13 => json!({"@excludeWhenNull": if dice.roll(2) == 0 { inner(dice) } else { object(dice, depth - 1) }}),
        14 => json!({"@literal": dice.pick(&[json!("plain"), json!(5), json!(null)])}),
        _ => json!({"@literal": inner(dice)}),
    }
}

fn object(dice: &mut Dice, depth: usize) -> Value {
    let mut members = serde_json::Map::new();
    for name in ["a", "b", "c"] {
        let member = match dice.roll(6) {
            0 => continue,
            1 => dice.pick(&[json!(null), json!("raw"), json!(0), json!([1, "x"]), json!({"deep": null})]),
            2 if depth > 0 => json!([directive(dice, depth - 1), "x", object(dice, depth - 1)]),
            _ => directive(dice, depth),
        };
        members.insert(name.to_owned(), member);
    }
    Value::Object(members)
}

#[test]
fn mappings() {
    let mut dice = Dice(0x5eed_0003);
    let mappings: Vec<Value> =
        (0..MAPPINGS).map(|_| json!({"out": directive(&mut dice, 3), "more": object(&mut dice, 2)})).collect();
    let questions: Vec<Value> =
        mappings.iter().map(|mapping| json!({"kind": "map", "mapping": mapping, "event": payload()})).collect();
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    for (mapping, theirs) in mappings.iter().zip(ask(&questions)) {
        let compiled = Mapping::compile(mapping).unwrap_or_else(|problems| panic!("{mapping}: {problems:?}"));
        let ours = compiled.resolve(&payload());
        match theirs {
            Ok(theirs) => {
                let ours = ours.unwrap().unwrap_or_default();
                assert!(same(&ours, &theirs), "{mapping}\nours   {ours}\ntheirs {theirs}");
            }
            Err(error) => *refused.entry(error).or_default() += 1,
        }
    }
    let count: usize = refused.values().sum();
    assert!(count < MAPPINGS / 10, "the original refuses too many cases for a comparison: {refused:?}");
}

/// Where we differ on purpose: what is asked, what the original answers, what we answer.
#[test]
fn differences_are_these() {
    let event = events().swap_remove(1);
    let holds = |text: &str| {
        fql::parse(text).map(|condition| condition.compile().unwrap().matches(&event)).map_err(|error| error.message)
    };
    let parse = |text: &str| json!({"kind": "parse", "text": text});
    // Text that the original misreads in silence.
    let misread = [
        // The last joining word wins there; here it is refused.
        ("type = \"page\" and type = \"page\" or type = \"track\"", Some(true), None),
        // It drops the `!` of a group.
        ("!(type = \"page\")", Some(false), Some(true)),
        // Single quotes become part of the text.
        ("type = 'track'", Some(false), Some(true)),
        // Words in capitals are not seen, which joins by `and`.
        ("type = \"page\" OR type = \"track\"", Some(false), Some(true)),
        // A pattern with a star at both ends keeps the first as a character; other patterns lose their first character.
        ("match(event, \"*Comp*\")", Some(false), Some(true)),
        ("match(event, \"O?der*\")", Some(false), Some(true)),
        // Parentheses in parentheses end at the first closing one.
        ("((type = \"track\"))", None, Some(true)),
        ("(match(event, \"X*\") and type = \"page\") or userId = \"u1\"", Some(true), Some(true)),
        ("type = \"page\" and (contains(event, \"x\") or type = \"track\") or userId = \"u1\"", Some(true), None),
        // `null` is the text "null" for `event` and `type`.
        ("event = null", Some(false), Some(false)),
        // A boolean is compared as a text, so that it always differs.
        ("properties.gift != true", Some(true), Some(false)),
        // Everything after a mistake is dropped.
        ("type = \"track\" and nonsense = 1", Some(true), None),
        ("properties.total > properties.count", Some(false), None),
    ];
    let trees = ask(&misread.iter().map(|(text, _, _)| parse(text)).collect::<Vec<_>>());
    for ((text, theirs, ours), tree) in misread.into_iter().zip(trees) {
        let verdict = tree.ok().map(|tree| {
            ask(&[json!({"kind": "validate", "tree": tree, "events": [event]})]).remove(0).unwrap()[0] == json!(true)
        });
        assert_eq!(verdict, theirs, "the original on {text}");
        assert_eq!(holds(text).ok(), ours, "ours on {text}");
    }

    let mapped = [
        // A false, zero or empty `else` counts as none there.
        (json!({"@if": {"exists": {"@path": "nope"}, "then": 1, "else": 0}}), json!({}), json!({"out": 0})),
        // A plain text with a path or a placeholder stays a plain text there.
        (json!("$.userId"), json!({"out": "$.userId"}), json!({"out": "u1"})),
        (json!("{{userId}}"), json!({"out": "{{userId}}"}), json!({"out": "u1"})),
        // `$.` is not known in a template there.
        (json!({"@template": "{{$.userId}}"}), json!({"out": ""}), json!({"out": "u1"})),
        // A text is spread into its characters there.
        (
            json!({"@merge": {"direction": "right", "objects": [{"@path": "userId"}]}}),
            json!({"out": {"0": "u", "1": "1"}}),
            json!({"out": {}}),
        ),
    ];
    let questions: Vec<Value> =
        mapped.iter().map(|(mapping, _, _)| json!({"kind": "map", "mapping": {"out": mapping}, "event": payload()})).collect();
    for ((mapping, theirs, ours), reply) in mapped.into_iter().zip(ask(&questions)) {
        assert_eq!(reply, Ok(theirs), "the original on {mapping}");
        let compiled = Mapping::compile(&json!({"out": mapping})).unwrap();
        assert_eq!(compiled.resolve(&payload()), Ok(Some(ours)), "ours on {mapping}");
    }
}
