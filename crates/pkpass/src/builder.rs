//! Building: `pass.json`, prepared assets and a signer become the bytes of a `.pkpass`.

use std::borrow::Cow;

use serde::Deserialize;

use crate::assets::Assets;
use crate::cms;
use crate::model::Pass;
use crate::signer::{Chain, SignError, Signer};
use crate::zip::{self, Body, DosTime, Entry};

/// Largest `pass.json`, in bytes.
pub const MAX_PASS_JSON_BYTES: usize = 1 << 20;

/// Files that building adds to the assets.
const OWN_FILES: usize = 3;

/// Why a pass cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// `pass.json` is not JSON, or its identifiers are missing.
    #[error("pass.json cannot be used: {0}")]
    Json(String),
    /// `pass.json` is too large.
    #[error("pass.json has {0} bytes, at most {MAX_PASS_JSON_BYTES} are allowed; shorten its texts")]
    JsonTooLarge(usize),
    /// `pass.json` names another pass type than the certificate; no phone would take it.
    #[error(
        "pass.json says passTypeIdentifier `{in_pass}`, the certificate is for `{in_certificate}`; use the certificate of that pass type"
    )]
    PassType {
        /// As in `pass.json`.
        in_pass: String,
        /// As in the certificate.
        in_certificate: String,
    },
    /// `pass.json` names another team than the certificate.
    #[error(
        "pass.json says teamIdentifier `{in_pass}`, the certificate belongs to `{in_certificate}`; write that team into the pass"
    )]
    Team {
        /// As in `pass.json`.
        in_pass: String,
        /// As in the certificate.
        in_certificate: String,
    },
    /// The signing time lies before 1970 or after 9999.
    #[error("the signing time {0} is no date between 1970 and 9999; check the clock")]
    SigningTime(i64),
    /// The signer failed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The signer's signature is not by the certificate's key.
    #[error("the signature does not fit the certificate's key; the signer uses another key than the certificate was issued for")]
    WrongSignature,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identifiers<'a> {
    #[serde(borrow)]
    pass_type_identifier: Cow<'a, str>,
    #[serde(borrow)]
    team_identifier: Cow<'a, str>,
}

/// Builds and signs one pass. `signing_time` is in unix seconds; it also dates the files, so that with an RSA key the same
/// input gives the same bytes.
///
/// # Errors
/// When `pass.json` and certificate do not fit, or signing fails.
pub fn build(pass_json: &[u8], assets: &Assets, signer: &dyn Signer, signing_time: i64) -> Result<Vec<u8>, BuildError> {
    let draft = Draft::new(pass_json, assets, signer.chain(), signing_time)?;
    let signature = signer.sign(draft.message())?;
    if signer.is_trusted() { Ok(draft.assemble(&signature)) } else { draft.finish(&signature) }
}

/// As [`build`], from the typed model.
///
/// # Errors
/// As [`build`].
pub fn build_pass(pass: &Pass, assets: &Assets, signer: &dyn Signer, signing_time: i64) -> Result<Vec<u8>, BuildError> {
    let json = pass.to_json().map_err(|fault| BuildError::Json(fault.to_string()))?;
    build(&json, assets, signer, signing_time)
}

/// A pass that lacks only its signature, for keys that sign elsewhere.
#[derive(Debug)]
pub struct Draft<'a> {
    pass_json: &'a [u8],
    assets: &'a Assets,
    chain: &'a Chain,
    signing_time: i64,
    manifest: Vec<u8>,
    attributes: Vec<u8>,
}

impl<'a> Draft<'a> {
    /// Prepares everything up to the signature.
    ///
    /// # Errors
    /// When `pass.json` and certificate do not fit.
    pub fn new(pass_json: &'a [u8], assets: &'a Assets, chain: &'a Chain, signing_time: i64) -> Result<Self, BuildError> {
        if pass_json.len() > MAX_PASS_JSON_BYTES {
            return Err(BuildError::JsonTooLarge(pass_json.len()));
        }
        let ids: Identifiers<'_> = serde_json::from_slice(pass_json).map_err(|fault| BuildError::Json(fault.to_string()))?;
        if ids.pass_type_identifier != chain.pass_type_identifier() {
            let in_certificate = chain.pass_type_identifier().to_owned();
            return Err(BuildError::PassType { in_pass: ids.pass_type_identifier.into_owned(), in_certificate });
        }
        if ids.team_identifier != chain.team_identifier() {
            let in_certificate = chain.team_identifier().to_owned();
            return Err(BuildError::Team { in_pass: ids.team_identifier.into_owned(), in_certificate });
        }
        let manifest = assets.manifest(pass_json);
        let attributes = cms::signed_attributes(&manifest, signing_time).map_err(|_| BuildError::SigningTime(signing_time))?;
        Ok(Self { pass_json, assets, chain, signing_time, manifest, attributes })
    }

    /// What the leaf's key must sign, by the chain's scheme: the DER of the signed attributes (not yet hashed).
    pub fn message(&self) -> &[u8] {
        &self.attributes
    }

    /// Puts in the signature, after checking it, and gives the package.
    ///
    /// # Errors
    /// When the signature is not by the certificate's key.
    pub fn finish(self, signature: &[u8]) -> Result<Vec<u8>, BuildError> {
        if self.chain.verifies(&self.attributes, signature) {
            Ok(self.assemble(signature))
        } else {
            Err(BuildError::WrongSignature)
        }
    }

    fn assemble(self, signature: &[u8]) -> Vec<u8> {
        let signature = self.chain.template().assemble(&self.attributes, signature);
        let deflated = zip::deflate(self.pass_json);
        let pass_body = deflated.as_deref().map_or(Body::Stored(self.pass_json), Body::Deflated);
        let entry = |path, data: &[u8], body| Entry { path, crc32: crc32fast::hash(data), size: data.len() as u32, body };
        let own: [Entry<'_>; OWN_FILES] = [
            entry("pass.json", self.pass_json, pass_body),
            entry("manifest.json", &self.manifest, Body::Stored(&self.manifest)),
            entry("signature", &signature, Body::Stored(&signature)),
        ];
        let room = self.assets.room() + own.iter().map(Entry::room).sum::<usize>() + zip::END_BYTES;
        let mut out = Vec::with_capacity(room);
        let mut central = Vec::with_capacity(room.min(8192));
        let time = DosTime::from_unix(self.signing_time);
        self.assets.write(time, &mut out, &mut central);
        own.iter().for_each(|entry| entry.write(time, &mut out, &mut central));
        zip::finish(&mut out, &central, self.assets.files().len() + OWN_FILES);
        out
    }
}
