//! Organizations that mirror each other by webhooks in PassKit's shape: what one of them told comes back, and ends there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use support::{BINARY, Programme, SLUG, key_of, post, text};
use testkit::server::Server;

const PATIENCE: Duration = Duration::from_secs(60);
const MIRROR: &str = include_str!("../../connectors/src/passkit/presets/mirrors-passes.yaml");

/// An organization with the preset and a source for it.
struct Mirror {
    programme: Programme,
    source: String,
    address: String,
}

impl Mirror {
    /// In an organization of its own.
    async fn open(server: &Server) -> Self {
        let organization = text(&post(server, "/v1/organizations", &json!({"name": "Mirror"})).await, "id");
        let programme = Programme::set_up(server, key_of(server, &organization).await).await;
        let made = programme.post("/v1/sources", &json!({"slug": "mirror", "name": "Mirror", "kind": "passkit"})).await;
        let source = text(&made, "id");
        let address = server.url(&format!("/ingest/{source}?writeKey={}", text(&made, "write_key")));
        programme.flow(&MIRROR.replace("my-project", SLUG)).await;
        Self { programme, source, address }
    }

    /// Everything that happens to passes here is told there.
    async fn tells(&self, other: &Self) {
        let webhook = json!({"name": "Mirror", "dialect": "passkit", "url": other.address});
        self.programme.post("/v1/webhooks", &webhook).await;
    }

    async fn passes(&self) -> Vec<Value> {
        let page = self.programme.api(Method::GET, "/v1/passes?limit=100", None).await.unwrap();
        page["data"].as_array().unwrap().clone()
    }

    async fn issues(&self, external_id: &str) -> String {
        let contact = json!({"external_id": external_id, "email": format!("{external_id}@example.com")});
        let issue = json!({"project": self.programme.project, "external_id": external_id, "contact": contact});
        text(&self.programme.post("/v1/passes", &issue).await, "id")
    }

    /// What became of the source's events, oldest first, once there are so many and all are settled.
    async fn outcomes(&self, count: usize) -> Vec<(String, Value)> {
        let path = format!("/v1/sources/{}/events?limit=100", self.source);
        let settled = async {
            loop {
                let page = self.programme.api(Method::GET, &path, None).await.unwrap();
                let mut events = page["data"].as_array().unwrap().clone();
                if events.len() >= count
                    && events.iter().all(|event| event["status"] != "pending" && event["status"] != "waiting")
                {
                    events.reverse();
                    break events;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let events = tokio::time::timeout(PATIENCE, settled).await.expect("its events are settled");
        assert_eq!(events.len(), count, "nothing more came: {events:?}");
        let mut outcomes = Vec::new();
        for event in &events {
            let path = format!("/v1/source-events/{}", text(event, "id"));
            let shown = self.programme.api(Method::GET, &path, None).await.unwrap();
            let flows = shown["trace"]["flows"].as_array().unwrap();
            let mirror = flows.iter().find(|flow| flow["flow"] == "passkit-mirror").unwrap().clone();
            outcomes.push((text(&shown, "status"), mirror));
        }
        outcomes
    }
}

fn ended(outcome: &(String, Value), status: &str, why: &str) {
    assert_eq!(outcome.0, status, "{outcome:?}");
    assert!(outcome.1["matched"] == false && outcome.1["reason"].as_str().unwrap().contains(why), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_mirror_each_other_have_a_pass_each() {
    let server = Server::start(BINARY, None).await.unwrap();
    let (here, there) = (Mirror::open(&server).await, Mirror::open(&server).await);
    here.tells(&there).await;
    there.tells(&here).await;
    let told_back = "slug: told-back\nproject: club\nwhen: { event: PASS_EVENT_RECORD_UPDATED }\nsteps: [{ id: points, action: update, \
                     find: { pass: $.properties.externalId }, balances: { points: { add: 3 } } }]";
    here.programme.flow(told_back).await;
    let pass = here.issues("ann").await;

    ended(&here.outcomes(1).await[0], "ignored", "the event came back");
    assert_eq!(there.outcomes(1).await[0].0, "done");
    let mirrored = there.passes().await;
    assert_eq!(mirrored.iter().map(|pass| &pass["external_id"]).collect::<Vec<_>>(), [&json!(pass)]);
    assert_eq!(here.passes().await.len(), 1);

    // What begins there is news here, but about a pass of ours: no other is issued for it, and what a flow does about it ends there.
    let path = format!("/v1/passes/{}", text(&mirrored[0], "id"));
    let change = json!({"balances": {"points": {"set": "7"}}});
    there.programme.api(Method::PATCH, &path, Some(&change)).await.unwrap();
    ended(&here.outcomes(2).await[1], "done", "mirrors one that was issued here");
    let shown = here.programme.api(Method::GET, &format!("/v1/passes/{pass}"), None).await.unwrap();
    assert_eq!(shown["balances"]["points"], "3", "{shown}");
    ended(&there.outcomes(2).await[1], "ignored", "the event came back");

    // The other way round it is the same.
    let theirs = there.issues("bob").await;
    ended(&there.outcomes(3).await[2], "ignored", "the event came back");
    assert_eq!(here.outcomes(3).await[2].0, "done");
    let all = here.passes().await;
    assert!(all.len() == 2 && all.iter().any(|pass| pass["external_id"] == json!(theirs)), "{all:?}");
    assert_eq!(there.passes().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_over_others_ends_too() {
    // Two organizations of one server, and one of another.
    let (server, other) = (Server::start(BINARY, None).await.unwrap(), Server::start(BINARY, None).await.unwrap());
    let ring = [Mirror::open(&server).await, Mirror::open(&other).await, Mirror::open(&server).await];
    for (one, next) in [(0, 1), (1, 2), (2, 0)] {
        ring[one].tells(&ring[next]).await;
    }
    ring[0].issues("ann").await;
    ended(&ring[0].outcomes(1).await[0], "ignored", "the event came back");
    for mirror in &ring[1..] {
        assert_eq!(mirror.outcomes(1).await[0].0, "done");
    }
    for mirror in &ring {
        assert_eq!(mirror.passes().await.len(), 1);
    }
}
