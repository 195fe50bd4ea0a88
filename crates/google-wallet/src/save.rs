//! The link behind the "Add to Google Wallet" button.
//!
//! A link carries a signed token, and browsers, messengers and mail clients cut long addresses, so it must stay short.
//! What Google already holds is named by its id alone; what it does not hold yet must travel in the link. The shortest
//! allowed form is always taken: it also keeps personal data out of addresses, logs and mail scanners. What travels loses
//! its trimmings when it would not fit otherwise, and the link says which, so that a later patch can bring them.
//! Public source: <https://developers.google.com/wallet/reference/rest/v1/Jwt>.

use serde::Serialize;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::account::{ServiceAccount, SigningError};
use crate::id::{IdError, ResourceId};
use crate::model::{Class, Object};

/// What a link begins with.
pub const SAVE_LINK_PREFIX: &str = "https://pay.google.com/gp/v/save/";
/// Longest token that Google calls safe, in characters.
pub const MAX_JWT_CHARACTERS: usize = 1800;
/// Web sites that may show the button of one link.
pub const MAX_ORIGINS: usize = 20;

/// What a travelling class or object can do without, step by step; required fields are never among them.
const TRIMMINGS: [&[&str]; 3] = [
    &["contentDescription", "messages", "imageModulesData", "merchantLocations", "linksModuleData"],
    &["heroImage", "wideLogo", "wideProgramLogo", "wideTitleImage", "classTemplateInfo", "homepageUri"],
    &["textModulesData"],
];

/// A class or an object of a link, and whether Google already holds it.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a, T> {
    value: &'a T,
    inserted: bool,
}

impl<'a, T> Part<'a, T> {
    /// Google holds it: a class is left out, an object is named by its id.
    #[must_use]
    pub fn inserted(value: &'a T) -> Self {
        Self { value, inserted: true }
    }

    /// Google does not hold it yet: the link carries it in full and saving it creates it.
    #[must_use]
    pub fn carried(value: &'a T) -> Self {
        Self { value, inserted: false }
    }
}

/// What a link shall save.
#[derive(Debug, Clone, Copy)]
pub struct SaveRequest<'a> {
    /// Web sites that show Google's own button, as `https://example.com`; a plain link needs none.
    pub origins: &'a [String],
    /// Classes of the objects.
    pub classes: &'a [Part<'a, Class>],
    /// Objects to be saved, at least one.
    pub objects: &'a [Part<'a, Object>],
}

/// How much a link carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// At least one class travels in full.
    Full,
    /// At least one object travels in full, no class does.
    ObjectOnly,
    /// Only ids travel.
    Skinny,
}

/// A finished link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveLink {
    /// The address that the holder opens.
    pub url: String,
    /// The token inside it, for the `jwt.insert` and `jwt.validate` calls.
    pub jwt: String,
    /// How much it carries.
    pub form: Form,
    /// Keys that had to be left out of what travels; patch class and object once they are saved.
    pub left_out: Vec<&'static str>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'static str,
    typ: &'static str,
    iat: i64,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    origins: &'a [String],
    payload: &'a Map<String, Value>,
}

/// Signs the shortest allowed link. `iat_unix` is the time of issue in seconds since 1970.
pub fn save_link(account: &ServiceAccount, request: &SaveRequest<'_>, iat_unix: i64) -> Result<SaveLink, SaveError> {
    check_origins(request.origins)?;
    if request.objects.is_empty() {
        return Err(SaveError::NothingToSave);
    }
    let (mut payload, form) = payload(request)?;
    let mut left_out = Vec::new();
    let mut steps = TRIMMINGS.iter();
    loop {
        let claims = Claims {
            iss: account.client_email(),
            aud: "google",
            typ: "savetowallet",
            iat: iat_unix,
            origins: request.origins,
            payload: &payload,
        };
        let jwt = account.sign_jwt(&claims, false)?;
        if jwt.len() <= MAX_JWT_CHARACTERS {
            return Ok(SaveLink { url: format!("{SAVE_LINK_PREFIX}{jwt}"), jwt, form, left_out });
        }
        let Some(keys) = steps.next().filter(|_| form != Form::Skinny) else {
            return Err(SaveError::too_long(jwt.len(), form));
        };
        left_out.extend(keys.iter().filter(|key| trim(&mut payload, key)));
    }
}

/// A token for `jwt.validate` that carries a class and an object whole: it goes into a request, not into a link, so its length
/// does not matter. `iat_unix` is the time of issue in seconds since 1970.
///
/// # Errors
/// When an id is malformed, or the key cannot sign.
pub fn dry_run_jwt(account: &ServiceAccount, class: &Class, object: &Object, iat_unix: i64) -> Result<String, SaveError> {
    let (classes, objects) = ([Part::carried(class)], [Part::carried(object)]);
    let (payload, _) = payload(&SaveRequest { origins: &[], classes: &classes, objects: &objects })?;
    let (iss, origins) = (account.client_email(), &[][..]);
    let claims = Claims { iss, aud: "google", typ: "savetowallet", iat: iat_unix, origins, payload: &payload };
    Ok(account.sign_jwt(&claims, false)?)
}

/// Removes a key wherever it stands; says whether it stood anywhere.
fn trim(object: &mut Map<String, Value>, key: &str) -> bool {
    let mut found = object.shift_remove(key).is_some();
    for value in object.values_mut() {
        found |= trim_value(value, key);
    }
    found
}

fn trim_value(value: &mut Value, key: &str) -> bool {
    match value {
        Value::Object(object) => trim(object, key),
        Value::Array(list) => list.iter_mut().filter_map(|value| trim_value(value, key).then_some(())).count() > 0,
        _ => false,
    }
}

fn payload(request: &SaveRequest<'_>) -> Result<(Map<String, Value>, Form), SaveError> {
    let mut payload = Map::new();
    let mut form = Form::Skinny;
    for part in request.objects {
        let common = part.value.common();
        checked(&common.id)?;
        checked(&common.class_id)?;
        let body = if part.inserted {
            json!({"id": common.id, "classId": common.class_id})
        } else {
            form = Form::ObjectOnly;
            serde_json::to_value(part.value).map_err(|_| SaveError::NotJson)?
        };
        push(&mut payload, format!("{}Objects", part.value.vertical().stem()), body);
    }
    for part in request.classes.iter().filter(|part| !part.inserted) {
        checked(&part.value.common().id)?;
        form = Form::Full;
        let body = serde_json::to_value(part.value).map_err(|_| SaveError::NotJson)?;
        push(&mut payload, format!("{}Classes", part.value.vertical().stem()), body);
    }
    Ok((payload, form))
}

fn push(payload: &mut Map<String, Value>, key: String, body: Value) {
    if let Value::Array(list) = payload.entry(key).or_insert_with(|| Value::Array(Vec::new())) {
        list.push(body);
    }
}

fn checked(id: &str) -> Result<(), SaveError> {
    id.parse::<ResourceId>().map(|_| ()).map_err(SaveError::Id)
}

fn check_origins(origins: &[String]) -> Result<(), SaveError> {
    if origins.len() > MAX_ORIGINS {
        return Err(SaveError::TooManyOrigins { count: origins.len() });
    }
    for origin in origins {
        let good = origin.parse::<http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("https" | "http"))
                && uri.host().is_some()
                && uri.path() == "/"
                && uri.query().is_none()
        });
        if !good || origin.ends_with('/') {
            return Err(SaveError::Origin { origin: origin.chars().take(200).collect() });
        }
    }
    Ok(())
}

/// Why no link was made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SaveError {
    /// No object was given.
    #[error("a save link needs at least one object: give the pass that shall be saved")]
    NothingToSave,
    /// An id of a class or an object is malformed.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A web site is no origin.
    #[error("`{origin}` is no origin: write scheme and host alone, as https://example.com")]
    Origin {
        /// What was given.
        origin: String,
    },
    /// More origins than [`MAX_ORIGINS`].
    #[error("{count} origins are given, at most {MAX_ORIGINS} are taken: keep those that show the button")]
    TooManyOrigins {
        /// How many were given.
        count: usize,
    },
    /// Even the shortest allowed form is too long.
    #[error("the token has {characters} characters, {MAX_JWT_CHARACTERS} are safe: {mend}")]
    TooLong {
        /// Its length.
        characters: usize,
        /// Its form.
        form: Form,
        /// What makes it shorter.
        mend: &'static str,
    },
    /// A class or object could not be written as JSON, as when a number is not finite.
    #[error("a class or object cannot be written as JSON: look for numbers that are not finite")]
    NotJson,
    /// The key could not sign.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl SaveError {
    fn too_long(characters: usize, form: Form) -> Self {
        let mend = match form {
            Form::Full => "insert the class at Google first, so that the link carries only the object",
            Form::ObjectOnly => "insert the object at Google first, so that the link carries only its id",
            Form::Skinny => "put fewer objects or origins into one link",
        };
        Self::TooLong { characters, form, mend }
    }
}
