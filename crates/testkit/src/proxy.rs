//! A proxy that takes HTTP CONNECT (RFC 9110, 9.3.6) and SOCKS 5 (RFC 1928, 1929), plain or over TLS, on a loopback port of
//! its own.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use data_encoding::BASE64;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::tls::{Authority, Failed, Leaf};

/// Most bytes of a request.
const MAX_HEAD: usize = 8 * 1_024;

/// The first byte of all that is said by SOCKS 5.
const SOCKS: u8 = 5;

/// What a proxy does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// Connects, for whoever has this `Proxy-Authorization`, where one is said; the others it answers 407. By SOCKS its login is the
    /// one that stands in it.
    Connect(Option<String>),
    /// Answers with this status; of SOCKS, with this reply.
    Answer(u16),
    /// Never answers.
    Hang,
    /// Closes the connection.
    Close,
}

#[derive(Debug)]
struct Shared {
    manner: Mutex<Manner>,
    asked: Mutex<Vec<String>>,
}

/// A running proxy; ends when dropped, with what goes through it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Starts a proxy.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(manner: Manner) -> io::Result<Self> {
        Self::start_at(manner, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts a proxy that is spoken to over TLS. With an authority it wants a certificate of that from whoever calls.
    ///
    /// # Errors
    /// When no port is free, or the certificate cannot be used.
    pub async fn start_tls(manner: Manner, leaf: &Leaf, clients: Option<&Authority>) -> Result<Self, Failed> {
        let acceptor = leaf.acceptor(clients)?;
        Ok(Self::listen(manner, SocketAddr::from(([127, 0, 0, 1], 0)), Some(acceptor)).await?)
    }

    /// Starts a proxy at an address, for one that comes back.
    ///
    /// # Errors
    /// When it is taken.
    pub async fn start_at(manner: Manner, address: SocketAddr) -> io::Result<Self> {
        Self::listen(manner, address, None).await
    }

    async fn listen(manner: Manner, address: SocketAddr, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { manner: Mutex::new(manner), asked: Mutex::default() });
        let for_all = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, tls) = (Arc::clone(&for_all), tls.clone());
                // What breaks off is the tester's wish or the client's affair.
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => serve(tls.accept(stream).await.ok()?, &shared).await.ok(),
                        None => serve(stream, &shared).await.ok(),
                    }
                });
            }
        });
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as a proxy's, with a login or none.
    pub fn url(&self, login: &str) -> String {
        format!("http://{login}{}", self.address)
    }

    /// Its address as a proxy's that is spoken to over TLS, with a login or none.
    pub fn tls_url(&self, login: &str) -> String {
        format!("https://{login}localhost:{}", self.address.port())
    }

    /// Its address as a proxy's that is spoken to by SOCKS 5, with a login or none.
    pub fn socks_url(&self, login: &str) -> String {
        format!("socks5://{login}{}", self.address)
    }

    /// Changes what it does from the next request on.
    pub fn behave(&self, manner: Manner) {
        *locked(&self.shared.manner) = manner;
    }

    /// What it was asked to connect to, in order.
    pub fn asked(&self) -> Vec<String> {
        locked(&self.shared.asked).clone()
    }
}

/// What follows the first byte.
async fn serve_socks<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, shared: &Shared) -> io::Result<()> {
    let read = async |stream: &mut S| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::from(stream.read_u8().await?)];
        stream.read_exact(&mut bytes).await?;
        Ok(bytes)
    };
    let methods = read(&mut stream).await?;
    let manner = locked(&shared.manner).clone();
    if let Manner::Connect(Some(proof)) = &manner {
        if !methods.contains(&2) {
            return stream.write_all(&[SOCKS, 0xFF]).await;
        }
        stream.write_all(&[SOCKS, 2]).await?;
        let version = stream.read_u8().await?;
        let login = [read(&mut stream).await?, read(&mut stream).await?].join(&b':');
        let is_proven = version == 1 && *proof == format!("Basic {}", BASE64.encode(&login));
        stream.write_all(&[1, u8::from(!is_proven)]).await?;
        if !is_proven {
            return Ok(());
        }
    } else {
        stream.write_all(&[SOCKS, 0]).await?;
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let ip = match head {
        [SOCKS, 1, 0, 1] => std::net::IpAddr::from(stream.read_u32().await?.to_be_bytes()),
        [SOCKS, 1, 0, 4] => std::net::IpAddr::from(stream.read_u128().await?.to_be_bytes()),
        _ => return stream.write_all(&[SOCKS, 8, 0, 1, 0, 0, 0, 0, 0, 0]).await,
    };
    let to = SocketAddr::new(ip, stream.read_u16().await?);
    locked(&shared.asked).push(to.to_string());
    let answer = |reply: u8| [SOCKS, reply, 0, 1, 127, 0, 0, 1, 0, 80];
    match manner {
        Manner::Connect(_) => {
            let Ok(mut onward) = TcpStream::connect(to).await else { return stream.write_all(&answer(5)).await };
            stream.write_all(&answer(0)).await?;
            tokio::io::copy_bidirectional(&mut stream, &mut onward).await.map(drop)
        }
        // One that refuses may leave out where it would have sent from.
        Manner::Answer(reply) => stream.write_all(&answer(u8::try_from(reply).unwrap_or(1))[..2]).await,
        Manner::Hang => {
            std::future::pending::<()>().await;
            Ok(())
        }
        Manner::Close => Ok(()),
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, shared: &Shared) -> io::Result<()> {
    let mut head = vec![stream.read_u8().await?];
    if head == [SOCKS] {
        return serve_socks(stream, shared).await;
    }
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let to = head.strip_prefix("CONNECT ").and_then(|rest| rest.split_once(" HTTP/1.1\r\n")).map(|(to, _)| to.to_owned());
    let Some(to) = to else {
        return stream.write_all(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n").await;
    };
    locked(&shared.asked).push(to.clone());
    let manner = locked(&shared.manner).clone();
    match manner {
        Manner::Connect(proof) => {
            let proven = |proof: &String| head.lines().any(|line| line == format!("Proxy-Authorization: {proof}"));
            if !proof.as_ref().is_none_or(proven) {
                let refused = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n";
                return stream.write_all(refused.as_bytes()).await;
            }
            let Ok(mut onward) = TcpStream::connect(&to).await else {
                return stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
            };
            stream.write_all(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 tester\r\n\r\n").await?;
            tokio::io::copy_bidirectional(&mut stream, &mut onward).await.map(drop)
        }
        Manner::Answer(status) => stream.write_all(format!("HTTP/1.1 {status} No\r\n\r\n").as_bytes()).await,
        Manner::Hang => {
            std::future::pending::<()>().await;
            Ok(())
        }
        Manner::Close => Ok(()),
    }
}
