//! Runs the whole service inside a test's process.

use std::sync::Arc;

use kit::cache::Cache;
use kit::config::Env;
use kit::database::Database;
use kit::testing::{Running, Store, TestDatabase};
use secrecy::ExposeSecret;

use crate::app::{self, App};
use crate::commands::{self, Arguments};
use crate::config::Config;
use crate::ledger::gifts::store as codes;
use crate::ledger::{Funds, Ledger, Undo};
use crate::secrets::Purpose;

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
/// Looks for a letter, 20 ms apart, before none is expected any more.
const LOOKS_FOR_A_LETTER: u32 = 1_000;

/// A running mana-core-auth with a database of its own.
pub struct Auth {
    /// Where it answers.
    pub url: String,
    /// Its database.
    pub database: Database,
    /// A writer of its own, as another instance has.
    ledger: Ledger,
    app: Arc<App>,
    settings: Vec<(String, String)>,
    mail: tempfile::TempDir,
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
        Self::on(TestDatabase::create(store).await, &[]).await
    }

    /// Starts one, migrated, on a database of the test's own.
    ///
    /// # Panics
    /// When it cannot start.
    pub async fn start_at(test_database: TestDatabase) -> Self {
        let auth = Self::on(test_database, &[]).await;
        app::MIGRATIONS.run(&auth.database).await.expect("migrations run");
        auth
    }

    /// Starts one, migrated, with these settings besides.
    ///
    /// # Panics
    /// When it cannot start.
    pub async fn start_with(store: Store, settings: &[(&str, &str)]) -> Self {
        let auth = Self::on(TestDatabase::create(store).await, settings).await;
        app::MIGRATIONS.run(&auth.database).await.expect("migrations run");
        auth
    }

    /// Ends this one and starts it again on the same database, with these settings.
    ///
    /// # Panics
    /// When it cannot start.
    pub async fn start_again(self, settings: &[(&str, &str)]) -> Self {
        Self::on(self.test_database, settings).await
    }

    async fn on(test_database: TestDatabase, settings: &[(&str, &str)]) -> Self {
        let mut variables = vec![
            ("TOKEN_ISSUER", ISSUER),
            ("SERVICE_TOKEN", SERVICE_TOKEN),
            ("AUTH_SIGNING_SEED", SIGNING_SEED),
            ("DATABASE_URL", test_database.url.expose_secret()),
        ];
        let mail = tempfile::tempdir().expect("a temporary folder");
        variables.push(("MAIL_FOLDER", mail.path().to_str().expect("a path in UTF-8")));
        // What comes later counts.
        variables.extend(settings);
        variables.extend(test_database.redis_url.as_ref().map(|url| ("REDIS_URL", url.expose_secret())));
        let config = Config::read(&Env::table(variables)).expect("the settings are right");
        let (service, app) = app::assemble(&config).await.expect("the service can be put together");
        let running = Running::start(service.into_router()).await;
        let database = test_database.connect().await;
        let ledger = Ledger::start(database.clone());
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { url: running.url.clone(), database, ledger, app, settings, mail, _running: running, test_database }
    }

    /// Another instance of it, beside this one on the same stores.
    ///
    /// # Panics
    /// When it cannot start.
    pub async fn beside(&self) -> Running {
        let mut variables = vec![
            ("TOKEN_ISSUER", ISSUER),
            ("SERVICE_TOKEN", SERVICE_TOKEN),
            ("AUTH_SIGNING_SEED", SIGNING_SEED),
            ("DATABASE_URL", self.test_database.url.expose_secret()),
        ];
        variables.extend(self.test_database.redis_url.as_ref().map(|url| ("REDIS_URL", url.expose_secret())));
        let config = Config::read(&Env::table(variables)).expect("the settings are right");
        let service = app::service(&config).await.expect("the service can be put together");
        Running::start(service.into_router()).await
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

    /// Turns a gift code into credits, past the bound on tries.
    ///
    /// # Errors
    /// Why the ledger refuses it.
    pub async fn redeem(&self, user: uuid::Uuid, code: &str) -> Result<(), String> {
        let redeemed = self.ledger.redeem(user, code.parse()?, kit::clock::now()).await;
        redeemed.map(drop).map_err(|error| error.to_string())
    }

    /// Makes an account an administrator's.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn make_admin(&self, email: &str) {
        let made = crate::accounts::store::set_role(&*self.database, email, "admin").await;
        assert!(made.expect("the database answers"), "there is no account {email}");
    }

    /// The letters that were sent, the oldest first.
    ///
    /// # Panics
    /// When they cannot be read.
    pub async fn letters(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut entries = tokio::fs::read_dir(self.mail.path()).await.expect("the folder of letters");
        while let Some(entry) = entries.next_entry().await.expect("the folder of letters") {
            names.push(entry.path());
        }
        names.sort();
        names.iter().map(|name| std::fs::read_to_string(name).expect("a letter")).collect()
    }

    /// The code of the newest letter with this subject, once it has come.
    ///
    /// # Panics
    /// When none comes.
    pub async fn code_of_letter(&self, subject: &str) -> String {
        for _ in 0..LOOKS_FOR_A_LETTER {
            let letters = self.letters().await;
            let letter = letters.iter().rev().find(|letter| letter.contains(subject));
            if let Some((_, rest)) = letter.and_then(|letter| letter.split_once("it is\r\n\r\n")) {
                return rest.lines().next().expect("a code").trim().to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("no letter {subject:?} has come");
    }

    /// The code that an app with this secret shows now.
    ///
    /// # Panics
    /// When it is no secret.
    pub fn totp(&self, secret: &str) -> String {
        let Self { .. } = self;
        crate::second_factor::code_now(secret, kit::clock::now().as_second()).expect("a secret")
    }

    /// How many passwords were hashed or compared.
    pub fn hashes(&self) -> u64 {
        self.app.passwords.calls()
    }

    /// Has the signing keys read anew, and the next one made where it is due.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn look_after_keys(&self) {
        self.app.keys.round(&*self.app.database, kit::clock::now()).await.expect("the database answers");
    }

    /// Has what time alone resolves done, as every few seconds.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn keep_house(&self) {
        crate::housekeeping::round(&self.app).await.expect("the database answers");
    }

    /// The seed of the key that signs at first, in hexadecimal.
    pub fn signing_key(&self) -> String {
        hex::encode(self.app.secrets.key(Purpose::Signing(1)).expose_secret())
    }

    /// Runs one of the program's commands on its database.
    ///
    /// # Errors
    /// What the command says.
    ///
    /// # Panics
    /// When the command line cannot be understood.
    pub async fn command(&self, arguments: &[&str]) -> Result<(), kit::Failure> {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let command = Arguments::read(arguments).expect("a command").command.expect("a command");
        let usual = [("DATABASE_URL", self.test_database.url.expose_secret()), ("AUTH_SIGNING_SEED", SIGNING_SEED)];
        let settings = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        commands::run(&Env::table(usual.into_iter().chain(settings)), command).await
    }

    /// Gives back the reservations that would be past their time after `later`; how many those were.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn expire_reservations(&self, later: std::time::Duration) -> u64 {
        let later = jiff::SignedDuration::try_from(later).expect("a time that can be added");
        self.ledger.expire(kit::clock::now() + later).await.expect("the database answers")
    }

    /// Forfeits free credits that were given until then (milliseconds since 1970), as far as they are left; how many accounts had some.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn lapse_free_credits(&self, before: i64) -> usize {
        self.ledger.lapse(before, kit::clock::now()).await.expect("the database answers").len()
    }

    /// Forfeits what is too old by the service's own settings.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn lapse(&self) {
        crate::housekeeping::lapse(&self.app).await.expect("the database answers");
    }

    /// Undoes a posting of a user.
    ///
    /// # Errors
    /// What the ledger says.
    pub async fn reverse(&self, user: uuid::Uuid, posting: uuid::Uuid) -> Result<kit::Credits, String> {
        let undo = Undo { user, posting, reason: "for a test".to_owned(), actor: "operator".to_owned() };
        self.ledger.reverse(undo, kit::clock::now()).await.map_err(|error| error.to_string())
    }

    /// What `check-ledger` finds.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn ledger_findings(&self) -> Vec<String> {
        crate::ledger::audit::findings(&self.database).await.expect("the database answers")
    }
}
