//! How many requests a client address may make at the doors that need no key.
//!
//! A bucket per door and address refills evenly and holds one minute's worth, so that a burst (a phone that registers all of
//! its passes, a queue of visitors behind one address) goes through. An IPv6 client has its whole /64. This machine itself is
//! not limited: whoever runs a proxy on it names that as a trusted one, and then the clients behind it are told apart.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::Arc,
};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};
use http::Method;
use parking_lot::RwLock;

use crate::{App, Client, Problem, pages, problem::Limited};

/// Most addresses that a door remembers; more than that and all start full again.
const MAX_ADDRESSES: usize = 100_000;

/// A door that needs no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// A pass's page and what hangs on it, packages included; the page for unsubscribing.
    Page,
    /// An enrolment form that is sent.
    Enrolment,
    /// The inspector's intake.
    Inspector,
    /// A phone that registers or unregisters.
    Registration,
    /// A phone's log.
    PhoneLog,
    /// Call-backs of Google's, and of services that send messages.
    Callback,
    /// A key that is tried at the console.
    SignIn,
}

const DOORS: [Door; 7] =
    [Door::Page, Door::Enrolment, Door::Inspector, Door::Registration, Door::PhoneLog, Door::Callback, Door::SignIn];

/// How many requests a minute each client address may make at the doors that need no key; 0 means as many as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressLimits {
    /// `/p/…` and `/u/…`: pass pages, with their packages, and pages for unsubscribing.
    pub pages_per_minute: u32,
    /// `POST /e/{project}`: enrolment forms sent.
    pub enrolments_per_minute: u32,
    /// `/inspect/{bin}/in`: requests to look at.
    pub inspected_per_minute: u32,
    /// `POST` and `DELETE /apple/v1/devices/…`: registrations of phones. Some phones register under hundreds of device ids
    /// within a minute.
    pub registrations_per_minute: u32,
    /// `POST /apple/v1/log`: logs of phones.
    pub phone_logs_per_minute: u32,
    /// `POST /google/callback` and `POST /messages/…/status`: Google tells of every saved and deleted pass, an SMS service of every
    /// message, from few addresses.
    pub callbacks_per_minute: u32,
    /// `POST /console/sign-in`: keys tried at the console.
    pub sign_ins_per_minute: u32,
}

impl Default for AddressLimits {
    fn default() -> Self {
        Self {
            pages_per_minute: 600,
            enrolments_per_minute: 60,
            inspected_per_minute: 600,
            registrations_per_minute: 1_200,
            phone_logs_per_minute: 60,
            callbacks_per_minute: 12_000,
            sign_ins_per_minute: 20,
        }
    }
}

impl Door {
    /// The door of a route, if it is one.
    fn of(method: &Method, route: &str) -> Option<Self> {
        match route {
            "/console/sign-in" if method == Method::POST => Some(Self::SignIn),
            "/e/{project}" if method == Method::POST => Some(Self::Enrolment),
            "/inspect/{bin}/in" | "/inspect/{bin}/in/{*rest}" => Some(Self::Inspector),
            "/apple/v1/devices/{device}/registrations/{pass_type}/{serial}" => Some(Self::Registration),
            "/apple/v1/log" => Some(Self::PhoneLog),
            "/google/callback" | "/messages/{organization}/{message}/status" => Some(Self::Callback),
            page if page.starts_with("/p/") || page.starts_with("/u/") => Some(Self::Page),
            _ => None,
        }
    }

    /// Its name in metrics.
    const fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Enrolment => "enrolment",
            Self::Inspector => "inspector",
            Self::Registration => "registration",
            Self::PhoneLog => "phone_log",
            Self::Callback => "callback",
            Self::SignIn => "sign_in",
        }
    }

    const fn per_minute(self, limits: &AddressLimits) -> u32 {
        match self {
            Self::Page => limits.pages_per_minute,
            Self::Enrolment => limits.enrolments_per_minute,
            Self::Inspector => limits.inspected_per_minute,
            Self::Registration => limits.registrations_per_minute,
            Self::PhoneLog => limits.phone_logs_per_minute,
            Self::Callback => limits.callbacks_per_minute,
            Self::SignIn => limits.sign_ins_per_minute,
        }
    }

    /// What whoever comes too often gets: people a page, programs a problem.
    fn refuse(self, seconds: u64) -> Response {
        match self {
            Self::Page | Self::Enrolment | Self::SignIn => pages::busy(seconds),
            _ => Problem::RateLimited { by: Limited::Address, seconds }.into_response(),
        }
    }
}

/// The buckets of one door.
struct Buckets {
    quota: Quota,
    limiter: RwLock<Arc<DefaultKeyedRateLimiter<IpAddr>>>,
}

impl Buckets {
    fn new(per_minute: NonZeroU32) -> Self {
        let quota = Quota::per_minute(per_minute);
        Self { quota, limiter: RwLock::new(Arc::new(RateLimiter::keyed(quota))) }
    }

    /// Takes one request out of an address's bucket; seconds to wait when that is one too many.
    fn take(&self, address: IpAddr) -> Result<(), u64> {
        let limiter = Arc::clone(&self.limiter.read());
        if limiter.len() > MAX_ADDRESSES {
            limiter.retain_recent();
            if limiter.len() > MAX_ADDRESSES {
                *self.limiter.write() = Arc::new(RateLimiter::keyed(self.quota));
            }
        }
        let wait = |until: governor::NotUntil<_>| until.wait_time_from(limiter.clock().now());
        limiter.check_key(&address).map_err(wait).map_err(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    }
}

/// The buckets of all doors that are limited.
pub(crate) struct Guards([Option<Buckets>; DOORS.len()]);

impl Guards {
    pub(crate) fn new(limits: &AddressLimits) -> Self {
        Self(DOORS.map(|door| NonZeroU32::new(door.per_minute(limits)).map(Buckets::new)))
    }

    fn take(&self, door: Door, address: IpAddr) -> Result<(), u64> {
        match &self.0[door as usize] {
            Some(buckets) if !address.is_loopback() => buckets.take(network(address)),
            _ => Ok(()),
        }
    }
}

/// Who is behind an address: one IPv4 client, or one IPv6 network, within which a client draws addresses as it likes.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

/// Lets requests through that are within the limit of their door and address.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let Some(door) = route.and_then(|route| Door::of(request.method(), route)) else { return next.run(request).await };
    let (mut parts, body) = request.into_parts();
    let Ok(client) = Client::from_request_parts(&mut parts, &app).await;
    match client.ip.map_or(Ok(()), |ip| app.guards.take(door, ip)) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(seconds) => {
            metrics::counter!("rate_limited_total", "door" => door.name()).increment(1);
            door.refuse(seconds)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_minutes_worth_at_each_door() {
        let guards =
            Guards::new(&AddressLimits { enrolments_per_minute: 2, phone_logs_per_minute: 0, ..AddressLimits::default() });
        let [one, other] = ["203.0.113.1", "203.0.113.2"].map(|text| text.parse().unwrap());
        assert_eq!((guards.take(Door::Enrolment, one), guards.take(Door::Enrolment, one)), (Ok(()), Ok(())));
        let wait = guards.take(Door::Enrolment, one).unwrap_err();
        assert!((1..=30).contains(&wait), "{wait}");
        assert_eq!(guards.take(Door::Enrolment, other), Ok(()), "another address");
        assert_eq!(guards.take(Door::Page, one), Ok(()), "another door");
        assert!((0..500).all(|_| guards.take(Door::PhoneLog, one).is_ok()), "0 means no limit");
        assert!((0..500).all(|_| guards.take(Door::Enrolment, IpAddr::from([127, 0, 0, 1])).is_ok()), "this machine");
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::9"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
    }

    #[test]
    fn a_door_is_its_place_in_the_list() {
        assert!(DOORS.iter().enumerate().all(|(place, door)| *door as usize == place));
    }
}
