//! The files beside `pass.json` that are the same on every pass of a template version.

use bytes::Bytes;
use domain::{Design, ImageRole, ImageSet, PersonalizationField};
use pkpass::Assets;
use pkpass::model::{PERSONALIZATION_FILE, PersonalField, Personalization};

use crate::{PassView, words};

/// Prepares a design's images and translations, once per template version. `image` gives the bytes of a hash;
/// `sign_up` adds what makes Wallet ask the holder to sign up, see [`asks_to_sign_up`].
pub fn apple_assets(design: &Design, sign_up: bool, image: impl Fn(&str) -> Option<Bytes>) -> Result<Assets, AssetsError> {
    let mut files = words::common_strings(design);
    let of_pass = |role: &ImageRole| sign_up || *role != ImageRole::PersonalizationLogo;
    for (role, set) in design.images.iter().filter(|(role, _)| of_pass(role)) {
        push(&mut files, "", *role, set, &image)?;
    }
    for (language, translation) in &design.translations {
        let folder = format!("{language}.lproj/");
        for (role, set) in translation.images.iter().filter(|(role, _)| of_pass(role)) {
            push(&mut files, &folder, *role, set, &image)?;
        }
    }
    if let Some(form) = design.personalization.as_ref().filter(|_| sign_up) {
        let json = serde_json::to_vec(&sign_up_form(form)).unwrap_or_default();
        files.push((PERSONALIZATION_FILE.to_owned(), json.into()));
    }
    Ok(Assets::prepare(files)?)
}

/// Whether Wallet asks the holder of this pass to sign up: its design wants to know, and nobody holds it yet.
#[must_use]
pub fn asks_to_sign_up(view: &PassView<'_>) -> bool {
    let design = &view.template.design;
    design.personalization.is_some() && design.nfc.is_some() && view.pass.contact.is_none() && !view.pass.lifecycle.is_void()
}

fn sign_up_form(form: &domain::Personalization) -> Personalization {
    let field = |field: &PersonalizationField| match field {
        PersonalizationField::Name => PersonalField::Name,
        PersonalizationField::Email => PersonalField::EmailAddress,
        PersonalizationField::Phone => PersonalField::PhoneNumber,
        PersonalizationField::PostalCode => PersonalField::PostalCode,
    };
    Personalization {
        required_personalization_fields: form.fields.iter().map(field).collect(),
        description: form.description.clone(),
        terms_and_conditions: form.terms.clone(),
        extra: serde_json::Map::new(),
    }
}

fn push(
    files: &mut Vec<(String, Bytes)>,
    folder: &str,
    role: ImageRole,
    set: &ImageSet,
    image: impl Fn(&str) -> Option<Bytes>,
) -> Result<(), AssetsError> {
    for (scale, hash) in set.each() {
        let missing = || AssetsError::Missing { role: role.key(), scale, hash: hash.to_owned() };
        files.push((format!("{folder}{}", file_name(role, scale)), image(hash).ok_or_else(missing)?));
    }
    Ok(())
}

/// Apple's name of the file.
pub(crate) fn file_name(role: ImageRole, scale: u8) -> String {
    match scale {
        1 => format!("{}.png", role.name()),
        scale => format!("{}@{scale}x.png", role.name()),
    }
}

/// Why a design's images cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssetsError {
    /// An image is not there.
    #[error("images.{role}.x{scale}: no image with the hash {hash} was uploaded; upload it or name another")]
    Missing {
        /// What it is for.
        role: &'static str,
        /// Pixels a point.
        scale: u8,
        /// Its SHA-256.
        hash: String,
    },
    /// An image is there and cannot be used.
    #[error(transparent)]
    Unusable(#[from] pkpass::AssetError),
}
