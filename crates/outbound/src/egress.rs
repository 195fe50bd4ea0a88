//! Named ways out of this machine, for receivers that let in known addresses alone: from an address of ours, or through a proxy
//! by HTTP CONNECT (RFC 9110, 9.3.6), plain or over TLS, or SOCKS 5 (RFC 1928, 1929).
//!
//! The operator names them; whoever sends by one sends by it or not at all. The address policy judges the receiver as ever: its
//! name is resolved here, and the proxy is asked for the address that was judged, never for a name, so that it has nothing to
//! resolve that we have not seen. TLS goes end to end through the proxy. The proxy itself is the operator's and may stand in any
//! network; one that is spoken to over TLS proves its name by a certificate that the system's roots vouch for, or those that the
//! operator names for it, before it is told a login or an address.
//!
//! Both are spoken here because a proxy's answer has to be read to its last byte and no further (a mail server speaks first), and
//! because whoever mends it wants to know what the proxy answered.

use std::{fmt, io, net::IpAddr, net::SocketAddr};

use ::http::Uri;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use zeroize::Zeroizing;

use crate::http::{Roots, classify};
use crate::policy::Host;
use crate::socket::Socket;

/// Longest name of an egress, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// Longest answer of a proxy, in bytes.
const MAX_ANSWER: usize = 8 * 1_024;
/// Answers by which a proxy says that it did not reach the address, so that another of the same name is worth a try.
const UNREACHED: [u16; 3] = [502, 503, 504];
/// Longest user name and password that SOCKS has room for, in bytes.
const MAX_SOCKS_LOGIN: usize = 255;

/// A named way out.
#[derive(Clone)]
pub struct Egress {
    name: String,
    way: Way,
    /// Whom its proxy is believed by, where that is not the system's roots.
    trusts: Option<Roots>,
}

#[derive(Clone)]
enum Way {
    From(IpAddr),
    Through(Proxy),
}

/// A proxy, with what proves to it who we are.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// Whether it is spoken to over TLS.
    pub(crate) https: bool,
    speaks: Speech,
}

/// How a proxy is asked.
#[derive(Clone, PartialEq, Eq)]
enum Speech {
    Connect { authorization: Option<Zeroizing<String>> },
    Socks { login: Option<Login> },
}

/// A user's name and password.
type Login = (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>);

/// Why an egress cannot be: a sentence without a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadEgress(String);

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::From(address) => write!(f, "Egress({} from {address})", self.name),
            Way::Through(Proxy { host, port, .. }) => write!(f, "Egress({} through {host:?}:{port})", self.name),
        }
    }
}

impl Egress {
    /// One that sends from an address of this machine.
    ///
    /// # Errors
    /// When the name is none, or the address is not one machine's.
    pub fn from_address(name: &str, address: IpAddr) -> Result<Self, BadEgress> {
        if address.is_unspecified() || address.is_multicast() {
            return Err(BadEgress(format!("{address} is not the address of one machine")));
        }
        Ok(Self { name: checked(name)?, way: Way::From(address), trusts: None })
    }

    /// One that sends through a proxy: `http://host:port` for one that takes CONNECT, `https://host:port` for one that does over TLS,
    /// `socks5://host:port` for SOCKS 5; all also with `user:password@` before the host, percent-encoded.
    ///
    /// # Errors
    /// When the name is none, or the address is not that of such a proxy.
    pub fn through(name: &str, proxy: &str) -> Result<Self, BadEgress> {
        Ok(Self { name: checked(name)?, way: Way::Through(Proxy::parse(proxy)?), trusts: None })
    }

    /// The same through a proxy over TLS that proves itself by these roots alone.
    ///
    /// # Errors
    /// When its proxy is not spoken to over TLS, or there is none.
    pub fn trusting(self, roots: Roots) -> Result<Self, BadEgress> {
        if self.proxy().is_some_and(|proxy| proxy.https) {
            return Ok(Self { trusts: Some(roots), ..self });
        }
        Err(BadEgress(
            "there is nobody to prove itself by these roots: they are for a proxy that begins with https://".to_owned(),
        ))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this machine can send by it as far as that shows without a connection: whether a source address is its own.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn check(&self) -> io::Result<()> {
        match &self.way {
            Way::From(address) => bound(*address).map(drop),
            Way::Through(_) => Ok(()),
        }
    }

    /// The address that is sent from, where that is all there is to it.
    pub(crate) fn source(&self) -> Option<IpAddr> {
        match &self.way {
            Way::From(address) => Some(*address),
            Way::Through(_) => None,
        }
    }

    /// By what its proxy proves itself, where that is not by the system's roots.
    pub(crate) const fn trusts(&self) -> Option<&Roots> {
        self.trusts.as_ref()
    }

    /// The proxy that is sent through.
    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        match &self.way {
            Way::From(_) => None,
            Way::Through(proxy) => Some(proxy),
        }
    }
}

fn checked(name: &str) -> Result<String, BadEgress> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(name.to_owned());
    }
    Err(BadEgress(format!("a name has 1 to {MAX_NAME_BYTES} lower case letters, digits, - and _")))
}

/// A socket that sends from an address.
pub(crate) fn bound(address: IpAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(address, 0))?;
    Ok(socket)
}

/// What came of asking a proxy for an address.
pub(crate) enum Asked {
    /// What is sent now goes there.
    Open(Socket),
    /// It did not reach that address.
    Unreached(String),
    /// It does not do it for any address.
    No(String),
}

impl Proxy {
    fn parse(url: &str) -> Result<Self, BadEgress> {
        let bad = |why: &str| BadEgress(format!("the proxy's address {why}: expected http://, https:// or socks5://host:port"));
        let uri: Uri = url.parse().map_err(|_| bad("cannot be read"))?;
        let (socks, https) = match uri.scheme_str() {
            Some("http") => (false, false),
            Some("https") => (false, true),
            Some("socks5") => (true, false),
            Some("socks5h") => {
                return Err(bad("begins with socks5h://, which leaves names to the proxy; they are resolved here"));
            }
            _ => return Err(bad("does not begin with http:// or https:// (HTTP CONNECT) or socks5://, the kinds there are")),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(bad("has a path"));
        }
        let authority = uri.authority().ok_or_else(|| bad("has no host"))?;
        let port = authority.port_u16().filter(|port| *port != 0).ok_or_else(|| bad("has no port"))?;
        let host = Host::parse(authority.host()).map_err(|_| bad("has a host that is none"))?;
        let login = authority.as_str().rsplit_once('@').map(|(login, _)| decoded(login));
        let speaks = if socks {
            let fits = |(user, password): &Login| [user, password].iter().all(|it| (1..=MAX_SOCKS_LOGIN).contains(&it.len()));
            if !login.as_ref().is_none_or(fits) {
                return Err(bad("has a user or password that SOCKS has no room for (1 to 255 bytes each)"));
            }
            Speech::Socks { login }
        } else {
            Speech::Connect { authorization: login.as_ref().map(basic) }
        };
        Ok(Self { host, port, https, speaks })
    }

    /// Asks for an address over a connection to the proxy.
    pub(crate) async fn ask(&self, mut stream: Socket, address: SocketAddr) -> Asked {
        let asked = match &self.speaks {
            Speech::Connect { authorization } => return connect(stream, address, authorization.as_ref()).await,
            Speech::Socks { login } => socks(&mut stream, address, login.as_ref()).await,
        };
        match asked {
            Ok(None) => Asked::Open(stream),
            Ok(Some(other)) => other,
            Err(error) => broke_off(&error),
        }
    }
}

fn broke_off(error: &io::Error) -> Asked {
    // In TLS 1.3 one that wants to know who we are says so only after the handshake.
    if let Some(alert) = classify::find::<rustls::Error>(error) {
        return Asked::No(format!("its proxy ended the TLS connection: {}", classify::tls_reason(alert).words()));
    }
    Asked::No(format!("the proxy broke off: {}", error.kind()))
}

/// Asks by HTTP CONNECT.
async fn connect(mut stream: Socket, address: SocketAddr, authorization: Option<&Zeroizing<String>>) -> Asked {
    let proof = authorization.map(|basic| format!("Proxy-Authorization: {}\r\n", basic.as_str()));
    let proof = Zeroizing::new(proof.unwrap_or_default());
    let request = Zeroizing::new(format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n{}\r\n", proof.as_str()));
    // What one said before it hung up tells more than that it did.
    let _ = told(&mut stream, request.as_bytes()).await;
    match status(&mut stream).await {
        Ok(Some(200..=299)) => Asked::Open(stream),
        Ok(Some(407)) => Asked::No("the proxy answered 407: it does not take the login that is configured for it".to_owned()),
        Ok(Some(status)) if UNREACHED.contains(&status) => {
            Asked::Unreached(format!("the proxy answered {status}: it does not reach the receiver"))
        }
        Ok(Some(status)) => Asked::No(format!("the proxy answered {status} to CONNECT")),
        Ok(None) => Asked::No("what the proxy answered is no HTTP".to_owned()),
        Err(error) => broke_off(&error),
    }
}

/// Says something that is to be answered: TLS may keep what it is given until it is told that this was all.
async fn told(stream: &mut Socket, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Asks by SOCKS 5. What it says where it does not open the way; nothing where it is open.
async fn socks(stream: &mut Socket, address: SocketAddr, login: Option<&Login>) -> io::Result<Option<Asked>> {
    const VERSION: u8 = 5;
    const PASSWORD: u8 = 2;
    let no = |why: &str| Ok(Some(Asked::No(why.to_owned())));
    let methods: &[u8] = if login.is_some() { &[VERSION, 2, 0, PASSWORD] } else { &[VERSION, 1, 0] };
    told(stream, methods).await?;
    match ([stream.read_u8().await?, stream.read_u8().await?], login) {
        ([VERSION, 0], _) => {}
        ([VERSION, PASSWORD], Some((user, password))) => {
            let length = |part: &[u8]| u8::try_from(part.len()).unwrap_or(u8::MAX);
            let mut proof = Zeroizing::new(vec![1, length(user)]);
            proof.extend_from_slice(user);
            proof.push(length(password));
            proof.extend_from_slice(password);
            told(stream, &proof).await?;
            if [stream.read_u8().await?, stream.read_u8().await?][1] != 0 {
                return no("the proxy does not take the login that is configured for it");
            }
        }
        ([VERSION, _], _) => return no("the proxy wants a login, and not the one that is configured for it"),
        _ => return no("what the proxy answered is no SOCKS 5"),
    }
    let mut request = vec![VERSION, 1, 0];
    match address.ip() {
        IpAddr::V4(ip) => request.extend([1].iter().chain(&ip.octets())),
        IpAddr::V6(ip) => request.extend([4].iter().chain(&ip.octets())),
    }
    request.extend(address.port().to_be_bytes());
    told(stream, &request).await?;
    // One that refuses may close right behind its reply.
    match [stream.read_u8().await?, stream.read_u8().await?] {
        [VERSION, 0] => {}
        [VERSION, reply @ (1 | 3..=6 | 8)] => {
            return Ok(Some(Asked::Unreached(format!("the proxy answered {reply}: it does not reach the receiver"))));
        }
        [VERSION, 2] => return no("the proxy answered 2: its rules do not allow the receiver"),
        [VERSION, reply] => return no(&format!("the proxy answered {reply} to CONNECT")),
        _ => return no("what the proxy answered is no SOCKS 5"),
    }
    let [_, kind] = [stream.read_u8().await?, stream.read_u8().await?];
    // Where it sends from, which has to be read and is of no use.
    let bound = match kind {
        1 => 4,
        4 => 16,
        3 => usize::from(stream.read_u8().await?),
        _ => return no("what the proxy answered is no SOCKS 5"),
    };
    stream.read_exact(&mut vec![0; bound + 2]).await?;
    Ok(None)
}

fn decoded(login: &str) -> Login {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let [user, password] = [user, password].map(|part| Zeroizing::new(percent_decode_str(part).collect::<Vec<u8>>()));
    (user, password)
}

fn basic((user, password): &Login) -> Zeroizing<String> {
    let pair = Zeroizing::new([user.as_slice(), b":", password.as_slice()].concat());
    Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair)))
}

/// Reads the head of an answer and nothing behind it: its status, unless it is no HTTP/1.
async fn status(stream: &mut Socket) -> io::Result<Option<u16>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
        if head.len() > MAX_ANSWER {
            return Ok(None);
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.lines().next().unwrap_or_default().splitn(3, ' ');
    let is_http = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    let status = words.next().filter(|word| word.len() == 3).and_then(|word| word.parse().ok());
    Ok(status.filter(|_| is_http))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_with_its_login_and_does_not_show_it() {
        let egress = Egress::through("office", "http://us%40er:p%3Ass@proxy.example.com:3128").unwrap();
        let proxy = egress.proxy().unwrap();
        assert_eq!((&proxy.host, proxy.port), (&Host::Name("proxy.example.com".to_owned()), 3128));
        let expected = format!("Basic {}", STANDARD.encode("us@er:p:ss"));
        let Speech::Connect { authorization: Some(authorization) } = &proxy.speaks else { panic!("a login") };
        assert_eq!(authorization.as_str(), expected);
        assert_eq!(format!("{egress:?}"), r#"Egress(office through Name("proxy.example.com"):3128)"#);
    }

    #[test]
    fn what_is_no_egress_is_refused_without_its_password() {
        for (name, proxy, part) in [
            ("office", "socks4://u:hush@proxy:1080", "does not begin with http://"),
            ("office", "socks5h://u:hush@proxy:1080", "leaves names to the proxy"),
            ("office", "socks5://:hush@proxy:1080", "1 to 255 bytes each"),
            ("office", "socks5://u:hush@proxy", "has no port"),
            ("office", "https://u:hush@proxy", "has no port"),
            ("office", "http://u:hush@proxy", "has no port"),
            ("office", "http://u:hush@proxy:8080/path", "has a path"),
            ("office", "hush", "does not begin"),
            ("Office", "http://proxy:8080", "lower case"),
            ("", "http://proxy:8080", "lower case"),
        ] {
            let why = Egress::through(name, proxy).unwrap_err().to_string();
            assert!(why.contains(part) && !why.contains("hush"), "{proxy}: {why}");
        }
        assert!(Egress::from_address("a", IpAddr::from([0, 0, 0, 0])).is_err());
    }
}
