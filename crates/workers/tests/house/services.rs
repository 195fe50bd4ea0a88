//! Destinations with accounts, and what makes events that they are told of.

use std::collections::BTreeMap;

use domain::{Action, FieldValue, Pass, PassRef, Sighting, Target, TargetId, UninstallReason, Wallet};
use serde_json::Value;
use store::{AttemptOutcome, StoredTarget};

use super::House;

/// A destination, as the API would make it.
pub(crate) async fn destination(house: &House, kind: &str, url: &str, settings: Value, credentials: &[(&str, &str)]) -> TargetId {
    let settings: BTreeMap<String, FieldValue> = serde_json::from_value(settings).unwrap();
    let id = house
        .target_with(url, |target: &mut Target| {
            target.dialect = kind.to_owned();
            target.settings = settings;
            target.headers = BTreeMap::new();
        })
        .await;
    let stored = house.store.current().await.unwrap().org(house.org).unwrap().targets[&id.uuid()].clone();
    let mut changed: StoredTarget = (*stored.value).clone();
    for (name, value) in credentials {
        changed.sealed_settings.insert((*name).to_owned(), house.store.seal_setting(house.org, id, value).unwrap());
    }
    assert!(house.store.put(&house.change(), &changed, stored.revision).await.unwrap());
    id
}

pub(crate) async fn install(house: &House, pass: &Pass, wallet: Wallet, device: &str) {
    let sighting = Sighting { at: domain::Clock::now(&*house.clock), ..Sighting::default() };
    let action =
        Action::RecordInstall { pass: PassRef::Id(pass.id), wallet, device: device.to_owned(), push_token: None, sighting };
    house.engine.submit(house.command(action)).await.unwrap();
}

pub(crate) async fn remove(house: &House, pass: &Pass, wallet: Wallet, device: &str) {
    let reason = UninstallReason::Unregistered;
    let action = Action::RecordUninstall { pass: PassRef::Id(pass.id), wallet, device: device.to_owned(), reason };
    house.engine.submit(house.command(action)).await.unwrap();
}

/// How each delivery ended last.
pub(crate) async fn ended(house: &House, target: TargetId, outcome: AttemptOutcome) -> usize {
    house.attempts(target).await.iter().filter(|attempt| attempt.outcome == outcome.number()).count()
}
