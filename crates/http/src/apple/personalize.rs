//! `POST /v1/passes/{pass_type}/{serial}/personalize`: the holder has filled in Wallet's sign-up form.
//!
//! The token that Wallet sends is the proof that it is Wallet; it comes back signed with the pass type's key. Whether iOS
//! also sends the pass's own token is not documented: one that is sent must be right. A pass can be signed up for once:
//! only one that nobody holds yet, of a design that asks. The same token again is a retry and gets the same answer.
//! Source: Apple, *Return a Personalized Pass*.

use std::{collections::BTreeMap, sync::Arc};

use aws_lc_rs::digest;
use axum::{
    extract::{Path, Request, State},
    http::header,
    response::{IntoResponse, Response},
};
use domain::{
    Action, Actor, Cause, Command, CommandId, ContactId, ContactInput, FieldValue, IdempotencyKey, PassChange, PassRef,
};
use pkpass::model::{PersonalInfo, PersonalizationRequest};
use render::PassView;

use super::{Refused, by_serial, has_right_token, presented};
use crate::{
    App, Problem,
    extract::{parse, read_body},
    packages,
};

/// Most bytes of a filled-in form.
const MAX_BODY_BYTES: usize = 16 << 10;
/// Longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 4_096;
/// Longest answer to one question, in characters.
const MAX_ANSWER_CHARS: usize = 200;
/// Whose idempotency keys these are.
const PRINCIPAL: &str = "apple.personalize";

pub(super) async fn personalize(
    State(app): State<Arc<App>>,
    Path((pass_type, serial)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refused> {
    let (org, pass, contact) = by_serial(&app, &pass_type, &serial).await?.ok_or_else(|| Problem::no_such("pass"))?;
    if let Some(token) = presented(request.headers())
        && !has_right_token(&app, org, &pass_type, &pass, token)?
    {
        return Err(Refused::Unauthorized);
    }
    let body = read_body(request, MAX_BODY_BYTES).await?;
    let PersonalizationRequest { personalization_token: token, required_personalization_info: info } = parse(&body)?;
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
        return Err(Problem::field("personalizationToken", "expected 1 to 4096 bytes").into());
    }
    let catalog = app.store.catalog();
    let config = catalog.org(org).ok_or_else(|| Problem::no_such("organization"))?;
    let packages::Design { project, template } = packages::design(config, &pass)?;
    let design = &template.value.design;
    if design.personalization.is_none() {
        return Err(Problem::no_such("sign-up for this pass").into());
    }
    let asks = render::asks_to_sign_up(&PassView {
        project,
        template: &template.value,
        pass: &pass,
        contact: contact.as_ref(),
        codes: None,
    });
    let change = PassChange {
        contact: Some(input(info)?),
        new_contact: Some(ContactId::mint(app.now(), &*app.entropy)),
        ..PassChange::default()
    };
    // a pass that has its holder fits no version, so that only a retry under the same key is answered
    let expected_version = Some(if asks { pass.version } else { 0 });
    let command = Command {
        id: CommandId::mint(app.now(), &*app.entropy),
        org,
        actor: Actor::Holder,
        cause: Cause::Wallet,
        key: Some(key(&pass_type, &serial, &token, &body)),
        told: None,
        action: Action::Update { pass: PassRef::Id(pass.id), change: Box::new(change), expected_version },
    };
    app.engine.submit(command).await.map_err(Problem::from)?;
    let signature = app.packages.sign_token(&app, org, &pass_type, token.into_bytes()).await?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], signature).into_response())
}

/// The token names the sign-up; the fingerprint tells a retry from another form under the same token.
fn key(pass_type: &str, serial: &str, token: &str, body: &[u8]) -> IdempotencyKey {
    let sha256 = |parts: &[&[u8]]| -> [u8; 32] {
        let hash = digest::digest(&digest::SHA256, &parts.join(&0));
        let mut out = [0; 32];
        out.copy_from_slice(hash.as_ref());
        out
    };
    let name = sha256(&[pass_type.as_bytes(), serial.as_bytes(), token.as_bytes()]);
    let key = name.iter().map(|byte| format!("{byte:02x}")).collect();
    IdempotencyKey { principal: PRINCIPAL.to_owned(), key, fingerprint: sha256(&[body]), keep_image: false }
}

fn input(info: PersonalInfo) -> Result<ContactInput, Problem> {
    let answer = |name: &'static str, answer: Option<String>| match answer.map(|text| text.trim().to_owned()) {
        Some(text) if text.chars().count() > MAX_ANSWER_CHARS => {
            Err(Problem::field(format!("requiredPersonalizationInfo.{name}"), "longer than 200 characters"))
        }
        text => Ok(text.filter(|text| !text.is_empty())),
    };
    let (given, family) = (answer("givenName", info.given_name)?, answer("familyName", info.family_name)?);
    let parts = [given.clone(), family.clone()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let mut traits = BTreeMap::new();
    let more = [
        ("given_name", given),
        ("family_name", family),
        ("postal_code", answer("postalCode", info.postal_code)?),
        ("country", answer("ISOCountryCode", info.iso_country_code)?),
    ];
    for (name, value) in more {
        traits.extend(value.map(|text| (name.to_owned(), FieldValue::Text(text))));
    }
    Ok(ContactInput {
        name: answer("fullName", info.full_name)?.or(Some(parts).filter(|parts| !parts.is_empty())),
        email: answer("emailAddress", info.email_address)?,
        phone: answer("phoneNumber", info.phone_number)?,
        traits,
        ..ContactInput::default()
    })
}
