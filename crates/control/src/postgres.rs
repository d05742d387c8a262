//! The way to a server of PostgreSQL, for whoever asks one something.

use std::str::FromStr;

use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config};
use url::Url;

use crate::tls;

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
    verified: bool,
}

impl Server {
    /// From a service's address. What is wrong with it is said without it.
    pub(crate) fn new(mut url: Url, application: &str, options: &str) -> Result<Self, String> {
        let mode = url.query_pairs().find(|(key, _)| key == "sslmode").map(|(_, value)| value.into_owned());
        // What else stands there is for other clients.
        url.set_query(None);
        let mut config = Config::from_str(url.as_str())
            .map_err(|_| "its address is not understood; see docs/WATCH.md".to_owned())?;
        let (mode, verified) = match mode.as_deref() {
            Some("disable") => (SslMode::Disable, false),
            Some("require") => (SslMode::Require, false),
            Some("verify-ca" | "verify-full") => (SslMode::Require, true),
            _ => (SslMode::Prefer, false),
        };
        config.ssl_mode(mode).application_name(application).options(options);
        Ok(Self { config, verified })
    }

    pub(crate) async fn connect(&self) -> Result<Connection, Unreachable> {
        let connector = tls::connector(self.verified).map_err(Unreachable::Address)?;
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
        for (text, mode, verified) in [
            ("postgres://u:p%40ss@db.example:5433/shop", SslMode::Prefer, false),
            (
                "postgres://u:p%40ss@db.example:5433/shop?sslmode=require&statement_cache_capacity=0",
                SslMode::Require,
                false,
            ),
            ("postgresql://u:p%40ss@db.example:5433/shop?sslmode=verify-full", SslMode::Require, true),
            ("postgres://u:p%40ss@db.example:5433/shop?sslmode=disable", SslMode::Disable, false),
        ] {
            let server = server(text).expect("understood");
            assert_eq!((server.config.get_ssl_mode(), server.verified), (mode, verified), "{text}");
            assert_eq!(server.config.get_password(), Some(&b"p@ss"[..]));
            assert_eq!((server.config.get_ports(), server.config.get_user()), (&[5433][..], Some("u")));
        }
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
