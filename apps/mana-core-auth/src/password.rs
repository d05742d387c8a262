//! Passwords: what is accepted, and how they are hashed.
//!
//! Argon2id with at least OWASP's parameters. Hashing is slow on purpose and takes [`MEMORY_KIB`] each, so it runs on a
//! bounded number of threads: logins can wait for each other, but never starve the rest of the service.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use kit::Problem;
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::{self, Runtime};
use tokio::sync::Semaphore;

/// Memory of one hash (OWASP's minimum for t = 2, p = 1).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes at once: one a core of a small machine, 38 MiB in all.
const AT_ONCE: usize = 2;

/// Longest wait for one's turn to hash; then 503.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// Shortest password, in characters.
const MIN_CHARS: usize = 8;

/// Longest password, in bytes: nothing is cut off, but nobody hashes megabytes.
const MAX_BYTES: usize = 1024;

/// The most common passwords of eight characters and more; refused.
const COMMON: [&str; 24] = [
    "12345678",
    "123456789",
    "1234567890",
    "password",
    "password1",
    "password123",
    "qwertyui",
    "qwertyuiop",
    "11111111",
    "00000000",
    "iloveyou",
    "sunshine",
    "princess",
    "football",
    "baseball",
    "superman",
    "trustno1",
    "welcome1",
    "abc12345",
    "abcd1234",
    "1q2w3e4r",
    "passw0rd",
    "letmein1",
    "computer",
];

/// Why a password is not accepted; `None` when it is.
pub(crate) fn fault(password: &str) -> Option<String> {
    if password.chars().count() < MIN_CHARS {
        return Some(format!("must have at least {MIN_CHARS} characters"));
    }
    if password.len() > MAX_BYTES {
        return Some(format!("must have at most {MAX_BYTES} bytes"));
    }
    COMMON
        .contains(&password.to_lowercase().as_str())
        .then(|| "is one of the most common passwords; choose another".into())
}

/// Hashes and verifies.
#[derive(Clone)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
}

/// Threads for hashing alone. The allocator keeps the memory of each thread that ever hashed for its next hash: with the
/// service's other threads in turn that would be 19 MiB for each of them.
static THREADS: LazyLock<Runtime> = LazyLock::new(|| {
    let threads = runtime::Builder::new_current_thread().max_blocking_threads(AT_ONCE).thread_name("hashing").build();
    threads.expect("a runtime without I/O needs nothing from the system")
});

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are constants");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// What an unknown account's password is verified against, so that both cases do the same work.
static DUMMY: LazyLock<String> = LazyLock::new(|| hash_now(b"no account has this password"));

fn hash_now(password: &[u8]) -> String {
    argon2().hash_password(password).expect("hashing fails only for want of memory or randomness").to_string()
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The hash of a password, as stored.
    pub(crate) async fn hash(&self, password: SecretString) -> Result<String, Problem> {
        self.work(move || hash_now(password.expose_secret().as_bytes())).await
    }

    /// Whether the password is the stored one's. Without a stored one the same work is done, and the answer is no.
    pub(crate) async fn verify(&self, password: SecretString, stored: Option<String>) -> Result<bool, Problem> {
        self.work(move || {
            metrics::counter!("password_verifications_total").increment(1);
            let known = stored.is_some();
            let stored = stored.unwrap_or_else(|| DUMMY.clone());
            let matches = match PasswordHash::new(&stored) {
                Ok(hash) => argon2().verify_password(password.expose_secret().as_bytes(), &hash).is_ok(),
                Err(error) => {
                    tracing::error!(%error, "a stored password hash cannot be read");
                    false
                }
            };
            matches && known
        })
        .await
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let busy = || Problem::unavailable("busy", "Too many sign-ins at the moment; try again shortly.");
        let turn = tokio::time::timeout(TURN_TIMEOUT, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
        let done = THREADS.spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        done.await.map_err(|error| Problem::internal(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_say_what_is_allowed() {
        for (password, expected) in [
            ("1234567", Some("at least 8")),
            ("Password", Some("most common")),
            ("äöüß äöü", None),
            ("correct horse battery staple", None),
        ] {
            let fault = fault(password);
            assert!(
                expected.map_or(fault.is_none(), |part| fault.as_ref().is_some_and(|f| f.contains(part))),
                "{password}"
            );
        }
        assert!(fault(&"x".repeat(1024)).is_none());
        assert!(fault(&"x".repeat(1025)).is_some());
    }

    #[tokio::test]
    async fn nothing_of_a_password_is_cut_off() {
        let passwords = Passwords::new();
        let long = "x".repeat(1000);
        let stored = passwords.hash(long.clone().into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(passwords.verify(long.clone().into(), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify(format!("{long}x").into(), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify("no account has this password".to_owned().into(), None).await.unwrap());
    }
}
