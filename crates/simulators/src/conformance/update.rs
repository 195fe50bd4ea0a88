//! What happens when the pass changes.

use std::time::Duration;

use http::StatusCode;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::Instant;

use super::bench::{Bench, Outcome, Phone, Short, broken, expect, read, told};
use super::fetch::parts;
use crate::apns::{Answer, ApnsServer, Push};

/// Pause between looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How often two updates are made: one pair of them will fall into one second of the server's clock.
const PAIRS: usize = 4;
const SECOND: Duration = Duration::from_secs(1);
/// After every registration: the start of the year 2100, in milliseconds since 1970.
const LATER: u64 = 4_102_444_800_000;
/// Updates after which a dead token would have been pushed to again.
const MORE: usize = 2;

/// The tag of the list once it names the pass.
async fn seen(bench: &Bench<'_>, phone: &Phone<'_>, tag: &str) -> Result<String, Short> {
    let limit = Instant::now() + bench.subject.patience;
    loop {
        match phone.lists(bench.pass()?, Some(tag)).await {
            Err(Short::Broken(came)) if Instant::now() >= limit => return broken(format!("after an update, {came}")),
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
            Ok(new) if new == tag => return broken(format!("the list names the pass and keeps the tag {tag:?}")),
            Ok(new) => return Ok(new),
        }
    }
}

pub(super) async fn reaches_the_phone(bench: &Bench<'_>) -> Outcome {
    let (pass, phone) = (bench.pass()?, bench.phone());
    phone.join(pass).await?;
    let tag = phone.lists(pass, None).await?;
    let (old, old_date) = bench.fetched().await?;
    bench.update().await?;
    let tag = seen(bench, &phone, &tag).await?;
    let exchange = bench.fetch(&[("if-modified-since", &old_date)]).await?;
    expect(&exchange, &[StatusCode::OK])?;
    let (new, new_date) = (read(&exchange)?, exchange.header("last-modified").unwrap_or_default().to_owned());
    if new.json == old.json {
        return broken("the package is the same after the update");
    }
    if parts(&new_date) <= parts(&old_date) {
        return broken(format!("Last-Modified was {old_date:?} and is {new_date:?} after the update"));
    }
    expect(&bench.fetch(&[("if-modified-since", &new_date)]).await?, &[StatusCode::NOT_MODIFIED])?;
    if let (serials, Some(again)) = phone.listed(&pass.pass_type, Some(&tag)).await?
        && again == tag
    {
        return broken(format!("it lists {serials:?} again with the tag {tag:?}"));
    }
    Ok("listed under a new tag, fetched with a later date, then 304".to_owned())
}

pub(super) async fn two_in_a_second(bench: &Bench<'_>) -> Outcome {
    let (pass, phone) = (bench.pass()?, bench.phone());
    phone.join(pass).await?;
    let mut tag = phone.lists(pass, None).await?;
    let mut quickest = Duration::MAX;
    for _ in 0..PAIRS {
        bench.update().await?;
        let began = Instant::now();
        tag = seen(bench, &phone, &tag).await?;
        let (first, date) = bench.fetched().await?;
        bench.update().await?;
        quickest = quickest.min(began.elapsed());
        tag = match seen(bench, &phone, &tag).await {
            Err(Short::Broken(came)) => return broken(format!("{came}, the second one within {} ms", quickest.as_millis())),
            other => other?,
        };
        let exchange = bench.fetch(&[("if-modified-since", &date)]).await?;
        if exchange.status != StatusCode::OK {
            let after = quickest.as_millis();
            return broken(format!("{} since {date} after a second update within {after} ms: it is lost", told(&exchange)));
        }
        if read(&exchange)?.json == first.json {
            return broken("the package is that of the first update");
        }
    }
    if quickest >= SECOND {
        return Err(Short::Without(format!("the way to change the pass takes {} ms", quickest.as_millis())));
    }
    Ok(format!("both are listed and fetched, {} ms apart", quickest.as_millis()))
}

pub(super) async fn identity_stays(bench: &Bench<'_>) -> Outcome {
    let (old, _) = bench.fetched().await?;
    bench.update().await?;
    let (new, _) = bench.fetched().await?;
    if new.key != old.key {
        return broken(format!("the update made it pass {} of type {}", new.key.serial, new.key.pass_type));
    }
    if new.web_service != old.web_service {
        return broken("the update changed authenticationToken or webServiceURL");
    }
    Ok("serial number, token and address stay".to_owned())
}

fn apns<'a>(bench: &'a Bench<'_>) -> Result<&'a ApnsServer, Short> {
    let without = || Short::Without("it takes a push service of the kit's own that the server pushes to".to_owned());
    bench.subject.apns.as_deref().ok_or_else(without)
}

pub(super) async fn pushes(bench: &Bench<'_>) -> Outcome {
    let (pass, phone, apns) = (bench.pass()?, bench.phone(), apns(bench)?);
    let mut pushes = apns.pushes();
    phone.join(pass).await?;
    bench.update().await?;
    woken(&mut pushes, &phone.token, bench.subject.patience).await?;
    Ok(format!("a push for {}", pass.pass_type))
}

pub(super) async fn token_rotation(bench: &Bench<'_>) -> Outcome {
    let (pass, mut phone, apns) = (bench.pass()?, bench.phone(), apns(bench)?);
    phone.join(pass).await?;
    phone.token = phone.token.chars().rev().collect();
    expect(&phone.register(pass, Some(&pass.token)).await?, &[StatusCode::OK])?;
    let mut pushes = apns.pushes();
    bench.update().await?;
    woken(&mut pushes, &phone.token, bench.subject.patience).await?;
    Ok("the push goes to the token that was given last".to_owned())
}

pub(super) async fn dead_token(bench: &Bench<'_>) -> Outcome {
    let (pass, dead, alive, apns) = (bench.pass()?, bench.phone(), bench.phone(), apns(bench)?);
    dead.join(pass).await?;
    alive.join(pass).await?;
    apns.answer(&dead.token, Answer::Unregistered { timestamp_ms: LATER });
    let mut pushes = apns.pushes();
    bench.update().await?;
    woken(&mut pushes, &alive.token, bench.subject.patience).await?;
    let limit = Instant::now() + bench.subject.patience;
    while apns.asked(&dead.token) == 0 {
        if Instant::now() >= limit {
            return broken("the phone is never pushed to, another with the same pass is");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    for _ in 0..MORE {
        bench.update().await?;
        woken(&mut pushes, &alive.token, bench.subject.patience).await?;
    }
    match apns.asked(&dead.token) {
        1 => Ok("pushed to once, and no more after 410".to_owned()),
        count => broken(format!("after 410 it was pushed to again: {count} times in {} updates", MORE + 1)),
    }
}

pub(super) async fn ended(bench: &Bench<'_>) -> Outcome {
    let (pass, phone) = (bench.pass()?, bench.phone());
    phone.join(pass).await?;
    let tag = phone.lists(pass, None).await?;
    let (old, date) = bench.fetched().await?;
    bench.end().await?;
    seen(bench, &phone, &tag).await?;
    let exchange = bench.fetch(&[("if-modified-since", &date)]).await?;
    expect(&exchange, &[StatusCode::OK])?;
    let new = read(&exchange)?;
    let expiry = |json: &serde_json::Value| json["expirationDate"].as_str().map(str::to_owned);
    match expiry(&new.json) {
        _ if new.voided => Ok("listed, and fetched as void".to_owned()),
        Some(date) if Some(&date) != expiry(&old.json).as_ref() => Ok(format!("listed, and fetched as expired since {date}")),
        _ => broken("the package is neither void nor expired"),
    }
}

async fn woken(pushes: &mut Receiver<Push>, token: &str, patience: Duration) -> Result<(), Short> {
    let limit = Instant::now() + patience;
    let mut others = Vec::new();
    loop {
        match tokio::time::timeout_at(limit, pushes.recv()).await {
            Ok(Ok(push)) if push.token == token => return Ok(()),
            Ok(Ok(push)) => others.push(push.token),
            Ok(Err(RecvError::Lagged(_))) => {}
            _ if others.is_empty() => return broken(format!("no push within {} s", patience.as_secs_f32())),
            _ => return broken(format!("the push went to {} and not to {token}", others.join(", "))),
        }
    }
}
