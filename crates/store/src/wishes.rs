//! The addresses by which people say which messages they want, without an account or a password.
//!
//! Text form: the organization's and the contact's id, a letter for the way, and a MAC under the organization's key, all of letters
//! and digits. It is the same on every node and stays valid as long as the organization has its key, also after it moved.

use aws_lc_rs::constant_time;
use domain::{Channel, ContactId, OrgId};

use crate::{Keyring, Result};

/// Characters of an id.
const ID_CHARS: usize = 22;

/// Who may say whether they want messages by a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Whose customer.
    pub org: OrgId,
    /// Who.
    pub contact: ContactId,
    /// By which way.
    pub channel: Channel,
}

impl Wish {
    /// What stands in the address. Fails when the organization's key is not at hand.
    pub fn text(&self, keyring: &Keyring) -> Result<String> {
        let claim = format!("{}{}{}", self.org, self.contact, letter(self.channel));
        let mac = keyring.blind(self.org, "messages wanted", &claim)?;
        Ok(mac.iter().fold(claim, |text, byte| format!("{text}{byte:02x}")))
    }

    /// Of whom an address speaks; nobody when it was not made by [`Wish::text`].
    pub fn read(keyring: &Keyring, text: &str) -> Option<Self> {
        let (org, rest) = text.split_at_checked(ID_CHARS)?;
        let (contact, rest) = rest.split_at_checked(ID_CHARS)?;
        let channel = Channel::ALL.into_iter().find(|channel| rest.starts_with(letter(*channel)))?;
        let wish = Self { org: org.parse().ok()?, contact: contact.parse().ok()?, channel };
        let expected = wish.text(keyring).ok()?;
        constant_time::verify_slices_are_equal(text.as_bytes(), expected.as_bytes()).ok()?;
        Some(wish)
    }
}

const fn letter(channel: Channel) -> char {
    match channel {
        Channel::Email => 'e',
        Channel::Sms => 's',
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::Entropy;

    use super::*;
    use crate::MasterKey;

    struct Filled(u8);
    impl Entropy for Filled {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0);
        }
    }

    #[test]
    fn an_address_says_who_and_nobody_else_can_make_one() {
        let ring = Keyring::new(&MasterKey::mint(&Filled(1)), Arc::new(Filled(2))).unwrap();
        let (ours, theirs) = (OrgId::from_uuid(uuid::Uuid::from_u128(1)), OrgId::from_uuid(uuid::Uuid::from_u128(2)));
        ring.create_org(ours).unwrap();
        ring.create_org(theirs).unwrap();
        let wish = Wish { org: ours, contact: ContactId::from_uuid(uuid::Uuid::from_u128(3)), channel: Channel::Email };
        let text = wish.text(&ring).unwrap();
        assert_eq!(Wish::read(&ring, &text), Some(wish));
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()) && text.len() == 77, "{text}");
        for index in 0..text.len() {
            for other in ["0", "1", "s", "z", "Z"] {
                let mut changed = text.clone();
                changed.replace_range(index..=index, other);
                assert_eq!(Wish::read(&ring, &changed).is_some(), changed == text, "{changed}");
            }
        }
        let org = theirs.to_string();
        for odd in ["", "é", &text[..76], &format!("{text}0"), &format!("{org}{}", &text[22..]), &"é".repeat(40)] {
            assert_eq!(Wish::read(&ring, odd), None, "{odd}");
        }
    }
}
