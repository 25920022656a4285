use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher as _, Hash, Hasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// What makes two requests the same: who asks, and every byte. A map compares it in full, so two
/// that only share a hash are never taken for one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Of all the rest, made once: a request may be of several megabytes, and maps have locks around them.
    hash: u64,
    tenant: Option<Arc<str>>,
    request: Bytes,
}

impl Key {
    pub(super) fn new(random: &RandomState, tenant: Option<Arc<str>>, request: Bytes) -> Self {
        let hash = random.hash_one((&tenant, &request));
        Self {
            hash,
            tenant,
            request,
        }
    }

    /// One that holds on to no larger buffer.
    pub(super) fn copied(&self) -> Self {
        Self {
            request: Bytes::copy_from_slice(&self.request),
            ..self.clone()
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) extensions: http::Extensions,
    pub(super) body: Bytes,
    pub(super) since: Instant,
}

/// Answers by request, of a bounded size and age. The oldest go first.
#[derive(Debug)]
pub(super) struct Store {
    answers: HashMap<Key, (u64, Arc<Kept>)>,
    /// In the order in which they were kept; one whose number is not that of its answer is gone.
    order: VecDeque<(u64, Key)>,
    next: u64,
    bytes: usize,
    max_bytes: usize,
    ttl: Duration,
}

/// What an entry takes beside its bytes.
const OVERHEAD: usize = 512;

impl Store {
    pub(super) fn new(max_bytes: usize, ttl: Duration) -> Self {
        Self {
            answers: HashMap::new(),
            order: VecDeque::new(),
            next: 0,
            bytes: 0,
            max_bytes,
            ttl,
        }
    }

    pub(super) fn find(&self, key: &Key, now: Instant) -> Option<Arc<Kept>> {
        let (_, kept) = self.answers.get(key)?;
        let fresh = now.saturating_duration_since(kept.since) < self.ttl;
        fresh.then(|| Arc::clone(kept))
    }

    pub(super) fn keep(&mut self, key: Key, kept: Kept) {
        let now = kept.since;
        let size = size(&key, &kept);
        if size > self.max_bytes {
            return;
        }
        self.forget(&key);
        self.next += 1;
        self.bytes += size;
        self.order.push_back((self.next, key.clone()));
        self.answers.insert(key, (self.next, Arc::new(kept)));
        while let Some((number, key)) = self.order.front() {
            let live = self.answers.get(key).filter(|(of, _)| of == number);
            let old = |kept: &Kept| now.saturating_duration_since(kept.since) >= self.ttl;
            match live {
                Some((_, kept)) if self.bytes <= self.max_bytes && !old(kept) => break,
                Some(_) => {
                    let key = key.clone();
                    self.forget(&key);
                }
                None => {}
            }
            self.order.pop_front();
        }
        // One answer that is renewed behind an older one leaves its former places in the middle.
        if self.order.len() > 2 * self.answers.len() + 16 {
            let answers = &self.answers;
            self.order
                .retain(|(number, key)| answers.get(key).is_some_and(|(of, _)| of == number));
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some((_, kept)) = self.answers.remove(key) {
            self.bytes -= size(key, &kept);
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.answers.len(), self.order.len())
    }
}

fn size(key: &Key, kept: &Kept) -> usize {
    OVERHEAD + key.request.len() + kept.body.len()
}
