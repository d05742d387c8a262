//! People who use the apps: they register and chat through the edge.

use std::sync::atomic::{AtomicU32, Ordering};

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use crate::Ecosystem;

/// Someone with an account.
pub struct Person {
    client: Client,
    api: String,
    auth: String,
    /// The access token.
    pub token: String,
    /// The e-mail address.
    pub email: String,
}

static NEXT: AtomicU32 = AtomicU32::new(1);

/// What every person's password is.
pub const PASSWORD: &str = "correct horse battery staple";

impl Person {
    /// Registers a new person.
    pub async fn register(ecosystem: &Ecosystem) -> Self {
        let client = ecosystem.client();
        let email = format!("person{}-{}@example.com", NEXT.fetch_add(1, Ordering::Relaxed), std::process::id());
        let auth = ecosystem.url("auth.localhost");
        let answer = client
            .post(format!("{auth}/api/auth/register"))
            .json(&json!({ "email": email, "password": PASSWORD, "name": "Person" }))
            .send()
            .await
            .expect("register");
        assert_eq!(answer.status(), StatusCode::CREATED, "{}", answer.text().await.unwrap_or_default());
        let body: Value = answer.json().await.expect("JSON");
        let token = body["accessToken"].as_str().expect("accessToken").to_owned();
        Self { client, api: ecosystem.url("api-chat.localhost"), auth, token, email }
    }

    /// Sends a chat completion.
    pub async fn complete(&self, body: Value) -> Response {
        let url = format!("{}/api/chat/completions", self.api);
        self.client.post(url).bearer_auth(&self.token).json(&body).send().await.expect("completion")
    }

    /// Asks one thing of a model, the default one where `model` is absent.
    pub async fn ask(&self, question: &str, model: Option<&str>) -> Response {
        let mut body = json!({ "messages": [{ "role": "user", "content": question }] });
        if let Some(model) = model {
            body["model"] = model.into();
        }
        self.complete(body).await
    }

    /// Reads any path of the chat API.
    pub async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.api)).bearer_auth(&self.token).send().await.expect("get")
    }

    /// The ledger's own word on the balance.
    pub async fn balance(&self) -> Value {
        let url = format!("{}/api/credits/balance", self.auth);
        let answer = self.client.get(url).bearer_auth(&self.token).send().await.expect("balance");
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.expect("JSON")
    }
}
