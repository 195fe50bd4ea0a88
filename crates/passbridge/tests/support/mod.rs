//! A server with a loyalty programme, set up over its API as a person would.
#![allow(dead_code, unreachable_pub, reason = "every test uses a part of it")]

use std::ops::Deref;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use testkit::{
    http::{CallError, Client, read},
    postgres::Cluster,
    server::{Server, Setup},
};

pub mod load;
pub mod visits;

/// The program.
pub const BINARY: &str = env!("CARGO_BIN_EXE_passbridge");

/// Which database a server runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// A programme of one organization at a server, over restarts.
pub struct Programme {
    client: Client,
    address: String,
    /// Of the organization.
    key: String,
    pub project: String,
    pub source: String,
    pub write_key: String,
}

/// A server with a programme.
pub struct Club {
    pub server: Server,
    pub programme: Programme,
}

impl Deref for Club {
    type Target = Programme;

    fn deref(&self) -> &Programme {
        &self.programme
    }
}

/// The project's slug.
pub const SLUG: &str = "club";

const ICON: &[u8] = include_bytes!("../../assets/icon@3x.png");

const FLOWS: [&str; 2] = [
    "
slug: sign-up
project: club
when: { event: membership_signed_up }
steps:
  - id: card
    action: issue
    if_exists: skip
",
    "
slug: purchase
project: club
when: { event: purchase_completed }
steps:
  - id: points
    action: update
    balances: { points: { add: 1 } }
",
];

impl Club {
    /// Starts a server on a database of its own and sets the programme up.
    pub async fn open(database: Database) -> Self {
        let url = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(Cluster::shared().await.unwrap().create_database().await.unwrap()),
        };
        Self::set_up(Setup { database: url, ..Setup::default() }).await
    }

    /// Starts a server as it is wanted, on an empty database, and sets the programme up.
    pub async fn set_up(setup: Setup) -> Self {
        let server = Server::start_with(BINARY, setup).await.unwrap_or_else(|error| panic!("{error}"));
        let programme = Programme::set_up(&server, server.admin_key().to_owned()).await;
        for flow in FLOWS {
            programme.flow(flow).await;
        }
        Self { server, programme }
    }
}

impl Programme {
    /// Sets a programme without flows up, in the organization that a key is for.
    pub async fn set_up(server: &Server, key: String) -> Self {
        let (client, address) = (Client::default(), server.url(""));
        let none = String::new;
        let mut programme = Self { client, address, key, project: none(), source: none(), write_key: none() };
        programme.project = programme.make_project().await;
        let source = programme.post("/v1/sources", &json!({"slug": "shop", "name": "Shop"})).await;
        (programme.source, programme.write_key) = (text(&source, "id"), text(&source, "write_key"));
        programme
    }

    /// Calls the API with the organization's key.
    pub async fn api(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, CallError> {
        self.client.json(&self.key, method, &format!("{}{path}", self.address), body).await
    }

    /// Posts JSON with the organization's key.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        self.api(Method::POST, path, Some(body)).await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn send(&self, path: &str, kind: &str, body: Bytes) -> Value {
        let bearer = format!("Bearer {}", self.key);
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        let url = format!("{}{path}", self.address);
        let reply = self.client.send(Method::POST, &url, &headers, body).await.unwrap();
        read(Method::POST, path, &reply).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Makes a flow.
    pub async fn flow(&self, flow: &str) {
        let sent = self.send("/v1/flows", "application/yaml", Bytes::copy_from_slice(flow.as_bytes())).await;
        assert!(sent["id"].is_string(), "{sent}");
    }

    async fn make_project(&self) -> String {
        let image = text(&self.send("/v1/images", "image/png", Bytes::from_static(ICON)).await, "sha256");
        let mut project = json!({"slug": SLUG, "name": "Club", "kind": "membership", "balances": {"points": "0"}});
        let id = text(&self.post("/v1/projects", &project).await, "id");
        let design = json!({
            "issuer": "Club",
            "title": "Club",
            "description": "Membership card",
            "images": {"icon": {"x2": image}},
            "fields": [{"key": "points", "label": "Points", "value": "{{balances.points}}", "place": "header"}],
        });
        let template = self.post("/v1/templates", &json!({"project": id, "name": "Card", "design": design})).await;
        let template = text(&template, "id");
        self.api(Method::POST, &format!("/v1/templates/{template}/publish"), None).await.unwrap();
        project["variants"] = json!([{"id": "base", "name": "Base", "template": template}]);
        self.api(Method::PUT, &format!("/v1/projects/{id}"), Some(&project)).await.unwrap();
        id
    }

    /// Where RudderStack's SDKs send to.
    pub fn data_plane(&self) -> String {
        format!("{}/rudderstack", self.address)
    }

    /// A webhook for all events; returns its id and its secret.
    pub async fn webhook(&self, url: &str) -> (String, String) {
        let made = self.post("/v1/webhooks", &json!({"name": "Sink", "url": url, "project": self.project})).await;
        (text(&made, "id"), text(&made, "secret"))
    }

    /// The pass of a member, once there is one.
    pub async fn pass_of(&self, member: &str) -> Option<Value> {
        let path = format!("/v1/passes?project={}&external_id={member}", self.project);
        let found = self.api(Method::GET, &path, None).await.unwrap();
        found["data"].get(0).cloned()
    }

    /// All events of the feed, oldest first.
    pub async fn events(&self) -> Vec<Value> {
        let (mut events, mut path) = (Vec::new(), "/v1/events?limit=100".to_owned());
        loop {
            let page = self.api(Method::GET, &path, None).await.unwrap();
            events.extend(page["data"].as_array().unwrap().iter().cloned());
            if page["has_more"] != true {
                return events;
            }
            path = format!("/v1/events?limit=100&cursor={}", text(&page, "next_cursor"));
        }
    }

    /// The newest source event of which one of these became, if there is any.
    pub async fn source_event(&self, statuses: &[&str]) -> Option<Value> {
        self.source_events_until(statuses, 1).await.pop()
    }

    /// All source events of which one of these became, newest first.
    pub async fn source_events(&self, statuses: &[&str]) -> Vec<Value> {
        self.source_events_until(statuses, usize::MAX).await
    }

    async fn source_events_until(&self, statuses: &[&str], most: usize) -> Vec<Value> {
        let first = format!("/v1/sources/{}/events?limit=100", self.source);
        let (mut path, mut found) = (first.clone(), Vec::new());
        loop {
            let page = self.api(Method::GET, &path, None).await.unwrap();
            let events = page["data"].as_array().unwrap().iter();
            found.extend(events.filter(|event| statuses.contains(&event["status"].as_str().unwrap())).cloned());
            let Some(cursor) = page["next_cursor"].as_str().filter(|_| found.len() < most) else {
                found.truncate(most);
                return found;
            };
            path = format!("{first}&cursor={cursor}");
        }
    }
}

/// A text of an answer.
pub fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}")).to_owned()
}

/// Posts JSON with the admin key.
pub async fn post(server: &Server, path: &str, body: &Value) -> Value {
    server.api(Method::POST, path, Some(body)).await.unwrap_or_else(|error| panic!("{error}"))
}

/// A key for an organization that has none yet.
pub async fn key_of(server: &Server, organization: &str) -> String {
    let bearer = format!("Bearer {}", server.admin_key());
    let headers =
        [("authorization", bearer.as_str()), ("content-type", "application/json"), ("passbridge-organization", organization)];
    let body = json!({"name": "All", "scopes": ["admin"]}).to_string();
    let made = server.client().send(Method::POST, &server.url("/v1/keys"), &headers, body.into()).await.unwrap();
    text(&read(Method::POST, "/v1/keys", &made).unwrap_or_else(|error| panic!("{error}")), "secret")
}
