//! What Twilio tells later of a message that it took. Sources:
//! <https://www.twilio.com/docs/messaging/guides/track-outbound-message-status>,
//! <https://www.twilio.com/docs/usage/security#validating-requests>, <https://www.twilio.com/docs/api/errors>.

use domain::{MessageFault, Target};

use super::destination::{BAD_NUMBERS, MAX_SAID_BYTES, UNSUBSCRIBED};
use super::settings::{ACCOUNT, ACCOUNT_TOKEN, KEY, TOKEN};
use crate::kit::{
    Credentials, Heard, Refused, Told, head, settings,
    signature::{Hash, is_hmac, unbase64},
};

const SIGNATURE: &str = "x-twilio-signature";
/// The number is not in use, or a landline's.
const UNKNOWN_NUMBERS: [u64; 2] = [30_005, 30_006];
/// A carrier or Twilio took it for spam.
const FILTERED: u64 = 30_007;

/// What Twilio signs its call-backs with: the account's auth token, never the secret of an API key.
pub(super) fn signing_token<'c>(target: &Target, credentials: &'c Credentials) -> Option<&'c str> {
    let only_token = || credentials.get(TOKEN.name).filter(|_| !target.settings.contains_key(KEY.name));
    credentials.get(ACCOUNT_TOKEN.name).or_else(only_token)
}

/// What is not final yet is nothing.
pub(super) fn hear(told: &Told<'_>) -> Result<Option<Heard>, Refused> {
    let given =
        told.headers.get(SIGNATURE).and_then(|value| unbase64(value.to_str().ok()?)).ok_or(Refused::Unsigned(SIGNATURE))?;
    let token = signing_token(told.target, told.credentials).ok_or(Refused::Forged(SIGNATURE))?;
    let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(told.body).map_err(|_| Refused::Forged(SIGNATURE))?;
    if !is_signed(told.url, &fields, token, &given) {
        return Err(Refused::Forged(SIGNATURE));
    }
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if field("AccountSid") != settings::text(&told.target.settings, ACCOUNT.name) {
        return Err(Refused::Forged(SIGNATURE));
    }
    let code = field("ErrorCode").and_then(|code| code.parse::<u64>().ok()).unwrap_or_default();
    Ok(match field("MessageStatus").unwrap_or_default() {
        "delivered" => Some(Heard::Delivered { server_id: field("MessageSid").map(|sid| head(sid, 64).to_owned()) }),
        status @ ("undelivered" | "failed") => {
            let words = field("ErrorMessage").unwrap_or(status);
            let said = if code == 0 { words.to_owned() } else { format!("{code}: {words}") };
            Some(Heard::Never { reason: reason(code), said: head(&said, MAX_SAID_BYTES).to_owned() })
        }
        _ => None,
    })
}

fn reason(code: u64) -> MessageFault {
    match code {
        UNSUBSCRIBED => MessageFault::Unsubscribed,
        FILTERED => MessageFault::Refused,
        _ if UNKNOWN_NUMBERS.contains(&code) || BAD_NUMBERS.contains(&code) => MessageFault::Bounced,
        _ => MessageFault::Undelivered,
    }
}

/// The address and all fields in order, each value once, without anything between them.
fn is_signed(url: &str, fields: &[(String, String)], token: &str, given: &[u8]) -> bool {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_unstable();
    fields.dedup();
    let signed = fields.iter().fold(url.to_owned(), |text, (key, value)| text + key + value);
    is_hmac(Hash::Sha1, token.as_bytes(), &[signed.as_bytes()], given)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<(String, String)> {
        serde_urlencoded::from_str(text).unwrap()
    }

    /// The examples of Twilio's documentation and of the tests of its helper libraries.
    #[test]
    fn twilios_own_examples_are_signed() {
        const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
        for (body, signature) in [
            (
                "To=%2B18005551212&From=%2B12349013030&Digits=1234&Caller=%2B12349013030&CallSid=CA1234567890ABCDE",
                "0/KCTR6DLpKmkAf8muzZqo1nDgQ=",
            ),
            (
                "CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309",
                "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
            ),
            ("Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234", "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
        ] {
            let given = unbase64(signature).unwrap();
            assert!(is_signed(URL, &fields(body), "12345", &given), "{body}");
            assert!(!is_signed(&URL.replace("foo=1", "foo=2"), &fields(body), "12345", &given));
            assert!(!is_signed(URL, &fields(&body.replace("1234", "1235")), "12345", &given));
            assert!(!is_signed(URL, &fields(body), "12346", &given));
        }
    }

    #[test]
    fn what_went_wrong_is_told_apart() {
        for (code, expected) in [
            (21_610, MessageFault::Unsubscribed),
            (30_005, MessageFault::Bounced),
            (21_614, MessageFault::Bounced),
            (30_007, MessageFault::Refused),
            (30_003, MessageFault::Undelivered),
            (0, MessageFault::Undelivered),
        ] {
            assert_eq!(reason(code), expected, "{code}");
        }
    }
}
