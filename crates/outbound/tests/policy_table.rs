//! What may be configured, form by form.

use outbound::policy::{AddressPolicy, Range, Rule};
use proptest::prelude::*;

/// URLs that the default policy refuses, with the kind of rule that must say so.
const REFUSED: &[(&str, &str)] = &[
    // Not a URL, or of another scheme.
    ("", "absolute"),
    ("example.com", "absolute"),
    ("example.com/hook", "absolute"),
    ("//example.com/hook", "absolute"),
    ("/hook", "absolute"),
    ("http:example.com", "absolute"),
    ("http:/example.com", "absolute"),
    ("127.0.0.1:80", "absolute"),
    ("localhost:8080", "absolute"),
    ("*", "absolute"),
    ("ftp://example.com/", "scheme"),
    ("file:///etc/passwd", "scheme"),
    ("gopher://example.com:70/_x", "scheme"),
    ("ws://example.com/", "scheme"),
    ("unix:///var/run/docker.sock", "scheme"),
    ("ldap://example.com/", "scheme"),
    ("dict://example.com:11211/stat", "scheme"),
    ("httpx://example.com/", "scheme"),
    ("jar:http://example.com!/", "scheme"),
    ("http://", "no host"),
    ("https:///path", "no host"),
    ("http://:80/", "no host"),
    // Characters on which parsers differ.
    ("http://example.com/a b", "character"),
    (" http://example.com/", "character"),
    ("http://example.com/\n", "character"),
    ("http://example.com\r\nHost: x/", "character"),
    ("http://example.com\t/", "character"),
    ("http://example.com\0/", "character"),
    ("http://example.com\\@127.0.0.1/", "character"),
    ("http:\\\\127.0.0.1\\", "character"),
    ("http://127\u{3002}0\u{3002}0\u{3002}1/", "character"),
    ("http://example\u{ff0e}com/", "character"),
    ("http://example\u{ff61}com/", "character"),
    ("http://\u{24db}ocalhost/", "character"),
    ("http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/", "character"),
    ("http://m\u{fc}nchen.example/", "character"),
    ("http://example.com\u{200b}/", "character"),
    ("http://\u{2460}27.0.0.1/", "character"),
    ("http://[::\u{ff11}]/", "character"),
    // Credentials.
    ("http://user@example.com/", "user info"),
    ("http://user:secret@example.com/", "user info"),
    ("http://@example.com/", "user info"),
    ("http://:@example.com/", "user info"),
    ("http://example.com@127.0.0.1/", "user info"),
    ("http://example.com:80@127.0.0.1/", "user info"),
    ("http://127.0.0.1@example.com/", "user info"),
    ("http://a@b@127.0.0.1/", "user info"),
    ("http://example.com%40127.0.0.1/", "host"),
    // Host names.
    ("http://ex%61mple.com/", "host"),
    ("http://%6c%6f%63alhost/", "host"),
    ("http://127.0.0.1%2f/", "host"),
    ("http://127.0.0.1%00.example.com/", "host"),
    ("http://exa mple.com/", "character"),
    ("http://example..com/", "host"),
    ("http://.example.com/", "host"),
    ("http://-example.com/", "host"),
    ("http://example-.com/", "host"),
    ("http://exam$ple.com/", "host"),
    ("http://exam!ple.com/", "host"),
    ("http://exam,ple.com/", "host"),
    ("http://exam;ple.com/", "host"),
    ("http://exam'ple.com/", "host"),
    ("http://(example).com/", "host"),
    ("http://example.com./", "trailing dot"),
    ("http://localhost./", "trailing dot"),
    ("http://127.0.0.1./", "trailing dot"),
    ("http://example.com../", "trailing dot"),
    ("http://./", "trailing dot"),
    ("http://2130706433./", "trailing dot"),
    // Names of this machine.
    ("http://localhost/", "loopback"),
    ("http://LOCALHOST/", "loopback"),
    ("http://LocalHost:8080/", "loopback"),
    ("https://localhost/", "loopback"),
    ("http://hook.localhost/", "loopback"),
    ("http://localhost.localdomain/", "loopback"),
    // IPv4, each special range at its edges.
    ("http://0.0.0.0/", "unspecified"),
    ("http://0.0.0.1/", "unspecified"),
    ("http://0.255.255.255/", "unspecified"),
    ("http://10.0.0.0/", "private"),
    ("http://10.255.255.255/", "private"),
    ("http://100.64.0.0/", "carrier"),
    ("http://100.127.255.255/", "carrier"),
    ("http://127.0.0.1/", "loopback"),
    ("http://127.0.0.1:8080/hook?x=1", "loopback"),
    ("https://127.0.0.1/", "loopback"),
    ("http://127.0.0.0/", "loopback"),
    ("http://127.1.2.3/", "loopback"),
    ("http://127.255.255.255/", "loopback"),
    ("http://169.254.0.1/", "link local"),
    ("http://169.254.255.255/", "link local"),
    ("http://169.254.169.254/latest/meta-data/", "metadata"),
    ("http://169.254.170.2/v2/credentials/", "metadata"),
    ("http://168.63.129.16/machine", "metadata"),
    ("http://100.100.100.200/", "metadata"),
    ("http://192.0.0.192/", "metadata"),
    ("http://172.16.0.0/", "private"),
    ("http://172.31.255.255/", "private"),
    ("http://192.0.0.1/", "reserved"),
    ("http://192.0.2.1/", "documentation"),
    ("http://192.31.196.1/", "reserved"),
    ("http://192.52.193.1/", "reserved"),
    ("http://192.88.99.1/", "transition"),
    ("http://192.168.0.1/", "private"),
    ("http://192.168.255.255/", "private"),
    ("http://192.175.48.1/", "reserved"),
    ("http://198.18.0.1/", "benchmark"),
    ("http://198.19.255.255/", "benchmark"),
    ("http://198.51.100.7/", "documentation"),
    ("http://203.0.113.7/", "documentation"),
    ("http://224.0.0.1/", "multicast"),
    ("http://239.255.255.255/", "multicast"),
    ("http://240.0.0.1/", "reserved"),
    ("http://255.255.255.254/", "reserved"),
    ("http://255.255.255.255/", "broadcast"),
    // IPv4 in forms that a C resolver understands and a URL parser may not.
    ("http://2130706433/", "numeric"),
    ("http://0x7f000001/", "numeric"),
    ("http://0X7F000001/", "numeric"),
    ("http://017700000001/", "numeric"),
    ("http://0x7f.1/", "numeric"),
    ("http://0x7f.0x0.0x0.0x1/", "numeric"),
    ("http://0177.0.0.1/", "numeric"),
    ("http://0177.0.0.01/", "numeric"),
    ("http://127.1/", "numeric"),
    ("http://127.0.1/", "numeric"),
    ("http://127.0.0.01/", "numeric"),
    ("http://127.000.000.001/", "numeric"),
    ("http://127.0x0.0.1/", "numeric"),
    ("http://0/", "numeric"),
    ("http://0x0/", "numeric"),
    ("http://0x/", "numeric"),
    ("http://1/", "numeric"),
    ("http://10.1/", "numeric"),
    ("http://167772161/", "numeric"),
    ("http://0xa9fea9fe/", "numeric"),
    ("http://2852039166/", "numeric"),
    ("http://0251.0376.0251.0376/", "numeric"),
    ("http://169.254.43518/", "numeric"),
    ("http://169.16689662/", "numeric"),
    ("http://3232235777/", "numeric"),
    ("http://192.168.257/", "numeric"),
    ("http://4294967296/", "numeric"),
    ("http://256.0.0.1/", "numeric"),
    ("http://1.2.3.4.5/", "numeric"),
    ("http://127.0.0.1.5/", "numeric"),
    ("http://8.8.2056/", "numeric"),
    ("http://08.8.8.8/", "numeric"),
    ("http://example.123/", "numeric"),
    ("http://foo.0x1/", "numeric"),
    ("http://127.0.0.0x1:8080/", "numeric"),
    ("http://99999999999999999999/", "numeric"),
    // IPv6.
    ("http://[::]/", "unspecified"),
    ("http://[0:0:0:0:0:0:0:0]/", "unspecified"),
    ("http://[::1]/", "loopback"),
    ("http://[::1]:8080/", "loopback"),
    ("http://[0000:0000:0000:0000:0000:0000:0000:0001]/", "loopback"),
    ("http://[0:0:0:0:0:0:0:1]/", "loopback"),
    ("http://[::0.0.0.1]/", "loopback"),
    ("http://[::127.0.0.1]/", "transition"),
    ("http://[::7f00:1]/", "transition"),
    ("http://[::8.8.8.8]/", "transition"),
    ("http://[::ffff:127.0.0.1]/", "loopback"),
    ("http://[::FFFF:7f00:1]/", "loopback"),
    ("http://[0:0:0:0:0:ffff:127.0.0.1]/", "loopback"),
    ("http://[::ffff:0.0.0.0]/", "unspecified"),
    ("http://[::ffff:10.0.0.1]/", "private"),
    ("http://[::ffff:a9fe:a9fe]/", "metadata"),
    ("http://[::ffff:192.168.1.1]/", "private"),
    ("http://[::ffff:100.64.0.1]/", "carrier"),
    ("http://[::ffff:255.255.255.255]/", "broadcast"),
    ("http://[::ffff:0:127.0.0.1]/", "transition"),
    ("http://[::ffff:0:8.8.8.8]/", "transition"),
    ("http://[64:ff9b::127.0.0.1]/", "loopback"),
    ("http://[64:ff9b::10.0.0.1]/", "private"),
    ("http://[64:ff9b::a9fe:a9fe]/", "metadata"),
    ("http://[64:ff9b::192.168.0.1]/", "private"),
    ("http://[64:ff9b::0.0.0.0]/", "unspecified"),
    ("http://[64:ff9b:1::8.8.8.8]/", "transition"),
    ("http://[64:ff9b:1:ffff::a00:1]/", "transition"),
    ("http://[64:ff9b:2::1]/", "reserved"),
    ("http://[100::1]/", "reserved"),
    ("http://[100:0:0:1::1]/", "reserved"),
    ("http://[2001::1]/", "transition"),
    ("http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/", "transition"),
    ("http://[2001:1::1]/", "reserved"),
    ("http://[2001:2::1]/", "benchmark"),
    ("http://[2001:10::1]/", "reserved"),
    ("http://[2001:20::1]/", "reserved"),
    ("http://[2001:db8::1]/", "documentation"),
    ("http://[2002:7f00:1::]/", "transition"),
    ("http://[2002:a00:1::1]/", "transition"),
    ("http://[2002:808:808::1]/", "transition"),
    ("http://[2620:4f:8000::1]/", "reserved"),
    ("http://[3fff::1]/", "documentation"),
    ("http://[3fff:fff:ffff::1]/", "documentation"),
    ("http://[4000::1]/", "reserved"),
    ("http://[5f00::1]/", "reserved"),
    ("http://[fc00::1]/", "private"),
    ("http://[fd12:3456:789a::1]/", "private"),
    ("http://[fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]/", "private"),
    ("http://[fd00:ec2::254]/", "metadata"),
    ("http://[fd20:ce::254]/", "metadata"),
    ("http://[fe80::1]/", "link local"),
    ("http://[febf::1]/", "link local"),
    ("http://[fec0::1]/", "link local"),
    ("http://[ff02::1]/", "multicast"),
    ("http://[ff0e::1]/", "multicast"),
    ("http://[fe80::1%25eth0]/", "zone"),
    ("http://[fe80::1%eth0]/", "zone"),
    ("http://[::1%25lo]/", "zone"),
    ("http://[2606:4700::1111%251]/", "zone"),
    ("http://[]/", "host"),
    ("http://[:]/", "host"),
    ("http://[::1/", "host"),
    ("http://::1/", "host"),
    ("http://::1]/", "host"),
    ("http://[127.0.0.1]/", "host"),
    ("http://[example.com]/", "host"),
    ("http://[v1.fe80::a]/", "host"),
    ("http://[1:2:3:4:5:6:7]/", "host"),
    ("http://[1:2:3:4:5:6:7:8:9]/", "host"),
    ("http://[::12345]/", "host"),
    ("http://[::1]x/", "host"),
    ("http://x[::1]/", "host"),
    // Ports.
    ("http://example.com:0/", "port"),
    ("http://example.com:22/", "port"),
    ("http://example.com:25/", "port"),
    ("http://example.com:53/", "port"),
    ("http://example.com:445/", "port"),
    ("https://example.com:993/", "port"),
    ("http://example.com:1023/", "port"),
    ("http://example.com:2049/", "port"),
    ("http://example.com:6000/", "port"),
    ("http://example.com:6667/", "port"),
    ("http://example.com:5060/", "port"),
    ("http://example.com:65536/", "port number"),
    ("http://example.com:99999/", "port number"),
    ("http://example.com:-1/", "port number"),
    ("http://example.com:+80/", "port number"),
    ("http://example.com:8o/", "port number"),
    ("http://example.com:/", "port number"),
    ("http://example.com:80:80/", "host"),
    ("http://[::1]:99999/", "port number"),
];

/// URLs that the default policy lets through to the connector.
const ALLOWED: &[&str] = &[
    "https://example.com",
    "https://example.com/",
    "http://example.com/hook?x=1&y=%20#part",
    "HTTPS://EXAMPLE.COM/Hook",
    "https://hooks.example.com:8443/a/b",
    "http://example.com:443/",
    "http://example.com:80/",
    "http://example.com:1024/",
    "http://example.com:65535/",
    "https://xn--mnchen-3ya.example/",
    "https://my_service.example.com/",
    "https://a-b.example.com/",
    "https://1password.example/",
    "https://0x7f.example/",
    "https://123.example.com/",
    "https://localhost.example.com/",
    "https://notlocalhost/",
    "https://receiver/",
    "https://user.example.com/a@b",
    "https://example.com/?next=http://127.0.0.1/",
    "https://1.1.1.1/",
    "https://8.8.8.8:8443/",
    "https://9.255.255.255/",
    "https://11.0.0.0/",
    "https://100.63.255.255/",
    "https://100.128.0.0/",
    "https://126.255.255.255/",
    "https://128.0.0.1/",
    "https://169.253.255.255/",
    "https://169.255.0.0/",
    "https://172.15.255.255/",
    "https://172.32.0.0/",
    "https://192.0.1.1/",
    "https://192.167.255.255/",
    "https://192.169.0.0/",
    "https://198.17.255.255/",
    "https://198.20.0.0/",
    "https://223.255.255.255/",
    "https://[2606:4700:4700::1111]/",
    "https://[2606:4700:4700::1111]:8443/hook",
    "https://[2001:4860:4860::8888]/",
    "https://[2001:200::1]/",
    "https://[2003::1]/",
    "https://[2a00:1450::1]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[64:ff9b::8.8.8.8]/",
    "https://[3ffe::1]/",
];

fn kind(rule: Rule) -> &'static str {
    match rule {
        Rule::TooLong => "too long",
        Rule::Character(_) => "character",
        Rule::NotAbsolute => "absolute",
        Rule::Scheme => "scheme",
        Rule::Database => "database",
        Rule::Server { .. } => "server",
        Rule::MailScheme => "mail scheme",
        Rule::MailPlain => "mail in the clear",
        Rule::MailPort(_) => "mail port",
        Rule::HttpsOnly => "https only",
        Rule::UserInfo => "user info",
        Rule::NoHost => "no host",
        Rule::HostName => "host",
        Rule::TrailingDot => "trailing dot",
        Rule::ZoneId => "zone",
        Rule::NumericHost(_) => "numeric",
        Rule::PortNumber => "port number",
        Rule::Port(_) => "port",
        Rule::Address(range) => match range {
            Range::Unspecified => "unspecified",
            Range::Loopback => "loopback",
            Range::Private => "private",
            Range::LinkLocal => "link local",
            Range::CarrierNat => "carrier",
            Range::Metadata => "metadata",
            Range::Multicast => "multicast",
            Range::Broadcast => "broadcast",
            Range::Documentation => "documentation",
            Range::Benchmark => "benchmark",
            Range::Transition => "transition",
            Range::Reserved => "reserved",
        },
    }
}

#[test]
fn the_default_policy_refuses_every_form_by_the_right_rule() {
    assert!(REFUSED.len() >= 150, "{}", REFUSED.len());
    let policy = AddressPolicy::default();
    let wrong: Vec<String> = REFUSED
        .iter()
        .filter_map(|(url, expected)| match policy.check_url(url) {
            Ok(()) => Some(format!("{url:?} was allowed, expected: {expected}")),
            Err(refusal) if kind(refusal.rule) != *expected => {
                Some(format!("{url:?}: {} ({refusal}), expected: {expected}", kind(refusal.rule)))
            }
            Err(_) => None,
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_default_policy_allows_the_public_internet() {
    let policy = AddressPolicy::default();
    let wrong: Vec<String> =
        ALLOWED.iter().filter_map(|url| policy.check_url(url).err().map(|refusal| format!("{url}: {refusal}"))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_refusal_names_the_subject_and_the_setting() {
    let policy = AddressPolicy::default();
    let say = |url: &str| policy.check_url(url).unwrap_err().to_string();
    assert!(say("http://127.0.0.1/x").contains("127.0.0.1"));
    assert!(say("http://127.0.0.1/x").contains("allow_loopback"));
    assert!(say("http://10.1.2.3/").contains("10.1.2.3 is a private network address"));
    assert!(say("http://10.1.2.3/").contains("allow_networks"));
    assert!(say("http://example.com:22/").contains("allow_ports"));
    assert!(say("http://0x7f.1/").contains("127.0.0.1"));
    assert!(say("http://2852039166/").contains("169.254.169.254"));
    for secret in ["http://user:hunter2@127.0.0.1/", "ftp://user:hunter2@example.com/?key=hunter2"] {
        assert!(!say(secret).contains("hunter2"), "{}", say(secret));
    }
    let long = format!("https://example.com/{}", "a".repeat(5000));
    assert_eq!(kind(policy.check_url(&long).unwrap_err().rule), "too long");
    assert!(say(&long).len() < 300);
}

#[test]
fn settings_widen_the_policy_and_no_further() {
    let loopback = AddressPolicy { allow_loopback: true, ..AddressPolicy::default() };
    for url in ["http://localhost:8080/", "http://127.0.0.1:9/"] {
        // Port 9 belongs to another protocol, also at home.
        assert_eq!(loopback.check_url(url).is_ok(), !url.contains(":9/"), "{url}");
    }
    assert!(loopback.check_url("http://[::1]:8080/").is_ok());
    assert!(loopback.check_url("http://[::ffff:127.0.0.1]:8080/").is_ok());
    for url in ["http://10.0.0.1/", "http://0.0.0.0/", "http://169.254.169.254/", "http://[64:ff9b::127.0.0.1]/"] {
        assert!(loopback.check_url(url).is_err(), "{url}");
    }

    let office = AddressPolicy {
        allow_networks: vec!["10.1.0.0/16".parse().unwrap(), "fd00:1::/32".parse().unwrap()],
        allow_ports: vec![88, 0],
        ..AddressPolicy::default()
    };
    for url in ["http://10.1.2.3/", "http://[::ffff:10.1.2.3]/", "http://[fd00:1::9]/", "http://10.1.2.3:88/"] {
        assert!(office.check_url(url).is_ok(), "{url}");
    }
    for url in ["http://10.2.0.1/", "http://[fd00:2::9]/", "http://127.0.0.1/", "http://example.com:0/", "http://localhost/"] {
        assert!(office.check_url(url).is_err(), "{url}");
    }
}

#[test]
fn some_addresses_need_their_exact_network_and_some_are_never_allowed() {
    let everything =
        AddressPolicy { allow_networks: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()], ..AddressPolicy::default() };
    for url in ["http://192.168.1.1/", "http://[fe80::1]/", "http://127.0.0.1/"] {
        assert!(everything.check_url(url).is_ok(), "{url}");
    }
    for url in ["http://0.0.0.0/", "http://224.0.0.1/", "http://255.255.255.255/", "http://169.254.169.254/", "http://[::]/"] {
        assert!(everything.check_url(url).is_err(), "{url}");
    }
    let exact = AddressPolicy { allow_networks: vec!["169.254.169.254/32".parse().unwrap()], ..AddressPolicy::default() };
    assert!(exact.check_url("http://169.254.169.254/").is_ok());

    let https = AddressPolicy { https_only: true, ..AddressPolicy::default() };
    assert!(https.check_url("https://example.com/").is_ok());
    assert_eq!(kind(https.check_url("http://example.com/").unwrap_err().rule), "https only");
}

proptest! {
    /// Whatever clothes an IPv4 address wears, it is judged alike or refused for the clothes.
    #[test]
    fn no_disguise_helps(bits: u32) {
        let policy = AddressPolicy::default();
        let v4 = std::net::Ipv4Addr::from_bits(bits);
        let plain = policy.check_url(&format!("http://{v4}/")).is_ok();
        prop_assert_eq!(plain, policy.check_address(v4.into()).is_ok());
        prop_assert_eq!(plain, policy.check_url(&format!("http://[::ffff:{v4}]/")).is_ok());
        prop_assert_eq!(plain, policy.check_url(&format!("http://[64:ff9b::{v4}]/")).is_ok());
        let [a, b, c, d] = v4.octets();
        for other in [
            format!("http://{bits}/"),
            format!("http://{bits:#x}/"),
            format!("http://0{bits:o}/"),
            format!("http://{a}.{b}.{}/", u16::from_be_bytes([c, d])),
            format!("http://{a:#x}.{b}.{c}.{d}/"),
            format!("http://0{a:o}.{b}.{c}.{d}/"),
            format!("http://{v4}./"),
            format!("http://[::{v4}]/"),
            format!("http://[2002:{:x}:{:x}::1]/", bits >> 16, bits & 0xffff),
        ] {
            prop_assert!(policy.check_url(&other).is_err(), "{}", other);
        }
    }

    /// No input panics, and what passes has a host that the connector reads the same way.
    #[test]
    fn any_text_is_judged(text in "(http://)?[\\PC]{0,40}") {
        if AddressPolicy::default().check_url(&text).is_ok() {
            let uri: http::Uri = text.parse().unwrap();
            prop_assert!(AddressPolicy::default().check_uri(&uri).is_ok());
        }
    }
}
