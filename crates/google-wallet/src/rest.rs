//! Requests to Google's REST interface as values, and what an answer means.
//!
//! Google has no call that deletes a class or an object: set an object's state instead. It publishes one limit, 20
//! requests per second and project, and no headers about it.
//! Public source: <https://developers.google.com/wallet/reference/rest>.

mod batch;
mod judge;
mod shape;
mod token;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};
use serde::Serialize;
use serde_json::{Map, Value, json};
use thiserror::Error;

pub use batch::{Part, batch, read_batch};
pub use judge::{Quota, Verdict, judge};
pub use shape::Shape;
pub use token::{AccessToken, MAX_TOKEN_SECONDS, SCOPE, TokenError, read_token, token_request, token_request_for};

use crate::id::ResourceId;
use crate::model::{Class, Message, Object, Vertical};

/// Where the REST interface is.
pub const BASE: &str = "https://walletobjects.googleapis.com/walletobjects/v1";
/// Requests per second that Google grants a project.
pub const REQUESTS_PER_SECOND: u32 = 20;
/// Objects on one page of a list at most.
pub const MAX_PAGE: u32 = 1000;

/// A class or an object, by vertical and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A class.
    Class(Vertical),
    /// An object.
    Object(Vertical),
}

impl Kind {
    /// The collection that it is in, which begins its path: `loyaltyClass`.
    pub fn collection(self) -> String {
        match self {
            Self::Class(vertical) => format!("{}Class", vertical.stem()),
            Self::Object(vertical) => format!("{}Object", vertical.stem()),
        }
    }
}

/// Builds requests; holds the address and a token that is good for about an hour.
pub struct Api<'a> {
    base: &'a str,
    authorization: HeaderValue,
}

impl<'a> Api<'a> {
    /// `base` is [`BASE`], or a simulator's address.
    pub fn new(base: &'a str, token: &str) -> Result<Self, RestError> {
        let base = base.trim_end_matches('/');
        let uri: Uri = base.parse().map_err(|_| RestError::Base)?;
        if uri.host().is_none() || !matches!(uri.scheme_str(), Some("https" | "http")) || uri.query().is_some() {
            return Err(RestError::Base);
        }
        let mut authorization = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| RestError::Token)?;
        authorization.set_sensitive(true);
        Ok(Self { base, authorization })
    }

    /// Creates a class; answers 409 when it exists.
    pub fn insert_class(&self, class: &Class) -> Result<Request<Bytes>, RestError> {
        self.write(Method::POST, &Kind::Class(class.vertical()).collection(), class)
    }

    /// Creates an object; answers 409 when it exists.
    pub fn insert_object(&self, object: &Object) -> Result<Request<Bytes>, RestError> {
        self.write(Method::POST, &Kind::Object(object.vertical()).collection(), object)
    }

    /// Changes the fields that are given, and no other.
    pub fn patch_class(&self, class: &Class) -> Result<Request<Bytes>, RestError> {
        let id: ResourceId = class.common().id.parse()?;
        self.write(Method::PATCH, &format!("{}/{id}", Kind::Class(class.vertical()).collection()), class)
    }

    /// Changes the fields that are given, and no other; lists are replaced whole.
    pub fn patch_object(&self, object: &Object) -> Result<Request<Bytes>, RestError> {
        let id: ResourceId = object.common().id.parse()?;
        self.write(Method::PATCH, &format!("{}/{id}", Kind::Object(object.vertical()).collection()), object)
    }

    /// Changes the given keys of a class or an object; `null` empties one, lists are replaced whole.
    pub fn patch(&self, kind: Kind, id: &ResourceId, keys: &Map<String, Value>) -> Result<Request<Bytes>, RestError> {
        self.write(Method::PATCH, &format!("{}/{id}", kind.collection()), keys)
    }

    /// Replaces an object whole: fields that are left out are emptied.
    pub fn update_object(&self, object: &Object) -> Result<Request<Bytes>, RestError> {
        let id: ResourceId = object.common().id.parse()?;
        self.write(Method::PUT, &format!("{}/{id}", Kind::Object(object.vertical()).collection()), object)
    }

    /// Reads one; an object's `hasUsers` says whether anybody holds it.
    pub fn get(&self, kind: Kind, id: &ResourceId) -> Result<Request<Bytes>, RestError> {
        self.read(&format!("{}/{id}", kind.collection()))
    }

    /// Lists a class's objects, a page of at most [`MAX_PAGE`] at a time; `page` is the `nextPageToken` of the page before.
    pub fn list_objects(
        &self,
        class: &ResourceId,
        vertical: Vertical,
        page_size: u32,
        page: Option<&str>,
    ) -> Result<Request<Bytes>, RestError> {
        let size = page_size.clamp(1, MAX_PAGE);
        let mut path = format!("{}?classId={class}&maxResults={size}", Kind::Object(vertical).collection());
        push_page(&mut path, page);
        self.read(&path)
    }

    /// Lists an issuer's classes of one vertical.
    pub fn list_classes(
        &self,
        issuer: &str,
        vertical: Vertical,
        page_size: u32,
        page: Option<&str>,
    ) -> Result<Request<Bytes>, RestError> {
        if issuer.is_empty() || !issuer.bytes().all(|b| b.is_ascii_digit()) {
            return Err(RestError::Issuer);
        }
        let size = page_size.clamp(1, MAX_PAGE);
        let mut path = format!("{}?issuerId={issuer}&maxResults={size}", Kind::Class(vertical).collection());
        push_page(&mut path, page);
        self.read(&path)
    }

    /// Adds a message; one that notifies counts against three per pass in 24 hours.
    pub fn add_message(&self, kind: Kind, id: &ResourceId, message: &Message) -> Result<Request<Bytes>, RestError> {
        self.write(Method::POST, &format!("{}/{id}/addMessage", kind.collection()), &json!({"message": message}))
    }

    /// Asks Google whether the token of a save link would be taken; an empty answer means yes.
    pub fn validate_jwt(&self, jwt: &str) -> Result<Request<Bytes>, RestError> {
        self.write(Method::POST, "jwt/validate", &json!({"jwtResource": {"jwt": jwt}}))
    }

    /// Inserts what the token of a save link carries; the answer holds a short `saveUri`.
    pub fn insert_jwt(&self, jwt: &str) -> Result<Request<Bytes>, RestError> {
        self.write(Method::POST, "jwt", &json!({"jwt": jwt}))
    }

    fn read(&self, path: &str) -> Result<Request<Bytes>, RestError> {
        self.request(Method::GET, path, Bytes::new())
    }

    fn write<T: Serialize>(&self, method: Method, path: &str, body: &T) -> Result<Request<Bytes>, RestError> {
        let body = serde_json::to_vec(body).map_err(|_| RestError::NotJson)?;
        self.request(method, path, Bytes::from(body))
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Bytes>, RestError> {
        let mut request =
            Request::builder().method(method).uri(format!("{}/{path}", self.base)).body(body).map_err(|_| RestError::Base)?;
        if !request.body().is_empty() {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request.headers_mut().insert(AUTHORIZATION, self.authorization.clone());
        Ok(request)
    }
}

fn push_page(path: &mut String, page: Option<&str>) {
    if let Some(page) = page {
        path.push_str("&token=");
        push_escaped(path, page);
    }
}

/// Percent-escapes all but the characters that RFC 3986 calls unreserved.
pub(crate) fn push_escaped(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Why a request could not be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RestError {
    /// The address of the interface is none.
    #[error("the address of Google's interface is no absolute http address: use {BASE}")]
    Base,
    /// The access token holds characters that no header may hold.
    #[error("the access token holds characters that no header may hold: fetch a new one")]
    Token,
    /// The issuer is no number.
    #[error("the issuer is no number: take it from the Google Wallet console")]
    Issuer,
    /// The id of a class or an object is malformed.
    #[error(transparent)]
    Id(#[from] crate::id::IdError),
    /// The body cannot be written as JSON.
    #[error("the body cannot be written as JSON: look for numbers that are not finite")]
    NotJson,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> Object {
        Object::from_value(Vertical::EventTicket, json!({"id": "33.t-1", "classId": "33.concert", "state": "ACTIVE"})).unwrap()
    }

    #[test]
    fn requests_go_where_the_discovery_document_says() {
        let api = Api::new(BASE, "ya29.secret").unwrap();
        let id: ResourceId = "33.t-1".parse().unwrap();
        let class: ResourceId = "33.concert".parse().unwrap();
        let table = [
            (api.insert_object(&object()), "POST", "/walletobjects/v1/eventTicketObject"),
            (api.patch_object(&object()), "PATCH", "/walletobjects/v1/eventTicketObject/33.t-1"),
            (api.update_object(&object()), "PUT", "/walletobjects/v1/eventTicketObject/33.t-1"),
            (api.get(Kind::Class(Vertical::GiftCard), &class), "GET", "/walletobjects/v1/giftCardClass/33.concert"),
            (
                api.list_objects(&class, Vertical::Loyalty, 5000, Some("a b&c")),
                "GET",
                "/walletobjects/v1/loyaltyObject?classId=33.concert&maxResults=1000&token=a%20b%26c",
            ),
            (api.list_classes("33", Vertical::Offer, 10, None), "GET", "/walletobjects/v1/offerClass?issuerId=33&maxResults=10"),
            (
                api.add_message(Kind::Object(Vertical::Generic), &id, &Message::default()),
                "POST",
                "/walletobjects/v1/genericObject/33.t-1/addMessage",
            ),
            (api.validate_jwt("a.b.c"), "POST", "/walletobjects/v1/jwt/validate"),
            (api.insert_jwt("a.b.c"), "POST", "/walletobjects/v1/jwt"),
        ];
        for (request, method, path) in table {
            let request = request.unwrap();
            assert_eq!((request.method().as_str(), request.uri().path_and_query().unwrap().as_str()), (method, path));
            assert_eq!(request.uri().host(), Some("walletobjects.googleapis.com"));
            assert_eq!(request.headers()[AUTHORIZATION], "Bearer ya29.secret");
            assert!(!format!("{request:?}").contains("ya29"), "the token shows in Debug");
            assert_eq!(request.headers().contains_key(CONTENT_TYPE), method != "GET");
        }
    }

    #[test]
    fn bodies_are_the_object_or_its_envelope() {
        let api = Api::new("http://127.0.0.1:9/x/", "t").unwrap();
        let request = api.insert_object(&object()).unwrap();
        assert_eq!(request.uri(), "http://127.0.0.1:9/x/eventTicketObject");
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        assert_eq!(body, json!({"id": "33.t-1", "classId": "33.concert", "state": "ACTIVE"}));
        let body: Value = serde_json::from_slice(api.validate_jwt("a.b.c").unwrap().body()).unwrap();
        assert_eq!(body, json!({"jwtResource": {"jwt": "a.b.c"}}));
    }

    #[test]
    fn an_id_cannot_leave_its_place_in_the_path() {
        let api = Api::new(BASE, "t").unwrap();
        let mut bad = object();
        bad.common_mut().id = "33.a/../../x".to_owned();
        assert!(matches!(api.patch_object(&bad), Err(RestError::Id(_))));
        assert_eq!(api.list_classes("33&x=1", Vertical::Offer, 1, None).unwrap_err(), RestError::Issuer);
        assert!(matches!(Api::new(BASE, "a\nb"), Err(RestError::Token)));
        assert!(matches!(Api::new("ftp://x", "t"), Err(RestError::Base)));
    }
}
