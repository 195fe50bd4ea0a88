//! The pages as browsers get them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod mmdb;

use common::{Answer, House, PASS_TYPE, house, house_with};
use domain::{Action, EventKind, Facts, Pass, PassRef, VisitKind};

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";
const ANDROID: &str =
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36";
const DESKTOP: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36";

async fn open(house: &House, path: &str, user_agent: &str) -> Answer {
    house.send("GET", path, &[("user-agent", user_agent)], "").await
}

async fn rendered(house: &House, pass: &Pass) -> Vec<Facts> {
    let events = house.store.events_of_pass(house.org, pass.id, 0, 100).await.unwrap();
    let whole = events.into_iter().filter_map(store::LoggedEvent::whole);
    whole.filter(|event| event.kind() == EventKind::PassRendered).map(|event| event.facts).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_device_gets_its_button() {
    let house = house().await;
    let pass = house.issue().await;
    let path = format!("/p/{}", pass.code);
    let has = |answer: &Answer, text: &str| answer.text().contains(text);
    let iphone = open(&house, &path, IPHONE).await;
    assert!(has(&iphone, "Add to Apple Wallet") && !has(&iphone, "Save to Google Wallet") && !has(&iphone, "QR code of this"));
    let android = open(&house, &path, ANDROID).await;
    assert!(has(&android, "Save to Google Wallet") && !has(&android, "Add to Apple Wallet"));
    let desktop = open(&house, &path, DESKTOP).await;
    assert!(has(&desktop, "Save to Google Wallet") && has(&desktop, "Add to Apple Wallet") && has(&desktop, "QR code of this"));
    for page in [&iphone, &android, &desktop] {
        assert_eq!(page.status.as_u16(), 200);
        assert!(has(page, "Ada &lt;b&gt;Example") && has(page, "Cortado"), "{}", page.text());
        assert!(!has(page, "<script") && !has(page, "style=") && !has(page, "<b>Example"));
        assert!(page.header("cache-control").contains("no-store"));
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert!(page.header("content-security-policy").contains("default-src 'none'"));
    }
    assert_eq!(open(&house, &format!("/p/{}", "z".repeat(22)), IPHONE).await.status.as_u16(), 404);
    assert_eq!(open(&house, "/p/none", IPHONE).await.status.as_u16(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_recorded_and_programs_are_not() {
    let house = house().await;
    let pass = house.issue().await;
    let path = format!("/p/{}", pass.code);
    house.send("HEAD", &path, &[("user-agent", IPHONE)], "").await;
    house.send("GET", &path, &[("user-agent", IPHONE), ("sec-purpose", "prefetch;prerender")], "").await;
    house.send("GET", &path, &[("user-agent", "WhatsApp/2.23.20 A")], "").await;
    house.get(&path).await;
    assert!(rendered(&house, &pass).await.is_empty());
    open(&house, &path, IPHONE).await;
    let seen = rendered(&house, &pass).await;
    let [Facts::PassRendered { kind: VisitKind::Page, sighting }] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!((sighting.attributes, sighting.ip.as_deref()), (1 | 4 | 512, Some("127.0.0.1")));
    assert_eq!(sighting.user_agent.as_deref(), Some(IPHONE));
}

/// The operator's file of places, and a trusted proxy that tells who the client is.
#[tokio::test(flavor = "multi_thread")]
async fn a_visit_is_recorded_with_its_place() {
    use mmdb::Value::{Double, List, Map, Text};
    let names = |name: &'static str| ("names", Map(vec![("en", Text(name))]));
    let place = Map(vec![
        ("country", Map(vec![("iso_code", Text("SE")), names("Sweden")])),
        ("subdivisions", List(vec![Map(vec![names("Uppsala County")])])),
        ("city", Map(vec![names("Uppsala")])),
        ("location", Map(vec![("latitude", Double(59.858_564)), ("longitude", Double(17.638_927))])),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("places.mmdb");
    std::fs::write(&file, mmdb::write("GeoLite2-City", [203, 0, 113, 0], 24, &place)).unwrap();
    let house = house_with(|settings| {
        settings.places = Some(http_server::Places::open(&file).unwrap());
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let pass = house.issue().await;
    let path = format!("/p/{}", pass.code);
    for client in ["203.0.113.77", "198.51.100.7"] {
        let headers = [("user-agent", IPHONE), ("x-forwarded-for", client)];
        assert_eq!(house.send("GET", &path, &headers, "").await.status.as_u16(), 200);
    }
    let seen = rendered(&house, &pass).await;
    let [Facts::PassRendered { sighting: known, .. }, Facts::PassRendered { sighting: unknown, .. }] = seen.as_slice() else {
        panic!("{seen:?}")
    };
    let expected = domain::Place {
        country: Some("SE".to_owned()),
        city: Some("Uppsala".to_owned()),
        state: Some("Uppsala County".to_owned()),
        latitude_micros: Some(59_858_564),
        longitude_micros: Some(17_638_927),
    };
    assert_eq!((known.ip.as_deref(), known.place.as_ref()), (Some("203.0.113.77"), Some(&expected)));
    assert_eq!((unknown.ip.as_deref(), unknown.place.as_ref()), (Some("198.51.100.7"), None), "an address that the file lacks");
    for damaged in [&b"no database"[..], &std::fs::read(&file).unwrap()[..200]] {
        std::fs::write(&file, damaged).unwrap();
        let refused = http_server::Places::open(&file).unwrap_err().to_string();
        assert!(refused.contains("give a file in MMDB format"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_wallets_get_their_pass() {
    let house = house().await;
    let pass = house.issue().await;
    for name in ["apple", "pass.pkpass"] {
        let package = open(&house, &format!("/p/{}/{name}", pass.code), IPHONE).await;
        assert_eq!(package.header("content-type"), "application/vnd.apple.pkpass");
        let read = pkpass::Package::parse(&package.body, &pkpass::Limits::PASS).unwrap().pass().unwrap().unwrap();
        assert_eq!(read.pass_type_identifier, PASS_TYPE);
        let head = house.send("HEAD", &format!("/p/{}/{name}", pass.code), &[], "").await;
        assert_eq!(head.status.as_u16(), 200);
    }
    let google = open(&house, &format!("/p/{}/google", pass.code), ANDROID).await;
    assert_eq!(google.status.as_u16(), 303);
    assert!(google.header("location").starts_with("https://pay.google.com/gp/v/save/ey"), "{google:?}");
    let kinds: Vec<_> = rendered(&house, &pass).await;
    assert_eq!(kinds.len(), 2, "one package, one object: {kinds:?}");
    house.submit(Action::Revoke { pass: PassRef::Id(pass.id), reason: None }).await;
    let page = open(&house, &format!("/p/{}", pass.code), IPHONE).await;
    assert!(page.text().contains("cannot be used any more") && !page.text().contains("Add to Apple Wallet"));
}

/// The project and its template as they are, changed.
async fn redo(house: &House, change: impl FnOnce(&mut domain::Project, &mut domain::Design)) {
    let catalog = house.store.catalog();
    let config = catalog.org(house.org).unwrap();
    let (project, template) = (&config.projects[&house.project.uuid()], &config.templates[&house.template.uuid()]);
    let (mut new_project, mut new_template) = ((*project.value).clone(), (*template.value).clone());
    change(&mut new_project, &mut new_template.design);
    let (actor, now) = ("{}".to_owned(), house.app.now());
    let by = store::ConfigChange { org: house.org, actor, now, names: Vec::new(), removed_names: Vec::new() };
    assert!(house.store.put(&by, &new_project, project.revision).await.unwrap());
    assert!(house.store.put(&by, &new_template, template.revision).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_offers_no_wallet_that_cannot_take_the_pass_and_says_why() {
    let house = house().await;
    let pass = house.issue().await;
    let (page, google) = (format!("/p/{}", pass.code), format!("/p/{}/google", pass.code));
    redo(&house, |project, design| {
        project.kind = domain::ProjectKind::BoardingPass;
        let tags = serde_json::json!({"airlineCode": "XX", "flightNumber": 101, "departureAirportCode": "BER",
            "destinationAirportCode": "OSL", "originalDepartureDate": "{{fields.departure}}"});
        design.semantics = serde_json::from_value(tags).unwrap();
    })
    .await;
    let unnamed = open(&house, &page, ANDROID).await;
    let unnamed = unnamed.text();
    assert!(!unnamed.contains("Save to Google Wallet") && unnamed.contains("once its flight is settled"), "{unnamed}");
    assert!(open(&house, &page, IPHONE).await.text().contains("Add to Apple Wallet"));
    let link = open(&house, &google, ANDROID).await;
    assert_eq!((link.status.as_u16(), link.header("content-type")), (409, "text/html; charset=utf-8"));
    assert!(link.text().contains(&format!("href=\"{page}\"")), "a way back: {}", link.text());
    redo(&house, |_, design| {
        design.semantics.insert("originalDepartureDate".to_owned(), "2027-01-15T10:00:00+01:00".into());
    })
    .await;
    assert!(open(&house, &page, ANDROID).await.text().contains("Save to Google Wallet"), "once it says which flight");
    redo(&house, |project, _| project.google_issuer = None).await;
    let elsewhere = open(&house, &page, ANDROID).await;
    let elsewhere = elsewhere.text();
    assert!(elsewhere.contains("open this page on an iPhone") && !elsewhere.contains("Save to Google"), "{elsewhere}");
    assert_eq!(open(&house, &google, ANDROID).await.status.as_u16(), 404);
    redo(&house, |project, _| project.apple_pass_type = None).await;
    assert!(!open(&house, &page, DESKTOP).await.text().contains("put the pass there"), "there is no wallet for it");
}

fn token(form: &Answer) -> String {
    form.text().split_once("name=\"form\" value=\"").unwrap().1.split_once('"').unwrap().0.to_owned()
}

async fn post(house: &House, body: &str) -> Answer {
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("user-agent", IPHONE)];
    house.send("POST", "/e/club", &headers, body.to_owned()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn enrolment_issues_once() {
    let house = house().await;
    let headers = [("user-agent", IPHONE), ("referer", "https://shop.example/summer")];
    let form = house.send("GET", "/e/club?utm_source=poster&utm_campaign=summer&x=1", &headers, "").await;
    assert_eq!(form.status.as_u16(), 200);
    assert!(form.text().contains("Favourite drink") && form.text().contains("name=\"utm_source\" value=\"poster\""));
    assert!(house.store.passes(house.org, None, None, None, 10).await.unwrap().is_empty(), "looking creates nothing");
    let token = token(&form);
    let origin = "utm_source=poster&utm_campaign=summer&from=https%3A%2F%2Fshop.example%2Fsummer";
    let body = format!("form={token}&{origin}&name=Ada+Example&email=Ada%40Example.com&f.drink=Cortado&f.cups=2&f.news=yes");
    let first = post(&house, &body).await;
    assert_eq!(first.status.as_u16(), 303, "{}", first.text());
    let second = post(&house, &body).await;
    assert_eq!(second.header("location"), first.header("location"), "a double click");
    let passes = house.store.passes(house.org, None, None, None, 10).await.unwrap();
    assert_eq!(passes.len(), 1);
    let pass = &passes[0];
    assert_eq!(first.header("location"), format!("/p/{}", pass.code));
    assert_eq!(pass.fields["drink"].to_string(), "Cortado");
    assert_eq!(pass.fields["cups"].to_string(), "2");
    assert_eq!(pass.origin.utm["source"], "poster");
    assert_eq!(pass.origin.referrer.as_deref(), Some("https://shop.example/summer"));
    assert_eq!(pass.origin.ip.as_deref(), Some("127.0.0.1"));
    let other = post(&house, &body.replace("Cortado", "Tea")).await;
    assert_eq!(other.status.as_u16(), 422, "the same form with other answers");
    assert!(other.text().contains("sent before"));
}

#[tokio::test(flavor = "multi_thread")]
async fn enrolment_shows_faults_at_their_fields() {
    let house = house().await;
    let form = house.get("/e/club").await;
    let body = format!("form={}&name=%3Cb%3E&email=nobody&f.cups=many", token(&form));
    let answer = post(&house, &body).await;
    assert_eq!(answer.status.as_u16(), 422);
    for part in ["id=\"email-fault\"", "id=\"f.drink-fault\"", "id=\"f.cups-fault\"", "value=\"&lt;b&gt;\""] {
        assert!(answer.text().contains(part), "{part}: {}", answer.text());
    }
    assert_eq!(token(&answer), token(&form), "still to be used");
    let forged = post(&house, "form=a.1.b&name=A&email=a%40b.example&f.drink=Tea").await;
    assert_eq!(forged.status.as_u16(), 422);
    let cross = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "cross-site")];
    assert_eq!(house.send("POST", "/e/club", &cross, body).await.status.as_u16(), 400);
    assert!(house.store.passes(house.org, None, None, None, 10).await.unwrap().is_empty());
    assert_eq!(house.get("/e/other").await.status.as_u16(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inspector_shows_and_checks() {
    use connectors::kit::{Secret, Secrets, signature};
    let house = house().await;
    let bin = domain::LinkCode::mint(&common::System).to_string();
    let secret = Secret::mint(&common::System);
    let target = common::target(&house, &format!("{}/inspect/{bin}/in", house.base), &secret);
    house.put(&target, vec![(store::NameKind::InspectorBin, bin.clone().into_bytes(), target.target.id.uuid())]).await;
    let body = br#"{"event":{"pass":{"name":"<script>"}}}"#;
    let hex = signature::hex_hmac(&secret, body);
    let now = house.app.now();
    let standard = signature::standard(&Secrets::one(secret), "msg_1", now, body);
    let seconds = now.as_seconds().to_string();
    let path = format!("/inspect/{bin}/in");
    let signed = [
        ("x-passkit-signature", hex.as_str()),
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", &seconds),
        ("webhook-signature", &standard),
    ];
    assert_eq!(house.send("PUT", &path, &signed, &body[..]).await.status.as_u16(), 200);
    let page = house.get(&format!("/inspect/{bin}")).await;
    assert_eq!(page.text().matches("✓").count(), 2, "{}", page.text());
    assert!(page.text().contains("&lt;script&gt;"));
    assert_eq!(house.send("POST", &path, &signed, "{}").await.status.as_u16(), 200);
    assert_eq!(house.get(&format!("/inspect/{bin}")).await.text().matches("✗").count(), 2);
    assert_eq!(house.send("POST", "/inspect/none/in", &[], "x").await.status.as_u16(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_unsubscribe_by_a_button_and_scanners_do_not() {
    let house = house().await;
    let pass = house.issue().await;
    let (org, contact, channel) = (house.org, pass.contact.unwrap(), domain::Channel::Email);
    let wish = store::Wish { org, contact, channel }.text(house.store.keyring()).unwrap();
    let path = format!("/u/{wish}");
    let by = domain::ContactRef::Id(contact);
    let state = async || {
        let contact = house.store.contact(org, &by).await.unwrap().unwrap();
        (contact.wants(channel), contact.version)
    };
    let (wanted, version) = state().await;
    assert!(wanted);
    for (method, headers) in
        [("GET", vec![("user-agent", DESKTOP)]), ("HEAD", vec![]), ("GET", vec![("user-agent", "Barracuda Sentinel (EE)")])]
    {
        let page = house.send(method, &path, &headers, "").await;
        assert_eq!(page.status.as_u16(), 200);
        assert!(method == "HEAD" || page.text().contains("No more e-mails") && page.text().contains("Bean &amp; Co"));
        assert!(page.header("cache-control").contains("no-store"));
    }
    assert_eq!(state().await, (true, version), "looking changes nothing");

    // What mail programs send by themselves: RFC 8058, section 3.2, in both form encodings.
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let done = house.send("POST", &path, &form, "List-Unsubscribe=One-Click").await;
    assert_eq!(done.status.as_u16(), 200);
    assert!(done.text().contains("You get no more e-mails"), "{}", done.text());
    let again = house.send("POST", &path, &[("content-type", "multipart/form-data; boundary=x")], "--x--").await;
    assert_eq!(again.status.as_u16(), 200);
    assert_eq!(state().await, (false, version + 1), "once");
    let events = house.store.feed(org, &vec![0; usize::from(house.store.backend().shards())], 100).await.unwrap();
    let told = events.into_iter().filter_map(store::LoggedEvent::whole).filter(|event| event.contact == Some(contact));
    let told: Vec<_> = told.filter(|event| event.kind() == EventKind::ContactUpdated).collect();
    let [event] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((&event.actor, &event.cause), (&domain::Actor::Holder, &domain::Cause::Page));
    let traits = &event.image.contact.as_ref().unwrap().traits;
    assert_eq!(traits["email_unsubscribed"], domain::FieldValue::Flag(true));

    let page = house.get(&path).await;
    assert!(page.text().contains("Send me e-mails again"), "{}", page.text());
    house.send("POST", &path, &form, "again=yes").await;
    assert_eq!(state().await, (true, version + 2), "the way back");

    for odd in [format!("/u/{}0", &wish[..wish.len() - 1]), "/u/x".to_owned(), format!("/u/{contact}")] {
        let missing = house.send("POST", &odd, &form, "List-Unsubscribe=One-Click").await;
        assert!(missing.status.as_u16() == 404 || odd == path, "{odd}");
    }
    house.submit(Action::EraseContact { contact: domain::ContactRef::Id(contact), expected_version: None }).await;
    let gone = house.send("POST", &path, &form, "List-Unsubscribe=One-Click").await;
    assert!(gone.status.as_u16() == 200 && gone.text().contains("Nothing is known about you"), "{}", gone.text());
}
