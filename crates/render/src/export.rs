//! A design as the folder that Apple's tools open: `.pass`, or `.pkpasstemplate` for Pass Designer. Both hold `pass.json` and
//! the images and languages beside it, unsigned.

use bytes::Bytes;
use domain::{Project, Template};
use serde_json::Value;

use crate::{
    AppleContext, CheckError, CodeSigner, PassView, RenderError, apple, apple_assets, apple_strings, sample_contact, sample_pass,
};

/// Keys that only a pass in a holder's hands has.
const OF_HOLDERS: [&str; 3] = ["webServiceURL", "authenticationToken", "expirationDate"];

/// Draws a sample pass as a folder: paths and files. `team` is that of the certificate, `image` gives the bytes of a hash.
///
/// # Errors
/// When keys that the design sets as they stand do not fit, or an image is missing.
pub fn export_pass(
    project: &Project,
    template: &Template,
    team: &str,
    image: impl Fn(&str) -> Option<Bytes>,
) -> Result<Vec<(String, Bytes)>, CheckError> {
    let (pass, contact) = (sample_pass(project, template)?, sample_contact()?);
    let codes = CodeSigner::new(project.id.uuid(), 0, &[0; 32], [0; 32]);
    let view = PassView { project, template, pass: &pass, contact: Some(&contact), codes: codes.as_ref() };
    let pass_type = project.apple_pass_type.as_deref().unwrap_or("pass.");
    let context = AppleContext { pass_type, team, web_service_url: "", auth_token: "", image_url: None };
    let mut json = serde_json::to_value(apple(&view, &context)?).map_err(|fault| RenderError::Sample(fault.to_string()))?;
    if let Some(keys) = json.as_object_mut() {
        keys.retain(|key, value: &mut Value| !OF_HOLDERS.contains(&key.as_str()) && !value.is_null());
    }
    let text = serde_json::to_string_pretty(&json).map_err(|fault| RenderError::Sample(fault.to_string()))?;
    let sign_up = template.design.personalization.is_some();
    let assets = apple_assets(&template.design, sign_up, image)?;
    let own: Vec<(String, Bytes)> = apple_strings(&view);
    let shared = assets.files().filter(|file| own.iter().all(|(path, _)| path != file.path()));
    let mut files = vec![("pass.json".to_owned(), Bytes::from(text))];
    files.extend(shared.map(|file| (file.path().to_owned(), file.data().clone())));
    files.extend(own);
    Ok(files)
}
