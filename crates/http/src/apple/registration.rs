//! `POST` and `DELETE /v1/devices/{device}/registrations/{pass_type}/{serial}`: a device wants a pass's updates, or no more.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State},
    http::StatusCode,
};
use domain::{Action, Answer, Cause, Pass, PassRef, UninstallReason, Wallet};
use serde::Deserialize;
use store::OrgCatalog;

use super::{Held, MAX_DEVICE_BYTES, Refused, held, tell};
use crate::{
    App, Client, Problem,
    extract::{parse, read_body},
    seen,
};

/// Most bytes of a registration's body.
const MAX_BODY_BYTES: usize = 4_096;
/// Longest push token, in characters.
const MAX_TOKEN_CHARS: usize = 256;

#[derive(Deserialize)]
struct Registration {
    #[serde(rename = "pushToken")]
    push_token: String,
}

pub(super) async fn register(
    State(app): State<Arc<App>>,
    Path((device, pass_type, serial)): Path<(String, String, String)>,
    client: Client,
    request: Request,
) -> Result<StatusCode, Refused> {
    let Held { org, pass, .. } = held(&app, &pass_type, &serial, request.headers()).await?;
    let registration: Registration = parse(&read_body(request, MAX_BODY_BYTES).await?)?;
    let token = registration.push_token;
    if token.is_empty() || token.len() > MAX_TOKEN_CHARS || !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Problem::field("pushToken", "expected 1 to 256 hexadecimal digits").into());
    }
    let sighting = seen::sighting(&app, &client);
    let device = checked(device)?;
    let action = Action::RecordInstall {
        pass: PassRef::Id(pass.id),
        wallet: Wallet::Apple,
        device: device.clone(),
        push_token: Some(token),
        sighting,
    };
    let answer = tell(&app, org, Cause::Wallet, action).await?.answer;
    // The pass as it is after the registration: it may have changed while the phone was at it.
    let (config, pass) = (app.store.catalog_now().await?, app.store.pass(org, pass.id).await?);
    if let (Some(config), Some(pass)) = (config.org(org), pass)
        && may_be_behind(config, &pass)
    {
        app.store.owe_push(org, pass.id, &device, app.now()).await?;
    }
    Ok(match answer {
        Answer::Done { created: true, .. } => StatusCode::CREATED,
        _ => StatusCode::OK,
    })
}

/// Whether a phone that registers now may hold an older pass than there is: which one it fetched, and when, it does not tell.
/// Only one that never changed is surely the one that it has. Such a phone is woken once and told of the pass; what it holds
/// already it does not fetch again.
pub(super) fn may_be_behind(config: &OrgCatalog, pass: &Pass) -> bool {
    let drawn_anew = config.templates.get(&pass.template.uuid()).is_some_and(|template| template.updated_at > pass.issued_at);
    drawn_anew || pass.last_modified != pass.issued_at.as_seconds()
}

/// Idempotent: a device that is not registered is as good as unregistered.
pub(super) async fn unregister(
    State(app): State<Arc<App>>,
    Path((device, pass_type, serial)): Path<(String, String, String)>,
    request: Request,
) -> Result<StatusCode, Refused> {
    let Held { org, pass, .. } = held(&app, &pass_type, &serial, request.headers()).await?;
    let action = Action::RecordUninstall {
        pass: PassRef::Id(pass.id),
        wallet: Wallet::Apple,
        device: checked(device)?,
        reason: UninstallReason::Unregistered,
    };
    tell(&app, org, Cause::Wallet, action).await?;
    Ok(StatusCode::OK)
}

fn checked(device: String) -> Result<String, Problem> {
    let fits = (1..=MAX_DEVICE_BYTES).contains(&device.len()) && !device.chars().any(char::is_control);
    if fits { Ok(device) } else { Err(Problem::parameter("device", "expected a device library identifier, 1 to 128 bytes")) }
}
