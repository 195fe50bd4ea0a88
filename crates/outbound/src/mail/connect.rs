//! The connection to a mail server: resolved, judged, dialled, protected, greeted, logged in.
//!
//! The few words before STARTTLS are spoken here, so that TLS is this room's own. They are read byte by byte: nothing that
//! was sent in the clear is ever taken for something that came over TLS.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Login, MAX_SAID_BYTES, Said, Security, Server, Unsent};
use crate::dial::Dialler;
use crate::http::{classify, connector};
use crate::socket::Socket;

/// Most bytes of an answer. lettre reads one anew with every line that it has, so that a long one costs much.
const MAX_ANSWER: usize = 8 * 1_024;
/// What stands for the greeting that a server does not repeat after STARTTLS.
const GREETED: &[u8] = b"220 \r\n";

/// Why there is no connection, or no mail sent over it.
pub(super) enum Broken {
    /// The server said no.
    Said(Said),
    /// It did not answer.
    Unsent(Unsent),
}

impl From<Unsent> for Broken {
    fn from(unsent: Unsent) -> Self {
        Self::Unsent(unsent)
    }
}

/// A connection that mail can be sent over.
pub(super) async fn open(
    dialler: &Dialler,
    tls: &TlsConnector,
    server: &Server,
    login: Option<&Login>,
    hello: &str,
) -> Result<AsyncSmtpConnection, Broken> {
    if login.is_some() && server.security == Security::Plain {
        let why = "a password is not sent over a connection that is not encrypted: write smtp:// or smtps://".to_owned();
        return Err(Unsent::Unfit(why).into());
    }
    let target = &server.target;
    let failed = |error| Unsent::Failed(classify::of_dial(error, target));
    let addresses = dialler.resolve(target).await.map_err(failed)?;
    let mut tcp = dialler.connect(&addresses).await.map_err(failed)?;
    let peer = tcp.peer_addr().map_err(|error| broke_off("CONNECT", &error))?;
    let mut greeting: &'static [u8] = b"";
    if server.security == Security::StartTls {
        start_tls(&mut tcp, hello).await?;
        greeting = GREETED;
    }
    let stream = match server.security {
        Security::Plain => Stream::Plain(tcp),
        Security::Tls | Security::StartTls => {
            let name = connector::server_name(target).map_err(Unsent::Failed)?;
            let handshake = tls.connect(name, tcp).await;
            let encrypted = handshake.map_err(|error| Unsent::Failed(classify::of_handshake(&error, target)))?;
            Stream::Tls(Box::new(encrypted))
        }
    };
    let wire = Wire { stream, greeting, heard: 0, peer };
    let opened = AsyncSmtpConnection::connect_with_transport(Box::new(wire), &ClientId::Domain(hello.to_owned())).await;
    let mut connection = opened.map_err(|error| of_error("EHLO", &error))?;
    if let Some(login) = login {
        let credentials = Credentials::new(login.user.clone(), login.password.to_string());
        let mechanisms = [Mechanism::Plain, Mechanism::Login];
        if connection.server_info().get_auth_mechanism(&mechanisms).is_none() {
            let why = "it offers neither AUTH PLAIN nor AUTH LOGIN: leave user and password out, or use another port".to_owned();
            return Err(Unsent::Unfit(why).into());
        }
        heard("AUTH", connection.auth(&mechanisms, &credentials).await)?;
    }
    Ok(connection)
}

/// What a command came to.
pub(super) fn heard(command: &'static str, answer: Result<Response, lettre::transport::smtp::Error>) -> Result<Said, Broken> {
    match answer {
        Ok(answer) => {
            let text = answer.message().collect::<Vec<_>>().join(" ");
            Ok(Said { command, code: answer.code().into(), text: cut(&text) })
        }
        Err(error) => Err(of_error(command, &error)),
    }
}

fn of_error(command: &'static str, error: &lettre::transport::smtp::Error) -> Broken {
    let said = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    match error.status() {
        Some(code) => Broken::Said(Said { command, code: code.into(), text: cut(&said) }),
        None => Broken::Unsent(Unsent::BrokeOff { command, detail: cut(&error.to_string()) }),
    }
}

fn broke_off(command: &'static str, error: &io::Error) -> Unsent {
    Unsent::BrokeOff { command, detail: error.to_string() }
}

/// The beginning of a text in one line.
fn cut(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut end = line.len().min(MAX_SAID_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line[..end].trim().to_owned()
}

/// Greeting, EHLO and STARTTLS, up to the point where TLS begins.
async fn start_tls(tcp: &mut Socket, hello: &str) -> Result<(), Broken> {
    expect(tcp, "CONNECT", 220).await?;
    say(tcp, &format!("EHLO {hello}\r\n")).await?;
    let offered = expect(tcp, "EHLO", 250).await?;
    if !offered.lines().any(|line| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS"))) {
        let why = "it does not offer STARTTLS: write smtps:// if it speaks TLS from the start".to_owned();
        return Err(Unsent::Unfit(why).into());
    }
    say(tcp, "STARTTLS\r\n").await?;
    expect(tcp, "STARTTLS", 220).await.map(|_| ())
}

async fn say(tcp: &mut Socket, line: &str) -> Result<(), Broken> {
    let said = async {
        tcp.write_all(line.as_bytes()).await?;
        tcp.flush().await
    };
    said.await.map_err(|error: io::Error| broke_off("EHLO", &error).into())
}

/// Reads one answer, which may have several lines.
async fn expect(tcp: &mut Socket, command: &'static str, wanted: u16) -> Result<String, Broken> {
    let (mut answer, mut line_from) = (Vec::new(), 0);
    loop {
        let byte = tcp.read_u8().await.map_err(|error| broke_off(command, &error))?;
        answer.push(byte);
        if answer.len() > MAX_ANSWER {
            return Err(Unsent::BrokeOff { command, detail: "it does not stop talking".to_owned() }.into());
        }
        if byte == b'\n' {
            if answer.get(line_from + 3) != Some(&b'-') {
                break;
            }
            line_from = answer.len();
        }
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    match text.get(..3).and_then(|code| code.parse::<u16>().ok()) {
        Some(code) if code == wanted => Ok(text),
        Some(code) => Err(Broken::Said(Said { command, code, text: cut(text.get(4..).unwrap_or_default()) })),
        None => Err(Unsent::BrokeOff { command, detail: "what it says is no SMTP".to_owned() }.into()),
    }
}

enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// What lettre speaks over: ours, with a cap on what the server answers.
struct Wire {
    stream: Stream,
    /// What is read before anything that comes.
    greeting: &'static [u8],
    /// Bytes since something was last sent.
    heard: usize,
    peer: SocketAddr,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.greeting.is_empty() {
            let now = this.greeting.len().min(buffer.remaining());
            buffer.put_slice(&this.greeting[..now]);
            this.greeting = &this.greeting[now..];
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = match &mut this.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        };
        this.heard += buffer.filled().len() - before;
        if this.heard > MAX_ANSWER {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the server said too much")));
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.heard = 0;
        match &mut this.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
