//! Runs the whole service inside a test's process.

use kit::cache::Cache;
use kit::config::Env;
use kit::database::Database;
use kit::testing::{Running, Store, TestDatabase};
use secrecy::ExposeSecret;

use crate::app;
use crate::config::Config;
use crate::ledger::gifts::store as codes;
use crate::ledger::{Funds, Ledger};

/// What internal calls must carry.
pub const SERVICE_TOKEN: &str = "a service token for tests";

/// The issuer and audience of its tokens.
pub const ISSUER: &str = "http://auth.test";

/// The seed of its signing key, in hexadecimal.
pub const SIGNING_SEED: &str = "0101010101010101010101010101010101010101010101010101010101010101";

/// Gives back the reservations of a database that would be past their time after `later`; how many those were.
///
/// # Panics
/// When the database does not answer.
pub async fn expire_reservations(database: &Database, later: std::time::Duration) -> u64 {
    let later = jiff::SignedDuration::try_from(later).expect("a time that can be added");
    let now = kit::clock::now() + later;
    Ledger::start(database.clone()).expire(now).await.expect("the database answers")
}

/// What `check-ledger` finds in a database.
///
/// # Panics
/// When the database does not answer.
pub async fn ledger_findings(database: &Database) -> Vec<String> {
    crate::ledger::audit::findings(database).await.expect("the database answers")
}

/// A running mana-core-auth with a database of its own.
pub struct Auth {
    /// Where it answers.
    pub url: String,
    /// Its database.
    pub database: Database,
    /// A writer of its own, as another instance has.
    ledger: Ledger,
    _running: Running,
    test_database: TestDatabase,
}

impl Auth {
    /// Starts one, migrated.
    ///
    /// # Panics
    /// When it cannot start.
    pub async fn start(store: Store) -> Self {
        let auth = Self::start_unmigrated(store).await;
        app::MIGRATIONS.run(&auth.database).await.expect("migrations run");
        auth
    }

    /// Starts one against an empty schema.
    ///
    /// # Panics
    /// When it cannot start.
    pub async fn start_unmigrated(store: Store) -> Self {
        Self::on(TestDatabase::create(store).await).await
    }

    /// Starts one, migrated, on a database of the test's own.
    ///
    /// # Panics
    /// When it cannot start.
    pub async fn start_at(test_database: TestDatabase) -> Self {
        let auth = Self::on(test_database).await;
        app::MIGRATIONS.run(&auth.database).await.expect("migrations run");
        auth
    }

    async fn on(test_database: TestDatabase) -> Self {
        let running = serve(&test_database).await;
        let database = test_database.connect().await;
        let ledger = Ledger::start(database.clone());
        Self { url: running.url.clone(), database, ledger, _running: running, test_database }
    }

    /// Starts a second instance on the same database and cache.
    ///
    /// # Panics
    /// When it cannot start.
    pub async fn beside(&self) -> Running {
        serve(&self.test_database).await
    }

    /// The cache that services share.
    ///
    /// # Panics
    /// On SQLite, where each process has its own.
    pub fn shared_cache(&self) -> Cache {
        let url = self.test_database.redis_url.as_ref().expect("a store with a cache that is shared");
        Cache::connect(Some(url)).expect("the test server's URL")
    }

    /// Closes a user's accounts in the ledger, as deleting an account does.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn close(&self, user: uuid::Uuid) {
        self.ledger.close(user, kit::clock::now()).await.expect("the database answers");
    }

    /// Makes a gift code of this many credits for `uses` people.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn gift_code(&self, amount: kit::Credits, uses: u32) -> String {
        let reason = "for a test".to_owned();
        let new = codes::New { amount, funds: Funds::Paid, uses, expires_at: None, reason, made_by: "operator".into() };
        codes::make(&self.database, &new, kit::clock::now()).await.expect("the database answers").code
    }

    /// Makes an account an administrator's.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn make_admin(&self, email: &str) {
        let made = crate::accounts::store::set_role(&*self.database, email, "admin").await;
        assert!(made.expect("the database answers"), "there is no account {email}");
    }

    /// Gives back the reservations that would be past their time after `later`; how many those were.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn expire_reservations(&self, later: std::time::Duration) -> u64 {
        let later = jiff::SignedDuration::try_from(later).expect("a time that can be added");
        self.ledger.expire(kit::clock::now() + later).await.expect("the database answers")
    }

    /// What `check-ledger` finds.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn ledger_findings(&self) -> Vec<String> {
        crate::ledger::audit::findings(&self.database).await.expect("the database answers")
    }
}

async fn serve(test_database: &TestDatabase) -> Running {
    let mut variables = vec![
        ("TOKEN_ISSUER", ISSUER),
        ("SERVICE_TOKEN", SERVICE_TOKEN),
        ("AUTH_SIGNING_SEED", SIGNING_SEED),
        ("DATABASE_URL", test_database.url.expose_secret()),
    ];
    variables.extend(test_database.redis_url.as_ref().map(|url| ("REDIS_URL", url.expose_secret())));
    let config = Config::read(&Env::table(variables)).expect("the settings are right");
    let service = app::service(&config).await.expect("the service can be put together");
    Running::start(service.into_router()).await
}
