//! Phones: a template published to many of them, what a phone asks for, and the page of a pass.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use domain::{Action, Clock as _, PassRef, Sighting, Wallet};
use pkpass::development::Validity;
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};
use simulators::apns::{ApnsServer, Push};
use tokio::runtime::Runtime;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::task::JoinHandle;

use crate::Size;
use crate::cpu::{Counted, MICROS};
use crate::fixture::{Fixture, PASS_TYPE, der};
use crate::house::House;
use crate::server::{Installation, MASTER_KEY, Server, Setting};
use crate::stats::Line;

/// Passes of the device whose list is asked for.
const PASSES_OF_ONE: u64 = 10;
/// Name of that device.
const ONE: &str = "device-with-ten";
/// Times that a phone's request is repeated.
const REQUESTS: u64 = 500;
const LOOK: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_secs(3_600);

pub(crate) fn run(size: Size, binary: &Path, folder: &Path) -> Result<Vec<Line>> {
    let fixture = Fixture::create(folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let apns = Apns::start(&runtime, &fixture)?;
    let mut installation = Installation::sqlite(binary, folder, "wallets")?;
    installation.settings = vec![
        ("PASSBRIDGE_APNS_URL", apns.server.url()),
        ("PASSBRIDGE_APNS_ROOTS", folder.join("root.pem").display().to_string()),
    ];
    let server = installation.start(None)?;
    let pem = |name: &str| std::fs::read_to_string(folder.join(name));
    let signer =
        json!({"certificate": pem("certificate.pem")?, "private_key": pem("key.pem")?, "intermediate": pem("intermediate.pem")?});
    server.call("POST", "/v1/signers", Some(&signer))?;
    let setting = server.set_up_with(&[("apple_pass_type", PASS_TYPE)])?;
    let key = server.admin_key.clone();
    server.stop()?;
    let code = runtime.block_on(install(&installation.data, size.devices))?;

    let server = installation.start(key.as_deref())?;
    Counted { server: &server.process, database: None }.settle()?;
    let mut lines = vec![Line::new("installed passes, each on a phone of its own", size.devices as f64, "")];
    let page = repeated(&server, &format!("/p/{code}"), 200)?;
    let list = format!("/apple/v1/devices/{ONE}/registrations/{PASS_TYPE}");
    let (_, first) = server.repeat(&list, 1)?;
    let tag = serde_json::from_slice::<Value>(&first)?["lastUpdated"].as_str().context("no tag")?.to_owned();
    let list = format!("{list}?passesUpdatedSince={tag}");
    let unchanged = repeated(&server, &list, 204)?;
    lines.extend(publish(&server, &setting, size.devices, &runtime, apns)?);
    let changed = repeated(&server, &list, 200)?;
    let (_, body) = server.repeat(&list, 1)?;
    let listed = serde_json::from_slice::<Value>(&body)?["serialNumbers"].as_array().map_or(0, Vec::len) as u64;
    ensure!(listed == PASSES_OF_ONE, "{listed} passes were listed");
    server.stop()?;
    lines.extend([
        Line::new(format!("list-changed, {PASSES_OF_ONE} passes on the phone, all changed: server CPU"), changed, "µs")
            .at_most(2_000.0),
        Line::new(format!("list-changed, {PASSES_OF_ONE} passes on the phone, none changed: server CPU"), unchanged, "µs")
            .at_most(2_000.0),
        Line::new("a pass's page: server CPU", page, "µs").at_most(5_000.0),
    ]);
    Ok(lines)
}

/// Processor time of a request whose answer has this status.
fn repeated(server: &Server, path: &str, status: u16) -> Result<f64> {
    let counted = Counted { server: &server.process, database: None };
    let (warm, _) = server.repeat(path, REQUESTS / 10)?;
    ensure!(warm == status, "GET {path}: {warm}");
    counted.settle()?;
    let before = counted.seconds()?;
    server.repeat(path, REQUESTS)?;
    // What a request leaves to be done is its cost too.
    counted.settle()?;
    Ok((counted.seconds()? - before) / REQUESTS as f64 * MICROS)
}

/// Issues a pass for each phone and records it as installed there, and the first of them on one phone together; gives the code
/// of a pass's page.
async fn install(data: &Path, devices: u64) -> Result<String> {
    let house = House::of_server(data, MASTER_KEY).await?;
    let passes = house.issue(devices).await?;
    let record = |pass: PassRef, device: String, number: u64| {
        let sighting = Sighting { at: house.clock.now(), ..Sighting::default() };
        Action::RecordInstall { pass, wallet: Wallet::Apple, device, push_token: Some(token(number)), sighting }
    };
    let own = (0..devices).zip(&passes).map(|(number, pass)| record(PassRef::Id(pass.id), format!("device-{number}"), number));
    house.submit(own).await?;
    let one = passes.iter().take(PASSES_OF_ONE as usize).map(|pass| record(PassRef::Id(pass.id), ONE.to_owned(), devices));
    house.submit(one).await?;
    let code = passes.first().context("no passes")?.code.to_string();
    house.close().await;
    Ok(code)
}

/// A push token.
fn token(device: u64) -> String {
    format!("{device:064x}")
}

/// Publishes the template's next version and waits until every phone was woken.
fn publish(server: &Server, setting: &Setting, devices: u64, runtime: &Runtime, apns: Apns) -> Result<Vec<Line>> {
    let counted = Counted { server: &server.process, database: None };
    counted.settle()?;
    let (idle, before, from) = (server.process.resident_bytes()?, counted.seconds()?, Instant::now());
    let template = format!("/v1/templates/{}", setting.template);
    let mut drawn = setting.drawn.clone();
    drawn["design"]["title"] = json!("Bench Club, redrawn");
    if let Some(fields) = drawn.as_object_mut() {
        fields.remove("project");
    }
    server.call("PUT", &template, Some(&drawn))?;
    server.call("POST", &format!("{template}/publish"), None)?;
    let mut most = idle;
    loop {
        let newest = server.call("GET", "/v1/publications?limit=1", None)?["data"][0].clone();
        most = most.max(server.process.resident_bytes()?);
        match newest["state"].as_str() {
            Some("done") => break,
            Some("running") | None if from.elapsed() < DEADLINE => std::thread::sleep(LOOK),
            _ => bail!("the publication ended otherwise: {newest}"),
        }
    }
    let took = from.elapsed();
    counted.settle()?;
    let cpu = counted.seconds()? - before;
    let woken = runtime.block_on(apns.woken())?;
    let (count, most_to_one) = (woken.len() as f64, woken.values().copied().max().unwrap_or(0));
    ensure!(count == devices as f64 + 1.0, "{count} phones were woken");
    Ok(vec![
        Line::new("published to all of them: phones woken", count / took.as_secs_f64(), "/s"),
        Line::new("… server CPU", cpu / count * MICROS, "µs/phone"),
        Line::new("… most pushes to one phone", f64::from(most_to_one), "").at_most(1.0),
        Line::new("… resident memory before", idle as f64 / 1e6, "MB"),
        Line::new("… resident memory, most", most as f64 / 1e6, "MB"),
    ])
}

/// The local push service, and who was woken.
struct Apns {
    server: ApnsServer,
    counting: JoinHandle<Result<HashMap<String, u32>>>,
}

impl Apns {
    fn start(runtime: &Runtime, fixture: &Fixture) -> Result<Self> {
        let validity = Validity::days(fixture.now - 86_400, 365);
        let pem = fixture.authority.issue_tls_server(&["localhost", "127.0.0.1"], validity)?;
        let root = CertificateDer::from(fixture.authority.root_der().to_vec());
        runtime.block_on(async {
            let server = ApnsServer::start(vec![der(&pem.certificate)?.into()], der(&pem.key)?, &root).await?;
            let counting = tokio::spawn(count(server.pushes()));
            Ok(Self { server, counting })
        })
    }

    /// How often each token was woken, when nobody is any more.
    async fn woken(self) -> Result<HashMap<String, u32>> {
        drop(self.server);
        self.counting.await?
    }
}

async fn count(mut pushes: Receiver<Push>) -> Result<HashMap<String, u32>> {
    let mut counts = HashMap::new();
    loop {
        match pushes.recv().await {
            Ok(push) => *counts.entry(push.token).or_insert(0) += 1,
            Err(RecvError::Lagged(missed)) => bail!("{missed} pushes were not counted"),
            Err(RecvError::Closed) => return Ok(counts),
        }
    }
}
