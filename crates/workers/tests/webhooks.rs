//! What people ask of their webhooks, over a real database, a real engine and real receivers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::{collections::HashSet, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::post,
};
use domain::{
    ClientCertificate, Clock as _, DeliveryId, EventKind, Hidden, OrgId, Payload, SignerId, SwitchOff, Target, TargetAuth,
    TargetEvents, TargetId, Timestamp, Users, Validity,
};
use house::{House, PASS_TYPE, Sink, System, until};
use outbound::{egress::Egress, http::Roots};
use serde_json::{Value, json};
use store::{DeliveryRow, StoredSigner};
use testkit::{
    proxy::{Manner, Proxy},
    tls::{Authority, Fault, TlsSink},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A target in our own shape, of new passes alone.
fn native(change: impl FnOnce(&mut Target)) -> impl FnOnce(&mut Target) {
    move |target| {
        target.dialect = "native".to_owned();
        target.events = TargetEvents::Only(vec![EventKind::PassCreated]);
        change(target);
    }
}

fn bodies(sink: &Sink) -> Vec<Value> {
    sink.behaviour.seen.lock().iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_decides_what_is_sent() {
    let house = House::new().await;
    let (some, all) = (Sink::start(&[], 100).await, Sink::start(&[], 100).await);
    let filter = r#"type = "pass.created" and properties.pass.external_id ends_with "2""#;
    let some_id = house.target_with(&some.url, native(|target| target.filter = Some(filter.to_owned()))).await;
    let all_id = house.target_with(&all.url, native(|_| ())).await;
    let workers = house.workers().await;
    for number in 0..15 {
        house.issued(&number.to_string(), Validity::default()).await;
    }
    until("all are there", || async { house.attempts(all_id).await.len() == 15 }).await;
    until("some are there", || async { house.attempts(some_id).await.len() == 2 }).await;
    let mut told: Vec<_> = bodies(&some).iter().map(|body| body["data"]["pass"]["external_id"].clone()).collect();
    told.sort_by_key(ToString::to_string);
    assert_eq!(told, [json!("12"), json!("2")]);
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_what_its_owner_makes_of_the_event() {
    let house = House::new().await;
    let code = "export function transformEvent(event) {
        if (event.userId === 'person-b') return;
        if (event.userId === 'person-c') throw new Error(event.userId);
        return { made: event.data.pass.external_id };
    }";
    house.transformation("mine", false, code).await;
    let payload = |payload: Value| {
        let payload: Payload = serde_json::from_value(payload).unwrap();
        native(move |target| target.payload = Some(payload))
    };
    let (text, mapping, made) = (Sink::start(&[], 100).await, Sink::start(&[], 100).await, Sink::start(&[], 100).await);
    let template = json!({"template": {"text": r#"{"who": {{ userId | tojson }}, "state": {{ data.pass.state | tojson }}}"#}});
    let text_id = house.target_with(&text.url, payload(template)).await;
    let mapping_id =
        house.target_with(&mapping.url, payload(json!({"mapping": {"id": {"@path": "$.data.pass.external_id"}}}))).await;
    let made_id = house.target_with(&made.url, payload(json!({"transformation": "mine"}))).await;
    let workers = house.workers().await;
    for name in ["a", "b", "c"] {
        house.issued(name, Validity::default()).await;
    }
    for id in [text_id, mapping_id] {
        until("delivered", || async { house.attempts(id).await.len() == 3 }).await;
    }
    until("made", || async { house.attempts(made_id).await.len() >= 2 }).await;
    assert!(bodies(&text).contains(&json!({"who": "person-a", "state": "active"})), "{:?}", bodies(&text));
    assert!(bodies(&mapping).contains(&json!({"id": "b"})), "{:?}", bodies(&mapping));
    assert_eq!(bodies(&made), [json!({"made": "a"})], "what code leaves out is not sent");
    assert!(text.behaviour.seen.lock().iter().all(|(headers, _)| headers.contains_key("webhook-signature")));
    let failed = house.attempts(made_id).await.into_iter().find(|row| row.outcome != 1).unwrap();
    let why = failed.error.unwrap();
    assert!(why.contains("the transformation `mine` failed") && !why.contains("person-c"), "{why}");
    workers.drain(PATIENCE).await;
}

async fn stored(house: &House, id: TargetId) -> Target {
    house.store.refresh().await.unwrap();
    house.store.catalog().org(house.org).unwrap().targets[&id.uuid()].value.target.clone()
}

/// What a sink was told of webhooks, by type.
fn notices(sink: &Sink) -> Vec<(String, Value)> {
    let notice = |body: Value| (body["type"].as_str().unwrap().to_owned(), body["data"]["facts"].clone());
    bodies(sink).into_iter().map(notice).collect()
}

/// A target that asks for what happens to others.
fn overseer(target: &mut Target) {
    target.dialect = "native".to_owned();
    target.events = TargetEvents::Only(vec![EventKind::WebhookFailing, EventKind::WebhookDisabled]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_is_told_of_a_webhook_that_is_switched_off() {
    let house = House::new().await;
    let (gone, failing, told, all) = (
        Sink::start(&[410], 100).await,
        Sink::start(&[500; 9], 100).await,
        Sink::start(&[], 100).await,
        Sink::start(&[], 100).await,
    );
    let gone_id = house.target_with(&gone.url, native(|_| ())).await;
    let twice = native(|target| target.switch_off.after_failures = Some(2));
    let failing_id = house
        .target_with(&failing.url, |target| {
            twice(target);
            // Four attempts, soon after one another.
            target.dialect = "passengine".to_owned();
        })
        .await;
    house.target_with(&told.url, overseer).await;
    let all_id = house.target_with(&all.url, |target| target.dialect = "native".to_owned()).await;
    let workers = house.workers().await;
    house.issued("one", Validity::default()).await;
    until("410 switches off", || async { !stored(&house, gone_id).await.enabled }).await;
    until("the first is given up", || async {
        house.clock.forward(Duration::from_secs(60));
        house.attempts(failing_id).await.iter().any(|row| row.outcome == 3)
    })
    .await;
    assert!(stored(&house, failing_id).await.enabled, "one is not two");
    house.issued("two", Validity::default()).await;
    until("two switch off", || async {
        house.clock.forward(Duration::from_secs(60));
        !stored(&house, failing_id).await.enabled
    })
    .await;
    until("it is told", || async { told.count() == 2 }).await;
    let mut heard = notices(&told);
    heard.sort_by_key(|(_, facts)| facts["reason"].to_string());
    assert!(heard.iter().all(|(kind, _)| kind == "webhook.disabled"), "{heard:?}");
    assert_eq!(
        (&heard[0].1["webhook"], &heard[0].1["reason"]),
        (&json!(failing_id), &json!("2 deliveries in a row were given up"))
    );
    assert!(heard[1].1["webhook"] == json!(gone_id) && heard[1].1["reason"].as_str().unwrap().contains("410"), "{heard:?}");
    assert!(notices(&all).iter().all(|(kind, _)| !kind.starts_with("webhook.")), "only who names them hears them");
    assert!(house.attempts(all_id).await.len() >= 2);
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_somebody_changes_meanwhile_is_not_switched_off_for_what_failed_before() {
    const MOMENT: Duration = Duration::from_millis(10);
    let house = House::new().await;
    let failing = Sink::start(&[500; 60], 0).await;
    let id = house
        .target_with(&failing.url, |target| {
            target.switch_off.after_failures = Some(1);
            target.dialect = "passengine".to_owned();
            target.events = TargetEvents::Only(vec![EventKind::PassCreated]);
        })
        .await;
    let workers = house.workers().await;
    house.issued("one", Validity::default()).await;
    let tried = async |number: usize| {
        until("a try is under way", || async {
            // To the moment at which it is due and hardly on, else the claim on it ended and it were sent twice.
            let due = house.attempts(id).await.iter().filter_map(|row| row.next_at).max();
            let early = due.map_or(0, |due| due.as_micros() - house.clock.now().as_micros());
            house.clock.forward(u64::try_from(early).ok().filter(|early| *early > 0).map_or(MOMENT, Duration::from_micros));
            failing.count() == number
        })
        .await;
    };
    for number in 1..4 {
        tried(number).await;
        failing.behaviour.gate.add_permits(1);
        until("it failed", || async { house.attempts(id).await.len() == number }).await;
        failing.behaviour.gate.acquire().await.unwrap().forget();
    }
    tried(4).await;
    house.store.refresh().await.unwrap();
    let held = house.store.catalog().org(house.org).unwrap().targets[&id.uuid()].clone();
    let mut mended = (*held.value).clone();
    mended.target.name = "Mended".to_owned();
    assert!(house.store.put(&house.change(), &mended, held.revision).await.unwrap());
    failing.behaviour.gate.add_permits(100);
    until("it is given up", || async { house.attempts(id).await.iter().any(|row| row.outcome == 3) }).await;
    house.issued("two", Validity::default()).await;
    until("it is switched off", || async {
        house.clock.forward(Duration::from_secs(60));
        !stored(&house, id).await.enabled
    })
    .await;
    let given_up = house.attempts(id).await.iter().filter(|row| row.outcome == 3).count();
    assert!(given_up >= 2, "only what was given up after the change counts");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_takes_nothing_for_long_is_switched_off() {
    let house = House::new().await;
    let (failing, told) = (Sink::start(&[500; 400], 1_000).await, Sink::start(&[], 100).await);
    let ten_hours = |target: &mut Target| target.switch_off = SwitchOff { after_failures: None, after_hours: Some(10) };
    let failing_id = house.target_with(&failing.url, native(ten_hours)).await;
    house.target_with(&told.url, overseer).await;
    let workers = house.workers().await;
    for step in 0..40 {
        if !stored(&house, failing_id).await.enabled {
            break;
        }
        house.issued(&step.to_string(), Validity::default()).await;
        until("it failed", || async { house.attempts(failing_id).await.len() > step }).await;
        house.clock.forward(Duration::from_secs(1_800));
    }
    let target = stored(&house, failing_id).await;
    assert_eq!(target.disabled_reason.as_deref(), Some("it took nothing for 10 hours"));
    until("both are told", || async { told.count() >= 2 }).await;
    let heard = notices(&told);
    assert_eq!((heard[0].0.as_str(), heard[heard.len() - 1].0.as_str()), ("webhook.failing", "webhook.disabled"), "{heard:?}");
    assert!(heard.len() <= 3, "once a day: {heard:?}");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faulty_certificate_is_refused_with_its_reason_in_the_log() {
    let mut house = House::new().await;
    let (authority, clients) = (Authority::new("Test Root").unwrap(), Authority::new("Clients").unwrap());
    house.roots = Roots::only(&[authority.root()]).unwrap();
    let mut sinks = Vec::new();
    for (fault, reason) in [
        (Fault::Expired, "has expired"),
        (Fault::NotYetValid, "is not valid yet"),
        (Fault::OtherHost, "is for another host name"),
        (Fault::SelfSigned, "self-signed"),
    ] {
        let sink = TlsSink::start(&authority.leaf("localhost", fault).unwrap(), None).await.unwrap();
        sinks.push((house.target_with(&sink.url(), native(|_| ())).await, reason, sink));
    }
    let old = TlsSink::too_old().await.unwrap();
    sinks.push((house.target_with(&old.url(), native(|_| ())).await, "shares no TLS version", old));
    let good = authority.leaf("localhost", Fault::None).unwrap();
    let wants = TlsSink::start(&good, Some(&clients)).await.unwrap();
    let bare = house.target_with(&wants.url(), native(|_| ())).await;
    let ours = clients.leaf("passbridge", Fault::None).unwrap();
    let certificate = ClientCertificate { chain: ours.certificate, private_key: Hidden(ours.key) };
    let shown = house.target_with(&wants.url(), native(|target| target.certificate = Some(certificate))).await;
    let workers = house.workers().await;
    house.issued("one", Validity::default()).await;
    for (id, reason, sink) in &sinks {
        until("it was tried", || async { !house.attempts(*id).await.is_empty() }).await;
        let attempts = house.attempts(*id).await;
        let error = attempts[0].error.clone().unwrap();
        assert!(error.contains(reason) && error.contains("localhost") && attempts[0].outcome == 2, "{reason}: {error}");
        assert!(sink.taken().is_empty(), "nothing was sent: {reason}");
    }
    until("who shows a certificate is let in", || async { house.attempts(shown).await.iter().any(|row| row.outcome == 1) }).await;
    until("who shows none is not", || async { !house.attempts(bare).await.is_empty() }).await;
    assert!(house.attempts(bare).await.iter().all(|row| row.outcome == 2 && row.error.is_some()));
    assert_eq!(wants.taken().len(), 1);
    workers.drain(PATIENCE).await;
}

/// A token server and a receiver that takes each token a few times.
#[derive(Clone, Default)]
struct Club(std::sync::Arc<parking_lot::Mutex<(Vec<String>, Vec<String>)>>);

async fn club() -> (String, Club) {
    async fn token(State(club): State<Club>, headers: HeaderMap, body: String) -> impl IntoResponse {
        let mut club = club.0.lock();
        club.0.push(format!("{} {body}", headers["authorization"].to_str().unwrap()));
        let token = format!("token-{}", club.0.len());
        Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}))
    }
    async fn hook(State(club): State<Club>, headers: HeaderMap) -> StatusCode {
        let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let mut club = club.0.lock();
        let used = club.1.iter().filter(|seen| **seen == given).count();
        club.1.push(given);
        // Every token is taken back after three uses.
        if used < 3 { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
    }
    let club = Club::default();
    let app = Router::new().route("/token", post(token)).route("/hook", post(hook)).with_state(club.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (format!("http://{address}"), club)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_got_once_and_anew_when_it_is_refused() {
    let house = House::new().await;
    let (base, club) = club().await;
    let auth = TargetAuth::Oauth2 {
        token_url: format!("{base}/token"),
        client_id: "me".to_owned(),
        client_secret: Hidden("hush".to_owned()),
        scope: Some("hooks".to_owned()),
        audience: None,
        in_body: false,
    };
    let one_by_one = |target: &mut Target| {
        target.auth = Some(auth);
        target.pace.concurrency = Some(1);
    };
    let id = house.target_with(&format!("{base}/hook"), native(one_by_one)).await;
    let basic = TargetAuth::Basic { user: "ann".to_owned(), password: Hidden("pässword".to_owned()) };
    let sink = Sink::start(&[], 100).await;
    let basic_id = house.target_with(&sink.url, native(|target| target.auth = Some(basic))).await;
    let lost = TargetAuth::Oauth2 {
        token_url: format!("{base}/nowhere"),
        client_id: "me".to_owned(),
        client_secret: Hidden("hush".to_owned()),
        scope: None,
        audience: None,
        in_body: true,
    };
    let lost_id = house.target_with(&format!("{base}/hook"), native(|target| target.auth = Some(lost))).await;
    let workers = house.workers().await;
    for number in 0..8 {
        house.issued(&number.to_string(), Validity::default()).await;
    }
    until("all came", || async { house.attempts(id).await.len() == 8 && house.attempts(basic_id).await.len() == 8 }).await;
    assert!(house.attempts(id).await.iter().all(|row| row.outcome == 1), "a refused token costs no attempt");
    let (asked, used) = club.0.lock().clone();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked.iter().all(|line| line == "Basic bWU6aHVzaA== grant_type=client_credentials&scope=hooks"), "{asked:?}");
    assert!(used.iter().all(|token| token.starts_with("Bearer token-")) && used.len() == 10, "{used:?}");
    assert!(sink.behaviour.seen.lock().iter().all(|(headers, _)| headers["authorization"] == "Basic YW5uOnDDpHNzd29yZA=="));
    until("told why", || async { !house.attempts(lost_id).await.is_empty() }).await;
    let error = house.attempts(lost_id).await[0].error.clone().unwrap();
    assert!(error.contains("the token endpoint answered 404"), "{error}");
    let detail = house.attempts(basic_id).await[0].clone();
    let detail = String::from_utf8(house.store.open_detail(&detail).unwrap().unwrap().to_vec()).unwrap();
    assert!(!detail.contains("YW5u"), "credentials are not in the log: {detail}");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_an_api_has_a_body_of_its_owners_making() {
    let house = House::new().await;
    let code = "export function transformEvent(event) {
        if (event.userId === 'person-b') return;
        return { made: event.data.pass.external_id };
    }";
    house.transformation("mine", false, code).await;
    let sink = testkit::sink::Sink::start(testkit::sink::Behaviour::Answer(StatusCode::OK)).await.unwrap();
    let payload = |path: &str, payload: Value| {
        let (payload, path): (Payload, _) = (serde_json::from_value(payload).unwrap(), path.to_owned());
        let call = native(move |target| {
            target.dialect = "http-call".to_owned();
            target.settings.insert("method".to_owned(), domain::FieldValue::Text("PUT".to_owned()));
            target.headers = [("x-member".to_owned(), "{{ contact.external_id }}".to_owned())].into();
            target.payload = Some(payload);
        });
        (sink.url(&format!("/{path}/{{{{ contact.external_id | url }}}}")), call)
    };
    let mut ids = Vec::new();
    for (path, made) in [
        ("code", json!({"transformation": "mine"})),
        ("map", json!({"mapping": {"id": {"@path": "$.data.pass.external_id"}}})),
        ("text", json!({"template": {"text": "<id>{{ userId }}</id>", "content": "xml"}})),
    ] {
        let (url, call) = payload(path, made);
        ids.push(house.target_with(&url, call).await);
    }
    let workers = house.workers().await;
    for name in ["a", "b"] {
        house.issued(name, Validity::default()).await;
    }
    until("all is there", || async { sink.count() >= 5 }).await;
    until("all is settled", || async { house.attempts(ids[1]).await.len() == 2 && house.attempts(ids[0]).await.len() == 1 })
        .await;
    let seen: std::collections::BTreeMap<_, _> = sink.received_from(0).into_iter().map(|got| (got.path.clone(), got)).collect();
    assert_eq!(
        seen.keys().map(String::as_str).collect::<Vec<_>>(),
        ["/code/person-a", "/map/person-a", "/map/person-b", "/text/person-a", "/text/person-b"],
        "what code leaves out is not sent"
    );
    let bodies =
        ["/code/person-a", "/map/person-b", "/text/person-a"].map(|path| String::from_utf8_lossy(&seen[path].body).into_owned());
    assert_eq!(bodies, [r#"{"made":"a"}"#, r#"{"id":"b"}"#, "<id>person-a</id>"]);
    let text = &seen["/text/person-a"];
    assert_eq!(
        (text.method.as_str(), text.header("content-type"), text.header("x-member")),
        ("PUT", "application/xml", "person-a")
    );
    assert!(!text.header("webhook-signature").is_empty(), "it is signed as it is sent");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_sent_to_by_the_way_out_that_it_names_or_not_at_all() {
    let house = House::new().await;
    let (base, club) = club().await;
    let proxy = Proxy::start(Manner::Answer(502)).await.unwrap();
    let auth = TargetAuth::Oauth2 {
        token_url: format!("{base}/token"),
        client_id: "me".to_owned(),
        client_secret: Hidden("hush".to_owned()),
        scope: None,
        audience: None,
        in_body: false,
    };
    let named = |name: &'static str| native(move |target| target.egress = Some(name.to_owned()));
    let by_proxy = move |target: &mut Target| {
        target.auth = Some(auth);
        target.egress = Some("office".to_owned());
    };
    let id = house.target_with(&format!("{base}/hook"), native(by_proxy)).await;
    let (sink, fixed) = (Sink::start(&[], 100).await, Sink::start(&[], 100).await);
    let mut refused = Vec::new();
    for name in ["gone", "theirs", "nobodys"] {
        refused.push((house.target_with(&sink.url, named(name)).await, name));
    }
    let fixed_id = house.target_with(&fixed.url, named("fixed")).await;
    let mut settings = house::quick();
    let others = Users::Only([OrgId::mint(house.clock.now(), &System)].into());
    settings.webhooks.egresses = vec![
        (Egress::through("office", &proxy.url("")).unwrap(), Users::Only([house.org].into())),
        (Egress::from_address("fixed", [127, 0, 0, 2].into()).unwrap(), Users::All),
        (Egress::from_address("theirs", [127, 0, 0, 3].into()).unwrap(), others),
        (Egress::from_address("nobodys", [127, 0, 0, 4].into()).unwrap(), Users::default()),
    ];
    let workers = house.workers_with(settings).await;
    house.issued("1", Validity::default()).await;
    for id in [id, fixed_id].into_iter().chain(refused.iter().map(|(id, _)| *id)) {
        until("it was tried", || async { !house.attempts(id).await.is_empty() }).await;
    }
    let first = house.attempts(id).await.remove(0);
    assert!(first.error.unwrap().contains("by the egress `office`: the proxy answered 502"));
    for (id, name) in refused {
        let why = house.attempts(id).await.remove(0).error.unwrap();
        assert!(why.contains(&format!("no egress `{name}` for this organization any more")), "{why}");
    }
    let (asked, used) = club.0.lock().clone();
    assert_eq!((sink.count(), asked.len(), used.len()), (0, 0, 0), "nothing leaves by another way");
    assert_eq!((house.attempts(fixed_id).await[0].outcome, fixed.count()), (1, 1));
    proxy.behave(Manner::Connect(None));
    until("it is delivered", || async {
        house.clock.forward(Duration::from_secs(30));
        house.attempts(id).await.iter().any(|row| row.outcome == 1)
    })
    .await;
    assert_eq!(proxy.asked().len(), proxy.asked().iter().filter(|to| base.ends_with(to.as_str())).count());
    let (asked, used) = club.0.lock().clone();
    assert_eq!((asked.len(), used.len()), (1, 1), "the token was asked for by the same way");
    let row = house.attempts(id).await.into_iter().find(|row| row.outcome == 1).unwrap();
    let detail: Value = serde_json::from_slice(&house.store.open_detail(&row).unwrap().unwrap()).unwrap();
    assert_eq!(detail["egress"], "office");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replays_go_behind_what_happens_now() {
    let house = House::new().await;
    let sink = Sink::start(&[], 0).await;
    let id =
        house.target_with(&sink.url, native(|target| target.events = TargetEvents::Only(vec![EventKind::PassCreated]))).await;
    let other = Sink::start(&[], 1_000).await;
    let mut rows = Vec::new();
    for number in 0..30 {
        house.issued(&number.to_string(), Validity::default()).await;
    }
    for event in house.store.feed(house.org, &vec![0; usize::from(house.store.backend().shards())], 100).await.unwrap() {
        let event = event.whole().unwrap();
        if event.kind() == EventKind::PassCreated {
            let row = DeliveryRow {
                org: house.org,
                id: DeliveryId::of(event.id.uuid(), id.uuid()),
                target: id,
                event: event.id,
                position: event.position,
                attempts: 0,
                due_at: house.clock.now(),
                behind: true,
                asked_at: Some(house.clock.now()),
            };
            rows.push(row);
        }
    }
    // The log was read to its end before there was anybody to tell.
    let fresh = house.target_with(&other.url, native(|_| ())).await;
    assert_eq!(rows.len(), 30);
    house.store.backend().owe(rows).await.unwrap();
    let workers = house.workers().await;
    until("two replays are being sent", || async { sink.count() >= 2 }).await;
    sink.behaviour.gate.add_permits(10_000);
    until("all are sent", || async {
        house.clock.forward(Duration::from_millis(200));
        house.store.backend().behind(house.org, id).await.unwrap().0 == 0 && house.attempts(fresh).await.len() == 30
    })
    .await;
    assert!(sink.by_delivery().len() == 30 && house.attempts(id).await.iter().all(|row| row.outcome == 1));
    assert!(sink.behaviour.most.load(std::sync::atomic::Ordering::SeqCst) <= 2, "a lane of their own, and a narrow one");
    workers.drain(PATIENCE).await;
}

/// So many passes are issued, and what each event of that is owed to a target as a replay, earlier events later.
async fn replayed(house: &House, target: TargetId, passes: usize, behind: bool) -> Vec<Timestamp> {
    for number in 0..passes {
        house.issued(&number.to_string(), Validity::default()).await;
    }
    let feed = house.store.feed(house.org, &vec![0; usize::from(house.store.backend().shards())], 2_000).await.unwrap();
    let mut events: Vec<_> = feed.into_iter().filter_map(store::LoggedEvent::whole).collect();
    events.retain(|event| event.kind() == EventKind::PassCreated);
    events.sort_by_key(|event| std::cmp::Reverse(event.recorded_at));
    let row = |(number, event): (u32, &domain::Event)| DeliveryRow {
        org: house.org,
        id: DeliveryId::of(event.id.uuid(), target.uuid()),
        target,
        event: event.id,
        position: event.position,
        attempts: 0,
        due_at: if behind { house.clock.now().plus(Duration::from_secs(1) * number) } else { house.clock.now() },
        behind,
        asked_at: Some(house.clock.now()),
    };
    house.store.backend().owe((0..).zip(&events).map(row).collect()).await.unwrap();
    events.iter().map(|event| event.recorded_at).collect()
}

/// Made after all that happened until now, as the workers find it.
fn made_later(house: &House) -> impl FnOnce(&mut Target) + use<> {
    let now = house.clock.now();
    native(move |target| target.created_at = now.plus(Duration::from_secs(3_600)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_is_refused_again_is_still_missed() {
    let house = House::new().await;
    let sink = Sink::start(&[410; 100], 100).await;
    let id = house.target_with(&sink.url, made_later(&house)).await;
    let missed = replayed(&house, id, 12, true).await;
    let workers = house.workers().await;
    until("410 switches it off", || async { !stored(&house, id).await.enabled }).await;
    assert!(stored(&house, id).await.missed_since.is_some_and(|since| since <= missed[0]), "what it refused is missed");
    until("the others end", || async {
        house.clock.forward(Duration::from_millis(200));
        house.attempts(id).await.len() == missed.len()
    })
    .await;
    assert!(house.attempts(id).await.iter().any(|row| row.outcome == 4), "some were not sent any more");
    assert_eq!(stored(&house, id).await.missed_since, missed.last().copied(), "the earliest of all");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shape_that_gives_up_soon_does_so_however_much_waits() {
    let house = House::new().await;
    let sink = Sink::start(&[500; 2_000], 5_000).await;
    let passengine = native(|target| "passengine".clone_into(&mut target.dialect));
    let id = house.target_with(&sink.url, passengine).await;
    for number in 0..60 {
        house.issued(&number.to_string(), Validity::default()).await;
    }
    let began = house.clock.now();
    let workers = house.workers().await;
    until("it is switched off", || async {
        house.clock.forward(Duration::from_millis(500));
        !stored(&house, id).await.enabled
    })
    .await;
    let target = stored(&house, id).await;
    assert_eq!(target.disabled_reason.as_deref(), Some("5 deliveries in a row were given up"));
    let took = house.clock.now().since(began);
    // 1 s, 30 s and 5 min, and what the clock was put forward while answers came.
    assert!((331..450).contains(&took.as_secs()), "{took:?}");
    assert!(target.missed_since.unwrap() <= began);
    let tried = sink.by_delivery().len();
    assert!((5..40).contains(&tried), "the others were held back: {tried}");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_dead_receiver_is_held_back_after_the_first_failures() {
    let house = House::new().await;
    let sink = Sink::start(&[500; 2_000], 5_000).await;
    let id = house.target_with(&sink.url, made_later(&house)).await;
    replayed(&house, id, 200, false).await;
    let workers = house.workers().await;
    // What is claimed is due again a minute later, what is put off sooner.
    let soon = Duration::from_secs(50);
    until("all are put off", || async {
        let rows = house.store.backend().deliveries(house.org, Some(id), None, 1_000).await.unwrap();
        let now = house.clock.now();
        rows.len() == 200 && sink.count() >= 10 && rows.iter().all(|row| row.due_at > now && row.due_at < now.plus(soon))
    })
    .await;
    assert!((10..40).contains(&sink.count()), "not all of what waited was sent: {}", sink.count());
    workers.drain(PATIENCE).await;
}

/// A webhook fails until it is left alone, is tried by a single request and left alone for longer, in one life after another; the
/// last ends in the middle of such a request, and then it is well again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_broke_down_is_tried_by_one_through_kills_and_misses_nothing() {
    const PASSES: usize = 30;
    const PERMITS: usize = 1_000;
    let house = House::new().await;
    let sink = Sink::start(&[500; 2_000], PERMITS).await;
    let id = house.target_with(&sink.url, native(|_| ())).await;
    for number in 0..PASSES {
        house.issued(&number.to_string(), Validity::default()).await;
    }
    let backend = house.store.backend();
    let put_off = async || {
        let rows = backend.deliveries(house.org, Some(id), None, 1_000).await.unwrap();
        let after = |seconds| house.clock.now().plus(Duration::from_secs(seconds));
        // What is claimed is due a minute later, what failed for the second time four at the earliest.
        let is_claimed = |row: &DeliveryRow| (after(45)..after(120)).contains(&row.due_at);
        rows.len() == PASSES && rows.iter().all(|row| row.due_at > after(0) && !is_claimed(row))
    };
    let due = async |what: &str, condition: &dyn Fn() -> bool| {
        until(what, || async {
            house.clock.forward(Duration::from_millis(200));
            condition()
        })
        .await;
    };
    for life in 0..2 {
        let doomed = house.doomed("one", house::quick()).await;
        let before = sink.count();
        due("it fails ten times", &|| sink.count() >= before + 10).await;
        until("all are put off", || async { put_off().await }).await;
        let failed = sink.count();
        if life == 1 {
            // Whoever tries it now gets no answer.
            sink.behaviour.gate.forget_permits(PERMITS);
        }
        due("it is tried", &|| sink.count() > failed).await;
        if life == 0 {
            until("all are put off again", || async { put_off().await }).await;
        }
        assert_eq!(sink.count(), failed + 1, "by one alone");
        doomed.vanish();
    }
    sink.behaviour.statuses.lock().clear();
    sink.behaviour.gate.add_permits(PERMITS);
    let workers = house.workers().await;
    until("all are delivered", || async {
        house.clock.forward(Duration::from_millis(500));
        let log = house.attempts(id).await;
        log.iter().filter(|row| row.outcome == 1).map(|row| row.delivery).collect::<HashSet<_>>().len() == PASSES
    })
    .await;
    assert_eq!(sink.by_delivery().len(), PASSES, "under the ids that they had");
    workers.drain(PATIENCE).await;
}

/// Somebody asks for a delivery anew, twice, while it is being sent: before there is a row of it, or after; it goes well, or fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resend_asked_for_during_a_try_follows_it_once() {
    for (status, spilled) in [(200, false), (200, true), (500, false), (500, true)] {
        let house = House::new().await;
        let sink = Sink::start(&[status], 0).await;
        let target = house.target_with(&sink.url, native(|_| ())).await;
        let mut settings = house::quick();
        settings.webhooks.spill_after = if spilled { Duration::ZERO } else { PATIENCE };
        let workers = house.workers_with(settings).await;
        house.issued("1", Validity::default()).await;
        until("it is being sent", || async { sink.count() == 1 }).await;
        let feed = house.store.feed(house.org, &vec![0; usize::from(house.store.backend().shards())], 9).await.unwrap();
        let event = feed.into_iter().filter_map(store::LoggedEvent::whole).find(|event| event.kind() == EventKind::PassCreated);
        let event = event.unwrap();
        let (id, backend) = (DeliveryId::of(event.id.uuid(), target.uuid()), house.store.backend());
        let row = || async { backend.delivery(house.org, id).await.unwrap() };
        if spilled {
            until("it is spilled", || async { row().await.is_some() }).await;
        }
        for _ in 0..2 {
            let now = house.clock.now();
            let asked = DeliveryRow {
                org: house.org,
                id,
                target,
                event: event.id,
                position: event.position,
                attempts: 0,
                due_at: now,
                behind: false,
                asked_at: Some(now),
            };
            backend.owe(vec![asked]).await.unwrap();
        }
        sink.behaviour.gate.add_permits(10);
        until("it is sent again", || async { sink.count() == 2 }).await;
        until("nothing is owed", || async { row().await.is_none() }).await;
        let tried: Vec<_> = house.attempts(target).await.iter().map(|row| (row.attempt, row.status)).collect();
        let first = i16::try_from(status).unwrap();
        assert_eq!((sink.count(), tried), (2, vec![(1, Some(200)), (1, Some(first))]), "{status} {spilled}");
        workers.drain(PATIENCE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_pass_come_in_order_where_that_is_wished() {
    let house = House::new().await;
    // The first request fails, and so do some later ones.
    let statuses = [500, 200, 500, 500, 200, 503, 200];
    let sink = Sink::start(&statuses, 10_000).await;
    let in_order = |target: &mut Target| {
        target.dialect = "native".to_owned();
        target.events = TargetEvents::Only(vec![EventKind::PassCreated, EventKind::PassUpdated]);
        target.pace.in_order = true;
    };
    let id = house.target_with(&sink.url, in_order).await;
    let mut workers = house.workers().await;
    let passes = [house.issued("a", Validity::default()).await, house.issued("b", Validity::default()).await];
    let add = |pass: domain::PassId| {
        let balances = [("points".to_owned(), domain::BalanceChange::Add("1".parse().unwrap()))].into();
        let change = Box::new(domain::PassChange { balances, ..domain::PassChange::default() });
        house.command(domain::Action::Update { pass: domain::PassRef::Id(pass), change, expected_version: None })
    };
    for round in 0..6 {
        for pass in &passes {
            house.engine.submit(add(pass.id)).await.unwrap();
        }
        if round == 3 {
            // A restart in the middle changes nothing.
            workers.drain(PATIENCE).await;
            workers = house.workers().await;
        }
    }
    let taken = || {
        let log = house.attempts(id);
        async move { log.await.iter().filter(|row| row.outcome == 1).count() }
    };
    until("all came", || async {
        house.clock.forward(Duration::from_millis(500));
        taken().await == 14
    })
    .await;
    let versions: Vec<_> =
        bodies(&sink).iter().map(|body| (body["data"]["pass"]["id"].clone(), body["version"].as_u64().unwrap())).collect();
    for pass in &passes {
        let of_pass: Vec<u64> = versions.iter().filter(|(id, _)| *id == json!(pass.id)).map(|(_, version)| *version).collect();
        assert!(of_pass.is_sorted(), "{of_pass:?}");
        assert_eq!(of_pass.iter().collect::<std::collections::BTreeSet<_>>().len(), 7, "{of_pass:?}");
    }
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_is_told_once_that_a_certificate_ends() {
    let house = House::new().await;
    let day = Duration::from_secs(86_400);
    let id = SignerId::mint(house.clock.now(), &System);
    let signer = StoredSigner {
        id,
        pass_type: PASS_TYPE.to_owned(),
        team: "TEAM123456".to_owned(),
        certificates: String::new(),
        not_after: house.clock.now().plus(day * 60),
        sealed_key: String::new(),
        previous: None,
        told: None,
        created_at: house.clock.now(),
    };
    assert!(house.store.put(&house.change(), &signer, 0).await.unwrap());
    let (told, all) = (Sink::start(&[], 100).await, Sink::start(&[], 100).await);
    let project = house.project;
    let asks = |target: &mut Target| {
        target.project = Some(project);
        target.events = TargetEvents::Only(vec![EventKind::SignerExpiring]);
    };
    house.target_with(&told.url, native(asks)).await;
    house.target_with(&all.url, native(|target| target.events = TargetEvents::All)).await;
    let days = || notices(&told).into_iter().map(|(_, facts)| facts["within_days"].as_u64().unwrap()).collect::<Vec<_>>();
    for (ahead, expected) in [(0, vec![90]), (35, vec![90, 30]), (20, vec![90, 30, 7]), (6, vec![90, 30, 7, 0])] {
        house.clock.forward(day * ahead);
        // Each time by workers that remember nothing.
        let workers = house.workers().await;
        until("it is told", || async { told.count() == expected.len() }).await;
        until("it is noted", || async {
            house.store.refresh().await.unwrap();
            let catalog = house.store.catalog();
            let told = catalog.org(house.org).unwrap().signers[&id.uuid()].value.told;
            told.is_some_and(|told| u64::from(told.ending.days()) == expected[expected.len() - 1])
        })
        .await;
        assert_eq!(days(), expected);
        workers.drain(PATIENCE).await;
    }
    let (kind, facts) = notices(&told).remove(0);
    assert_eq!(
        (kind.as_str(), &facts["signer"], &facts["pass_type"]),
        ("signer.expiring", &json!(id.to_string()), &json!(PASS_TYPE))
    );
    assert_eq!(all.count(), 0, "only who names it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_was_rotated_out_signs_until_its_end() {
    let house = House::new().await;
    let sink = Sink::start(&[], 100).await;
    let id = house.target_with(&sink.url, native(|_| ())).await;
    let held = house.store.current().await.unwrap().org(house.org).unwrap().targets[&id.uuid()].clone();
    let mut rotated = (*held.value).clone();
    let secret = connectors::kit::Secret::mint(&System);
    let sealed = house.store.seal_for::<store::StoredTarget>(house.org, id.uuid(), secret.expose().as_bytes()).unwrap();
    let now = house.clock.now();
    rotated.rotate_secret(sealed, now.plus(Duration::from_secs(3_600)), 3, now);
    assert!(house.store.put(&house.change(), &rotated, held.revision).await.unwrap());
    let workers = house.workers().await;
    let signatures = async |number: usize| {
        house.issued(&number.to_string(), Validity::default()).await;
        until("it was told", || async { sink.behaviour.seen.lock().len() == number }).await;
        let headers = sink.behaviour.seen.lock()[number - 1].0.clone();
        headers["webhook-signature"].to_str().unwrap().split(' ').count()
    };
    assert_eq!(signatures(1).await, 2);
    house.clock.forward(Duration::from_secs(3_600));
    assert_eq!(signatures(2).await, 1, "nobody touched the webhook");
    workers.drain(PATIENCE).await;
}
