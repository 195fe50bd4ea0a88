//! Signed and rotating barcode payloads that a reader checks without a network.
//!
//! A **signed** code is `PB1.` and the base32 (RFC 4648, no padding) of 91 bytes: the signing key's number (1), the pass (16),
//! the generation of its barcode (2), its validity from and to in minutes since 1970, zero for none (4 and 4), all big-endian,
//! and an Ed25519 signature (64). 150 characters, all of them in the QR code's alphanumeric mode: version 6 at error
//! correction M. The signature is over [`CONTEXT`], the form (`1` or `2`), the organization (16) and the 27 bytes.
//!
//! A **rotating** code is `PB2.`, the same with a signature of its own, a dot and the eight digits of an RFC 6238 TOTP: SHA-1,
//! 30 seconds, under a secret of 20 bytes that is HMAC-SHA-256(rotation key, pass ‖ generation) cut off. Google Wallet computes the
//! digits on the phone (`rotatingBarcode`); Apple Wallet has nothing like it.
//!
//! # What this holds against
//!
//! - *Forging and guessing.* A reader needs only the public key; nobody without the private one makes a code. A pass's id, its
//!   external id or its link prove nothing: a project that wants to be sure takes signed codes only.
//! - *Copying.* A signed code can be photographed, and the copy is as good as the original: with a network the second use of a
//!   single-use pass is refused, without one two readers may both accept it, and the later report is kept as a conflict. A
//!   rotating code's copy is stale within a minute. The body of a rotating code does not pass as a signed one, because the
//!   form is signed too; but a pass that is also in Apple Wallet has a signed code beside it.
//! - *An old barcode.* A new generation of a pass's barcode makes the older ones refused by whoever asks the server; a reader
//!   without a network knows generations only through the validity that is signed.
//! - *A lost reader.* It holds public keys and, for rotating codes, the rotation key: with that the digits of any pass can be
//!   made, but not the signed part, so that whoever has it and a photograph defeats rotation until the keys are renewed.
//! - *A wrong clock.* The reader's clock decides about validity and rotation; one step of 30 seconds to either side is forgiven.
//! - *Another organization.* Its codes do not verify: the organization is signed, and each has keys of its own.

mod code;
mod keys;
mod totp;

pub use code::{Code, Form, Malformed, Ticket, is_ours, read};
pub use keys::{Fault, PublicKey, Reader, Rotation, Signer, Verified};
pub use totp::{DIGITS, PERIOD_SECONDS, Secret};

/// What every signature begins with.
pub const CONTEXT: &[u8] = b"passbridge scan code\0";
