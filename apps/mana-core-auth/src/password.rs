//! Passwords: what is accepted, and how they are hashed.
//!
//! Argon2id with at least OWASP's parameters ([`Hashing`]). Hashing is slow on purpose and takes memory, so it runs on a
//! bounded number of threads: logins can wait for each other, but never starve the rest of the service. A password whose
//! hash was made with lower parameters than today's is hashed anew when its owner signs in; until then a wrong one is answered
//! after today's work all the same, so that nobody can tell by the time which accounts there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use kit::Problem;
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::{self, Runtime};
use tokio::sync::{OnceCell, Semaphore};

use crate::settings::Hashing;

const LANES: u32 = 1;

/// What stands in the place of a hash where an account has no password: nobody's.
pub(crate) const NONE: &str = "!";

/// Longest wait for one's turn to hash; then 503.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// Shortest password, in characters.
const MIN_CHARS: usize = 8;

/// Longest password, in bytes: nothing is cut off, but nobody hashes megabytes.
const MAX_BYTES: usize = 1024;

/// The most common passwords of eight characters and more, the most common first, one a line; refused. Its head says where they
/// are from.
const COMMON: &str = include_str!("common_passwords.txt");

fn common() -> impl Iterator<Item = &'static str> {
    COMMON.lines().filter(|line| *line != "#" && !line.starts_with("# "))
}

/// Why a password is not accepted; `None` when it is.
pub(crate) fn fault(password: &str) -> Option<String> {
    if password.chars().count() < MIN_CHARS {
        return Some(format!("must have at least {MIN_CHARS} characters"));
    }
    if password.len() > MAX_BYTES {
        return Some(format!("must have at most {MAX_BYTES} bytes"));
    }
    let lower = password.to_lowercase();
    common().any(|common| common == lower).then(|| "is one of the most common passwords; choose another".into())
}

/// What a verification found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wrong,
    Right,
    /// Right, and its hash was made with other parameters than today's.
    RightButOld,
}

/// Hashes and verifies.
#[derive(Clone)]
pub(crate) struct Passwords {
    settings: Hashing,
    turns: Arc<Semaphore>,
    threads: Arc<Threads>,
    /// What an unknown account's password is verified against, so that both cases do the same work.
    dummy: Arc<OnceCell<String>>,
    calls: Arc<AtomicU64>,
}

/// Threads for hashing alone. The allocator keeps the memory of each thread that ever hashed for its next hash: with the
/// service's other threads in turn that would be 19 MiB for each of them.
struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        // A hash that runs at the end of the service is waited for by nobody.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn argon2(settings: &Hashing) -> Argon2<'static> {
    let params =
        Params::new(settings.memory_kib, settings.passes, LANES, None).expect("the settings are within bounds");
    argon2_of(params)
}

fn argon2_of(params: Params) -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash_now(settings: &Hashing, password: &[u8]) -> String {
    let hash = argon2(settings).hash_password(password);
    hash.expect("hashing fails only for want of memory or randomness").to_string()
}

impl Passwords {
    pub(crate) fn new(settings: Hashing) -> Self {
        let mut threads = runtime::Builder::new_current_thread();
        let threads = threads.max_blocking_threads(settings.at_once).thread_name("hashing").build();
        let threads = threads.expect("a runtime without I/O needs nothing from the system");
        Self {
            turns: Arc::new(Semaphore::new(settings.at_once)),
            threads: Arc::new(Threads(Some(threads))),
            dummy: Arc::default(),
            calls: Arc::default(),
            settings,
        }
    }

    /// The hash of a password, as stored.
    pub(crate) async fn hash(&self, password: SecretString) -> Result<String, Problem> {
        let settings = self.settings.clone();
        self.work(move || hash_now(&settings, password.expose_secret().as_bytes())).await
    }

    /// Whether the password is the stored one's. Without a stored one the same work is done, and the answer is no.
    pub(crate) async fn verify(&self, password: SecretString, stored: Option<&str>) -> Result<Verdict, Problem> {
        let stored = stored.filter(|stored| *stored != NONE).map(str::to_owned);
        let known = stored.is_some();
        let stored = match stored {
            Some(stored) => stored,
            None => self.dummy.get_or_try_init(|| self.first_dummy()).await?.clone(),
        };
        let (settings, calls) = (self.settings.clone(), Arc::clone(&self.calls));
        let verdict = self.work(move || {
            let (verdict, rest) = verify_now(&settings, &password, &stored);
            if let Some(rest) = rest {
                calls.fetch_add(1, Ordering::Relaxed);
                // For nothing but its time.
                drop(argon2_of(rest).hash_password(password.expose_secret().as_bytes()));
            }
            verdict
        });
        let verdict = verdict.await?;
        Ok(if known { verdict } else { Verdict::Wrong })
    }

    async fn first_dummy(&self) -> Result<String, Problem> {
        let settings = self.settings.clone();
        let dummy = self.work(move || hash_now(&settings, b"no account has this password")).await?;
        // It is made once, and none of anybody's work.
        self.calls.fetch_sub(1, Ordering::Relaxed);
        Ok(dummy)
    }

    /// How many hashes were made or compared.
    #[cfg(feature = "testing")]
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let busy = || Problem::unavailable("busy", "Too many sign-ins at the moment; try again shortly.");
        let turn = tokio::time::timeout(TURN_TIMEOUT, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
        self.calls.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("password_hashes_total").increment(1);
        let threads = self.threads.0.as_ref().expect("it is taken on drop only");
        let done = threads.spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        done.await.map_err(|error| Problem::internal(&error))
    }
}

/// What a password is, and, where it is wrong, what is left of today's work.
fn verify_now(settings: &Hashing, password: &SecretString, stored: &str) -> (Verdict, Option<Params>) {
    let hash = match PasswordHash::new(stored) {
        Ok(hash) => hash,
        Err(error) => {
            tracing::error!(%error, "a stored password hash cannot be read");
            return (Verdict::Wrong, None);
        }
    };
    let params = Params::try_from(&hash);
    if argon2(settings).verify_password(password.expose_secret().as_bytes(), &hash).is_err() {
        return (Verdict::Wrong, params.ok().and_then(|params| rest(settings, &params)));
    }
    let same = params.is_ok_and(|params| params.m_cost() >= settings.memory_kib && params.t_cost() >= settings.passes);
    (if same { Verdict::Right } else { Verdict::RightButOld }, None)
}

/// The parameters whose work, done beside that of a stored hash, is today's: Argon2's time goes with its memory times its passes over it. `None`
/// where nothing is left that could be measured.
fn rest(settings: &Hashing, stored: &Params) -> Option<Params> {
    let work = |memory_kib: u32, passes: u32| u64::from(memory_kib) * u64::from(passes);
    let today = work(settings.memory_kib, settings.passes);
    let left = today.checked_sub(work(stored.m_cost(), stored.t_cost()))?;
    let memory_kib = u32::try_from(left / u64::from(settings.passes)).ok()?;
    Params::new(memory_kib, settings.passes, LANES, None).ok()
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

    /// OWASP ASVS 5 asks for the 3000 most common that would be accepted otherwise.
    #[test]
    fn the_most_common_passwords_are_refused() {
        let all: Vec<&str> = common().collect();
        let once: std::collections::HashSet<&str> = all.iter().copied().collect();
        assert!(all.len() >= 9_000, "{}", all.len());
        assert_eq!(once.len(), all.len(), "each once");
        for common in &all {
            let accepted = common.chars().count() >= MIN_CHARS && **common == common.to_lowercase();
            assert!(accepted, "{common}: it is refused anyway, or never found");
        }
        for common in ["12345678", "1q2w3e4r5t", "Liverpool1", "q1w2e3r4t5", "qwertyuiop", "iloveyou", "#1stunna"] {
            assert!(fault(common).is_some_and(|fault| fault.contains("most common")), "{common}");
        }
        assert_eq!(fault("# Django's licence:"), None, "the head is none of them");
    }

    #[tokio::test]
    async fn nothing_of_a_password_is_cut_off() {
        let passwords = Passwords::new(Hashing::default());
        let long = "x".repeat(1000);
        let stored = passwords.hash(long.clone().into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        let verify = async |password: &str, stored: Option<&str>| {
            passwords.verify(password.to_owned().into(), stored).await.unwrap()
        };
        assert_eq!(verify(&long, Some(&stored)).await, Verdict::Right);
        assert_eq!(verify(&format!("{long}x"), Some(&stored)).await, Verdict::Wrong);
        assert_eq!(verify("no account has this password", None).await, Verdict::Wrong);
        assert_eq!(verify("no account has this password", Some(NONE)).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_hash_of_lower_parameters_is_right_but_old() {
        let (low, high) = (Hashing::default(), Hashing { passes: 3, ..Hashing::default() });
        let password = || "a good password".to_owned().into();
        let stored = Passwords::new(low.clone()).hash(password()).await.unwrap();
        let verdict = Passwords::new(high.clone()).verify(password(), Some(&stored)).await.unwrap();
        assert_eq!(verdict, Verdict::RightButOld);
        let stored = Passwords::new(high).hash(password()).await.unwrap();
        assert_eq!(Passwords::new(low).verify(password(), Some(&stored)).await.unwrap(), Verdict::Right);
    }

    #[test]
    fn what_is_left_of_todays_work_is_what_a_stored_hash_has_not_taken() {
        let work = |params: &Params| u64::from(params.m_cost()) * u64::from(params.t_cost());
        for (stored, today, left) in [
            ((19_456, 2), (19_456, 3), true),
            ((19_456, 2), (65_536, 4), true),
            ((47_104, 1), (19_456, 3), true),
            ((19_456, 2), (19_456, 2), false),
            ((19_456, 3), (19_456, 2), false),
            ((65_536, 1), (19_456, 2), false),
        ] {
            let case = format!("{stored:?} of {today:?}");
            let settings = Hashing { memory_kib: today.0, passes: today.1, ..Hashing::default() };
            let stored = Params::new(stored.0, stored.1, LANES, None).unwrap();
            let rest = rest(&settings, &stored);
            assert_eq!(rest.is_some(), left, "{case}");
            let Some(rest) = rest else { continue };
            let missing = u64::from(today.0) * u64::from(today.1) - work(&stored) - work(&rest);
            assert!(missing < u64::from(today.1), "{case}: {missing} KiB");
        }
    }

    #[tokio::test]
    async fn a_wrong_password_of_an_old_hash_is_answered_after_the_rest_of_todays_work() {
        let today = Hashing { passes: 3, ..Hashing::default() };
        let old = Passwords::new(Hashing::default()).hash("a good password".to_owned().into()).await.unwrap();
        let passwords = Passwords::new(today);
        let new = passwords.hash("a good password".to_owned().into()).await.unwrap();
        for (password, stored, verdict, calls) in [
            ("a wrong password", Some(&old), Verdict::Wrong, 2),
            ("a good password", Some(&old), Verdict::RightButOld, 1),
            ("a wrong password", Some(&new), Verdict::Wrong, 1),
            ("a wrong password", None, Verdict::Wrong, 1),
        ] {
            let before = passwords.calls.load(Ordering::Relaxed);
            let found = passwords.verify(password.to_owned().into(), stored.map(String::as_str)).await.unwrap();
            let done = passwords.calls.load(Ordering::Relaxed) - before;
            assert_eq!((found, done), (verdict, calls), "{password}, {stored:?}");
        }
    }
}
