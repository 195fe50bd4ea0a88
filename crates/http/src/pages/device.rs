//! What a `User-Agent` tells about the device that asks, as PassKit's `DeviceAttributes` (seed: its webhook article).

/// Runs iOS.
pub(crate) const IOS: u32 = 0x1;
/// Runs Android.
pub(crate) const ANDROID: u32 = 0x2;
/// Its platform's wallet can take passes.
pub(crate) const SUPPORTS_WALLET: u32 = 0x4;
const WALLET_DAEMON: u32 = 0x10;
const WALLET_PASSES: u32 = 0x20;
const WINDOWS: u32 = 0x40;
const MACOS: u32 = 0x80;
const LINUX: u32 = 0x100;
const MOBILE: u32 = 0x200;
const DESKTOP: u32 = 0x400;
const TABLET: u32 = 0x800;
const UNSUPPORTED_IOS: u32 = 0x1000;
/// The first iOS with Wallet's present web service.
const FIRST_IOS: u32 = 6;

/// The attributes of a device, or-ed.
pub(crate) fn attributes(user_agent: &str) -> u32 {
    let has = |word: &str| user_agent.contains(word);
    if has("PassKitCore") || has("passd/") {
        return IOS | MOBILE | WALLET_DAEMON;
    }
    if has("WalletPasses") {
        return ANDROID | MOBILE | WALLET_PASSES;
    }
    if has("iPhone") || has("iPod") {
        return IOS | MOBILE | support(user_agent);
    }
    if has("iPad") {
        return IOS | TABLET | support(user_agent);
    }
    if has("Android") {
        return ANDROID | SUPPORTS_WALLET | if has("Mobile") { MOBILE } else { TABLET };
    }
    if has("Macintosh") {
        return MACOS | DESKTOP | SUPPORTS_WALLET;
    }
    if has("Windows") {
        return WINDOWS | DESKTOP;
    }
    if has("Linux") || has("X11") {
        return LINUX | DESKTOP;
    }
    0
}

fn support(user_agent: &str) -> u32 {
    let version: Option<u32> =
        user_agent.split_once("OS ").and_then(|(_, rest)| rest.split(['_', ' ', '.']).next()).and_then(|it| it.parse().ok());
    match version {
        Some(version) if version < FIRST_IOS => UNSUPPORTED_IOS,
        _ => SUPPORTS_WALLET,
    }
}

/// Whether a page is fetched by a machine that looks ahead or around, not for a person: link previews, mail scanners,
/// prefetch. Such a visit is not recorded.
pub(crate) fn is_machine(user_agent: &str, headers: &http::HeaderMap) -> bool {
    let says = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("prefetch") || value.contains("preview"))
    };
    let lower = user_agent.to_ascii_lowercase();
    let known = ["bot", "crawler", "spider", "preview", "facebookexternalhit", "slurp", "scanner", "whatsapp", "curl/", "wget/"];
    says("sec-purpose") || says("purpose") || says("x-purpose") || known.iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_told_apart() {
        let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1";
        let mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/14.0 Safari/605.1.15";
        assert_eq!(attributes(iphone), IOS | MOBILE | SUPPORTS_WALLET);
        assert_eq!(attributes(&iphone.replace("18_1", "5_0")), IOS | MOBILE | UNSUPPORTED_IOS);
        assert_eq!(attributes(mac), 4 | 128 | 1024, "as the published sample has it");
        assert_eq!(
            attributes("Mozilla/5.0 (Linux; Android 15; Pixel 9) Mobile Safari/537.36"),
            ANDROID | SUPPORTS_WALLET | MOBILE
        );
        assert_eq!(attributes("Mozilla/5.0 (Windows NT 10.0; Win64; x64)"), WINDOWS | DESKTOP);
        assert_eq!(attributes("Mozilla/5.0 (X11; Linux x86_64)"), LINUX | DESKTOP);
        assert_eq!(attributes("something else"), 0);
    }

    #[test]
    fn machines_are_not_visitors() {
        let mut headers = http::HeaderMap::new();
        assert!(!is_machine("Mozilla/5.0 (iPhone)", &headers));
        assert!(is_machine("Slackbot-LinkExpanding 1.0", &headers));
        headers.insert("sec-purpose", http::HeaderValue::from_static("prefetch;prerender"));
        assert!(is_machine("Mozilla/5.0 (iPhone)", &headers));
    }
}
