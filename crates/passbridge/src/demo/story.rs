//! The main job, step by step.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use domain::{Clock as _, EventId};
use http::Method;
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};
use simulators::iphone::{Iphone, Network, Outcome, PassKey, SignatureTrust};
use tokio::sync::broadcast;

use super::{
    narrator::Narrator,
    setting::{ISSUER, PASS_TYPE, Scene, Stage, text},
};
use crate::{
    api::Api,
    system::{SystemClock, SystemEntropy},
};

/// How long the story waits for something to happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest save link, in characters, that can only name the pass.
const SKINNY: usize = 1_000;
const LOOK_AGAIN: Duration = Duration::from_millis(15);

/// The member whose pass is followed.
struct Member {
    id: String,
    pass: Value,
}

/// Plays the story and returns the links worth opening.
pub(super) async fn tell(
    narrator: &Narrator,
    stage: Stage,
    scene: Scene,
    data: &Path,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let id = member_id();
    let signed_up = sign_up(&scene, &id, "Member One", "Seedling");
    narrator.step("RudderStack tracks membership_signed_up (POST /rudderstack/v1/track)", signed_up).await?;
    let pass = narrator.step("The flow issues a pass", wait_for_pass(&scene, &id, |pass| pass["state"] == "active")).await?;
    let mut member = Member { id, pass };
    narrator.result(&format!("pass {} for {}, 50 points", text(&member.pass, "id")?, member.id));

    fetch_and_verify(narrator, &stage, &scene, &member, data).await?;
    save_to_google(narrator, &stage, &scene, &mut member).await?;

    let pushes = stage.apns.pushes();
    let (mut phone, key) = install(narrator, &stage, &scene, &member).await?;
    let mut wallet = Wallet { phone: &mut phone, key, pushes };
    live(narrator, &scene, &mut member, &mut wallet).await?;
    followed_by_google(narrator, &stage, &member).await?;
    check_webhooks(narrator, &scene, &member).await?;

    let stays = narrator
        .step("Another member signs up; this card stays, to be looked at", async {
            let id = member_id();
            sign_up(&scene, &id, "Member Two", "Evergreen").await?;
            wait_for_pass(&scene, &id, |pass| pass["state"] == "active").await
        })
        .await?;
    Ok(vec![
        ("pass page", text(&stays["links"], "page")?),
        ("page of the void one", text(&member.pass["links"], "page")?),
        ("console", scene.api.url("/console")),
        ("inspector", scene.api.url(&format!("/inspect/{}", scene.bin))),
        ("API documentation", scene.api.url("/docs")),
        ("enrolment form", scene.api.url("/e/juniper-club")),
    ])
}

/// Another one in every run on the same data.
fn member_id() -> String {
    format!("member-{}", &EventId::mint(SystemClock.now(), &SystemEntropy).to_string()[8..14])
}

async fn sign_up(scene: &Scene, member: &str, name: &str, tier: &str) -> anyhow::Result<()> {
    let traits = json!({"name": name, "email": format!("{member}@example.com")});
    track(scene, member, "membership_signed_up", json!({"tier": tier, "welcome_points": 50}), Some(traits)).await
}

async fn track(scene: &Scene, member: &str, event: &str, properties: Value, traits: Option<Value>) -> anyhow::Result<()> {
    let message = EventId::mint(SystemClock.now(), &SystemEntropy);
    let mut body = json!({
        "type": "track",
        "event": event,
        "userId": member,
        "messageId": format!("demo-{message}"),
        "originalTimestamp": SystemClock.now(),
        "properties": properties,
    });
    if let Some(traits) = traits {
        body["context"] = json!({"traits": traits, "campaign": {"source": "demo"}});
    }
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{}:", scene.write_key));
    let headers = [("authorization", &*format!("Basic {basic}")), ("content-type", "application/json")];
    let anonymous = Api::new(&scene.api.url(""), None)?;
    let reply = anonymous.send(Method::POST, "/rudderstack/v1/track", &headers, body.to_string()).await?;
    ensure!(reply.status == 200, "the data plane answered {}: {}", reply.status, String::from_utf8_lossy(&reply.body));
    Ok(())
}

async fn until<T, F: Future<Output = anyhow::Result<Option<T>>>>(what: &str, mut look: impl FnMut() -> F) -> anyhow::Result<T> {
    let waiting = async {
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| bail!("waited {} s in vain: {what}", PATIENCE.as_secs()))
}

async fn wait_for_pass(scene: &Scene, member: &str, fits: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    let path = format!("/v1/passes?project={}&external_id={member}", scene.project);
    until("the pass to become what the event says", || async {
        let page = scene.api.call(Method::GET, &path, None).await?;
        let pass = page["data"][0].clone();
        Ok((!pass.is_null() && fits(&pass)).then_some(pass))
    })
    .await
}

async fn fetch_and_verify(narrator: &Narrator, stage: &Stage, scene: &Scene, member: &Member, data: &Path) -> anyhow::Result<()> {
    let file = data.join("demo.pkpass");
    let bytes = narrator
        .step("The signed pass is fetched and verified", async {
            let url = text(&member.pass["links"], "apple")?;
            let reply = scene.api.send(Method::GET, &url, &[], "").await?;
            ensure!(reply.status == 200, "{url} answered {}", reply.status);
            let package = pkpass::Package::parse(&reply.body, &pkpass::Limits::default())?;
            let verification = pkpass::verify(&package, &[stage.authority.root_der()], SystemClock.now().as_seconds());
            ensure!(verification.is_valid(), "the pass does not verify: {verification:?}");
            std::fs::write(&file, &reply.body)?;
            Ok(reply.body)
        })
        .await?;
    narrator.result(&format!("{} ({} KiB); to verify it yourself:", file.display(), bytes.len() / 1024));
    let line = openssl_line(data);
    narrator.result(&line);
    match tokio::process::Command::new("sh").arg("-c").arg(&line).output().await {
        Ok(output) if output.status.success() => narrator.result("openssl says: verification successful"),
        Ok(output) if output.status.code() == Some(127) => narrator.result("(openssl or unzip is not installed here: not run)"),
        Ok(output) => bail!("openssl refuses the pass: {}", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => narrator.result(&format!("(no shell to run it with: {error})")),
    }
    Ok(())
}

fn openssl_line(data: &Path) -> String {
    let data = data.display();
    format!(
        "unzip -o -q '{data}/demo.pkpass' -d '{data}/demo-pass' && openssl cms -verify -binary -inform DER \
         -in '{data}/demo-pass/signature' -content '{data}/demo-pass/manifest.json' \
         -CAfile '{data}/development-root.pem' -purpose any -out /dev/null"
    )
}

/// The pass's object as the simulated Google has it.
fn google_object(stage: &Stage, member: &Member) -> anyhow::Result<Option<Value>> {
    Ok(stage.google.get("loyaltyObject", &format!("{ISSUER}.{}", text(&member.pass, "id")?)))
}

async fn save_to_google(narrator: &Narrator, stage: &Stage, scene: &Scene, member: &mut Member) -> anyhow::Result<()> {
    let link = narrator
        .step("The pass is inserted at a simulated Google; its save link carries nothing but the id", async {
            until("the object at Google", || async { google_object(stage, member) }).await?;
            until("a link without the pass in it", || async {
                let link = google_link(scene, member).await?;
                Ok((link.len() < SKINNY).then_some(link))
            })
            .await
        })
        .await?;
    narrator.result(&link);
    member.pass = narrator
        .step("A simulated holder saves it; Google calls back, signed with its keys", async {
            stage.google.save(&link).await?;
            wait_for_pass(scene, &member.id, |pass| pass["wallets"]["google"]["active"] == 1).await
        })
        .await?;
    narrator.result("installed in Google Wallet");
    Ok(())
}

/// The object has taken every change, the voiding too.
async fn followed_by_google(narrator: &Narrator, stage: &Stage, member: &Member) -> anyhow::Result<()> {
    let object = narrator
        .step("Google's object followed every change, by patches", async {
            until("Google's object to be void", || async {
                Ok(google_object(stage, member)?.filter(|object| object["state"] == "INACTIVE"))
            })
            .await
        })
        .await?;
    narrator.result(&format!("points {}, state {}", object["loyaltyPoints"]["balance"], text(&object, "state")?));
    Ok(())
}

async fn google_link(scene: &Scene, member: &Member) -> anyhow::Result<String> {
    let url = text(&member.pass["links"], "google")?;
    let reply = scene.api.send(Method::GET, &url, &[], "").await?;
    let location = reply.headers.get("location").and_then(|value| value.to_str().ok());
    let location = location.with_context(|| format!("{url} answered {} and leads nowhere", reply.status))?;
    ensure!(location.starts_with("https://pay.google.com/gp/v/save/"), "{url} leads to {location}");
    Ok(location.to_owned())
}

async fn install(narrator: &Narrator, stage: &Stage, scene: &Scene, member: &Member) -> anyhow::Result<(Iphone, PassKey)> {
    let roots = vec![CertificateDer::from(stage.authority.root_der().to_vec())];
    let mut token = [0u8; 32];
    domain::Entropy::fill(&SystemEntropy, &mut token);
    let token: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
    let device = EventId::mint(SystemClock.now(), &SystemEntropy).to_string();
    let mut phone =
        Iphone::new(device, token, Network::new(&roots)?).trusting(SignatureTrust::new(roots, || SystemClock.now().as_seconds()));
    let added = narrator
        .step("A simulated iPhone installs it over Apple's web service", async {
            let added = phone.add_from(&text(&member.pass["links"], "apple")?).await?;
            let status = added.registration.as_ref().map(|exchange| exchange.status);
            ensure!(status.is_some_and(|status| status == 201), "registration answered {status:?}");
            wait_for_pass(scene, &member.id, |pass| pass["status"] == "installed").await?;
            Ok(added)
        })
        .await?;
    narrator.result("registered: 201 Created");
    Ok((phone, added.key))
}

/// The phone, the pass in it, and the pushes that wake it.
struct Wallet<'a> {
    phone: &'a mut Iphone,
    key: PassKey,
    pushes: broadcast::Receiver<simulators::apns::Push>,
}

impl Wallet<'_> {
    /// Waits for a push, asks which passes changed, fetches; what the lock screen says and whether the pass is void.
    async fn wake(&mut self) -> anyhow::Result<(Option<String>, bool)> {
        tokio::time::timeout(PATIENCE, self.pushes.recv()).await.context("no push came")??;
        for update in self.phone.on_push(PASS_TYPE).await? {
            for fetched in update.fetched.into_iter().filter(|fetched| fetched.key == self.key) {
                match fetched.outcome {
                    Outcome::Replaced { line, voided } => return Ok((line, voided)),
                    Outcome::Unchanged => {}
                    Outcome::Failed(why) => bail!("the phone could not fetch the pass: {why}"),
                }
            }
        }
        bail!("the phone was woken but found no change: {:?}", self.phone.complaints())
    }
}

/// What happens, the event that says so, its properties, and whether a pass shows it.
type Act = (&'static str, &'static str, Value, fn(&Value) -> bool);

async fn live(narrator: &Narrator, scene: &Scene, member: &mut Member, wallet: &mut Wallet<'_>) -> anyhow::Result<()> {
    let acts: [Act; 3] = [
        (
            "A purchase adds 12 points",
            "purchase_completed",
            json!({"order_id": "1001", "total": 12.4, "currency": "EUR"}),
            |pass| pass["balances"]["points"] == "62",
        ),
        ("An upgrade moves the card to the next tier", "tier_upgraded", json!({"tier": "Evergreen"}), |pass| {
            pass["variant"] == "evergreen"
        }),
        ("A cancellation voids the card", "membership_cancelled", json!({"reason": "moved away"}), |pass| {
            pass["state"] == "revoked"
        }),
    ];
    for (what, event, properties, fits) in acts {
        let (line, voided) = narrator
            .step(&format!("{what}: {event} → push → the phone fetches the new pass"), async {
                track(scene, &member.id, event, properties, None).await?;
                member.pass = wait_for_pass(scene, &member.id, fits).await?;
                wallet.wake().await
            })
            .await?;
        match line {
            Some(line) => narrator.result(&format!("lock screen: “{line}”")),
            None if voided => narrator.result("the phone files the card under expired passes"),
            None => narrator.result("the card changed silently"),
        }
        ensure!(voided == (event == "membership_cancelled"), "the phone sees voided = {voided} after {event}");
    }
    ensure!(wallet.phone.complaints().is_empty(), "the phone complains: {:?}", wallet.phone.complaints());
    Ok(())
}

/// Every lifecycle event of the pass has arrived at the webhook, in PassKit's words.
async fn check_webhooks(narrator: &Narrator, scene: &Scene, member: &Member) -> anyhow::Result<()> {
    let pass = text(&member.pass, "id")?;
    let wanted = [
        ("POST", "PASS_EVENT_RECORD_CREATED", 1),
        ("PUT", "PASS_EVENT_INSTALLED", 2),
        ("PUT", "PASS_EVENT_RECORD_UPDATED", 2),
        ("PUT", "PASS_EVENT_INVALIDATED", 1),
    ];
    let path = format!("/inspect/{}/requests", scene.bin);
    let arrived = |requests: &Value| -> Vec<(String, String)> {
        let of_pass = |request: &&Value| request["body"].as_str().is_some_and(|body| body.contains(&pass));
        let name = |request: &Value| {
            let body: Value = serde_json::from_str(request["body"].as_str().unwrap_or_default()).unwrap_or_default();
            (request["method"].as_str().unwrap_or_default().to_owned(), body["event"].as_str().unwrap_or_default().to_owned())
        };
        requests["data"].as_array().into_iter().flatten().filter(of_pass).map(name).collect()
    };
    let seen = narrator
        .step("Every lifecycle event arrived at the webhook, in PassKit's shape and verbs", async {
            until("the webhook to receive every event", || async {
                let seen = arrived(&scene.api.call(Method::GET, &path, None).await?);
                let count = |method: &str, event: &str| seen.iter().filter(|(m, e)| m == method && e == event).count();
                Ok(wanted.iter().all(|(method, event, times)| count(method, event) >= *times).then_some(seen))
            })
            .await
        })
        .await?;
    for (method, event) in seen.iter().rev() {
        narrator.result(&format!("{method:<5} {event}"));
    }
    Ok(())
}
