//! Time-based one-time passwords, RFC 6238 with SHA-1, as Google Wallet computes them for `rotatingBarcode`.

use std::fmt;

use aws_lc_rs::hmac;
use uuid::Uuid;

/// Seconds for which the digits stay.
pub const PERIOD_SECONDS: i64 = 30;
/// How many digits.
pub const DIGITS: u32 = 8;
/// Steps to either side of now that are accepted.
const TOLERANCE: i64 = 1;

/// The secret that a pass's digits are made with.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 20]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// The secret of a pass and a generation of its barcode.
    pub fn of(rotation_key: &[u8; 32], pass: Uuid, epoch: u16) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, rotation_key);
        let tag = hmac::sign(&key, &[pass.as_bytes().as_slice(), &epoch.to_be_bytes()].concat());
        let mut secret = [0; 20];
        secret.copy_from_slice(&tag.as_ref()[..20]);
        Self(secret)
    }

    /// In hexadecimal digits, as Google wants it.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The digits at a time in unix seconds.
    pub fn digits(&self, at: i64) -> String {
        self.at_step(at.div_euclid(PERIOD_SECONDS))
    }

    fn at_step(&self, step: i64) -> String {
        digits(&self.0, step.max(0).unsigned_abs())
    }

    /// Whether digits are those of a time, give or take one step.
    pub fn matches(&self, digits: &str, at: i64) -> bool {
        let step = at.div_euclid(PERIOD_SECONDS);
        // Which of the steps matched is no secret; the digits are shown to everybody.
        (step - TOLERANCE..=step + TOLERANCE).any(|step| self.at_step(step) == digits)
    }
}

/// RFC 4226 5.3 on a counter.
fn digits(secret: &[u8], counter: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &counter.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 15);
    let word = u32::from_be_bytes([tag[at], tag[at + 1], tag[at + 2], tag[at + 3]]) & 0x7fff_ffff;
    format!("{:08}", word % 10_u32.pow(DIGITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_6238() {
        for (at, expected) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(digits(b"12345678901234567890", at / 30), expected, "{at}");
        }
    }
}
