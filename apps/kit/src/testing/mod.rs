//! For tests: a fresh database on either store, and a service on a port of its own.

mod clients;
mod forwarder;
mod own_postgres;
mod own_redis;
mod pair;
mod servers;

use std::env;
use std::time::Duration;

use axum::Router;
use sea_orm::ConnectionTrait;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use clients::{conforms, install_clients, install_python_clients};
pub use forwarder::Forwarder;
pub use pair::{Loss, Pair};
pub use servers::{Certificates, OwnPostgres, OwnRedis};

use crate::clock;
use crate::database::{self, Database};
use crate::serving::{self, Limits};

/// What a test says when the database servers are not there.
const NO_SERVERS: &str = "run `make test`, or this test inside `scripts/test-services.sh run`";

/// One of the two stores every service supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// SQLite and the in-process cache.
    Sqlite,
    /// PostgreSQL and Redis.
    Postgres,
}

/// A database that no other test sees.
pub struct TestDatabase {
    /// Its `DATABASE_URL`.
    pub url: SecretString,
    /// The `REDIS_URL` that goes with it.
    pub redis_url: Option<SecretString>,
    _folder: Option<TempDir>,
    /// The server and the database's name, to drop it at the end.
    server: Option<(String, String)>,
}

impl TestDatabase {
    /// Makes one, empty.
    ///
    /// # Panics
    /// When it cannot be made; for PostgreSQL that is when `MANA_TEST_POSTGRES_URL` does not name a server.
    pub async fn create(store: Store) -> Self {
        match store {
            Store::Sqlite => {
                let folder = tempfile::tempdir().expect("a temporary folder");
                let url = format!("sqlite://{}", folder.path().join("test.db").display());
                Self { url: url.into(), redis_url: None, _folder: Some(folder), server: None }
            }
            Store::Postgres => {
                let server = env::var("MANA_TEST_POSTGRES_URL").expect(NO_SERVERS);
                let redis = env::var("MANA_TEST_REDIS_URL").expect(NO_SERVERS);
                let name = format!("test_{}", clock::new_id().simple());
                let (base, _) = server.rsplit_once('/').expect("a URL with a database's name");
                let admin = database::connect(Some(&server.clone().into())).await.expect("the test server's URL");
                admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("a database of its own");
                let redis_url = Some(format!("{redis}#{name}:").into());
                Self { url: format!("{base}/{name}").into(), redis_url, _folder: None, server: Some((server, name)) }
            }
        }
    }

    /// One at these addresses, which the test keeps alive.
    pub fn at(url: String, redis_url: Option<String>) -> Self {
        Self { url: url.into(), redis_url: redis_url.map(SecretString::from), _folder: None, server: None }
    }

    /// Opens a pool on it.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn connect(&self) -> Database {
        database::connect(Some(&self.url)).await.expect("the test database opens")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Some((server, name)) = self.server.take() else { return };
        // A runtime of its own: the test's is ending.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let admin = database::connect(Some(&server.into())).await.expect("the test server's URL");
                let dropped = admin.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
                if let Err(error) = dropped {
                    eprintln!("the test database {name} is left behind: {error}");
                }
            });
        });
        dropping.join().expect("the database is dropped");
    }
}

/// A service that runs until dropped.
pub struct Running {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    task: JoinHandle<()>,
}

impl Running {
    /// Serves the router on a free port.
    ///
    /// # Panics
    /// When there is none.
    pub async fn start(router: Router) -> Self {
        Self::start_within(router, Limits::of(serving::MAX_CONNECTIONS)).await
    }

    /// As [`Running::start`], for so many connections at once, and clients that take nothing for so long.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start_with(router: Router, connections: usize, stall: Duration) -> Self {
        Self::start_within(router, Limits { connections, stall }).await
    }

    async fn start_within(router: Router, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let task = tokio::spawn(serving::serve(listener, router, limits, std::future::pending()));
        Self { url, task }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
