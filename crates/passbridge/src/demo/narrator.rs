//! Tells the story: each step with its result and its time.

use std::{cell::Cell, future::Future, io::IsTerminal as _, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::time::Instant;

use crate::system::say;

/// Says what happens.
pub(super) struct Narrator {
    json: bool,
    color: bool,
    number: Cell<u32>,
}

impl Narrator {
    pub(super) fn new(json: bool) -> Self {
        Self { json, color: !json && std::io::stdout().is_terminal(), number: Cell::new(0) }
    }

    /// Does a step and tells its time; what it found is told by [`Narrator::result`] after it.
    pub(super) async fn step<T>(&self, what: &str, doing: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let number = self.number.get() + 1;
        self.number.set(number);
        let spinner = self.spinner(what);
        let started = Instant::now();
        let outcome = doing.await;
        let took = started.elapsed();
        spinner.finish_and_clear();
        let mark = if outcome.is_ok() { "✓" } else { "✗" };
        if self.json {
            say(&json!({"step": number, "what": what, "ok": outcome.is_ok(), "milliseconds": took.as_secs_f64() * 1e3})
                .to_string());
        } else {
            say(&format!("{} {what}  {}", self.paint("32", mark), self.paint("2", &time(took))));
        }
        outcome
    }

    /// What a step brought.
    pub(super) fn result(&self, line: &str) {
        if self.json {
            say(&json!({"step": self.number.get(), "result": line}).to_string());
        } else {
            say(&format!("    {line}"));
        }
    }

    pub(super) fn title(&self, line: &str) {
        if self.json {
            say(&json!({"title": line}).to_string());
        } else {
            say(&format!("{}\n", self.paint("1", line)));
        }
    }

    pub(super) fn note(&self, line: &str) {
        if self.json {
            say(&json!({"note": line}).to_string());
        } else {
            say(line);
        }
    }

    pub(super) fn failed(&self, error: &anyhow::Error) {
        if self.json {
            say(&json!({"error": format!("{error:#}")}).to_string());
        } else {
            say(&format!("\nThe story stopped: {error:#}"));
        }
    }

    /// The links worth opening.
    pub(super) fn links(&self, links: &[(&'static str, String)]) {
        if self.json {
            let links: serde_json::Map<_, _> = links.iter().map(|(name, url)| ((*name).to_owned(), url.clone().into())).collect();
            say(&json!({"links": links}).to_string());
            return;
        }
        say("\nWorth opening:");
        for (name, url) in links {
            say(&format!("  {name:<20} {url}"));
        }
    }

    fn spinner(&self, what: &str) -> ProgressBar {
        if !self.color {
            return ProgressBar::hidden();
        }
        let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            spinner.set_style(style);
        }
        spinner.enable_steady_tick(Duration::from_millis(80));
        spinner
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn time(took: Duration) -> String {
    let millis = took.as_secs_f64() * 1e3;
    if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}
