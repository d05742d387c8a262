//! Configuration from the environment: parsed and checked in full before anything starts.
//!
//! Messages name the variable, what it holds (never for secrets), and what is allowed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use secrecy::SecretString;

use crate::serving::MAX_CONNECTIONS;
use crate::trace;

/// Why the configuration cannot be used. Ends the process with exit code 64.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A variable is missing.
    #[error("{name} is not set: it must hold {allowed}")]
    Missing {
        /// The variable.
        name: String,
        /// What it must hold.
        allowed: String,
    },
    /// A variable holds something else than it must.
    #[error("{name} is {value:?}: it must hold {allowed}")]
    Invalid {
        /// The variable.
        name: String,
        /// What it holds.
        value: String,
        /// What it must hold.
        allowed: String,
    },
    /// A secret does not have the form it must have; its value is not told.
    #[error("{name} does not hold {allowed} (its value is secret and not shown)")]
    InvalidSecret {
        /// The variable.
        name: String,
        /// What it must hold.
        allowed: String,
    },
    /// The command line cannot be understood.
    #[error("{0}")]
    Usage(String),
}

/// Where variables are looked up: the process's environment, or a table in tests.
#[derive(Clone, Default)]
pub struct Env {
    table: Option<BTreeMap<String, String>>,
}

impl Env {
    /// The process's own environment.
    pub fn process() -> Self {
        Self { table: None }
    }

    /// A fixed table.
    pub fn table<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self { table: Some(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect()) }
    }

    /// The variable's text; an empty one counts as absent.
    pub fn optional(&self, name: &str) -> Option<String> {
        let value = match &self.table {
            Some(table) => table.get(name).cloned(),
            None => std::env::var(name).ok(),
        };
        value.filter(|value| !value.is_empty())
    }

    /// The variable's text; `allowed` says in words what it must hold.
    pub fn required(&self, name: &str, allowed: &str) -> Result<String, Error> {
        self.optional(name).ok_or_else(|| missing(name, allowed))
    }

    /// The variable parsed, or `None` where it is absent.
    pub fn parsed<T: FromStr>(&self, name: &str, allowed: &str) -> Result<Option<T>, Error> {
        self.optional(name)
            .map(|value| {
                let invalid = || Error::Invalid { name: name.into(), value: value.clone(), allowed: allowed.into() };
                value.parse().map_err(|_| invalid())
            })
            .transpose()
    }

    /// A secret.
    pub fn secret(&self, name: &str, allowed: &str) -> Result<SecretString, Error> {
        self.required(name, allowed).map(SecretString::from)
    }

    /// A secret of exactly `N` bytes, written in hexadecimal.
    pub fn secret_bytes<const N: usize>(&self, name: &str) -> Result<secrecy::SecretBox<[u8; N]>, Error> {
        let allowed = format!("{N} bytes in hexadecimal");
        let text = self.required(name, &allowed)?;
        let mut bytes = Box::new([0; N]);
        hex::decode_to_slice(&text, bytes.as_mut_slice())
            .map_err(|_| Error::InvalidSecret { name: name.into(), allowed })?;
        Ok(secrecy::SecretBox::new(bytes))
    }
}

fn missing(name: &str, allowed: &str) -> Error {
    Error::Missing { name: name.into(), allowed: allowed.into() }
}

/// What every service gets.
#[derive(Debug, Clone)]
pub struct Base {
    /// Name of the service, for logs and metrics.
    pub service: String,
    /// Id of this instance, where a control plane gave one.
    pub instance: Option<String>,
    /// `development`, `staging` or `production`.
    pub environment: Environment,
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; one-off commands need none.
    pub port: Option<u16>,
    /// Origin as browsers see it, `https://app-chat.example`.
    pub public_url: Option<String>,
    /// `sqlite:///path` or `postgres://…`; a secret, since it may carry a password.
    pub database_url: Option<SecretString>,
    /// `redis://…`, `rediss://…` (TLS); absent: the cache is in the process.
    pub redis_url: Option<SecretString>,
    /// Connections at once; whoever comes beyond them is told to come again.
    pub most_connections: usize,
    /// Where spans go; absent: nowhere.
    pub traces: Option<trace::Settings>,
}

/// What `HTTP_MAX_CONNECTIONS` must hold.
const CONNECTIONS: &str = "how many connections may be open at once, 1 to 100000";

/// What `PORT` must hold.
const PORT: &str = "a port to listen on, 0 to 65535";

/// One of the three environments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// A person's own machine.
    Development,
    /// The rehearsal.
    Staging,
    /// The real thing.
    Production,
}

impl FromStr for Environment {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "development" => Ok(Self::Development),
            "staging" => Ok(Self::Staging),
            "production" => Ok(Self::Production),
            _ => Err(()),
        }
    }
}

impl Base {
    /// Reads it. `service` is the name where `MANA_SERVICE` is absent.
    pub fn read(env: &Env, service: &str) -> Result<Self, Error> {
        let host = env.parsed("HOST", "an IP address to listen on")?.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let port = env.parsed("PORT", PORT)?;
        let environment = env.parsed("MANA_ENVIRONMENT", "development, staging or production")?;
        let most_connections = env.parsed("HTTP_MAX_CONNECTIONS", CONNECTIONS)?.unwrap_or(MAX_CONNECTIONS);
        if !(1..=100_000).contains(&most_connections) {
            let (name, value) = ("HTTP_MAX_CONNECTIONS".to_owned(), most_connections.to_string());
            return Err(Error::Invalid { name, value, allowed: CONNECTIONS.into() });
        }
        let service = env.optional("MANA_SERVICE").unwrap_or_else(|| service.to_owned());
        let instance = env.optional("MANA_INSTANCE");
        Ok(Self {
            traces: trace::Settings::read(env, &service, instance.as_deref())?,
            service,
            instance,
            environment: environment.unwrap_or(Environment::Development),
            host,
            port,
            public_url: env.optional("PUBLIC_URL"),
            database_url: env.optional("DATABASE_URL").map(SecretString::from),
            redis_url: env.optional("REDIS_URL").map(SecretString::from),
            most_connections,
        })
    }
}

impl Base {
    /// Where to listen.
    pub fn listen(&self) -> Result<SocketAddr, Error> {
        self.port.map(|port| SocketAddr::new(self.host, port)).ok_or_else(|| missing("PORT", PORT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_reads_what_the_platform_gives() {
        let env = Env::table([("PORT", "4000"), ("MANA_SERVICE", "x"), ("MANA_ENVIRONMENT", "staging")]);
        let base = Base::read(&env, "fallback").unwrap();
        assert_eq!((base.listen().unwrap().to_string().as_str(), base.service.as_str()), ("127.0.0.1:4000", "x"));
        assert_eq!(base.environment, Environment::Staging);
        assert!(base.database_url.is_none());
    }

    #[test]
    fn messages_name_the_variable_and_what_is_allowed() {
        let check = |env: Env, message: &str| assert_eq!(Base::read(&env, "x").unwrap_err().to_string(), message);
        let no_port = Base::read(&Env::table([("HOST", "::1")]), "x").unwrap();
        let message = no_port.listen().unwrap_err().to_string();
        assert_eq!(message, "PORT is not set: it must hold a port to listen on, 0 to 65535");
        check(Env::table([("PORT", "99999")]), "PORT is \"99999\": it must hold a port to listen on, 0 to 65535");
        check(
            Env::table([("HTTP_MAX_CONNECTIONS", "0")]),
            "HTTP_MAX_CONNECTIONS is \"0\": it must hold how many connections may be open at once, 1 to 100000",
        );
        check(
            Env::table([("PORT", "1"), ("MANA_ENVIRONMENT", "prod")]),
            "MANA_ENVIRONMENT is \"prod\": it must hold development, staging or production",
        );
    }

    #[test]
    fn a_wrong_secret_is_not_shown() {
        let env = Env::table([("KEY", "hunter2")]);
        let message = env.secret_bytes::<32>("KEY").unwrap_err().to_string();
        assert!(message.contains("KEY") && !message.contains("hunter2"), "{message}");
    }
}
