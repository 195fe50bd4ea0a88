//! Access tokens for signed assertions (RFC 7523), and who may act for which issuer.

use std::collections::{BTreeSet, HashMap};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::KeyPair;
use http::StatusCode;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::{Value, json};

use super::Answer;

const SCOPE: &str = "https://www.googleapis.com/auth/wallet_object.issuer";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Longest life of an assertion and of a token, in seconds.
const MAX_SECONDS: i64 = 3_600;
/// How far a client's clock may be ahead, in seconds.
const SKEW_SECONDS: i64 = 60;

/// What was handed in is no key file of a service account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no key file of a service account: {0}")]
pub struct BadKeyFile(&'static str);

#[derive(Default)]
pub(super) struct Accounts {
    by_email: HashMap<String, Account>,
    tokens: HashMap<String, Granted>,
    granted: u64,
}

struct Account {
    key: DecodingKey,
    issuers: BTreeSet<String>,
}

struct Granted {
    email: String,
    expires_ms: i64,
}

impl Accounts {
    pub(super) fn add_user(&mut self, key_file: &[u8], issuer: &str) -> Result<(), BadKeyFile> {
        let file: Value = serde_json::from_slice(key_file).map_err(|_| BadKeyFile("no JSON"))?;
        let email = file["client_email"].as_str().ok_or(BadKeyFile("no client_email"))?;
        let pem = file["private_key"].as_str().ok_or(BadKeyFile("no private_key"))?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| BadKeyFile("private_key is no PEM"))?;
        let pair = aws_lc_rs::rsa::KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| BadKeyFile("no RSA key"))?;
        let key = DecodingKey::from_rsa_der(pair.public_key().as_ref());
        let account = self.by_email.entry(email.to_owned()).or_insert(Account { key: key.clone(), issuers: BTreeSet::new() });
        account.key = key;
        account.issuers.insert(issuer.to_owned());
        Ok(())
    }

    pub(super) fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }

    /// Whom a token stands for, while it is good.
    pub(super) fn who(&self, header: Option<&str>, now: i64) -> Option<&str> {
        let token = header?.strip_prefix("Bearer ")?;
        self.tokens.get(token).filter(|granted| granted.expires_ms > now).map(|granted| granted.email.as_str())
    }

    pub(super) fn may(&self, email: &str, issuer: &str) -> bool {
        self.by_email.get(email).is_some_and(|account| account.issuers.contains(issuer))
    }

    /// The claims of a token that the account signed.
    pub(super) fn signed_by(&self, email: &str, jwt: &str, audience: &str) -> Result<Value, &'static str> {
        let account = self.by_email.get(email).ok_or("the service account is unknown")?;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[audience]);
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        validation.required_spec_claims.insert("aud".to_owned());
        jsonwebtoken::decode::<Value>(jwt, &account.key, &validation)
            .map(|read| read.claims)
            .map_err(|_| "Invalid JWT Signature.")
    }

    /// Answers a request for a token.
    pub(super) fn grant(&mut self, body: &[u8], audience: &str, now: i64) -> Answer {
        match self.check(body, audience, now / 1_000) {
            Ok(email) => {
                self.granted += 1;
                let mut random = [0; 16];
                let _ = aws_lc_rs::rand::SecureRandom::fill(&SystemRandom::new(), &mut random);
                let token = format!("ya29.{:032x}.{}", u128::from_be_bytes(random), self.granted);
                self.tokens.insert(token.clone(), Granted { email, expires_ms: now + MAX_SECONDS * 1_000 });
                (StatusCode::OK, json!({"access_token": token, "expires_in": MAX_SECONDS, "token_type": "Bearer"}))
            }
            Err((error, why)) => (StatusCode::BAD_REQUEST, json!({"error": error, "error_description": why})),
        }
    }

    fn check(&self, body: &[u8], audience: &str, now: i64) -> Result<String, (&'static str, &'static str)> {
        let grant = |why| ("invalid_grant", why);
        let form = |name: &str| form_value(body, name);
        if form("grant_type").as_deref() != Some(GRANT) {
            return Err(("unsupported_grant_type", "Invalid grant_type"));
        }
        let assertion = form("assertion").ok_or(("invalid_request", "Missing assertion"))?;
        let email = unverified(&assertion).and_then(|claims| Some(claims["iss"].as_str()?.to_owned()));
        let email = email.ok_or_else(|| grant("Invalid JWT."))?;
        let claims = self.signed_by(&email, &assertion, audience).map_err(grant)?;
        let (issued, expires) = (claims["iat"].as_i64().unwrap_or(i64::MAX), claims["exp"].as_i64().unwrap_or(0));
        if issued > now + SKEW_SECONDS || expires <= now || expires - issued > MAX_SECONDS {
            return Err(grant("Invalid JWT: Token must be a short-lived token and in a reasonable timeframe."));
        }
        if claims["scope"].as_str() != Some(SCOPE) {
            return Err(("invalid_scope", "Invalid OAuth scope or ID token audience provided."));
        }
        Ok(email)
    }
}

/// What a token says, before anybody has believed it.
pub(super) fn unverified(jwt: &str) -> Option<Value> {
    let claims = jwt.split('.').nth(1)?;
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// A value out of a query or a form.
pub(super) fn form_value(form: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(form).ok()?;
    let value = text.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit(rest.next())? << 4 | digit(rest.next())?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}
