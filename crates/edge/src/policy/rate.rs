//! Rate limits by GCRA: each client has a time up to which it has used its share, and nothing else is kept.
//!
//! All threads count in one store, so a limit means what it says however connections are spread. The store is a table of
//! fixed size: a crowd of clients cannot make it grow. Where a bucket is full, the client that owes least goes, so that
//! whoever is being limited stays limited, however many strangers pass by.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::Refusal;
use crate::answer::Fault;

/// Buckets and clients in each: 262,144 clients in 4 MiB, taken when the first limit is met.
const BUCKETS: usize = 16 * 1024;
const WAYS: usize = 16;
/// Locks, each for a part of the buckets.
const STRIPES: usize = 64;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Nanoseconds since the store was made.
type Nanos = u64;

/// Whom a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Address,
    Token,
    Route,
}

impl Key {
    fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Token => "token",
            Self::Route => "route",
        }
    }
}

/// One limit, as GCRA counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// What one request costs in time.
    interval: Nanos,
    /// How far ahead of the time a client may be.
    tolerance: Nanos,
}

/// What GCRA says of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It may pass; so many more at once may, and after that time all of the share is there again.
    Pass { remaining: u64, full_in: Nanos },
    /// It may not, for this long.
    Refuse { retry_in: Nanos },
}

impl Rate {
    /// `requests` in `per`, and `burst` of them at once.
    pub(crate) fn new(requests: u32, per: Duration, burst: u32) -> Self {
        let per = u64::try_from(per.as_nanos()).unwrap_or(u64::MAX / 4);
        let interval = (per / u64::from(requests.max(1))).max(1);
        Self { interval, tolerance: interval.saturating_mul(u64::from(burst.max(1))) }
    }

    /// Of a client that has used its share up to `used`; gives the time up to which it has then.
    pub(crate) fn decide(self, used: Nanos, now: Nanos) -> (Decision, Nanos) {
        let next = used.max(now).saturating_add(self.interval);
        let limit = now.saturating_add(self.tolerance);
        if next > limit {
            return (Decision::Refuse { retry_in: next - limit }, used);
        }
        (Decision::Pass { remaining: (limit - next) / self.interval, full_in: next - now }, next)
    }

    fn burst(self) -> u64 {
        self.tolerance / self.interval
    }
}

/// A route's limits.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    /// Tells this rule from all others, in this snapshot and the next.
    name: Box<str>,
    key: Key,
    rate: Rate,
    policy: HeaderValue,
}

impl Rates {
    pub(crate) fn push(&mut self, route: &str, key: Key, rate: Rate) {
        let name = key.name();
        let window = seconds(rate.tolerance);
        let policy = format!("\"{name}\";q={};w={window}", rate.burst());
        self.rules.push(Rule {
            name: format!("{route}\0{name}\0{}\0{}", rate.interval, rate.tolerance).into(),
            key,
            rate,
            policy: HeaderValue::try_from(policy).expect("names and numbers"),
        });
    }

    /// Counts a request under every limit. The first that is over refuses it; what is shown is the tightest.
    pub(crate) fn count(
        &self,
        store: &Store,
        headers: &HeaderMap,
        client: IpAddr,
    ) -> Result<Option<Standing>, Refusal> {
        let mut tightest: Option<Standing> = None;
        for rule in &self.rules {
            let Some(who) = store.who(rule, headers, client) else { continue };
            match store.count(who, rule.rate) {
                Decision::Refuse { retry_in } => {
                    let standing = Standing::new(rule, 0, retry_in);
                    let retry = HeaderValue::from(seconds(retry_in));
                    let mut extra = vec![(header::RETRY_AFTER, retry)];
                    extra.push((RATE_LIMIT, standing.limit));
                    extra.push((RATE_LIMIT_POLICY, standing.policy));
                    return Err(Refusal::Fault(Fault::TooManyRequests, extra));
                }
                Decision::Pass { remaining, full_in } => {
                    if tightest.as_ref().is_none_or(|standing| remaining < standing.remaining) {
                        tightest = Some(Standing::new(rule, remaining, full_in));
                    }
                }
            }
        }
        Ok(tightest)
    }
}

/// How a client stands under its tightest limit.
#[derive(Debug)]
pub(crate) struct Standing {
    remaining: u64,
    limit: HeaderValue,
    policy: HeaderValue,
}

impl Standing {
    fn new(rule: &Rule, remaining: u64, reset: Nanos) -> Self {
        let limit = format!("\"{}\";r={remaining};t={}", rule.key.name(), seconds(reset));
        Self { remaining, limit: HeaderValue::try_from(limit).expect("names and numbers"), policy: rule.policy.clone() }
    }

    pub(crate) fn dress(&self, headers: &mut HeaderMap) {
        headers.insert(RATE_LIMIT, self.limit.clone());
        headers.insert(RATE_LIMIT_POLICY, self.policy.clone());
    }
}

/// Whole seconds, rounded up: whoever waits that long is let in.
fn seconds(nanos: Nanos) -> u64 {
    nanos.div_ceil(1_000_000_000).max(1)
}

/// What all clients have used.
pub(crate) struct Store {
    started: Instant,
    /// Keyed anew by each process: nobody can work out which clients share a bucket.
    hasher: RandomState,
    stripes: OnceLock<Box<[Stripe]>>,
}

/// A client, and up to when it has used its share. A hash of zero: nobody.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    who: u64,
    used: Nanos,
}

/// A part of the buckets, one after the other.
type Stripe = Mutex<Box<[Entry]>>;

impl Default for Store {
    fn default() -> Self {
        Self { started: Instant::now(), hasher: RandomState::new(), stripes: OnceLock::new() }
    }
}

impl Store {
    /// The client as a rule counts it; `None` where the rule does not apply.
    fn who(&self, rule: &Rule, headers: &HeaderMap, client: IpAddr) -> Option<u64> {
        let hash = match rule.key {
            Key::Route => self.hasher.hash_one(&rule.name),
            Key::Address => self.hasher.hash_one((&rule.name, network(client))),
            Key::Token => self.hasher.hash_one((&rule.name, headers.get(header::AUTHORIZATION)?.as_bytes())),
        };
        Some(hash.max(1))
    }

    fn count(&self, who: u64, rate: Rate) -> Decision {
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let stripes = self.stripes.get_or_init(|| {
            let part = || Mutex::new(vec![Entry::default(); BUCKETS / STRIPES * WAYS].into_boxed_slice());
            (0..STRIPES).map(|_| part()).collect()
        });
        let place = usize::try_from(who % BUCKETS as u64).unwrap_or_default();
        // A panic in here could only have left a count that is as good as any.
        let mut part = stripes[place % STRIPES].lock().unwrap_or_else(PoisonError::into_inner);
        let first = place / STRIPES * WAYS;
        count(&mut part[first..first + WAYS], who, rate, now)
    }
}

/// Counts in one bucket.
fn count(bucket: &mut [Entry], who: u64, rate: Rate, now: Nanos) -> Decision {
    let known = bucket.iter().position(|entry| entry.who == who);
    let used = known.map_or(0, |place| bucket[place].used);
    let (decision, used) = rate.decide(used, now);
    let place = known.or_else(|| bucket.iter().enumerate().min_by_key(|(_, entry)| entry.used).map(|(place, _)| place));
    if let Some(place) = place {
        bucket[place] = Entry { who, used };
    }
    decision
}

/// The part of an address that one client has: of IPv6 a household or server gets 64 bits for itself.
pub(crate) fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() >> 64 | 1 << 127,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn a_burst_passes_and_then_one_each_interval() {
        let rate = Rate::new(10, Duration::from_secs(10), 3);
        let mut used = 0;
        let mut ask = |now| {
            let (decision, next) = rate.decide(used, now);
            used = next;
            decision
        };
        let at = 100 * SECOND;
        assert_eq!(ask(at), Decision::Pass { remaining: 2, full_in: SECOND });
        assert_eq!(ask(at), Decision::Pass { remaining: 1, full_in: 2 * SECOND });
        assert_eq!(ask(at), Decision::Pass { remaining: 0, full_in: 3 * SECOND });
        assert_eq!(ask(at), Decision::Refuse { retry_in: SECOND });
        assert_eq!(ask(at + SECOND / 2), Decision::Refuse { retry_in: SECOND / 2 });
        assert_eq!(ask(at + SECOND), Decision::Pass { remaining: 0, full_in: 3 * SECOND });
        assert_eq!(
            ask(at + 100 * SECOND),
            Decision::Pass { remaining: 2, full_in: SECOND },
            "no more than the burst is saved"
        );
    }

    #[test]
    fn who_is_limited_stays_limited_however_many_pass_by() {
        let rate = Rate::new(1, Duration::from_mins(1), 5);
        let mut bucket = [Entry::default(); WAYS];
        while count(&mut bucket, 7, rate, SECOND) != (Decision::Refuse { retry_in: 60 * SECOND }) {}
        for stranger in 100..10_000 {
            count(&mut bucket, stranger, rate, 2 * SECOND);
        }
        assert_eq!(count(&mut bucket, 7, rate, 2 * SECOND), Decision::Refuse { retry_in: 59 * SECOND });
    }

    #[test]
    fn an_ipv6_client_is_its_network_and_a_mapped_address_is_ipv4() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("0.0.0.1"), network("::1"));
    }

    proptest! {
        /// In any window of `per`, however requests come, no more pass than the rate and one burst.
        #[test]
        fn never_more_than_the_rate_and_a_burst(
            requests in 1_u32..50, burst in 1_u32..50, gaps in prop::collection::vec(0_u64..SECOND, 1..300)
        ) {
            let rate = Rate::new(requests, Duration::from_secs(1), burst);
            let (mut used, mut now, mut passed) = (0, SECOND, Vec::new());
            for gap in gaps {
                now += gap;
                let (decision, next) = rate.decide(used, now);
                used = next;
                if matches!(decision, Decision::Pass { .. }) {
                    passed.push(now);
                }
            }
            for start in &passed {
                let within = passed.iter().filter(|at| (*start..start + SECOND).contains(at)).count();
                prop_assert!(within <= (requests + burst + 1) as usize, "{within}");
            }
        }

        /// Whoever waits as long as was said is let in.
        #[test]
        fn waiting_as_long_as_said_is_enough(requests in 1_u32..1_000, burst in 1_u32..100, asks in 1..300) {
            let rate = Rate::new(requests, Duration::from_secs(1), burst);
            let mut used = 0;
            for _ in 0..asks {
                let (decision, next) = rate.decide(used, SECOND);
                used = next;
                if let Decision::Refuse { retry_in } = decision {
                    let (then, _) = rate.decide(used, SECOND + retry_in);
                    prop_assert_ne!(then, Decision::Refuse { retry_in: 0 });
                    prop_assert!(!matches!(then, Decision::Refuse { retry_in: _ }), "{:?}", then);
                }
            }
        }
    }
}
