//! RudderStack's model of transformations: what goes in, what comes out, what there is to call.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{checked, fault, one, run, run_with};
use proptest::prelude::*;
use script::{Entry, FaultKind, Limits, Transformed};
use serde_json::{Value, json};

#[test]
fn an_event_is_kept_dropped_multiplied_or_refused() {
    let source = "export function transformEvent(event, metadata) {
        if (event.n === 0) return;
        if (event.n === 1) return null;
        if (event.n === 2) return [event, { ...event, copy: true }];
        if (event.n === 3) return 'text';
        if (event.n === 4) return [event, 5];
        if (event.n === 5) return [];
        if (event.n === 6) return () => event;
        event.seen = true;
        return event;
    }";
    let events: Vec<Value> = (0..8).map(|n| json!({"n": n})).collect();
    let out = run(source, &events);
    assert_eq!(out.events[0], Transformed::Dropped);
    assert_eq!(out.events[1], Transformed::Dropped);
    assert_eq!(out.events[2], Transformed::Kept(vec![json!({"n": 2}), json!({"n": 2, "copy": true})]));
    assert!(fault(&out, 3).message.contains("returned string"));
    assert_eq!(fault(&out, 4).kind, FaultKind::Result);
    assert_eq!(out.events[5], Transformed::Dropped);
    assert_eq!(fault(&out, 6).kind, FaultKind::Result);
    assert_eq!(out.events[7], Transformed::Kept(vec![json!({"n": 7, "seen": true})]));
}

#[test]
fn metadata_is_found_by_message_id() {
    let source = "export async function transformEvent(event, metadata) {
        event.source = metadata(event).sourceId;
        event.other = metadata({ messageId: 'nobody' }).sourceId;
        event.inherited = metadata({ messageId: 'toString' }).sourceId;
        return event;
    }";
    assert_eq!(one(source, json!({"messageId": "m"})), json!({"messageId": "m", "source": "source-0"}));
}

#[test]
fn libraries_are_imported_by_name_and_import_each_other() {
    let library = ("hash", "import { base } from 'base'; export const twice = (n) => n * base; export default twice;");
    let source = "import twice, { twice as again } from 'hash';
        export function transformEvent(event) { event.n = twice(event.n) + again(1); return event; }";
    let program = checked(source, &[library, ("base", "export const base = 2;")]).unwrap();
    let out = run_with(&program, &[json!({"n": 4})], &Limits::default());
    assert_eq!(out.events, [Transformed::Kept(vec![json!({"n": 10})])]);
}

#[test]
fn a_batch_is_tied_to_its_events_by_message_id() {
    let source = "export function transformBatch(events, metadata) {
        const kept = events.filter((event) => event.total > 10);
        const sum = kept.reduce((sum, event) => sum + event.total, 0);
        return [...kept, { type: 'track', event: 'Sum', sum, from: metadata(events[1]).sourceId }];
    }";
    let event = |id: &str, total: u32| json!({"messageId": id, "total": total});
    let out = run(source, &[event("a", 5), event("b", 20), event("c", 30)]);
    let sum = json!({"type": "track", "event": "Sum", "sum": 50, "from": "source-1"});
    assert_eq!(out.events[0], Transformed::Dropped);
    assert_eq!(out.events[1], Transformed::Kept(vec![event("b", 20)]));
    assert_eq!(out.events[2], Transformed::Kept(vec![event("c", 30), sum]));

    let thrown = run("export function transformBatch(events) { throw new Error('no') }", &[event("a", 1), event("b", 1)]);
    assert_eq!((fault(&thrown, 0).message.as_str(), fault(&thrown, 1).place().as_str()), ("Error: no", "transformation:1:52"));
}

#[test]
fn the_outside_is_reached_through_the_host_alone() {
    let source = "export async function transformEvent(event) {
        event.plain = await fetch('https://api.example.com/a', { headers: { 'x-key': 7 }, method: 'POST', body: { a: 1 } });
        event.refused = await fetch('http://169.254.169.254/');
        const reply = await fetchV2('https://api.example.com/text');
        event.full = [reply.status, reply.headers['x-a'], reply.body, reply.url];
        try { await fetchV2('http://127.0.0.1/') } catch (error) { event.why = error.message }
        event.country = (await geolocation('64.233.160.0')).country;
        event.secret = getCredential('token').length;
        event.none = typeof getCredential('other');
        return event;
    }";
    let out = one(source, json!({}));
    assert_eq!(out["plain"], json!({"method": "POST", "key": "7", "sent": "{\"a\":1}"}));
    assert_eq!(out["refused"], "ERROR");
    assert_eq!(out["full"], json!([201, "b", "plain", "https://api.example.com/text"]));
    assert_eq!(out["why"], "this address may not be reached");
    assert_eq!((&out["country"], &out["secret"], &out["none"]), (&json!("US"), &json!(6), &json!("undefined")));
    let globals =
        "export const transformEvent = () => ({ found: ['require', 'process', 'setTimeout', 'std', 'os', 'host', 'note',
        'XMLHttpRequest', 'WebSocket', 'Deno'].filter((name) => name in globalThis) })";
    assert_eq!(one(globals, json!({})), json!({"found": []}));
}

#[test]
fn faults_say_where() {
    let place = |source: &str| {
        let fault =
            checked(source, &[("broken", "export const x = ;"), ("throws", "\n  throw new Error('while loading')")]).unwrap_err();
        (fault.kind, fault.to_string())
    };
    let (kind, text) = place("export function transformEvent(event) {\n  return event +;\n}");
    assert_eq!(kind, FaultKind::Syntax);
    assert!(text.starts_with("transformation:2:"), "{text}");
    let (kind, text) = place("import { x } from 'broken';\nexport const transformEvent = (e) => e;");
    assert_eq!(kind, FaultKind::Syntax);
    assert!(text.starts_with("broken:1:"), "{text}");
    let (kind, text) = place("import 'throws';\nexport const transformEvent = (e) => e;");
    assert_eq!((kind, text.as_str()), (FaultKind::Thrown, "throws:2:13: Error: while loading"));
    let (kind, text) = place("import { x } from 'nowhere';\nexport const transformEvent = (e) => e;");
    assert_eq!(kind, FaultKind::Import);
    assert!(text.contains("there is no library \"nowhere\"; there are: broken, throws"), "{text}");
    assert_eq!(place("import { y } from 'throws';\nexport const transformEvent = (e) => e;").0, FaultKind::Import);
    assert_eq!(place("export const other = 1;").0, FaultKind::Export);
    assert_eq!(place("export function transformEvent() {}\nexport function transformBatch() {}").0, FaultKind::Export);
    assert_eq!(place("function transform(events) { return events }").0, FaultKind::Export);

    let out = run("export function transformEvent(event) {\n  return event.context.traits.email;\n}", &[json!({})]);
    let fault = fault(&out, 0);
    assert_eq!((fault.kind, fault.line), (FaultKind::Thrown, Some(2)));
    assert!(fault.message.contains("TypeError"), "{}", fault.message);
    let thrown = run("export function transformEvent() { throw { code: 4 } }", &[json!({})]);
    assert_eq!(common::fault(&thrown, 0).message, r#"threw {"code":4}"#);
}

#[test]
fn the_log_is_kept_with_a_bound() {
    let source = "log('loading'); export function transformEvent(event) {
        console.log('at', event.n, { a: [1] }, undefined);
        log('x'.repeat(5000));
        return event;
    }";
    let events: Vec<Value> = (0..60).map(|n| json!({"n": n})).collect();
    let out = run(source, &events);
    assert_eq!((out.log[0].text.as_str(), out.log[0].event), ("loading", None));
    assert_eq!((out.log[1].text.as_str(), out.log[1].event), (r#"at 0 {"a":[1]} undefined"#, Some(0)));
    assert!(out.log[2].text.len() < 1100);
    assert_eq!((out.log.len(), out.log_left_out), (100, 21));
}

#[test]
fn what_differs_from_v8_is_pointed_out() {
    let program =
        checked("export function transformEvent(e) {\n  e.d = new Date(0).toLocaleDateString('de-DE');\n  return e; }", &[])
            .unwrap();
    assert_eq!(program.entry(), Entry::Event);
    let warnings = program.warnings();
    assert_eq!((warnings[0].line, warnings[0].column), (2, 21));
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("\\PC{0,6}", inner), 0..4).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever an event holds, code that does nothing changes nothing.
    #[test]
    fn events_pass_through_as_they_are(value in json_value()) {
        let event = json!({"messageId": "m", "properties": {"value": value}});
        let program = checked("export const transformEvent = (event) => event;", &[]).unwrap();
        let out = run_with(&program, std::slice::from_ref(&event), &Limits::default());
        // An array's and an integer-like key's order is JavaScript's; values are compared.
        prop_assert_eq!(&out.events[0], &Transformed::Kept(vec![event]));
    }

    /// No text makes the check or the run panic or hang.
    #[test]
    fn any_text_is_judged(source in "[a-z(){};=> \\[\\]'\"`$.\\n]{0,80}") {
        if let Ok(program) = checked(&format!("export function transformEvent(e) {{ {source} }}"), &[]) {
            run_with(&program, &[json!({})], &Limits::default());
        }
    }
}
