//! What passes become: signed Apple packages and Google save links.
//!
//! A package is made anew for each request, never kept: a stored one would die with its certificate. What is the same for
//! all passes of a template version (images and their hashes) and for all of a signer (its key) is prepared once.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use bytes::Bytes;
use domain::{Contact, OrgId, Pass, Project, Template};
use google_wallet::{Class, Object, Part, SaveRequest, ServiceAccount, save_link};
use parking_lot::Mutex;
use pkpass::{Assets, Identity};
use render::{AppleContext, CodeSigner, GoogleContext, PassView};
use store::{OrgCatalog, Stored, StoredGoogleAccount, StoredSigner};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{
    App, Conflict, Problem,
    api::{images, template_report},
};

/// Most prepared template versions, signers and accounts each; the least sensible thing to do past that is to fail, so the
/// cache starts anew.
const MAX_PREPARED: usize = 256;

/// Passes that are signed at once. Signing is arithmetic on blocking threads; more of it at a time than there are cores
/// takes no pass out sooner, and what waits holds its turn without a thread.
const SIGNING_AT_ONCE: usize = 8;

/// Pictures that are unpacked at once; each may take a few hundred megabytes for a moment.
const DRAWN_AT_ONCE: usize = 2;

/// What is prepared once. Losing it costs time, nothing else.
pub(crate) struct Packages {
    signing: Semaphore,
    drawing: Semaphore,
    assets: Prepared<(OrgId, Uuid, i64, bool), Assets>,
    identities: Prepared<(Uuid, i64), Identity>,
    accounts: Prepared<(Uuid, i64), ServiceAccount>,
    codes: Prepared<(OrgId, u8), CodeSigner>,
}

impl Default for Packages {
    fn default() -> Self {
        Self {
            signing: Semaphore::new(SIGNING_AT_ONCE),
            drawing: Semaphore::new(DRAWN_AT_ONCE),
            assets: Prepared::default(),
            identities: Prepared::default(),
            accounts: Prepared::default(),
            codes: Prepared::default(),
        }
    }
}

struct Prepared<K, V>(Mutex<HashMap<K, Arc<V>>>);

impl<K, V> Default for Prepared<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V> Prepared<K, V> {
    fn get(&self, key: &K) -> Option<Arc<V>> {
        self.0.lock().get(key).cloned()
    }
    fn put(&self, key: K, value: V) -> Arc<V> {
        let value = Arc::new(value);
        let mut held = self.0.lock();
        if held.len() >= MAX_PREPARED {
            held.clear();
        }
        held.insert(key, Arc::clone(&value));
        value
    }
}

/// A pass's configuration.
pub(crate) struct Design<'c> {
    pub(crate) project: &'c Arc<Project>,
    pub(crate) template: &'c Stored<Template>,
}

/// The project and template that a pass is drawn with.
pub(crate) fn design<'c>(catalog: &'c OrgCatalog, pass: &Pass) -> Result<Design<'c>, Problem> {
    let project = catalog.project(pass.project);
    let template = catalog.templates.get(&pass.template.uuid());
    match (project, template) {
        (Some(project), Some(template)) => Ok(Design { project, template }),
        _ => Err(Problem::no_such("project or template of the pass")),
    }
}

/// Whether Google has a pass as an object, or a template as a class.
async fn google_has(app: &App, org: OrgId, thing: Uuid) -> Result<bool, Problem> {
    Ok(app.store.backend().google_thing(org, thing).await?.is_some_and(|row| row.synced_seq > 0))
}

fn part<T>(value: &T, google_has_it: bool) -> Part<'_, T> {
    if google_has_it { Part::inserted(value) } else { Part::carried(value) }
}

/// Draws what Google shows of a pass: its class and its object.
fn google_pass(app: &App, org: OrgId, issuer: &str, view: &PassView<'_>) -> Result<(Class, Object), render::RenderError> {
    let image_url = |hash: &str| images::url(app, org, hash);
    let callback = app.url("/google/callback");
    let context = GoogleContext {
        issuer_id: issuer,
        language: "en",
        callback_url: callback.starts_with("https://").then_some(callback.as_str()),
        image_url: &image_url,
    };
    Ok((render::google_class(view, &context)?, render::google_object(view, &context)?))
}

/// Does work on a thread where it holds nobody up, when it is its turn.
async fn in_turn<T: Send + 'static>(
    turns: &Semaphore,
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let cut_off = || Problem::Internal(format!("{what} was cut off"));
    let _turn = turns.acquire().await.map_err(|_| cut_off())?;
    tokio::task::spawn_blocking(work).await.map_err(|_| cut_off())
}

impl Packages {
    /// The signed package of a pass as it is now; blank and void for a deleted one.
    pub(crate) async fn apple(&self, app: &App, org: OrgId, pass: &Pass, contact: Option<&Contact>) -> Result<Bytes, Problem> {
        let catalog = app.store.catalog();
        let config = catalog.org(org).ok_or_else(|| Problem::no_such("organization"))?;
        let Design { project, template } = design(config, pass)?;
        let pass_type = project.apple_pass_type.as_deref().ok_or_else(|| Problem::no_such("Apple pass for this project"))?;
        let signer = config.signer_of(pass_type).ok_or_else(|| Problem::no_such("signer for this project's pass type"))?;
        let identity = self.identity(app, org, signer)?;
        let codes = self.codes(app, org)?;
        let view = PassView { project, template: &template.value, pass, contact, codes: Some(&codes) };
        let mut assets = self.assets(app, org, template, render::asks_to_sign_up(&view)).await?;
        let strings = render::apple_strings(&view);
        if !strings.is_empty() {
            let own = assets.overlay(strings).map_err(|fault| Problem::Internal(format!("the words of a pass: {fault}")))?;
            assets = Arc::new(own);
        }
        let model = {
            let token = app.store.keyring().apple_token(org, pass_type, &pass.serial, pass.token_epoch)?;
            let image_url = |hash: &str| images::url(app, org, hash);
            let context = AppleContext {
                pass_type,
                team: &signer.value.team,
                web_service_url: &app.url("/apple"),
                auth_token: &token,
                image_url: Some(&image_url),
            };
            render::apple(&view, &context).map_err(|fault| Problem::Internal(format!("rendering: {fault}")))?
        };
        let now = app.now().as_seconds();
        let package = self.sign(move || pkpass::build_pass(&model, &assets, &*identity, now)).await?;
        package.map(Bytes::from).map_err(|fault| Problem::Internal(format!("signing: {fault}")))
    }

    /// Does what a private key is needed for, on a thread where it holds nobody up, when it is its turn.
    async fn sign<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        in_turn(&self.signing, "signing", work).await
    }

    /// Unpacks or draws pictures, which takes time and memory, when it is its turn.
    pub(crate) async fn draw<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        in_turn(&self.drawing, "drawing", work).await
    }

    /// Signs what a phone sends when a holder has signed up, with the key of the pass type.
    pub(crate) async fn sign_token(&self, app: &App, org: OrgId, pass_type: &str, token: Vec<u8>) -> Result<Vec<u8>, Problem> {
        let catalog = app.store.catalog();
        let config = catalog.org(org).ok_or_else(|| Problem::no_such("organization"))?;
        let signer = config.signer_of(pass_type).ok_or_else(|| Problem::no_such("signer for this pass type"))?;
        let identity = self.identity(app, org, signer)?;
        let now = app.now().as_seconds();
        let signature = self.sign(move || pkpass::sign_detached(&token, &*identity, now)).await?;
        signature.map_err(|fault| Problem::Internal(format!("signing a token: {fault}")))
    }

    /// The address of Google's page that saves a pass: the pass's id alone where Google has the pass already, else what of it
    /// fits into a link.
    pub(crate) async fn google_link(
        &self,
        app: &App,
        org: OrgId,
        pass: &Pass,
        contact: Option<&Contact>,
    ) -> Result<String, Problem> {
        let catalog = app.store.catalog();
        let config = catalog.org(org).ok_or_else(|| Problem::no_such("organization"))?;
        let Design { project, template } = design(config, pass)?;
        let issuer = project.google_issuer.as_deref().ok_or_else(|| Problem::no_such("Google pass for this project"))?;
        let stored = config.google_account_of(issuer).ok_or_else(|| Problem::no_such("Google account for this issuer"))?;
        let account = self.account(app, org, stored)?;
        let has_object = google_has(app, org, pass.id.uuid()).await?;
        let codes = self.codes(app, org)?;
        let fault = |fault: String| Problem::Internal(format!("the Google pass cannot be drawn: {fault}"));
        let view = PassView { project, template: &template.value, pass, contact, codes: Some(&codes) };
        let (class, object) = google_pass(app, org, issuer, &view).map_err(|error| match error {
            render::RenderError::Flight(_) => Problem::Conflict { code: Conflict::NotAllowed, detail: error.to_string() },
            error => fault(error.to_string()),
        })?;
        let has_class = google_has(app, org, store::google_class_thing(template.value.id, &class.common().id)).await?;
        let now = app.now().as_seconds();
        let link = self.sign(move || {
            let (classes, objects) = ([part(&class, has_class)], [part(&object, has_object)]);
            save_link(&account, &SaveRequest { origins: &[], classes: &classes, objects: &objects }, now)
        });
        Ok(link.await?.map_err(|error| fault(error.to_string()))?.url)
    }

    /// What signs an organization's scan codes now.
    pub(crate) fn codes(&self, app: &App, org: OrgId) -> Result<Arc<CodeSigner>, Problem> {
        let catalog = app.store.catalog();
        let number = catalog.org(org).map_or(0, |config| *config.scan_key_numbers().end());
        self.codes_of(app, org, number)
    }

    /// The scan key of a number.
    pub(crate) fn codes_of(&self, app: &App, org: OrgId, number: u8) -> Result<Arc<CodeSigner>, Problem> {
        if let Some(known) = self.codes.get(&(org, number)) {
            return Ok(known);
        }
        let (seed, rotation) = app.store.keyring().scan_secrets(org, number)?;
        let signer = CodeSigner::new(org.uuid(), number, &seed, *rotation);
        let signer = signer.ok_or_else(|| Problem::Internal("a scan key cannot be made".to_owned()))?;
        Ok(self.codes.put((org, number), signer))
    }

    fn identity(&self, app: &App, org: OrgId, signer: &Stored<StoredSigner>) -> Result<Arc<Identity>, Problem> {
        let id = signer.value.id.uuid();
        if let Some(known) = self.identities.get(&(id, signer.revision)) {
            return Ok(known);
        }
        let key = app.store.open_of::<StoredSigner>(org, id, &signer.value.sealed_key)?;
        let chain = signer.value.certificates.as_bytes();
        let identity = Identity::from_pem(chain, &key, None, chain)
            .map_err(|fault| Problem::Internal(format!("a stored signer: {fault}")))?;
        Ok(self.identities.put((id, signer.revision), identity))
    }

    fn account(&self, app: &App, org: OrgId, stored: &Stored<StoredGoogleAccount>) -> Result<Arc<ServiceAccount>, Problem> {
        let id = stored.value.id.uuid();
        if let Some(known) = self.accounts.get(&(id, stored.revision)) {
            return Ok(known);
        }
        let key = app.store.open_of::<StoredGoogleAccount>(org, id, &stored.value.sealed_key)?;
        let account =
            ServiceAccount::from_json(&key).map_err(|fault| Problem::Internal(format!("a stored Google account: {fault}")))?;
        Ok(self.accounts.put((id, stored.revision), account))
    }

    async fn assets(&self, app: &App, org: OrgId, template: &Stored<Template>, sign_up: bool) -> Result<Arc<Assets>, Problem> {
        let key = (org, template.value.id.uuid(), template.revision, sign_up);
        if let Some(known) = self.assets.get(&key) {
            return Ok(known);
        }
        let files = template_report::load(app, org, &template.value).await?;
        let assets = render::apple_assets(&template.value.design, sign_up, |hash| files.get(hash).cloned())
            .map_err(|fault| Problem::Internal(format!("the images of a template: {fault}")))?;
        Ok(self.assets.put(key, assets))
    }
}
