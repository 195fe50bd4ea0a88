//! Moving house: SQLite to PostgreSQL and back to another SQLite, with a phone that registered before and goes on after.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{path::Path, time::Duration};

use http::Method;
use pkpass::development::{Authority, Validity};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use simulators::{
    apns::ApnsServer,
    iphone::{Iphone, Network, Outcome, SignatureTrust},
};
use support::{BINARY, Club, post, text};
use testkit::{
    postgres::Cluster,
    server::{MASTER_KEY, Server, Setup, free_port, program},
};

const PASS_TYPE: &str = "pass.com.example.club";
const TEAM: &str = "AB12CD34EF";
const PATIENCE: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_methods, reason = "certificates are judged by the real time")]
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn validity() -> Validity {
    Validity { not_before: now() - 86_400, not_after: now() + 86_400 * 30 }
}

async fn push_service(authority: &Authority, root: &CertificateDer<'_>) -> ApnsServer {
    let tls = authority.issue_tls_server(&["localhost", "127.0.0.1"], validity()).unwrap();
    let chain = [tls.certificate.as_str(), tls.intermediate.as_deref().unwrap_or_default()].concat();
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivatePkcs8KeyDer::from_pem_slice(tls.key.as_bytes()).unwrap().secret_pkcs8_der().to_vec();
    ApnsServer::start(chain, key, root).await.unwrap()
}

/// Runs the program on a database while no server does.
async fn run(database: Option<&str>, data: &Path, arguments: &[&str]) -> Result<Value, String> {
    let mut command = program(BINARY);
    command.args(arguments).arg("--data").arg(data);
    if let Some(url) = database {
        command.env("PASSBRIDGE_DATABASE", url).env("PASSBRIDGE_MASTER_KEY", MASTER_KEY);
    }
    let output = command.output().await.unwrap();
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Gives the project a signer of its own.
async fn sign_passes(club: &Club, authority: &Authority) {
    let identity = authority.issue_pass_type(PASS_TYPE, TEAM, validity()).unwrap();
    let signer = json!({
        "certificate": identity.certificate, "private_key": identity.key.as_str(), "intermediate": identity.intermediate,
    });
    post(&club.server, "/v1/signers", &signer).await;
    let path = format!("/v1/projects/{}", club.project);
    let mut project = club.server.api(Method::GET, &path, None).await.unwrap();
    let members = project.as_object_mut().unwrap();
    ["id", "created_at", "links"].iter().for_each(|name| drop(members.remove(*name)));
    members.insert("apple_pass_type".to_owned(), json!(PASS_TYPE));
    club.server.api(Method::PUT, &path, Some(&project)).await.unwrap();
}

/// Takes an organization out; where something was not worked on when the server stopped, it is started and stopped again first.
async fn taken_out(database: Option<&str>, data: &Path, export: &[&str], again: impl Fn() -> Setup) -> Value {
    for _ in 0..5 {
        match run(database, data, export).await {
            Ok(taken) => return taken,
            Err(why) => assert!(why.contains("not worked on"), "{why}"),
        }
        let mut server = Server::start_with(BINARY, again()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(server.terminate().await.unwrap().success());
    }
    panic!("it is never done");
}

/// The pass is changed; the phone is woken, asks which passes changed, and fetches.
async fn update_arrives(server: &Server, pass: &str, phone: &mut Iphone, apns: &ApnsServer, points: &str) {
    let mut pushes = apns.pushes();
    let change = json!({"balances": {"points": {"set": points}}});
    server.api(Method::PATCH, &format!("/v1/passes/{pass}"), Some(&change)).await.unwrap();
    loop {
        let woken = tokio::time::timeout(PATIENCE, pushes.recv()).await;
        assert!(woken.is_ok(), "no push came: {}", server.said());
        let updates = phone.on_push(PASS_TYPE).await.unwrap();
        let mut fetched = updates.iter().flat_map(|update| &update.fetched);
        if fetched.any(|fetched| matches!(fetched.outcome, Outcome::Replaced { .. })) {
            break;
        }
    }
    let shown = phone.passes().next().unwrap().field("points").unwrap().value.clone();
    assert!(shown.contains(points), "{shown}");
    assert!(phone.complaints().is_empty(), "{:?}", phone.complaints());
}

/// What is true of a pass wherever it is.
async fn seen(server: &Server, pass: &str) -> Value {
    let shown = server.api(Method::GET, &format!("/v1/passes/{pass}"), None).await.unwrap();
    let events = server.api(Method::GET, &format!("/v1/passes/{pass}/events"), None).await.unwrap();
    let kinds: Vec<_> =
        events["data"].as_array().unwrap().iter().map(|event| (event["id"].clone(), event["type"].clone())).collect();
    json!({"pass": shown, "events": kinds})
}

/// A killed server leaves its node's name behind, but no lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sqlite_whose_server_was_killed_moves_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let setup = || Setup { data: Some(at("data").into()), ..Setup::default() };
    let mut club = Club::set_up(setup()).await;
    let admin_key = club.server.admin_key().to_owned();
    let (file, transfer, data) = (at("move"), at("transfer.key"), at("data"));
    let export = ["export", "--out", &file, "--key-file", &transfer];
    let locked = run(None, Path::new(&data), &export).await.unwrap_err();
    assert!(locked.contains("is running on the data folder"), "{locked}");
    club.server.kill9().await.unwrap();
    let again = || Setup { admin_key: Some(admin_key.clone()), ..setup() };
    let taken = taken_out(None, Path::new(&data), &export, again).await;
    assert_eq!(taken["organizations"], json!(1));

    // What was written is not written over unless that is asked for.
    let before = std::fs::read(&file).unwrap();
    let refused = run(None, Path::new(&data), &export).await.unwrap_err();
    assert!(refused.contains("is there already") && refused.contains("--force"), "{refused}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let forced = run(None, Path::new(&data), &[&export[..], &["--force"]].concat()).await.unwrap();
    assert_eq!(forced["organizations"], json!(1));
    assert_ne!(std::fs::read(&file).unwrap(), before);
    let mut folder = export;
    folder[2] = &data;
    assert!(run(None, Path::new(&data), &folder).await.unwrap_err().contains("is a folder"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_goes_on_after_each_move() {
    let authority = Authority::create("Club", validity()).unwrap();
    let root = CertificateDer::from(authority.root_der().to_vec());
    let apns = push_service(&authority, &root).await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("root.pem"), authority.root_pem()).unwrap();
    let port = free_port();
    let settings = vec![("apns_url", apns.url()), ("apns_roots", at("root.pem"))];
    let setup = |data: &str, database: Option<String>| Setup {
        database,
        settings: settings.clone(),
        data: Some(at(data).into()),
        port,
        ..Setup::default()
    };

    // Where it begins: SQLite, and a phone.
    let mut club = Club::set_up(setup("first", None)).await;
    let admin_key = club.server.admin_key().to_owned();
    sign_passes(&club, &authority).await;
    let contact = json!({"external_id": "member-1", "email": "anna@example.org", "name": "Anna"});
    let issue = json!({"project": club.project, "external_id": "member-1", "contact": contact});
    let pass = post(&club.server, "/v1/passes", &issue).await;
    let id = text(&pass, "id");
    let roots = vec![root.clone()];
    let trust = SignatureTrust::new(roots.clone(), now);
    let mut phone = Iphone::new("device-1", "ab".repeat(32), Network::new(&roots).unwrap()).trusting(trust);
    let added = phone.add_from(&text(&pass["links"], "apple")).await.unwrap();
    assert_eq!(added.registration.map(|exchange| exchange.status.as_u16()), Some(201));
    update_arrives(&club.server, &id, &mut phone, &apns, "1").await;
    let before = seen(&club.server, &id).await;
    assert!(club.server.terminate().await.unwrap().success());

    // To PostgreSQL. A damaged file is refused, and leaves nothing.
    let (first, second, third) = (at("first"), at("second"), at("third"));
    let (first, second, third) = (Path::new(&first), Path::new(&second), Path::new(&third));
    let (file, transfer) = (at("move"), at("transfer.key"));
    let export = ["export", "--out", &file, "--key-file", &transfer];
    let again = || Setup { admin_key: Some(admin_key.clone()), ..setup("first", None) };
    let taken = taken_out(None, first, &export, again).await;
    assert_eq!((&taken["passes"], &taken["installations"], &taken["organizations"]), (&json!(1), &json!(1), &json!(1)));
    let database = Cluster::shared().await.unwrap().create_database().await.unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(at("damaged"), &bytes).unwrap();
    let import = |file: &str| vec!["import".to_owned(), file.to_owned(), "--key-file".to_owned(), transfer.clone()];
    let damaged = import(&at("damaged"));
    let refused = run(Some(&database), second, &damaged.iter().map(String::as_str).collect::<Vec<_>>()).await.unwrap_err();
    assert!(refused.contains("damaged") && refused.contains("nothing was written"), "{refused}");
    let whole = import(&file);
    let whole: Vec<_> = whole.iter().map(String::as_str).collect();
    let mut taken = taken;
    taken.as_object_mut().unwrap().remove("sha256");
    assert_eq!(run(Some(&database), second, &whole).await.unwrap(), taken);
    let twice = run(Some(&database), second, &whole).await.unwrap_err();
    assert!(twice.contains("is here already"), "{twice}");
    let moved = || Setup { admin_key: Some(admin_key.clone()), ..setup("second", Some(database.clone())) };
    let mut server = Server::start_with(BINARY, moved()).await.unwrap();
    assert_eq!(seen(&server, &id).await, before, "nothing is another");
    update_arrives(&server, &id, &mut phone, &apns, "2").await;
    let before = seen(&server, &id).await;
    assert!(server.terminate().await.unwrap().success());

    // And back to another SQLite.
    std::fs::remove_file(&file).unwrap();
    taken_out(Some(&database), second, &export, moved).await;
    run(None, third, &whole).await.unwrap();
    let moved = Setup { admin_key: Some(admin_key.clone()), ..setup("third", None) };
    let server = Server::start_with(BINARY, moved).await.unwrap();
    assert_eq!(seen(&server, &id).await, before);
    update_arrives(&server, &id, &mut phone, &apns, "3").await;
    let found =
        server.api(Method::GET, &format!("/v1/passes?project={}&external_id=member-1", club.project), None).await.unwrap();
    assert_eq!(found["data"][0]["id"], json!(id));
}
