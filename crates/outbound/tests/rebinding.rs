//! Names that lead where nobody may go: judged at every connection, on the address that is dialled.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex},
};

use outbound::{
    Names,
    http::{Client, Failure, Roots, Settings},
    policy::{AddressPolicy, Rule},
};
use support::{AMPLE, Sink, post};

/// A name server that gives its answers one after another; the last one for ever.
#[derive(Debug)]
struct Changing(Mutex<(Vec<Vec<IpAddr>>, usize)>);

impl Changing {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Self(Mutex::new((answers.iter().map(parse).collect(), 0))))
    }
    fn asked(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

impl Names for Changing {
    fn addresses(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let mut all = self.0.lock().unwrap();
        let nth = all.1.min(all.0.len() - 1);
        all.1 += 1;
        Ok(all.0[nth].clone())
    }
}

/// May reach one address of this machine, which stands for the public internet, and nothing else of it.
fn client(names: &Arc<Changing>) -> Client {
    let policy = AddressPolicy { allow_networks: vec!["127.0.0.1/32".parse().unwrap()], ..AddressPolicy::default() };
    let names = Arc::clone(names) as Arc<dyn Names>;
    Client::new(Settings { names, idle_per_host: 0, ..Settings::new(policy, Roots::only(&[]).unwrap()) }).unwrap()
}

async fn polite() -> Sink {
    Sink::canned(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await
}

/// A record that changes after it was judged gains nothing: it is judged again at the next connection, and within one
/// connection the name is asked for once.
#[tokio::test]
async fn a_rebound_name_is_refused() {
    let sink = polite().await;
    let url = format!("http://hooks.example.com:{}/", sink.addr.port());
    let names = Changing::new(&[&["127.0.0.1"], &["127.0.0.2"], &["127.0.0.1"], &["169.254.169.254", "10.0.0.1"]]);
    let client = client(&names);
    for round in 1..=4 {
        let sent = client.send(post(&url), AMPLE).await;
        assert_eq!(names.asked(), round, "one question for one connection");
        match sent {
            Ok(reply) => assert!(round % 2 == 1 && reply.status.as_u16() == 200, "{round}"),
            Err(Failure::Forbidden(refusal)) => {
                assert!(round % 2 == 0 && matches!(refusal.rule, Rule::Address(_)), "{round}: {refusal}");
            }
            Err(other) => panic!("{round}: {other:?}"),
        }
    }
    assert_eq!(sink.connections(), 2, "the forbidden addresses were never dialled");
}

/// Where a name has both, the forbidden ones are left out; an alias (CNAME) shows as nothing but its addresses.
#[tokio::test]
async fn only_the_allowed_addresses_of_a_name_are_dialled() {
    let (sink, names) = (polite().await, Changing::new(&[&["10.0.0.1", "::1", "127.0.0.1", "fd00::1"]]));
    let url = format!("http://mixed.example.com:{}/", sink.addr.port());
    assert_eq!(client(&names).send(post(&url), AMPLE).await.unwrap().status.as_u16(), 200);
}

/// Every special range, in every form in which a resolver may answer it, at the moment of connecting.
#[tokio::test]
async fn no_name_leads_to_a_special_address() {
    let special = [
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.0",
        "127.0.0.2",
        "127.255.255.255",
        "169.254.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.255.255",
        "168.63.129.16",
        "100.100.100.200",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.31.196.1",
        "192.52.193.1",
        "192.88.99.1",
        "192.168.0.1",
        "192.168.255.255",
        "192.175.48.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.254",
        "255.255.255.255",
    ];
    let six = [
        "::",
        "::1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2620:4f:8000::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fd12:3456:789a::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ];
    let mut forms: Vec<IpAddr> = six.iter().map(|text| text.parse().unwrap()).collect();
    for text in special {
        let four: Ipv4Addr = text.parse().unwrap();
        let [a, b] =
            [u16::from_be_bytes([four.octets()[0], four.octets()[1]]), u16::from_be_bytes([four.octets()[2], four.octets()[3]])];
        forms.push(four.into());
        // Mapped, compatible, NAT64, 6to4.
        forms.push(four.to_ipv6_mapped().into());
        forms.push(Ipv6Addr::new(0, 0, 0, 0, 0, 0, a, b).into());
        forms.push(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b).into());
        forms.push(Ipv6Addr::new(0x2002, a, b, 0, 0, 0, 0, 1).into());
    }
    assert!(forms.len() >= 150, "{}", forms.len());
    for address in forms {
        let names = Changing::new(&[&[&address.to_string()]]);
        match client(&names).send(post("http://hooks.example.com:8080/"), AMPLE).await {
            Err(Failure::Forbidden(refusal)) => assert!(matches!(refusal.rule, Rule::Address(_)), "{address}: {refusal}"),
            other => panic!("{address}: {other:?}"),
        }
    }
}
