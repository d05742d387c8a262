//! One person's credits, asked over HTTP.

pub(crate) use kit::testing::Store;
pub(crate) use mana_core_auth::testing::{Auth, SERVICE_TOKEN};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

/// Runs each test on SQLite, and on PostgreSQL with Redis.
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod sqlite { $(#[tokio::test] async fn $name() { super::$name(crate::support::Store::Sqlite).await; })* }
        mod postgres { $(#[tokio::test] async fn $name() { super::$name(crate::support::Store::Postgres).await; })* }
    };
}
pub(crate) use on_both_stores;

/// One person's credits.
pub(crate) struct Ledger {
    pub(crate) auth: Auth,
    pub(crate) client: Client,
    pub(crate) user: Value,
}

impl Ledger {
    pub(crate) async fn start(store: Store) -> Self {
        Self::start_with(store, &[]).await
    }

    pub(crate) async fn start_with(store: Store, settings: &[(&str, &str)]) -> Self {
        let auth = Auth::start_with(store, settings).await;
        let client = Client::new();
        let user = register(&client, &auth).await;
        Self { auth, client, user }
    }

    /// From now on its database refuses postings whose reason is `13`.
    pub(crate) async fn refuse_thirteen(&self, store: Store) {
        use sea_orm::ConnectionTrait;
        let refusing = match store {
            Store::Sqlite => {
                "CREATE TRIGGER no_thirteen BEFORE INSERT ON postings WHEN NEW.reason = '13' BEGIN SELECT RAISE(ABORT, 'no'); END"
            }
            Store::Postgres => "ALTER TABLE postings ADD CONSTRAINT no_thirteen CHECK (reason <> '13')",
        };
        self.auth.database.execute_unprepared(refusing).await.unwrap();
    }

    pub(crate) async fn call(&self, what: &str, body: Value) -> (StatusCode, Value) {
        self.call_at(&self.auth.url, what, body).await
    }

    /// As [`Ledger::call`], at any instance.
    pub(crate) async fn call_at(&self, instance: &str, what: &str, mut body: Value) -> (StatusCode, Value) {
        body["userId"] = self.user.clone();
        let url = format!("{instance}/api/internal/credits/{what}");
        let answer = self.client.post(url).header("x-service-token", SERVICE_TOKEN).json(&body).send().await.unwrap();
        let (status, mut body) = (answer.status(), answer.json::<Value>().await.unwrap());
        // Absent in repeated answers.
        body.as_object_mut().unwrap().remove("version");
        (status, body)
    }

    pub(crate) async fn reserve(&self, amount: i64, key: &str) -> (StatusCode, Value) {
        self.call("reserve", json!({"amount": amount, "idempotencyKey": key})).await
    }

    pub(crate) async fn balance(&self) -> Value {
        let url = format!("{}/api/internal/credits/balance?userId={}", self.auth.url, self.user.as_str().unwrap());
        let answer = self.client.get(url).header("x-service-token", SERVICE_TOKEN).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["balance"].clone()
    }

    /// What can be spent: free and paid.
    pub(crate) async fn parts(&self) -> (i64, i64) {
        use sea_orm::{ConnectionTrait, Statement};
        let engine = self.auth.database.engine();
        let mark = if engine == sea_orm::DbBackend::Sqlite { "?" } else { "$1" };
        let user = self.user_id();
        let query = format!("SELECT available, paid FROM balances WHERE user_id = {mark}");
        let query = Statement::from_sql_and_values(engine, query, [user.into()]);
        let row = self.auth.database.query_one_raw(query).await.unwrap().unwrap();
        let credits = |name: &str| row.try_get::<i64>("", name).unwrap() / 1_000;
        (credits("available"), credits("paid"))
    }

    pub(crate) fn user_id(&self) -> uuid::Uuid {
        self.user.as_str().unwrap().parse().unwrap()
    }

    /// The posting of what was done last.
    pub(crate) async fn last_posting(&self) -> uuid::Uuid {
        use sea_orm::{ConnectionTrait, Statement};
        let engine = self.auth.database.engine();
        let mark = if engine == sea_orm::DbBackend::Sqlite { "?" } else { "$1" };
        let query = format!("SELECT last_posting FROM balances WHERE user_id = {mark}");
        let query = Statement::from_sql_and_values(engine, query, [self.user_id().into()]);
        self.auth.database.query_one_raw(query).await.unwrap().unwrap().try_get("", "last_posting").unwrap()
    }

    pub(crate) async fn finish(self) {
        assert_eq!(self.auth.ledger_findings().await, Vec::<String>::new());
    }
}

/// Somebody new.
pub(crate) async fn register(client: &Client, auth: &Auth) -> Value {
    let email = format!("{}@example.com", kit::clock::new_id());
    let body = json!({"email": email, "password": "a good password", "name": "Ada"});
    let answer = client.post(format!("{}/api/auth/register", auth.url)).json(&body).send().await.unwrap();
    answer.json::<Value>().await.unwrap()["user"]["id"].clone()
}
