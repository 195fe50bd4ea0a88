//! Google: objects inserted and patched at its pace on a handed-in clock, and how many call-backs are proven in a second.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{Action, Clock as _, PassRef, Project, SignerId, Timestamp};
use google_wallet::ServiceAccount;
use google_wallet::callback::{Callback, PROTOCOL, RootKeys, verify};
use serde_json::{Value, json};
use simulators::google::{GoogleServer, Options, REQUESTS_PER_SECOND};
use store::StoredGoogleAccount;
use tokio::sync::oneshot;
use workers::GoogleSettings;

use crate::Size;
use crate::cpu::rate;
use crate::house::{HandClock, House, System, until};
use crate::server::data_folder;
use crate::stats::{Line, median};

const ISSUER: &str = "3388000000000000001";
const EMAIL: &str = "passes@bench.example";
const COLLECTION: &str = "giftCardObject";
/// Whom Google signs as.
const SENDER: &str = "GooglePayPasses";
/// How long nobody may have begun to wait before the clock is put forward.
const CALM: Duration = Duration::from_millis(1);
const DRAIN: Duration = Duration::from_secs(5);

pub(crate) fn run(size: Size, folder: &Path) -> Result<Vec<Line>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut lines = runtime.block_on(pace(size, folder))?;
    lines.extend(callbacks(size)?);
    Ok(lines)
}

/// A house whose project is at Google too, with what it needs to reach the Google that knows its account.
async fn with_google(folder: &Path) -> Result<(House, GoogleServer, GoogleSettings)> {
    let house = House::new(&data_folder(folder, "google")?).await?;
    let clock = Arc::clone(&house.clock);
    let google = GoogleServer::start(Options::new(move || clock.now().as_millis())).await?;
    let key_file = ServiceAccount::development_key_file(EMAIL, "https://unused.example")?;
    google.add_user(&key_file, ISSUER)?;
    let now = house.clock.now();
    let id = SignerId::mint(now, &System);
    let account = StoredGoogleAccount {
        id,
        issuer: ISSUER.to_owned(),
        client_email: EMAIL.to_owned(),
        sealed_key: house.store.seal_for::<StoredGoogleAccount>(house.org, id.uuid(), &key_file)?,
        development: true,
        created_at: now,
    };
    ensure!(house.store.put(&house.change(), &account, 0).await?, "the account");
    let catalog = house.store.catalog();
    let stored = &catalog.org(house.org).context("no organization")?.projects[&house.project.uuid()];
    let project = Project { google_issuer: Some(ISSUER.to_owned()), ..(*stored.value).clone() };
    ensure!(house.store.put(&house.change(), &project, stored.revision).await?, "the project");
    let timers = Arc::new(Timers::default());
    tokio::spawn(drive(Arc::clone(&timers), Arc::clone(&house.clock)));
    let settings = GoogleSettings {
        api_url: google.api_url(),
        token_url: Some(google.token_url()),
        root_keys_url: google.root_keys_url(),
        sleep: Arc::new(move |_, until| timers.wait(until)),
        ..GoogleSettings::new("https://passes.example.com", drop)
    };
    Ok((house, google, settings))
}

/// Who waits for which time.
#[derive(Default)]
struct Timers(Mutex<Vec<(Timestamp, oneshot::Sender<()>)>>);

impl Timers {
    fn wait(&self, until: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (wake, woken) = oneshot::channel();
        self.lock().push((until, wake));
        Box::pin(async move { drop(woken.await) })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Timestamp, oneshot::Sender<()>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts the clock forward to the next time that somebody waits for, whenever nobody has begun to wait for a moment: whatever is
/// under way is then answered before time goes on.
async fn drive(timers: Arc<Timers>, clock: Arc<HandClock>) {
    let mut waiting = 0;
    loop {
        tokio::time::sleep(CALM).await;
        let mut timers = timers.lock();
        if timers.len() != waiting {
            waiting = timers.len();
            continue;
        }
        let Some(next) = timers.iter().map(|(until, _)| *until).min() else { continue };
        clock.forward(next.since(clock.now()));
        let now = clock.now();
        let (due, later): (Vec<_>, Vec<_>) = timers.drain(..).partition(|(until, _)| *until <= now);
        *timers = later;
        for (_, wake) in due {
            let _ = wake.send(());
        }
    }
}

async fn pace(size: Size, folder: &Path) -> Result<Vec<Line>> {
    let (house, google, settings) = with_google(folder).await?;
    let count = size.google_objects;
    let passes = house.issue(count).await?;
    let inserting = house.clock.now();
    let workers = house.workers(settings).await?;
    until("every object is there", async || Ok(google.count(COLLECTION) as u64 == count)).await?;
    let before = google.arrivals().len();
    let patching = house.clock.now();
    let revoke = |pass: &domain::Pass| Action::Revoke { pass: PassRef::Id(pass.id), reason: None };
    house.submit(passes.iter().map(revoke)).await?;
    let object = |pass: &domain::Pass| google.get(COLLECTION, &format!("{ISSUER}.{}", pass.id));
    let is_void = |pass: &&domain::Pass| object(pass).is_some_and(|object| object["state"] == "INACTIVE");
    until("as many patches as objects", async || Ok(google.arrivals().len() as u64 - before as u64 >= count)).await?;
    until("every object is void", async || Ok(passes.iter().rev().all(|pass| is_void(&pass)))).await?;
    let patched = house.clock.now();
    workers.drain(DRAIN).await;
    let arrivals = google.arrivals();
    let refused = arrivals.iter().filter(|arrival| arrival.status != 200).count();
    let mut about: Vec<&str> =
        arrivals[before..].iter().filter(|it| it.path.starts_with(COLLECTION)).map(|it| &*it.path).collect();
    let patches = about.len() as u64;
    about.sort_unstable();
    about.dedup();
    ensure!(about.len() as u64 == count && patches == count, "{patches} patches of {} objects", about.len());
    house.close().await;
    let seconds = |from: Timestamp, to: Timestamp| (to.as_micros() - from.as_micros()) as f64 / 1e6;
    let forecast = count as f64 / REQUESTS_PER_SECOND as f64;
    Ok(vec![
        Line::new("Google objects, inserted and each patched once", count as f64, ""),
        Line::new("… forecast for one of both, at 20 requests a second", forecast, "s of its clock"),
        Line::new("… inserting took", seconds(inserting, patching), "s of its clock"),
        Line::new("… patching took", seconds(patching, patched), "s of its clock"),
        Line::new("… most requests in any second", google.most_in_a_second() as f64, "").at_most(REQUESTS_PER_SECOND as f64),
        Line::new("… requests refused", refused as f64, "").at_most(0.0),
    ])
}

/// Bytes as both signatures cover them: each part behind its length.
fn covered(parts: &[&str]) -> Vec<u8> {
    let length = |part: &&str| (part.len() as u32).to_le_bytes();
    parts.iter().flat_map(|part| length(part).into_iter().chain(part.bytes())).collect()
}

/// A call-back as Google signs it, the list of root keys, and what the second signature covers.
struct Signed {
    body: Vec<u8>,
    keys: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
    signer: Vec<u8>,
}

impl Signed {
    fn make(now: i64) -> Result<Self> {
        let pair = || EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| anyhow!("no key"));
        let (root, intermediate) = (pair()?, pair()?);
        let public = |pair: &EcdsaKeyPair| {
            let der: Result<PublicKeyX509Der<'_>, _> = pair.public_key().as_der();
            der.map(|der| STANDARD.encode(der.as_ref())).map_err(|_| anyhow!("no key"))
        };
        let sign = |pair: &EcdsaKeyPair, bytes: &[u8]| {
            pair.sign(&SystemRandom::new(), bytes).map(|it| it.as_ref().to_vec()).map_err(|_| anyhow!("no signature"))
        };
        let keys = json!({"keys": [{"keyValue": public(&root)?, "protocolVersion": PROTOCOL, "keyExpiration": (now + 86_400_000).to_string()}]});
        let key = json!({"keyValue": public(&intermediate)?, "keyExpiration": (now + 86_400_000).to_string()}).to_string();
        let message = json!({"classId": format!("{ISSUER}.bench"), "objectId": format!("{ISSUER}.1"), "eventType": "save",
            "expTimeMillis": now + 3_600_000, "count": 1, "nonce": "0b6cf9f4-5a0e-4a6e-8d2b-0a2f4ad8d2a1"})
        .to_string();
        let bytes = covered(&[SENDER, ISSUER, PROTOCOL, &message]);
        let signature = sign(&intermediate, &bytes)?;
        let proof = sign(&root, &covered(&[SENDER, PROTOCOL, &key]))?;
        let body: Value = json!({
            "protocolVersion": PROTOCOL,
            "signature": STANDARD.encode(&signature),
            "intermediateSigningKey": {"signedKey": key, "signatures": [STANDARD.encode(proof)]},
            "signedMessage": message,
        });
        let signer = intermediate.public_key().as_ref().to_vec();
        Ok(Self { body: body.to_string().into_bytes(), keys: keys.to_string().into_bytes(), message: bytes, signature, signer })
    }
}

fn callbacks(size: Size) -> Result<Vec<Line>> {
    let now = 1_800_000_000_000;
    let signed = Signed::make(now)?;
    let keys = RootKeys::parse(&signed.keys, now).map_err(|fault| anyhow!("{fault}"))?;
    let (mut limit, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &signed.signer);
        let one = || key.verify(&signed.message, &signed.signature).map_err(|_| anyhow!("not verified"));
        limit.push(rate(size.cpu_seconds, one, |()| Ok(()))?);
        let one = || verify(&signed.body, &keys, &[ISSUER], now).map_err(|fault| anyhow!("{fault}"));
        let right = |callback: &Callback| {
            ensure!(callback.object_id.to_string() == format!("{ISSUER}.1"), "another object: {callback:?}");
            Ok(())
        };
        ours.push(rate(size.cpu_seconds, one, right)?);
    }
    let (limit, ours) = (median(&limit), median(&ours));
    Ok(vec![
        Line::new("ECDSA P-256 verifications alone, aws-lc", limit, "/CPU-s"),
        Line::new("call-backs verified, two signatures each", ours, "/CPU-s"),
        Line::new("… share of half the ECDSA rate", 100.0 * ours / (limit / 2.0), "%"),
    ])
}
