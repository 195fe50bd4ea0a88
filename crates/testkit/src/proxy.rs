//! A proxy that takes HTTP CONNECT (RFC 9110, 9.3.6), on a loopback port of its own.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Most bytes of a request.
const MAX_HEAD: usize = 8 * 1_024;

/// What a proxy does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// Connects, for whoever has this `Proxy-Authorization`, where one is said; the others it answers 407.
    Connect(Option<String>),
    /// Answers with this status.
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

    /// Starts a proxy at an address, for one that comes back.
    ///
    /// # Errors
    /// When it is taken.
    pub async fn start_at(manner: Manner, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { manner: Mutex::new(manner), asked: Mutex::default() });
        let for_all = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&for_all);
                // What breaks off is the tester's wish or the client's affair.
                tokio::spawn(async move { serve(stream, &shared).await.ok() });
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

    /// Changes what it does from the next request on.
    pub fn behave(&self, manner: Manner) {
        *locked(&self.shared.manner) = manner;
    }

    /// What it was asked to connect to, in order.
    pub fn asked(&self) -> Vec<String> {
        locked(&self.shared.asked).clone()
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut head = Vec::new();
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
