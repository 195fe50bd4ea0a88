//! Apple's own certificates that passes lead up to, as published at <https://www.apple.com/certificateauthority/>. A test holds
//! their SHA-256 and lets openssl follow the chain.

/// Apple's root, DER. Ends on 2035-02-09.
pub const APPLE_ROOT: &[u8] = include_bytes!("../assets/AppleIncRootCertificate.cer");

/// The intermediate that issues pass type certificates, WWDR G4, DER. Ends on 2030-12-10.
pub const APPLE_WWDR_G4: &[u8] = include_bytes!("../assets/AppleWWDRCAG4.cer");
