//! `/google/callback`: Google tells that a holder saved or deleted a pass.
//!
//! A call-back proves itself by Google's signature over it; the issuer that it names must be one of ours. Its nonce is the
//! idempotency key, so that Google's repeats count once.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    routing::post,
};
use domain::{
    Action, Actor, Cause, Command, CommandId, IdempotencyKey, OrgId, PassId, PassRef, RejectCode, UninstallReason, Wallet,
};
use google_wallet::callback::{self, Callback, Envelope, Event, RootKeys};
use parking_lot::RwLock;
use store::NameKind;

use crate::{App, Client, Problem, extract::read_body, seen};

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/google/callback", post(receive))
}

/// Google's root signing keys, as last fetched. Whoever fetches them (from [`callback::ROOT_KEYS_URL`]) puts them here.
#[derive(Debug, Default)]
pub struct GoogleRoots(RwLock<Option<Arc<RootKeys>>>);

impl GoogleRoots {
    /// Puts keys in force.
    pub fn set(&self, keys: RootKeys) {
        *self.0.write() = Some(Arc::new(keys));
    }

    fn get(&self) -> Option<Arc<RootKeys>> {
        self.0.read().clone()
    }
}

async fn receive(State(app): State<Arc<App>>, client: Client, request: Request) -> Result<StatusCode, Problem> {
    let body = read_body(request, callback::MAX_BODY_BYTES).await?;
    let refuse = |error: callback::CallbackError| Problem::Malformed(format!("not a call-back of Google's: {error}"));
    let envelope = Envelope::parse(&body).map_err(refuse)?;
    let keys = app.settings.google_roots.get().ok_or(Problem::NotReady("Google's root keys were not fetched yet"))?;
    let issuer = envelope.claimed_issuer().to_owned();
    let ours = app.store.look_up(NameKind::GoogleIssuer, issuer.as_bytes()).await?;
    let (org, _) = ours.ok_or_else(|| Problem::NotFound("no issuer of that number".into()))?;
    let callback = envelope.verify(&keys, &issuer, app.now().as_millis()).map_err(refuse)?;
    apply(&app, org, &callback, &client).await?;
    Ok(StatusCode::OK)
}

async fn apply(app: &App, org: OrgId, callback: &Callback, client: &Client) -> Result<(), Problem> {
    // An object that is not one of ours was made by other means under the same issuer: nothing to do.
    let Ok(id) = callback.object_id.suffix().parse::<PassId>() else { return Ok(()) };
    let (pass, wallet, device) = (PassRef::Id(id), Wallet::Google, String::new());
    let action = match callback.event {
        Event::Save => {
            let sighting =
                domain::Sighting { user_agent: None, attributes: 0, ip: None, place: None, ..seen::sighting(app, client) };
            Action::RecordInstall { pass, wallet, device, push_token: None, sighting }
        }
        Event::Del => Action::RecordUninstall { pass, wallet, device, reason: UninstallReason::Removed },
    };
    let mut fingerprint = [0; 32];
    let about = format!("{} {:?}", callback.object_id, callback.event);
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, about.as_bytes()).as_ref());
    let key =
        IdempotencyKey { principal: "google callback".to_owned(), key: callback.nonce.clone(), fingerprint, keep_image: false };
    let command = Command {
        id: CommandId::mint(app.now(), &*app.entropy),
        org,
        actor: Actor::Holder,
        cause: Cause::Wallet,
        key: Some(key),
        told: None,
        action,
    };
    match app.engine.submit(command).await.map_err(Problem::from) {
        Ok(_) => Ok(()),
        Err(Problem::Rejected(reject)) if reject.code == RejectCode::NotFound => Ok(()),
        Err(problem) => Err(problem),
    }
}
