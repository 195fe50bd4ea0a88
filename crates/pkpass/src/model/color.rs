//! A colour of a pass.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An opaque sRGB colour. Read from `rgb(r, g, b)`, `#RRGGBB` or `#RGB`; written as `rgb(r, g, b)`, which every iOS reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Color {
    /// Red, 0 to 255.
    pub red: u8,
    /// Green, 0 to 255.
    pub green: u8,
    /// Blue, 0 to 255.
    pub blue: u8,
}

/// A text that is no colour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a colour; write `rgb(23, 187, 82)` with parts of 0 to 255, or `#17BB52`")]
pub struct ColorError(String);

impl Color {
    /// A colour from its parts.
    pub const fn rgb(red: u8, green: u8, blue: u8) -> Self {
        Self { red, green, blue }
    }
}

impl FromStr for Color {
    type Err = ColorError;

    fn from_str(text: &str) -> Result<Self, ColorError> {
        let trimmed = text.trim();
        let parsed = match trimmed.strip_prefix('#') {
            Some(digits) => from_hex(digits),
            None => from_function(trimmed),
        };
        parsed.ok_or_else(|| ColorError(text.chars().take(40).collect()))
    }
}

fn from_hex(digits: &str) -> Option<Color> {
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let number = u32::from_str_radix(digits, 16).ok()?;
    match digits.len() {
        6 => {
            let [_, red, green, blue] = number.to_be_bytes();
            Some(Color { red, green, blue })
        }
        3 => {
            let doubled = |shift: u32| (number >> shift & 0xf) as u8 * 0x11;
            Some(Color::rgb(doubled(8), doubled(4), doubled(0)))
        }
        _ => None,
    }
}

fn from_function(text: &str) -> Option<Color> {
    let (name, rest) = text.split_once('(')?;
    if !name.trim_end().eq_ignore_ascii_case("rgb") {
        return None;
    }
    let mut parts = rest.strip_suffix(')')?.split(',').map(|part| {
        let part = part.trim();
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u8>().ok()).flatten()
    });
    let color = Color { red: parts.next()??, green: parts.next()??, blue: parts.next()?? };
    parts.next().is_none().then_some(color)
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rgb({}, {}, {})", self.red, self.green, self.blue)
    }
}

impl TryFrom<String> for Color {
    type Error = ColorError;

    fn try_from(text: String) -> Result<Self, ColorError> {
        text.parse()
    }
}

impl From<Color> for String {
    fn from(color: Color) -> Self {
        color.to_string()
    }
}
