//! Registering and unregistering.

use bytes::Bytes;
use http::StatusCode;

use super::Credential;
use super::bench::{Bench, Outcome, WRONG_TOKEN, broken, expect, told};

pub(super) async fn twice(bench: &Bench<'_>) -> Outcome {
    let (pass, phone) = (bench.pass()?, bench.phone());
    expect(&phone.register(pass, Some(&pass.token)).await?, &[StatusCode::CREATED])?;
    expect(&phone.register(pass, Some(&pass.token)).await?, &[StatusCode::OK])?;
    Ok("201, then 200".to_owned())
}

pub(super) async fn refused(bench: &Bench<'_>) -> Outcome {
    let (pass, phone) = (bench.pass()?, bench.phone());
    for shown in [None, Some(WRONG_TOKEN)] {
        expect(&phone.register(pass, shown).await?, &[StatusCode::UNAUTHORIZED])?;
    }
    let unknown = Credential { serial: bench.unknown_serial(), ..pass.clone() };
    expect(&phone.register(&unknown, Some(&pass.token)).await?, &[StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND])?;
    let (serials, _) = phone.listed(&pass.pass_type, None).await?;
    if !serials.is_empty() {
        return broken(format!("it answered 401 and registered the phone all the same: {serials:?}"));
    }
    Ok("401 without a token and with a wrong one, nothing registered".to_owned())
}

pub(super) async fn garbage(bench: &Bench<'_>) -> Outcome {
    let (pass, phone) = (bench.pass()?, bench.phone());
    for body in ["", "{", "[]", "{\"pushToken\": 7}", "{\"token\": \"ab\"}"] {
        let exchange = phone.post(pass, Some(&pass.token), Bytes::from_static(body.as_bytes())).await?;
        if exchange.status.is_success() {
            // So that it is tidied up.
            phone.unregister(pass, Some(&pass.token)).await?;
        }
        if !exchange.status.is_client_error() {
            return broken(format!("{} to the body {body:?}, not 4xx", told(&exchange)));
        }
    }
    Ok("4xx to bodies without a push token".to_owned())
}

pub(super) async fn unregister(bench: &Bench<'_>) -> Outcome {
    let (pass, phone) = (bench.pass()?, bench.phone());
    phone.join(pass).await?;
    for shown in [None, Some(WRONG_TOKEN)] {
        expect(&phone.unregister(pass, shown).await?, &[StatusCode::UNAUTHORIZED])?;
    }
    phone.lists(pass, None).await?;
    for _ in 0..2 {
        phone.leave(pass).await?;
    }
    let (serials, _) = phone.listed(&pass.pass_type, None).await?;
    if serials.contains(&pass.serial) {
        return broken("the phone is told of the pass after it has unregistered");
    }
    Ok("401 with a wrong token; 200 and 200 again with the right one, and gone from the list".to_owned())
}

pub(super) async fn flips(bench: &Bench<'_>) -> Outcome {
    let (pass, phone) = (bench.pass()?, bench.phone());
    for _ in 0..3 {
        phone.join(pass).await?;
        phone.lists(pass, None).await?;
        phone.leave(pass).await?;
    }
    phone.join(pass).await?;
    phone.lists(pass, None).await?;
    Ok("off and on three times: 200 and 201 each time, and listed again".to_owned())
}

pub(super) async fn wipe(bench: &Bench<'_>) -> Outcome {
    let (pass, old, new) = (bench.pass()?, bench.phone(), bench.phone());
    old.join(pass).await?;
    new.join(pass).await?;
    new.lists(pass, None).await?;
    old.lists(pass, None).await?;
    Ok("the new device id is registered beside the old one, which never said goodbye".to_owned())
}
