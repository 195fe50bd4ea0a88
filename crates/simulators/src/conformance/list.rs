//! The list of what has changed.

use http::StatusCode;

use super::bench::{Bench, NOBODYS_TYPE, Outcome, broken, expect, told};

pub(super) async fn unknown_device(bench: &Bench<'_>) -> Outcome {
    let exchange = bench.phone().list(bench.anybody().0, None).await?;
    expect(&exchange, &[StatusCode::NO_CONTENT, StatusCode::NOT_FOUND])?;
    Ok(told(&exchange))
}

pub(super) async fn first(bench: &Bench<'_>) -> Outcome {
    let (pass, phone) = (bench.pass()?, bench.phone());
    phone.join(pass).await?;
    let tag = phone.lists(pass, None).await?;
    if tag.is_empty() {
        return broken("lastUpdated is empty");
    }
    Ok(format!("listed, lastUpdated {tag:?}; no token was shown"))
}

pub(super) async fn nothing_new(bench: &Bench<'_>) -> Outcome {
    let (pass, phone) = (bench.pass()?, bench.phone());
    phone.join(pass).await?;
    let tag = phone.lists(pass, None).await?;
    match phone.listed(&pass.pass_type, Some(&tag)).await? {
        (serials, Some(new)) if new == tag => {
            broken(format!("it lists {serials:?} again with the tag {tag:?} that the phone has"))
        }
        (_, None) => Ok("204 with the tag just given".to_owned()),
        (serials, Some(_)) => Ok(format!("it lists {serials:?} once more, with a tag that moved on: harmless")),
    }
}

pub(super) async fn other_type(bench: &Bench<'_>) -> Outcome {
    let (pass, phone) = (bench.pass()?, bench.phone());
    phone.join(pass).await?;
    let exchange = phone.list(NOBODYS_TYPE, None).await?;
    expect(&exchange, &[StatusCode::NO_CONTENT, StatusCode::NOT_FOUND])?;
    Ok(told(&exchange))
}

pub(super) async fn complete(bench: &Bench<'_>) -> Outcome {
    let (pass, other, phone) = (bench.pass()?, bench.other()?, bench.phone());
    if pass.pass_type != other.pass_type {
        return broken("the second pass is of another type: give one of the same type");
    }
    phone.join(pass).await?;
    phone.join(other).await?;
    if bench.subject.update.is_some() {
        bench.update().await?;
    }
    let (serials, _) = phone.listed(&pass.pass_type, None).await?;
    match [pass, other].into_iter().find(|pass| !serials.contains(&pass.serial)) {
        Some(missing) => broken(format!("of two passes on the phone it lists {serials:?}, without {}", missing.serial)),
        None => Ok("both passes of the phone are listed".to_owned()),
    }
}

pub(super) async fn strange_tag(bench: &Bench<'_>) -> Outcome {
    let (pass, phone) = (bench.pass()?, bench.phone());
    phone.join(pass).await?;
    for tag in ["conformance", "", "99999999999999999999", "2015-01-01T00:00:00Z", "%00"] {
        let exchange = phone.list(&pass.pass_type, Some(tag)).await?;
        if exchange.status != StatusCode::OK && exchange.status != StatusCode::NO_CONTENT {
            return broken(format!("{} to a tag that is not its own", told(&exchange)));
        }
    }
    Ok("200 or 204 to tags that are not its own".to_owned())
}
