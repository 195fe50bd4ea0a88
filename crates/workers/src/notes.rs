//! What is noted about the running of things, as events in the log like any other.

use domain::{Action, Actor, Cause, Command, CommandId, Facts, IdempotencyKey, OrgId};
use engine::EngineError;
use store::StoreError;

use crate::shard::House;

/// Notes something once under a key of whoever notes it, while keys are kept.
pub(crate) async fn note(house: &House, org: OrgId, principal: &str, key: String, facts: Facts) -> Result<(), StoreError> {
    let key = IdempotencyKey { principal: principal.to_owned(), key, fingerprint: [0; 32], keep_image: false };
    let id = CommandId::mint(house.now(), &*house.entropy);
    let action = Action::Note { facts: Box::new(facts) };
    let command = Command { id, org, actor: Actor::System, cause: Cause::Schedule, key: Some(key), told: None, action };
    match house.engine.submit(command).await {
        Ok(_) => Ok(()),
        Err(EngineError::Unavailable(error)) => Err(StoreError::Unavailable(error.to_string())),
        Err(EngineError::Rejected(reject)) => Err(StoreError::Internal(reject.message)),
    }
}
