//! The way to a server of PostgreSQL, for whoever asks one something.

use std::path::PathBuf;
use std::str::FromStr;

use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config};
use url::Url;

use crate::tls::{self, Trusted};

/// What an address may say that is for the programs of PostgreSQL as well; else stands there what other clients know.
const KNOWN_TO_PROGRAMS: &[&str] = &["sslmode", "sslrootcert", "connect_timeout"];

/// A connection; it ends with this value.
pub(crate) struct Connection {
    pub(crate) client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    #[error("{0}")]
    Address(String),
    #[error("{}", in_words(.0))]
    Server(#[from] tokio_postgres::Error),
}

/// Where a server is, and how the way there is protected.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) config: Config,
    trusted: Trusted,
}

impl Server {
    /// From a service's address; `sslmode` and `sslrootcert` are understood as `libpq` does. What is wrong with it is said without it.
    pub(crate) fn new(mut url: Url, application: &str, options: &str) -> Result<Self, String> {
        let said = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let (mode, authorities) = (said("sslmode"), said("sslrootcert").filter(|file| file != "system"));
        // What else stands there is for other clients.
        url.set_query(None);
        let mut config = Config::from_str(url.as_str())
            .map_err(|_| "its address is not understood; see docs/WATCH.md".to_owned())?;
        let (mode, trusted) = match (mode.as_deref(), authorities.map(PathBuf::from)) {
            (_, Some(file)) if !file.is_absolute() => {
                return Err(format!("its `sslrootcert` has to be an absolute path, and is {}", file.display()));
            }
            (Some("disable"), _) => (SslMode::Disable, Trusted::Anybody),
            (Some("verify-full"), Some(file)) => (SslMode::Require, Trusted::Authorities { file, any_name: false }),
            // With authorities to ask, `require` asks them.
            (Some("require" | "verify-ca"), Some(file)) => {
                (SslMode::Require, Trusted::Authorities { file, any_name: true })
            }
            (Some("verify-ca" | "verify-full"), None) => (SslMode::Require, Trusted::ByThisMachine),
            (Some("require"), None) => (SslMode::Require, Trusted::Anybody),
            _ => (SslMode::Prefer, Trusted::Anybody),
        };
        config.ssl_mode(mode).application_name(application).options(options);
        Ok(Self { config, trusted })
    }

    pub(crate) async fn connect(&self) -> Result<Connection, Unreachable> {
        let connector = tls::connector(&self.trusted).map_err(Unreachable::Address)?;
        let (client, connection) = self.config.connect(tls::ForPostgres(connector)).await?;
        // It ends with the connection; why it does, whoever asks next is told.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { client, driver })
    }
}

/// What the server or the way there said, without the address.
pub(crate) fn in_words(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return said.message().to_owned();
    }
    let behind = std::iter::successors(std::error::Error::source(error), |error| error.source());
    behind.fold(error.to_string(), |text, error| format!("{text}: {error}"))
}

/// For `pg_dump` and `psql`: the address without its password, and the password, which goes through the environment, since that is what
/// other users cannot read.
pub(crate) fn for_programs(url: &str) -> Result<(Url, Option<String>), String> {
    let mut bare = Url::parse(url).map_err(|error| format!("its URL is not understood: {error}"))?;
    let password = bare.password().map(percent_decoded);
    // It has a host, so that this cannot fail.
    let _ = bare.set_password(None);
    let known: Vec<(String, String)> =
        bare.query_pairs().into_owned().filter(|(key, _)| KNOWN_TO_PROGRAMS.contains(&key.as_str())).collect();
    bare.set_query(None);
    if !known.is_empty() {
        bare.query_pairs_mut().extend_pairs(known);
    }
    Ok((bare, password))
}

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_how_the_way_is_protected_and_what_is_for_others_is_left_out() {
        let server = |text: &str| Server::new(Url::parse(text).expect("an address"), "mana", "");
        let by_file = |any_name| Trusted::Authorities { file: "/etc/ca.pem".into(), any_name };
        for (more, mode, trusted) in [
            ("", SslMode::Prefer, Trusted::Anybody),
            ("?sslmode=require&statement_cache_capacity=0", SslMode::Require, Trusted::Anybody),
            ("?sslmode=require&sslrootcert=/etc/ca.pem", SslMode::Require, by_file(true)),
            ("?sslrootcert=%2Fetc%2Fca.pem&sslmode=verify-ca", SslMode::Require, by_file(true)),
            ("?sslmode=verify-full&sslrootcert=/etc/ca.pem", SslMode::Require, by_file(false)),
            ("?sslmode=verify-full&sslrootcert=system", SslMode::Require, Trusted::ByThisMachine),
            ("?sslmode=verify-full", SslMode::Require, Trusted::ByThisMachine),
            ("?sslmode=disable", SslMode::Disable, Trusted::Anybody),
        ] {
            let text = format!("postgres://u:p%40ss@db.example:5433/shop{more}");
            let Server { config, trusted: whom } = server(&text).expect("understood");
            assert_eq!((config.get_ssl_mode(), whom), (mode, trusted), "{text}");
            assert_eq!(config.get_password(), Some(&b"p@ss"[..]));
            assert_eq!((config.get_ports(), config.get_user()), (&[5433][..], Some("u")));
        }
        let relative = server("postgres://u:secret@db.example/shop?sslmode=verify-full&sslrootcert=ca.pem");
        let why = relative.err().expect("no place");
        assert!(why.contains("ca.pem") && !why.contains("secret"), "{why}");
    }

    #[test]
    fn programs_get_no_password_and_nothing_that_they_do_not_know() {
        let (bare, password) =
            for_programs("postgres://u:a%2Fb+c%20d%26e@h/shop?statement_cache_capacity=0&sslmode=require")
                .expect("understood");
        assert_eq!(bare.as_str(), "postgres://u@h/shop?sslmode=require");
        assert_eq!(password.as_deref(), Some("a/b+c d&e"));
        assert_eq!(
            for_programs("postgres://u@h/shop?application_name=x").expect("understood").0.as_str(),
            "postgres://u@h/shop"
        );
    }
}
