//! Places where tests let the process die, to see what is left behind. In release builds there are none.

/// Every step of an answer at whose end the process can be killed, in their order: `CHAT_FAILPOINT` names one.
#[cfg(debug_assertions)]
#[doc(hidden)]
pub const FAILPOINTS: [&str; 9] =
    ["claimed", "budget held", "reserved", "answered", "delivered", "written", "stored", "settled", "released"];

/// Dies here, if this is the place.
#[cfg(debug_assertions)]
pub(crate) fn at(step: &'static str) {
    static CHOSEN: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var("CHAT_FAILPOINT").ok());
    debug_assert!(FAILPOINTS.contains(&step), "{step} is missing in the list");
    if CHOSEN.as_deref() == Some(step) {
        // Nothing is flushed, closed or told to anybody.
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
pub(crate) const fn at(_: &'static str) {}
