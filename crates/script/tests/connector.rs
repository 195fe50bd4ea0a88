//! Connectors after The Wallet Crew's model.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use script::{Connector, FaultKind, Host, Limits, Reply, Request};
use serde_json::{Value, json};

const POINT: &str = "runtime.wallet.passUpdater";

struct Outside {
    began: Instant,
    asked: Mutex<Vec<Request>>,
    status: u16,
}

impl Host for Outside {
    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
    fn fetch(&self, request: &Request) -> Result<Reply, String> {
        self.asked.lock().unwrap().push(request.clone());
        Ok(Reply { status: self.status, headers: [("x-one".to_owned(), "1".to_owned())].into(), body: r#"{"id":7}"#.to_owned() })
    }
    fn credential(&self, key: &str) -> Option<String> {
        (key == "crm").then(|| "hush".to_owned())
    }
}

#[allow(clippy::disallowed_methods)]
fn outside(status: u16) -> Arc<Outside> {
    Arc::new(Outside { began: Instant::now(), asked: Mutex::default(), status })
}

fn arguments() -> Vec<(&'static str, Value)> {
    vec![
        ("passId", json!("p1")),
        ("passType", json!("gold")),
        ("identifiers", json!({"customerId": "c-1"})),
        ("device", json!("apple")),
        ("additionalInformation", json!({"activeRegistrationCount": 2})),
    ]
}

/// The shape of the published example: a constant before the import, typedefs, functions by name, secrets, a call.
const PUBLISHED: &str = r#"
const API_URL = 'https://partner.example.com';
import { getSecret } from 'neo/secrets';
/** @typedef {Object} RegistrationInformation */
async function send(passId, identifiers, device, installed, information) {
    const response = await fetch(`${API_URL}/members/${identifiers.customerId}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'Authorization': 'Bearer ' + getSecret('crm') },
        body: JSON.stringify({ passId, device, installed, count: information.activeRegistrationCount })
    });
    if (!response.ok) throw new Error(`partner answered ${response.status}`);
    console.log('told', (await response.json()).id, response.headers.get('X-One'));
}
async function onPassInstalled(passId, passType, identifiers, device, additionalInformation) {
    await send(passId, identifiers, device, true, additionalInformation);
}
async function onPassUninstalled(passId, passType, identifiers, device, additionalInformation) {
    await send(passId, identifiers, device, false, additionalInformation);
}
export default function(context) {
  context.register('runtime.scriptable.customerProvider.customProvider', { Fill: () => {} });
  context.register('runtime.wallet.passUpdater', {
    OnPassInstalled: onPassInstalled,
    OnPassUninstalled: onPassUninstalled
  });
}
"#;

#[test]
fn the_published_shape_runs() {
    let host = outside(200);
    let connector = Connector::new(PUBLISHED);
    let registered = connector.check(Arc::clone(&host) as Arc<dyn Host>, &Limits::default()).unwrap();
    assert_eq!(registered[1].functions, ["OnPassInstalled", "OnPassUninstalled"]);
    let called = connector.call(POINT, "OnPassUninstalled", &arguments(), Arc::clone(&host) as Arc<dyn Host>, &Limits::default());
    assert_eq!(called.result, Ok(true));
    assert_eq!(called.log[0].text, "told 7 1");
    let asked = host.asked.lock().unwrap();
    assert_eq!((asked[0].method.as_str(), asked[0].url.as_str()), ("POST", "https://partner.example.com/members/c-1"));
    assert_eq!(asked[0].headers["Authorization"], "Bearer hush");
    assert_eq!(asked[0].body.as_deref(), Some(r#"{"passId":"p1","device":"apple","installed":false,"count":2}"#));
}

fn run(code: &str) -> script::Called {
    Connector::new(code).call(POINT, "OnPassInstalled", &arguments(), outside(500), &Limits::default())
}

#[test]
fn one_parameter_is_given_everything() {
    let whole = run("export default (c) => c.register('runtime.wallet.passUpdater', \
        { OnPassInstalled: async ({ passId, device }) => console.log(passId, device) })");
    assert_eq!((whole.result, whole.log[0].text.as_str()), (Ok(true), "p1 apple"));
    let text = run("export default (c) => c.register('runtime.wallet.passUpdater', { OnPassInstalled: (id) => log(`${id}`) })");
    assert_eq!(text.log[0].text, "p1");
    let this = run("export default (c) => c.register('runtime.wallet.passUpdater', \
        { n: 5, OnPassInstalled(a, b) { log(this.n, b) } })");
    assert_eq!(this.log[0].text, "5 gold");
}

#[test]
fn what_fails_says_where() {
    let thrown = run(PUBLISHED).result.unwrap_err();
    assert_eq!((thrown.kind, thrown.file.as_deref()), (FaultKind::Thrown, Some("connector")));
    assert!(thrown.message.contains("partner answered 500"), "{thrown}");
    let missing = run("import {getSecret} from 'neo/secrets'; export default (c) => c.register('runtime.wallet.passUpdater', \
        { OnPassInstalled() { getSecret('other') } })");
    assert!(missing.result.unwrap_err().message.contains("set secret.other"));
    assert_eq!(run("export const x = 1").result.unwrap_err().kind, FaultKind::Export);
    assert_eq!(run("import y from 'fs'; export default () => {}").result.unwrap_err().kind, FaultKind::Import);
    assert_eq!(run("export default (c) => {").result.unwrap_err().kind, FaultKind::Syntax);
    assert_eq!(run("export default (c) => {}").result, Ok(false), "nothing is registered");
    for thrown in ["throw undefined", "return new Promise((_, reject) => reject())"] {
        let fault = run_body(thrown).result.unwrap_err();
        assert_eq!((fault.kind, fault.message.as_str()), (FaultKind::Thrown, "threw undefined"), "{thrown}");
    }
}

fn run_body(body: &str) -> script::Called {
    run(&format!("export default (c) => c.register('{POINT}', {{ async OnPassInstalled(a, b) {{ {body} }} }})"))
}

#[test]
fn a_promise_that_nobody_waits_for_fails_the_call_all_the_same() {
    for body in [
        "(async () => { throw new Error('late') })()",
        "Promise.reject(new Error('late'))",
        "fetch('https://partner.example.com').then((answer) => { if (!answer.ok) throw new Error('late') })",
        "Promise.reject(1).catch(() => {}); Promise.reject(new Error('late'))",
    ] {
        let fault = run_body(body).result.unwrap_err();
        assert!(fault.message.contains("late"), "{body}: {fault}");
    }
    for body in [
        "const later = Promise.reject(new Error('late')); await null; try { await later } catch {}",
        "Promise.reject(new Error('late')).catch(() => {})",
        "await Promise.allSettled([Promise.reject(1), (async () => { throw 2 })()])",
        "try { await Promise.all([Promise.reject(1), Promise.reject(2)]) } catch {}",
    ] {
        assert_eq!(run_body(body).result, Ok(true), "{body}");
    }
}

#[test]
fn what_is_registered_are_the_functions() {
    let check = |functions: &str| {
        let code =
            format!("class Updater {{ OnPassInstalled() {{}} }}; export default (c) => c.register('{POINT}', {functions})");
        Connector::new(&code).check(outside(200), &Limits::default()).unwrap().remove(0).functions
    };
    assert_eq!(check("{ OnPassInstalled: 5, other() {} }"), ["other"]);
    assert_eq!(check("new Updater()"), ["OnPassInstalled"]);
    assert!(check("{}").is_empty());
}

#[test]
fn nothing_runs_for_ever() {
    let quick = Limits { time: Duration::from_millis(100), ..Limits::default() };
    for body in ["for (;;) {}", "return new Promise(() => {})", "const all = []; for (;;) all.push('x'.repeat(1e6))"] {
        let code = format!("export default (c) => c.register('{POINT}', {{ OnPassInstalled(a, b) {{ {body} }} }})");
        let kind =
            Connector::new(&code).call(POINT, "OnPassInstalled", &arguments(), outside(200), &quick).result.unwrap_err().kind;
        assert!(matches!(kind, FaultKind::Time | FaultKind::Unsettled | FaultKind::Memory), "{body}: {kind:?}");
    }
}
