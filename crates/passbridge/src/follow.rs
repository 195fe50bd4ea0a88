//! `passbridge listen`: events of a running server as they happen, shown or handed on to a program on this machine; and requests
//! that an inspector took, sent once more.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Method, StatusCode};
use outbound::http::{Limits, Open};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::Api,
    cli::Server,
    system::{complain, say},
};

/// Silence after which a stream counts as broken; the server says something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(45);
/// First pause before a broken stream is opened again; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Most bytes of one message.
const MAX_MESSAGE: usize = 4 << 20;
/// What a request that is handed on may take.
const LIMITS: Limits = Limits { deadline: Duration::from_secs(30), max_body: 64 << 10 };

/// What to follow.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Send each event on to this address, as the signed webhook that it would get
    #[arg(long, value_name = "URL")]
    forward: Option<String>,
    /// Only these events, separated by commas: pass.created,pass.installed
    #[arg(long, value_name = "TYPES")]
    events: Option<String>,
    /// In which shape they are sent on: a slug of `passbridge connector list`
    #[arg(long, value_name = "SHAPE", default_value = "native")]
    dialect: String,
    /// Go on after this message: the cursor that was shown when it ended
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// End after so many events
    #[arg(long, value_name = "NUMBER")]
    most: Option<u64>,
}

/// Follows events until it is stopped. A stream that breaks is opened again where it was.
pub(crate) async fn run(server: &Server, args: &Args) -> anyhow::Result<ExitCode> {
    let api = server.api()?;
    let mut follower = Follower { server, args, last: args.after.clone(), taken: 0, greeted: false };
    let mut pause = FIRST_PAUSE;
    loop {
        let before = follower.taken;
        let ended = tokio::select! {
            ended = follower.stream(&api) => ended,
            stopped = crate::serve::signal() => {
                stopped?;
                follower.part();
                return Ok(ExitCode::SUCCESS);
            }
        };
        match ended {
            Ok(true) => return Ok(ExitCode::SUCCESS),
            Ok(false) => {
                pause = FIRST_PAUSE;
                // A server that is about to stop ends every stream at once: asking on and on would use up the key's limit.
                if follower.taken == before {
                    complain(&format!("the server ended the stream; trying again in {} ms", pause.as_millis()));
                    tokio::time::sleep(pause).await;
                }
            }
            Err(Ended::ForGood(error)) => return Err(error),
            Err(Ended::Broken(error)) => {
                if follower.taken > before {
                    pause = FIRST_PAUSE;
                }
                complain(&format!("{error:#}; trying again in {} ms", pause.as_millis()));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Why a stream ended.
enum Ended {
    /// It may be opened again.
    Broken(anyhow::Error),
    /// The server does not want it.
    ForGood(anyhow::Error),
}

struct Follower<'a> {
    server: &'a Server,
    args: &'a Args,
    last: Option<String>,
    taken: u64,
    greeted: bool,
}

impl Follower<'_> {
    /// Follows one stream to its end; true when as many were taken as were asked for.
    async fn stream(&mut self, api: &Api) -> Result<bool, Ended> {
        let mut open = self.open(api).await?;
        let mut lines = Lines::default();
        loop {
            let bytes = open.next(SILENCE).await.context("the stream broke").map_err(Ended::Broken)?;
            let Some(bytes) = bytes else { return Ok(false) };
            for message in lines.take(&bytes).map_err(Ended::Broken)? {
                self.take(api, &message).await.map_err(Ended::ForGood)?;
                if message.id.is_some() {
                    self.last.clone_from(&message.id);
                }
                if message.is_event() {
                    self.taken += 1;
                }
                if self.args.most.is_some_and(|most| self.taken >= most) {
                    self.part();
                    return Ok(true);
                }
            }
        }
    }

    async fn open(&self, api: &Api) -> Result<Open, Ended> {
        let mut query = Vec::new();
        query.extend(self.args.events.as_ref().map(|types| format!("types={}", types.replace(' ', ""))));
        query.extend(self.args.forward.as_ref().map(|_| format!("dialect={}", self.args.dialect)));
        let path = format!("/v1/events/stream?{}", query.join("&"));
        let last: Vec<_> = self.last.iter().map(|last| ("last-event-id", last.as_str())).collect();
        let mut open = api.open(&path, &last).await.map_err(Ended::Broken)?;
        if open.status.is_success() {
            return Ok(open);
        }
        let said = open.next(SILENCE).await.ok().flatten().unwrap_or_default();
        let problem: Value = serde_json::from_slice(&said).unwrap_or_default();
        let why = anyhow::anyhow!("{}: {}", open.status, problem["detail"].as_str().unwrap_or("the server gives no stream"));
        let later = open.status.is_server_error() || open.status == StatusCode::TOO_MANY_REQUESTS;
        Err(if later { Ended::Broken(why) } else { Ended::ForGood(why) })
    }

    /// Shows a message, or hands it on.
    async fn take(&mut self, api: &Api, message: &Message) -> anyhow::Result<()> {
        if message.event == "ready" {
            if !std::mem::replace(&mut self.greeted, true) {
                let ready: Value = serde_json::from_str(&message.data)?;
                let secret = ready["secret"].as_str().unwrap_or_default();
                self.say(&json!({"secret": secret}), &format!("signing secret: {secret} (the same every time with this key)"));
            }
            return Ok(());
        }
        if !message.is_event() {
            return Ok(());
        }
        let Some(url) = &self.args.forward else {
            let event: Value = serde_json::from_str(&message.data)?;
            let about = event["pass"].as_str().or(event["contact"].as_str()).unwrap_or_default();
            let time = event["occurred_at"].as_str().unwrap_or_default();
            self.say(&event, &format!("{time}  {:<28} {about}", message.event));
            return Ok(());
        };
        let forward: Forward = serde_json::from_str(&message.data).context("the server told a request that cannot be read")?;
        let id = forward.headers.get("webhook-id").cloned().unwrap_or_default();
        // What the program there answers is its own business: it is shown, and the next one comes.
        match send_on(api, url, &forward).await {
            Ok((status, millis)) => {
                let line = json!({"delivery": id, "status": status.as_u16(), "elapsed_ms": millis});
                self.say(&line, &format!("[{status}] {} {url}  {id}  {millis} ms", forward.method));
            }
            Err(error) => complain(&format!("{url}: {error:#} ({id})")),
        }
        Ok(())
    }

    fn say(&self, value: &Value, text: &str) {
        say(&if self.server.is_json() { value.to_string() } else { text.to_owned() });
    }

    /// Tells where to go on.
    fn part(&self) {
        if let Some(last) = &self.last {
            complain(&format!("to go on after the last one: --after {last}"));
        }
    }
}

/// A request as the server would send it.
#[derive(Debug, Deserialize)]
struct Forward {
    method: String,
    headers: BTreeMap<String, String>,
    body: String,
}

async fn send_on(api: &Api, url: &str, forward: &Forward) -> anyhow::Result<(StatusCode, u64)> {
    let method = Method::from_bytes(forward.method.as_bytes()).context("no method")?;
    let headers: Vec<_> = forward.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let reply = api.pass_on(method, url, &headers, forward.body.clone(), LIMITS).await?;
    Ok((reply.status, u64::try_from(reply.elapsed.as_millis()).unwrap_or(u64::MAX)))
}

/// Headers of a request that belong to the connection that it came by.
const OF_THE_CONNECTION: [&str; 9] =
    ["host", "connection", "content-length", "transfer-encoding", "keep-alive", "upgrade", "te", "trailer", "expect"];

/// Most bytes that an inspector keeps of a body; a longer one was cut.
const MAX_KEPT_BYTES: u64 = 65_536;

/// What to do with an inspector.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum InspectorCommand {
    /// Show what it took, newest first
    Requests {
        /// Its id
        inspector: String,
    },
    /// Send a request that it took once more, from this machine to an address of your choice
    ///
    /// Method, headers and body are as they came, the path below the bin's address is added. Signatures stay valid as long as the
    /// receiver does not mind the time they were made at.
    Replay {
        /// Its id
        inspector: String,
        /// The request's id; the newest one unless told
        request: Option<String>,
        /// Where to send it
        #[arg(long, value_name = "URL")]
        to: String,
    },
}

/// Does what was asked of an inspector.
pub(crate) async fn inspector(server: &Server, command: InspectorCommand) -> anyhow::Result<ExitCode> {
    let (inspector, request, to) = match command {
        InspectorCommand::Requests { inspector } => {
            return server.show(Method::GET, &format!("/v1/inspectors/{inspector}/requests"), None).await;
        }
        InspectorCommand::Replay { inspector, request, to } => (inspector, request, to),
    };
    let api = server.api()?;
    let held = api.call(Method::GET, &format!("/v1/inspectors/{inspector}/requests"), None).await?;
    let all = held["data"].as_array().cloned().unwrap_or_default();
    let wanted = |it: &&Value| request.as_ref().is_none_or(|id| it["id"] == *id);
    let taken = all.iter().find(wanted).context(match &request {
        Some(id) => format!("the inspector has no request {id} (any more)"),
        None => "the inspector has taken nothing yet".to_owned(),
    })?;
    let body = match taken["base64"].as_str() {
        Some(bytes) => STANDARD.decode(bytes).context("the request's body cannot be read")?,
        None => taken["body"].as_str().unwrap_or_default().as_bytes().to_vec(),
    };
    // One that was cut within a letter may be as long as the whole by accident.
    let size = taken["size"].as_u64();
    if size != Some(body.len() as u64) || size > Some(MAX_KEPT_BYTES) {
        bail!("only a part of this request's body was kept ({} of {} bytes): it cannot be sent again", body.len(), taken["size"]);
    }
    let method = Method::from_bytes(taken["method"].as_str().unwrap_or("POST").as_bytes()).context("no method")?;
    let headers = taken["headers"].as_object().cloned().unwrap_or_default();
    let ours = |name: &&String| !OF_THE_CONNECTION.contains(&name.as_str()) && !name.starts_with("x-forwarded-");
    let headers: Vec<_> = headers
        .iter()
        .filter(|(name, _)| ours(name))
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
        .collect();
    // `/inspect/{bin}/in/below?x=1`
    let path = taken["path"].as_str().and_then(|path| path.strip_prefix("/inspect/"));
    let below = path.and_then(|path| path.split_once("/in")).map_or("", |(_, below)| below);
    let url = format!("{}{below}", to.trim_end_matches('/'));
    let reply = api.pass_on(method, &url, &headers, body, LIMITS).await?;
    let said = String::from_utf8_lossy(&reply.body).into_owned();
    let answer = json!({"url": url, "status": reply.status.as_u16(), "body": said});
    server.print(&answer)?;
    Ok(if reply.status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A message of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Message {
    event: String,
    id: Option<String>,
    data: String,
}

impl Message {
    /// Whether it tells of something that happened; others tell where the stream begins and what its requests are signed with.
    fn is_event(&self) -> bool {
        self.id.is_some() && !self.data.is_empty() && self.event != "ready"
    }
}

/// Puts the pieces of a stream together: server-sent events as <https://html.spec.whatwg.org/multipage/server-sent-events.html>
/// has them.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    message: Message,
}

impl Lines {
    /// The messages that end in these bytes.
    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<Message>> {
        self.rest.extend_from_slice(bytes);
        let mut whole = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            self.line(line.trim_end_matches(['\r', '\n']), &mut whole);
        }
        if self.rest.len() + self.message.data.len() > MAX_MESSAGE {
            bail!("the server told more than {MAX_MESSAGE} bytes at once");
        }
        Ok(whole)
    }

    fn line(&mut self, line: &str, whole: &mut Vec<Message>) {
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            if !message.data.is_empty() || message.id.is_some() {
                whole.push(message);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.message.event),
            "id" => self.message.id = Some(value.to_owned()),
            "data" => {
                if !self.message.data.is_empty() {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            // A comment, which says that the stream is alive, or a field that means nothing here.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_in_any_pieces() {
        let text = ": alive\n\nid: start\n\nevent: ready\ndata: {\"a\":1}\n\nid: x\r\nevent: pass.created\r\ndata: one\ndata: two\n\nid: half\n";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let found: Vec<Message> = text.as_bytes().chunks(size).flat_map(|piece| lines.take(piece).unwrap()).collect();
            let [start, ready, event] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!((start.id.as_deref(), start.data.as_str()), (Some("start"), ""));
            assert_eq!([start, ready, event].map(Message::is_event), [false, false, true]);
            assert_eq!((ready.event.as_str(), ready.id.as_deref(), ready.data.as_str()), ("ready", None, "{\"a\":1}"));
            assert_eq!((event.event.as_str(), event.id.as_deref(), event.data.as_str()), ("pass.created", Some("x"), "one\ntwo"));
        }
        assert!(Lines::default().take(&vec![b'x'; MAX_MESSAGE + 1]).is_err());
    }
}
