//! What a request has to prove before it is let in.

use domain::Timestamp;

use super::{Authentic, Inbound, KeyHash, Refused, Settings, SharedSecret, WriteKey};

/// What is known of a source when somebody knocks.
#[derive(Debug, Clone, Copy)]
pub struct Lock<'a> {
    /// The hash of a write key of the source that is in force; none when the request brought no such key.
    pub key: Option<&'a KeyHash>,
    /// The signing secrets of the source, the newest first. While one is being rotated there are two, and either will do.
    pub secrets: &'a [SharedSecret],
    /// The source's settings.
    pub settings: &'a Settings,
    /// The present, against which signed times are judged.
    pub now: Timestamp,
}

impl Lock<'_> {
    /// Lets a request in that carries a write key of the source.
    pub(crate) fn by_key(&self, inbound: Inbound, credential: fn(&Inbound) -> Option<WriteKey>) -> Result<Authentic, Refused> {
        let key = credential(&inbound).ok_or(Refused::Missing)?;
        match self.key {
            Some(expected) if key.hash() == *expected => Ok(Authentic::vouch(inbound, Some(key))),
            _ => Err(Refused::Wrong),
        }
    }

    /// Lets a request in whose signature `fits` one of the secrets. `header` is named to the sender.
    pub(crate) fn by_signature(
        &self,
        inbound: Inbound,
        header: &'static str,
        fits: impl Fn(&SharedSecret, &Inbound) -> bool,
    ) -> Result<Authentic, Refused> {
        if self.secrets.is_empty() {
            return Err(Refused::NoSecret);
        }
        if self.secrets.iter().any(|secret| fits(secret, &inbound)) {
            Ok(Authentic::vouch(inbound, None))
        } else {
            Err(Refused::Forged(header))
        }
    }

    /// By signature as soon as the source has a signing secret, by write key until then: for senders who need not sign.
    pub(crate) fn by_signature_or_key(
        &self,
        inbound: Inbound,
        header: &'static str,
        fits: impl Fn(&SharedSecret, &Inbound) -> bool,
    ) -> Result<Authentic, Refused> {
        if self.secrets.is_empty() {
            return self.by_key(inbound, super::tracking::credential);
        }
        if !inbound.headers.contains_key(header) {
            return Err(Refused::Unsigned(header));
        }
        self.by_signature(inbound, header, fits)
    }
}
