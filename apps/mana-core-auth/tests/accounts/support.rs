//! Who calls the service, and how.

use std::time::{Duration, Instant};

pub(crate) use kit::testing::Store;
pub(crate) use mana_core_auth::testing::{Auth, ISSUER, SERVICE_TOKEN};
use reqwest::{Client, Method, StatusCode};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};

pub(crate) const PASSWORD: &str = "a good password";

/// Runs each test on SQLite, and on PostgreSQL with Redis.
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod sqlite { $(#[tokio::test] async fn $name() { super::$name(crate::support::Store::Sqlite).await; })* }
        mod postgres { $(#[tokio::test] async fn $name() { super::$name(crate::support::Store::Postgres).await; })* }
    };
}
pub(crate) use on_both_stores;

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_else(|| panic!("{field} in {self:?}"))
    }

    pub(crate) fn access(&self) -> &str {
        self.text("accessToken")
    }

    pub(crate) fn refresh(&self) -> &str {
        self.text("refreshToken")
    }

    pub(crate) fn code(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["code"].as_str().unwrap_or_default())
    }
}

/// Calls an instance.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) url: String,
    http: Client,
    address: Option<String>,
}

impl Caller {
    pub(crate) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), http: Client::new(), address: None }
    }

    /// As the edge passes on somebody from there.
    pub(crate) fn from(&self, address: &str) -> Self {
        Self { address: Some(address.to_owned()), ..self.clone() }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> Answer {
        let mut call = self.http.request(method, format!("{}{path}", self.url));
        if !token.is_empty() {
            call = call.bearer_auth(token);
        }
        if let Some(address) = &self.address {
            call = call.header("x-real-ip", address);
        }
        if let Some(body) = body {
            call = call.json(&body);
        }
        let answer = call.send().await.unwrap();
        let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
        let status = answer.status();
        let text = answer.text().await.unwrap();
        Answer { status, retry_after, body: serde_json::from_str(&text).unwrap_or(Value::Null) }
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, "", Some(body)).await
    }

    pub(crate) async fn post_as(&self, token: &str, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, token, Some(body)).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(Method::GET, path, token, None).await
    }

    pub(crate) async fn register(&self, email: &str) -> Answer {
        let body = json!({"email": email, "password": PASSWORD, "name": "Ada", "appId": "chat"});
        let answer = self.post("/api/auth/register", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer
    }

    pub(crate) async fn login(&self, email: &str, password: &str) -> Answer {
        self.post("/api/auth/login", json!({"email": email, "password": password})).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.post("/api/auth/refresh", json!({"refreshToken": token})).await
    }

    /// Whether an access token's session goes on.
    pub(crate) async fn is_in(&self, token: &str) -> bool {
        let answer = self.get("/api/auth/me", token).await;
        assert!(matches!(answer.status.as_u16(), 200 | 401), "{answer:?}");
        answer.status == StatusCode::OK
    }
}

/// Changes rows as time would.
pub(crate) async fn sql(auth: &Auth, statement: &str) {
    auth.database.execute_unprepared(statement).await.unwrap();
}

/// The one number that a query gives.
pub(crate) async fn number(auth: &Auth, query: &str) -> i64 {
    let query = Statement::from_string(auth.database.engine(), query);
    auth.database.query_one_raw(query).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

/// Waits for something to be so.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{what} did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
