//! NATS JetStream: messages are published with a place to answer to, and the stream answers where each is kept.
//!
//! Sources: the client protocol, <https://docs.nats.io/reference/reference-protocols/nats-protocol>; headers of messages,
//! ADR-4; what a stream answers and takes as headers, ADR-22 and <https://docs.nats.io/nats-concepts/jetstream/headers>; codes
//! of errors, `server/errors.json` of <https://github.com/nats-io/nats-server>.
//!
//! What a server announces of its cluster is not followed: the protocol is spoken in the version that announces nothing, and the
//! one address that was configured is resolved, judged and dialled for each batch.

use std::{convert::Infallible, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader, ReadHalf, Take, WriteHalf},
    sync::Mutex,
};
use zeroize::Zeroizing;

use super::{
    Answer, Batch, Message, Reason, Refused, Security, Unsent, nkey, settled,
    wire::{self, Duplex},
};
use crate::{
    http::{Client, Failure, Phase, Progress, TlsReason, classify},
    policy::{AddressPolicy, Refusal, Target},
};

/// Where NATS listens.
const PORT: u16 = 4222;
/// Bytes that a server may send before it is signed in to.
const MAX_GREETING: u64 = 1 << 20;
/// Bytes that a server may send in the course of a batch.
const MAX_READ: u64 = 4 << 20;
/// Longest subject, in bytes: what a line of the protocol has room for (`max_control_line`), less the rest of it.
const MAX_SUBJECT: usize = 2_048;
/// Codes of a stream's refusals by which a message is too large for it.
const TOO_LARGE: [u64; 2] = [10_054, 10_097];

/// A server with a user's account.
#[derive(Clone)]
pub struct Place {
    /// `nats://host:port`.
    pub url: String,
    /// How one signs in.
    pub login: Login,
    /// How the connection is protected.
    pub security: Security,
    /// Certificates of the authorities that the server's is checked against, PEM, instead of those that are trusted everywhere.
    pub authorities: Option<String>,
    /// What the subjects begin with that answers come to: `_INBOX`, unless the account may listen to others alone.
    pub inbox: String,
}

/// How one signs in.
#[derive(Clone)]
pub enum Login {
    /// Not at all.
    None,
    /// By user and password.
    User {
        /// Who.
        user: String,
        /// The proof.
        password: Zeroizing<String>,
    },
    /// By a token.
    Token(Zeroizing<String>),
    /// By signing with an NKey; its seed.
    Nkey(Zeroizing<String>),
    /// By a user's JWT and signing with its NKey; what a `.creds` file holds.
    Credentials(Zeroizing<String>),
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("url", &self.url).field("security", &self.security).finish_non_exhaustive()
    }
}

/// Judges the address of a server, when it is configured and when it is dialled.
///
/// # Errors
/// The [`Refusal`] says which rule it breaks and what to change.
pub fn check(policy: &AddressPolicy, url: &str) -> Result<Target, Refusal> {
    policy.check_server(url, "nats", PORT)
}

/// Publishes messages in their order and waits for the stream's answers: one for each.
///
/// # Errors
/// When there was no talking to the server within `deadline`, or it lets nobody in who shows these credentials.
pub async fn publish(client: &Client, place: &Place, batch: &Batch, deadline: Duration) -> Result<Vec<Answer>, Unsent> {
    let progress = Progress::default();
    let mut answers = vec![None; batch.messages.len()];
    let exchange = async {
        let session = Session::open(client, place, &progress).await?;
        session.publish(&batch.messages, &mut answers).await
    };
    let ended = match tokio::time::timeout(deadline, exchange).await {
        Ok(ended) => ended,
        Err(_) => Err(Failure::Timeout { phase: progress.phase(), after: deadline, status: None }.into()),
    };
    settled(answers, ended)
}

/// What a server says first.
#[derive(Debug, Deserialize)]
struct Info {
    server_id: String,
    #[serde(default)]
    client_id: u64,
    #[serde(default)]
    max_payload: usize,
    #[serde(default)]
    headers: bool,
    #[serde(default)]
    jetstream: bool,
    #[serde(default)]
    tls_required: bool,
    #[serde(default)]
    tls_available: bool,
    #[serde(default)]
    nonce: String,
}

/// Something that a server says.
enum Said {
    Ping,
    Pong,
    Error(String),
    Message { subject: String, status: Option<u16>, payload: Bytes },
    Nothing,
}

type Reader = BufReader<Take<ReadHalf<Box<dyn Duplex>>>>;

/// A connection that messages can be published over.
struct Session {
    info: Info,
    reader: Reader,
    writer: Mutex<WriteHalf<Box<dyn Duplex>>>,
    /// The subject that answers come to, with a dot at its end.
    inbox: String,
}

impl Session {
    async fn open(client: &Client, place: &Place, progress: &Progress) -> Result<Self, Unsent> {
        let target = check(client.policy(), &place.url).map_err(Failure::Forbidden)?;
        let tcp = wire::dial(client, &target, place.security != Security::Plain, progress).await?;
        let authorities = place.authorities.as_deref();
        let (info, stream): (Info, Box<dyn Duplex>) = match place.security {
            Security::TlsFirst => {
                let mut tls = wire::encrypt(client, &target, authorities, tcp, progress).await?;
                progress.enter(Phase::Answer);
                (greeting(&mut tls).await?, Box::new(tls))
            }
            Security::Tls => {
                let mut tcp = tcp;
                progress.enter(Phase::Tls);
                let info = greeting(&mut tcp).await?;
                if !info.tls_required && !info.tls_available {
                    let detail = "the server offers no TLS".to_owned();
                    let host = classify::host_of(&target);
                    return Err(Failure::Tls { host, reason: TlsReason::NotTls, detail }.into());
                }
                (info, Box::new(wire::encrypt(client, &target, authorities, tcp, progress).await?))
            }
            Security::Plain => {
                let mut tcp = tcp;
                progress.enter(Phase::Answer);
                let info = greeting(&mut tcp).await?;
                if info.tls_required {
                    return Err(Refused::new(Reason::Unfit, "it wants TLS, which the setting `tls` switches off").into());
                }
                (info, Box::new(tcp))
            }
        };
        if !info.headers {
            return Err(Refused::new(Reason::Unfit, "it is too old: it takes no headers").into());
        }
        progress.enter(Phase::Answer);
        let (read, write) = tokio::io::split(stream);
        let inbox = format!("{}.{}.{}.", place.inbox, info.server_id, info.client_id);
        let mut session = Self { info, reader: BufReader::new(read.take(MAX_READ)), writer: Mutex::new(write), inbox };
        session.sign_in(place).await?;
        Ok(session)
    }

    /// Shows who we are, and waits until that was taken.
    async fn sign_in(&mut self, place: &Place) -> Result<(), Unsent> {
        let mut told = json!({
            "verbose": false, "pedantic": false, "tls_required": place.security != Security::Plain, "echo": false,
            "name": "passbridge", "lang": "rust", "version": env!("CARGO_PKG_VERSION"),
            // Version 0 of the protocol: no announcements of other servers.
            "protocol": 0, "headers": true, "no_responders": true,
        });
        let mut signed = |seed: &str| -> Result<String, Refused> {
            let key = nkey::UserKey::from_seed(seed).map_err(|why| Refused::new(Reason::NotAllowed, why))?;
            if self.info.nonce.is_empty() {
                return Err(Refused::new(Reason::NotAllowed, "it asks for no signature: it knows neither NKeys nor JWTs"));
            }
            told["sig"] = key.sign(&self.info.nonce).into();
            Ok(key.public())
        };
        match &place.login {
            Login::None => {}
            Login::User { user, password } => {
                told["user"] = user.as_str().into();
                told["pass"] = password.as_str().into();
            }
            Login::Token(token) => told["auth_token"] = token.as_str().into(),
            Login::Nkey(seed) => {
                let public = signed(seed)?;
                told["nkey"] = public.into();
            }
            Login::Credentials(text) => {
                let (jwt, seed) = nkey::credentials(text).map_err(|why| Refused::new(Reason::NotAllowed, why))?;
                signed(seed)?;
                told["jwt"] = jwt.into();
            }
        }
        let line = Zeroizing::new(format!("CONNECT {told}\r\nPING\r\n"));
        self.write(line.as_bytes()).await?;
        loop {
            match self.hear().await? {
                Said::Pong => return Ok(()),
                Said::Error(why) => return Err(refused(&why).into()),
                Said::Ping => self.write(b"PONG\r\n").await?,
                Said::Message { .. } | Said::Nothing => {}
            }
        }
    }

    async fn publish(mut self, messages: &[Message], answers: &mut [Option<Answer>]) -> Result<(), Unsent> {
        let mut lines = BytesMut::new();
        lines.put(format!("SUB {}* 1\r\n", self.inbox).as_bytes());
        for (number, (message, answer)) in messages.iter().zip(answers.iter_mut()).enumerate() {
            match self.encoded(message, number, &mut lines) {
                Ok(()) => {}
                Err(refused) => *answer = Some(Answer::Refused(refused)),
            }
        }
        if answers.iter().all(Option::is_some) {
            return Ok(());
        }
        let Self { reader, writer, info, inbox } = &mut self;
        let writer = &*writer;
        // A connection that cannot be written to says why to those who listen, or ends.
        let writing = async {
            let _ = send(writer, &lines).await;
            std::future::pending::<Infallible>().await
        };
        let hearing = async {
            while answers.iter().any(Option::is_none) {
                match hear(reader).await? {
                    Said::Ping => send(writer, b"PONG\r\n").await?,
                    Said::Message { subject, status, payload } => {
                        let number = subject.strip_prefix(inbox.as_str()).and_then(|number| number.parse::<usize>().ok());
                        if let Some(slot) = number.and_then(|number| answers.get_mut(number)) {
                            *slot = Some(answer(status, &payload, info.jetstream));
                        }
                    }
                    Said::Error(why) => {
                        let refused = refused(&why);
                        match forbidden_subject(&why) {
                            Some(subject) => forbid(messages, answers, subject, &refused),
                            None => return Err(refused.into()),
                        }
                    }
                    Said::Pong | Said::Nothing => {}
                }
            }
            Ok(())
        };
        tokio::select! {
            heard = hearing => heard,
            never = writing => match never {},
        }
    }

    /// Adds a message to what is written.
    fn encoded(&self, message: &Message, number: usize, lines: &mut BytesMut) -> Result<(), Refused> {
        if !is_subject(&message.subject) {
            return Err(Refused::new(Reason::BadSubject, format!("`{}` is none", message.subject)));
        }
        let line = |text: &str| text.replace(['\r', '\n'], " ");
        let mut headers = "NATS/1.0\r\n".to_owned();
        for (name, value) in &message.headers {
            headers.push_str(&format!("{}: {}\r\n", line(name).replace(':', "-"), line(value)));
        }
        headers.push_str("\r\n");
        let payload = message.payload.get();
        let total = headers.len() + payload.len();
        if self.info.max_payload > 0 && total > self.info.max_payload {
            let most = self.info.max_payload;
            return Err(Refused::new(
                Reason::TooLarge,
                format!("it has {total} bytes, and the server takes {most} (max_payload)"),
            ));
        }
        lines.put(format!("HPUB {} {}{number} {} {total}\r\n", message.subject, self.inbox, headers.len()).as_bytes());
        lines.put(headers.as_bytes());
        lines.put(payload.as_bytes());
        lines.put(&b"\r\n"[..]);
        Ok(())
    }

    async fn write(&self, bytes: &[u8]) -> Result<(), Unsent> {
        send(&self.writer, bytes).await
    }

    async fn hear(&mut self) -> Result<Said, Unsent> {
        hear(&mut self.reader).await
    }
}

async fn send(writer: &Mutex<WriteHalf<Box<dyn Duplex>>>, bytes: &[u8]) -> Result<(), Unsent> {
    let mut writer = writer.lock().await;
    writer.write_all(bytes).await.map_err(wire::broken)?;
    writer.flush().await.map_err(wire::broken)
}

/// Reads what a server says first, and no byte more: nothing that comes in the clear is taken for something that came over TLS.
async fn greeting(stream: &mut (impl AsyncRead + Unpin)) -> Result<Info, Unsent> {
    let mut reader = BufReader::new(stream.take(MAX_GREETING));
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).await.map_err(wire::broken)?;
    if line.is_empty() {
        return Err(Failure::Reset { phase: Phase::Answer, status: None }.into());
    }
    let json = line.strip_prefix(b"INFO ").filter(|_| reader.buffer().is_empty());
    let info: Option<Info> = json.and_then(|json| serde_json::from_slice(json).ok());
    info.filter(|info| is_subject(&info.server_id)).ok_or_else(|| wire::protocol("this is no NATS server: it says no INFO"))
}

/// Reads one thing that a server says.
async fn hear(reader: &mut Reader) -> Result<Said, Unsent> {
    let wrong = || wire::protocol("what came is no line of NATS");
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).await.map_err(wire::broken)?;
    if line.is_empty() {
        return Err(Failure::Reset { phase: Phase::Answer, status: None }.into());
    }
    let line = std::str::from_utf8(&line).map_err(|_| wrong())?.trim_end();
    let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let parts: Vec<&str> = rest.split_whitespace().collect();
    let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number as u64 <= MAX_READ).ok_or_else(wrong);
    let (subject, headers, total) = match (word.to_ascii_uppercase().as_str(), parts.as_slice()) {
        ("PING", _) => return Ok(Said::Ping),
        ("PONG", _) => return Ok(Said::Pong),
        ("-ERR", _) => return Ok(Said::Error(rest.trim().trim_matches('\'').to_owned())),
        ("MSG", [subject, _, .., total]) => (*subject, 0, number(total)?),
        ("HMSG", [subject, _, .., headers, total]) => (*subject, number(headers)?, number(total)?),
        ("INFO" | "+OK", _) => return Ok(Said::Nothing),
        _ => return Err(wrong()),
    };
    let mut content = vec![0; total.max(headers) + 2];
    reader.read_exact(&mut content).await.map_err(wire::broken)?;
    content.truncate(content.len() - 2);
    let payload = Bytes::from(content);
    let status = std::str::from_utf8(&payload[..headers]).ok().and_then(|text| text.strip_prefix("NATS/1.0 "));
    let status = status.and_then(|text| text.get(..3)?.parse().ok());
    Ok(Said::Message { subject: subject.to_owned(), status, payload: payload.slice(headers..) })
}

/// What a stream answers.
#[derive(Deserialize)]
struct Ack {
    stream: Option<String>,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<AckError>,
}

#[derive(Deserialize)]
struct AckError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

fn answer(status: Option<u16>, payload: &[u8], jetstream: bool) -> Answer {
    if status == Some(503) {
        let hint = if jetstream { "" } else { "; this server has JetStream not switched on" };
        return Answer::Refused(Refused::new(Reason::NoStream, format!("make one for it, or change the subject{hint}")));
    }
    let ack: Option<Ack> = serde_json::from_slice(payload).ok();
    match ack {
        Some(Ack { error: Some(AckError { err_code, description }), .. }) => {
            let code = if TOO_LARGE.contains(&err_code) { Reason::TooLarge } else { Reason::Declined };
            Answer::Refused(Refused::new(code, format!("{description} ({err_code})")))
        }
        Some(Ack { stream: Some(stream), seq, duplicate, .. }) => Answer::Kept { stream, number: seq, duplicate },
        _ => Answer::Refused(Refused::new(Reason::NoStream, "what answered is no stream")),
    }
}

/// What an error of the server means.
fn refused(why: &str) -> Refused {
    let lower = why.to_ascii_lowercase();
    if lower.starts_with("permissions violation for publish") {
        return Refused::new(Reason::NotAllowed, "the account may not publish to this subject");
    }
    if lower.starts_with("permissions violation for subscription") {
        return Refused::new(Reason::NotAllowed, "the account may not listen to its inbox: set `inbox` to what it may");
    }
    let is_login = ["authorization", "authentication", "account", "revoked"].iter().any(|word| lower.contains(word));
    Refused::new(if is_login { Reason::NotAllowed } else { Reason::Declined }, why)
}

/// The subject that the account may not publish to.
fn forbidden_subject(why: &str) -> Option<&str> {
    let lower = why.to_ascii_lowercase();
    lower.starts_with("permissions violation for publish").then(|| why.split('"').nth(1))?
}

fn forbid(messages: &[Message], answers: &mut [Option<Answer>], subject: &str, refused: &Refused) {
    for (message, answer) in messages.iter().zip(answers) {
        if message.subject == subject && answer.is_none() {
            *answer = Some(Answer::Refused(refused.clone()));
        }
    }
}

/// Whether something can be published to: words with dots between them, no blanks, no wildcards, none of the server's own.
fn is_subject(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word != "*" && word != ">";
    let fits = (1..=MAX_SUBJECT).contains(&text.len()) && !text.starts_with('$');
    fits && !text.contains(|c: char| c.is_whitespace() || c.is_control()) && text.split('.').all(is_word)
}
