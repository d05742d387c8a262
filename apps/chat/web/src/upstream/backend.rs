//! chat-backend: conversations, models, answers.

use std::time::Duration;

use kit::{Credits, client};
use reqwest::{Client, Method, RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json as object};
use url::Url;
use uuid::Uuid;

use super::stream::Stream;
use super::{Failure, call, json};
use crate::limits::{BACKEND_PATIENCE, CONVERSATIONS_A_PAGE, FIRST_WORD_PATIENCE};

pub(super) const SERVICE: &str = "chat-backend";

/// Its client.
#[derive(Clone)]
pub(crate) struct Backend {
    pub(super) http: Client,
    url: Url,
}

/// A conversation.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Conversation {
    pub(crate) id: Uuid,
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) archived: bool,
    /// Its own instructions for the model.
    pub(crate) system_prompt: Option<String>,
}

/// Part of the list, the one changed last first.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConversationPage {
    pub(crate) conversations: Vec<Conversation>,
    pub(crate) next_cursor: Option<String>,
}

/// Something that was said.
#[derive(Debug, Deserialize)]
pub(crate) struct Message {
    pub(crate) id: Uuid,
    pub(crate) role: String,
    pub(crate) content: String,
    /// Of answers: who gave it.
    pub(crate) model: Option<String>,
    /// Of answers: how it ended.
    pub(crate) finish: Option<String>,
    /// Texts that came with a question.
    #[serde(default)]
    pub(crate) attachments: Vec<Attachment>,
    /// All that stand side by side here, itself among them; none where it is alone.
    #[serde(default)]
    pub(crate) versions: Vec<Uuid>,
}

/// A text that comes with a question.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Attachment {
    pub(crate) name: String,
    pub(crate) content: String,
}

/// A conversation with its newest messages, or those before a cursor.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Thread {
    #[serde(flatten)]
    pub(crate) conversation: Conversation,
    pub(crate) messages: Vec<Message>,
    pub(crate) next_cursor: Option<String>,
}

/// A model on offer.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Model {
    pub(crate) id: String,
    pub(crate) credits: Credits,
    #[serde(default)]
    pub(crate) default: bool,
}

#[derive(Deserialize)]
struct ModelList {
    models: Vec<Model>,
}

/// What a person asks.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) text: &'a str,
    pub(crate) model: Option<&'a str>,
    pub(crate) conversation: Uuid,
    pub(crate) place: Place,
    pub(crate) attachments: &'a [Attachment],
    /// What makes it the same question when it is asked again.
    pub(crate) key: Option<&'a str>,
}

/// Where in its conversation a question goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    End,
    /// In the place of this question.
    InsteadOf(Uuid),
    /// Nowhere: another answer beside this one.
    Again(Uuid),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Completion<'a> {
    messages: Vec<CompletionMessage<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edit: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regenerate: Option<Uuid>,
    attachments: &'a [Attachment],
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    conversation_id: Uuid,
    stream: bool,
}

#[derive(Serialize)]
struct CompletionMessage<'a> {
    role: &'a str,
    content: &'a str,
}

impl Backend {
    pub(crate) fn new(url: Url) -> Self {
        Self { http: client::streaming(), url }
    }

    pub(crate) async fn conversations(
        &self,
        access: &SecretString,
        archived: bool,
        cursor: Option<&str>,
    ) -> Result<ConversationPage, Failure> {
        let mut url = self.address("/api/conversations");
        url.query_pairs_mut().append_pair("limit", &CONVERSATIONS_A_PAGE.to_string());
        url.query_pairs_mut().append_pair("archived", &archived.to_string());
        if let Some(cursor) = cursor {
            url.query_pairs_mut().append_pair("cursor", cursor);
        }
        json(SERVICE, call(SERVICE, self.request(Method::GET, url, access)).await?).await
    }

    pub(crate) async fn thread(
        &self,
        access: &SecretString,
        id: Uuid,
        cursor: Option<&str>,
    ) -> Result<Thread, Failure> {
        let mut url = self.conversation(id);
        if let Some(cursor) = cursor {
            url.query_pairs_mut().append_pair("cursor", cursor);
        }
        json(SERVICE, call(SERVICE, self.request(Method::GET, url, access)).await?).await
    }

    /// Makes an empty conversation, named by its first question.
    pub(crate) async fn create(&self, access: &SecretString) -> Result<Uuid, Failure> {
        let url = self.address("/api/conversations");
        let request = self.request(Method::POST, url, access).json(&object!({}));
        json::<Conversation>(SERVICE, call(SERVICE, request).await?).await.map(|made| made.id)
    }

    /// Changes what `change` names.
    pub(crate) async fn change(&self, access: &SecretString, id: Uuid, change: &Value) -> Result<(), Failure> {
        let request = self.request(Method::PATCH, self.conversation(id), access);
        call(SERVICE, request.json(change)).await.map(drop)
    }

    pub(crate) async fn delete(&self, access: &SecretString, id: Uuid) -> Result<(), Failure> {
        call(SERVICE, self.request(Method::DELETE, self.conversation(id), access)).await.map(drop)
    }

    /// Deletes it if nothing was said in it; whether that was so.
    pub(crate) async fn delete_empty(&self, access: &SecretString, id: Uuid) -> Result<bool, Failure> {
        let mut url = self.conversation(id);
        url.query_pairs_mut().append_pair("if", "empty");
        match call(SERVICE, self.request(Method::DELETE, url, access)).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.is_conflict() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    pub(crate) async fn models(&self, access: &SecretString) -> Result<Vec<Model>, Failure> {
        let request = self.request(Method::GET, self.address("/api/models"), access);
        json::<ModelList>(SERVICE, call(SERVICE, request).await?).await.map(|list| list.models)
    }

    /// Asks and waits for the whole answer, which is stored by then.
    pub(crate) async fn ask(&self, access: &SecretString, question: &Question<'_>) -> Result<(), Failure> {
        let request = self.completion(access, question, false).timeout(FIRST_WORD_PATIENCE);
        call(SERVICE, request).await.map(drop)
    }

    /// Asks and gives the answer as it is written. Dropping it stops the model.
    pub(crate) async fn ask_streaming(
        &self,
        access: &SecretString,
        question: &Question<'_>,
    ) -> Result<Stream, Failure> {
        let asked = call(SERVICE, self.completion(access, question, true));
        let late = |_| Failure::Away { service: SERVICE, reason: format!("no word within {FIRST_WORD_PATIENCE:?}") };
        let response = tokio::time::timeout(FIRST_WORD_PATIENCE, asked).await.map_err(late)??;
        Stream::of(response).await
    }

    /// A file to be taken away, as it is made.
    pub(crate) async fn export(
        &self,
        access: &SecretString,
        conversation: Option<Uuid>,
        format: &str,
    ) -> Result<Response, Failure> {
        let mut url = match conversation {
            Some(id) => self.address(&format!("/api/conversations/{id}/export")),
            None => self.address("/api/export"),
        };
        url.query_pairs_mut().append_pair("format", format);
        let asked = call(SERVICE, self.http.get(url).bearer_auth(access.expose_secret()));
        let late = |_| Failure::Away { service: SERVICE, reason: format!("nothing within {BACKEND_PATIENCE:?}") };
        tokio::time::timeout(BACKEND_PATIENCE, asked).await.map_err(late)?
    }

    /// Whether it lives.
    pub(crate) async fn ping(&self) -> Result<(), String> {
        let request = self.http.get(self.address("/api/health")).timeout(Duration::from_secs(2));
        call(SERVICE, request).await.map(drop).map_err(|error| error.to_string())
    }

    fn completion(&self, access: &SecretString, question: &Question<'_>, stream: bool) -> RequestBuilder {
        let url = self.address("/api/chat/completions");
        let (edit, regenerate) = match question.place {
            Place::End => (None, None),
            Place::InsteadOf(id) => (Some(id), None),
            Place::Again(id) => (None, Some(id)),
        };
        let asked = CompletionMessage { role: "user", content: question.text };
        let mut request = self.http.post(url).bearer_auth(access.expose_secret());
        if let Some(key) = question.key {
            request = request.header("idempotency-key", key);
        }
        // A stream may go on for as long as it says something; the caller bounds its waits.
        request.json(&Completion {
            messages: if regenerate.is_some() { Vec::new() } else { vec![asked] },
            edit,
            regenerate,
            attachments: question.attachments,
            model: question.model,
            conversation_id: question.conversation,
            stream,
        })
    }

    pub(super) fn request(&self, method: Method, url: Url, access: &SecretString) -> RequestBuilder {
        self.http.request(method, url).bearer_auth(access.expose_secret()).timeout(BACKEND_PATIENCE)
    }

    pub(super) fn conversation(&self, id: Uuid) -> Url {
        self.address(&format!("/api/conversations/{id}"))
    }

    pub(super) fn address(&self, path: &str) -> Url {
        self.url.join(path).expect("a path of ours")
    }
}
