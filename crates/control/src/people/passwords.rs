//! Passwords: what is accepted, and how they are hashed.
//!
//! Argon2id with OWASP's parameters. Hashing is slow on purpose and takes [`MEMORY_KIB`], so one is hashed at a time, on a
//! thread for that alone, and only so many wait: who logs in never starves the control plane.
//!
//! Of the parameters that OWASP holds for equal, those with the most memory and one pass: pieces of more than 32 MiB go back
//! to the system at once, while the allocator keeps smaller ones for each thread that ever had one.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::{self, Runtime};
use tokio::sync::Semaphore;

/// Memory of one hash, for as long as it takes.
const MEMORY_KIB: u32 = 46 * 1024;
const PASSES: u32 = 1;
// Or it would stay with the process: 19 MiB for each thread that ever hashed, where it was that much.
const _: () = assert!(MEMORY_KIB > 32 * 1024);
const LANES: u32 = 1;
/// Hashes at once. A team logs in one after the other; two would take twice the memory.
const AT_ONCE: usize = 1;
/// Who may wait for a turn, with whoever has it. One takes some 40 ms.
const MOST_WAITING: usize = 32;
/// The thread ends so long after the last hash.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Shortest password, in characters: these accounts stand before production.
const MIN_CHARS: usize = 12;
/// Longest password, in bytes: nothing is cut off, but nobody hashes megabytes.
const MAX_BYTES: usize = 1024;
/// How many different characters are no repetition.
const MIN_DIFFERENT: usize = 5;

/// What an unknown operator's password is verified against, so that both cases do the same work: a hash of the same
/// parameters that belongs to no password known to anybody.
const NOBODYS: &str =
    "$argon2id$v=19$m=47104,t=1,p=1$bm9ib2R5IGhhcyB0aGlzIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// So many want to log in that this one is not waited for.
#[derive(Debug, thiserror::Error)]
#[error("more passwords are to be checked than can be now; try again in a moment")]
pub(crate) struct Busy;

/// Why a password is not accepted for an operator of that name; `None` when it is.
pub(crate) fn fault(password: &str, name: &str) -> Option<String> {
    let characters: std::collections::BTreeSet<char> = password.to_lowercase().chars().collect();
    if password.chars().count() < MIN_CHARS {
        return Some(format!(
            "A password has at least {MIN_CHARS} characters; a few words in a row are easy to keep in mind."
        ));
    }
    if password.len() > MAX_BYTES {
        return Some(format!("A password has at most {MAX_BYTES} bytes."));
    }
    if characters.len() < MIN_DIFFERENT {
        return Some("This password is the same few characters over and over; choose another.".to_owned());
    }
    let told = password.to_lowercase().replace(&name.to_lowercase(), "");
    (told.chars().count() < MIN_CHARS / 2)
        .then(|| "This password is hardly more than your name; choose another.".to_owned())
}

/// Hashes and verifies.
#[derive(Debug, Clone)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// The thread for hashing alone.
static THREADS: LazyLock<Runtime> = LazyLock::new(|| {
    let threads = runtime::Builder::new_current_thread()
        .max_blocking_threads(AT_ONCE)
        .thread_keep_alive(KEEP_ALIVE)
        .thread_name("hashing")
        .build();
    threads.expect("a runtime without I/O needs nothing from the system")
});

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are constants");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), waiting: Arc::new(Semaphore::new(MOST_WAITING)) }
    }

    /// The hash of a password, as kept.
    pub(crate) async fn hash(&self, password: SecretString) -> Result<String, Busy> {
        let hash = move || match argon2().hash_password(password.expose_secret().as_bytes()) {
            Ok(hash) => Some(hash.to_string()),
            Err(error) => {
                tracing::error!(%error, "a password cannot be hashed");
                None
            }
        };
        self.work(hash).await?.ok_or(Busy)
    }

    /// Whether the password is the kept one's. Without a kept one the same work is done, and the answer is no.
    pub(crate) async fn verify(&self, password: SecretString, kept: Option<String>) -> Result<bool, Busy> {
        self.work(move || {
            let known = kept.is_some();
            let matches = match PasswordHash::new(kept.as_deref().unwrap_or(NOBODYS)) {
                Ok(hash) => argon2().verify_password(password.expose_secret().as_bytes(), &hash).is_ok(),
                Err(error) => {
                    tracing::error!(%error, "a kept password hash cannot be read");
                    false
                }
            };
            matches && known
        })
        .await
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| Busy)?;
        // A bounded number is before this one, each for some milliseconds.
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Busy)?;
        let done = THREADS.spawn_blocking(move || {
            let result = work();
            drop((turn, waiting));
            result
        });
        done.await.map_err(|error| {
            tracing::error!(%error, "hashing failed");
            Busy
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_say_what_is_accepted() {
        for (password, expected) in [
            ("short", Some("at least 12")),
            ("aaaaaaaaaaaaaaaa", Some("over and over")),
            ("ada.lovelaceADA", Some("your name")),
            ("äöüß äöü äöü", None),
            ("correct horse battery staple", None),
        ] {
            let fault = fault(password, "ada.lovelace");
            let good = expected.map_or(fault.is_none(), |part| fault.as_ref().is_some_and(|f| f.contains(part)));
            assert!(good, "{password}: {fault:?}");
        }
        let long = |bytes| "abcdefgh".chars().cycle().take(bytes).collect::<String>();
        assert_eq!(fault(&long(MAX_BYTES), "ada"), None);
        assert!(fault(&long(MAX_BYTES + 1), "ada").is_some());
    }

    #[tokio::test]
    async fn nothing_of_a_password_is_cut_off_and_an_unknown_one_costs_the_same_work() {
        let passwords = Passwords::new();
        let long = "x".repeat(1000);
        let kept = passwords.hash(long.clone().into()).await.expect("hashed");
        assert!(kept.starts_with("$argon2id$v=19$m=47104,t=1,p=1$"), "{kept}");
        assert!(passwords.verify(long.clone().into(), Some(kept.clone())).await.expect("verified"));
        assert!(!passwords.verify(format!("{long}x").into(), Some(kept.clone())).await.expect("verified"));
        assert!(!passwords.verify(long.into(), None).await.expect("verified"));
        let (one, other) = (PasswordHash::new(&kept).expect("parsed"), PasswordHash::new(NOBODYS).expect("parsed"));
        assert_eq!((one.algorithm, &one.params, one.version), (other.algorithm, &other.params, other.version));
        assert_eq!(one.hash.expect("there").len(), other.hash.expect("there").len());
    }

    #[tokio::test]
    async fn only_so_many_wait() {
        let passwords = Passwords::new();
        let all = (0..=MOST_WAITING).map(|_| passwords.work(|| ()));
        let answers = futures_util::future::join_all(all).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 1);
        assert!(passwords.work(|| ()).await.is_ok(), "there is room again");
    }
}
