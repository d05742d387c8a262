//! One runner at a time for each database.

use sha2::{Digest, Sha256};

/// Takes the lock, with the key as `$1`, and gives a boolean: whether it was free. It belongs to the connection, not to a
/// transaction, which an index that is built concurrently would wait for; the runner asks again with a bound.
pub const TRY_LOCK: &str = "SELECT pg_catalog.pg_try_advisory_lock($1)";

/// Gives the lock back, with the key as `$1`. Closing the connection does as well.
pub const UNLOCK: &str = "SELECT pg_catalog.pg_advisory_unlock($1)";

/// The key of PostgreSQL's advisory lock for a service's database.
///
/// Advisory locks are per database already; the name tells services apart that share one, and what else uses such locks.
pub fn lock_key(database: &str) -> i64 {
    let digest: [u8; 32] = Sha256::new().chain_update("mana migrations of ").chain_update(database).finalize().into();
    let first_eight = digest.iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte));
    first_eight.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An old runner and a new one must exclude each other, so the keys never change.
    #[test]
    fn keys_are_stable_and_differ_by_name() {
        assert_eq!(lock_key("chat"), -6_118_249_815_445_303_126);
        assert_ne!(lock_key("chat"), lock_key("auth"));
    }
}
