use domain::{Action, Actor, BatchId, Entropy, FieldType, FieldValue, IfExists, PassRef, Project, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::flow::test_project;

struct Fixed;
impl Entropy for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(3);
    }
}

fn project() -> Project {
    test_project()
}

fn batch(document: &Value) -> Batch {
    Batch::from_json(document).unwrap()
}

fn ticket(actor: &Actor) -> Ticket<'_> {
    Ticket {
        org: domain::OrgId::from_uuid(uuid::Uuid::from_u128(1)),
        batch: BatchId::from_uuid(uuid::Uuid::from_u128(2)),
        actor,
        created_at: Timestamp::from_seconds(1_780_000_000),
        entropy: &Fixed,
    }
}

/// All rows of a file that comes in pieces of a size.
fn rows(batch: &Batch, file: &[u8], piece: usize) -> Result<(Vec<Row>, Layout), String> {
    let mut reader = Reader::new(Layout::of(batch), Place::default());
    let (mut out, mut pieces) = (Vec::new(), file.chunks(piece.max(1)));
    let mut last = false;
    loop {
        match reader.next(last)? {
            Some(row) => out.push(row),
            None if last => return Ok((out, reader.layout().clone())),
            None => match pieces.next() {
                Some(piece) => reader.push(piece),
                None => last = true,
            },
        }
    }
}

fn csv(file: &str) -> Result<Vec<Row>, String> {
    // A few bytes at a time, but not of a megabyte: a row that is not whole is looked at from its start whenever more comes.
    let piece = if file.len() < 1_000 { 7 } else { 70_000 };
    rows(&batch(&json!({"project": "coffee-club", "operation": "issue"})), file.as_bytes(), piece).map(|read| read.0)
}

#[test]
fn rows_become_objects_with_their_place() {
    let read = csv("external_id,name\r\nm-1,\"Ada, \"\"the\"\" first\"\r\n\r\nm-2,\"two\nlines\"\nm-3,").unwrap();
    let values: Vec<&Value> = read.iter().map(|row| row.value.as_ref().unwrap()).collect();
    let two = json!({"external_id": "m-2", "name": "two\nlines"});
    assert_eq!(values, [&json!({"external_id": "m-1", "name": "Ada, \"the\" first"}), &two, &json!({"external_id": "m-3"})]);
    let places: Vec<(u64, u64)> = read.iter().map(|row| (row.number, row.line)).collect();
    assert_eq!(places, [(1, 2), (2, 4), (3, 6)]);
}

#[test]
fn the_delimiter_is_found_out() {
    for (file, delimiter) in
        [("a;b,c;d\n1;2;3\n", ';'), ("a\tb\n1\t2\n", '\t'), ("a|b\n1|2\n", '|'), ("\"x;y\",b\n1,2\n", ','), ("a\n1\n", ',')]
    {
        let (read, layout) = rows(&batch(&json!({"project": "p", "operation": "issue"})), file.as_bytes(), 100).unwrap();
        assert_eq!(layout.delimiter, Some(delimiter), "{file}");
        assert!(read[0].value.is_ok(), "{file}");
    }
}

/// What Excel reads as the name of the delimiter is no row, and the rows keep their lines.
#[test]
fn a_first_line_names_the_delimiter() {
    let issue = batch(&json!({"project": "p", "operation": "issue"}));
    let files = [
        ("sep=;\r\na,x;b\r\n1;\"2\n3\"\r\n", ';'),
        ("SEP=|\na,x|b\n1|\"2\n3\"\n", '|'),
        ("\"sep=^\"\na,x^b\n1^\"2\n3\"\n", '^'),
        ("sep=\t\na,x\tb\n1\t\"2\n3\"\n", '\t'),
        ("sep=;,,\na,x;b\n1;\"2\n3\"\n", ';'),
    ];
    for (file, delimiter) in files {
        for piece in [1, 100] {
            let (read, layout) = rows(&issue, file.as_bytes(), piece).unwrap();
            assert_eq!(layout.delimiter, Some(delimiter), "{file}");
            assert_eq!(layout.columns, ["a,x", "b"], "{file}");
            assert_eq!(read[0].value, Ok(json!({"a,x": "1", "b": "2\n3"})), "{file}");
            assert_eq!((read[0].number, read[0].line), (1, 3), "{file}");
        }
    }
    let given = batch(&json!({"project": "p", "operation": "issue", "delimiter": ","}));
    assert_eq!(rows(&given, b"sep=;\na,b\n1,2\n", 100).unwrap().1.columns, ["a", "b"], "what was asked for counts");
    assert_eq!(rows(&issue, b"sep=x,b\n1,2\n", 100).unwrap().1.columns, ["sep=x", "b"], "a column of that name");
    assert_eq!(rows(&issue, b"a\nsep=;\n", 100).unwrap().0.len(), 1, "only the first line");
    assert!(rows(&issue, b"sep=;\n", 100).unwrap_err().contains("empty"));
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let long = format!("a,b\n\"{}\n", "x,y\n".repeat(MAX_ROW_BYTES / 4 + 1));
    let cases = [
        ("", "empty"),
        ("\n\n", "empty"),
        ("a,b,a\n1,2,3\n", "two columns are called `a` in the first row: 1 and 3"),
        ("a,,c\n1,2,3\n", "column 2 has no name"),
        (",,\n1,2,3\n", "names no columns"),
        ("{\"a\":1}\n{\"a\":2}\n", "the first row is JSON, not the names of columns: give `format` (--format ndjson)"),
        ("[\n {\"a\":1}\n]\n", "the first row is JSON"),
        ("a,b\n1,\"open\n2,3\n", "begins on line 2 opens a quote"),
        (long.as_str(), "is a quote not closed?"),
    ];
    for (file, expected) in cases {
        let why = csv(file).unwrap_err();
        assert!(why.contains(expected), "{}: {why}", file.chars().take(20).collect::<String>());
    }
}

#[test]
fn a_ragged_row_fails_alone() {
    let read = csv("a,b\n1\n1,2,3\n1,2,,\n1,2\n").unwrap();
    let wrong: Vec<bool> = read.iter().map(|row| row.value.is_err()).collect();
    assert_eq!(wrong, [true, true, false, false], "empty cells at the end are no fault");
    assert!(read[1].value.as_ref().unwrap_err().contains("has 3 cells, and the first row names 2 columns"));
}

#[test]
fn a_line_of_ndjson_fails_alone() {
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_ROW_BYTES));
    let lines = ["{\"a\":1}", "[1]", "{\"a\":", "{\"a\":\"\\ud800\"}", "{\"a\":1e999}", &deep, "", &long, "{\"a\":2}"];
    let file = lines.join("\r\n");
    let document = batch(&json!({"project": "p", "operation": "issue", "format": "ndjson"}));
    for piece in [5, 70_000, file.len()] {
        let (read, _) = rows(&document, file.as_bytes(), piece).unwrap();
        let words: Vec<String> =
            read.iter().map(|row| row.value.as_ref().map_or_else(Clone::clone, |_| "fine".to_owned())).collect();
        let expected =
            ["fine", "expected an object", "not JSON", "surrogate", "out of range", "recursion", "longer than", "fine"];
        assert_eq!(words.len(), expected.len(), "{words:?}");
        for (word, expected) in words.iter().zip(expected) {
            assert!(word.contains(expected), "{word} {expected}");
        }
        assert_eq!(read.last().unwrap().line, 9);
    }
}

#[test]
fn lines_of_an_array_are_told_to_be_that() {
    let document = batch(&json!({"project": "p", "operation": "issue", "format": "ndjson"}));
    let (read, _) = rows(&document, b"[\n {\"a\":1},\n {\"a\":2}\n]\n", 100).unwrap();
    let told: Vec<bool> =
        read.iter().map(|row| row.value.as_ref().is_err_and(|why| why.contains("leave out its brackets"))).collect();
    assert_eq!(told, [true, true, false, true]);
}

#[test]
fn a_number_of_more_digits_than_a_double_keeps_is_its_text() {
    let document = batch(&json!({"project": "coffee-club", "operation": "issue", "format": "ndjson"}));
    let table = [
        ("12345678901234567890123", json!("12345678901234567890123")),
        ("-12345678901234567890123", json!("-12345678901234567890123")),
        ("[12345678901234567.25,1]", json!(["12345678901234567.25", 1])),
        ("[0.10000000000000001,12.3333333333333333]", json!([0.1, 12.333_333_333_333_334])),
        ("1e-400", json!("1e-400")),
        ("18446744073709551615", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("0.30000000000000004", json!(0.300_000_000_000_000_04)),
        ("1.50000000000000000000", json!(1.5)),
        ("100000000000000000000000", json!("100000000000000000000000")),
        ("1E2", json!(100.0)),
        ("1e23", json!(1e23)),
        ("\"a \\\" 12345678901234567890123\"", json!("a \" 12345678901234567890123")),
    ];
    for (number, expected) in table {
        let line = format!("{{\"é\":\"1\",\"external_id\":{number}}}");
        let (read, _) = rows(&document, line.as_bytes(), 100).unwrap();
        assert_eq!(read[0].value.as_ref().unwrap()["external_id"], expected, "{number}");
    }
    for no_number in ["12345678901234567890123.", "012345678901234567890123", "12345678901234567890123e", "1e999", "--1"] {
        let line = format!("{{\"external_id\":{no_number}}}");
        assert!(rows(&document, line.as_bytes(), 100).unwrap().0[0].value.is_err(), "{no_number}");
    }
}

fn decoded(label: Option<&str>, file: &[u8], piece: usize) -> Result<String, String> {
    let (mut decoder, mut out) = (Decoder::new(label).unwrap(), Vec::new());
    for piece in file.chunks(piece) {
        decoder.push(piece, false, &mut out).map_err(|misread| misread.to_string())?;
    }
    decoder.push(&[], true, &mut out).map_err(|misread| misread.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn files_of_other_encodings_become_utf8() {
    let utf16: Vec<u8> = [0xFF, 0xFE].into_iter().chain("Zoë €\n".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    for piece in 1..9 {
        assert_eq!(decoded(None, "\u{FEFF}Zoë €\n".as_bytes(), piece).unwrap(), "Zoë €\n", "the mark is left out");
        assert_eq!(decoded(Some("windows-1252"), b"Zo\xeb \x80\n", piece).unwrap(), "Zoë €\n");
        assert_eq!(decoded(Some("latin1"), b"Zo\xeb\n", piece).unwrap(), "Zoë\n");
        assert_eq!(decoded(None, &utf16, piece).unwrap(), "Zoë €\n", "a mark decides");
        let unmarked = decoded(None, &utf16[2..], piece).unwrap_err();
        assert!(unmarked.contains("UTF-16") && unmarked.contains("--encoding utf-16le"), "{unmarked}");
        assert_eq!(decoded(Some("utf-16le"), &utf16[2..], piece).unwrap(), "Zoë €\n");
        assert!(decoded(None, b"\0a\0,\0b", piece).unwrap_err().contains("--encoding utf-16be"));
        let wrong = decoded(None, b"a,b\nx,Zo\xeb\n", piece).unwrap_err();
        assert!(wrong.contains("byte 9 (line 2) is no UTF-8") && wrong.contains("--encoding windows-1252"), "{wrong}");
        assert!(decoded(None, b"a\xe2\x82", piece).unwrap_err().contains("byte 2"), "cut short");
        assert!(decoded(None, b"PK\x03\x04xx", piece).unwrap_err().contains("save it as CSV"));
    }
    assert!(Decoder::new(Some("klingon")).is_err());
}

fn command(document: &Value, columns: &[&str], row: &Value) -> Result<domain::Command, (String, String)> {
    let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
    let known = (!columns.is_empty()).then_some(columns.as_slice());
    let plan = batch(document).check(&[project()], known).unwrap();
    plan.command(7, row, &ticket(&Actor::Holder)).map_err(|problems| plan.explain(&problems))
}

#[test]
fn columns_of_the_right_name_need_no_map() {
    let row =
        json!({"external_id": "m-1", "email": "Ada@Example.com", "nickname": "gold", "balances.points": "12.5", "other": "x"});
    for columns in [&["external_id", "email", "nickname", "balances.points", "other"][..], &[]] {
        let made = command(&json!({"project": "coffee-club", "operation": "issue"}), columns, &row).unwrap();
        let Action::Issue(issue) = &made.action else { panic!("{made:?}") };
        assert_eq!(issue.external_id.as_deref(), Some("m-1"));
        assert_eq!(issue.contact.as_ref().unwrap().email.as_deref(), Some("ada@example.com"));
        assert_eq!(issue.fields["nickname"], FieldValue::Text("gold".to_owned()));
        assert_eq!(issue.balances["points"], "12.5".parse().unwrap());
        assert_eq!(issue.if_exists, IfExists::Update);
        let again = command(&json!({"project": "coffee-club", "operation": "issue"}), columns, &row).unwrap();
        assert_eq!((made.id, made.key), (again.id, again.key), "a row is the same command again");
    }
    let found = |row: Value| command(&json!({"project": "coffee-club", "operation": "revoke"}), &[], &row).unwrap().action;
    assert!(matches!(found(json!({"external_id": "m-1"})), Action::Revoke { pass: PassRef::External { .. }, .. }));
    assert!(matches!(found(json!({"email": "a@b.c"})), Action::Revoke { pass: PassRef::OfContact { .. }, .. }));
    let told = command(
        &json!({"project": "coffee-club", "operation": "notify"}),
        &["external_id", "message"],
        &json!({"external_id": "1", "message": "Hi"}),
    );
    assert!(matches!(told.unwrap().action, Action::Notify { text, .. } if text == "Hi"));
}

#[test]
fn a_pass_of_nobody_needs_no_contact() {
    let made = command(&json!({"project": "coffee-club", "operation": "issue"}), &["external_id"], &json!({"external_id": "1"}))
        .unwrap();
    assert!(matches!(made.action, Action::Issue(issue) if issue.contact.is_none()));
}

#[test]
fn a_row_that_fails_names_its_columns() {
    let document = json!({"project": "coffee-club", "operation": "issue",
        "map": {"external_id": "$.No", "balances": {"points": {"@path": "$.['Their Points']"}}, "expires_at": "$.until"}});
    let row = json!({"No": "1", "Their Points": "many", "until": "soon"});
    let (columns, reason) = command(&document, &["No", "Their Points", "until"], &row).unwrap_err();
    assert_eq!(columns, "Their Points, until");
    assert!(reason.starts_with("balances.points: ") && reason.contains("; expires_at: expected a time"), "{reason}");
    assert!(!reason.contains("many"), "values are not repeated: {reason}");
}

#[test]
fn mistakes_in_a_batch_are_told_with_their_place() {
    let wrong = |document: Value, columns: Option<&[&str]>| {
        let columns: Option<Vec<String>> = columns.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let found = Batch::from_json(&document)
            .map_err(|problem| vec![problem])
            .and_then(|batch| batch.check(&[project()], columns.as_deref()));
        found.unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let issue = |extra: Value| {
        let mut document = json!({"project": "coffee-club", "operation": "issue"});
        document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        document
    };
    assert!(wrong(json!({"project": "nope", "operation": "issue"}), None).contains("no project `nope`"));
    assert!(wrong(json!({"project": "coffee-club", "operation": "melt"}), None).contains("operation"));
    assert!(wrong(issue(json!({"map": {"reason": "x"}})), None).contains("map.reason: has no meaning"));
    assert!(wrong(issue(json!({"map": {"fields": {"nope": "x"}}})), None).contains("map.fields.nope: the project has no field"));
    assert!(wrong(issue(json!({"map": {"action": "x"}})), None).contains("map.action: is not mapped"));
    assert!(wrong(issue(json!({"map": {"colour": "x"}})), None).contains("colour"));
    assert!(wrong(issue(json!({"delimiter": "\""})), None).contains("delimiter"));
    assert!(wrong(issue(json!({"encoding": "klingon"})), None).contains("encoding"));
    let missing = wrong(issue(json!({"map": {"contact": {"email": "$.mail"}}})), Some(&["external_id", "email"]));
    assert!(missing.contains("map.contact.email: the file has no column `mail`; it has external_id, email"), "{missing}");
    assert!(wrong(issue(json!({})), Some(&["id", "email"])).contains("no column `external_id`"));
    // Whatever is known of the columns, what tells passes apart is said; null says that nothing does.
    let unnamed = issue(json!({"match_columns": false, "map": {"contact": {"external_id": null, "email": "$.email"}}}));
    for columns in [None, Some(&["email", "external_id"][..])] {
        assert!(wrong(unnamed.clone(), columns).starts_with("map.external_id: map the column that tells passes apart"));
    }
    for map in [json!({"external_id": null}), json!({"external_id": "$.no"}), json!({"contact": {"external_id": "$.no"}})] {
        let batch = Batch::from_json(&issue(json!({"match_columns": false, "map": map}))).unwrap();
        assert!(batch.check(&[project()], None).is_ok(), "{map}");
    }
    let revoke = json!({"project": "coffee-club", "operation": "revoke"});
    assert!(wrong(revoke, Some(&["number"])).contains("map.find: the file has no column"));
}

#[test]
fn a_report_can_be_fed_back() {
    let document = batch(&json!({"project": "coffee-club", "operation": "issue"}));
    let file = "external_id;name\n1;\"Ada; B\"\n2\n3;x;y\n";
    let (read, layout) = rows(&document, file.as_bytes(), 100).unwrap();
    let report = Report::of(&layout);
    let mut out = report.head();
    for row in &read {
        report.add(&mut out, row, "name", "wants; mending");
    }
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "external_id;name;batch_row;batch_line;batch_column;batch_reason;batch_surplus");
    assert_eq!(lines[1], "1;\"Ada; B\";1;2;name;\"wants; mending\";");
    assert_eq!(lines[2], "2;;2;3;name;\"wants; mending\";cells missing: 1");
    assert_eq!(lines[3], "3;x;3;4;name;\"wants; mending\";y");
    let (again, layout) = rows(&document, out.as_bytes(), 10).unwrap();
    let report_again = Report::of(&layout);
    assert_eq!(report_again.head(), report.head(), "notes are written anew");
    // What nobody mended fails again, and what was too many is still there, however often it is fed back.
    let told: Vec<_> = again.iter().map(|row| row.value.clone().err().unwrap_or_default()).collect();
    assert_eq!(told[0], "");
    assert!(told[1].contains("`cells missing: 1`") && told[2].contains("`batch_surplus` has `y`"), "{told:?}");
    let mut twice = report_again.head();
    again.iter().for_each(|row| report_again.add(&mut twice, row, "name", "wants; mending"));
    assert_eq!(
        twice.lines().skip(1).map(|line| line.rsplit(';').next().unwrap()).collect::<Vec<_>>(),
        ["", "cells missing: 1", "y"]
    );
    let mended = out.replace(";cells missing: 1", ";").replace(";y\n", ";\n");
    assert!(rows(&document, mended.as_bytes(), 10).unwrap().0.iter().all(|row| row.value.is_ok()));

    let document = batch(&json!({"project": "coffee-club", "operation": "issue", "format": "ndjson"}));
    let (read, layout) = rows(&document, b"[1]\n", 100).unwrap();
    let mut out = String::new();
    Report::of(&layout).add(&mut out, &read[0], "", "no object");
    let (again, _) = rows(&document, out.as_bytes(), 100).unwrap();
    assert!(again[0].value.clone().unwrap_err().contains("was not mended"));
    let mut twice = String::new();
    Report::of(&layout).add(&mut twice, &again[0], "", "no object");
    assert_eq!(twice, out);
}

#[test]
fn rows_may_be_what_the_api_takes_and_what_nothing_takes_is_told() {
    let issue = json!({"project": "coffee-club", "operation": "issue"});
    let taken = |command: domain::Command| match command.action {
        Action::Issue(issue) => issue,
        other => panic!("{other:?}"),
    };
    let whole = json!({"external_id": "m-1", "contact": {"email": "ada@example.com", "name": "Ada", "traits": {"plan": "gold"}},
        "fields": {"nickname": "Lady"}, "balances": {"points": "7"}});
    let flat = json!({"external_id": "m-1", "contact.email": "ada@example.com", "contact.name": "Ada",
        "contact.traits.plan": "gold", "fields.nickname": "Lady", "balances.points": "7"});
    let columns: Vec<&str> = flat.as_object().unwrap().keys().map(String::as_str).collect();
    for (row, columns) in [(&whole, &[][..]), (&flat, columns.as_slice())] {
        let found = taken(command(&issue, columns, row).unwrap());
        let contact = found.contact.unwrap();
        assert_eq!((contact.email.as_deref(), contact.name.as_deref()), (Some("ada@example.com"), Some("Ada")), "{row}");
        assert_eq!(serde_json::to_value(&contact.traits).unwrap()["plan"], "gold", "{row}");
        assert_eq!((found.fields.len(), found.balances["points"].to_string().as_str()), (1, "7"), "{row}");
    }

    let plan = |known: Option<&[String]>| batch(&issue).check(&[project()], known).unwrap();
    let known = ["external_id", "email", "Nickname", "nickname", "batch_row", "points"].map(str::to_owned);
    let of_columns = plan(Some(&known));
    assert_eq!(known.iter().filter(|column| of_columns.leaves(column)).collect::<Vec<_>>(), ["Nickname"]);
    let mut left = Vec::new();
    let row = json!({"external_id": "1", "contact": {"email": "a@b.c", "mail": 1}, "colour": 1,
        "fields": {"nickname": "x", "nope": 1}});
    plan(None).left_of(&row, &mut |name| left.push(name));
    left.sort();
    assert_eq!(left, ["colour", "contact.mail", "fields.nope"]);
}

#[test]
fn test_projects_have_what_the_cases_use() {
    let project = project();
    assert_eq!(project.field("nickname").unwrap().field_type, FieldType::Text);
    assert!(project.balances.contains_key("points"));
}

proptest! {
    /// However a file is cut into pieces and wherever reading goes on, the rows are the same.
    #[test]
    fn pieces_do_not_matter(file in "(a,b\n)?([a-z\"€, \r\n]{0,12}\n?){0,8}", piece in 1usize..20, cut in 0usize..8) {
        let document = batch(&json!({"project": "p", "operation": "issue"}));
        let whole = rows(&document, file.as_bytes(), file.len().max(1));
        let pieces = rows(&document, file.as_bytes(), piece);
        prop_assert_eq!(whole.as_ref().map(|read| &read.0), pieces.as_ref().map(|read| &read.0));
        if let Ok((all, layout)) = whole && let Some(row) = all.get(cut) {
            let mut reader = Reader::new(layout, row.end);
            reader.push(&file.as_bytes()[usize::try_from(row.end.offset).unwrap()..]);
            let mut rest = Vec::new();
            while let Some(row) = reader.next(true).unwrap() {
                rest.push(row);
            }
            prop_assert_eq!(&rest, &all[cut + 1..]);
        }
    }

    #[test]
    fn no_file_makes_a_reader_panic(file in proptest::collection::vec(any::<u8>(), 0..200), ndjson in any::<bool>()) {
        let format = if ndjson { "ndjson" } else { "csv" };
        let document = batch(&json!({"project": "p", "operation": "issue", "format": format}));
        let mut text = Vec::new();
        let mut decoder = Decoder::new(Some("windows-1252")).unwrap();
        if decoder.push(&file, true, &mut text).is_ok() {
            let _ = rows(&document, &text, 9);
        }
    }
}
