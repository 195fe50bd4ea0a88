//! What a request tells about who looks: device, address, and the place that the address is registered at.

use std::{fmt, net::IpAddr, path::Path, sync::Arc};

use domain::{Place, Sighting};
use maxminddb::{Reader, geoip2};

use crate::{App, Client};

/// Bits of PassKit's `DeviceAttributes`.
mod bits {
    pub(super) const IOS: u32 = 0x1;
    pub(super) const ANDROID: u32 = 0x2;
    pub(super) const SUPPORT_WALLET: u32 = 0x4;
    pub(super) const WALLET_DAEMON: u32 = 0x10;
    pub(super) const WALLET_PASSES: u32 = 0x20;
    pub(super) const WINDOWS: u32 = 0x40;
    pub(super) const OSX: u32 = 0x80;
    pub(super) const LINUX: u32 = 0x100;
    pub(super) const MOBILE: u32 = 0x200;
    pub(super) const DESKTOP: u32 = 0x400;
    pub(super) const TABLET: u32 = 0x800;
    pub(super) const UNSUPPORTED_IOS: u32 = 0x1000;
}

/// The first iOS with a Wallet (then Passbook).
const FIRST_WALLET_IOS: u32 = 6;

/// What kind of device asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Device {
    /// iPhone or iPad.
    Ios,
    /// A Mac; also an iPad whose browser asks for desktop pages.
    Mac,
    /// Android, phone or tablet.
    Android,
    /// Anything else.
    Other,
}

/// The device and its `DeviceAttributes` bits, by its `User-Agent`.
pub(crate) fn device(user_agent: &str) -> (Device, u32) {
    let has = |word: &str| user_agent.contains(word);
    if has("passd/") || has("PassKitCore/") {
        return (Device::Ios, bits::IOS | bits::SUPPORT_WALLET | bits::WALLET_DAEMON | bits::MOBILE);
    }
    if has("WalletPasses") {
        return (Device::Android, bits::ANDROID | bits::WALLET_PASSES | bits::MOBILE);
    }
    if has("iPhone") || has("iPod") || has("iPad") {
        let wallet = if ios_version(user_agent).is_some_and(|version| version < FIRST_WALLET_IOS) {
            bits::UNSUPPORTED_IOS
        } else if has("iPad") {
            // Passes show on an iPad only since its Wallet came, and Safari there adds them for the iPhone.
            0
        } else {
            bits::SUPPORT_WALLET
        };
        let shape = if has("iPad") { bits::TABLET } else { bits::MOBILE };
        return (Device::Ios, bits::IOS | wallet | shape);
    }
    if has("Android") {
        let shape = if has("Mobile") { bits::MOBILE } else { bits::TABLET };
        return (Device::Android, bits::ANDROID | shape);
    }
    if has("Macintosh") {
        return (Device::Mac, bits::OSX | bits::DESKTOP | if has("Safari") { bits::SUPPORT_WALLET } else { 0 });
    }
    let bits = if has("Windows") {
        bits::WINDOWS | bits::DESKTOP
    } else if has("Linux") || has("X11") {
        bits::LINUX | bits::DESKTOP
    } else {
        0
    };
    (Device::Other, bits)
}

fn ios_version(user_agent: &str) -> Option<u32> {
    let rest = user_agent.split_once(" OS ")?.1;
    rest.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

/// Whether a program looks and no person: link previews, crawlers, mail scanners, monitors.
pub(crate) fn is_bot(user_agent: &str) -> bool {
    const WORDS: [&str; 21] = [
        "bot",
        "crawl",
        "spider",
        "preview",
        "facebookexternalhit",
        "whatsapp",
        "slack",
        "telegram",
        "discord",
        "embedly",
        "curl/",
        "wget/",
        "python",
        "go-http-client",
        "okhttp",
        "java/",
        "headless",
        "lighthouse",
        "monitor",
        "scan",
        "fetch",
    ];
    let lower = user_agent.to_ascii_lowercase();
    lower.is_empty() || WORDS.iter().any(|word| lower.contains(word))
}

/// What a request tells, for events.
pub(crate) fn sighting(app: &App, client: &Client) -> Sighting {
    let attributes = client.user_agent.as_deref().map_or(0, |user_agent| device(user_agent).1);
    Sighting {
        at: app.now(),
        ip: client.ip.map(|ip| ip.to_string()),
        user_agent: client.user_agent.clone(),
        attributes,
        place: client.ip.zip(app.settings.places.as_ref()).and_then(|(ip, places)| places.find(ip)),
    }
}

/// An operator's database of the places that addresses are registered at, in MaxMind's MMDB format with its City fields.
#[derive(Clone)]
pub struct Places(Arc<Reader<Vec<u8>>>);

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Places").field(&self.0.metadata().database_type).finish()
    }
}

/// Why a database of places cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the place database cannot be read: {0}; give a file in MMDB format with City fields")]
pub struct PlacesError(#[from] maxminddb::MaxMindDbError);

impl Places {
    /// Reads a file whole.
    pub fn open(path: &Path) -> Result<Self, PlacesError> {
        Ok(Self(Arc::new(Reader::open_readfile(path)?)))
    }

    /// Where an address is registered.
    pub fn find(&self, ip: IpAddr) -> Option<Place> {
        let found: geoip2::City<'_> = self.0.lookup(ip).ok()?.decode().ok()??;
        let place = Place {
            country: found.country.iso_code.map(str::to_owned),
            city: found.city.names.english.map(str::to_owned),
            state: found.subdivisions.first().and_then(|state| state.names.english).map(str::to_owned),
            latitude_micros: found.location.latitude.and_then(micros),
            longitude_micros: found.location.longitude.and_then(micros),
        };
        (place != Place::default()).then_some(place)
    }
}

fn micros(degrees: f64) -> Option<i64> {
    (degrees.abs() <= 180.0).then(|| (degrees * 1e6).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_passkit_s_bits() {
        let of = |user_agent: &str| device(user_agent);
        let mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/14.0 Safari/605.1.15";
        assert_eq!(of(mac), (Device::Mac, 4 | 128 | 1024), "as PassKit's published sample has it");
        let iphone =
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile/15E148 Safari/604.1";
        assert_eq!(of(iphone), (Device::Ios, 1 | 4 | 512));
        assert_eq!(of("Mozilla/5.0 (iPhone; U; CPU iPhone OS 4_0 like Mac OS X) Mobile").1, 1 | 512 | 0x1000);
        assert_eq!(of("Mozilla/5.0 (Linux; Android 15; Pixel 9) Mobile Safari/537.36"), (Device::Android, 2 | 512));
        assert_eq!(of("Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0").1, 256 | 1024);
        assert_eq!(of("passd/1.0 CFNetwork/1206 Darwin/20.1.0").0, Device::Ios);
        assert!(!is_bot(mac) && !is_bot(iphone));
        assert!(is_bot("Slackbot-LinkExpanding 1.0") && is_bot("WhatsApp/2.23") && is_bot(""));
    }
}
