//! The figures of accounts that a person may want to change, each an environment variable.
//!
//! To add one: a field with its default, and a line in the `read` of its struct with its bounds.

use std::time::Duration;

use kit::config::{Env, Error};

pub(crate) const DAY: Duration = Duration::from_hours(24);

/// Tokens and the keys that sign them.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    /// `ACCESS_TOKEN_TTL`: how long an access token lives.
    pub(crate) access_ttl: Duration,
    /// `REFRESH_TOKEN_TTL`: how long a refresh token lives.
    pub(crate) refresh_ttl: Duration,
    /// `REFRESH_GRACE`: for so long a used refresh token gives its successor again, since two tabs ask at once.
    pub(crate) refresh_grace: Duration,
    /// `SIGNING_KEY_AGE`: how long a key signs before the next one does.
    pub(crate) key_age: Duration,
    /// `SIGNING_KEY_LEAD`: how long a key is published before it signs.
    pub(crate) key_lead: Duration,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            access_ttl: Duration::from_mins(15),
            refresh_ttl: 7 * DAY,
            refresh_grace: Duration::from_secs(10),
            key_age: 90 * DAY,
            key_lead: Duration::from_mins(15),
        }
    }
}

impl Tokens {
    /// How long a session goes on without being used: until the last token that it gave has expired.
    pub(crate) fn session_ttl(&self) -> Duration {
        self.refresh_ttl.max(self.access_ttl)
    }

    pub(crate) fn read(env: &Env) -> Result<Self, Error> {
        let mut it = Self::default();
        duration(env, "ACCESS_TOKEN_TTL", &mut it.access_ttl, Duration::from_secs(30), DAY)?;
        duration(env, "REFRESH_TOKEN_TTL", &mut it.refresh_ttl, Duration::from_mins(1), 400 * DAY)?;
        duration(env, "REFRESH_GRACE", &mut it.refresh_grace, Duration::ZERO, Duration::from_mins(1))?;
        duration(env, "SIGNING_KEY_AGE", &mut it.key_age, DAY, 400 * DAY)?;
        // Longer than any instance takes to read the rows anew, and than services keep the published keys.
        duration(env, "SIGNING_KEY_LEAD", &mut it.key_lead, Duration::from_mins(10), DAY)?;
        Ok(it)
    }
}

/// What bounds guessing and asking.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// `LOGIN_FAILURES`: failures of one account from one address before further tries are refused.
    pub(crate) login_failures: u64,
    /// `LOGIN_FAILURES_PER_ACCOUNT`: the same from all addresses together that have never signed in to it.
    pub(crate) login_failures_per_account: u64,
    /// `LOGIN_WINDOW`: over which time they are counted, and for how long tries are refused at the most.
    pub(crate) login_window: Duration,
    /// `REQUESTS_PER_MINUTE`: of one client address, on what can be called without a token.
    pub(crate) requests_per_minute: u64,
    /// `LETTERS_PER_HOUR`: to one address, of each kind.
    pub(crate) letters_per_hour: u64,
    /// `GIFT_TRIES`: of gift codes by one account, hits or not: enough for typing errors.
    pub(crate) gift_tries: u64,
    /// `GIFT_TRIES_PER_ADDRESS`: the same from one client address: an office or a class behind one.
    pub(crate) gift_tries_per_address: u64,
    /// `GIFT_WINDOW`: over which time they are counted.
    pub(crate) gift_window: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            login_failures: 5,
            login_failures_per_account: 50,
            login_window: Duration::from_mins(15),
            requests_per_minute: 100,
            letters_per_hour: 5,
            gift_tries: 10,
            gift_tries_per_address: 50,
            gift_window: Duration::from_mins(15),
        }
    }
}

impl Limits {
    pub(crate) fn read(env: &Env) -> Result<Self, Error> {
        let mut it = Self::default();
        number(env, "LOGIN_FAILURES", &mut it.login_failures, 1, 1_000)?;
        number(env, "LOGIN_FAILURES_PER_ACCOUNT", &mut it.login_failures_per_account, 1, 100_000)?;
        duration(env, "LOGIN_WINDOW", &mut it.login_window, Duration::from_secs(1), DAY)?;
        number(env, "REQUESTS_PER_MINUTE", &mut it.requests_per_minute, 1, 1_000_000)?;
        number(env, "LETTERS_PER_HOUR", &mut it.letters_per_hour, 1, 1_000)?;
        number(env, "GIFT_TRIES", &mut it.gift_tries, 1, 1_000)?;
        number(env, "GIFT_TRIES_PER_ADDRESS", &mut it.gift_tries_per_address, 1, 100_000)?;
        duration(env, "GIFT_WINDOW", &mut it.gift_window, Duration::from_secs(1), DAY)?;
        Ok(it)
    }
}

/// How passwords are hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hashing {
    /// `PASSWORD_MEMORY_KIB`: memory of one hash; at least OWASP's 19 MiB.
    pub(crate) memory_kib: u32,
    /// `PASSWORD_PASSES`: passes over it; at least 2.
    pub(crate) passes: u32,
    /// `PASSWORD_THREADS`: hashes at once: one a core of a small machine, 38 MiB in all.
    pub(crate) at_once: usize,
}

/// OWASP's minimum for t = 2, p = 1.
const MIN_MEMORY_KIB: u32 = 19 * 1024;

impl Default for Hashing {
    fn default() -> Self {
        Self { memory_kib: MIN_MEMORY_KIB, passes: 2, at_once: 2 }
    }
}

impl Hashing {
    pub(crate) fn read(env: &Env) -> Result<Self, Error> {
        let mut it = Self::default();
        number(env, "PASSWORD_MEMORY_KIB", &mut it.memory_kib, MIN_MEMORY_KIB, 1024 * 1024)?;
        number(env, "PASSWORD_PASSES", &mut it.passes, 2, 20)?;
        number(env, "PASSWORD_THREADS", &mut it.at_once, 1, 64)?;
        Ok(it)
    }
}

/// Reads a number within bounds; what is not set stays as it is.
fn number<T>(env: &Env, name: &str, into: &mut T, least: T, most: T) -> Result<(), Error>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display + Copy,
{
    let allowed = format!("a number from {least} to {most}");
    let Some(value) = env.parsed::<T>(name, &allowed)? else { return Ok(()) };
    if value < least || value > most {
        return Err(Error::Invalid { name: name.into(), value: value.to_string(), allowed });
    }
    *into = value;
    Ok(())
}

/// Reads a time within bounds: `30s`, `15m`, `12h`, `7d`.
pub(crate) fn duration(
    env: &Env,
    name: &str,
    into: &mut Duration,
    least: Duration,
    most: Duration,
) -> Result<(), Error> {
    if let Some(time) = optional_duration(env, name, least, most)? {
        *into = time;
    }
    Ok(())
}

/// As [`duration`], of what need not be.
pub(crate) fn optional_duration(
    env: &Env,
    name: &str,
    least: Duration,
    most: Duration,
) -> Result<Option<Duration>, Error> {
    let Some(value) = env.optional(name) else { return Ok(None) };
    let Some(time) = parse(&value).filter(|time| *time >= least && *time <= most) else {
        let allowed = format!("a time from {} s to {} s, such as 30s, 15m, 12h or 7d", least.as_secs(), most.as_secs());
        return Err(Error::Invalid { name: name.into(), value, allowed });
    };
    Ok(Some(time))
}

fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit_and_within_bounds() {
        let read = |text: &str| Tokens::read(&Env::table([("ACCESS_TOKEN_TTL", text)])).map(|it| it.access_ttl);
        assert_eq!(read("30s").unwrap(), Duration::from_secs(30));
        assert_eq!(read("1h").unwrap(), Duration::from_hours(1));
        for wrong in ["15", "m", "29s", "2d", "-1m", "1.5m", "99999999999999999999d"] {
            let message = read(wrong).unwrap_err().to_string();
            assert!(message.starts_with("ACCESS_TOKEN_TTL is") && message.contains("such as"), "{message}");
        }
        assert_eq!(Tokens::read(&Env::table([("X", "y")])).unwrap().access_ttl, Duration::from_mins(15));
    }

    #[test]
    fn hashing_is_never_set_below_what_is_safe() {
        for (name, value) in [("PASSWORD_MEMORY_KIB", "19455"), ("PASSWORD_PASSES", "1"), ("PASSWORD_THREADS", "0")] {
            assert!(Hashing::read(&Env::table([(name, value)])).is_err(), "{name}");
        }
        let raised = Hashing::read(&Env::table([("PASSWORD_MEMORY_KIB", "65536")])).unwrap();
        assert_eq!(raised, Hashing { memory_kib: 65_536, ..Hashing::default() });
    }
}
