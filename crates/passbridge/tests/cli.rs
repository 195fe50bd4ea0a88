//! The command line as a person uses it, against the real server, with certificates and keys that openssl makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[path = "cli/designs.rs"]
mod designs;
#[path = "cli/readme.rs"]
mod readme;
mod support;

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use support::{Club, Database, text};
use testkit::{clients, server::program};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
};

const WITHIN: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct horse";

/// A folder with an authority and whatever is made in it.
struct Desk(tempfile::TempDir);

impl Desk {
    async fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        desk.write("p12.password", &format!("{PASSWORD}\n"));
        desk.write("wrong.password", "incorrect horse\n");
        desk.openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj", "/CN=Test Authority/O=Test")
            .await;
        desk
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// `last` is one argument, whatever blanks it has.
    async fn openssl(&self, arguments: &str, last: &str) {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).arg(last).current_dir(self.path());
        clients::run(command, "openssl", "", WITHIN).await.unwrap_or_else(|error| panic!("{arguments}: {error}"));
    }

    /// NAME.key and NAME.pem: a certificate of the authority for a subject.
    async fn certificate(&self, name: &str, subject: &str, days: &str) {
        self.openssl(&format!("req -new -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj"), subject).await;
        let sign = format!("x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days");
        self.openssl(&sign, days).await;
    }

    /// Runs the program as the admin of a club; what it said on both streams, and whether it ended well.
    async fn runs(&self, club: &Club, arguments: &[&str]) -> Result<String, String> {
        let mut command = program(env!("CARGO_BIN_EXE_passbridge"));
        command.args(arguments).current_dir(self.path());
        command.env("PASSBRIDGE_URL", club.server.url("")).env("PASSBRIDGE_KEY", club.server.admin_key());
        clients::run(command, "passbridge", "", WITHIN).await.map_err(|error| error.to_string())
    }

    async fn says(&self, club: &Club, arguments: &[&str]) -> Value {
        let said = self.runs(club, arguments).await.unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{said}: {error}"))
    }

    async fn complains(&self, club: &Club, arguments: &[&str]) -> String {
        match self.runs(club, arguments).await {
            Ok(said) => panic!("{arguments:?} went well: {said}"),
            Err(error) => error,
        }
    }
}

#[tokio::test]
async fn a_stream_is_printed_as_it_comes() {
    let club = Club::open(Database::Sqlite).await;
    let mut command = program(env!("CARGO_BIN_EXE_passbridge"));
    command.args(["api", "GET", "/v1/events/stream?types=pass.created"]).stdout(Stdio::piped()).kill_on_drop(true);
    command.env("PASSBRIDGE_URL", club.server.url("")).env("PASSBRIDGE_KEY", club.server.admin_key());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut says = async |wanted: &str| {
        let line = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains(wanted) {
                    return;
                }
            }
            panic!("it ended before it said {wanted}");
        };
        tokio::time::timeout(WITHIN, line).await.unwrap();
    };
    says("id:").await;
    support::post(&club.server, "/v1/passes", &json!({"project": club.project, "external_id": "one"})).await;
    says("pass.created").await;
}

#[tokio::test]
async fn signers_are_added_from_p12_and_pem_and_faults_are_named() {
    let (club, desk) = (Club::open(Database::Sqlite).await, Desk::new().await);
    desk.certificate("p12", "/UID=pass.com.example.p12/CN=Pass/OU=TEAM123456/O=Test", "20").await;
    desk.certificate("pem", "/UID=pass.com.example.pem/CN=Pass/OU=TEAM123456/O=Test", "20").await;
    let export = "pkcs12 -export -in p12.pem -inkey p12.key -certfile ca.pem -out p12.p12 -passout";
    desk.openssl(export, &format!("pass:{PASSWORD}")).await;
    let p12 = ["signer", "add", "--json", "--p12", "p12.p12", "--password-file"];
    let wrong = desk.complains(&club, &[&p12[..], &["wrong.password"]].concat()).await;
    assert!(wrong.contains("p12") && wrong.contains("cannot be opened with this passphrase"), "{wrong}");
    let none = desk.complains(&club, &p12[..5]).await;
    assert!(none.contains("passphrase"), "{none}");
    let added = desk.says(&club, &[&p12[..], &["p12.password"]].concat()).await;
    let told = (&added["pass_type"], &added["team"], &added["expired"]);
    assert_eq!(told, (&json!("pass.com.example.p12"), &json!("TEAM123456"), &json!(false)));
    assert!(!added.to_string().contains("PRIVATE KEY"));
    let again = desk.complains(&club, &[&p12[..], &["p12.password"]].concat()).await;
    assert!(again.contains("409"), "{again}");
    let with = |certificate: &'static str, key: &'static str| {
        ["signer", "add", "--json", "--certificate", certificate, "--private-key", key, "--intermediate", "ca.pem"]
    };
    let added = desk.says(&club, &with("pem.pem", "pem.key")).await;
    assert_eq!(added["pass_type"], "pass.com.example.pem");
    let missing = desk.complains(&club, &with("pem.pem", "pem.key")[..7]).await;
    assert!(missing.contains("intermediate") && missing.contains("WWDR G4"), "{missing}");
    let other = desk.complains(&club, &with("pem.pem", "p12.key")).await;
    assert!(other.contains("does not belong to the certificate"), "{other}");
    desk.certificate("late", "/UID=pass.com.example.late/CN=Pass/OU=TEAM123456", "-1").await;
    let late = desk.complains(&club, &with("late.pem", "late.key")).await;
    assert!(late.contains("expired") && late.contains("renew it"), "{late}");
    for (name, subject) in
        [("uid", "/UID=com.example/CN=Pass/OU=TEAM123456"), ("bare", "/CN=Pass/OU=TEAM123456"), ("ou", "/UID=pass.a/CN=Pass")]
    {
        desk.certificate(name, subject, "20").await;
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        let arguments = ["signer", "add", "--certificate", &certificate, "--private-key", &key, "--intermediate", "ca.pem"];
        let refused = desk.complains(&club, &arguments).await;
        assert!(
            refused.contains("not a pass type certificate") && refused.contains("UID") && refused.contains("OU"),
            "{refused}"
        );
    }
    assert!(desk.complains(&club, &["signer", "add"]).await.contains("--p12"), "neither");
    assert!(desk.complains(&club, &["signer", "add", "--p12", "nowhere.p12"]).await.contains("cannot read nowhere.p12"));
}

/// The request is ours, the authority openssl's, in Apple's place.
#[tokio::test]
async fn a_certificate_is_asked_for_answered_and_renewed() {
    const SUBJECT: &str = "/UID=pass.com.example.club/CN=Pass/OU=TEAM123456/O=Test";
    fn answer<'a>(id: &'a str, file: &'a str) -> [&'a str; 7] {
        ["signer", "answer", "--json", id, file, "--intermediate", "ca.pem"]
    }
    let (club, desk) = (Club::open(Database::Sqlite).await, Desk::new().await);
    let ask = async |out: &str, more: &[&str]| {
        let arguments = ["signer", "request", "--json", "--email", "passes@example.com", "--name", "Bean & Co", "--out", out];
        let asked = desk.says(&club, &[&arguments[..], more].concat()).await;
        desk.openssl("req -verify -noout -in", out).await;
        text(&asked, "id")
    };
    let sign = async |request: &str, out: &str, subject: &str| {
        let sign =
            format!("x509 -req -in {request} -CA ca.pem -CAkey ca.key -CAcreateserial -days 20 -outform DER -out {out} -subj");
        desk.openssl(&sign, subject).await;
    };
    let first = ask("first.csr", &[]).await;
    assert!(
        desk.complains(&club, &["signer", "request", "--email", "a@b.example", "--name", "x", "--out", "first.csr"])
            .await
            .contains("is there already")
    );
    sign("first.csr", "first.cer", SUBJECT).await;
    let alone = desk.complains(&club, &answer(&first, "first.cer")[..5]).await;
    assert!(alone.contains("intermediate") && alone.contains("Test Authority") && alone.contains("WWDR G4"), "{alone}");
    let signer = desk.says(&club, &answer(&first, "first.cer")).await;
    assert_eq!((&signer["pass_type"], &signer["warning"]), (&json!("pass.com.example.club"), &json!("within_30_days")));
    let id = text(&signer, "id");

    let second = ask("second.csr", &["--signer", &id]).await;
    let other_key = desk.complains(&club, &answer(&second, "first.cer")).await;
    assert!(other_key.contains("does not belong to the certificate"), "{other_key}");
    for subject in ["/UID=pass.com.example.club/CN=Pass/OU=TEAM999999", "/UID=pass.com.example.else/CN=Pass/OU=TEAM123456"] {
        sign("second.csr", "other.cer", subject).await;
        let refused = desk.complains(&club, &answer(&second, "other.cer")).await;
        assert!(refused.contains("phones would lose their passes"), "{refused}");
    }
    sign("second.csr", "second.cer", SUBJECT).await;
    let renewed = desk.says(&club, &answer(&second, "second.cer")).await;
    assert_eq!((&renewed["id"], &renewed["previous"]["serial"]), (&signer["id"], &signer["serial"]));
    let back = desk.says(&club, &["signer", "rollback", "--json", &id]).await;
    assert_eq!(back["serial"], signer["serial"]);
    // In the second in which it was made it has 20 days, from the next on 19 and a part of one.
    let listed = loop {
        let listed = desk.runs(&club, &["signer", "list"]).await.unwrap();
        if !listed.contains("in 20 days: renew it") {
            break listed;
        }
    };
    assert!(listed.contains("pass.com.example.club") && listed.contains("in 19 days: renew it"), "{listed}");
    let metrics =
        club.server.client().send(http::Method::GET, &club.server.url("/metrics"), &[], bytes::Bytes::new()).await.unwrap();
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(metrics.contains("signer_expires_timestamp_seconds{pass_type=\"pass.com.example.club\"}"), "{metrics}");
}

#[tokio::test]
async fn maps_are_listed_guessed_and_tried() {
    let (club, desk) = (Club::open(Database::Sqlite).await, Desk::new().await);
    let listed = desk.runs(&club, &["flow", "map", "targets", "club"]).await.unwrap();
    assert!(listed.lines().any(|line| line.starts_with("contact.email ") && line.contains("text")), "{listed}");
    let targets = desk.says(&club, &["flow", "map", "targets", "club", "--action", "notify", "--rows", "--json"]).await;
    let places: Vec<&str> = targets["data"].as_array().unwrap().iter().map(|it| it["place"].as_str().unwrap()).collect();
    assert!(places.contains(&"message") && !places.contains(&"variant"), "{places:?}");

    desk.write("event.json", r#"{"type": "track", "event": "x", "userId": "u-9", "traits": {"email": "ada@example.com"}}"#);
    let guess = desk.runs(&club, &["flow", "map", "suggest", "club", "event.json"]).await.unwrap();
    desk.write("map.yaml", &guess);
    let tested = desk.says(&club, &["flow", "map", "test", "club", "map.yaml", "event.json", "--json"]).await;
    assert_eq!(
        (&tested["resolved"]["contact"]["email"], &tested["problems"]),
        (&json!("ada@example.com"), &json!([])),
        "{tested}"
    );
    desk.write("map.yaml", "external_id: $.userId\nuses_limit: $.userId\n");
    let wrong = desk.complains(&club, &["flow", "map", "test", "club", "map.yaml", "event.json"]).await;
    assert!(wrong.contains("uses_limit"), "{wrong}");
    let none = desk.complains(&club, &["flow", "map", "targets", "nowhere"]).await;
    assert!(none.contains("nowhere") || none.contains("not_found"), "{none}");
}

#[tokio::test]
async fn flows_are_tried_saved_and_replaced() {
    let (club, desk) = (Club::open(Database::Sqlite).await, Desk::new().await);
    let flow = "slug: birthday\nproject: club\nwhen:\n  event: birthday\nsteps:\n  - id: gift\n    action: update\n    balances:\n      points:\n        add: $.properties.gift\n";
    desk.write("flow.yaml", flow);
    desk.write("event.json", r#"{"type": "track", "event": "birthday", "userId": "one", "properties": {"gift": 7}}"#);
    let tried = desk.says(&club, &["flow", "test", "flow.yaml", "event.json", "--json"]).await;
    assert_eq!((&tried["matched"], &tried["steps"][0]["outcome"]), (&json!(true), &json!("rejected")), "no pass yet: {tried}");
    support::post(&club.server, "/v1/passes", &json!({"project": club.project, "contact": {"external_id": "one"}})).await;
    let tried = desk.says(&club, &["flow", "test", "flow.yaml", "event.json", "--json"]).await;
    assert_eq!((&tried["matched"], &tried["steps"][0]["result"]), (&json!(true), &json!("changed")), "{tried}");
    assert!(tried.to_string().contains('7'), "{tried}");
    let saved = desk.says(&club, &["flow", "save", "flow.yaml"]).await;
    desk.write("flow.yaml", &flow.replace("gift: 7", "gift: 8").replace("add: $.properties.gift", "add: 3"));
    let again = desk.says(&club, &["flow", "save", "flow.yaml"]).await;
    assert_eq!((&again["id"], &again["slug"]), (&saved["id"], &json!("birthday")), "the one of that slug is replaced");
    desk.write("bad.yaml", &flow.replace("action: update", "action: explode"));
    let bad = desk.complains(&club, &["flow", "save", "bad.yaml"]).await;
    assert!(bad.contains("bad.yaml") && bad.contains("explode"), "{bad}");
    desk.write("bad.yaml", &flow.replace("project: club", "project: nowhere"));
    let bad = desk.complains(&club, &["flow", "save", "bad.yaml"]).await;
    assert!(bad.contains("project"), "{bad}");
    assert!(desk.complains(&club, &["flow", "test", "flow.yaml", "flow.yaml"]).await.contains("is no JSON"));

    desk.write("flow.yaml", &flow.replace("event: birthday", "event: name_day"));
    let drafted = desk.says(&club, &["flow", "save", "flow.yaml", "--draft"]).await;
    let event = |document: &Value| document["when"]["event"].clone();
    assert_eq!((event(&drafted["document"]), event(&drafted["draft"])), (json!("birthday"), json!("name_day")));
    let published = desk.says(&club, &["flow", "publish", "birthday"]).await;
    assert_eq!((event(&published["document"]), &published["draft"]), (json!("name_day"), &Value::Null));
    let versions = desk.says(&club, &["flow", "versions", "birthday"]).await["data"].clone();
    assert_eq!(versions.as_array().unwrap().len(), 3, "{versions}");
    let oldest = versions[2]["version"].to_string();
    let shown = desk.says(&club, &["flow", "versions", "birthday", "--version", &oldest]).await;
    let back = desk.says(&club, &["flow", "restore", "birthday", &oldest]).await;
    assert_eq!((&back["document"], event(&back["document"])), (&shown["document"], json!("birthday")));
    assert!(desk.complains(&club, &["flow", "publish", "nobody"]).await.contains("there is no flow `nobody`"));
}

#[tokio::test]
async fn a_destination_takes_a_body_that_a_file_describes() {
    let (club, desk) = (Club::open(Database::Sqlite).await, Desk::new().await);
    desk.write("body.yaml", "mapping:\n  id:\n    '@path': $.data.pass.external_id\n");
    let to = ["--url", "https://crm.example.com/hook", "--setting", "method=POST"];
    let add = |file: &'static str| [&["destination", "add", "http-call", "--json", "--payload", file][..], &to].concat();
    let added = desk.says(&club, &add("body.yaml")).await;
    assert_eq!(added["payload"]["mapping"]["id"], json!({"@path": "$.data.pass.external_id"}), "{added}");
    desk.write("bad.yaml", "mapping: {'@nothing': 1}\n");
    let refused = desk.complains(&club, &add("bad.yaml")).await;
    assert!(refused.contains("payload.mapping") && refused.contains("@nothing"), "{refused}");
    assert!(desk.complains(&club, &add("nowhere.yaml")).await.contains("cannot read nowhere.yaml"));
}

#[tokio::test]
async fn settings_are_shown_with_their_sources_and_without_secrets() {
    let desk = Desk::new().await;
    desk.write("passbridge.toml", "log = \"debug\"\nregistrations_per_minute = 77\n");
    let config = async |arguments: &[&str]| {
        let mut command = program(env!("CARGO_BIN_EXE_passbridge"));
        command.arg("config").args(arguments).current_dir(desk.path());
        command.env("PASSBRIDGE_MASTER_KEY", "5".repeat(64)).env("PASSBRIDGE_DATABASE", "postgres://me:hunter2@db/passes");
        clients::run(command, "passbridge", "", WITHIN).await
    };
    let said = config(&["--json", "--listen", "127.0.0.1:1"]).await.unwrap();
    let rows: Value = serde_json::from_str(&said).unwrap();
    let row =
        |name: &str| rows.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name}: {said}"));
    let told = |name: &str| (row(name)["value"].clone(), row(name)["source"].as_str().unwrap().to_owned());
    assert_eq!(told("listen"), (json!("127.0.0.1:1"), "flag --listen".to_owned()));
    assert_eq!(told("database"), (json!("postgres://me@db/passes"), "environment PASSBRIDGE_DATABASE".to_owned()));
    assert_eq!(told("master_key").0, json!("(hidden)"));
    assert_eq!(told("registrations_per_minute").0, json!(77));
    assert!(told("log").1.contains("passbridge.toml"), "{said}");
    assert_eq!(told("enrolments_per_minute"), (json!(60), "default".to_owned()));
    let people = config(&[]).await.unwrap();
    assert!(people.contains("registrations_per_minute") && !people.contains("hunter2") && !people.contains("5555"), "{people}");
    desk.write("passbridge.toml", "listne = \"127.0.0.1:1\"\n");
    let unknown = config(&[]).await.unwrap_err().to_string();
    assert!(unknown.contains("listne"), "{unknown}");
}

#[tokio::test]
async fn designs_are_published_and_followed() {
    let (club, desk) = (Club::open(Database::Sqlite).await, Desk::new().await);
    let templates = desk.says(&club, &["template", "list", "--json"]).await;
    let template = templates["data"][0].clone();
    let id = text(&template, "id");
    let mut next = json!({"name": "Redrawn", "design": template["design"]});
    next["design"]["title"] = json!("Redrawn");
    desk.write("next.json", &next.to_string());
    desk.says(&club, &["api", "PUT", &format!("/v1/templates/{id}"), "@next.json"]).await;
    let said =
        desk.runs(&club, &["template", "publish", &id, "--wait", "--json"]).await.unwrap_or_else(|error| panic!("{error}"));
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["version"], &lines[1]["state"]), (&json!(2), &json!("done")), "{said}");
    let publication = text(&lines[0], "publication");
    assert_eq!(desk.says(&club, &["publication", "show", &publication]).await["looked_at"], 0, "nobody holds one");
    assert!(desk.complains(&club, &["publication", "pause", &publication]).await.contains("done already"));
    let versions = desk.says(&club, &["template", "versions", &id]).await;
    assert_eq!(versions["data"].as_array().unwrap().len(), 2);
    assert_eq!(desk.says(&club, &["publication", "list"]).await["data"].as_array().unwrap().len(), 1);
}

/// A Parquet file of DuckDB's.
async fn parquet(desk: &Desk, name: &str, query: &str, options: &str, key: &str) {
    let file = desk.path().join(name);
    let arguments = [file.to_str().unwrap(), query, options, key];
    clients::python("parquet.py", &arguments, "", WITHIN).await.unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[tokio::test]
async fn rows_are_held_back_until_their_columns_are_mapped() {
    let (club, desk) = (Club::open(Database::Sqlite).await, Desk::new().await);
    desk.write("held.csv", "Nr;Punkte\nh-1;5\nh-2;many\n");
    parquet(&desk, "held.parquet", "SELECT 'h-' || i AS Nr, ['5', 'many'][i] AS Punkte FROM range(1, 3) t(i)", "", "").await;
    for file in ["held.csv", "held.parquet"] {
        let held = desk.says(&club, &["batch", "check", file, "--project", support::SLUG, "--hold", "--json"]).await;
        assert_eq!((&held["state"], &held["check"]["rows"]), (&json!("uploaded"), &json!(0)), "{file}");
        let batch = text(&held, "id");
        let seen = desk.says(&club, &["batch", "look", &batch]).await;
        assert_eq!(seen["sample"]["rows"][0]["cells"], json!({"Nr": "h-1", "Punkte": "5"}), "{file}");
        let wrong = desk.complains(&club, &["batch", "map", &batch, "--map", "external_id=Card"]).await;
        assert!(wrong.contains("no column `Card`"), "{wrong}");
        let both = ["batch", "map", &batch, "--map", "external_id=Nr", "--map", "balances.points=Punkte"];
        let wrong = desk.complains(&club, &both).await;
        assert!(wrong.contains("1 rows would fail"), "{wrong}");
        let failure = desk.says(&club, &["batch", "look", &batch]).await["failures"][0].clone();
        assert_eq!((&failure["row"], &failure["column"]), (&json!(2), &json!("Punkte")), "{failure}");
        assert_eq!(failure["cells"]["Nr"], "h-2", "{failure}");
        let checked = desk.says(&club, &["batch", "map", &batch, "--map", "external_id=Nr", "--json"]).await;
        assert_eq!((&checked["state"], &checked["check"]["failed"]), (&json!("checked"), &json!(0)), "what failed is forgotten");
        assert_eq!(desk.says(&club, &["batch", "look", &batch]).await["failures"], json!([]));
        let done = desk.says(&club, &["batch", "start", &batch, "--wait", "--json"]).await;
        assert_eq!((&done["state"], &done["run"]["rows"]), (&json!("done"), &json!(2)), "{file}");
    }
    assert!(club.pass_of("h-2").await.is_some());
}

/// Everything that a row can hold, and a balance that is none in the second.
const EVERY_TYPE: &str = "SELECT 9007199254740993 + i AS external_id, ['5', 'many'][i + 1] AS points,
    'Zoë' AS label, true AS flag, 0.1::FLOAT AS small, 2.5::DOUBLE AS large, 12345678901234567.890::DECIMAL(20, 3) AS money,
    18446744073709551615::UBIGINT AS huge, DATE '2026-11-20' AS day, TIMESTAMP '2026-11-20 10:00:00.25' AS shown,
    TIMESTAMPTZ '2026-11-20 10:00:00-05' AS at, TIMESTAMP_NS '2026-11-20 10:00:00.123456789' AS fine, TIME '09:30:00' AS clock,
    uuid '0198c0de-0000-7000-8000-000000000001' AS id, 'caf\\xC3\\xA9'::BLOB AS utf8, '\\xFF'::BLOB AS blob, NULL::VARCHAR AS nothing,
    ['a', NULL] AS list, {'x': 1, 'when': TIMESTAMPTZ '2026-11-20 10:00:00+00'} AS inner, MAP {'k': 1.5} AS map
    FROM range(2) t(i)";

#[tokio::test]
async fn parquet_of_duckdb_is_checked_run_mended_and_fed_back() {
    let (club, desk) = (Club::open(Database::Sqlite).await, Desk::new().await);
    for options in ["COMPRESSION snappy", "COMPRESSION zstd, PARQUET_VERSION v2", "COMPRESSION uncompressed"] {
        parquet(&desk, "all.parquet", EVERY_TYPE, options, "").await;
        let wrong = desk.complains(&club, &["batch", "check", "all.parquet", "--project", support::SLUG]).await;
        assert!(wrong.contains("1 rows would fail, nothing was done") && wrong.contains("balances.points"), "{wrong}");
        let batches = desk.says(&club, &["batch", "list", "--json"]).await;
        let checked = text(&batches["data"][0], "id");
        assert_eq!((&batches["data"][0]["rows_read"], &batches["data"][0]["check"]["created"]), (&json!(2), &json!(1)));
        let mut row = desk.says(&club, &["batch", "report", &checked]).await;
        row.as_object_mut().unwrap().retain(|name, _| !name.starts_with("batch_"));
        let expected = json!({
            "external_id": 9_007_199_254_740_994_i64, "points": "many", "label": "Zoë", "flag": true, "small": 0.1, "large": 2.5,
            "money": "12345678901234567.890", "huge": u64::MAX, "day": "2026-11-20", "shown": "2026-11-20T10:00:00.25",
            "at": "2026-11-20T15:00:00Z", "fine": "2026-11-20T10:00:00.123456", "clock": "09:30:00",
            "id": "0198c0de-0000-7000-8000-000000000001", "utf8": "café", "blob": "/w==", "list": ["a", null],
            "inner": {"x": 1, "when": "2026-11-20T10:00:00Z"}, "map": {"k": "1.5"},
        });
        assert_eq!(row, expected, "{options}: nulls say nothing");
    }
    let batches = desk.says(&club, &["batch", "list", "--json"]).await;
    let checked = text(&batches["data"][0], "id");
    desk.complains(&club, &["batch", "start", &checked, "--wait"]).await;
    assert_eq!(club.pass_of("9007199254740993").await.unwrap()["balances"]["points"], "5");
    desk.runs(&club, &["batch", "report", &checked, "--output", "failed.ndjson"]).await.unwrap_or_else(|error| panic!("{error}"));
    let failed = std::fs::read_to_string(desk.path().join("failed.ndjson")).unwrap();
    desk.write("mended.ndjson", &failed.replace("many", "7"));
    let mended = desk.says(&club, &["batch", "run", "mended.ndjson", "--project", support::SLUG, "--wait", "--json"]).await;
    assert_eq!((&mended["state"], &mended["run"]["created"]), (&json!("done"), &json!(1)), "{mended}");
    assert_eq!(club.pass_of("9007199254740994").await.unwrap()["balances"]["points"], "7");

    let many = "SELECT 'm-' || i AS external_id, i % 7 AS points, repeat('x', 200) AS note FROM range(9000) t(i)";
    parquet(&desk, "many.parquet", many, "COMPRESSION zstd, ROW_GROUP_SIZE 2048", "").await;
    let ran = desk.says(&club, &["batch", "check", "many.parquet", "--project", support::SLUG, "--json"]).await;
    assert_eq!((&ran["state"], &ran["check"]["created"], &ran["rows_read"]), (&json!("checked"), &json!(9_000), &json!(9_000)));

    let whole = std::fs::read(desk.path().join("many.parquet")).unwrap();
    std::fs::write(desk.path().join("cut.parquet"), &whole[..whole.len() / 2]).unwrap();
    let mut bent = whole.clone();
    bent[whole.len() / 2..whole.len() / 2 + 4_000].fill(0xff);
    std::fs::write(desk.path().join("bent.parquet"), bent).unwrap();
    desk.write("text.parquet", "external_id,points\n1,2\n");
    parquet(&desk, "secret.parquet", many, "COMPRESSION snappy", "0123456789abcdef").await;
    parquet(&desk, "gzip.parquet", many, "COMPRESSION gzip", "").await;
    parquet(&desk, "none.parquet", "SELECT 1 AS external_id LIMIT 0", "COMPRESSION snappy", "").await;
    // Few bytes that say to be many.
    parquet(&desk, "bomb.parquet", "SELECT repeat('0', 100000000) AS external_id", "COMPRESSION zstd", "").await;
    assert!(std::fs::metadata(desk.path().join("bomb.parquet")).unwrap().len() < 1 << 20);
    for (file, expected) in [
        ("cut.parquet", "its end is missing"),
        ("bent.parquet", "Parquet file"),
        ("text.parquet", "does not begin with PAR1"),
        ("secret.parquet", "is encrypted"),
        ("gzip.parquet", "is packed with GZIP"),
        ("none.parquet", "has no rows"),
        ("bomb.parquet", "bytes when unpacked"),
    ] {
        let wrong = desk.complains(&club, &["batch", "check", file, "--project", support::SLUG]).await;
        assert!(wrong.contains(expected), "{file}: {wrong}");
    }
    let nobody = ["batch", "check", "many.parquet", "--project", support::SLUG, "--map", "external_id=member"];
    let wrong = desk.complains(&club, &nobody).await;
    assert!(wrong.contains("no column `member`"), "{wrong}");
}

/// A sync of a warehouse, as a file for the program.
fn sync(desk: &Desk, url: &str, query: &str, more: &Value) {
    let (account, place) = url.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
    let (user, password) = account.split_once(':').unwrap();
    let mut sync = json!({
        "slug": "members", "name": "Members", "query": query, "patience_seconds": 2,
        "database": {"url": format!("postgresql://{place}"), "user": user, "tls": "off"},
        "batch": {"project": support::SLUG, "operation": "issue", "map": {"contact": null}},
    });
    sync.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    desk.write("members.json", &sync.to_string());
    desk.write("warehouse.password", &format!("{password}\n"));
}

/// A trial does nothing, and is listed where it is asked for alone.
async fn only_a_trial_was_made(club: &Club) {
    assert!(club.pass_of("1").await.is_none(), "nothing was done");
    let listed = async |path: &str| club.server.api(http::Method::GET, path, None).await.unwrap()["data"].clone();
    assert_eq!(listed("/v1/batches").await, json!([]));
    assert_eq!(listed("/v1/batches?trials=true").await[0]["trial"], true);
}

#[tokio::test]
async fn a_query_on_a_warehouse_is_tried_and_run() {
    let (club, desk) = (Club::open(Database::Sqlite).await, Desk::new().await);
    let url = testkit::postgres::Cluster::shared().await.unwrap().create_database().await.unwrap();
    let members = "CREATE SEQUENCE numbers; CREATE TABLE members (no int, points text, money numeric(20, 3), at timestamptz, shown timestamp, tags text[], more jsonb);
        INSERT INTO members VALUES (1, '5', 12345678901234567.890, '2026-11-20 10:00:00-05', '2026-11-20 10:00', '{a,b}', '{\"x\": 1}'),
        (2, 'many', NULL, NULL, NULL, NULL, NULL)";
    testkit::postgres::execute(&url, members).await.unwrap();
    let all = "SELECT no AS external_id, points, money, at, shown, tags, more FROM members ORDER BY no -- all; of them";
    let put = ["sync", "put", "members.json", "--password-file", "warehouse.password", "--json"];
    sync(&desk, &url, all, &json!({"start": "by_hand"}));
    let made = desk.says(&club, &put).await;
    assert!(made["database"].get("password").is_none() && !made.to_string().contains("sealed"), "{made}");

    let tried = desk.says(&club, &["sync", "try", "members", "--json"]).await;
    let columns: Vec<String> =
        tried["columns"].as_array().unwrap().iter().map(|it| format!("{}:{}", it["name"], it["type"])).collect();
    assert_eq!(
        columns.join(" ").replace('"', ""),
        "external_id:int4 points:text money:numeric at:timestamptz shown:timestamp tags:_text more:jsonb"
    );
    let first = json!({"external_id": 1, "points": "5", "money": "12345678901234567.890", "at": "2026-11-20T15:00:00+00:00",
        "shown": "2026-11-20T10:00:00", "tags": ["a", "b"], "more": {"x": 1}});
    assert_eq!((&tried["rows"][0], &tried["rows"][1]["money"]), (&first, &Value::Null), "{tried}");
    only_a_trial_was_made(&club).await;

    let checked = desk.complains(&club, &["sync", "run", "members", "--wait"]).await;
    assert!(checked.contains("1 rows would fail") && checked.contains("many"), "{checked}");
    let runs = desk.says(&club, &["sync", "runs", "members", "--json"]).await;
    let batch = text(&runs["data"][0], "id");
    assert_eq!((&runs["data"][0]["sync"], &runs["data"][0]["check"]["created"]), (&made["id"], &json!(1)));
    assert!(desk.complains(&club, &["sync", "run", "members"]).await.contains("under way"));
    desk.complains(&club, &["batch", "start", &batch, "--wait"]).await;
    assert_eq!(club.pass_of("1").await.unwrap()["balances"]["points"], "5");
    let failed = desk.says(&club, &["batch", "report", &batch]).await;
    assert_eq!((&failed["external_id"], &failed["points"], failed.get("money")), (&json!(2), &json!("many"), None), "{failed}");
    desk.write("mended.ndjson", &failed.to_string().replace("many", "7"));
    let feed = ["batch", "run", "mended.ndjson", "--project", support::SLUG, "--map", "@map.yaml", "--wait", "--json"];
    desk.write("map.yaml", "contact: null\n");
    assert_eq!(desk.says(&club, &feed).await["run"]["created"], 1);

    for (query, expected) in [
        ("DELETE FROM members RETURNING no AS external_id", "syntax error"),
        ("WITH gone AS (DELETE FROM members RETURNING no) SELECT no AS external_id FROM gone", "must be at the top level"),
        ("SELECT 1 AS external_id; DROP TABLE members", "syntax error"),
        ("SELECT 1 AS external_id) AS q; DROP TABLE members; SELECT (1", "multiple commands"),
        ("SELECT nextval('numbers') AS external_id", "read-only transaction"),
        ("SELECT pg_sleep(30)::text AS external_id", "statement timeout"),
        ("SELECT 1 AS external_id, 2 AS external_id", "two columns of the query are called"),
        ("SELECT nothing FROM members", "does not exist"),
        ("SELECT 1 / (no - 1) AS external_id FROM members ORDER BY no", "refused a value"),
    ] {
        sync(&desk, &url, query, &json!({}));
        desk.says(&club, &put).await;
        let wrong = desk.complains(&club, &["sync", "try", "members"]).await;
        assert!(wrong.contains(expected), "{query}: {wrong}");
    }
    let count = "DO $$ BEGIN ASSERT (SELECT count(*) FROM members) = 2; END $$";
    testkit::postgres::execute(&url, count).await.unwrap();
    sync(&desk, &url, "SELECT no AS external_id FROM members LIMIT 0", &json!({}));
    desk.says(&club, &put).await;
    let none = desk.says(&club, &["sync", "run", "members", "--wait", "--json"]).await;
    assert_eq!((&none["state"], &none["rows_read"]), (&json!("done"), &json!(0)), "nothing to do is no fault");

    for (more, expected) in [
        (json!({"schedule": {"cron": "61 * * * *", "zone": "UTC"}}), "schedule.cron"),
        (json!({"schedule": {"cron": "0 3 * * *", "zone": "Mars"}}), "schedule.zone"),
        (json!({"schedule": {"every_minutes": 0}}), "schedule.every_minutes"),
        (json!({"batch": {"project": "nope", "operation": "issue"}}), "batch.project"),
        (json!({"batch": {"project": support::SLUG, "operation": "issue", "format": "csv"}}), "batch.format"),
        (json!({"incremental": {"column": ""}}), "incremental.column"),
        (json!({"incremental": {"column": "at", "overlap_seconds": 99_999_999}}), "incremental.overlap_seconds"),
        (json!({"removed": {"action": "revoke", "at_most_percent": 0}}), "removed.at_most_percent"),
        (json!({"removed": {"action": "burn"}}), "removed.action"),
        (json!({"removed": {"action": "delete"}, "batch": {"project": support::SLUG, "operation": "revoke"}}), "removed"),
        (json!({"database": {"url": "postgresql://elsewhere.example.com/x", "user": "u"}}), "database.password"),
        (json!({"database": {"url": "mysql://elsewhere.example.com/x", "user": "u"}}), "database.url"),
    ] {
        sync(&desk, &url, all, &more);
        let wrong = desk.complains(&club, &["sync", "put", "members.json"]).await;
        assert!(wrong.contains(expected), "{more}: {wrong}");
    }
    sync(&desk, &url, all, &json!({"schedule": {"cron": "0 3 * * *", "zone": "Europe/Berlin"}}));
    let kept = desk.says(&club, &["sync", "put", "members.json", "--json"]).await;
    assert_eq!(kept["schedule"]["zone"], "Europe/Berlin", "without a password the one that is kept stays");
    assert_eq!(desk.says(&club, &["sync", "try", "members", "--json"]).await["rows"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_query_is_asked_for_what_changed_and_for_what_is_gone() {
    let (club, desk) = (Club::open(Database::Sqlite).await, Desk::new().await);
    let url = testkit::postgres::Cluster::shared().await.unwrap().create_database().await.unwrap();
    let members = "CREATE TABLE members (no int, at timestamptz);
        INSERT INTO members VALUES (1, '2026-11-20 10:00:00-05'), (2, '2026-01-01 00:00Z')";
    testkit::postgres::execute(&url, members).await.unwrap();
    let more =
        json!({"incremental": {"column": "at", "overlap_seconds": 0}, "removed": {"action": "revoke", "at_most_percent": 60}});
    sync(&desk, &url, "SELECT no AS external_id, at FROM members", &more);
    let put = ["sync", "put", "members.json", "--password-file", "warehouse.password", "--json"];
    let kept = desk.says(&club, &put).await;
    assert_eq!((&kept["incremental"], &kept["removed"]), (&more["incremental"], &more["removed"]));
    let run = async |more: &[&str]| {
        let ran = desk.says(&club, &[&["sync", "run", "members", "--wait", "--json"], more].concat()).await;
        assert_eq!(ran["unused_columns"], json!([]), "the sync itself takes `at`");
        (ran["rows_read"].clone(), ran["removal"]["done"].clone(), ran["changed_until"].clone())
    };
    let until = json!("2026-11-20T15:00:00+00:00");
    assert_eq!(run(&[]).await, (json!(2), json!(null), until.clone()));
    testkit::postgres::execute(&url, "DELETE FROM members WHERE no = 2").await.unwrap();
    assert_eq!(run(&[]).await, (json!(1), json!(null), until.clone()), "what changed says nothing of what is gone");
    assert_eq!(run(&["--full"]).await, (json!(1), json!(1), until));
    assert_eq!(club.pass_of("2").await.unwrap()["state"], "revoked");
    assert_eq!(club.pass_of("1").await.unwrap()["state"], "active");
    testkit::postgres::execute(&url, "DELETE FROM members").await.unwrap();
    let left = desk.complains(&club, &["sync", "run", "members", "--full", "--wait"]).await;
    assert!(left.contains("1 of 1 passes have no row any more"), "{left}");
    assert!(desk.complains(&club, &["sync", "run", "nobody"]).await.contains("there is no sync `nobody`"));
}

#[tokio::test]
async fn files_are_checked_run_mended_and_fed_back() {
    let (club, desk) = (Club::open(Database::Sqlite).await, Desk::new().await);
    let fed = |file: &'static str| {
        ["--project", support::SLUG, "--map", "external_id=Member No", "--map", "contact.email=E-Mail", "--json", file]
    };
    desk.write("members.csv", "Member No;E-Mail;points\nm-1;ada@example.com;5\nm-2;;many\nm-3;bob@example.com\nm-4;;\n");
    let wrong = desk.complains(&club, &[&["batch", "check"][..], &fed("members.csv")].concat()).await;
    assert!(wrong.contains("2 rows would fail, nothing was done") && wrong.contains("balances.points"), "{wrong}");
    assert!(wrong.contains("has 2 cells, and the first row names 3 columns"), "{wrong}");
    assert!(club.pass_of("m-1").await.is_none());
    let batches = desk.says(&club, &["batch", "list", "--json"]).await;
    let checked = text(&batches["data"][0], "id");
    assert_eq!((&batches["data"][0]["state"], &batches["data"][0]["check"]["created"]), (&json!("checked"), &json!(2)));
    desk.complains(&club, &[&["batch", "run", "--wait"][..], &fed("members.csv")].concat()).await;
    assert!(club.pass_of("m-1").await.is_none(), "not unless every row is fine");

    let some = desk.complains(&club, &["batch", "start", &checked, "--wait"]).await;
    assert!(some.contains("2 rows failed") && some.contains("batch report"), "{some}");
    assert_eq!(club.pass_of("m-1").await.unwrap()["balances"]["points"], "5");
    assert!(club.pass_of("m-2").await.is_none());
    desk.runs(&club, &["batch", "report", &checked, "--output", "failed.csv"]).await.unwrap_or_else(|error| panic!("{error}"));
    let failed = std::fs::read_to_string(desk.path().join("failed.csv")).unwrap();
    let lines: Vec<&str> = failed.lines().collect();
    assert!(lines[0].starts_with("Member No;E-Mail;points;batch_row;batch_line;batch_column;batch_reason"), "{failed}");
    assert!(lines.len() == 3 && lines[1].starts_with("m-2;;many;2;3;points;"), "{failed}");
    desk.write("half.csv", &failed.replace("many", "7"));
    let half = desk.complains(&club, &[&["batch", "check"][..], &fed("half.csv")].concat()).await;
    assert!(half.contains("1 rows would fail") && half.contains("was not mended"), "{half}");
    desk.write("mended.csv", &failed.replace("many", "7").replace("cells missing: 1", ""));
    let mended = desk.says(&club, &[&["batch", "run", "--wait"][..], &fed("mended.csv")].concat()).await;
    assert_eq!((&mended["state"], &mended["run"]["created"]), (&json!("done"), &json!(2)), "{mended}");
    assert_eq!(club.pass_of("m-2").await.unwrap()["balances"]["points"], "7");

    desk.write("lost.ndjson", "{\"external_id\":\"m-1\"}\n{\"external_id\":\"nobody\"}\n");
    let revoke = ["batch", "run", "lost.ndjson", "--project", support::SLUG, "--operation", "revoke", "--anyway", "--wait"];
    let lost = desk.complains(&club, &revoke).await;
    assert!(lost.contains("1 rows failed"), "{lost}");
    assert_eq!(club.pass_of("m-1").await.unwrap()["status"], "invalidated");
    let batches = desk.says(&club, &["batch", "list", "--json"]).await;
    let report = desk.says(&club, &["batch", "report", &text(&batches["data"][0], "id")]).await;
    assert_eq!((&report["external_id"], &report["batch_row"]), (&json!("nobody"), &json!(2)), "{report}");
    assert!(desk.complains(&club, &["batch", "cancel", &checked]).await.contains("done already"));

    // Who was revoked stays so, and what nothing takes is named, by the check and by the run.
    desk.write("again.csv", "external_id,Shoe size,points\nm-1,43,9\nm-3,44,9\n");
    let again = |turn: &[&'static str]| [&["batch"], turn, &["again.csv", "--project", support::SLUG, "--json"]].concat();
    for (turn, part) in [(&["check"][..], "check"), (&["run", "--wait"], "run")] {
        let it = desk.says(&club, &again(turn)).await;
        let tally = &it[part];
        assert_eq!((&it["unused_columns"], &tally["still_void"]), (&json!(["Shoe size"]), &json!(1)), "{it}");
        assert_eq!((&tally["rows"], &tally["failed"]), (&json!(2), &json!(0)), "{it}");
    }
    desk.write("again.csv", "external_id,Shoe size,points\nm-1,43,many\n");
    let said = desk.complains(&club, &again(&["check"])).await;
    assert!(said.contains("nothing takes these columns: Shoe size") && said.contains("1 rows would fail"), "{said}");
    assert_eq!(club.pass_of("m-1").await.unwrap()["state"], "revoked");

    std::fs::write(desk.path().join("latin.csv"), b"external_id,email,name\n1,zoe@example.com,Zo\xeb\n").unwrap();
    let latin = desk.complains(&club, &["batch", "check", "latin.csv", "--project", support::SLUG]).await;
    assert!(latin.contains("byte 44 (line 2) is no UTF-8") && latin.contains("--encoding windows-1252"), "{latin}");
    let read = desk
        .says(&club, &["batch", "check", "latin.csv", "--project", support::SLUG, "--encoding", "windows-1252", "--json"])
        .await;
    assert_eq!(read["state"], "checked", "{read}");
    for (file, rows, expected) in [
        ("twice.csv", "external_id,a,a\n1,2,3\n", "two columns are called `a`"),
        ("open.csv", "external_id,a\n1,\"x\n", "opens a quote that is never closed"),
        ("head.csv", "external_id,a\n", "has no rows"),
        ("other.csv", "id,a\n1,2\n", "no column `external_id`"),
    ] {
        desk.write(file, rows);
        let wrong = desk.complains(&club, &["batch", "check", file, "--project", support::SLUG]).await;
        assert!(wrong.contains(expected), "{file}: {wrong}");
    }
    desk.write("empty.csv", "");
    assert!(
        desk.complains(&club, &["batch", "check", "empty.csv", "--project", support::SLUG]).await.contains("the file is empty")
    );
    assert!(
        desk.complains(&club, &["batch", "check", "nowhere.csv", "--project", "club"]).await.contains("cannot read nowhere.csv")
    );
    let no_project = desk.complains(&club, &["batch", "check", "head.csv", "--project", "nope"]).await;
    assert!(no_project.contains("there is no project `nope`"), "{no_project}");
}

#[tokio::test]
async fn a_file_is_run_at_its_time() {
    let (club, desk) = (Club::open(Database::Sqlite).await, Desk::new().await);
    let run = async |pass: &str, at: domain::Timestamp, more: &[&str]| {
        desk.write("members.csv", &format!("external_id\n{pass}\n"));
        let at = at.to_string();
        let arguments = ["batch", "run", "members.csv", "--project", support::SLUG, "--at", &at, "--json"];
        desk.says(&club, &[&arguments[..], more].concat()).await
    };
    let time = |text: &Value| text.as_str().unwrap().parse::<domain::Timestamp>().unwrap();
    let ran = run("m-1", domain::Timestamp::from_seconds(1_700_000_000), &["--wait"]).await;
    assert_eq!((&ran["state"], &ran["run"]["created"]), (&json!("done"), &json!(1)), "a time that went by is now");

    let later = time(&ran["updated_at"]).plus(Duration::from_secs(30 * 86_400));
    let batch = text(&run("m-2", later, &[]).await, "id");
    loop {
        match desk.says(&club, &["batch", "show", &batch, "--json"]).await["state"].as_str().unwrap() {
            "checking" => tokio::time::sleep(Duration::from_millis(20)).await,
            state => break assert_eq!(state, "scheduled"),
        }
    }
    assert!(club.pass_of("m-2").await.is_none());
    desk.says(&club, &["batch", "pause", &batch, "--json"]).await;
    assert_eq!(desk.says(&club, &["batch", "resume", &batch, "--json"]).await["state"], "scheduled");
    let ran = desk.says(&club, &["batch", "start", &batch, "--wait", "--json"]).await;
    assert_eq!((&ran["state"], &ran["run"]["created"]), (&json!("done"), &json!(1)), "by hand, before its time");

    let soon = time(&ran["updated_at"]).plus(Duration::from_secs(3));
    let ran = run("m-3", soon, &["--wait"]).await;
    assert_eq!((&ran["state"], &ran["run"]["created"]), (&json!("done"), &json!(1)), "{ran}");
    assert!(time(&ran["run"]["began_at"]) >= soon, "{ran}");
}

#[tokio::test]
async fn help_says_what_to_do() {
    let help = async |arguments: &[&str]| {
        let mut command = program(env!("CARGO_BIN_EXE_passbridge"));
        command.args(arguments).arg("--help");
        clients::run(command, "passbridge", "", WITHIN).await.unwrap()
    };
    for (arguments, words) in [
        (&[][..], &["First steps", "passbridge demo", "PASSBRIDGE_KEY"][..]),
        (&["serve"], &["prints an admin key once", "--public-url", "SIGTERM"]),
        (&["signer", "add"], &["Examples:", "--p12", "WWDR G4", "sealed"]),
        (&["flow", "test"], &["nothing is done", "outcome"]),
        (&["template", "publish"], &["woken in the background", "--wait"]),
        (&["config"], &["PASSBRIDGE_NAME", "Secrets are not shown"]),
        (&["api"], &["/docs", "status 1"]),
    ] {
        // Lines are broken by the width of the terminal.
        let said = help(arguments).await.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(said.contains(word), "{arguments:?} says nothing of {word}:\n{said}");
        }
    }
}

/// A server that is about to stop ends a stream as soon as it begins.
#[tokio::test]
async fn listening_waits_a_moment_before_it_asks_a_server_again_that_told_nothing() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let told = tokio::spawn(async move {
        for stream in ["id: start\n\n", "id: start\n\n", "id: one\nevent: pass.created\ndata: {\"pass\": \"p\"}\n\n"] {
            let (mut socket, _) = server.accept().await.unwrap();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
            let mut asked = BufReader::new(&mut socket).lines();
            while asked.next_line().await.unwrap().is_some_and(|line| !line.is_empty()) {}
            socket.write_all(format!("{head}{stream}").as_bytes()).await.unwrap();
        }
    });
    let mut command = program(env!("CARGO_BIN_EXE_passbridge"));
    command.args(["listen", "--most", "1", "--server", &url, "--key", "pbk_any"]);
    let output = command.output().await.unwrap();
    told.await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert_eq!(said.matches("the server ended the stream; trying again in 500 ms").count(), 2, "{said}");
}
