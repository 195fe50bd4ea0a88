//! Apple Wallet pass packages (`.pkpass`): a typed model of `pass.json`, building and signing, bounded reading,
//! verification and a linter that says what a phone would refuse or silently drop.
//!
//! The crate is pure: it opens nothing, reads no clock and no environment. Times are handed in as unix seconds. The only
//! randomness is inside key generation ([`development`]) and ECDSA, both the crypto library's own.
//!
//! A package is a ZIP of `pass.json`, images, `*.lproj` folders, `manifest.json` (path to lowercase hex SHA-1) and
//! `signature`, a detached CMS `SignedData` over the manifest by the pass type certificate, with Apple's WWDR intermediate
//! inside and a signing time. Source: Apple, *Wallet Passes* and *Building a Pass*.
//!
//! What makes building fast: everything that is the same for all passes of a template version is computed once in
//! [`Assets`] (hashes, checksums, ready ZIP bytes) and [`Chain`] (the fixed parts of the CMS), so that one pass costs one
//! private-key operation and little else.

mod apple;
mod asn1;
mod assets;
mod builder;
mod bundle;
mod cms;
pub mod development;
mod identity;
mod json;
mod lint;
pub mod model;
mod pack;
mod path;
mod png;
mod read;
mod signer;
mod strings;
mod verify;
mod x509;
mod zip;

pub use apple::{APPLE_ROOT, APPLE_WWDR_G4};
pub use assets::{Asset, AssetError, Assets, MAX_ASSET_BYTES, MAX_ASSET_FILES, MAX_ASSETS_BYTES};
pub use builder::{BuildError, Draft, MAX_PASS_JSON_BYTES, build, build_pass};
pub use bundle::{BundleError, MAX_BUNDLE_BYTES, MAX_BUNDLE_PASSES, bundle};
pub use identity::{Identity, IdentityError, RequestError, SigningRequest, certificates};
pub use json::read_json;
pub use lint::{Finding, IMAGE_SLOTS, ImageSlot, MAX_FINDINGS, Severity, lint, lint_certificates, lint_package};
pub use model::Pass;
pub use pack::{MAX_PACK_BYTES, MAX_PACK_FILES, PackError, pack};
pub use path::{PathError, is_junk};
pub use png::{MAX_IMAGE_SIDE_PX, PngError, PngSize};
pub use read::{Limits, Package, ReadError};
pub use signer::{Chain, ChainError, SignError, SignatureScheme, Signer, sign_detached};
pub use strings::{StringsError, read_strings, strings_path, write_strings};
pub use verify::{Check, CheckResult, Outcome, Verification, verify};
pub use x509::{Certificate, CertificateError};

/// MIME type of one pass; any other type makes a phone download a file in place of showing the pass.
pub const MIME_PKPASS: &str = "application/vnd.apple.pkpass";
/// MIME type of a bundle of passes.
pub const MIME_PKPASSES: &str = "application/vnd.apple.pkpasses";
