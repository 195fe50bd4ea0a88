//! A pass web service with two passes, that can be broken in one way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::push::{Sender, identity};

pub const TYPE: &str = "pass.example.conformance";
/// When packages are signed and judged, in seconds since 1970: 2026-01-01.
pub const NOW: i64 = 1_767_225_600;
const ICON: &[u8] = include_bytes!("../../../passbridge/assets/icon@3x.png");
const MIME: &str = "application/vnd.apple.pkpass";
const MANY: usize = 10;

/// One way to be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    WrongType,
    /// Signed by the certificate of another pass type.
    SignedByAnother,
    FieldTwice,
    /// pass-converter: that there is a header is enough.
    AnyToken,
    FallsOverUnknownSerial,
    DateIsNumber,
    /// vapor-community/wallet: the condition is read as a number, so that a date never matches.
    ConditionIsNumber,
    AlwaysUnmodified,
    /// django-walletpass: a date that cannot be read is an exception.
    FallsOverBadDate,
    NoHead,
    /// passkit-webservice-toolkit: phones' logs show 401 for the list.
    ListWantsToken,
    /// django-walletpass.
    UnknownDeviceIs400,
    AlwaysCreated,
    RegistersAnybody,
    TakesGarbage,
    TagIsNumber,
    StuckTag,
    /// hitobito: the list ignores the pass type.
    AnyType,
    /// django-walletpass: only what equals the latest time is listed.
    OnlyNewest,
    FallsOverBadTag,
    /// spatie/laravel-mobile-pass: one secret for all passes.
    OneToken,
    UnregistersAnybody,
    RemembersUnregistered,
    OneDeviceOnly,
    LogWantsToken,
    /// vapor-community/wallet: any serial is personalised.
    PersonalizesAnybody,
    NoDate,
    FewDevices,
    Overloaded,
    UpdateIsSilent,
    /// hitobito: no Last-Modified that moves.
    DateStandsStill,
    /// hitobito: tags in whole seconds, compared with greater than.
    TagInSeconds,
    DateInSeconds,
    NewTokenOnUpdate,
    NeverPushes,
    /// vapor-community/wallet, django-walletpass: a known registration keeps its old push token.
    KeepsOldPushToken,
    PushesToTheDead,
    ForgetsEnded,
    EndsSilently,
}

#[derive(Default)]
struct Pass {
    updates: u64,
    is_over: bool,
    /// The number of the last change of all.
    changed: u64,
}

struct Registration {
    push_token: String,
    active: bool,
}

#[derive(Default)]
struct Books {
    passes: BTreeMap<String, Pass>,
    registrations: BTreeMap<(String, String), Registration>,
    changes: u64,
}

pub struct House {
    pub url: String,
    fault: Option<Fault>,
    books: Mutex<Books>,
    busy: AtomicUsize,
    pushes: Sender,
}

type Shared = Arc<House>;

pub fn token_of(serial: &str) -> String {
    format!("token-of-the-pass-{}", serial.replace('/', "-"))
}

impl House {
    pub async fn open(fault: Option<Fault>, pushes: Sender) -> Shared {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/apple", listener.local_addr().unwrap());
        let mut books = Books { changes: 2, ..Books::default() };
        for (number, serial) in ["A/1", "B"].into_iter().enumerate() {
            books.passes.insert(serial.to_owned(), Pass { changed: number as u64 + 1, ..Pass::default() });
        }
        let house = Arc::new(Self { url, fault, books: Mutex::new(books), busy: AtomicUsize::new(0), pushes });
        let app = Router::new()
            .route("/apple/v1/devices/{device}/registrations/{type}/{serial}", post(register).delete(unregister))
            .route("/apple/v1/devices/{device}/registrations/{type}", get(list))
            .route("/apple/v1/passes/{type}/{serial}", get(fetch))
            .route("/apple/v1/passes/{type}/{serial}/personalize", post(personalize))
            .route("/apple/v1/log", post(log))
            .with_state(Arc::clone(&house));
        tokio::spawn(async move { axum::serve(listener, app).await });
        house
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub fn registrations(&self) -> usize {
        self.books.lock().registrations.values().filter(|it| it.active).count()
    }

    /// Ends a pass for good, and wakes its phones.
    pub async fn end(&self, serial: &str) {
        self.books.lock().passes.get_mut(serial).unwrap().is_over = true;
        self.update(serial).await;
    }

    /// Changes a pass and wakes its phones.
    pub async fn update(&self, serial: &str) {
        let tokens: Vec<String> = {
            let mut books = self.books.lock();
            books.changes += 1;
            let changes = books.changes;
            let pass = books.passes.get_mut(serial).unwrap();
            pass.updates += 1;
            if !self.is(Fault::UpdateIsSilent) {
                pass.changed = changes;
            }
            let of_pass = books.registrations.iter().filter(|((_, of), it)| of == serial && it.active);
            of_pass.map(|(_, it)| it.push_token.clone()).collect()
        };
        if !self.is(Fault::NeverPushes) {
            for token in tokens {
                let is_dead = !self.pushes.push(&token).await;
                if is_dead && !self.is(Fault::PushesToTheDead) {
                    self.books.lock().registrations.retain(|_, it| it.push_token != token);
                }
            }
        }
    }

    fn may(&self, headers: &HeaderMap, serial: &str) -> bool {
        let shown = headers.get("authorization").and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.strip_prefix("ApplePass "));
        let Some(shown) = shown else { return false };
        match self.fault {
            Some(Fault::AnyToken) => true,
            Some(Fault::OneToken) => ["A/1", "B"].iter().any(|serial| shown == token_of(serial)),
            Some(Fault::NewTokenOnUpdate) => shown.starts_with(&token_of(serial)),
            _ => shown == token_of(serial),
        }
    }
}

async fn register(
    State(house): State<Shared>,
    Path((device, pass_type, serial)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let known = pass_type == TYPE && house.books.lock().passes.contains_key(&serial);
    let may = (known && house.may(&headers, &serial)) || house.is(Fault::RegistersAnybody);
    if !may {
        return StatusCode::UNAUTHORIZED;
    }
    let body: Option<Value> = serde_json::from_slice(&body).ok();
    let token = body.as_ref().and_then(|body| body["pushToken"].as_str()).map(str::to_owned);
    let token = if house.is(Fault::TakesGarbage) { Some(token.unwrap_or_default()) } else { token };
    let Some(push_token) = token else { return StatusCode::BAD_REQUEST };
    let mut books = house.books.lock();
    if house.is(Fault::FewDevices) && books.registrations.values().filter(|it| it.active).count() >= MANY {
        return StatusCode::TOO_MANY_REQUESTS;
    }
    if house.is(Fault::OneDeviceOnly) {
        books.registrations.retain(|(of, _), _| *of == device);
    }
    match books.registrations.get_mut(&(device.clone(), serial.clone())) {
        Some(held) if held.active || house.is(Fault::RemembersUnregistered) => {
            if !house.is(Fault::KeepsOldPushToken) {
                held.push_token = push_token;
            }
            held.active = true;
            if house.is(Fault::AlwaysCreated) { StatusCode::CREATED } else { StatusCode::OK }
        }
        _ => {
            books.registrations.insert((device, serial), Registration { push_token, active: true });
            StatusCode::CREATED
        }
    }
}

async fn unregister(
    State(house): State<Shared>,
    Path((device, _, serial)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> StatusCode {
    if !house.may(&headers, &serial) && !house.is(Fault::UnregistersAnybody) {
        return StatusCode::UNAUTHORIZED;
    }
    if let Some(held) = house.books.lock().registrations.get_mut(&(device, serial)) {
        held.active = false;
    }
    StatusCode::OK
}

async fn list(
    State(house): State<Shared>,
    Path((device, pass_type)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if house.is(Fault::ListWantsToken) && !headers.contains_key("authorization") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let books = house.books.lock();
    let is_known = books.registrations.iter().any(|((of, _), it)| *of == device && it.active);
    if !is_known && house.is(Fault::UnknownDeviceIs400) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    // Two changes fall into each of its seconds.
    let unit = if house.is(Fault::TagInSeconds) { 2 } else { 1 };
    let state = |pass: &Pass| pass.changed.div_ceil(unit);
    let since = match query.get("passesUpdatedSince").map(|tag| tag.strip_prefix('t').unwrap_or(tag).parse::<u64>()) {
        Some(Err(_)) if house.is(Fault::FallsOverBadTag) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Some(Ok(since)) => Some(since),
        Some(Err(_)) | None => None,
    };
    let of_device = books.registrations.iter().filter(|((of, _), it)| *of == device && it.active);
    let passes: Vec<(&String, u64)> = of_device.map(|((_, serial), _)| (serial, state(&books.passes[serial]))).collect();
    let is_news = |at: u64| since.is_none_or(|since| if house.is(Fault::StuckTag) { at >= since } else { at > since });
    let mut news: Vec<_> = passes.into_iter().filter(|(_, at)| is_news(*at)).collect();
    if pass_type != TYPE && !house.is(Fault::AnyType) {
        news.clear();
    }
    let Some(newest) = news.iter().map(|(_, at)| *at).max() else { return StatusCode::NO_CONTENT.into_response() };
    if house.is(Fault::OnlyNewest) {
        news.retain(|(_, at)| *at == newest);
    }
    let serials: Vec<_> = news.iter().map(|(serial, _)| serial).collect();
    let tag = if house.is(Fault::TagIsNumber) { json!(newest) } else { json!(format!("t{newest}")) };
    axum::Json(json!({ "serialNumbers": serials, "lastUpdated": tag })).into_response()
}

/// When a pass last changed: a second later with each update.
fn date(house: &House, updates: u64) -> String {
    let second = match house.fault {
        Some(Fault::DateStandsStill) => 0,
        Some(Fault::DateInSeconds) => updates.div_ceil(2),
        _ => updates,
    };
    match house.fault {
        Some(Fault::DateIsNumber) => second.to_string(),
        _ => format!("Thu, 01 Jan 2026 00:{:02}:{:02} GMT", second / 60, second % 60),
    }
}

async fn fetch(
    State(house): State<Shared>,
    Path((_, serial)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let busy = house.busy.fetch_add(1, Ordering::SeqCst);
    if house.is(Fault::Overloaded) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    house.busy.fetch_sub(1, Ordering::SeqCst);
    if house.is(Fault::Overloaded) && busy >= 5 {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let books = house.books.lock();
    let Some(pass) = books.passes.get(&serial) else {
        let falls = house.is(Fault::FallsOverUnknownSerial);
        return if falls { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::UNAUTHORIZED }.into_response();
    };
    if !house.may(&headers, &serial) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if pass.is_over && house.is(Fault::ForgetsEnded) {
        return StatusCode::NOT_FOUND.into_response();
    }
    if method == Method::HEAD && house.is(Fault::NoHead) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let date = date(&house, pass.updates);
    if let Some(since) = headers.get("if-modified-since").map(|value| value.to_str().unwrap()) {
        let is_date = since.ends_with(" GMT");
        // Dates of one day compare as texts.
        let has = match house.fault {
            Some(Fault::AlwaysUnmodified) => true,
            Some(Fault::ConditionIsNumber) => since.parse::<u64>().is_ok_and(|since| since >= pass.updates),
            Some(Fault::FallsOverBadDate) if !is_date => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            _ => is_date && since.contains(" 2026 ") && since >= date.as_str(),
        };
        if has {
            return StatusCode::NOT_MODIFIED.into_response();
        }
    }
    let mime = if house.is(Fault::WrongType) { "application/zip" } else { MIME };
    let mut response = ([("content-type", mime)], packed(&house, &serial, pass)).into_response();
    if !house.is(Fault::NoDate) {
        response.headers_mut().insert("last-modified", date.parse().unwrap());
    }
    response
}

fn packed(house: &House, serial: &str, pass: &Pass) -> Vec<u8> {
    let updates = pass.updates;
    let mut token = token_of(serial);
    if house.is(Fault::NewTokenOnUpdate) {
        token = format!("{token}-{updates}");
    }
    let voided = pass.is_over && !house.is(Fault::EndsSilently);
    let mut pass = json!({
        "formatVersion": 1, "passTypeIdentifier": TYPE, "serialNumber": serial, "teamIdentifier": "TEAM123456",
        "organizationName": "Bean & Co", "description": "Card", "webServiceURL": house.url, "authenticationToken": token,
        "voided": voided,
        "storeCard": { "headerFields": [{ "key": "points", "label": "POINTS", "value": updates }] },
    });
    if house.is(Fault::FieldTwice) {
        pass["storeCard"]["backFields"] = json!([{ "key": "points", "label": "POINTS", "value": 1 }]);
    }
    let signer = identity(!house.is(Fault::SignedByAnother));
    let icon = |name: &str| (name.to_owned(), Bytes::from_static(ICON));
    let assets = pkpass::Assets::prepare([icon("icon.png"), icon("icon@2x.png"), icon("icon@3x.png")]).unwrap();
    pkpass::build(pass.to_string().as_bytes(), &assets, signer, NOW).unwrap()
}

async fn personalize(State(house): State<Shared>) -> StatusCode {
    if house.is(Fault::PersonalizesAnybody) { StatusCode::OK } else { StatusCode::NOT_FOUND }
}

async fn log(State(house): State<Shared>, headers: HeaderMap) -> StatusCode {
    let refused = house.is(Fault::LogWantsToken) && !headers.contains_key("authorization");
    if refused { StatusCode::UNAUTHORIZED } else { StatusCode::OK }
}
