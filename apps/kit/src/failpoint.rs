//! Places at which a test can let the process die, as a power cut would: `MANA_DIE_AT` says how many of them are passed
//! first. Programs built for release have none.

/// The variable that says at which place the process dies: the how-manieth that it comes to, counted from 1.
#[cfg(debug_assertions)]
const VARIABLE: &str = "MANA_DIE_AT";

/// A place; `name` is told on standard error by who dies here.
#[cfg(debug_assertions)]
pub fn here(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static DIE_AT: OnceLock<Option<u64>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let Some(die_at) = DIE_AT.get_or_init(|| std::env::var(VARIABLE).ok()?.parse().ok()) else { return };
    if PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *die_at {
        eprintln!("dies at {name:?}");
        // The real thing: no destructors, no flushing. It cannot fail for one's own process.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing, in programs built for release.
#[cfg(not(debug_assertions))]
#[inline]
pub fn here(_name: &str) {}
