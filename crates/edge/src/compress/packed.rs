//! Compressed forms of a kept body: made for the first who asks, given to all others.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::Coding;

/// See the module's page. Has a bound, which whoever keeps the body counts as taken from the beginning.
#[derive(Debug)]
pub(crate) struct Packed {
    forms: [OnceLock<Bytes>; Coding::COUNT],
    left: AtomicUsize,
}

impl Packed {
    /// Forms that take no more than this, all together.
    pub(crate) fn within(bytes: usize) -> Self {
        Self { forms: Default::default(), left: AtomicUsize::new(bytes) }
    }

    pub(super) fn get(&self, coding: Coding) -> Option<Bytes> {
        self.forms[coding as usize].get().cloned()
    }

    /// Bytes that a further form may have.
    pub(super) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// Keeps a form, where there is room for it.
    pub(super) fn keep(&self, coding: Coding, form: &Bytes) {
        let take = |left: usize| left.checked_sub(form.len());
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
            && self.forms[coding as usize].set(form.clone()).is_err()
        {
            // Another thread made the same meanwhile.
            self.left.fetch_add(form.len(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_kept_as_far_as_there_is_room() {
        let packed = Packed::within(10);
        let form = Bytes::from_static(b"123456");
        packed.keep(Coding::Gzip, &form);
        packed.keep(Coding::Gzip, &form);
        packed.keep(Coding::Zstd, &form);
        assert_eq!((packed.get(Coding::Gzip), packed.get(Coding::Zstd), packed.left()), (Some(form), None, 4));
    }
}
