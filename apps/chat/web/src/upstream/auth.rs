//! mana-core-auth: accounts, tokens, and the balance.

use jiff::{SignedDuration, Timestamp};
use kit::{Credits, client, clock};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::{Failure, call, json as read};
use crate::limits::{AUTH_PATIENCE, PROVIDER_PATIENCE};
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
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) email: String,
}

/// What registering gives.
#[derive(Debug)]
pub(crate) enum Registered {
    In(SignedIn),
    /// The account is made once the letter is answered that is on its way.
    Letter,
}

/// What the first factor gives.
#[derive(Debug)]
pub(crate) enum Entry {
    In(SignedIn),
    /// A code is asked for beside this ticket.
    SecondStep(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WireEntry {
    In(Pair),
    SecondStep { ticket: String },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WireRegistered {
    In(Pair),
    Letter {
        #[serde(rename = "expiresIn")]
        _expires_in: u64,
    },
}

#[derive(Deserialize)]
struct Departure {
    url: String,
    ticket: String,
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
    ) -> Result<Registered, Failure> {
        let body = Registration { email, password: password.expose_secret(), name, app_id: APP_ID };
        let request = visitor.pass_on(self.post("/api/auth/register")).json(&body);
        let now = clock::now();
        Ok(match read(SERVICE, call(SERVICE, request).await?).await? {
            WireRegistered::In(pair) => Registered::In(pair.signed_in(now)),
            WireRegistered::Letter { .. } => Registered::Letter,
        })
    }

    /// Makes the account that was asked for, with the code of the letter.
    pub(crate) async fn confirm(
        &self,
        visitor: &Visitor,
        code: &SecretString,
        password: &SecretString,
    ) -> Result<SignedIn, Failure> {
        let body = json!({ "code": code.expose_secret(), "password": password.expose_secret() });
        self.pair(visitor.pass_on(self.post("/api/auth/register/confirm")).json(&body)).await
    }

    pub(crate) async fn login(
        &self,
        visitor: &Visitor,
        email: &str,
        password: &SecretString,
    ) -> Result<Entry, Failure> {
        let body = Login { email, password: password.expose_secret(), app_id: APP_ID };
        self.entry(visitor.pass_on(self.post("/api/auth/login")).json(&body)).await
    }

    /// The second step of signing in.
    pub(crate) async fn second(
        &self,
        visitor: &Visitor,
        ticket: &str,
        code: &SecretString,
    ) -> Result<SignedIn, Failure> {
        let body = json!({ "ticket": ticket, "code": code.expose_secret() });
        self.pair(visitor.pass_on(self.post("/api/auth/login/second-factor")).json(&body)).await
    }

    /// Signs in with what the browser's passkey gave.
    pub(crate) async fn passkey(&self, visitor: &Visitor, mut body: Value) -> Result<SignedIn, Failure> {
        body["appId"] = APP_ID.into();
        self.pair(visitor.pass_on(self.post("/api/auth/login/passkey")).json(&body)).await
    }

    /// What the provider is called that people can sign in with. `None` where there is none, or nobody can say.
    pub(crate) async fn provider_name(&self) -> Option<String> {
        let request = self.http.get(self.address("/api/auth/login/provider")).timeout(PROVIDER_PATIENCE);
        let told = value(request).await.ok()?;
        told["name"].as_str().map(str::to_owned)
    }

    /// Where to send the browser for the provider, and the ticket it comes back with.
    pub(crate) async fn begin_provider(&self, visitor: &Visitor, back: &str) -> Result<(String, String), Failure> {
        let body = json!({ "redirectUri": back, "appId": APP_ID });
        let call_ = visitor.pass_on(self.post("/api/auth/login/provider/begin")).json(&body);
        let departure: Departure = read(SERVICE, call(SERVICE, call_).await?).await?;
        Ok((departure.url, departure.ticket))
    }

    /// Signs in whom the provider has sent back.
    pub(crate) async fn finish_provider(
        &self,
        visitor: &Visitor,
        ticket: &str,
        code: &str,
        state: &str,
    ) -> Result<Entry, Failure> {
        let body = json!({ "ticket": ticket, "code": code, "state": state });
        self.entry(visitor.pass_on(self.post("/api/auth/login/provider/finish")).json(&body)).await
    }

    /// Changes the password; all sessions end, and this is a new one.
    pub(crate) async fn change_password(
        &self,
        visitor: &Visitor,
        access: &SecretString,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<SignedIn, Failure> {
        let body = json!({ "currentPassword": old.expose_secret(), "newPassword": new.expose_secret() });
        let request = visitor.pass_on(self.post("/api/auth/password")).bearer_auth(access.expose_secret());
        self.pair(request.json(&body)).await
    }

    /// A call about a person's own account. What has no body gives `null`.
    pub(crate) async fn own(
        &self,
        visitor: &Visitor,
        access: &SecretString,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let request = self.http.request(method, self.address(path)).timeout(AUTH_PATIENCE);
        let request = visitor.pass_on(request).bearer_auth(access.expose_secret());
        value(if let Some(body) = body { request.json(body) } else { request }).await
    }

    /// A call that needs no token. What has no body gives `null`.
    pub(crate) async fn open(&self, visitor: &Visitor, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        let request = visitor.pass_on(self.post(path));
        value(if let Some(body) = body { request.json(&body) } else { request }).await
    }

    async fn entry(&self, request: RequestBuilder) -> Result<Entry, Failure> {
        let now = clock::now();
        Ok(match read(SERVICE, call(SERVICE, request).await?).await? {
            WireEntry::In(pair) => Entry::In(pair.signed_in(now)),
            WireEntry::SecondStep { ticket } => Entry::SecondStep(ticket),
        })
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
        read::<Balance>(SERVICE, response).await.map(|answer| answer.balance)
    }

    /// Whether it lives.
    pub(crate) async fn ping(&self) -> Result<(), String> {
        call(SERVICE, self.http.get(self.address("/api/health"))).await.map(drop).map_err(|error| error.to_string())
    }

    async fn pair(&self, request: RequestBuilder) -> Result<SignedIn, Failure> {
        // Counted from before the call, so that a slow answer makes a token seem older, never younger.
        let now = clock::now();
        let pair: Pair = read(SERVICE, call(SERVICE, request).await?).await?;
        Ok(pair.signed_in(now))
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(self.address(path)).timeout(AUTH_PATIENCE)
    }

    pub(super) fn address(&self, path: &str) -> Url {
        self.url.join(path).expect("a path of ours")
    }
}

/// Makes a call whose answer may be empty.
async fn value(request: RequestBuilder) -> Result<Value, Failure> {
    let response = call(SERVICE, request).await?;
    if response.status() == StatusCode::NO_CONTENT || response.content_length() == Some(0) {
        return Ok(Value::Null);
    }
    read(SERVICE, response).await
}
