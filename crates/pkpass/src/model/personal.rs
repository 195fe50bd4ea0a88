//! Personalisation: `personalization.json`, which makes Wallet ask for the holder's data when a rewards pass is added, and
//! what Wallet sends then. Source: Apple, *Wallet Passes*, `Personalize` and `PersonalizationDictionary`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The name of the file.
pub const PERSONALIZATION_FILE: &str = "personalization.json";

/// What the sign-up form asks for: the content of `personalization.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Personalization {
    /// What the holder must give, words of [`PersonalField::KNOWN`].
    pub required_personalization_fields: Vec<PersonalField>,
    /// What the programme is.
    pub description: String,
    /// Terms that the holder has to accept; may be HTML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms_and_conditions: Option<String>,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

super::words::words! {
    /// What a sign-up form may ask for.
    PersonalField {
        /// Full, given and family name.
        Name = "PKPassPersonalizationFieldName",
        /// Postal code, with the country where the phone knows it.
        PostalCode = "PKPassPersonalizationFieldPostalCode",
        /// E-mail address.
        EmailAddress = "PKPassPersonalizationFieldEmailAddress",
        /// Phone number.
        PhoneNumber = "PKPassPersonalizationFieldPhoneNumber",
    }
}

/// What Wallet sends to `…/personalize`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PersonalizationRequest {
    /// To be signed with the pass type's certificate and sent back.
    pub personalization_token: String,
    /// What the holder gave.
    pub required_personalization_info: PersonalInfo,
}

/// What the holder gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PersonalInfo {
    /// The name as it was typed.
    pub full_name: Option<String>,
    /// Given name, parsed from it.
    pub given_name: Option<String>,
    /// Family name, parsed from it.
    pub family_name: Option<String>,
    /// E-mail address.
    pub email_address: Option<String>,
    /// Phone number.
    pub phone_number: Option<String>,
    /// Postal code.
    pub postal_code: Option<String>,
    /// ISO 3166 code of the country, where the phone knows it.
    #[serde(rename = "ISOCountryCode")]
    pub iso_country_code: Option<String>,
}
