//! Which instance a request goes to: the slot by weight, the instance by how busy it is.
//!
//! Invariant: whatever is picked stands in the view it was picked from, in a slot with a positive weight.

use std::rc::Rc;

use crate::pool::Upstream;
use crate::table::Slots;
use crate::view::RouteView;

/// A slot and an instance in it.
#[derive(Clone)]
pub(crate) struct Choice {
    pub(crate) slot: usize,
    pub(crate) upstream: Rc<Upstream>,
}

/// The instance of a new request; `None` when no weighted slot has one.
pub(crate) fn first(slots: &Slots, view: &RouteView) -> Option<Choice> {
    let slot = usize::from(slots.sequence.next()?);
    least_busy(view, slot, None)
}

/// Another instance, when no connection to `failed` could be opened: of the same slot, or else of another one that
/// gets traffic too.
pub(crate) fn other(slots: &Slots, view: &RouteView, failed: &Choice) -> Option<Choice> {
    let others = slots.sequence.slots().map(usize::from).filter(|slot| *slot != failed.slot);
    std::iter::once(failed.slot).chain(others).find_map(|slot| least_busy(view, slot, Some(&failed.upstream)))
}

/// The instance of a slot with the fewest requests of this thread; equals take turns.
fn least_busy(view: &RouteView, slot: usize, except: Option<&Rc<Upstream>>) -> Option<Choice> {
    let slot_view = &view.slots[slot];
    let upstreams = slot_view.upstreams.as_slice();
    if let ([only], None) = (upstreams, except) {
        return Some(Choice { slot, upstream: Rc::clone(only) });
    }
    let turn = slot_view.turn.get();
    if except.is_none() {
        // Only first choices take turns: a second one would else put the next request on the failed instance again.
        slot_view.turn.set(turn.wrapping_add(1));
    }
    let (before, from) = upstreams.split_at(turn % upstreams.len().max(1));
    from.iter()
        .chain(before)
        .filter(|upstream| except.is_none_or(|except| !Rc::ptr_eq(upstream, except)))
        .min_by_key(|upstream| upstream.outstanding())
        .map(|upstream| Choice { slot, upstream: Rc::clone(upstream) })
}
