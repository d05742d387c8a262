//! mana-core-auth: accounts, tokens, and the balance.

use jiff::{SignedDuration, Timestamp};
use kit::{Credits, client, clock};
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Failure, call, json};
use crate::limits::AUTH_PATIENCE;
use crate::sessions::Tokens;
use crate::visitor::Visitor;

pub(super) const SERVICE: &str = "mana-core-auth";

/// What this app is called in tokens and in the list of a person's sign-ins.
const APP_ID: &str = "chat";

/// Its client.
#[derive(Clone)]
pub(crate) struct Auth {
    pub(super) http: Client,
    url: Url,
}

/// Who signed in.
#[derive(Debug)]
pub(crate) struct SignedIn {
    pub(crate) user: User,
    pub(crate) tokens: Tokens,
}

/// A person.
#[derive(Debug, Deserialize)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) email: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pair {
    access_token: SecretString,
    refresh_token: SecretString,
    expires_in: u32,
    user: User,
}

impl Pair {
    fn signed_in(self, now: Timestamp) -> SignedIn {
        let access_expires_at = now.saturating_add(SignedDuration::from_secs(self.expires_in.into()));
        let tokens = Tokens {
            access: self.access_token,
            refresh: self.refresh_token,
            // Adding seconds to a time cannot fail for want of a calendar.
            access_expires_at: access_expires_at.unwrap_or(now),
        };
        SignedIn { user: self.user, tokens }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Registration<'a> {
    email: &'a str,
    password: &'a str,
    name: &'a str,
    app_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Login<'a> {
    email: &'a str,
    password: &'a str,
    app_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refresh<'a> {
    refresh_token: &'a str,
}

#[derive(Deserialize)]
struct Balance {
    balance: Credits,
}

impl Auth {
    pub(crate) fn new(url: Url) -> Self {
        Self { http: client::internal(), url }
    }

    pub(crate) async fn register(
        &self,
        visitor: &Visitor,
        email: &str,
        password: &SecretString,
        name: &str,
    ) -> Result<SignedIn, Failure> {
        let body = Registration { email, password: password.expose_secret(), name, app_id: APP_ID };
        self.pair(visitor.pass_on(self.post("/api/auth/register")).json(&body)).await
    }

    pub(crate) async fn login(
        &self,
        visitor: &Visitor,
        email: &str,
        password: &SecretString,
    ) -> Result<SignedIn, Failure> {
        let body = Login { email, password: password.expose_secret(), app_id: APP_ID };
        self.pair(visitor.pass_on(self.post("/api/auth/login")).json(&body)).await
    }

    /// Exchanges a refresh token, which is spent by it.
    pub(crate) async fn refresh(&self, token: &SecretString) -> Result<SignedIn, Failure> {
        self.pair(self.post("/api/auth/refresh").json(&Refresh { refresh_token: token.expose_secret() })).await
    }

    pub(crate) async fn logout(&self, token: &SecretString) -> Result<(), Failure> {
        let body = Refresh { refresh_token: token.expose_secret() };
        call(SERVICE, self.post("/api/auth/logout").json(&body)).await.map(drop)
    }

    /// What can be spent, as the ledger has it.
    pub(crate) async fn balance(&self, access: &SecretString) -> Result<Credits, Failure> {
        let request = self.http.get(self.address("/api/credits/balance")).timeout(AUTH_PATIENCE);
        let response = call(SERVICE, request.bearer_auth(access.expose_secret())).await?;
        json::<Balance>(SERVICE, response).await.map(|answer| answer.balance)
    }

    /// Whether it lives.
    pub(crate) async fn ping(&self) -> Result<(), String> {
        call(SERVICE, self.http.get(self.address("/api/health"))).await.map(drop).map_err(|error| error.to_string())
    }

    async fn pair(&self, request: RequestBuilder) -> Result<SignedIn, Failure> {
        // Counted from before the call, so that a slow answer makes a token seem older, never younger.
        let now = clock::now();
        let pair: Pair = json(SERVICE, call(SERVICE, request).await?).await?;
        Ok(pair.signed_in(now))
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(self.address(path)).timeout(AUTH_PATIENCE)
    }

    pub(super) fn address(&self, path: &str) -> Url {
        self.url.join(path).expect("a path of ours")
    }
}
