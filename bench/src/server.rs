//! The real server as a child process, set up over its own API.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::cpu::Process;
use crate::fixture::noise;
use crate::load::{self, Outcome};

/// Longest wait for the first answer.
const START_DEADLINE: Duration = Duration::from_secs(120);
/// Longest wait for the end after SIGTERM; the server promises ten seconds.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// What a phone's browser calls itself.
const PHONE: &str =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile/15E148 Safari/604.1";
/// The master key of every server here.
pub(crate) const MASTER_KEY: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

/// Where a server keeps its data, and how it is started.
pub(crate) struct Installation {
    binary: PathBuf,
    pub(crate) data: PathBuf,
    /// `postgres://…`; without it SQLite in the data folder.
    database: Option<String>,
    /// Further settings, by the names of their environment variables.
    pub(crate) settings: Vec<(&'static str, String)>,
}

/// A running server. Ends with this value.
pub(crate) struct Server {
    child: Child,
    /// Held open, so that the server can say what it has to say: little, which fits the pipe.
    output: Lines<BufReader<ChildStdout>>,
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    pub(crate) admin_key: Option<String>,
    /// From the start of the process to the first answer of the API.
    pub(crate) started_in: Duration,
}

/// What was set up.
pub(crate) struct Setting {
    pub(crate) project: String,
    pub(crate) template: String,
    /// What the template was made of.
    pub(crate) drawn: Value,
    /// Of the source that is RudderStack.
    pub(crate) write_key: String,
    /// Id of the source whose requests are signed.
    pub(crate) signed_source: String,
    /// By which they are.
    pub(crate) secret: String,
}

/// A port that is free now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Installation {
    /// On SQLite, in a new folder below another.
    pub(crate) fn sqlite(binary: &Path, parent: &Path, name: &str) -> Result<Self> {
        let data = data_folder(parent, name)?;
        Ok(Self { binary: binary.to_owned(), data, database: None, settings: Vec::new() })
    }

    /// On a PostgreSQL database.
    pub(crate) fn postgres(binary: &Path, parent: &Path, name: &str, url: String) -> Result<Self> {
        Ok(Self { database: Some(url), ..Self::sqlite(binary, parent, name)? })
    }

    /// Starts the server and waits for its first answer to a request that reads the store.
    pub(crate) fn start(&self, admin_key: Option<&str>) -> Result<Server> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let log = File::options().create(true).append(true).open(self.data.join("server.log"))?;
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--json", "--allow-loopback", "--log", "warn", "--listen", &address.to_string()]);
        command.args(["--public-url", &format!("http://localhost:{}", address.port()), "--data"]).arg(&self.data);
        command.env("PASSBRIDGE_MASTER_KEY", MASTER_KEY).envs(self.settings.iter().map(|(name, value)| (name, value)));
        for unlimited in ["PASSBRIDGE_RATE_PER_SECOND", "PASSBRIDGE_PAGES_PER_MINUTE", "PASSBRIDGE_CALLBACKS_PER_MINUTE"] {
            command.env(unlimited, "1000000");
        }
        if let Some(database) = &self.database {
            command.args(["--database", database]);
        }
        let from = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().context("the server's binary")?;
        let output = child.stdout.take().context("no output")?;
        let process = Process::new(child.id())?;
        let admin_key = admin_key.map(str::to_owned);
        let output = BufReader::new(output).lines();
        let mut server = Server { child, output, address, process, admin_key, started_in: Duration::ZERO };
        if server.admin_key.is_none() {
            let first = server.output.next().context("the server ended at its start; see server.log")??;
            let said: Value = serde_json::from_str(&first)?;
            server.admin_key = Some(said["admin_key"].as_str().context("the server said no admin key")?.to_owned());
        }
        loop {
            match server.call("GET", "/v1/passes?limit=1", None) {
                Ok(_) => break,
                Err(fault) if from.elapsed() > START_DEADLINE => return Err(fault.context("the server does not answer")),
                Err(_) => ensure!(server.child.try_wait()?.is_none(), "the server ended at its start; see server.log"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        server.started_in = from.elapsed();
        Ok(server)
    }
}

impl Server {
    /// One call of the API over a connection of its own.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(method, path, "application/json", body.as_bytes())
    }

    /// So many GET requests over one connection, as a phone or a browser makes them; gives the last answer's status and body.
    pub(crate) fn repeat(&self, path: &str, times: u64) -> Result<(u16, Vec<u8>)> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(START_DEADLINE))?;
        stream.set_nodelay(true)?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: {PHONE}\r\n\r\n", self.address);
        let (mut reader, mut last) = (BufReader::new(&stream), (0, Vec::new()));
        for _ in 0..times {
            (&stream).write_all(request.as_bytes())?;
            let (mut line, mut length) = (String::new(), 0);
            reader.read_line(&mut line)?;
            let status: u16 = line.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no answer")?;
            while line != "\r\n" {
                line.clear();
                ensure!(reader.read_line(&mut line)? > 0, "the server hung up");
                if let Some((_, value)) = line.to_ascii_lowercase().split_once("content-length:") {
                    length = value.trim().parse()?;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            last = (status, body);
        }
        Ok(last)
    }

    pub(crate) fn send(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Value> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(START_DEADLINE))?;
        let key = self.admin_key.as_deref().unwrap_or_default();
        let kind = if body.is_empty() { String::new() } else { format!("content-type: {kind}\r\n") };
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {key}\r\n{kind}content-length: {length}\r\nconnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply)?;
        let reply = String::from_utf8_lossy(&reply);
        let (head, body) = reply.split_once("\r\n\r\n").context("no answer")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        if !status.starts_with('2') {
            bail!("{method} {path}: {status}: {body}");
        }
        Ok(if body.is_empty() { Value::Null } else { serde_json::from_str(body)? })
    }

    /// A membership project with a template, two sources, and a flow that issues a pass for `membership_signed_up`.
    pub(crate) fn set_up(&self) -> Result<Setting> {
        self.set_up_with(&[])
    }

    /// The same with more of the project's fields.
    pub(crate) fn set_up_with(&self, more: &[(&str, &str)]) -> Result<Setting> {
        let mut project = json!({
            "slug": "bench-club", "name": "Bench Club", "kind": "membership", "balances": {"points": "0"},
            "fields": [{"key": "tier", "label": "Tier", "type": "text"}],
        });
        for (name, value) in more {
            project[*name] = json!(value);
        }
        let id = text(&self.call("POST", "/v1/projects", Some(&project))?, "id")?;
        let mut icon = json!({});
        for scale in 1..=3u32 {
            let image = self.send("POST", "/v1/images", "image/png", &noise(38 * scale, 38 * scale, 1)?)?;
            icon[format!("x{scale}")] = image["sha256"].clone();
        }
        let design = json!({
            "issuer": "Example Coffee", "title": "Bench Club", "description": "Membership card",
            "colors": {"background": "#0F3D38", "foreground": "#FFFFFF", "label": "#F3DCAE"},
            "images": {"icon": icon},
            "fields": [
                {"key": "points", "label": "Points", "value": "{{balances.points}}", "place": "header", "number": "decimal"},
                {"key": "member", "label": "Member", "value": "{{contact.name}}", "place": "secondary"},
            ],
            "barcode": {"format": "qr", "value": "{{pass.id}}"},
        });
        let drawn = json!({"project": id, "name": "Card", "design": design});
        let template = text(&self.call("POST", "/v1/templates", Some(&drawn))?, "id")?;
        self.call("POST", &format!("/v1/templates/{template}/publish"), None)?;
        project["variants"] = json!([{"id": "silver", "name": "Silver", "template": template}]);
        self.call("PUT", &format!("/v1/projects/{id}"), Some(&project))?;
        let flow = json!({
            "slug": "sign-up", "name": "A member signs up", "project": "bench-club",
            "when": {"event": "membership_signed_up"},
            "steps": [{"id": "card", "action": "issue", "variant": "silver", "fields": {"tier": "$.properties.tier"}}],
        });
        self.call("POST", "/v1/flows", Some(&flow))?;
        let source = json!({"slug": "shop", "name": "Shop", "kind": "rudderstack"});
        let write_key = text(&self.call("POST", "/v1/sources", Some(&source))?, "write_key")?;
        let source = json!({"slug": "till", "name": "Till", "kind": "generic", "settings": {"id": "messageId"}});
        let signed_source = text(&self.call("POST", "/v1/sources", Some(&source))?, "id")?;
        let made = self.call("POST", &format!("/v1/sources/{signed_source}/secrets"), Some(&json!({})))?;
        Ok(Setting { project: id, template, drawn, write_key, signed_source, secret: text(&made, "secret")? })
    }

    /// A webhook for everything that happens in the project; gives its id.
    pub(crate) fn webhook(&self, project: &str, sink: u16, path: &str) -> Result<String> {
        let webhook = json!({"name": path, "project": project, "url": format!("http://127.0.0.1:{sink}{path}")});
        text(&self.call("POST", "/v1/webhooks", Some(&webhook))?, "id")
    }

    /// Runs the load generator against this server, in a process of its own.
    pub(crate) fn load(&self, setting: &Setting, arguments: &[(&str, String)]) -> Result<Outcome> {
        let key = [("--write-key", setting.write_key.clone())];
        load::start(self.address, &[&key[..], arguments].concat())
    }

    /// Ends the server by SIGTERM.
    pub(crate) fn stop(mut self) -> Result<()> {
        Command::new("kill").arg(self.child.id().to_string()).status()?;
        let from = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(from.elapsed() < STOP_DEADLINE, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // only after a fault: stop() has waited for the end
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn text(value: &Value, key: &str) -> Result<String> {
    value[key].as_str().map(str::to_owned).with_context(|| format!("the answer has no {key}: {value}"))
}

/// A new data folder below another.
pub(crate) fn data_folder(parent: &Path, name: &str) -> Result<PathBuf> {
    let folder = parent.join(name);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
