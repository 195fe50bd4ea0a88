//! What a phone, or Google, would say to a design, found on a sample pass before anything is stored or sent.

use bytes::Bytes;
use domain::{Contact, Design, FieldType, FieldValue, Lifecycle, Pass, Project, Template, Wallet};
use google_wallet::Vertical;
use pkpass::{Assets, Severity, model::MAX_REMOTE_IMAGE_BYTES};
use serde_json::{Map, Value, json};

use crate::apple::file_name;
use crate::google::{PROTECTED_OF_CLASS, PROTECTED_OF_OBJECT};
use crate::{
    AppleContext, AssetsError, CodeSigner, GoogleContext, OverlayError, PassView, RenderError, apple, apple_assets, google_class,
    google_object, has_flights, sample_flight,
};

/// Google's description of what its classes and objects need.
const GOOGLE_SOURCE: &str = "https://developers.google.com/wallet/reference/rest";
/// Apple's description of what stands in `pass.json`.
const APPLE_SOURCE: &str = "https://developer.apple.com/documentation/walletpasses/pass";
/// The rule of a key that a design sets as it stands and that no pass can be drawn with: such a design is not even saved.
pub const MISFIT_RULE: &str = "key_shape";
/// What stands for the parts that only a real pass has.
const SAMPLE: AppleContext<'static> = AppleContext {
    pass_type: "pass.example.sample",
    team: "SAMPLE1234",
    web_service_url: "https://passes.example/apple",
    auth_token: "0123456789abcdef0123456789abcdef",
    image_url: Some(&|hash| format!("https://passes.example/images/{hash}.png")),
};

/// One thing that a wallet would refuse or leave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which wallet.
    pub wallet: Wallet,
    /// What it means for the holder.
    pub severity: Severity,
    /// Which part of the design, as a dotted path.
    pub path: String,
    /// A stable name of the rule.
    pub rule: String,
    /// The public page that the rule stands on.
    pub source: &'static str,
    /// What the wallet does about it.
    pub consequence: String,
    /// What to change.
    pub mend: String,
}

/// A pass that shows what a design is like: every field and balance has a value of its type.
///
/// # Errors
/// When the template has no project, or a field no possible value; neither happens with what was stored.
pub fn sample_pass(project: &Project, template: &Template) -> Result<Pass, RenderError> {
    let value = |field: &domain::FieldDef| match field.field_type {
        FieldType::Text => FieldValue::Text(field.label.clone()),
        FieldType::Number => FieldValue::Number(12.into()),
        FieldType::Flag => FieldValue::Flag(true),
        FieldType::Time => FieldValue::Text("2026-11-20T18:30:00+01:00".to_owned()),
    };
    let fields: std::collections::BTreeMap<_, _> =
        project.fields.iter().map(|field| (field.key.clone(), field.default.clone().unwrap_or_else(|| value(field)))).collect();
    let variant = project.variants.iter().find(|variant| variant.template == template.id).or(project.variants.first());
    let at = "2026-11-20T09:30:00Z";
    let pass = json!({
        "id": "0000000000000000000001", "project": project.id, "template": template.id,
        "variant": variant.map_or("sample", |variant| variant.id.as_str()),
        "external_id": "1042", "serial": "0000000000000000000001", "code": "0000000000000000000001", "shard": 0, "version": 1,
        "content_version": 1, "last_modified": 1_795_167_000, "token_epoch": 0, "lifecycle": Lifecycle::Active, "fields": fields,
        "balances": project.balances, "validity": {"expires_at": "2027-11-20T09:30:00Z"}, "issued_at": at, "updated_at": at,
    });
    serde_json::from_value(pass).map_err(|fault| RenderError::Sample(fault.to_string()))
}

/// Who holds [`sample_pass`].
///
/// # Errors
/// Never with what was stored.
pub fn sample_contact() -> Result<Contact, RenderError> {
    let at = "2026-11-20T09:30:00Z";
    let contact = json!({"id": "0000000000000000000001", "version": 1, "external_id": "C-1042", "name": "Sample Holder",
        "email": "holder@example.com", "phone": "+4930123456", "created_at": at, "updated_at": at});
    serde_json::from_value(contact).map_err(|fault| RenderError::Sample(fault.to_string()))
}

/// Draws a sample pass with the design and says what each wallet would refuse or leave out. `image` gives the bytes of a
/// hash; images that it does not give are passed over. Google is asked only for projects that have an issuer there, and what
/// Apple would refuse weighs less for those that have no pass type.
///
/// # Errors
/// When an image cannot be used.
pub fn check_design(
    project: &Project,
    template: &Template,
    image: impl Fn(&str) -> Option<Bytes>,
) -> Result<Vec<Finding>, CheckError> {
    let (pass, contact) = (sample_pass(project, template)?, sample_contact()?);
    // The sample's codes are as long as real ones, and nobody's.
    let codes = CodeSigner::new(project.id.uuid(), 0, &[0; 32], [0; 32]);
    let view = PassView { project, template, pass: &pass, contact: Some(&contact), codes: codes.as_ref() };
    let mut known = template.design.clone();
    known.images.values_mut().chain(known.translations.values_mut().flat_map(|it| it.images.values_mut())).for_each(|set| {
        for hash in [&mut set.x1, &mut set.x2, &mut set.x3] {
            *hash = hash.take().filter(|hash| image(hash).is_some());
        }
    });
    let assets = apple_assets(&known, known.personalization.is_some(), &image)?;
    let mut findings = check_apple(&view, &assets)?;
    if project.is_google_alone() {
        // nobody makes the Apple pass, unless it cannot be drawn at all once somebody does
        let refused = findings.iter_mut().filter(|it| it.severity == Severity::Refused && it.rule != MISFIT_RULE);
        refused.for_each(|finding| finding.severity = Severity::Lost);
    }
    findings.extend(template.design.fetched_images().filter_map(|(path, hash)| too_large(path, &image(hash)?)));
    if let Some(issuer) = &project.google_issuer {
        findings.extend(check_google(&view, issuer)?);
    }
    findings.extend(kept_keys(&template.design));
    Ok(findings)
}

/// Keys that a design names and cannot set, because they name a pass, say where it stands or prove who asks for it.
fn kept_keys(design: &Design) -> impl Iterator<Item = Finding> {
    let parts: [(_, _, _, &[&str]); 3] = [
        (Wallet::Apple, "apple", &design.apple, &apple::PROTECTED),
        (Wallet::Google, "google", &design.google, &PROTECTED_OF_CLASS),
        (Wallet::Google, "google_object", &design.google_object, &PROTECTED_OF_OBJECT),
    ];
    parts.into_iter().flat_map(|(wallet, part, keys, kept)| {
        let named = kept.iter().filter(|key| keys.contains_key(**key));
        named.map(move |key| Finding {
            wallet,
            severity: Severity::Advice,
            path: format!("{part}.{key}"),
            rule: "key_kept".to_owned(),
            source: if wallet == Wallet::Apple { APPLE_SOURCE } else { GOOGLE_SOURCE },
            consequence: "it is set of every pass by itself, not as the design says".to_owned(),
            mend: "leave it out".to_owned(),
        })
    })
}

/// A picture that a phone fetches, and does not take because of its length.
fn too_large(path: String, image: &Bytes) -> Option<Finding> {
    (image.len() as u64 > MAX_REMOTE_IMAGE_BYTES).then(|| Finding {
        wallet: Wallet::Apple,
        severity: Severity::Lost,
        path,
        rule: "picture_size".to_owned(),
        source: "https://developer.apple.com/documentation/walletpasses/upcomingpassinformationentry",
        consequence: "the picture is not taken".to_owned(),
        mend: "keep it within 2 MB".to_owned(),
    })
}

fn check_apple(view: &PassView<'_>, assets: &Assets) -> Result<Vec<Finding>, CheckError> {
    let design = &view.template.design;
    let pass = match apple(view, &SAMPLE) {
        Ok(pass) => pass,
        Err(RenderError::Overlay(fault)) => return Ok(vec![misfit(fault)]),
        Err(fault) => return Err(fault.into()),
    };
    let json = serde_json::to_value(pass).unwrap_or_default();
    let found = pkpass::lint(json.to_string().as_bytes(), assets);
    let placed = |finding: pkpass::Finding| Finding {
        wallet: Wallet::Apple,
        severity: finding.severity,
        path: place(design, &json, &finding.path),
        rule: finding.rule.to_owned(),
        source: finding.source,
        consequence: finding.consequence,
        mend: finding.mend,
    };
    // one image and one set of strings serve every project; what a style does not show is in the loss report
    Ok(found.into_iter().filter(|finding| finding.rule != "image_not_shown").map(placed).collect())
}

fn check_google(view: &PassView<'_>, issuer: &str) -> Result<Vec<Finding>, CheckError> {
    let image_url = |hash: &str| format!("https://passes.example/images/{hash}.png");
    let context = GoogleContext { issuer_id: issuer, language: "en", callback_url: None, image_url: &image_url };
    let template = sample_flight(view.template);
    let view = &PassView { template: &template, ..*view };
    let drawn = google_class(view, &context).and_then(|class| Ok((class, google_object(view, &context)?)));
    let (class, object) = match drawn {
        Ok(drawn) => drawn,
        Err(RenderError::Overlay(fault)) => return Ok(vec![misfit(fault)]),
        Err(fault @ RenderError::Flight(_)) => return Ok(vec![unnamed_flight(&fault)]),
        Err(fault) => return Err(fault.into()),
    };
    let design = &view.template.design;
    let of = |part: &'static str, keys: &Map<String, Value>, found: Vec<google_wallet::Finding>| {
        let placed = found.into_iter().map(|finding| {
            let refused = finding.severity == google_wallet::Severity::Refused;
            Finding {
                wallet: Wallet::Google,
                severity: if refused { Severity::Refused } else { Severity::Lost },
                path: google_place(part, keys, class.vertical(), &finding.path),
                rule: finding.rule.to_owned(),
                source: GOOGLE_SOURCE,
                consequence: if refused { "Google refuses it" } else { "the holder does not see all of it" }.to_owned(),
                mend: finding.mend,
            }
        });
        placed.collect::<Vec<_>>()
    };
    let mut all = of("google", &design.google, class.validate());
    all.extend(of("google_object", &design.google_object, object.validate()));
    if !has_flights(view.project, design) {
        all.extend(design.google.iter().filter(|(_, value)| value.to_string().contains("{{")).map(shared_placeholder));
    }
    Ok(all)
}

/// Keys that no pass can be drawn with.
fn misfit(fault: OverlayError) -> Finding {
    let is_apple = fault.part == "apple";
    Finding {
        wallet: if is_apple { Wallet::Apple } else { Wallet::Google },
        severity: Severity::Refused,
        rule: MISFIT_RULE.to_owned(),
        source: if is_apple { APPLE_SOURCE } else { GOOGLE_SOURCE },
        consequence: "no pass can be drawn with it".to_owned(),
        mend: format!("{}: give it the form that the wallet's reference says", fault.fault),
        path: fault.path,
    }
}

fn unnamed_flight(fault: &RenderError) -> Finding {
    Finding {
        wallet: Wallet::Google,
        severity: Severity::Refused,
        path: "semantics".to_owned(),
        rule: "flight_named".to_owned(),
        source: "https://developers.google.com/wallet/reference/rest/v1/flightclass",
        consequence: "Google gets no such pass".to_owned(),
        mend: fault.to_string(),
    }
}

/// All passes share the class: nothing is filled in there.
fn shared_placeholder((key, _): (&String, &Value)) -> Finding {
    Finding {
        wallet: Wallet::Google,
        severity: Severity::Lost,
        path: format!("google.{key}"),
        rule: "class_placeholder".to_owned(),
        source: GOOGLE_SOURCE,
        consequence: "the placeholder is shown as it stands".to_owned(),
        mend: "all passes share the class: write the text out, or set what differs under `google_object`".to_owned(),
    }
}

/// The part of the design that a place in Google's class or object comes from: of the keys that it sets as they stand, else of
/// what it says for both wallets.
fn google_place(part: &str, keys: &Map<String, Value>, vertical: Vertical, path: &str) -> String {
    let field = path.split_once('.').map_or(path, |(_, field)| field);
    let name = field.split(['.', '[']).next().unwrap_or(field);
    if keys.contains_key(name) {
        return format!("{part}.{field}");
    }
    match name {
        "programLogo" | "titleImage" | "logo" | "wideProgramLogo" | "wideTitleImage" | "wideLogo" => "images.logo".to_owned(),
        "heroImage" => "images.strip".to_owned(),
        "hexBackgroundColor" => "colors.background".to_owned(),
        "barcode" => "barcode".to_owned(),
        "textModulesData" => "fields".to_owned(),
        "linksModuleData" => "links".to_owned(),
        "merchantLocations" => "relevance.locations".to_owned(),
        "issuerName" | "provider" => "issuer".to_owned(),
        "flightHeader" | "origin" | "destination" => "semantics".to_owned(),
        name if name.starts_with("local") && vertical == Vertical::Flight => "semantics".to_owned(),
        "programName" | "title" | "eventName" | "merchantName" | "cardTitle" if vertical != Vertical::Flight => {
            "title".to_owned()
        }
        _ => format!("{part}.{field}"),
    }
}

/// The part of the design that a place in `pass.json` or in the package comes from.
fn place(design: &Design, json: &Value, path: &str) -> String {
    if let Some(field) = field_place(design, json, path) {
        return field;
    }
    for (role, set) in &design.images {
        if let Some((scale, _)) = set.each().find(|(scale, _)| file_name(*role, *scale) == path) {
            return format!("images.{}.x{scale}", role.key());
        }
    }
    if let Some((language, _)) = path.split_once(".lproj/") {
        return format!("translations.{language}");
    }
    if path.starts_with("icon") && path.ends_with(".png") {
        return "images.icon".to_owned();
    }
    let root = path.split(['.', '[']).next().unwrap_or(path);
    let rest = &path[root.len()..];
    match root {
        _ if design.apple.contains_key(root) => format!("apple.{path}"),
        "organizationName" => "issuer".to_owned(),
        "description" => "description".to_owned(),
        "barcodes" => "barcode".to_owned(),
        "semantics" | "nfc" => format!("{root}{rest}"),
        "relevantDates" => format!("relevance.dates{rest}"),
        "locations" | "beacons" => format!("relevance.{path}"),
        "preferredStyleSchemes" | "posterGeneric" => "rich_style".to_owned(),
        "personalization" => "personalization".to_owned(),
        "backgroundColor" => "colors.background".to_owned(),
        "foregroundColor" => "colors.foreground".to_owned(),
        "labelColor" => "colors.label".to_owned(),
        _ => format!("apple.{path}"),
    }
}

/// `storeCard.backFields[2].value` as `fields.5.value`, by the key of the field that stands there.
fn field_place(design: &Design, json: &Value, path: &str) -> Option<String> {
    let (group, rest) = path.split_once('[')?;
    let (style, group) = group.split_once('.')?;
    let (at, rest) = rest.split_once(']')?;
    let key = json[style][group][at.parse::<usize>().ok()?]["key"].as_str()?;
    let index = design.fields.iter().position(|field| field.key == key)?;
    let part = match rest.trim_start_matches('.') {
        "changeMessage" => "change_message",
        "numberStyle" | "currencyCode" => "number",
        "textAlignment" => "alignment",
        "dateStyle" | "timeStyle" => "date",
        other => other,
    };
    Some(if part.is_empty() { format!("fields.{index}") } else { format!("fields.{index}.{part}") })
}

/// Why a design cannot even be tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// It cannot be drawn.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// Its images cannot be used.
    #[error(transparent)]
    Assets(#[from] AssetsError),
}
