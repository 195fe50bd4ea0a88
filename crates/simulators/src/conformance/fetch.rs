//! Fetching a pass: credentials, content type, dates, conditions, HEAD, and the two addresses beside it.

use bytes::Bytes;
use http::{Method, StatusCode};
use pkpass::{Finding, Limits, Package, Severity};
use serde_json::json;

use super::bench::{Bench, Outcome, Short, WRONG_TOKEN, broken, expect, read, told};
use crate::iphone::{DAEMON, PASS_MIME, encode};

/// Before any pass was made.
const LONG_AGO: &str = "Thu, 01 Jan 2015 00:00:00 GMT";

pub(super) async fn https(bench: &Bench<'_>) -> Outcome {
    let service = &bench.subject.service;
    match service.starts_with("https://") {
        true => Ok("the address is https".to_owned()),
        false if bench.is_local() => Err(Short::Without("an address of this machine: on a phone it must be https".to_owned())),
        false => broken(format!("the address is {service}")),
    }
}

pub(super) async fn whole(bench: &Bench<'_>) -> Outcome {
    let exchange = bench.fetch(&[]).await?;
    expect(&exchange, &[StatusCode::OK])?;
    let pass = read(&exchange)?;
    let wanted = bench.pass()?;
    if (&pass.key.pass_type, &pass.key.serial) != (&wanted.pass_type, &wanted.serial) {
        return broken(format!("the package is pass {} of type {}", pass.key.serial, pass.key.pass_type));
    }
    match &pass.web_service {
        Some(service) if service.token == wanted.token => Ok(format!("a package of {} bytes", exchange.body.len())),
        Some(_) => broken("the package has another authenticationToken than the one that it was fetched with"),
        None => broken("the package names no web service: phones would never ask again"),
    }
}

/// What a phone checks before it shows a pass, and the simulated one of the other cases is not as strict about.
pub(super) async fn acceptable(bench: &Bench<'_>) -> Outcome {
    let exchange = bench.fetch(&[]).await?;
    expect(&exchange, &[StatusCode::OK])?;
    let package = Package::parse(&exchange.body, &Limits::PASS).map_err(|fault| Short::Broken(fault.to_string()))?;
    // On this machine certificates of one's own making do, and there is a case about https.
    let is_local = bench.is_local();
    let roots: &[&[u8]] = if is_local { &[] } else { &[pkpass::APPLE_ROOT] };
    let found = pkpass::lint_package(&package, roots, bench.subject.now);
    let counts = |finding: &&Finding| finding.severity == Severity::Refused && !(is_local && finding.rule == "service_not_https");
    let refused: Vec<_> = found.iter().filter(counts).map(|it| format!("{}: {} ({})", it.path, it.mend, it.rule)).collect();
    if refused.is_empty() { Ok("nothing for which a phone refuses it".to_owned()) } else { broken(refused.join("; ")) }
}

pub(super) async fn without_token(bench: &Bench<'_>) -> Outcome {
    let pass = bench.pass()?;
    for shown in [None, Some(WRONG_TOKEN), Some("")] {
        let exchange = bench.request(Method::GET, (&pass.pass_type, &pass.serial), shown, &[]).await?;
        expect(&exchange, &[StatusCode::UNAUTHORIZED])?;
    }
    Ok("401 without a token, with a wrong one and with an empty one".to_owned())
}

pub(super) async fn unknown_serial(bench: &Bench<'_>) -> Outcome {
    let ((pass_type, token), serial) = (bench.anybody(), bench.unknown_serial());
    let exchange = bench.request(Method::GET, (pass_type, &serial), Some(token), &[]).await?;
    expect(&exchange, &[StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND])?;
    Ok(told(&exchange))
}

pub(super) async fn cross_token(bench: &Bench<'_>) -> Outcome {
    let (pass, other) = (bench.pass()?, bench.other()?);
    let with = |token| bench.request(Method::GET, (&pass.pass_type, &pass.serial), Some(token), &[]);
    expect(&with(&other.token).await?, &[StatusCode::UNAUTHORIZED])?;
    let phone = bench.phone();
    expect(&phone.register(pass, Some(&other.token)).await?, &[StatusCode::UNAUTHORIZED])?;
    phone.join(pass).await?;
    expect(&phone.unregister(pass, Some(&other.token)).await?, &[StatusCode::UNAUTHORIZED])?;
    Ok("401 for fetching, registering and unregistering with the other pass's token".to_owned())
}

pub(super) async fn http_date(bench: &Bench<'_>) -> Outcome {
    let exchange = bench.fetch(&[]).await?;
    expect(&exchange, &[StatusCode::OK])?;
    match exchange.header("last-modified") {
        Some(date) if parts(date).is_some() => Ok(format!("Last-Modified: {date}")),
        Some(date) => broken(format!("Last-Modified is {date:?}, not a date such as {LONG_AGO:?}")),
        None => broken("the answer has no Last-Modified"),
    }
}

pub(super) async fn not_modified(bench: &Bench<'_>) -> Outcome {
    let (_, date) = bench.fetched().await?;
    let exchange = bench.fetch(&[("if-modified-since", &date)]).await?;
    if exchange.status != StatusCode::NOT_MODIFIED {
        return broken(format!("{} to If-Modified-Since: {date}, its own Last-Modified", told(&exchange)));
    }
    if !exchange.body.is_empty() {
        return broken(format!("304 with a body of {} bytes", exchange.body.len()));
    }
    Ok(format!("304 since {date}"))
}

pub(super) async fn modified(bench: &Bench<'_>) -> Outcome {
    for since in [LONG_AGO, "yesterday", "1700000000"] {
        let exchange = bench.fetch(&[("if-modified-since", since)]).await?;
        if exchange.status != StatusCode::OK {
            return broken(format!("{} to If-Modified-Since: {since}", told(&exchange)));
        }
    }
    Ok("200 since 2015, and since what is no date".to_owned())
}

pub(super) async fn head(bench: &Bench<'_>) -> Outcome {
    let pass = bench.pass()?;
    let got = bench.fetch(&[]).await?;
    let head = bench.request(Method::HEAD, (&pass.pass_type, &pass.serial), Some(&pass.token), &[]).await?;
    expect(&head, &[StatusCode::OK])?;
    for name in ["content-type", "last-modified"] {
        if head.header(name) != got.header(name) {
            return broken(format!("{name} is {:?} for HEAD and {:?} for GET", head.header(name), got.header(name)));
        }
    }
    if !head.body.is_empty() {
        return broken(format!("HEAD has a body of {} bytes", head.body.len()));
    }
    let refused = bench.request(Method::HEAD, (&pass.pass_type, &pass.serial), Some(WRONG_TOKEN), &[]).await?;
    expect(&refused, &[StatusCode::UNAUTHORIZED])?;
    Ok("the headers of GET, no body; 401 with a wrong token".to_owned())
}

pub(super) async fn log(bench: &Bench<'_>) -> Outcome {
    let url = format!("{}/v1/log", bench.subject.service);
    let headers = [("user-agent", DAEMON), ("content-type", "application/json")];
    let body = json!({ "logs": ["a line of the conformance kit: nothing is wrong"] }).to_string();
    let exchange = bench.network.send(Method::POST, &url, &headers, body.into()).await?;
    expect(&exchange, &[StatusCode::OK])?;
    Ok(told(&exchange))
}

pub(super) async fn personalize(bench: &Bench<'_>) -> Outcome {
    let pass = bench.pass()?;
    let (package, _) = bench.fetched().await?;
    let mut serials = vec![bench.unknown_serial()];
    if !package.files.iter().any(|file| file == "personalization.json") {
        serials.push(pass.serial.clone());
    }
    let body = json!({
        "personalizationToken": "Y29uZm9ybWFuY2U=",
        "requiredPersonalizationInfo": { "fullName": "Nobody", "emailAddress": "nobody@example.com" },
    });
    let body: Bytes = body.to_string().into();
    for serial in &serials {
        let (pass_type, serial) = (encode(&pass.pass_type), encode(serial));
        let url = format!("{}/v1/passes/{pass_type}/{serial}/personalize", bench.subject.service);
        let headers = [("user-agent", DAEMON), ("content-type", "application/json")];
        let exchange = bench.network.send(Method::POST, &url, &headers, body.clone()).await?;
        if !exchange.status.is_client_error() {
            return broken(format!("{}, not 4xx", told(&exchange)));
        }
    }
    Ok(format!(
        "4xx for {}",
        if serials.len() > 1 { "an unknown pass and for one that asks for no sign-up" } else { "an unknown pass" }
    ))
}

/// The parts of a date of RFC 9110, 5.6.7, the greatest first: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn parts(date: &str) -> Option<[u32; 6]> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (weekday, rest) = date.split_once(", ")?;
    let rest = rest.strip_suffix(" GMT")?;
    if !["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&weekday) || rest.len() != "06 Nov 1994 08:49:37".len() {
        return None;
    }
    let mut words = rest.split(' ');
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)?;
    let mut clock = time.split(':').map(|part| part.parse::<u32>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let day = day.parse().ok()?;
    let fits = (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    fits.then_some([year.parse().ok()?, u32::try_from(month).ok()? + 1, day, hour, minute, second])
}

/// The content type that a package is sent with.
pub(super) const MIME: &str = PASS_MIME;

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(parts("Sun, 06 Nov 1994 08:49:37 GMT"), Some([1994, 11, 6, 8, 49, 37]));
        for other in ["1700000000", "1994-11-06T08:49:37Z", "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 +0000", ""]
        {
            assert_eq!(parts(other), None, "{other}");
        }
    }
}
