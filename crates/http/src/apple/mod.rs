//! Apple's pass web service, `/apple/v1/...`: registrations, what changed, packages, logs.
//!
//! A phone proves with the pass's token that it holds the pass; whatever is wrong with pass or token, the answer is the
//! same bare 401. The list of changes needs no proof: the device's identifier is a secret of its own.
//! Source: Apple, *Adding a Web Service to Update Passes*.

mod list;
mod log;
mod package;
mod personalize;
mod registration;
mod tag;

use std::sync::Arc;

use aws_lc_rs::constant_time;
use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use domain::{Action, Actor, Cause, Command, CommandId, Contact, OrgId, Pass, PassId};
use engine::Outcome;
use http::{HeaderMap, StatusCode, header};
use store::NameKind;

pub(crate) use self::log::RING as LOG_RING;
use crate::{App, Problem};

/// Longest device identifier, pass type and serial number that are looked at, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// Longest device library identifier, in bytes.
const MAX_DEVICE_BYTES: usize = 128;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route(
            "/apple/v1/devices/{device}/registrations/{pass_type}/{serial}",
            post(registration::register).delete(registration::unregister),
        )
        .route("/apple/v1/devices/{device}/registrations/{pass_type}", get(list::list))
        .route("/apple/v1/passes/{pass_type}/{serial}", get(package::package))
        .route("/apple/v1/passes/{pass_type}/{serial}/personalize", post(personalize::personalize))
        .route("/apple/v1/log", post(log::log))
}

/// What a phone gets instead of what it asked for.
pub(crate) enum Refused {
    /// No such pass, or not with this token: always the same.
    Unauthorized,
    /// Anything else.
    Problem(Problem),
}

impl<P: Into<Problem>> From<P> for Refused {
    fn from(problem: P) -> Self {
        Self::Problem(problem.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED.into_response(),
            Self::Problem(problem) => problem.into_response(),
        }
    }
}

/// A pass whose holder has shown its token.
struct Held {
    org: OrgId,
    pass: Pass,
    contact: Option<Contact>,
}

/// Whose pass type it is.
async fn owner(app: &App, pass_type: &str) -> Result<Option<OrgId>, Problem> {
    if pass_type.len() > MAX_NAME_BYTES {
        return Ok(None);
    }
    Ok(app.store.look_up(NameKind::PassType, pass_type.as_bytes()).await?.map(|(org, _)| org))
}

/// The pass of a serial number, if the request carries its token.
async fn held(app: &App, pass_type: &str, serial: &str, headers: &HeaderMap) -> Result<Held, Refused> {
    let token = presented(headers).ok_or(Refused::Unauthorized)?;
    let (org, pass, contact) = by_serial(app, pass_type, serial).await?.ok_or(Refused::Unauthorized)?;
    if has_right_token(app, org, pass_type, &pass, token)? { Ok(Held { org, pass, contact }) } else { Err(Refused::Unauthorized) }
}

/// The pass of a serial number, whoever asks.
async fn by_serial(app: &App, pass_type: &str, serial: &str) -> Result<Option<(OrgId, Pass, Option<Contact>)>, Problem> {
    if serial.len() > MAX_NAME_BYTES {
        return Ok(None);
    }
    let Some(org) = owner(app, pass_type).await? else { return Ok(None) };
    let id = match serial.parse::<PassId>() {
        Ok(id) if id.to_string() == serial => Some(id),
        _ => foreign(app, org, pass_type, serial).await?,
    };
    let Some(id) = id else { return Ok(None) };
    let found = app.store.pass_with_contact(org, id).await?;
    Ok(found.filter(|(pass, _)| pass.serial == serial).map(|(pass, contact)| (org, pass, contact)))
}

fn has_right_token(app: &App, org: OrgId, pass_type: &str, pass: &Pass, token: &str) -> Result<bool, Problem> {
    let expected = app.store.keyring().apple_token(org, pass_type, &pass.serial, pass.token_epoch)?;
    Ok(constant_time::verify_slices_are_equal(expected.as_bytes(), token.as_bytes()).is_ok())
}

/// The pass that came with a serial number of its own.
pub(crate) async fn foreign(app: &App, org: OrgId, pass_type: &str, serial: &str) -> Result<Option<PassId>, Problem> {
    let name = [pass_type.as_bytes(), &[0], serial.as_bytes()].concat();
    let found = app.store.look_up(NameKind::ForeignSerial, &name).await?;
    Ok(found.filter(|(owner, _)| *owner == org).map(|(_, pass)| PassId::from_uuid(pass)))
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("ApplePass").then_some(token.trim())
}

/// Has the engine write down what a wallet tells.
pub(crate) async fn tell(app: &App, org: OrgId, cause: Cause, action: Action) -> Result<Outcome, Problem> {
    let id = CommandId::mint(app.now(), &*app.entropy);
    let command = Command { id, org, actor: Actor::Holder, cause, key: None, told: None, action };
    Ok(app.engine.submit(command).await?)
}
