//! One message a request. Twilio has no idempotency key: what may have been sent is never sent again.
//! Sources: <https://www.twilio.com/docs/messaging/api/message-resource>, <https://www.twilio.com/docs/api/errors>.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use domain::{MessageFault, Target, Timestamp};
use http::{HeaderMap, HeaderValue, Method, header};
use zeroize::Zeroizing;

use super::settings::{ACCOUNT, FROM, KEY, SERVICE, TOKEN};
use super::status;
pub(super) use crate::kit::sms::wants;
use crate::kit::{
    Came, Credentials, Owed, Request, Secrets, Sending, Sent, SettingProblem, Verdict, head, headers, message, settings, sms,
    vendor, webhook,
};

const VENDOR: &str = "https://api.twilio.com";
/// Most bytes of Twilio's words that are kept.
pub(super) const MAX_SAID_BYTES: usize = 500;
/// The number does not exist, cannot be reached or takes no SMS.
pub(super) const BAD_NUMBERS: [u64; 5] = [21_211, 21_214, 21_217, 21_614, 21_635];
/// The person has written STOP.
pub(super) const UNSUBSCRIBED: u64 = 21_610;
/// Too many requests: never processed, so safe to send again.
const TOO_MANY: u64 = 20_429;

pub(super) fn check(target: &Target, credentials: &Credentials) -> Result<(), SettingProblem> {
    vendor::require(target, credentials, &[ACCOUNT.name, TOKEN.name])?;
    for (name, start) in [(ACCOUNT.name, "AC"), (KEY.name, "SK"), (SERVICE.name, "MG")] {
        let Some(sid) = settings::text(&target.settings, name) else { continue };
        if sid.len() != 34 || !sid.starts_with(start) || !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(vendor::problem(name, format!("expected {start} and 32 letters and digits")));
        }
    }
    let has = |name: &str| target.settings.contains_key(name);
    if has(FROM.name) == has(SERVICE.name) {
        return Err(vendor::problem(FROM.name, "give either from or messaging_service_sid"));
    }
    sms::check(target)
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, _: Timestamp) -> Vec<Sending> {
    let one = |(number, owed): (usize, &Owed<'_>)| {
        let to = sms::to(owed.event)?;
        Some(match request(owed, to, target, &secrets.credentials) {
            Ok(request) => Sending::of_one(request, number),
            Err(why) => Sending::never(why, number),
        })
    };
    owed.iter().enumerate().filter_map(one).collect()
}

fn request(owed: &Owed<'_>, to: &str, target: &Target, credentials: &Credentials) -> Result<Request, String> {
    let account = vendor::text(target, ACCOUNT.name, "");
    let mut fields = vec![("To", to.to_owned())];
    for (name, setting) in [("From", FROM.name), ("MessagingServiceSid", SERVICE.name)] {
        fields.extend(settings::text(&target.settings, setting).map(|value| (name, value.to_owned())));
    }
    fields.push(("Body", sms::text(owed, target)?));
    // Twilio calls nobody back whom it cannot prove itself to, nor a machine that only we can reach.
    if status::signing_token(target, credentials).is_some() && owed.public_url.starts_with("https://") {
        let path = message::status_path(owed.event.org, owed.event.id);
        fields.push(("StatusCallback", format!("{}{path}", owed.public_url)));
    }
    let body = serde_urlencoded::to_string(fields).map_err(|error| error.to_string())?;
    let user = vendor::text(target, KEY.name, account);
    let pair = Zeroizing::new(format!("{user}:{}", credentials.get(TOKEN.name).unwrap_or_default()));
    let mut all = HeaderMap::with_capacity(4);
    let proof = headers::sensitive(&format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    all.insert(header::AUTHORIZATION, proof.ok_or("its credentials cannot stand in a header")?);
    all.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    all.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    all.insert(header::USER_AGENT, webhook::AGENT);
    let url = format!("{}/2010-04-01/Accounts/{account}/Messages.json", vendor::base(target, VENDOR));
    Ok(Request { method: Method::POST, url, headers: all, body: Bytes::from(body) })
}

pub(super) fn judge(sent: &Sent<'_>) -> Verdict {
    message::judged(sent, read)
}

/// A login that is not taken can be mended, and nothing was sent. A 5xx may come after the message went out.
pub(super) fn read(sent: &Sent<'_>) -> Came {
    let Some(reply) = sent.reply else { return Came::Unknown { said: "no answer came".to_owned() } };
    let body = vendor::body(reply);
    let code = body["code"].as_u64().unwrap_or_default();
    let words = body["message"].as_str().unwrap_or_default();
    let said = if code == 0 { words.to_owned() } else { format!("{code}: {words}") };
    let said = head(said.trim(), MAX_SAID_BYTES).to_owned();
    match reply.status {
        200..=299 => Came::Sent { server_id: body["sid"].as_str().map(|sid| head(sid, 64).to_owned()) },
        _ if code == TOO_MANY => Came::Later,
        401 | 403 | 429 => Came::Later,
        400..=499 if code == UNSUBSCRIBED => Came::Never { reason: MessageFault::Unsubscribed, said },
        400..=499 if BAD_NUMBERS.contains(&code) => Came::Never { reason: MessageFault::Bounced, said },
        400..=499 => Came::Never { reason: MessageFault::Refused, said },
        status => Came::Unknown { said: head(&format!("Twilio answered {status} {said}"), MAX_SAID_BYTES).to_owned() },
    }
}
