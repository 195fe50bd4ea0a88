//! How we prove to a target who we are: an `Authorization` header, a token that is got and kept, a certificate.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use domain::{Target, TargetAuth};
use http::{HeaderValue, Request, StatusCode, header};
use outbound::{
    http::{Client, Failure, Identity, Limits, Reply},
    token::{Login, TokenSource},
};
use zeroize::Zeroizing;

/// What proves it to one target.
pub(crate) struct Proof {
    /// The client with our certificate, where there is one; or why there can be none.
    client: Result<Option<Client>, String>,
    header: Option<Header>,
}

enum Header {
    Fixed(HeaderValue),
    Token(Box<TokenSource>),
    Broken,
}

/// Why a request was not answered.
pub(super) enum Unsent {
    /// It failed on its way.
    Failed(Failure),
    /// It could not be proven who we are.
    Unproven(String),
}

impl Proof {
    /// The proof of a target whose credentials are open; `client` is the one without a certificate.
    pub(crate) fn of(target: &Target, client: &Client) -> Self {
        let with = |it: &domain::ClientCertificate| {
            let identity = Identity::from_pem(&it.chain, &it.private_key.0);
            identity.and_then(|identity| client.with_identity(identity)).map_err(|error| error.to_string())
        };
        Self { client: target.certificate.as_ref().map(with).transpose(), header: target.auth.as_ref().map(Header::of) }
    }

    /// Sends a request with the proof. A token that is refused is got anew, once.
    pub(super) async fn send(&self, plain: &Client, mut request: Request<Bytes>, limits: Limits) -> Result<Reply, Unsent> {
        let client = match &self.client {
            Ok(client) => client.as_ref().unwrap_or(plain),
            Err(why) => return Err(Unsent::Unproven(format!("the client certificate cannot be used: {why}"))),
        };
        let source = match &self.header {
            None => return client.send(request, limits).await.map_err(Unsent::Failed),
            Some(Header::Fixed(value)) => {
                request.headers_mut().insert(header::AUTHORIZATION, value.clone());
                return client.send(request, limits).await.map_err(Unsent::Failed);
            }
            Some(Header::Broken) => return Err(Unsent::Unproven("the credential cannot stand in a header".to_owned())),
            Some(Header::Token(source)) => source,
        };
        let token = source.token(plain).await.map_err(|error| Unsent::Unproven(error.to_string()))?;
        let reply = client.send(with_token(&request, &token)?, limits).await.map_err(Unsent::Failed)?;
        if reply.status != StatusCode::UNAUTHORIZED {
            return Ok(reply);
        }
        let token = source.renew(plain, &token).await.map_err(|error| Unsent::Unproven(error.to_string()))?;
        client.send(with_token(&request, &token)?, limits).await.map_err(Unsent::Failed)
    }
}

impl Header {
    fn of(auth: &TargetAuth) -> Self {
        let value = match auth {
            TargetAuth::Basic { user, password } => {
                let pair = Zeroizing::new(format!("{user}:{}", password.0));
                format!("Basic {}", STANDARD.encode(pair.as_bytes()))
            }
            TargetAuth::Bearer { token } => format!("Bearer {}", token.0),
            TargetAuth::Oauth2 { token_url, client_id, client_secret, scope, audience, in_body } => {
                return Self::Token(Box::new(TokenSource::new(Login {
                    url: token_url.clone(),
                    client_id: client_id.clone(),
                    client_secret: Zeroizing::new(client_secret.0.clone()),
                    scope: scope.clone(),
                    audience: audience.clone(),
                    in_body: *in_body,
                })));
            }
        };
        sensitive(&value).map_or(Self::Broken, Self::Fixed)
    }
}

fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn with_token(request: &Request<Bytes>, token: &str) -> Result<Request<Bytes>, Unsent> {
    let broken = || Unsent::Unproven("the token cannot stand in a header".to_owned());
    let mut request = request.clone();
    request.headers_mut().insert(header::AUTHORIZATION, sensitive(&format!("Bearer {token}")).ok_or_else(broken)?);
    Ok(request)
}
