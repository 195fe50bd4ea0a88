//! The ranges of the IANA special-purpose address registries (RFC 6890 and its successors) and the fixed addresses at
//! which clouds hand out credentials to whoever asks from inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not a public one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Range {
    /// 0.0.0.0/8 and ::, which many systems dial as themselves.
    Unspecified,
    /// 127.0.0.0/8 and ::1.
    Loopback,
    /// RFC 1918 and fc00::/7.
    Private,
    /// 169.254.0.0/16, fe80::/10 and the older fec0::/10.
    LinkLocal,
    /// 100.64.0.0/10, between a provider and its customers (RFC 6598).
    CarrierNat,
    /// A cloud's metadata or host service.
    Metadata,
    /// 224.0.0.0/4 and ff00::/8.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// Kept for examples in documents.
    Documentation,
    /// Kept for benchmarks (RFC 2544, RFC 5180).
    Benchmark,
    /// 6to4, Teredo and other tunnels that carry an IPv4 address inside.
    Transition,
    /// Everything else that IANA has set aside.
    Reserved,
}

impl Range {
    /// The range in a reader's words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address (this machine itself)",
            Self::Private => "a private network address",
            Self::LinkLocal => "a link-local address",
            Self::CarrierNat => "a carrier-grade NAT address",
            Self::Metadata => "a cloud metadata address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Documentation => "an address reserved for documentation",
            Self::Benchmark => "an address reserved for benchmarks",
            Self::Transition => "an address of an IPv4-in-IPv6 tunnel",
            Self::Reserved => "a reserved address",
        }
    }
}

/// Addresses outside the special ranges, or in wider ones, where clouds serve credentials: AWS, Azure and Google
/// (169.254.169.254 and neighbours), Azure's host service, Alibaba, Oracle.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 169, 253),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// The same over IPv6: AWS and Google.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

const V4: [(Ipv4Addr, u32, Range); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, Range::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Range::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Range::CarrierNat),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Range::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Range::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Range::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Range::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Range::Documentation),
    (Ipv4Addr::new(192, 31, 196, 0), 24, Range::Reserved),
    (Ipv4Addr::new(192, 52, 193, 0), 24, Range::Reserved),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Range::Transition),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Range::Private),
    (Ipv4Addr::new(192, 175, 48, 0), 24, Range::Reserved),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Range::Benchmark),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Range::Documentation),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Range::Documentation),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Range::Multicast),
];

/// First match wins; what matches nothing and lies outside 2000::/3 is reserved.
const V6: [(Ipv6Addr, u32, Range); 13] = [
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, Range::Private),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, Range::LinkLocal),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, Range::LinkLocal),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, Range::Multicast),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, Range::Transition),
    (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, Range::Transition),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, Range::Transition),
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, Range::Benchmark),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, Range::Documentation),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Range::Reserved),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, Range::Transition),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, Range::Reserved),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, Range::Documentation),
];

const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// The special range of an address, or `None` for a public one. IPv4-mapped IPv6 addresses are judged as IPv4.
pub(super) fn range_of(address: IpAddr) -> Option<Range> {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4_range(v4),
        IpAddr::V6(v6) => v6_range(v6),
    }
}

fn v4_range(address: Ipv4Addr) -> Option<Range> {
    if METADATA_V4.contains(&address) {
        return Some(Range::Metadata);
    }
    if address.is_broadcast() {
        return Some(Range::Broadcast);
    }
    let bits = address.to_bits();
    let special =
        V4.iter().find(|(net, prefix, _)| (bits ^ net.to_bits()) >> (u32::BITS - prefix) == 0).map(|(_, _, range)| *range);
    // 240.0.0.0/4, "class E".
    special.or_else(|| (bits >> 28 == 0xf).then_some(Range::Reserved))
}

fn v6_range(address: Ipv6Addr) -> Option<Range> {
    if METADATA_V6.contains(&address) {
        return Some(Range::Metadata);
    }
    if address.is_unspecified() {
        return Some(Range::Unspecified);
    }
    if address.is_loopback() {
        return Some(Range::Loopback);
    }
    let segments = address.segments();
    if segments[..6] == NAT64 {
        // A translator would dial the IPv4 address inside. A public one is how an IPv6-only network reaches IPv4.
        return v4_range(embedded_v4(segments));
    }
    if segments[..6] == [0; 6] {
        return Some(Range::Transition);
    }
    let bits = address.to_bits();
    let special =
        V6.iter().find(|(net, prefix, _)| (bits ^ net.to_bits()) >> (u128::BITS - prefix) == 0).map(|(_, _, range)| *range);
    special.or_else(|| (bits >> 125 != 1).then_some(Range::Reserved))
}

/// The IPv4 address that a router or this machine would make of `address`, if it is an IPv4 address in disguise.
fn embedded_v4(segments: [u16; 8]) -> Ipv4Addr {
    let [a, b] = segments[6].to_be_bytes();
    let [c, d] = segments[7].to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}
