//! Images of a design, by what they are for.

use serde::{Deserialize, Serialize};

/// What an image is for; the names of Apple's slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageRole {
    /// Notifications and lists; Apple refuses a pass without it.
    Icon,
    /// At the top left.
    Logo,
    /// Across the front behind the primary field.
    Strip,
    /// A picture beside the fields.
    Thumbnail,
    /// Behind the whole front.
    Background,
    /// Above the barcode of a boarding pass.
    Footer,
    /// Behind the whole front of a poster.
    Artwork,
    /// At the top of a poster.
    PrimaryLogo,
    /// Beside the primary logo of a poster.
    SecondaryLogo,
    /// At the top of the sign-up form.
    PersonalizationLogo,
}

impl ImageRole {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Icon,
        Self::Logo,
        Self::Strip,
        Self::Thumbnail,
        Self::Background,
        Self::Footer,
        Self::Artwork,
        Self::PrimaryLogo,
        Self::SecondaryLogo,
        Self::PersonalizationLogo,
    ];

    /// Apple's file stem.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Icon => "icon",
            Self::Logo => "logo",
            Self::Strip => "strip",
            Self::Thumbnail => "thumbnail",
            Self::Background => "background",
            Self::Footer => "footer",
            Self::Artwork => "artwork",
            Self::PrimaryLogo => "primaryLogo",
            Self::SecondaryLogo => "secondaryLogo",
            Self::PersonalizationLogo => "personalizationLogo",
        }
    }

    /// Its key in a design.
    pub const fn key(self) -> &'static str {
        match self {
            Self::PrimaryLogo => "primary_logo",
            Self::SecondaryLogo => "secondary_logo",
            Self::PersonalizationLogo => "personalization_logo",
            other => other.name(),
        }
    }
}

/// An image at one, two and three pixels a point, and as Google wants it, each the lower-case hex SHA-256 of an uploaded
/// PNG.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageSet {
    /// One pixel a point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x1: Option<String>,
    /// Two pixels a point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x2: Option<String>,
    /// Three pixels a point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x3: Option<String>,
    /// In the size that Google asks for; without it the largest of the others is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub google: Option<String>,
}

impl ImageSet {
    /// What there is for Apple: pixels a point and hash, ascending.
    pub fn each(&self) -> impl Iterator<Item = (u8, &str)> {
        [(1, &self.x1), (2, &self.x2), (3, &self.x3)]
            .into_iter()
            .filter_map(|(scale, hash)| hash.as_deref().map(|hash| (scale, hash)))
    }

    /// What Google and the web show: the image made for them, else the largest.
    #[must_use]
    pub fn for_web(&self) -> Option<&str> {
        self.google.as_deref().or_else(|| self.each().last().map(|(_, hash)| hash))
    }

    /// Everything that is there, by its key.
    pub fn hashes(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("x1", &self.x1), ("x2", &self.x2), ("x3", &self.x3), ("google", &self.google)]
            .into_iter()
            .filter_map(|(size, hash)| hash.as_deref().map(|hash| (size, hash)))
    }
}
