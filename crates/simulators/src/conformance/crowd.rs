//! Many at once, and one phone's whole life.

use http::StatusCode;
use tokio::task::JoinSet;

use super::bench::{Bench, Outcome, Short, broken, told};
use super::fetch::MIME;
use crate::iphone::{DAEMON, Exchange, Iphone, NoAnswer, Outcome as Fetched, encode};

/// One phone that registers under many device ids, one after another, as has been seen within minutes.
pub(super) async fn many_device_ids(bench: &Bench<'_>) -> Outcome {
    let (pass, first) = (bench.pass()?, bench.phone());
    let token = first.token.clone();
    first.join(pass).await?;
    for _ in 1..bench.subject.phones {
        let mut next = bench.phone();
        next.token.clone_from(&token);
        next.join(pass).await?;
    }
    first.lists(pass, None).await?;
    Ok(format!("{} device ids with one push token: 201 each", bench.subject.phones))
}

/// After a push to everybody: all phones ask at once.
pub(super) async fn storm(bench: &Bench<'_>) -> Outcome {
    let (subject, pass) = (bench.subject, bench.pass()?);
    let phones = (0..bench.subject.phones).map(|_| bench.phone()).collect::<Vec<_>>();
    for phone in &phones {
        phone.join(pass).await?;
    }
    let (pass_type, serial) = (encode(&pass.pass_type), encode(&pass.serial));
    let mut asking = JoinSet::new();
    for phone in &phones {
        let list = format!("{}/v1/devices/{}/registrations/{pass_type}", subject.service, encode(&phone.device));
        let fetch = format!("{}/v1/passes/{pass_type}/{serial}", subject.service);
        let (network, authorization) = (bench.network.clone(), format!("ApplePass {}", pass.token));
        asking.spawn(async move {
            let get = http::Method::GET;
            let listed = network.send(get.clone(), &list, &[("user-agent", DAEMON)], bytes::Bytes::new()).await?;
            let headers = [("user-agent", DAEMON), ("authorization", authorization.as_str())];
            let fetched = network.send(get, &fetch, &headers, bytes::Bytes::new()).await?;
            Ok::<_, NoAnswer>([listed, fetched])
        });
    }
    while let Some(answers) = asking.join_next().await {
        let answers: [Exchange; 2] = answers.map_err(|error| Short::Broken(error.to_string()))??;
        if let Some(other) = answers.iter().find(|answer| answer.status != StatusCode::OK) {
            return broken(format!("{} while {} phones asked at once", told(other), subject.phones));
        }
        if answers[1].header("content-type") != Some(MIME) {
            return broken(format!("the content type is {:?} in a crowd", answers[1].header("content-type")));
        }
    }
    Ok(format!("{} phones listed and fetched at once", subject.phones))
}

/// The simulated phone of the other tests, from adding the pass to removing it.
pub(super) async fn whole_life(bench: &Bench<'_>) -> Outcome {
    let template = bench.phone();
    let package = bench.fetch(&[]).await?;
    let mut phone = Iphone::new(template.device, template.token, bench.network.clone());
    let fault = |error: crate::iphone::PhoneError| Short::Broken(error.to_string());
    let added = phone.add_pass(&package.body).await.map_err(fault)?;
    if added.registration.as_ref().is_none_or(|exchange| exchange.url.split("/v1/").next() != Some(&*bench.subject.service)) {
        // The package leads elsewhere than to what is tested: nothing of what follows would be about it.
        phone.remove_pass(&added.key).await.map_err(fault)?;
        return broken(format!("the package names another web service than {}", bench.subject.service));
    }
    for _ in 0..2 {
        let updates = phone.on_push(&added.key.pass_type).await.map_err(fault)?;
        let fetched = updates.iter().flat_map(|update| &update.fetched);
        for one in fetched {
            if let Fetched::Failed(reason) = &one.outcome {
                return broken(format!("{}: {reason}", told(&one.exchange)));
            }
        }
    }
    phone.head(&added.key).await.map_err(fault)?;
    phone.set_automatic_updates(&added.key, false).await.map_err(fault)?;
    phone.set_automatic_updates(&added.key, true).await.map_err(fault)?;
    phone.remove_pass(&added.key).await.map_err(fault)?;
    match phone.complaints() {
        [] => Ok("added, asked twice, switched off and on, removed: nothing for its log".to_owned()),
        complaints => broken(format!("its log says: {}", complaints.join("; "))),
    }
}
