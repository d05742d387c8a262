//! What is kept, within bounds of bytes and objects, and who is on the way to fetch what.
//!
//! Shards with a lock each, held for a look or a change, never while anything is waited for. What has to go is found by the
//! clock algorithm: a queue in order of arrival, in which what was asked for since it last came up gets another round.
//!
//! Invariants: the bytes and objects of a shard never exceed its share. What was forgotten while an answer was on its way is
//! not brought back by it: `changes` has grown, and [`Lead::keep`] sees that.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::HeaderMap;

use super::Asked;
use super::entry::Entry;
use super::flight::{Flight, Outcome};
use super::rules::Verdict;
use crate::metrics::CacheFacts;
use crate::table::Limits;

const SHARDS: usize = 16;

/// Answers kept for one host, path and query: `Vary` and its like.
const MAX_VARIANTS: usize = 8;

#[derive(Debug)]
pub(crate) struct Store {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    /// Keys that are known, so that an unused cache costs a load.
    places: AtomicUsize,
    bytes: AtomicUsize,
    objects: AtomicUsize,
    evictions: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    places: HashMap<Arc<str>, Place>,
    /// In order of arrival; what is gone is skipped.
    queue: VecDeque<(Arc<str>, u64)>,
    bytes: usize,
    objects: usize,
    changes: u64,
}

#[derive(Debug, Default)]
struct Place {
    variants: Vec<Arc<Entry>>,
    flight: Option<Arc<Flight>>,
}

/// What is there for a request.
pub(crate) enum Look {
    /// An answer.
    Hit(Arc<Entry>),
    /// An answer that is stale, and the task to fetch a newer one, unless somebody does already.
    Stale(Arc<Entry>, Option<Lead>),
    /// Nothing, or something to be confirmed: go and fetch it.
    Lead(Lead, Option<Arc<Entry>>),
    /// Somebody fetches it.
    Wait(Arc<Flight>),
    /// Nothing, and what comes back will not be kept.
    Pass,
}

/// The task to fetch an answer; whoever waits for it is told when this is dropped.
pub(crate) struct Lead {
    store: Arc<Store>,
    key: Arc<str>,
    flight: Option<Arc<Flight>>,
    changes: u64,
    outcome: Outcome,
}

/// What is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purge {
    All,
    /// With any query.
    Path(String),
    /// All paths that begin so.
    Prefix(String),
    Tag(String),
}

impl Default for Store {
    fn default() -> Self {
        Self {
            shards: Default::default(),
            hasher: RandomState::new(),
            places: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            objects: AtomicUsize::new(0),
            evictions: AtomicU64::new(0),
        }
    }
}

impl Store {
    /// For metrics.
    pub(crate) fn facts(&self) -> CacheFacts {
        CacheFacts {
            bytes: self.bytes.load(Ordering::Relaxed),
            objects: self.objects.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
        }
    }

    /// Whether nothing is kept and nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.places.load(Ordering::Relaxed) == 0
    }

    /// A number for what is asked for, that nobody outside can guess.
    pub(super) fn hash(&self, of: impl std::hash::Hash) -> u64 {
        self.hasher.hash_one(of)
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, Shard> {
        let index = usize::try_from(self.hash(key) % SHARDS as u64).unwrap_or(0);
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn look(self: &Arc<Self>, asked: &Asked, request: &HeaderMap, now: Instant) -> Look {
        let mut shard = self.shard(&asked.key);
        let changes = shard.changes;
        let place = shard.places.get(&asked.key);
        let known = place.as_ref().and_then(|place| place.variants.iter().find(|entry| entry.suits(asked, request)));
        let known = known.map(Arc::clone);
        let verdict = known.as_ref().map(|entry| entry.lifetime.verdict(entry.since(now), &asked.wants));
        if let Some(entry) = &known {
            entry.used.store(true, Ordering::Relaxed);
            if verdict == Some(Verdict::Yes) || entry.stands_in(now) {
                return Look::Hit(Arc::clone(entry));
            }
        }
        let lead = |flight| Lead {
            store: Arc::clone(self),
            key: Arc::clone(&asked.key),
            flight,
            changes,
            outcome: Outcome::Failed,
        };
        if known.is_none() && asked.partial {
            return Look::Pass;
        }
        if known.is_none() && asked.credentialed {
            // It is likely to be for this client alone: nobody should wait for it.
            return Look::Lead(lead(None), None);
        }
        let under_way = place.as_ref().and_then(|place| place.flight.clone());
        let go = under_way.is_none().then(|| {
            let flight = Arc::<Flight>::default();
            self.place(&mut shard, &asked.key).flight = Some(Arc::clone(&flight));
            lead(Some(flight))
        });
        match (known, go, under_way) {
            (Some(entry), go, _) if verdict == Some(Verdict::Meanwhile) => Look::Stale(entry, go),
            (known, Some(go), _) => Look::Lead(go, known),
            (_, None, Some(flight)) => Look::Wait(flight),
            (_, None, None) => unreachable!("somebody goes, or nobody has to"),
        }
    }

    /// Forgets all that is kept for a key, and does not keep what is on its way.
    pub(super) fn forget(&self, key: &str) {
        let mut shard = self.shard(key);
        shard.changes += 1;
        let variants = shard.places.get_mut(key).map(|place| std::mem::take(&mut place.variants)).unwrap_or_default();
        self.gone(&mut shard, &variants);
        self.tidy(&mut shard, key);
    }

    /// Forgets what is kept for a host. Says how many answers that were.
    pub(crate) fn purge(&self, host: &str, what: &Purge) -> usize {
        let mut count = 0;
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.changes += 1;
            let mut removed = Vec::new();
            let mut empty = Vec::new();
            for (key, place) in &mut shard.places {
                let Some(target) = key.strip_prefix(host).filter(|target| target.starts_with('/')) else { continue };
                let path = target.split('?').next().unwrap_or_default();
                removed.extend(place.variants.extract_if(.., |entry| match what {
                    Purge::All => true,
                    Purge::Path(wanted) => path == wanted,
                    Purge::Prefix(wanted) => path.starts_with(wanted.as_str()),
                    Purge::Tag(tag) => entry.tags.iter().any(|own| **own == **tag),
                }));
                empty.push(Arc::clone(key));
            }
            self.gone(&mut shard, &removed);
            for key in empty {
                self.tidy(&mut shard, &key);
            }
            count += removed.len();
        }
        count
    }

    fn gone(&self, shard: &mut Shard, entries: &[Arc<Entry>]) {
        let bytes = entries.iter().map(|entry| entry.cost()).sum::<usize>();
        shard.bytes -= bytes;
        shard.objects -= entries.len();
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.objects.fetch_sub(entries.len(), Ordering::Relaxed);
    }

    /// Removes a place that holds nothing.
    fn tidy(&self, shard: &mut Shard, key: &str) {
        if shard.places.get(key).is_some_and(|place| place.variants.is_empty() && place.flight.is_none()) {
            shard.places.remove(key);
            self.places.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Makes room; what is too large for all of it has none.
    fn make_room(&self, shard: &mut Shard, bytes: usize, limits: &Limits) -> bool {
        let max_bytes = limits.max_cache_bytes / SHARDS;
        let max_objects = (limits.max_cache_objects / SHARDS).max(1);
        if bytes > max_bytes {
            return false;
        }
        while shard.bytes + bytes > max_bytes || shard.objects + 1 > max_objects {
            let Some((key, id)) = shard.queue.pop_front() else { return false };
            let Some(place) = shard.places.get_mut(&key) else { continue };
            let Some(at) = place.variants.iter().position(|entry| entry.id == id) else { continue };
            if place.variants[at].used.swap(false, Ordering::Relaxed) {
                shard.queue.push_back((key, id));
                continue;
            }
            let evicted = place.variants.remove(at);
            self.evictions.fetch_add(1, Ordering::Relaxed);
            self.gone(shard, &[evicted]);
            self.tidy(shard, &key);
        }
        true
    }

    /// The place for a key, made if there is none.
    fn place<'a>(&self, shard: &'a mut Shard, key: &Arc<str>) -> &'a mut Place {
        shard.places.entry(Arc::clone(key)).or_insert_with(|| {
            self.places.fetch_add(1, Ordering::Relaxed);
            Place::default()
        })
    }

    fn insert(&self, shard: &mut Shard, key: &Arc<str>, entry: &Arc<Entry>, limits: &Limits) -> bool {
        let older: Vec<_> = match shard.places.get_mut(key) {
            Some(place) => place.variants.extract_if(.., |other| other.is_replaced_by(entry)).collect(),
            None => Vec::new(),
        };
        self.gone(shard, &older);
        let cost = entry.cost();
        if !self.make_room(shard, cost, limits) {
            self.tidy(shard, key);
            return false;
        }
        let place = self.place(shard, key);
        let dropped = (place.variants.len() == MAX_VARIANTS).then(|| place.variants.remove(0));
        place.variants.push(Arc::clone(entry));
        if let Some(dropped) = dropped {
            self.gone(shard, &[dropped]);
        }
        shard.bytes += cost;
        shard.objects += 1;
        self.bytes.fetch_add(cost, Ordering::Relaxed);
        self.objects.fetch_add(1, Ordering::Relaxed);
        shard.queue.push_back((Arc::clone(key), entry.id));
        shard.compact();
        true
    }
}

impl Shard {
    /// What was replaced leaves its place in the queue behind: it must not grow for ever.
    fn compact(&mut self) {
        /// Below that it is not worth the walk.
        const SMALL: usize = 64;
        if self.queue.len() > SMALL + 2 * self.objects {
            let places = &self.places;
            self.queue.retain(|(key, id)| {
                places.get(key).is_some_and(|place| place.variants.iter().any(|entry| entry.id == *id))
            });
        }
    }
}

impl Lead {
    /// Keeps an answer, unless it was declared out of date while it was on its way.
    pub(super) fn keep(&mut self, entry: &Arc<Entry>, limits: &Limits) -> bool {
        let store = Arc::clone(&self.store);
        let mut shard = store.shard(&self.key);
        if shard.changes != self.changes {
            return false;
        }
        let kept = store.insert(&mut shard, &self.key, entry, limits);
        self.outcome = if kept { Outcome::Kept } else { Outcome::Unfit };
        kept
    }

    /// The answer is for nobody else: what was kept in its place is out of date, too.
    pub(super) fn unfit(&mut self, replaced: Option<&Arc<Entry>>) {
        self.outcome = Outcome::Unfit;
        let Some(replaced) = replaced else { return };
        let mut shard = self.store.shard(&self.key);
        let Some(place) = shard.places.get_mut(&self.key) else { return };
        let removed: Vec<_> = place.variants.extract_if(.., |entry| entry.id == replaced.id).collect();
        self.store.gone(&mut shard, &removed);
    }

    /// What is there will do for the others, too.
    pub(super) fn look_again(&mut self) {
        self.outcome = Outcome::Kept;
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let Some(flight) = self.flight.take() else { return };
        {
            let mut shard = self.store.shard(&self.key);
            if let Some(place) = shard.places.get_mut(&self.key) {
                place.flight = None;
            }
            self.store.tidy(&mut shard, &self.key);
        }
        flight.end(self.outcome);
    }
}
