//! Log lines of the two long-running commands, `mana edge` and `mana control`. All others speak to a person and log nothing.

use tracing_subscriber::EnvFilter;

/// Level where `MANA_LOG` says nothing.
const DEFAULT_LEVEL: &str = "info";

/// JSON lines on standard output, filtered by `MANA_LOG` (`warn`, `mana_edge=debug`, …).
pub(crate) fn to_stdout() {
    let filter = EnvFilter::try_from_env("MANA_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT_LEVEL));
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).with_writer(std::io::stdout).init();
}
