//! Code that means harm, or harms by mistake: it fails alone, soon, and leaves nothing behind.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{checked, fault, one, run, run_with};
use script::{FaultKind, Limits, Transformed};
use serde_json::{Value, json};

/// The usual limits with another time: little, so that the tests are quick, or enough to meet the other limits.
fn within(millis: u64) -> Limits {
    Limits { time: Duration::from_millis(millis), ..Limits::default() }
}

/// Runs `body` on events of which the second alone is hurt by it.
fn second_is(body: &str, kind: FaultKind) {
    let source = format!("export async function transformEvent(event) {{ if (event.n === 1) {{ {body} }} return event; }}");
    let program = checked(&source, &[]).unwrap();
    let events: Vec<Value> = (0..4).map(|n| json!({"n": n})).collect();
    // How long it takes is what is tested.
    #[allow(clippy::disallowed_methods)]
    let began = Instant::now();
    let out = run_with(&program, &events, &within(if kind == FaultKind::Time { 100 } else { 3_000 }));
    let took = began.elapsed();
    assert_eq!(fault(&out, 1).kind, kind, "{body}: {:?}", out.events[1]);
    for index in [0, 2, 3] {
        assert_eq!(out.events[index], Transformed::Kept(vec![events[index].clone()]), "{body}");
    }
    assert!(took < Duration::from_secs(15), "{body} took {took:?}");
}

#[test]
fn endless_loops_are_stopped() {
    second_is("while (true) {}", FaultKind::Time);
    second_is("for (;;) { try { while (true) {} } catch {} }", FaultKind::Time);
    second_is("for (;;) await null;", FaultKind::Time);
    second_is("const again = () => Promise.resolve().then(again); await again();", FaultKind::Time);
    second_is("/(a+)+$/.test('a'.repeat(40) + 'b');", FaultKind::Time);
    second_is("[1, 2].sort(() => { while (true) {} });", FaultKind::Time);
}

#[test]
fn allocating_for_ever_is_stopped() {
    second_is("const all = []; for (;;) all.push(new Array(1000).fill(1));", FaultKind::Memory);
    second_is("let text = 'x'; for (;;) text += text;", FaultKind::Thrown);
    second_is("new ArrayBuffer(1e9);", FaultKind::Memory);
    second_is("'x'.repeat(2 ** 29);", FaultKind::Memory);
    let out = run("export const transformEvent = (event) => ({ text: 'x'.repeat(3e6) })", &[json!({})]);
    assert!(fault(&out, 0).message.contains("bytes of JSON"), "{:?}", out.events);
}

/// The engine does not look at the clock inside a join; the memory limit keeps that short.
#[test]
fn a_long_call_of_the_engine_ends() {
    let source = "export function transformEvent(event) { new Array(1e8).join('ab'); return event; }";
    #[allow(clippy::disallowed_methods)]
    let began = Instant::now();
    let out = run(source, &[json!({})]);
    assert!(matches!(fault(&out, 0).kind, FaultKind::Time | FaultKind::Memory), "{:?}", out.events);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn deep_recursion_is_stopped() {
    second_is("const f = () => f() + 1; f();", FaultKind::Stack);
    second_is("let deep = {}; for (let i = 0; i < 1e5; i++) deep = { deep }; event.deep = deep;", FaultKind::Stack);
    let out = run(
        "export function transformEvent(event) { let deep = {}; for (let i = 0; i < 500; i++) deep = { deep }; return deep; }",
        &[json!({})],
    );
    assert_eq!(fault(&out, 0).kind, FaultKind::Result);
    let cycle = run("export function transformEvent(event) { event.self = event; return event; }", &[json!({})]);
    assert!(fault(&cycle, 0).message.contains("circular"), "{:?}", cycle.events);
}

#[test]
fn promises_that_never_settle_are_recognised() {
    second_is("await new Promise(() => {});", FaultKind::Unsettled);
    let fault = checked("await new Promise(() => {}); export const transformEvent = (e) => e;", &[]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unsettled);
}

#[test]
fn loading_is_limited_too() {
    assert_eq!(checked("while (true) {} export const transformEvent = (e) => e;", &[]).unwrap_err().kind, FaultKind::Time);
    assert_eq!(checked(&"/".repeat(2_000_000), &[]).unwrap_err().kind, FaultKind::Syntax);
    assert_eq!(checked("export const transformEvent = '\0'", &[]).unwrap_err().kind, FaultKind::Syntax);
}

#[test]
fn what_is_stopped_too_often_is_not_tried_any_more() {
    let program = checked("export function transformEvent(event) { while (true) {} }", &[]).unwrap();
    let out = run_with(&program, &[json!({}), json!({}), json!({}), json!({}), json!({})], &within(100));
    assert_eq!(fault(&out, 2).kind, FaultKind::Time);
    assert_eq!(fault(&out, 4).kind, FaultKind::Untried);
}

#[test]
fn calls_of_the_host_are_counted() {
    let source = "export async function transformEvent(event) {
        for (let i = 0; i < 600; i++) await fetchV2('https://api.example.com/' + i);
        return event;
    }";
    let out = run(source, &[json!({})]);
    assert!(fault(&out, 0).message.contains("at most 500 calls"), "{:?}", out.events);
}

/// Code that breaks what everything is built of hurts the events of its own batch at most, and never what we read.
#[test]
fn prototypes_that_were_tampered_with_end_with_the_batch() {
    let source = "export function transformEvent(event) {
        const before = Object.prototype.tainted ?? 'clean';
        Object.prototype.tainted = 'tainted';
        JSON.parse = () => ({ forged: true });
        JSON.stringify = () => '{\"forged\":true}';
        Array.prototype.map = () => { throw new Error('map') };
        Promise.prototype.then = () => { throw new Error('then') };
        Object.hasOwn = () => true;
        String.prototype.toString = () => 'forged';
        globalThis.fetch = () => 'forged';
        return { before, n: event.n };
    }";
    let program = checked(source, &[]).unwrap();
    for _ in 0..2 {
        let out = run_with(&program, &[json!({"n": 0}), json!({"n": 1})], &Limits::default());
        assert_eq!(out.events[0], Transformed::Kept(vec![json!({"before": "clean", "n": 0})]));
        assert_eq!(out.events[1], Transformed::Kept(vec![json!({"before": "tainted", "n": 1})]));
    }
    // What a key named __proto__ holds is a value, not a prototype.
    let event: Value = serde_json::from_str(r#"{"__proto__": {"admin": true}, "constructor": 1}"#).unwrap();
    let seen =
        one("export const transformEvent = (event) => ({ admin: event.admin ?? false, plain: ({}).admin ?? false })", event);
    assert_eq!(seen, json!({"admin": false, "plain": false}));
}

#[test]
fn module_state_ends_with_the_batch() {
    let program = checked("let n = 0; export const transformEvent = (event) => ({ n: n++ });", &[]).unwrap();
    for _ in 0..2 {
        let out = run_with(&program, &[json!({}), json!({})], &Limits::default());
        assert_eq!(out.events, [0, 1].map(|n| Transformed::Kept(vec![json!({"n": n})])));
    }
}

#[test]
fn a_lone_surrogate_is_a_fault_of_its_event() {
    let out = run("export const transformEvent = (event) => ({ text: '\\ud800' })", &[json!({})]);
    assert_eq!(fault(&out, 0).kind, FaultKind::Result);
}

/// Events that are each quick enough do not hold up what comes behind all of them.
#[test]
fn a_run_as_a_whole_is_limited() {
    let source = "export function transformEvent(event) {
        for (const end = Date.now() + 30; Date.now() < end; );
        return event;
    }";
    let limits = Limits { time: Duration::from_secs(5), total: Duration::from_millis(100), ..Limits::default() };
    let events: Vec<Value> = (0..50).map(|n| json!({"n": n})).collect();
    let out = run_with(&checked(source, &[]).unwrap(), &events, &limits);
    assert_eq!(out.events[0], Transformed::Kept(vec![json!({"n": 0})]));
    assert_eq!(fault(&out, 49).kind, FaultKind::Untried);
    assert_eq!(out.events.len(), 50);
}
