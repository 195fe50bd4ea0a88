//! NKeys: Ed25519 keys as NATS writes them down, base32 with what they are for and a checksum.
//! Source: <https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/nkey_auth>, and
//! `nkeys.go` of <https://github.com/nats-io/nkeys> for the bytes.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

/// What a seed begins with: `S`.
const SEED: u8 = 18 << 3;
/// What a user's key begins with: `U`.
const USER: u8 = 20 << 3;
/// Two bytes of what it is for, the seed, the checksum.
const SEED_BYTES: usize = 2 + 32 + 2;

/// A user's key.
pub(super) struct UserKey(Ed25519KeyPair);

impl UserKey {
    /// Reads a seed: `SU…`.
    pub(super) fn from_seed(text: &str) -> Result<Self, &'static str> {
        let wrong = "the NKey is no seed of a user: expected the 58 letters and digits that begin with SU";
        let bytes = Zeroizing::new(BASE32_NOPAD.decode(text.trim().as_bytes()).map_err(|_| wrong)?);
        if bytes.len() != SEED_BYTES {
            return Err(wrong);
        }
        let (content, checksum) = bytes.split_at(SEED_BYTES - 2);
        if checksum != crc16(content).to_le_bytes() {
            return Err("the NKey has a typing error: its checksum does not fit");
        }
        let kind = (content[0] & 7) << 5 | content[1] >> 3;
        if content[0] & 0xf8 != SEED || kind != USER {
            return Err(wrong);
        }
        Ed25519KeyPair::from_seed_unchecked(&content[2..]).map(Self).map_err(|_| wrong)
    }

    /// The public key: `U…`.
    pub(super) fn public(&self) -> String {
        let mut bytes = vec![USER];
        bytes.extend_from_slice(self.0.public_key().as_ref());
        bytes.extend(crc16(&bytes).to_le_bytes());
        BASE32_NOPAD.encode(&bytes)
    }

    /// The signature of what the server wants signed, as it takes it.
    pub(super) fn sign(&self, nonce: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.0.sign(nonce.as_bytes()))
    }
}

/// JWT and seed of a credentials file.
pub(super) fn credentials(text: &str) -> Result<(&str, &str), &'static str> {
    let block = |name: &str| {
        let begin = format!("-----BEGIN {name}-----");
        let (_, rest) = text.split_once(begin.as_str())?;
        // The files end blocks with six hyphens, which some tools make five.
        let (content, _) = rest.split_once("-----")?;
        Some(content.trim())
    };
    let jwt = block("NATS USER JWT").ok_or("the credentials have no NATS USER JWT")?;
    let seed = block("USER NKEY SEED").ok_or("the credentials have no USER NKEY SEED")?;
    Ok((jwt, seed))
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the documentation of NATS, where it is a sample of the two.
    const KNOWN: (&str, &str) = (
        "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY",
        "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4",
    );

    #[test]
    fn seeds_are_read() {
        let key = UserKey::from_seed(KNOWN.0).unwrap();
        assert_eq!(key.public(), KNOWN.1);
        let typo = KNOWN.0.replace("SSL3", "SSL4");
        for (wrong, says) in [(typo.as_str(), "typing error"), (KNOWN.1, "begin with SU"), ("", "SU"), ("SU!", "SU")] {
            assert!(UserKey::from_seed(wrong).err().unwrap().contains(says), "{wrong}");
        }
    }

    #[test]
    fn credentials_are_taken_apart() {
        let file = "-----BEGIN NATS USER JWT-----\neyJ0.eyJ1.c2ln\n------END NATS USER JWT------\n\n***** IMPORTANT *****\n\n\
            -----BEGIN USER NKEY SEED-----\nSUAC\n------END USER NKEY SEED------\n";
        assert_eq!(credentials(file), Ok(("eyJ0.eyJ1.c2ln", "SUAC")));
        assert!(credentials("SUAC").is_err());
    }
}
