//! What a phone, or Google, would say to a design, found on a sample pass before anything is stored or sent.

use bytes::Bytes;
use domain::{Contact, Design, FieldType, FieldValue, Lifecycle, Pass, Project, Template, Wallet};
use google_wallet::Vertical;
use pkpass::{Assets, Severity, model::MAX_REMOTE_IMAGE_BYTES};
use serde_json::{Value, json};

use crate::apple::file_name;
use crate::{
    AppleContext, AssetsError, CodeSigner, GoogleContext, PassView, RenderError, apple, apple_assets, google_class, google_object,
};

/// Google's description of what its classes and objects need.
const GOOGLE_SOURCE: &str = "https://developers.google.com/wallet/reference/rest";
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
    /// A stable name of the rule, or the rule itself.
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
/// hash; images that it does not give are passed over. Google is asked only for projects that have an issuer there.
///
/// # Errors
/// When keys that the design sets as they stand do not fit, or an image cannot be used.
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
    findings.extend(template.design.fetched_images().filter_map(|(path, hash)| too_large(path, &image(hash)?)));
    if let Some(issuer) = &project.google_issuer {
        findings.extend(check_google(&view, issuer)?);
    }
    Ok(findings)
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
    let json = serde_json::to_value(apple(view, &SAMPLE)?).unwrap_or_default();
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
    let class = google_class(view.project, view.template, &context)?;
    let object = google_object(view, &context)?;
    let found = class.validate().into_iter().chain(object.validate());
    let finding = |finding: google_wallet::Finding| {
        let refused = finding.severity == google_wallet::Severity::Refused;
        Finding {
            wallet: Wallet::Google,
            severity: if refused { Severity::Refused } else { Severity::Lost },
            path: google_place(class.vertical(), &finding.path),
            rule: finding.rule.to_owned(),
            source: GOOGLE_SOURCE,
            consequence: if refused { "Google refuses it" } else { "the holder does not see all of it" }.to_owned(),
            mend: finding.mend,
        }
    };
    Ok(found.map(finding).collect())
}

/// The part of the design that a place in Google's class or object comes from.
fn google_place(vertical: Vertical, path: &str) -> String {
    let field = path.split_once('.').map_or(path, |(_, field)| field);
    let name = field.split(['.', '[']).next().unwrap_or(field);
    match name {
        "programLogo" | "titleImage" | "logo" | "wideProgramLogo" | "wideLogo" => "images.logo".to_owned(),
        "heroImage" => "images.strip".to_owned(),
        "hexBackgroundColor" => "colors.background".to_owned(),
        "barcode" => "barcode".to_owned(),
        "textModulesData" => "fields".to_owned(),
        "linksModuleData" => "links".to_owned(),
        "merchantLocations" => "relevance.locations".to_owned(),
        "issuerName" | "provider" => "issuer".to_owned(),
        "programName" | "title" | "eventName" | "merchantName" | "cardTitle" if vertical != Vertical::Flight => {
            "title".to_owned()
        }
        _ => format!("google.{field}"),
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
