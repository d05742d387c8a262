//! Credits at mana-core-auth: the history, and gift codes.

use kit::Credits;
use reqwest::Response;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json as object;

use super::auth::SERVICE;
use super::{Auth, Failure, call, json};
use crate::limits::{AUTH_PATIENCE, EXPORT_PATIENCE};

/// Part of the history, the newest first.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct History {
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) next_cursor: Option<String>,
}

/// One line of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Transaction {
    pub(crate) kind: String,
    /// What it added to, or took from, what can be spent.
    pub(crate) amount: Credits,
    /// What could be spent after it.
    pub(crate) balance: Credits,
    pub(crate) reason: String,
    /// RFC 3339, UTC.
    pub(crate) created_at: String,
}

/// What can be spent, by where it comes from.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Standing {
    pub(crate) balance: Credits,
    pub(crate) free: Credits,
    pub(crate) paid: Credits,
}

impl Auth {
    /// What can be spent, and where it comes from.
    pub(crate) async fn standing(&self, access: &SecretString) -> Result<Standing, Failure> {
        let request = self.http.get(self.address("/api/credits/balance")).timeout(AUTH_PATIENCE);
        json(SERVICE, call(SERVICE, request.bearer_auth(access.expose_secret())).await?).await
    }

    pub(crate) async fn history(&self, access: &SecretString, cursor: Option<&str>) -> Result<History, Failure> {
        let mut url = self.address("/api/credits/transactions");
        if let Some(cursor) = cursor {
            url.query_pairs_mut().append_pair("cursor", cursor);
        }
        let request = self.http.get(url).timeout(AUTH_PATIENCE).bearer_auth(access.expose_secret());
        json(SERVICE, call(SERVICE, request).await?).await
    }

    /// The whole history as CSV, as it is read.
    pub(crate) async fn export(&self, access: &SecretString) -> Result<Response, Failure> {
        self.file(access, "/api/credits/transactions.csv").await
    }

    /// All that is kept of an account, as it is read.
    pub(crate) async fn export_account(&self, access: &SecretString) -> Result<Response, Failure> {
        self.file(access, "/api/auth/account/export").await
    }

    async fn file(&self, access: &SecretString, path: &str) -> Result<Response, Failure> {
        let request = self.http.get(self.address(path)).timeout(EXPORT_PATIENCE);
        call(SERVICE, request.bearer_auth(access.expose_secret())).await
    }

    /// Turns a gift code into credits.
    pub(crate) async fn redeem(&self, access: &SecretString, code: &str) -> Result<(), Failure> {
        let request = self.post("/api/credits/redeem").bearer_auth(access.expose_secret());
        call(SERVICE, request.json(&object!({ "code": code }))).await.map(drop)
    }
}
