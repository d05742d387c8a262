//! What commands print, as pure functions: values in, lines out. No clock, no terminal, no file: whoever calls says what
//! time it is, how wide the screen is and whether to paint.

pub(crate) mod addresses;
pub(crate) mod failures;
pub(crate) mod log_line;
pub(crate) mod progress;
pub(crate) mod release;
pub(crate) mod rollout;
pub(crate) mod scan;
pub(crate) mod status;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod timeline;
pub(crate) mod top;
pub(crate) mod units;
