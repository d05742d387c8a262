//! The services, and a browser that keeps cookies, sends forms, and never follows a redirect by itself.

mod told;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ai::echo::{Calls, Settings};
use chat_web::{Config, MIGRATIONS};
use kit::cache::Cache;
use kit::config::Env;
use kit::database::Database;
use kit::service::Service;
pub(crate) use kit::testing::Store;
use kit::testing::{Running, TestDatabase};
pub(crate) use mana_core_auth::testing::SERVICE_TOKEN;
use mana_core_auth::testing::{Auth, ISSUER};
use reqwest::header::{ACCEPT, CONTENT_TYPE, COOKIE, HeaderMap, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, StatusCode, redirect};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::Value;

pub(crate) use told::{Telling, html_of};
pub(crate) use wire::Wire;

pub(crate) const ORIGIN_OF_THE_SITE: &str = "http://chat.test";

/// Runs each test on SQLite, and on PostgreSQL with Redis.
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name($crate::support::World::start($crate::support::Store::Sqlite).await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name($crate::support::World::start($crate::support::Store::Postgres).await).await;
            })*
        }
    };
}
pub(crate) use on_both_stores;

/// Everything, running.
pub(crate) struct World {
    pub(crate) auth: Auth,
    pub(crate) database: Database,
    /// The model's.
    pub(crate) calls: Arc<Calls>,
    /// Between chat-web and chat-backend.
    pub(crate) wire: Wire,
    backend: Option<Running>,
    web: Running,
    _echo: Running,
    _databases: [TestDatabase; 2],
}

impl World {
    pub(crate) async fn start(store: Store) -> Self {
        Self::start_with(store, &[]).await
    }

    /// As [`World::start`], with further variables for chat-backend.
    pub(crate) async fn start_with(store: Store, variables: &[(&str, &str)]) -> Self {
        Self::beside(Auth::start_with(store, &[("APP_URL", ORIGIN_OF_THE_SITE)]).await, store, variables).await
    }

    /// As [`World::start`], where people answer a letter before they have an account.
    pub(crate) async fn start_confirming(store: Store) -> Self {
        let settings = [("APP_URL", ORIGIN_OF_THE_SITE), ("REGISTRATION", "confirmed")];
        Self::beside(Auth::start_with(store, &settings).await, store, &[]).await
    }

    /// As [`World::start`], where chat-web's own database is this one.
    pub(crate) async fn start_at(ours: TestDatabase) -> Self {
        let auth = Auth::start_with(Store::Sqlite, &[("APP_URL", ORIGIN_OF_THE_SITE)]).await;
        Self::on(auth, Store::Sqlite, ours, &[]).await
    }

    async fn beside(auth: Auth, store: Store, variables: &[(&str, &str)]) -> Self {
        Self::on(auth, store, TestDatabase::create(store).await, variables).await
    }

    async fn on(auth: Auth, store: Store, ours: TestDatabase, variables: &[(&str, &str)]) -> Self {
        let (routes, _, calls) = ai::echo::service(Settings::default());
        let echo = Running::start(Service::new(routes).into_router()).await;
        let theirs = TestDatabase::create(store).await;
        let backend = backend(&auth, &echo, &theirs, variables).await;
        let wire = Wire::to(&backend.url).await;
        let database = ours.connect().await;
        MIGRATIONS.run(&database).await.unwrap();
        let web = web(&auth, &wire.url, ORIGIN_OF_THE_SITE, &database);
        let web = Running::start(web.into_router()).await;
        Self { auth, database, calls, wire, backend: Some(backend), web, _echo: echo, _databases: [theirs, ours] }
    }

    /// A further instance of chat-web.
    pub(crate) async fn another_instance(&self) -> Running {
        Running::start(web(&self.auth, &self.wire.url, ORIGIN_OF_THE_SITE, &self.database).into_router()).await
    }

    pub(crate) fn browser(&self) -> Browser {
        let http = Client::builder().redirect(redirect::Policy::none()).timeout(Duration::from_secs(30)).build();
        Browser { url: self.web.url.clone(), http: http.unwrap(), cookies: Mutex::default() }
    }

    /// A browser on which somebody new has just signed in.
    pub(crate) async fn person(&self, name: &str) -> Browser {
        let browser = self.browser();
        let email = format!("{name}@example.org");
        let fields = [("email", email.as_str()), ("password", PASSWORD), ("name", name)];
        let answer = browser.send_form("/register", "/register", &fields).await;
        assert_eq!(
            (answer.status, answer.location().as_deref()),
            (StatusCode::SEE_OTHER, Some("/")),
            "{}",
            answer.text
        );
        browser
    }

    /// The same app once more, at an address that a real browser can open, and what can be cut between the two.
    pub(crate) async fn for_a_real_browser(&self) -> Wire {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Wire::to(&format!("http://{}", listener.local_addr().unwrap())).await;
        let origin = wire.url.replace("127.0.0.1", "localhost");
        let router = web(&self.auth, &self.wire.url, &origin, &self.database).into_router();
        // It ends with the runtime of the test.
        tokio::spawn(async move { axum::serve(listener, router).await });
        wire
    }

    /// Tells chat-web that somebody's account is deleted, as mana-core-auth does.
    pub(crate) async fn forget(&self, user: &str, token: &str) -> StatusCode {
        let url = format!("{}/api/internal/users/{user}", self.web.url);
        Client::new().delete(url).header("x-service-token", token).send().await.unwrap().status()
    }

    /// Where chat-web listens on this machine.
    pub(crate) fn port(&self) -> &str {
        self.web.url.rsplit_once(':').unwrap().1
    }

    /// chat-backend goes away.
    pub(crate) fn stop_the_backend(&mut self) {
        self.backend = None;
    }

    /// The one number that a query on chat-web's or another database gives.
    pub(crate) async fn number(database: &Database, query: &str) -> i64 {
        let query = Statement::from_string(database.engine(), query);
        database.query_one_raw(query).await.unwrap().unwrap().try_get_by_index(0).unwrap()
    }
}

pub(crate) const PASSWORD: &str = "correct horse battery";

fn web(auth: &Auth, backend: &str, origin: &str, database: &Database) -> Service {
    let key = "07".repeat(32);
    let config = Config::read(&Env::table([
        ("PORT", "0"),
        ("MANA_CORE_AUTH_URL", auth.url.as_str()),
        ("CHAT_BACKEND_URL", backend),
        ("PUBLIC_URL", origin),
        ("SESSION_KEY", &key),
        ("SERVICE_TOKEN", SERVICE_TOKEN),
    ]));
    chat_web::service(&config.unwrap(), database)
}

async fn backend(auth: &Auth, echo: &Running, test_database: &TestDatabase, variables: &[(&str, &str)]) -> Running {
    let usual = [
        ("PORT", "0"),
        ("MANA_CORE_AUTH_URL", auth.url.as_str()),
        ("SERVICE_TOKEN", SERVICE_TOKEN),
        ("TOKEN_ISSUER", ISSUER),
        ("TOKEN_APPS", "chat"),
        ("AI_PROVIDERS", "echo"),
        ("AI_ECHO_URL", &echo.url),
    ];
    // The later of two entries counts.
    let config = chat_backend::Config::read(&Env::table(usual.iter().chain(variables).copied()));
    let database = test_database.connect().await;
    chat_backend::MIGRATIONS.run(&database).await.unwrap();
    let cache = Cache::connect(test_database.redis_url.as_ref()).unwrap();
    // Its background work ends with the runtime of the test.
    let (service, _rest) = chat_backend::start(config.unwrap(), &database, cache).split();
    Running::start(service.into_router()).await
}

/// Writes fields as a browser does.
pub(crate) fn with_form(request: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
}

/// A browser.
pub(crate) struct Browser {
    url: String,
    http: Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

/// What it got.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn location(&self) -> Option<String> {
        self.headers.get(LOCATION).map(|value| value.to_str().unwrap().to_owned())
    }

    /// All that the browser was told.
    pub(crate) fn everything(&self) -> String {
        format!("{:?}{}", self.headers, self.text)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// What stands between two marks.
    pub(crate) fn between(&self, before: &str, after: &str) -> Option<&str> {
        let (_, rest) = self.text.split_once(before)?;
        rest.split_once(after).map(|(value, _)| value)
    }

    /// The token of the forms of this page.
    pub(crate) fn csrf(&self) -> String {
        self.between(r#"name="csrf" value=""#, "\"").unwrap_or_default().to_owned()
    }

    /// The events of a stream.
    pub(crate) fn events(&self) -> Vec<(String, Value)> {
        told::events(&self.text)
    }

    /// The last event of a stream, which is why it failed.
    pub(crate) fn failure(&self) -> Value {
        let (name, data) = self.events().pop().unwrap();
        assert_eq!((self.status, name.as_str()), (StatusCode::OK, "error"), "{data}");
        data
    }
}

impl Browser {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path).header(ACCEPT, "text/html")).await
    }

    /// Loads the page at `page` and sends its form to `path`.
    pub(crate) async fn send_form(&self, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.get(page).await.csrf();
        self.post(path, &csrf, "text/html", fields).await
    }

    /// Asks as the page's script does.
    pub(crate) async fn ask(&self, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.get("/").await.csrf();
        self.post("/ask", &csrf, "text/event-stream", fields).await
    }

    pub(crate) async fn post(&self, path: &str, csrf: &str, accept: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(self.form(path, csrf, accept, fields)).await
    }

    fn form(&self, path: &str, csrf: &str, accept: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let fields: Vec<_> = [("csrf", csrf)].into_iter().chain(fields.iter().copied()).collect();
        let request = self.request(Method::POST, path).header(ORIGIN, ORIGIN_OF_THE_SITE).header(ACCEPT, accept);
        with_form(request, &fields)
    }

    /// Asks as the page's script does, and reads along. Dropping it breaks the connection.
    pub(crate) async fn read_along(&self, csrf: &str, fields: &[(&str, &str)]) -> Telling {
        Telling::of(self.form("/ask", csrf, "text/event-stream", fields).send().await.unwrap())
    }

    /// The same browser, sent to another instance.
    pub(crate) fn at(&self, url: &str) -> Self {
        let cookies = Mutex::new(self.cookies.lock().unwrap().clone());
        Self { url: url.to_owned(), http: self.http.clone(), cookies }
    }

    /// A request with this browser's cookies.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies = self.cookies();
        let request = self.http.request(method, format!("{}{path}", self.url));
        if cookies.is_empty() { request } else { request.header(COOKIE, cookies) }
    }

    pub(crate) fn cookies(&self) -> String {
        let cookies = self.cookies.lock().unwrap();
        cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// Takes over the cookies of another one, as a thief would.
    pub(crate) fn take_cookies_of(&self, other: &Self) {
        self.cookies.lock().unwrap().clone_from(&other.cookies.lock().unwrap());
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        for cookie in headers.get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            let mut cookies = self.cookies.lock().unwrap();
            if cookie.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Answer { status, headers, text: answer.text().await.unwrap() }
    }
}
