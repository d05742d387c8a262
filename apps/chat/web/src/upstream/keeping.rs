//! chat-backend: what is done with conversations beside talking, and API keys.

use reqwest::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json as object;
use uuid::Uuid;

use super::backend::{Attachment, Backend, Conversation, SERVICE};
use super::{Failure, call, json};
use crate::limits::BACKEND_PATIENCE;
use crate::visitor::Visitor;

/// A conversation that was found.
#[derive(Debug, Deserialize)]
pub(crate) struct Hit {
    pub(crate) conversation: Conversation,
    pub(crate) message: Option<MessageHit>,
}

/// The message it was found by.
#[derive(Debug, Deserialize)]
pub(crate) struct MessageHit {
    pub(crate) role: String,
    pub(crate) excerpt: String,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<Hit>,
}

/// A link to a conversation.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Share {
    pub(crate) id: Uuid,
    pub(crate) token: String,
    pub(crate) created_at: jiff::Timestamp,
}

#[derive(Deserialize)]
struct Shares {
    shares: Vec<Share>,
}

/// What a link shows.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shared {
    pub(crate) title: String,
    #[serde(rename = "sharedAt")]
    pub(crate) at: jiff::Timestamp,
    pub(crate) messages: Vec<SharedMessage>,
    pub(crate) next_cursor: Option<String>,
}

/// A message of it.
#[derive(Debug, Deserialize)]
pub(crate) struct SharedMessage {
    pub(crate) role: String,
    pub(crate) content: String,
    #[serde(default)]
    pub(crate) attachments: Vec<Attachment>,
}

/// A key, without what opens anything.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKey {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) prefix: String,
    pub(crate) created_at: jiff::Timestamp,
    pub(crate) last_used_at: Option<jiff::Timestamp>,
}

#[derive(Deserialize)]
struct ApiKeys {
    keys: Vec<ApiKey>,
}

/// A key just made.
#[derive(Deserialize)]
pub(crate) struct NewApiKey {
    pub(crate) name: String,
    pub(crate) key: SecretString,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Preferences {
    system_prompt: String,
}

impl Backend {
    pub(crate) async fn search(&self, access: &SecretString, words: &str) -> Result<Vec<Hit>, Failure> {
        let mut url = self.address("/api/search");
        url.query_pairs_mut().append_pair("q", words);
        json::<Hits>(SERVICE, call(SERVICE, self.request(Method::GET, url, access)).await?).await.map(|it| it.hits)
    }

    pub(crate) async fn show_branch(&self, access: &SecretString, id: Uuid, message: Uuid) -> Result<(), Failure> {
        let request = self.request(Method::PUT, self.address(&format!("/api/conversations/{id}/branch")), access);
        call(SERVICE, request.json(&object!({ "messageId": message }))).await.map(drop)
    }

    pub(crate) async fn shares(&self, access: &SecretString, id: Uuid) -> Result<Vec<Share>, Failure> {
        let request = self.request(Method::GET, self.links(id), access);
        json::<Shares>(SERVICE, call(SERVICE, request).await?).await.map(|it| it.shares)
    }

    pub(crate) async fn share(&self, access: &SecretString, id: Uuid) -> Result<(), Failure> {
        call(SERVICE, self.request(Method::POST, self.links(id), access)).await.map(drop)
    }

    pub(crate) async fn unshare(&self, access: &SecretString, id: Uuid, share: Uuid) -> Result<(), Failure> {
        let url = self.address(&format!("/api/conversations/{id}/shares/{share}"));
        call(SERVICE, self.request(Method::DELETE, url, access)).await.map(drop)
    }

    /// What a link shows, to anybody.
    pub(crate) async fn shared(&self, visitor: &Visitor, token: &str, cursor: Option<&str>) -> Result<Shared, Failure> {
        let mut url = self.address("/api/shared/");
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(token);
        }
        if let Some(cursor) = cursor {
            url.query_pairs_mut().append_pair("cursor", cursor);
        }
        json(SERVICE, call(SERVICE, visitor.pass_on(self.http.get(url).timeout(BACKEND_PATIENCE))).await?).await
    }

    /// Deletes every conversation.
    pub(crate) async fn delete_all(&self, access: &SecretString) -> Result<(), Failure> {
        call(SERVICE, self.request(Method::DELETE, self.address("/api/conversations"), access)).await.map(drop)
    }

    pub(crate) async fn system_prompt(&self, access: &SecretString) -> Result<String, Failure> {
        let request = self.request(Method::GET, self.address("/api/preferences"), access);
        json::<Preferences>(SERVICE, call(SERVICE, request).await?).await.map(|it| it.system_prompt)
    }

    pub(crate) async fn prefer(&self, access: &SecretString, system_prompt: &str) -> Result<(), Failure> {
        let request = self.request(Method::PUT, self.address("/api/preferences"), access);
        call(SERVICE, request.json(&object!({ "systemPrompt": system_prompt }))).await.map(drop)
    }

    pub(crate) async fn api_keys(&self, access: &SecretString) -> Result<Vec<ApiKey>, Failure> {
        let request = self.request(Method::GET, self.address("/api/keys"), access);
        json::<ApiKeys>(SERVICE, call(SERVICE, request).await?).await.map(|it| it.keys)
    }

    pub(crate) async fn make_key(&self, access: &SecretString, name: &str) -> Result<NewApiKey, Failure> {
        let request = self.request(Method::POST, self.address("/api/keys"), access);
        json(SERVICE, call(SERVICE, request.json(&object!({ "name": name }))).await?).await
    }

    pub(crate) async fn revoke_key(&self, access: &SecretString, id: Uuid) -> Result<(), Failure> {
        call(SERVICE, self.request(Method::DELETE, self.address(&format!("/api/keys/{id}")), access)).await.map(drop)
    }

    fn links(&self, id: Uuid) -> url::Url {
        self.address(&format!("/api/conversations/{id}/shares"))
    }
}
