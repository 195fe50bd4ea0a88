//! Name → allowed addresses → connected socket.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

use crate::egress::{self, Asked, Egress, Proxy};
use crate::http::{TlsReason, classify};
use crate::policy::{AddressPolicy, Host, Refusal, Target};
use crate::socket::Socket;

/// Addresses of one name that are considered; the rest is ignored.
const MAX_ADDRESSES: usize = 16;
/// Head start of each address before the next one is tried beside it (RFC 8305 recommends 250 ms).
const HEAD_START: Duration = Duration::from_millis(250);
/// Names being resolved at once. The system resolver blocks a thread per name, also after its caller has given up.
const MAX_LOOKUPS: usize = 128;

/// Why there is no socket.
#[derive(Debug)]
pub(crate) enum DialError {
    Refused(Refusal),
    Dns(String),
    Connect(io::Error),
    /// It does not leave by the egress of this name; why not.
    Egress(String, String),
}

/// Whoever knows the addresses of names. Asked on a thread of its own, for it may block.
pub trait Names: Send + Sync + fmt::Debug {
    /// The addresses of a name, in the order in which to try them.
    ///
    /// # Errors
    /// When the name has none, or they could not be found out.
    fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemNames;

impl Names for SystemNames {
    fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
    }
}

/// Opens sockets under a policy.
#[derive(Debug, Clone)]
pub(crate) struct Dialler {
    policy: Arc<AddressPolicy>,
    names: Arc<dyn Names>,
    lookups: Arc<Semaphore>,
    /// By which way it goes out; none is the machine's own.
    exit: Option<Exit>,
}

/// The way out that all connections take.
#[derive(Debug, Clone)]
pub(crate) struct Exit {
    pub(crate) egress: Arc<Egress>,
    /// How TLS is spoken to its proxy.
    pub(crate) tls: Arc<rustls::ClientConfig>,
}

impl Dialler {
    pub(crate) fn new(policy: AddressPolicy, names: Arc<dyn Names>, exit: Option<Exit>) -> Self {
        Self { policy: Arc::new(policy), names, lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)), exit }
    }

    pub(crate) fn policy(&self) -> &AddressPolicy {
        &self.policy
    }

    /// The addresses of the target that may be dialled, in the order in which to try them.
    pub(crate) async fn resolve(&self, target: &Target) -> Result<Vec<SocketAddr>, DialError> {
        let found = match &target.host {
            Host::Address(address) => vec![SocketAddr::new(*address, target.port)],
            Host::Name(name) => self.look_up(name.clone(), target.port).await?,
        };
        let mut refused = None;
        let mut allowed = Vec::with_capacity(found.len());
        for address in found {
            match self.policy.check_address(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(refusal) => {
                    refused.get_or_insert(refusal);
                }
            }
        }
        match refused {
            Some(refusal) if allowed.is_empty() => Err(DialError::Refused(refusal)),
            _ if allowed.is_empty() => Err(DialError::Dns("the name has no address".to_owned())),
            _ => Ok(alternate_families(allowed)),
        }
    }

    /// A connection to the first of these addresses, which were judged, by the egress alone where there is one.
    pub(crate) async fn connect(&self, addresses: &[SocketAddr]) -> Result<Socket, DialError> {
        let Some(Exit { egress, tls }) = &self.exit else { return race(addresses, None).await.map(Socket::Tcp) };
        let fails = |why: String| DialError::Egress(egress.name().to_owned(), why);
        if let Some(source) = egress.source() {
            egress.check().map_err(|error| fails(format!("its address cannot be sent from: {error}")))?;
            let same: Vec<_> = addresses.iter().copied().filter(|to| to.is_ipv4() == source.is_ipv4()).collect();
            if same.is_empty() {
                let version = if source.is_ipv4() { "IPv4" } else { "IPv6" };
                return Err(fails(format!("it sends by {version}, and the receiver has no such address")));
            }
            return race(&same, Some(source)).await.map(Socket::Tcp);
        }
        match egress.proxy() {
            Some(proxy) => self.through(proxy, tls, addresses).await.map_err(fails),
            None => race(addresses, None).await.map(Socket::Tcp),
        }
    }

    /// A connection through a proxy. The operator named it, so it is not judged.
    async fn through(&self, proxy: &Proxy, tls: &Arc<rustls::ClientConfig>, addresses: &[SocketAddr]) -> Result<Socket, String> {
        let at = match &proxy.host {
            Host::Address(address) => vec![SocketAddr::new(*address, proxy.port)],
            Host::Name(name) => {
                let found = self.look_up(name.clone(), proxy.port).await;
                alternate_families(found.map_err(|_| "the name of its proxy cannot be resolved")?)
            }
        };
        let mut last = "the receiver has no address".to_owned();
        for address in addresses {
            let stream = race(&at, None).await.map_err(|error| match error {
                DialError::Connect(error) => format!("its proxy is not reached: {}", error.kind()),
                _ => "its proxy is not reached".to_owned(),
            })?;
            let stream = if proxy.https { encrypted(proxy, tls, stream).await? } else { Socket::Tcp(stream) };
            match proxy.ask(stream, *address).await {
                Asked::Open(stream) => return Ok(stream),
                Asked::Unreached(why) => last = why,
                Asked::No(why) => return Err(why),
            }
        }
        Err(last)
    }

    async fn look_up(&self, name: String, port: u16) -> Result<Vec<SocketAddr>, DialError> {
        let gone = |_| DialError::Dns("the resolver has stopped".to_owned());
        let permit = Arc::clone(&self.lookups).acquire_owned().await.map_err(gone)?;
        let names = Arc::clone(&self.names);
        let resolving = tokio::task::spawn_blocking(move || {
            let found = names.addresses(&name);
            drop(permit);
            found.map(|all| all.into_iter().take(MAX_ADDRESSES).map(|address| SocketAddr::new(address, port)).collect())
        });
        match resolving.await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(DialError::Dns(error.to_string())),
            Err(_) => Err(DialError::Dns("the resolver has stopped".to_owned())),
        }
    }
}

/// TLS to a proxy, which has to prove that it is the one that was named.
async fn encrypted(proxy: &Proxy, tls: &Arc<rustls::ClientConfig>, stream: TcpStream) -> Result<Socket, String> {
    let fails = |reason: TlsReason| format!("the TLS connection to its proxy failed: {}", reason.words());
    let name = match &proxy.host {
        Host::Address(address) => ServerName::from(*address),
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| fails(TlsReason::Name))?,
    };
    let handshake = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
    handshake.map(|tls| Socket::Proxied(Box::new(tls))).map_err(|error| fails(classify::handshake_reason(&error)))
}

/// The first address that accepts a connection. Each gets a head start over the next, so that one which swallows
/// packets does not use up the deadline; the first to connect ends the race.
async fn race(addresses: &[SocketAddr], source: Option<IpAddr>) -> Result<TcpStream, DialError> {
    let mut waiting = addresses.iter();
    let mut racing = FuturesUnordered::new();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        if let Some(address) = waiting.next() {
            racing.push(open(*address, source));
        }
        if racing.is_empty() {
            return Err(DialError::Connect(last));
        }
        tokio::select! {
            Some(outcome) = racing.next() => match outcome {
                Ok(stream) => {
                    // Requests are small and written whole; waiting for more to send would only delay them.
                    stream.set_nodelay(true).map_err(DialError::Connect)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            },
            () = tokio::time::sleep(HEAD_START), if waiting.len() > 0 => {}
        }
    }
}

async fn open(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    match source {
        Some(source) => egress::bound(source)?.connect(address).await,
        None => TcpStream::connect(address).await,
    }
}

/// Interleaves IPv6 and IPv4, keeping the resolver's order within each and its first choice first.
fn alternate_families(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else {
        return addresses;
    };
    let first_is_v6 = matches!(first.ip(), IpAddr::V6(_));
    let (mut a, mut b): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|x| x.is_ipv6() == first_is_v6);
    let mut mixed = Vec::with_capacity(a.len() + b.len());
    a.reverse();
    b.reverse();
    while !(a.is_empty() && b.is_empty()) {
        mixed.extend(a.pop());
        mixed.extend(b.pop());
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_and_the_first_choice_stays_first() {
        let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
        let given = ["[2606::1]:1", "[2606::2]:1", "[2606::3]:1", "9.9.9.9:1"].map(parse).to_vec();
        let mixed = alternate_families(given);
        assert_eq!(mixed, ["[2606::1]:1", "9.9.9.9:1", "[2606::2]:1", "[2606::3]:1"].map(parse));
    }

    #[tokio::test]
    async fn a_closed_port_does_not_keep_the_open_one_from_being_reached() {
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let stream = race(&[closed, open.local_addr().unwrap()], None).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open.local_addr().unwrap());
        assert!(matches!(race(&[closed], None).await, Err(DialError::Connect(_))));
    }

    #[tokio::test]
    async fn only_allowed_addresses_of_a_name_come_back() {
        let target = Target { host: Host::Name("localhost".into()), port: 80, https: false };
        let strict = Dialler::new(AddressPolicy::default(), Arc::new(SystemNames), None).resolve(&target).await;
        assert!(matches!(strict, Err(DialError::Refused(_))), "{strict:?}");
        let v4_only = AddressPolicy { allow_networks: vec!["127.0.0.0/8".parse().unwrap()], ..AddressPolicy::default() };
        let found = Dialler::new(v4_only, Arc::new(SystemNames), None).resolve(&target).await.unwrap();
        assert_eq!(found, ["127.0.0.1:80".parse().unwrap()]);
    }
}
