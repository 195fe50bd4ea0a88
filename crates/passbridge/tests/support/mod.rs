//! A server with a loyalty programme, set up over its API as a person would.
#![allow(dead_code, unreachable_pub, reason = "every test uses a part of it")]

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use testkit::{
    http::read,
    postgres::Cluster,
    server::{Server, Setup},
};

pub mod load;

/// The program.
pub const BINARY: &str = env!("CARGO_BIN_EXE_passbridge");

/// Which database a server runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// A server with a programme.
pub struct Club {
    pub server: Server,
    pub project: String,
    pub source: String,
    pub write_key: String,
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
        let project = project(&server).await;
        for flow in FLOWS {
            let sent = send(&server, "/v1/flows", "application/yaml", Bytes::from_static(flow.as_bytes())).await;
            assert!(sent["id"].is_string(), "{sent}");
        }
        let source = post(&server, "/v1/sources", &json!({"slug": "shop", "name": "Shop"})).await;
        let (source, write_key) = (text(&source, "id"), text(&source, "write_key"));
        Self { server, project, source, write_key }
    }

    /// Where RudderStack's SDKs send to.
    pub fn data_plane(&self) -> String {
        self.server.url("/rudderstack")
    }

    /// A webhook for all events; returns its id and its secret.
    pub async fn webhook(&self, url: &str) -> (String, String) {
        let made = post(&self.server, "/v1/webhooks", &json!({"name": "Sink", "url": url, "project": self.project})).await;
        (text(&made, "id"), text(&made, "secret"))
    }

    /// The pass of a member, once there is one.
    pub async fn pass_of(&self, member: &str) -> Option<Value> {
        let path = format!("/v1/passes?project={}&external_id={member}", self.project);
        let found = self.server.api(Method::GET, &path, None).await.unwrap();
        found["data"].get(0).cloned()
    }

    /// All events of the feed, oldest first.
    pub async fn events(&self) -> Vec<Value> {
        let (mut events, mut path) = (Vec::new(), "/v1/events?limit=100".to_owned());
        loop {
            let page = self.server.api(Method::GET, &path, None).await.unwrap();
            events.extend(page["data"].as_array().unwrap().iter().cloned());
            if page["has_more"] != true {
                return events;
            }
            path = format!("/v1/events?limit=100&cursor={}", text(&page, "next_cursor"));
        }
    }

    /// The newest source event of which this became, if there is any.
    pub async fn source_event(&self, statuses: &[&str]) -> Option<Value> {
        let first = format!("/v1/sources/{}/events?limit=100", self.source);
        let mut path = first.clone();
        loop {
            let page = self.server.api(Method::GET, &path, None).await.unwrap();
            let mut events = page["data"].as_array().unwrap().iter();
            if let Some(found) = events.find(|event| statuses.contains(&event["status"].as_str().unwrap())) {
                return Some(found.clone());
            }
            path = format!("{first}&cursor={}", page["next_cursor"].as_str()?);
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

async fn send(server: &Server, path: &str, kind: &str, body: Bytes) -> Value {
    let bearer = format!("Bearer {}", server.admin_key());
    let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
    let reply = server.client().send(Method::POST, &server.url(path), &headers, body).await.unwrap();
    read(Method::POST, path, &reply).unwrap_or_else(|error| panic!("{error}"))
}

async fn project(server: &Server) -> String {
    let image = text(&send(server, "/v1/images", "image/png", Bytes::from_static(ICON)).await, "sha256");
    let mut project = json!({"slug": SLUG, "name": "Club", "kind": "membership", "balances": {"points": "0"}});
    let id = text(&post(server, "/v1/projects", &project).await, "id");
    let design = json!({
        "issuer": "Club",
        "title": "Club",
        "description": "Membership card",
        "images": {"icon": {"x2": image}},
        "fields": [{"key": "points", "label": "Points", "value": "{{balances.points}}", "place": "header"}],
    });
    let template = post(server, "/v1/templates", &json!({"project": id, "name": "Card", "design": design})).await;
    let template = text(&template, "id");
    server.api(Method::POST, &format!("/v1/templates/{template}/publish"), None).await.unwrap();
    project["variants"] = json!([{"id": "base", "name": "Base", "template": template}]);
    server.api(Method::PUT, &format!("/v1/projects/{id}"), Some(&project)).await.unwrap();
    id
}
