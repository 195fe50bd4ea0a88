//! How many requests a key may make (and, in [`doors`], an address without one): a bucket per key that refills evenly and holds
//! one second's worth.
//!
//! The headers are those of draft-ietf-httpapi-ratelimit-headers: `RateLimit-Policy` says the rule, `RateLimit` what is left.

pub(crate) mod doors;

use std::{collections::HashMap, num::NonZeroU32, sync::Arc};

use domain::KeyId;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");
/// Most buckets that are kept; more than that and all start full again.
const MAX_BUCKETS: usize = 10_000;

type Bucket = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// The buckets of all keys.
pub(crate) struct Limits {
    quota: fn(NonZeroU32) -> Quota,
    buckets: Mutex<HashMap<KeyId, (NonZeroU32, Arc<Bucket>)>>,
    clock: DefaultClock,
}

/// What the bucket says about one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    rate: NonZeroU32,
    /// Requests that are left at once.
    pub(crate) remaining: u32,
    /// Seconds to wait, when the request is one too many.
    pub(crate) refused: Option<u64>,
}

impl Limits {
    /// Buckets that are full at the beginning.
    pub(crate) fn new(quota: fn(NonZeroU32) -> Quota) -> Self {
        Self { quota, buckets: Mutex::default(), clock: DefaultClock::default() }
    }

    /// Takes one request out of a key's bucket.
    pub(crate) fn take(&self, key: KeyId, rate: u32) -> Verdict {
        let rate = NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
        match self.bucket(key, rate).check() {
            Ok(state) => Verdict { rate, remaining: state.remaining_burst_capacity(), refused: None },
            Err(until) => {
                let wait = until.wait_time_from(self.clock.now());
                Verdict { rate, remaining: 0, refused: Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)) }
            }
        }
    }

    fn bucket(&self, key: KeyId, rate: NonZeroU32) -> Arc<Bucket> {
        let mut buckets = self.buckets.lock();
        if let Some((held, bucket)) = buckets.get(&key)
            && *held == rate
        {
            return Arc::clone(bucket);
        }
        if buckets.len() >= MAX_BUCKETS {
            buckets.clear();
        }
        let limiter = RateLimiter::direct_with_clock((self.quota)(rate), self.clock.clone());
        let bucket = Arc::new(limiter.with_middleware::<StateInformationMiddleware>());
        buckets.insert(key, (rate, Arc::clone(&bucket)));
        bucket
    }
}

impl Verdict {
    /// Tells the client.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        let policy = format!("\"key\";q={};w=1", self.rate);
        let state = format!("\"key\";r={};t={}", self.remaining, self.refused.unwrap_or(1).max(1));
        for (name, value) in [(POLICY, policy), (STATE, state)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_one_second() {
        let limits = Limits::new(Quota::per_second);
        let key = KeyId::from_uuid(uuid::Uuid::from_u128(1));
        for left in [2, 1, 0] {
            assert_eq!(limits.take(key, 3), Verdict { rate: NonZeroU32::new(3).unwrap(), remaining: left, refused: None });
        }
        let refused = limits.take(key, 3);
        assert_eq!(refused.refused, Some(1));
        let other = KeyId::from_uuid(uuid::Uuid::from_u128(2));
        assert_eq!(limits.take(other, 3).refused, None, "keys have buckets of their own");
        let mut headers = HeaderMap::new();
        refused.write(&mut headers);
        assert_eq!(headers[POLICY], "\"key\";q=3;w=1");
        assert_eq!(headers[STATE], "\"key\";r=0;t=1");
    }
}
