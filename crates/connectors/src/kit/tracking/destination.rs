//! Events for the tracking protocol of customer data platforms: what becomes of passes as `track` calls, who holds them in which
//! wallet as `identify` calls, in batches.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{Contact, Event, EventKind, Facts, Target, Timestamp};
use http::{Method, header};
use serde_json::{Map, Value, json};

use crate::kit::vendor::{self, Record};
use crate::kit::{Credentials, Field, Owed, Request, Secrets, Sending, Setting, SettingProblem, State, Takes, crm, headers};

/// Most bytes of one call.
pub(crate) const MAX_CALL_BYTES: usize = 32 * 1_024;
/// What stands around the calls of a batch, in bytes; ample.
const AROUND: usize = 256;

pub(crate) const WRITE_KEY: Setting = Setting {
    name: "write_key",
    value: "the write key of a source",
    takes: Takes::Secret(512),
    default: "required",
    about: "Of the source that the events are to come from.",
};

/// Every event of a pass or contact has a name, but for looks at a pass, which are many and say little.
pub(crate) const fn wants(kind: EventKind) -> bool {
    !matches!(kind, EventKind::PassRendered | EventKind::ScanUnknown | EventKind::ContactErased) && !kind.is_operational()
}

pub(crate) fn check(target: &Target, credentials: &Credentials) -> Result<(), SettingProblem> {
    vendor::require(target, credentials, &[WRITE_KEY.name])?;
    crm::check_key(target)
}

/// What `identify` says of a contact; what was known of it and is not any more is null, which takes it away.
/// Source: "Can I remove a trait from a user profile?" in `src/unify/faqs.md` of <https://github.com/segmentio/segment-docs>.
pub(crate) fn identified(contact: &Contact, target: &Target) -> Result<State, String> {
    let mut state = known(contact, target)?;
    let gone = &contact.gone;
    let own = [("email", gone.email), ("name", gone.name), ("phone", gone.phone)];
    let traits = gone.traits.iter().map(String::as_str).filter(|name| !["email", "name", "phone"].contains(name));
    for name in own.into_iter().filter(|(_, is_gone)| *is_gone).map(|(name, _)| name).chain(traits) {
        if state.fields.iter().all(|(there, _)| there != name) {
            state.fields.push((name.to_owned(), Field::Nothing));
        }
    }
    Ok(state)
}

/// What is known of a contact, by the names of the tracking protocol.
pub(crate) fn known(contact: &Contact, target: &Target) -> Result<State, String> {
    let [status, apple, google, changed, event] = crm::values(crm::wallets(contact, target), false);
    let text = |value: &Option<String>| value.clone().map(Field::Text);
    let mut fields = Vec::new();
    for (name, value) in [("email", text(&contact.email)), ("name", text(&contact.name)), ("phone", text(&contact.phone))] {
        fields.extend(value.map(|value| (name.to_owned(), value)));
    }
    for (name, value) in contact.traits.iter().filter(|(name, _)| !["email", "name", "phone"].contains(&name.as_str())) {
        fields.push((name.clone(), Field::Plain(serde_json::to_value(value).unwrap_or_default())));
    }
    let wallet = [
        ("walletStatus", status),
        ("appleWalletInstalledAt", apple),
        ("googleWalletInstalledAt", google),
        ("walletLastChangedAt", changed),
        ("walletLastEvent", event),
    ];
    fields.extend(wallet.map(|(name, value)| (name.to_owned(), value)));
    let key = crm::key(contact, &target.settings).unwrap_or_else(|_| format!("anonymous {}", contact.id));
    Ok(State { key, fields })
}

/// Batches to an address, of at most so many bytes.
pub(crate) fn render(
    owed: &[Owed<'_>],
    target: &Target,
    secrets: &Secrets,
    now: Timestamp,
    base: &str,
    most_bytes: usize,
) -> Vec<Sending> {
    let (mut records, mut out) = (Vec::new(), Vec::new());
    for (event, owed) in owed.iter().enumerate().filter(|(_, owed)| wants(owed.event.kind())) {
        let call = call(owed, target);
        let bytes = call.to_string().len();
        if bytes > MAX_CALL_BYTES {
            out.push(Sending::never(format!("it has {bytes} bytes, more than the {MAX_CALL_BYTES} that a call may have"), event));
        } else {
            records.push(Record { key: String::new(), covers: vec![event], json: call });
        }
    }
    for group in vendor::groups(records, usize::MAX, most_bytes - AROUND, |record| record.json.to_string().len()) {
        let (calls, covers) = vendor::apart(group);
        let body = json!({ "batch": calls, "sentAt": now }).to_string();
        let request = vendor::json(Method::POST, format!("{base}/v1/batch"), body);
        out.push(Sending { request: basic(request, secrets.credentials.get(WRITE_KEY.name)), covers });
    }
    out
}

/// The write key stands as a user name without a password.
fn basic(mut request: Request, write_key: Option<&str>) -> Result<Request, String> {
    let encoded = STANDARD.encode(format!("{}:", write_key.ok_or("there is no write key")?));
    let value = headers::sensitive(&format!("Basic {encoded}")).ok_or("the write key cannot stand in a header")?;
    request.headers.insert(header::AUTHORIZATION, value);
    Ok(request)
}

fn call(owed: &Owed<'_>, target: &Target) -> Value {
    let event = owed.event;
    let mut call = Map::new();
    let contact = event.image.contact.as_ref();
    let user = contact.and_then(|contact| crm::key(contact, &target.settings).ok());
    match (user, contact, &event.image.pass) {
        (Some(user), ..) => call.insert("userId".to_owned(), user.into()),
        (None, Some(contact), _) => call.insert("anonymousId".to_owned(), contact.id.to_string().into()),
        (None, None, Some(pass)) => call.insert("anonymousId".to_owned(), pass.id.to_string().into()),
        (None, None, None) => call.insert("anonymousId".to_owned(), event.id.to_string().into()),
    };
    call.insert("messageId".to_owned(), event.id.to_string().into());
    call.insert("timestamp".to_owned(), json!(event.occurred_at));
    let mut context = json!({ "library": { "name": "passbridge", "version": env!("CARGO_PKG_VERSION") } });
    match contact.filter(|_| is_identify(event.kind())) {
        Some(contact) => {
            call.insert("type".to_owned(), "identify".into());
            let state = identified(contact, target).map(|state| state.json(&Value::Null)).unwrap_or_default();
            call.insert("traits".to_owned(), state.into());
        }
        None => {
            call.insert("type".to_owned(), "track".into());
            call.insert("event".to_owned(), vendor::title(event.kind()).into());
            call.insert("properties".to_owned(), properties(event).into());
            if let Some(email) = contact.and_then(|contact| contact.email.as_ref()) {
                context["traits"] = json!({ "email": email });
            }
        }
    }
    call.insert("context".to_owned(), context);
    // Where it comes back to us by a source of ours, it is let go.
    call.insert("integrations".to_owned(), json!({ "All": true, "Passbridge": false }));
    call.into()
}

pub(crate) const fn is_identify(kind: EventKind) -> bool {
    matches!(kind, EventKind::ContactCreated | EventKind::ContactUpdated | EventKind::ContactWalletStatusChanged)
}

pub(crate) fn properties(event: &Event) -> Map<String, Value> {
    let mut out = Map::new();
    let mut set = |name: &str, value: Value| {
        if !value.is_null() {
            out.insert(name.to_owned(), value);
        }
    };
    match &event.facts {
        Facts::PassInstalled { wallet, again, .. } => {
            set("wallet", wallet.name().into());
            set("again", (*again).into());
        }
        Facts::PassUninstalled { wallet, remaining, .. } => {
            set("wallet", wallet.name().into());
            set("remaining", (*remaining).into());
        }
        Facts::PassScanned { scan, .. } | Facts::PassScanRefused { scan, .. } => set("location", json!(scan.location)),
        _ => {}
    }
    if let Some(pass) = &event.image.pass {
        set("pass_id", pass.id.to_string().into());
        set("external_id", json!(pass.external_id));
        set("serial_number", pass.serial.clone().into());
        set("template_id", pass.template.to_string().into());
        set("project_id", pass.project.to_string().into());
        set("project", json!(event.image.project.as_ref().map(|project| &project.name)));
        set("variant", pass.variant.as_str().into());
        set("status", crate::kit::told::status(pass.status()).into());
        set("apple_installed", (pass.apple.active > 0).into());
        set("google_installed", (pass.google.active > 0).into());
        set("uses", pass.uses.count.into());
        for (name, amount) in &pass.balances {
            set(&format!("balance_{name}"), amount.to_string().into());
        }
    }
    out
}
