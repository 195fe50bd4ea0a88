//! What the phone makes of a package: unpack, check the manifest, read `pass.json`, refuse what Wallet refuses.
//!
//! Source: Apple, *Building a Pass* and *Wallet Passes / Pass*.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::Value;

use super::archive;

/// Shortest authentication token that Wallet accepts, in characters.
const MIN_TOKEN_CHARS: usize = 16;
const STYLES: [&str; 5] = ["boardingPass", "coupon", "eventTicket", "generic", "storeCard"];
const FIELD_GROUPS: [&str; 6] =
    ["headerFields", "primaryFields", "secondaryFields", "auxiliaryFields", "backFields", "additionalInfoFields"];

/// Pass type and serial: what makes a pass itself. A second package with the same pair replaces the first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PassKey {
    /// `passTypeIdentifier`.
    pub pass_type: String,
    /// `serialNumber`.
    pub serial: String,
}

/// Where a pass wants to be kept up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebService {
    /// `webServiceURL`, without a slash at the end.
    pub url: String,
    /// `authenticationToken`.
    pub token: String,
}

/// A field as the phone shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownField {
    /// `key`.
    pub key: String,
    /// `label`, if any.
    pub label: Option<String>,
    /// `value` as text.
    pub value: String,
    /// `changeMessage`, if any.
    pub change_message: Option<String>,
}

/// A pass in the phone's Wallet.
#[derive(Debug, Clone, PartialEq)]
pub struct WalletPass {
    /// Pass type and serial.
    pub key: PassKey,
    /// `teamIdentifier`.
    pub team: String,
    /// `organizationName`, the title of a lock-screen line.
    pub organization: String,
    /// `description`.
    pub description: String,
    /// Whether the pass is greyed out for good.
    pub voided: bool,
    /// Where it is kept up to date, if anywhere.
    pub web_service: Option<WebService>,
    /// All fields, front and back, in order.
    pub fields: Vec<ShownField>,
    /// The whole of `pass.json`.
    pub json: Value,
    /// The names of all files in the package.
    pub files: Vec<String>,
}

/// Why Wallet does not take a package, in a sentence. A real phone says nothing or "Cannot add pass".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the phone refuses the pass: {0}")]
pub struct Refused(pub String);

impl WalletPass {
    /// Reads a package as a phone does, except for the signature's certificates.
    ///
    /// # Errors
    /// The first thing for which a phone refuses it.
    pub fn read(pkpass: &[u8]) -> Result<Self, Refused> {
        let files = archive::unpack(pkpass).map_err(Refused)?;
        check_manifest(&files)?;
        if files.get("signature").is_none_or(Vec::is_empty) {
            return refuse("it has no signature");
        }
        if !["icon.png", "icon@2x.png", "icon@3x.png"].iter().any(|icon| files.contains_key(*icon)) {
            return refuse("it has no icon");
        }
        let Some(bytes) = files.get("pass.json") else { return refuse("it has no pass.json") };
        let json: Value = serde_json::from_slice(bytes).map_err(|error| Refused(format!("pass.json: {error}")))?;
        Self::from_json(json, files.into_keys().collect())
    }

    fn from_json(json: Value, files: Vec<String>) -> Result<Self, Refused> {
        let text = |key: &str| match json[key].as_str() {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => refuse(format!("pass.json: {key} is missing or not text")),
        };
        if json["formatVersion"] != 1 {
            return refuse("pass.json: formatVersion is not 1");
        }
        let style = match STYLES.iter().filter(|style| json.get(**style).is_some()).collect::<Vec<_>>()[..] {
            [style] => &json[*style],
            _ => return refuse(format!("pass.json: not exactly one of {}", STYLES.join(", "))),
        };
        let web_service = web_service(&json)?;
        Ok(Self {
            key: PassKey { pass_type: text("passTypeIdentifier")?, serial: text("serialNumber")? },
            team: text("teamIdentifier")?,
            organization: text("organizationName")?,
            description: text("description")?,
            voided: json["voided"] == true,
            web_service,
            fields: fields(style)?,
            files,
            json,
        })
    }

    /// The field with this key.
    #[must_use]
    pub fn field(&self, key: &str) -> Option<&ShownField> {
        self.fields.iter().find(|field| field.key == key)
    }

    /// The line on the lock screen when `newer` replaces this pass, if there is one: a single changed field speaks with
    /// its change message, several speak with one general line, and fields without a change message are silent.
    #[must_use]
    pub fn lock_screen_line(&self, newer: &Self) -> Option<String> {
        let general = || format!("{} changed", newer.description);
        let mut speaking = newer.fields.iter().filter_map(|field| {
            let changed = self.field(&field.key).is_none_or(|old| old.value != field.value);
            field.change_message.as_ref().filter(|_| changed).map(|message| (message, &field.value))
        });
        match (speaking.next()?, speaking.next()) {
            ((message, value), None) if message.contains("%@") => Some(message.replace("%@", value)),
            _ => Some(general()),
        }
    }
}

fn refuse<T>(reason: impl Into<String>) -> Result<T, Refused> {
    Err(Refused(reason.into()))
}

fn check_manifest(files: &BTreeMap<String, Vec<u8>>) -> Result<(), Refused> {
    let Some(manifest) = files.get("manifest.json") else { return refuse("it has no manifest.json") };
    let manifest: BTreeMap<String, String> =
        serde_json::from_slice(manifest).map_err(|error| Refused(format!("manifest.json: {error}")))?;
    for (name, content) in files.iter().filter(|(name, _)| !matches!(name.as_str(), "manifest.json" | "signature")) {
        let hash =
            digest(&SHA1_FOR_LEGACY_USE_ONLY, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        match manifest.get(name) {
            None => return refuse(format!("{name} is not in the manifest")),
            Some(listed) if *listed != hash => return refuse(format!("{name} does not match its hash in the manifest")),
            Some(_) => {}
        }
    }
    match manifest.keys().find(|name| !files.contains_key(*name)) {
        Some(name) => refuse(format!("{name} is in the manifest but not in the package")),
        None => Ok(()),
    }
}

fn web_service(json: &Value) -> Result<Option<WebService>, Refused> {
    match (json.get("webServiceURL"), json.get("authenticationToken")) {
        (None, None) => Ok(None),
        (Some(Value::String(url)), Some(Value::String(token))) => {
            if !(url.starts_with("https://") || url.starts_with("http://")) {
                return refuse("pass.json: webServiceURL is not http or https");
            }
            if token.chars().count() < MIN_TOKEN_CHARS {
                return refuse(format!("pass.json: authenticationToken is shorter than {MIN_TOKEN_CHARS} characters"));
            }
            Ok(Some(WebService { url: url.trim_end_matches('/').to_owned(), token: token.clone() }))
        }
        _ => refuse("pass.json: webServiceURL and authenticationToken go together, both as text"),
    }
}

fn fields(style: &Value) -> Result<Vec<ShownField>, Refused> {
    let mut fields: Vec<ShownField> = Vec::new();
    for group in FIELD_GROUPS {
        for field in style[group].as_array().into_iter().flatten() {
            let Some(key) = field["key"].as_str() else { return refuse(format!("pass.json: a field of {group} has no key")) };
            if fields.iter().any(|other| other.key == key) {
                return refuse(format!("pass.json: two fields have the key {key}"));
            }
            let Some(value) = shown(field) else { return refuse(format!("pass.json: field {key} has no value")) };
            fields.push(ShownField {
                key: key.to_owned(),
                label: field["label"].as_str().map(str::to_owned),
                value,
                change_message: field["changeMessage"].as_str().map(str::to_owned),
            });
        }
    }
    Ok(fields)
}

/// The value as text. Dates stay as written; an amount gets its currency code in front.
fn shown(field: &Value) -> Option<String> {
    let text = match &field["value"] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(match field["currencyCode"].as_str() {
        Some(currency) => format!("{currency} {text}"),
        None => text,
    })
}
