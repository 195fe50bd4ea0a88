//! How we prove to the receiver of a webhook or a destination who we are, beside the signature: checked as far as that goes without
//! asking anybody.

use connectors::kit::headers;
use domain::{ClientCertificate, Hidden, Target, TargetAuth};
use outbound::{
    http::{Client, Identity, Roots, Settings},
    policy::AddressPolicy,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, Problem};

/// Longest name and secret, in bytes.
const MAX_BYTES: usize = 4_096;
/// Longest certificate chain and key, in bytes.
const MAX_PEM_BYTES: usize = 64 * 1_024;

/// How we prove who we are. Secrets are kept sealed, and answers show null in their place; a null that is given keeps the one
/// that is stored.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = WebhookAuth)]
pub(super) enum AuthInput {
    /// HTTP Basic.
    Basic {
        /// The user, without a colon.
        #[schema(max_length = 4096)]
        user: String,
        /// The password.
        #[serde(default)]
        #[schema(max_length = 4096)]
        password: Option<String>,
    },
    /// A fixed bearer token.
    Bearer {
        /// The token.
        #[serde(default)]
        #[schema(max_length = 4096)]
        token: Option<String>,
    },
    /// A bearer token that is got by OAuth 2.0 client credentials, kept until it ends, and got anew when it is refused.
    Oauth2 {
        /// The token endpoint.
        #[schema(examples("https://id.example.com/oauth/token"))]
        token_url: String,
        /// The client's id.
        #[schema(max_length = 4096)]
        client_id: String,
        /// Its secret.
        #[serde(default)]
        #[schema(max_length = 4096)]
        client_secret: Option<String>,
        /// The scope that is asked for.
        #[serde(default)]
        #[schema(max_length = 4096)]
        scope: Option<String>,
        /// The audience that is asked for, where the server wants one.
        #[serde(default)]
        #[schema(max_length = 4096)]
        audience: Option<String>,
        /// Whether id and secret are sent in the body instead of by HTTP Basic.
        #[serde(default)]
        in_body: bool,
    },
}

/// A certificate that we show where the receiver asks for one (mutual TLS).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookCertificate)]
pub(super) struct CertificateInput {
    /// The chain in PEM, leaf first.
    #[schema(max_length = 65536)]
    chain: String,
    /// The leaf's private key in PEM: PKCS#8, PKCS#1 or SEC 1. Kept sealed like other secrets.
    #[serde(default)]
    #[schema(max_length = 65536)]
    private_key: Option<String>,
}

fn secret(given: Option<String>, held: Option<&Hidden>, at: &str) -> Result<Hidden, Problem> {
    let kept = || held.filter(|held| !held.0.is_empty()).cloned();
    let missing = || Problem::field(at, "give its value: there is none to keep");
    given.map(Hidden).or_else(kept).ok_or_else(missing)
}

impl AuthInput {
    pub(super) fn of(auth: &TargetAuth) -> Self {
        match auth.clone() {
            TargetAuth::Basic { user, .. } => Self::Basic { user, password: None },
            TargetAuth::Bearer { .. } => Self::Bearer { token: None },
            TargetAuth::Oauth2 { token_url, client_id, scope, audience, in_body, .. } => {
                Self::Oauth2 { token_url, client_id, client_secret: None, scope, audience, in_body }
            }
        }
    }

    /// What is asked for; `held` is what it replaces.
    pub(super) fn check(self, app: &App, held: Option<&TargetAuth>) -> Result<TargetAuth, Problem> {
        let auth = match self {
            Self::Basic { user, password } => {
                let held = held.and_then(|held| match held {
                    TargetAuth::Basic { password, .. } => Some(password),
                    _ => None,
                });
                if user.contains(':') {
                    return Err(Problem::field("auth.user", "a user's name has no colon"));
                }
                TargetAuth::Basic { user, password: secret(password, held, "auth.password")? }
            }
            Self::Bearer { token } => {
                let held = held.and_then(|held| match held {
                    TargetAuth::Bearer { token } => Some(token),
                    _ => None,
                });
                let token = secret(token, held, "auth.token")?;
                if token.0.is_empty() || !token.0.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(Problem::field("auth.token", "a token has visible ASCII characters alone"));
                }
                TargetAuth::Bearer { token }
            }
            Self::Oauth2 { token_url, client_id, client_secret, scope, audience, in_body } => {
                let held = held.and_then(|held| match held {
                    // A stored secret goes nowhere else than where it was meant for.
                    TargetAuth::Oauth2 { token_url: url, client_secret, .. } if *url == token_url => Some(client_secret),
                    _ => None,
                });
                let refused = |refusal: outbound::policy::Refusal| Problem::field("auth.token_url", refusal.to_string());
                app.settings.address_policy.check_url(&token_url).map_err(refused)?;
                let client_secret = secret(client_secret, held, "auth.client_secret")?;
                TargetAuth::Oauth2 { token_url, client_id, client_secret, scope, audience, in_body }
            }
        };
        let longest = serde_json::to_string(&auth).unwrap_or_default().len();
        if longest > 2 * MAX_BYTES {
            return Err(Problem::field("auth", format!("at most {MAX_BYTES} bytes each")));
        }
        Ok(auth)
    }
}

impl CertificateInput {
    pub(super) fn of(certificate: &ClientCertificate) -> Self {
        Self { chain: certificate.chain.clone(), private_key: None }
    }

    /// What is asked for; `held` is what it replaces.
    pub(super) fn check(self, held: Option<&ClientCertificate>) -> Result<ClientCertificate, Problem> {
        let private_key = secret(self.private_key, held.map(|held| &held.private_key), "certificate.private_key")?;
        if self.chain.len() > MAX_PEM_BYTES || private_key.0.len() > MAX_PEM_BYTES {
            return Err(Problem::field("certificate", format!("at most {MAX_PEM_BYTES} bytes")));
        }
        let certificate = ClientCertificate { chain: self.chain, private_key };
        let usable = Identity::from_pem(&certificate.chain, &certificate.private_key.0).and_then(|identity| {
            let none = Roots::only(&[]).map_err(|error| outbound::http::BadIdentity::from(error.to_string()))?;
            let settings = Settings { identity: Some(identity), ..Settings::new(AddressPolicy::default(), none) };
            Client::new(settings).map(drop)
        });
        usable.map_err(|error| Problem::field("certificate", error.to_string()))?;
        Ok(certificate)
    }
}

/// Refuses two proofs in one header.
pub(super) fn check_headers(target: &Target) -> Result<(), Problem> {
    headers::check(&target.headers).map_err(|fault| Problem::field("headers", fault.to_string()))?;
    let twice = target.auth.is_some() && target.headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
    if twice { Err(Problem::field("headers.Authorization", "`auth` sets it: leave one of the two out")) } else { Ok(()) }
}
