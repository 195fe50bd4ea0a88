//! The demo's setting: certificates of its own, a push service of its own, and a loyalty programme set up over the API.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use domain::{Clock as _, LinkCode, OrgId};
use flows::flow::Flow;
use http::Method;
use pkpass::development::{Authority, PemIdentity, Validity};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use simulators::{
    apns::ApnsServer,
    google::{GoogleServer, Options},
};
use store::{ConfigWrite, DirectoryRow, NameKind};

use crate::{
    api::Api,
    serve::Running,
    system::{SystemClock, SystemEntropy, write_private},
};

/// The pass type of the demo.
pub(super) const PASS_TYPE: &str = "pass.dev.passbridge.juniper";
/// Where the demo keeps its API keys, within its folder.
pub(super) const KEYS: &str = "demo-keys.json";
const TEAM: &str = "DEVTEAM001";
/// A Google issuer that Google does not know.
pub(super) const ISSUER: &str = "3388000000000000001";
const PROJECT: &str = "juniper-club";
const YEARS: i64 = 5 * 365 * 86_400;

const IMAGES: [(&str, &[u8]); 3] = [
    ("icon", include_bytes!("../../assets/icon@3x.png")),
    ("logo", include_bytes!("../../assets/logo@3x.png")),
    ("strip", include_bytes!("../../assets/strip@3x.png")),
];

/// Certificates and the push service.
pub(super) struct Stage {
    pub(super) authority: Authority,
    pub(super) apns: ApnsServer,
    pub(super) google: GoogleServer,
    /// The service account that the simulated Google knows.
    key_file: Vec<u8>,
    /// The development root, PEM.
    pub(super) root_file: PathBuf,
}

/// What the story plays with.
pub(super) struct Scene {
    /// A client with the admin key.
    pub(super) api: Api,
    pub(super) project: String,
    /// The source's write key.
    pub(super) write_key: String,
    /// The inspector bin that the webhook is sent to.
    pub(super) bin: String,
}

impl Stage {
    /// Makes the development authority at the first run, reads it afterwards; starts the push service.
    pub(super) async fn build(data: &Path) -> anyhow::Result<Self> {
        let file = data.join("development-authority.pem");
        let authority = match std::fs::read_to_string(&file) {
            Ok(pem) => Authority::from_pem(&pem).with_context(|| format!("{} is damaged: remove the folder", file.display()))?,
            Err(_) => {
                let authority = Authority::create("Juniper", validity())?;
                write_private(&file, &authority.to_pem())?;
                authority
            }
        };
        let root_file = data.join("development-root.pem");
        std::fs::write(&root_file, authority.root_pem()).with_context(|| format!("cannot write {}", root_file.display()))?;
        let tls = authority.issue_tls_server(&["localhost", "127.0.0.1"], validity())?;
        let chain = CertificateDer::pem_slice_iter(chain_of(&tls).as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(tls.key.as_bytes())?.secret_pkcs8_der().to_vec();
        let root = CertificateDer::from(authority.root_der().to_vec());
        let apns = ApnsServer::start(chain, key, &root).await.context("the simulated push service cannot start")?;
        let google = GoogleServer::start(Options::new(|| SystemClock.now().as_millis())).await;
        let google = google.context("the simulated Google cannot start")?;
        let key_file = service_account(data)?;
        google.add_user(&key_file, ISSUER)?;
        Ok(Self { authority, apns, google, key_file, root_file })
    }
}

/// Makes the key of the demo's service account at the first run, reads it afterwards.
fn service_account(data: &Path) -> anyhow::Result<Vec<u8>> {
    let file = data.join("development-service-account.json");
    if let Ok(known) = std::fs::read(&file) {
        return Ok(known);
    }
    let token_url = "https://oauth2.googleapis.com/token";
    let made = google_wallet::ServiceAccount::development_key_file("demo@passbridge.example", token_url)?;
    write_private(&file, std::str::from_utf8(&made)?)?;
    Ok(made.to_vec())
}

fn chain_of(identity: &PemIdentity) -> String {
    [identity.certificate.as_str(), identity.intermediate.as_deref().unwrap_or_default()].concat()
}

fn validity() -> Validity {
    let now = SystemClock.now().as_seconds();
    Validity { not_before: now - 86_400, not_after: now + YEARS }
}

/// Sets the programme up over the API, or finds it from an earlier run.
pub(super) async fn set_up(stage: &Stage, running: &Running, data: &Path, admin_key: Option<String>) -> anyhow::Result<Scene> {
    let keys = data.join(KEYS);
    let anonymous = Api::new(&running.public_url, None)?;
    let Some(admin_key) = admin_key else {
        return again(&anonymous, &keys, &running.public_url).await;
    };
    let api = anonymous.with_key(&admin_key);
    add_identities(&api, stage).await?;
    let project = add_project(&api).await?;
    add_flows(&api).await?;
    let source = json!({"slug": "shop", "name": "Shop and app", "kind": "rudderstack"});
    let source = api.call(Method::POST, "/v1/sources", Some(&source)).await?;
    let write_key = text(&source, "write_key")?;
    let bin = open_bin(running).await?;
    let webhook = api.call(Method::POST, "/v1/webhooks", Some(&webhook(&running.public_url, &bin, &project))).await?;
    let kept = json!({"admin_key": admin_key, "write_key": write_key, "project": project, "bin": bin, "webhook": webhook["id"]});
    write_private(&keys, &kept.to_string())?;
    Ok(Scene { api, project, write_key, bin })
}

/// The inspector's webhook, at the address that this run has.
fn webhook(public_url: &str, bin: &str, project: &str) -> Value {
    json!({"name": "Inspector", "project": project, "url": format!("{public_url}/inspect/{bin}/in")})
}

async fn again(anonymous: &Api, keys: &Path, public_url: &str) -> anyhow::Result<Scene> {
    let kept = std::fs::read_to_string(keys).with_context(|| {
        format!("{} is missing: an earlier demo stopped half-way; remove its folder and start again", keys.display())
    })?;
    let kept: Value = serde_json::from_str(&kept)?;
    let scene = Scene {
        api: anonymous.with_key(&text(&kept, "admin_key")?),
        project: text(&kept, "project")?,
        write_key: text(&kept, "write_key")?,
        bin: text(&kept, "bin")?,
    };
    let path = format!("/v1/webhooks/{}", text(&kept, "webhook")?);
    scene.api.call(Method::PUT, &path, Some(&webhook(public_url, &scene.bin, &scene.project))).await?;
    Ok(scene)
}

async fn add_identities(api: &Api, stage: &Stage) -> anyhow::Result<()> {
    let identity = stage.authority.issue_pass_type(PASS_TYPE, TEAM, validity())?;
    let signer = json!({
        "certificate": identity.certificate,
        "private_key": identity.key.as_str(),
        "intermediate": identity.intermediate,
    });
    api.call(Method::POST, "/v1/signers", Some(&signer)).await?;
    let account = json!({"issuer": ISSUER, "key_file": String::from_utf8_lossy(&stage.key_file), "development": true});
    api.call(Method::POST, "/v1/google-accounts", Some(&account)).await?;
    Ok(())
}

async fn add_project(api: &Api) -> anyhow::Result<String> {
    let mut images = json!({});
    for (role, bytes) in IMAGES {
        let reply = api.send(Method::POST, &format!("/v1/image-sets/{role}"), &[("content-type", "image/png")], bytes).await?;
        let made = crate::api::read(&reply).with_context(|| format!("uploading the {role}"))?;
        images[role] = made["set"].clone();
    }
    let mut project = json!({
        "slug": PROJECT,
        "name": "Juniper Club",
        "kind": "membership",
        "fields": [{"key": "member_since", "label": "Member since", "type": "time"}],
        "balances": {"points": "0"},
        "apple_pass_type": PASS_TYPE,
        "google_issuer": ISSUER,
        "enrolment": true,
    });
    let made = api.call(Method::POST, "/v1/projects", Some(&project)).await?;
    let id = text(&made, "id")?;
    let mut variants = Vec::new();
    for (variant, name, background) in [("seedling", "Seedling", "#0F3D38"), ("evergreen", "Evergreen", "#14213D")] {
        let template = json!({"project": id, "name": format!("{name} card"), "design": design(&images, background)});
        let template = text(&api.call(Method::POST, "/v1/templates", Some(&template)).await?, "id")?;
        api.call(Method::POST, &format!("/v1/templates/{template}/publish"), None).await?;
        variants.push(json!({"id": variant, "name": name, "template": template}));
    }
    project["variants"] = variants.into();
    api.call(Method::PUT, &format!("/v1/projects/{id}"), Some(&project)).await?;
    Ok(id)
}

fn design(images: &Value, background: &str) -> Value {
    json!({
        "issuer": "Juniper Coffee",
        "title": "Juniper Club",
        "description": "Juniper Club membership card",
        "colors": {"background": background, "foreground": "#FFFFFF", "label": "#F3DCAE"},
        "images": images,
        "fields": [
            {"key": "points", "label": "POINTS", "value": "{{balances.points}}", "place": "header", "number": "decimal",
             "change_message": "You have %@ points now"},
            {"key": "member", "label": "MEMBER", "value": "{{contact.name}}", "place": "secondary"},
            {"key": "tier", "label": "TIER", "value": "{{variant.name}}", "place": "secondary",
             "change_message": "Welcome to %@"},
            {"key": "number", "label": "Member number", "value": "{{pass.external_id}}", "place": "back"},
        ],
        "barcode": {"format": "qr", "value": "{{pass.id}}", "alt_text": "{{pass.external_id}}"},
        "links": [{"label": "Find a café", "url": "https://juniper.example/cafes"}],
    })
}

/// Saves the flows that come with RudderStack, for the demo's project.
async fn add_flows(api: &Api) -> anyhow::Result<()> {
    let connector = api.call(Method::GET, "/v1/connectors/rudderstack", None).await?;
    for preset in connector["source"]["presets"].as_array().into_iter().flatten() {
        let flow = Flow::from_yaml(&text(preset, "flow")?).map_err(|problem| anyhow::anyhow!("{problem}"))?;
        let flow = Flow { project: PROJECT.to_owned(), ..flow };
        let document = flow.to_json().map_err(|problem| anyhow::anyhow!("{problem}"))?;
        api.call(Method::POST, "/v1/flows", Some(&document)).await.context("saving a flow")?;
    }
    Ok(())
}

/// Opens the inspector bin. It belongs to the organization, and its name is its key.
async fn open_bin(running: &Running) -> anyhow::Result<String> {
    let org: OrgId = running.store.catalog().orgs().map(|(org, _)| org).next().context("no organization")?;
    let target = domain::KeyId::mint(SystemClock.now(), &SystemEntropy).uuid();
    let bin = LinkCode::mint(&SystemEntropy).to_string();
    let name = DirectoryRow { kind: NameKind::InspectorBin.number(), name: bin.as_bytes().to_vec(), org, target };
    if !running.store.written(ConfigWrite { names: vec![name], ..ConfigWrite::default() }).await? {
        bail!("the inspector bin cannot be opened");
    }
    Ok(bin)
}

/// A text in an answer.
pub(super) fn text(value: &Value, key: &str) -> anyhow::Result<String> {
    value[key].as_str().map(str::to_owned).with_context(|| format!("the answer has no {key}: {value}"))
}
