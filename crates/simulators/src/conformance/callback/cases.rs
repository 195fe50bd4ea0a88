//! The cases: what Google does or forbids, and why it matters to whoever counts on its call-backs.

use bytes::Bytes;
use http::Method;
use tokio::task::JoinSet;

use super::desk::{Desk, no_fault};
use crate::conformance::bench::{Outcome, Short, broken};
use crate::conformance::cases::{Case, Id};
use crate::google::{Event, Letter, Root};
use crate::iphone::Exchange;

const CALLBACKS: &str = "https://developers.google.com/wallet/generic/use-cases/use-callbacks-for-saves-and-deletions";
/// An issuer that is nobody's here.
const OTHER_ISSUER: &str = "3388000000099999999";
/// Forged call-backs in a row.
const FORGED: usize = 10;
/// Bytes of a body that no call-back has.
const HUGE: usize = 2 << 20;

#[derive(Debug, Clone, Copy)]
pub(in crate::conformance) enum CallbackId {
    Https,
    Robots,
    Save,
    Delete,
    Repeat,
    Replay,
    Bytes,
    OtherIssuer,
    Tampered,
    Expired,
    KeyExpired,
    UnknownRoot,
    OtherProtocolRoot,
    ExpiredRoot,
    Protocol,
    NoRefetch,
    Garbage,
    UnknownPass,
    Storm,
}

pub(super) async fn play(case: &Case, desk: &Desk<'_>) -> Outcome {
    let Id::Callback(id) = case.id else { return Err(Short::Without("it is about Apple's web service".to_owned())) };
    let wrong = |change: fn(&mut Letter)| {
        let mut letter = desk.letter(Event::Save);
        change(&mut letter);
        letter
    };
    match id {
        CallbackId::Https => https(desk),
        CallbackId::Robots => robots(desk).await,
        CallbackId::Save => counts(desk, Event::Save).await,
        CallbackId::Delete => counts(desk, Event::Del).await,
        CallbackId::Repeat => repeat(desk).await,
        CallbackId::Replay => replay(desk).await,
        CallbackId::Bytes => bytes(desk).await,
        CallbackId::OtherIssuer => desk.refused(&other_issuer(desk)).await,
        CallbackId::Tampered => desk.refused(&wrong(|letter| letter.tampered = true)).await,
        CallbackId::Expired => desk.refused(&wrong(|letter| letter.expires = letter.now - 1_000)).await,
        CallbackId::KeyExpired => desk.refused(&wrong(|letter| letter.key_expires = letter.now - 1_000)).await,
        CallbackId::UnknownRoot => desk.refused(&wrong(|letter| letter.root = Root::Unknown)).await,
        CallbackId::OtherProtocolRoot => desk.refused(&wrong(|letter| letter.root = Root::OtherProtocol)).await,
        CallbackId::ExpiredRoot => desk.refused(&wrong(|letter| letter.root = Root::Expired)).await,
        CallbackId::Protocol => desk.refused(&wrong(|letter| letter.protocol = "ecv2signingonly".to_owned())).await,
        CallbackId::NoRefetch => no_refetch(desk).await,
        CallbackId::Garbage => garbage(desk).await,
        CallbackId::UnknownPass => unknown_pass(desk).await,
        CallbackId::Storm => storm(desk).await,
    }
}

fn https(desk: &Desk<'_>) -> Outcome {
    let url = &desk.endpoint.url;
    let host = url.split_once("://").map_or("", |(_, rest)| rest);
    match url.starts_with("https://") {
        true => Ok("https".to_owned()),
        false if ["localhost", "127.", "[::1]"].iter().any(|local| host.starts_with(local)) => {
            Err(Short::Without(format!("{url} is on this machine")))
        }
        false => broken(url.as_str()),
    }
}

async fn robots(desk: &Desk<'_>) -> Outcome {
    let url = &desk.endpoint.url;
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = format!("{scheme}://{host}/robots.txt");
    let answer = desk.network.send(Method::GET, &address, &[("user-agent", "Googlebot")], Bytes::new()).await?;
    if !answer.status.is_success() {
        no_fault(&answer, "robots.txt")?;
        return Ok(format!("there is no robots.txt ({})", answer.status.as_u16()));
    }
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    match forbidden(&text, &format!("/{path}")) {
        Some(rule) => broken(format!("robots.txt forbids it: Disallow: {rule}")),
        None => Ok("robots.txt allows it".to_owned()),
    }
}

/// The rule of a robots.txt that keeps Googlebot from a path: the longest that fits counts, and allows where two are as long
/// (RFC 9309). Patterns with `*` within are passed over.
fn forbidden(text: &str, path: &str) -> Option<String> {
    let (mut groups, mut agents, mut in_rules) = (Vec::new(), Vec::new(), false);
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let Some((key, value)) = line.split_once(':') else { continue };
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        match key.as_str() {
            "user-agent" => {
                if std::mem::take(&mut in_rules) {
                    agents.clear();
                }
                agents.push(value.to_ascii_lowercase());
            }
            "allow" | "disallow" => {
                in_rules = true;
                groups.extend(agents.iter().map(|agent: &String| (agent.clone(), key == "allow", value.to_owned())));
            }
            _ => {}
        }
    }
    let named = groups.iter().any(|(agent, ..)| agent == "googlebot");
    let fits = |rule: &str| !rule.is_empty() && path.starts_with(rule.trim_end_matches('*'));
    let mine = groups.iter().filter(|(agent, _, rule)| agent == if named { "googlebot" } else { "*" } && fits(rule));
    let (_, allows, rule) = mine.max_by_key(|(_, allows, rule)| (rule.len(), *allows))?;
    (!allows).then(|| rule.clone())
}

async fn counts(desk: &Desk<'_>, event: Event) -> Outcome {
    let saved = event == Event::Save;
    if !saved {
        desk.without(desk.taken(&desk.letter(Event::Save)).await)?;
        desk.without(desk.comes_to(true).await)?;
    }
    desk.taken(&desk.letter(event)).await?;
    desk.comes_to(saved).await?;
    Ok(match desk.endpoint.holds {
        Some(_) => "it was taken and counts",
        None => "it was taken; whether it counts nobody can tell",
    }
    .to_owned())
}

async fn repeat(desk: &Desk<'_>) -> Outcome {
    let mut letter = desk.letter(Event::Save);
    desk.without(desk.taken(&letter).await)?;
    // Google counts its tries within the message, and keeps the nonce.
    for count in 2..=3 {
        letter.count = count;
        desk.taken(&letter).await?;
    }
    Ok("the same event three times: taken each time".to_owned())
}

async fn replay(desk: &Desk<'_>) -> Outcome {
    if desk.endpoint.holds.is_none() {
        return Err(Short::Without("it takes a way to see whether the pass counts as saved".to_owned()));
    }
    let save = desk.letter(Event::Save);
    desk.without(desk.taken(&save).await)?;
    desk.without(desk.comes_to(true).await)?;
    desk.without(desk.taken(&desk.letter(Event::Del)).await)?;
    desk.without(desk.comes_to(false).await)?;
    let answer = desk.send(&save).await?;
    no_fault(&answer, "an old one")?;
    // Whoever takes it does so within the time in which right ones count.
    let deadline = tokio::time::Instant::now() + desk.endpoint.patience;
    while tokio::time::Instant::now() < deadline {
        if desk.holds().await? == Some(true) {
            return broken("a save that was played again after the deletion counts: the pass is saved once more");
        }
        tokio::time::sleep(desk.endpoint.patience / 10).await;
    }
    Ok("an old save after a deletion changes nothing".to_owned())
}

async fn bytes(desk: &Desk<'_>) -> Outcome {
    desk.without(desk.taken(&desk.letter(Event::Save)).await)?;
    let mut letter = desk.letter(Event::Save);
    letter.note = Some("Grüße aus München — 会員証".to_owned());
    desk.taken(&letter).await?;
    Ok("a message with letters beyond ASCII was taken".to_owned())
}

fn other_issuer(desk: &Desk<'_>) -> Letter {
    let suffix = |id: &str| id.split_once('.').map_or(String::new(), |(_, suffix)| suffix.to_owned());
    let mut letter = desk.letter(Event::Save);
    letter.class = format!("{OTHER_ISSUER}.{}", suffix(&letter.class));
    letter.object = format!("{OTHER_ISSUER}.{}", suffix(&letter.object));
    letter.recipient = OTHER_ISSUER.to_owned();
    letter
}

async fn no_refetch(desk: &Desk<'_>) -> Outcome {
    desk.cleared().await?;
    let before = desk.endpoint.google.key_fetches();
    if before == 0 {
        return Err(Short::Without("the endpoint has its root keys from elsewhere".to_owned()));
    }
    for _ in 0..FORGED {
        let mut letter = desk.letter(Event::Save);
        letter.root = Root::Unknown;
        desk.send(&letter).await?;
    }
    let fetched = desk.endpoint.google.key_fetches() - before;
    if fetched > 1 {
        return broken(format!("{FORGED} forged call-backs led to {fetched} fetches of the root keys"));
    }
    Ok(format!("{FORGED} forged call-backs led to {fetched} fetches of the root keys"))
}

async fn garbage(desk: &Desk<'_>) -> Outcome {
    let sealed = desk.endpoint.google.sealed(&desk.letter(Event::Save));
    let half = sealed[..sealed.len() / 2].to_owned();
    let bodies: [(&str, Vec<u8>); 7] = [
        ("an empty body", Vec::new()),
        ("half of a call-back", half.into_bytes()),
        ("a list", b"[]".to_vec()),
        ("a signature that is no base64", sealed.replace("\"signature\":\"", "\"signature\":\"%%%").into_bytes()),
        ("a message that is no text", br#"{"protocolVersion":"ECv2SigningOnly","signedMessage":7}"#.to_vec()),
        ("bytes that are no UTF-8", vec![0xff; 64]),
        ("two megabytes", vec![b' '; HUGE]),
    ];
    for (what, body) in bodies {
        let answer = match desk.post(body).await {
            Ok(answer) => answer,
            // Whoever hangs up on so much is within their rights.
            Err(_) if what == "two megabytes" => continue,
            Err(none) => return Err(none.into()),
        };
        if !no_fault(&answer, what)?.is_client_error() {
            return broken(format!("{what} was answered {}", answer.status.as_u16()));
        }
    }
    Ok("seven bodies that are no call-back: refused each".to_owned())
}

async fn unknown_pass(desk: &Desk<'_>) -> Outcome {
    let mut letter = desk.letter(Event::Save);
    let issuer = letter.class.split('.').next().unwrap_or_default().to_owned();
    letter.object = format!("{issuer}.nobody-{}", desk.endpoint.run);
    let status = no_fault(&desk.send(&letter).await?, "a pass of the issuer that the endpoint does not know")?;
    Ok(format!("it was answered {}", status.as_u16()))
}

async fn storm(desk: &Desk<'_>) -> Outcome {
    desk.without(desk.taken(&desk.letter(Event::Save)).await)?;
    let mut asking = JoinSet::new();
    for number in 0..desk.endpoint.callers {
        let letter = desk.letter(if number % 2 == 0 { Event::Save } else { Event::Del });
        let (network, url, body) = (desk.network.clone(), desk.endpoint.url.clone(), desk.endpoint.google.sealed(&letter));
        asking.spawn(async move {
            let headers = [("content-type", "application/json"), ("user-agent", "Googlebot")];
            network.send(Method::POST, &url, &headers, Bytes::from(body)).await
        });
    }
    while let Some(answer) = asking.join_next().await {
        let answer: Exchange = answer.map_err(|error| Short::Broken(error.to_string()))??;
        if !answer.status.is_success() {
            return broken(format!("one of {} at once was answered {}", desk.endpoint.callers, answer.status.as_u16()));
        }
    }
    Ok(format!("{} at once: taken each", desk.endpoint.callers))
}

const fn case(
    name: &'static str,
    demand: &'static str,
    why: &'static str,
    mend: &'static str,
    only_looks: bool,
    id: CallbackId,
) -> Case {
    Case { name, demand, why, mend, source: CALLBACKS, only_looks, id: Id::Callback(id) }
}

/// All of them, in the order in which they are played.
pub static CALLBACK_CASES: &[Case] = &[
    case(
        "callback_https",
        "the call-back address is reached by https",
        "Google refuses a class that names it",
        "serve it with a certificate that the world trusts",
        true,
        CallbackId::Https,
    ),
    case(
        "callback_robots",
        "robots.txt lets Googlebot reach the address",
        "Google never calls: nobody counts as saved",
        "leave the path out of `Disallow`",
        true,
        CallbackId::Robots,
    ),
    case(
        "callback_save",
        "a right call-back of a save is taken (2xx) and counts",
        "whoever saves the pass does not count",
        "verify ECv2SigningOnly: the intermediate key by a root key, the message by the intermediate key",
        false,
        CallbackId::Save,
    ),
    case(
        "callback_delete",
        "a right call-back of a deletion is taken and counts",
        "whoever deletes the pass counts as a holder for good",
        "read `eventType`: `save` or `del`",
        false,
        CallbackId::Delete,
    ),
    case(
        "callback_repeat",
        "a call-back that comes again with its nonce is answered with 2xx",
        "Google lost the answer and tries again for hours",
        "answer 200 to a nonce that was taken",
        false,
        CallbackId::Repeat,
    ),
    case(
        "callback_replay",
        "an old call-back that is played again changes nothing",
        "whoever once saw a save can undo a deletion",
        "keep the nonce until the message has expired",
        false,
        CallbackId::Replay,
    ),
    case(
        "callback_bytes",
        "lengths in what is signed count bytes, not letters",
        "the first message with an umlaut is refused",
        "count the bytes of UTF-8, four bytes little-endian",
        false,
        CallbackId::Bytes,
    ),
    case(
        "callback_other_issuer",
        "a call-back that was validly signed for another issuer is refused (4xx)",
        "any issuer can tell what their own passes do as if it were yours",
        "take the recipient from your own configuration, never from the message",
        false,
        CallbackId::OtherIssuer,
    ),
    case(
        "callback_tampered",
        "a message that was changed after it was signed is refused",
        "anybody can say that any pass was saved or deleted",
        "verify `signature` over `signedMessage` as it came",
        false,
        CallbackId::Tampered,
    ),
    case(
        "callback_expired",
        "a message after its `expTimeMillis` is refused",
        "an old message can be played once its nonce is forgotten",
        "compare `expTimeMillis` with the present",
        false,
        CallbackId::Expired,
    ),
    case(
        "callback_key_expired",
        "a message by an intermediate key that has expired is refused",
        "a key that leaked once is good for ever",
        "compare `keyExpiration` of the signed key with the present",
        false,
        CallbackId::KeyExpired,
    ),
    case(
        "callback_unknown_root",
        "a message by an intermediate key that no root key signed is refused",
        "anybody can sign with a key of their own",
        "verify `intermediateSigningKey.signatures` by the root keys",
        false,
        CallbackId::UnknownRoot,
    ),
    case(
        "callback_root_protocol",
        "a root key of another protocol vouches for nothing",
        "keys that are kept for other purposes open this door too",
        "take keys of `ECv2SigningOnly` alone from Google's list",
        false,
        CallbackId::OtherProtocolRoot,
    ),
    case(
        "callback_root_expired",
        "a root key that has expired vouches for nothing",
        "keys that Google gave up are good for ever",
        "pass over keys whose `keyExpiration` has come",
        false,
        CallbackId::ExpiredRoot,
    ),
    case(
        "callback_protocol",
        "the protocol's name is compared letter by letter",
        "what was signed under another name passes for this one",
        "compare `protocolVersion` with ECv2SigningOnly as it stands",
        false,
        CallbackId::Protocol,
    ),
    case(
        "callback_no_refetch",
        "a bad signature is no reason to fetch the root keys anew",
        "anybody can have your server call Google as often as they like",
        "fetch the keys before the earliest expires, and never because of a message",
        false,
        CallbackId::NoRefetch,
    ),
    case(
        "callback_garbage",
        "what is no call-back is refused with 4xx",
        "faults of the server hide in the noise, and memory fills",
        "bound the body, and read it as what it must be",
        false,
        CallbackId::Garbage,
    ),
    case(
        "callback_unknown_pass",
        "a right call-back about a pass that is not known is answered without a fault",
        "Google tries again for hours",
        "answer 200: passes may have been made by other means",
        false,
        CallbackId::UnknownPass,
    ),
    case(
        "callback_storm",
        "many call-backs at once are all taken",
        "those that get a fault come later or never",
        "make taking one cheap; a queue is better than a 5xx",
        false,
        CallbackId::Storm,
    ),
];

#[cfg(test)]
mod tests {
    use super::forbidden;

    #[test]
    fn robots_are_read_as_google_reads_them() {
        let all = "User-agent: *\nDisallow: /\n";
        assert_eq!(forbidden(all, "/google/callback").as_deref(), Some("/"));
        let open = "User-agent: *\nDisallow: / # all\nUser-agent: Googlebot\nDisallow: /private\n";
        assert_eq!(forbidden(open, "/google/callback"), None, "its own group alone counts");
        let both = "User-agent: a\nUser-agent: *\nDisallow: /google\nAllow: /google/callback\n";
        assert_eq!(forbidden(both, "/google/callback"), None, "the longer rule counts");
        assert_eq!(forbidden(both, "/google/else").as_deref(), Some("/google"));
        assert_eq!(forbidden("Disallow: \n<html>\n", "/x"), None);
    }
}
