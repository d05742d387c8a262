//! A disk that a build has filled.

use std::path::Path;

use crate::event::Events;
use crate::job;
use crate::source::Checkout;

/// Less room than this is why a build failed that failed.
const LITTLE_BYTES: u64 = 64 << 20;

/// Says so where the disk is full: the message of a compiler that could not write is easily missed.
pub(super) fn little(folder: &Path) -> Option<String> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    (free < LITTLE_BYTES)
        .then(|| format!("; there are only {} left on the disk of {}", job::size(free), folder.display()))
}

/// Where something failed on a full disk, what it has left there goes: it may be all that there is no room for, and without room nobody can
/// even write down that it failed. Caches go last; they are made again.
pub(crate) async fn make(checkout: &Checkout, events: &Events) {
    for caches in [false, true] {
        if little(checkout.folder()).is_none() {
            return;
        }
        let what = if caches { "caches of builds were" } else { "what was left in the checkout was" };
        match checkout.clear(caches).await {
            Ok(()) => events.note(format!("there is little room on the disk: {what} removed")).await,
            Err(error) => {
                events.note(format!("what was left in the checkout cannot be removed: {error}")).await;
                return;
            }
        }
    }
}
