//! The text of a code and what it claims.

use data_encoding::BASE32_NOPAD;
use uuid::Uuid;

use crate::{CONTEXT, totp};

/// Bytes that are signed, beside context, form and organization.
const CLAIM_BYTES: usize = 27;
const SIGNATURE_BYTES: usize = 64;

/// What a code says of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The pass.
    pub pass: Uuid,
    /// The generation of its barcode.
    pub epoch: u16,
    /// Not before, in unix seconds; kept to the minute, rounded down.
    pub not_before: Option<i64>,
    /// Not from then on, in unix seconds; kept to the minute, rounded up.
    pub not_after: Option<i64>,
}

/// Which form a code has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// Always the same.
    Signed,
    /// With digits that change.
    Rotating,
}

impl Form {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Signed => "PB1.",
            Self::Rotating => "PB2.",
        }
    }
    const fn byte(self) -> u8 {
        match self {
            Self::Signed => b'1',
            Self::Rotating => b'2',
        }
    }
}

/// A code as it was read; nothing of it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// Its form.
    pub form: Form,
    /// Number of the key that is said to have signed it.
    pub key: u8,
    /// What it says.
    pub ticket: Ticket,
    /// The changing digits of a rotating one.
    pub digits: Option<String>,
    pub(crate) claim: [u8; CLAIM_BYTES],
    pub(crate) signature: [u8; SIGNATURE_BYTES],
}

/// A text that begins like a code of ours and is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("begins like a signed code and is damaged or cut off")]
pub struct Malformed;

/// Whether a text begins like a code of ours.
pub fn is_ours(text: &str) -> bool {
    form(text).is_some()
}

fn form(text: &str) -> Option<Form> {
    [Form::Signed, Form::Rotating]
        .into_iter()
        .find(|form| text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(form.prefix())))
}

/// Reads a code, in whatever case a reader typed it; nothing when it is none of ours.
pub fn read(text: &str) -> Option<Result<Code, Malformed>> {
    let form = form(text)?;
    Some(parse(form, &text[4..]).ok_or(Malformed))
}

fn parse(form: Form, rest: &str) -> Option<Code> {
    let (body, digits) = match form {
        Form::Signed => (rest, None),
        Form::Rotating => {
            let (body, digits) = rest.split_once('.')?;
            let fits = digits.len() == totp::DIGITS as usize && digits.bytes().all(|byte| byte.is_ascii_digit());
            (body, Some(fits.then(|| digits.to_owned())?))
        }
    };
    let bytes = BASE32_NOPAD.decode(body.to_ascii_uppercase().as_bytes()).ok()?;
    let (claim, signature) = bytes.split_at_checked(CLAIM_BYTES)?;
    let (claim, signature): ([u8; CLAIM_BYTES], [u8; SIGNATURE_BYTES]) = (claim.try_into().ok()?, signature.try_into().ok()?);
    let number = |at: usize| u32::from_be_bytes([claim[at], claim[at + 1], claim[at + 2], claim[at + 3]]);
    let time = |at: usize| Some(number(at)).filter(|minutes| *minutes != 0).map(|minutes| i64::from(minutes) * 60);
    let ticket = Ticket {
        pass: Uuid::from_slice(&claim[1..17]).ok()?,
        epoch: u16::from_be_bytes([claim[17], claim[18]]),
        not_before: time(19),
        not_after: time(23),
    };
    Some(Code { form, key: claim[0], ticket, digits, claim, signature })
}

/// The bytes that a ticket is signed as.
pub(crate) fn claim(key: u8, ticket: &Ticket) -> [u8; CLAIM_BYTES] {
    let minutes = |seconds: i64| u32::try_from(seconds.max(60) / 60).unwrap_or(u32::MAX);
    let mut claim = [0; CLAIM_BYTES];
    claim[0] = key;
    claim[1..17].copy_from_slice(ticket.pass.as_bytes());
    claim[17..19].copy_from_slice(&ticket.epoch.to_be_bytes());
    claim[19..23].copy_from_slice(&ticket.not_before.map_or(0, minutes).to_be_bytes());
    claim[23..27].copy_from_slice(&ticket.not_after.map_or(0, |end| minutes(end.saturating_add(59))).to_be_bytes());
    claim
}

/// What the signature is over.
pub(crate) fn message(form: Form, organization: Uuid, claim: &[u8; CLAIM_BYTES]) -> Vec<u8> {
    [CONTEXT, &[form.byte()], organization.as_bytes(), claim].concat()
}

/// The text, without the digits.
pub(crate) fn write(form: Form, claim: &[u8; CLAIM_BYTES], signature: &[u8]) -> String {
    format!("{}{}", form.prefix(), BASE32_NOPAD.encode(&[claim.as_slice(), signature].concat()))
}
