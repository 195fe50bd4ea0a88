//! SASL: PLAIN (RFC 4616) and SCRAM-SHA-256 and -512 (RFC 5802, RFC 7677).

use std::num::NonZeroU32;

use aws_lc_rs::{
    constant_time, digest, hmac,
    pbkdf2::{self, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA512},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::Mechanism;

/// Most rounds that a broker may ask for; Kafka's own most is 16,384.
const MAX_ROUNDS: u32 = 1 << 16;

/// An exchange by SCRAM, as far as it has come.
pub(super) struct Scram<'u> {
    mechanism: Mechanism,
    password: &'u str,
    nonce: String,
    first: String,
    /// What the server's signature will be.
    expected: Option<hmac::Tag>,
}

impl<'u> Scram<'u> {
    /// Begins. `nonce` is random, in signs of base64.
    pub(super) fn new(mechanism: Mechanism, user: &str, password: &'u str, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self { mechanism, password, first: format!("n={user},r={nonce}"), nonce, expected: None }
    }

    /// What is said first.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.first)
    }

    /// What is said to the server's challenge.
    pub(super) fn answer(&mut self, challenge: &str) -> Result<String, &'static str> {
        let part = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name));
        let nonce = part("r=").filter(|nonce| nonce.starts_with(&self.nonce) && nonce.len() > self.nonce.len());
        let nonce = nonce.ok_or("its challenge is for somebody else")?;
        let salt = part("s=").and_then(|salt| STANDARD.decode(salt).ok()).ok_or("its challenge has no salt")?;
        let rounds = part("i=").and_then(|rounds| rounds.parse::<NonZeroU32>().ok());
        let rounds = rounds.filter(|rounds| rounds.get() <= MAX_ROUNDS).ok_or("its challenge asks for no or too many rounds")?;
        let (hashing, digest, derivation) = match self.mechanism {
            Mechanism::ScramSha512 => (hmac::HMAC_SHA512, &digest::SHA512, PBKDF2_HMAC_SHA512),
            Mechanism::Plain | Mechanism::ScramSha256 => (hmac::HMAC_SHA256, &digest::SHA256, PBKDF2_HMAC_SHA256),
        };
        let mut salted = Zeroizing::new(vec![0; digest.output_len()]);
        pbkdf2::derive(derivation, rounds, &salt, self.password.as_bytes(), &mut salted);
        let sign = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hashing, key), text.as_bytes());
        let end = format!("c=biws,r={nonce}");
        let whole = format!("{},{challenge},{end}", self.first);
        let ours = sign(&salted, "Client Key");
        let signature = sign(digest::digest(digest, ours.as_ref()).as_ref(), &whole);
        let proof: Vec<u8> = ours.as_ref().iter().zip(signature.as_ref()).map(|(key, sign)| key ^ sign).collect();
        self.expected = Some(sign(sign(&salted, "Server Key").as_ref(), &whole));
        Ok(format!("{end},p={}", STANDARD.encode(proof)))
    }

    /// Whether the server knows the password too.
    pub(super) fn is_proven(&self, last: &str) -> bool {
        let given = last.split(',').find_map(|part| part.strip_prefix("v=")).and_then(|given| STANDARD.decode(given).ok());
        let pair = given.zip(self.expected.as_ref());
        pair.is_some_and(|(given, expected)| constant_time::verify_slices_are_equal(&given, expected.as_ref()).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange in section 3 of RFC 7677.
    #[test]
    fn the_exchange_is_that_of_the_rfc() {
        let nonce = "rOprNGfwEbeRWgbNEkqO";
        let mut scram = Scram::new(Mechanism::ScramSha256, "user", "pencil", nonce.to_owned());
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let answer = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(scram.answer(challenge).unwrap(), answer);
        assert!(scram.is_proven("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!scram.is_proven("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=") && !scram.is_proven("e=other-error"));
        for wrong in ["", "r=other,s=QQ==,i=4096", &challenge.replace("4096", "0"), &challenge.replace("4096", "99999999")] {
            let mut scram = Scram::new(Mechanism::ScramSha256, "user", "pencil", nonce.to_owned());
            assert!(scram.answer(wrong).is_err() && !scram.is_proven("v="), "{wrong}");
        }
    }
}
