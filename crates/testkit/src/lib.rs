//! What tests need around Passbridge. Never a dependency of the product, only of tests.
//!
//! - [`postgres`]: a throwaway PostgreSQL;
//! - [`server`]: the real program, started, killed and restarted;
//! - [`sink`]: endpoints that take, refuse, delay or abuse what is sent to them;
//! - [`tls`]: the same over TLS, with faults in their certificates;
//! - [`vendors`]: services that enforce their documented limits;
//! - [`objects`]: a storage that checks signatures;
//! - [`lakes`]: Azure's own emulator of its storage;
//! - [`proxy`]: a proxy that takes CONNECT, refuses or hangs;
//! - [`http`]: a small client;
//! - [`mail`]: a real mail server;
//! - [`keys`]: keys that are made once for all tests of a run;
//! - [`kafka`]: the mock of Kafka's that librdkafka brings;
//! - [`nats`]: a real server of NATS JetStream;
//! - [`disk`]: a disk that is soon full;
//! - [`clients`]: real clients of the field and a browser, run as programs.

pub mod clients;
pub mod disk;
pub mod http;
pub mod kafka;
pub mod keys;
pub mod lakes;
pub mod mail;
pub mod nats;
pub mod objects;
pub mod postgres;
pub mod proxy;
pub mod server;
pub mod sink;
pub mod tls;
pub mod vendors;

/// Reads the environment for tests, which have no configuration.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration to take this from")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// How many times a long test does what it does: what the variable says, else as many as `./test` needs.
pub fn repetitions(name: &str, default: u32) -> u32 {
    variable(name).and_then(|value| value.parse().ok()).unwrap_or(default)
}
