//! The request of a delivery: in its target's shape, or with a body that the target's owner makes.

use std::sync::Arc;

use bytes::Bytes;
use connectors::{
    catalog::Destination,
    kit::{self, Owed, Request, Secrets},
    native,
};
use domain::{Content, Payload, Timestamp};
use flows::transform::{Arrived, Transformation};
use outbound::http::Client;
use script::{Entry, Host, Program, Transformed};
use serde_json::Value;

use super::send::Delivery;
use crate::{
    flow_reader::transform::{LIMITS, Outside, PATIENCE},
    shard::House,
};

/// The request that tells the delivery's event; nothing when there is nothing to tell.
///
/// # Errors
/// Why none can be made, for people to mend.
pub(super) async fn request(
    house: &Arc<House>,
    delivery: &Delivery,
    shape: &Destination,
    secrets: &Secrets,
    client: &Client,
    at: Timestamp,
) -> Result<Option<Request>, String> {
    let public_url = &house.settings.webhooks.public_url;
    let owed =
        Owed { event: &delivery.event, delivery: delivery.id, public_url, unsubscribe: None, bodies: Some(&delivery.bodies) };
    let target = delivery.to.target();
    match body(house, delivery, client).await? {
        Body::Shapes => (shape.render)(&[owed], target, secrets, at).pop().map(|sending| sending.request).transpose(),
        Body::Nothing => Ok(None),
        Body::Made(content, body) => {
            let made = kit::made(&owed, target, secrets, at, content.media(), Bytes::from(body));
            made.map(Some).ok_or_else(|| "the request's headers cannot be made".to_owned())
        }
    }
}

/// A body that a target's owner makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// They make none: the shape has its own.
    Shapes,
    /// There is nothing to tell.
    Nothing,
    /// This.
    Made(Content, String),
}

/// The body that the target's owner makes of the delivery's event.
///
/// # Errors
/// Why none can be made, for people to mend.
pub(super) async fn body(house: &Arc<House>, delivery: &Delivery, client: &Client) -> Result<Body, String> {
    let public_url = &house.settings.webhooks.public_url;
    match (&delivery.to.body, &delivery.to.target().payload) {
        (Err(why), _) => Err(format!("the payload cannot be made: {why}")),
        (Ok(Some(body)), _) => {
            let filled = body.fill(&native::view(&delivery.event, public_url));
            Ok(Body::Made(body.content(), filled.map_err(|problem| format!("the payload cannot be made: {problem}"))?))
        }
        (Ok(None), Some(Payload::Transformation(name))) => {
            let made = transformed(house, delivery, name, client).await?;
            Ok(made.map_or(Body::Nothing, |body| Body::Made(Content::Json, body.to_string())))
        }
        (Ok(None), _) => Ok(Body::Shapes),
    }
}

/// What a transformation makes of an event; nothing when it leaves it out.
async fn transformed(house: &Arc<House>, delivery: &Delivery, name: &str, client: &Client) -> Result<Option<Value>, String> {
    let catalog = house.store.catalog();
    let config = catalog.org(delivery.event.org);
    let stored = config.and_then(|config| Some((config, config.transformation_named(name)?)));
    let (config, stored) = stored.ok_or_else(|| format!("there is no transformation `{name}` any more"))?;
    let event = native::view(&delivery.event, &house.settings.webhooks.public_url);
    if !stored.value.enabled {
        return Ok(Some(event));
    }
    let entry = if stored.value.batch { Entry::Batch } else { Entry::Event };
    let program = Program::load(&stored.value.code, Arc::new(config.libraries()), entry);
    let transformation = Transformation { id: stored.value.id, version: stored.revision, program };
    let host: Arc<dyn Host> = Arc::new(Outside::new(client.clone()));
    let received_at = delivery.event.recorded_at;
    let ran = tokio::task::spawn_blocking(move || {
        let arrived = [Arrived { event: &event, source: None, received_at }];
        transformation.run(&arrived, host, &LIMITS).events.pop()
    });
    match tokio::time::timeout(PATIENCE, ran).await {
        Ok(Ok(Some(Transformed::Kept(mut events)))) if events.len() <= 1 => Ok(events.pop()),
        Ok(Ok(Some(Transformed::Kept(events)))) => Ok(Some(events.into())),
        Ok(Ok(Some(Transformed::Dropped))) => Ok(None),
        Ok(Ok(Some(Transformed::Failed(fault)))) => {
            Err(format!("the transformation `{name}` failed: {}", flows::transform::reason(&fault)))
        }
        Ok(Ok(None) | Err(_)) | Err(_) => Err(format!("the transformation `{name}` did not end")),
    }
}
