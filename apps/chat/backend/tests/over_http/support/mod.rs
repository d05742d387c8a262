//! The whole of what chat-backend needs, for real: mana-core-auth and echo in this process, each behind a port of its own,
//! databases of their own on either store.

mod gate;

use std::sync::Arc;
use std::time::Duration;

use ai::echo::{Calls, Settings};
use chat_backend::{Config, MIGRATIONS, Rest, start};
use futures_util::StreamExt;
use kit::cache::Cache;
use kit::config::Env;
use kit::database::Database;
use kit::service::Service;
pub(crate) use kit::testing::Store;
use kit::testing::{Running, TestDatabase};
use mana_core_auth::testing::{Auth, SERVICE_TOKEN};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

pub(crate) use gate::{Fault, Gate};

/// Runs each test on SQLite with the cache in the process, and on PostgreSQL with Redis.
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name($crate::support::Store::Sqlite).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name($crate::support::Store::Postgres).await;
            })*
        }
    };
}
pub(crate) use on_both_stores;

/// Everything, running.
pub(crate) struct World {
    pub(crate) gate: Gate,
    pub(crate) calls: Arc<Calls>,
    pub(crate) database: Database,
    pub(crate) cache: Cache,
    pub(crate) http: reqwest::Client,
    pub(crate) auth: Auth,
    echo: Running,
    chat: Running,
    rest: Option<Rest>,
    variables: Vec<(String, String)>,
    pub(crate) test_database: TestDatabase,
}

/// A person with an account.
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl World {
    pub(crate) async fn start(store: Store) -> Self {
        Self::start_with(store, &[]).await
    }

    /// As [`World::start`], with further variables for chat-backend.
    pub(crate) async fn start_with(store: Store, variables: &[(&str, &str)]) -> Self {
        Self::start_on(Auth::start(store).await, TestDatabase::create(store).await, variables).await
    }

    /// As [`World::start_with`], on servers of the test's own.
    pub(crate) async fn start_on(auth: Auth, test_database: TestDatabase, variables: &[(&str, &str)]) -> Self {
        let gate = Gate::before(&auth.url).await;
        let (routes, _, calls) = ai::echo::service(Settings::default());
        let echo = Running::start(Service::new(routes).into_router()).await;
        let config = Config::read(&environment(gate.url(), &echo.url, variables)).unwrap();
        let database = test_database.connect().await;
        MIGRATIONS.run(&database).await.unwrap();
        let cache = Cache::connect(test_database.redis_url.as_ref()).unwrap();
        let (service, rest) = start(config, &database, cache.clone()).split();
        let chat = Running::start(service.into_router()).await;
        let http = reqwest::Client::new();
        Self {
            gate,
            calls,
            database,
            cache,
            http,
            auth,
            echo,
            chat,
            rest: Some(rest),
            variables: variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            test_database,
        }
    }

    /// Someone new, with the 50 credits of the sign-up.
    pub(crate) async fn person(&self, name: &str) -> Person {
        let body = json!({ "email": format!("{name}@example.org"), "password": "correct horse battery", "name": name });
        let url = format!("{}/api/auth/register", self.auth.url);
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        let answer: Value = answer.json().await.unwrap();
        Person {
            id: answer["user"]["id"].as_str().unwrap().to_owned(),
            token: answer["accessToken"].as_str().unwrap().to_owned(),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.chat.url)
    }

    /// Calls chat-backend in someone's name.
    pub(crate) async fn call(&self, person: &Person, method: Method, path: &str, body: Option<Value>) -> Response {
        let mut call = self.http.request(method, self.url(path)).bearer_auth(&person.token);
        if let Some(body) = body {
            call = call.json(&body);
        }
        call.send().await.unwrap()
    }

    pub(crate) async fn get(&self, person: &Person, path: &str) -> Value {
        let answer = self.call(person, Method::GET, path, None).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }

    /// Asks and waits for the whole answer.
    pub(crate) async fn ask(&self, person: &Person, text: &str) -> Response {
        self.complete(person, json!({ "messages": [{ "role": "user", "content": text }] })).await
    }

    pub(crate) async fn complete(&self, person: &Person, body: Value) -> Response {
        self.call(person, Method::POST, "/api/chat/completions", Some(body)).await
    }

    /// Asks for a stream.
    pub(crate) async fn ask_streaming(&self, person: &Person, text: &str) -> Response {
        self.complete(person, json!({ "messages": [{ "role": "user", "content": text }], "stream": true })).await
    }

    /// What the ledger says the person has: asked directly, past every cache and gate.
    pub(crate) async fn ledger_balance(&self, person: &Person) -> i64 {
        let url = format!("{}/api/credits/balance", self.auth.url);
        let answer = self.http.get(url).bearer_auth(&person.token).send().await.unwrap();
        let answer: Value = answer.error_for_status().unwrap().json().await.unwrap();
        answer["balance"].as_i64().unwrap()
    }

    /// How many rows a table has.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        use sea_orm::{ConnectionTrait, Statement};
        let query = format!("SELECT COUNT(*) AS n FROM {table}");
        let row = self.database.query_one_raw(Statement::from_string(self.database.engine(), query)).await.unwrap();
        row.unwrap().try_get("", "n").unwrap()
    }

    /// The tokens that the model counted in the question of an answer.
    pub(crate) async fn prompt_tokens(&self, message: &str) -> i64 {
        use sea_orm::{ConnectionTrait, Statement};
        let id: uuid::Uuid = message.parse().unwrap();
        let mark = if self.database.engine() == sea_orm::DbBackend::Sqlite { "?" } else { "$1" };
        let query = format!("SELECT prompt_tokens AS n FROM messages WHERE id = {mark}");
        let query = Statement::from_sql_and_values(self.database.engine(), query, [id.into()]);
        self.database.query_one_raw(query).await.unwrap().unwrap().try_get("", "n").unwrap()
    }

    /// Calls that reached the model so far.
    pub(crate) fn model_calls(&self) -> u64 {
        self.calls.count().started
    }

    /// The reservation that the one row of the outbox is about.
    pub(crate) async fn outbox_reservation(&self) -> uuid::Uuid {
        use sea_orm::{ConnectionTrait, Statement};
        let query = Statement::from_string(self.database.engine(), "SELECT reservation_id FROM outbox");
        self.database.query_one_raw(query).await.unwrap().unwrap().try_get("", "reservation_id").unwrap()
    }

    /// Lets everything in the outbox be due now.
    pub(crate) async fn dispatch_now(&self) {
        use sea_orm::ConnectionTrait;
        self.database.execute_unprepared("UPDATE outbox SET next_attempt_at = 1").await.unwrap();
    }

    /// As if it had been written down so much earlier.
    pub(crate) async fn age_outbox(&self, by: Duration) {
        use sea_orm::ConnectionTrait;
        let earlier = format!("UPDATE outbox SET created_at = created_at - {}", by.as_millis());
        self.database.execute_unprepared(&earlier).await.unwrap();
    }

    /// Gives credits, past the gate.
    pub(crate) async fn grant(&self, person: &Person, amount: i64) {
        let url = format!("{}/api/internal/credits/grant", self.auth.url);
        let body = json!({ "userId": person.id, "amount": amount, "idempotencyKey": kit::clock::new_id().to_string() });
        let answer = self.http.post(url).header("x-service-token", SERVICE_TOKEN).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// Settles past the gate, as chat-backend would.
    pub(crate) async fn settle_at_the_ledger(&self, body: &Value) -> (u16, Value) {
        let url = format!("{}/api/internal/credits/settle", self.auth.url);
        parts(self.http.post(url).header("x-service-token", SERVICE_TOKEN).json(body).send().await.unwrap()).await
    }

    /// The variables for a process beside the service of this world, but for its port and its stores.
    pub(crate) fn process_environment(&self) -> Vec<(String, String)> {
        let usual = usual(self.gate.url(), &self.echo.url).map(|(name, value)| (name.to_owned(), value.to_owned()));
        usual.into_iter().chain(self.variables.clone()).collect()
    }

    /// Another instance beside the service, on the same stores.
    pub(crate) async fn beside(&self) -> (Running, Rest) {
        let further: Vec<_> = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let config = Config::read(&environment(self.gate.url(), &self.echo.url, &further)).unwrap();
        let (service, rest) = start(config, &self.database, self.cache.clone()).split();
        (Running::start(service.into_router()).await, rest)
    }

    /// Stops the service and starts it again on the same stores.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let further: Vec<_> = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let config = Config::read(&environment(self.gate.url(), &self.echo.url, &further)).unwrap();
        let (service, rest) = start(config, &self.database, self.cache.clone()).split();
        self.chat = Running::start(service.into_router()).await;
        self.rest = Some(rest);
    }

    /// Stops the service as SIGTERM does, and waits for its last words.
    pub(crate) async fn stop(&mut self) {
        if let Some(rest) = self.rest.take() {
            rest.finish().await;
        }
    }
}

/// Whatever a test did, the books are right when it ends.
impl Drop for World {
    fn drop(&mut self) {
        // A test that fails says why by itself.
        if std::thread::panicking() {
            return;
        }
        let find = self.auth.ledger_findings();
        let findings = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(find));
        assert_eq!(findings, Vec::<String>::new(), "the books are right");
    }
}

/// chat-backend's environment: the usual one, with `further` variables.
fn environment(gate: &str, echo: &str, further: &[(&str, &str)]) -> Env {
    // The later of two entries counts.
    Env::table(usual(gate, echo).iter().chain(further).copied())
}

fn usual<'a>(gate: &'a str, echo: &'a str) -> [(&'static str, &'a str); 11] {
    [
        ("PORT", "0"),
        ("MANA_CORE_AUTH_URL", gate),
        ("SERVICE_TOKEN", SERVICE_TOKEN),
        ("TOKEN_ISSUER", mana_core_auth::testing::ISSUER),
        // People of these tests name no app when they register.
        ("TOKEN_APPS", "chat,mana"),
        ("AI_PROVIDERS", "echo"),
        ("AI_ECHO_URL", echo),
        // What fails is to fail at once; how it is tried again has tests of its own.
        ("AI_RETRIES", "0"),
        ("AI_BREAKER_FAILURES", "1000"),
        ("AI_TIMEOUT_FIRST_BYTE_MS", "3000"),
        ("AI_TIMEOUT_BETWEEN_TOKENS_MS", "500"),
    ]
}

/// Waits until something holds, up to ten seconds.
pub(crate) async fn until<F, Fut>(what: &str, mut condition: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let waited = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(10), waited).await;
    assert!(in_time.is_ok(), "within ten seconds: {what}");
}

/// An answer's status and body.
pub(crate) async fn parts(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Server-sent events as they arrive.
pub(crate) struct Events {
    bytes: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<axum::body::Bytes>> + Send>>,
    buffer: String,
}

impl Events {
    pub(crate) fn of(answer: Response) -> Self {
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { bytes: Box::pin(answer.bytes_stream()), buffer: String::new() }
    }

    /// The next event's name and data; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.buffer = rest;
                if event.starts_with(':') {
                    continue;
                }
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
                let data = field("data:");
                let data = serde_json::from_str(data).unwrap_or_else(|_| Value::String(data.to_owned()));
                return Some((field("event:").to_owned(), data));
            }
            let bytes = self.bytes.next().await?.unwrap();
            self.buffer.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// All that follow.
    pub(crate) async fn collect(mut self) -> Vec<(String, Value)> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}
