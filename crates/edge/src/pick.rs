//! Which instance a request goes to: the slot by weight, the instance by how busy, fast and well it is.
//!
//! Invariant: whatever is picked stands in the view it was picked from, in a slot with a positive weight.

use std::rc::Rc;

use crate::pool::Upstream;
use crate::table::Slots;
use crate::ticker::Millis;
use crate::view::RouteView;
use crate::{balance, clock, outlier};

/// A slot and an instance in it.
#[derive(Clone)]
pub(crate) struct Choice {
    pub(crate) slot: usize,
    pub(crate) upstream: Rc<Upstream>,
}

/// The instance of a new request: of the slot that its client's place is in, or of the next one; `None` when no weighted slot has one.
pub(crate) fn first(slots: &Slots, view: &RouteView, place: Option<u64>, now: Millis) -> Option<Choice> {
    let slot = match place {
        Some(place) => slots.sequence.at(place)?,
        None => slots.sequence.next()?,
    };
    let slot = usize::from(slot);
    best(view, slot, None, now)
}

/// Another instance, when `failed` could not be reached or broke off: of the slot named alike, or else of another one, as they
/// get traffic now. The view may be a later one than `failed` was picked from.
pub(crate) fn other(
    slots: &Slots,
    view: &RouteView,
    slot_name: &str,
    failed: &Rc<Upstream>,
    now: Millis,
) -> Option<Choice> {
    let alike = |slot: &usize| &*slots.slots[*slot].name == slot_name;
    let (same, others): (Vec<_>, Vec<_>) = slots.sequence.slots().map(usize::from).partition(alike);
    same.into_iter().chain(others).find_map(|slot| best(view, slot, Some(failed), now))
}

/// The better one of two instances of a slot, drawn by chance from those that are not ejected: nearly as good as the best of
/// all, and it does not send everyone to the same one.
fn best(view: &RouteView, slot: usize, except: Option<&Rc<Upstream>>, now: Millis) -> Option<Choice> {
    let upstreams = view.slots[slot].upstreams.as_slice();
    if let ([only], None) = (upstreams, except) {
        return Some(Choice { slot, upstream: Rc::clone(only) });
    }
    let out = upstreams.iter().filter(|upstream| upstream.is_out(now)).count();
    let heeded = outlier::heeded(out, upstreams.len());
    let may = |upstream: &&Rc<Upstream>| {
        let is_other = except.is_none_or(|except| !Rc::ptr_eq(upstream, except));
        is_other && (!heeded || upstream.takes(now))
    };
    let any = |upstream: &&Rc<Upstream>| except.is_none_or(|except| !Rc::ptr_eq(upstream, except));
    let drawn = two(upstreams.iter().filter(may)).or_else(|| two(upstreams.iter().filter(any)))?;
    let upstream = match drawn {
        (one, Some(other)) if balance::compare(other.load(), one.load(), now).is_lt() => other,
        (one, _) => one,
    };
    Some(Choice { slot, upstream: Rc::clone(upstream) })
}

/// Two different ones by chance, or the only one.
fn two<'a>(upstreams: impl Iterator<Item = &'a Rc<Upstream>>) -> Option<(&'a Rc<Upstream>, Option<&'a Rc<Upstream>>)> {
    let (mut first, mut second) = (None, None);
    // Each is kept with the chance that it has among those seen so far (reservoir sampling, of two).
    for (seen, upstream) in (1_u64..).zip(upstreams) {
        let place = clock::random() % seen;
        if place == 0 {
            second = first.replace(upstream);
        } else if place == 1 || second.is_none() {
            second = Some(upstream);
        }
    }
    Some((first?, second))
}
