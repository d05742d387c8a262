//! Where in a conversation a call's exchange goes, and what was said before it there.

use ai::{Message, Role};
use kit::FieldError;
use uuid::Uuid;

use super::attachments::{self, Attachment};
use super::{Store, preferences};
use crate::caller::Caller;
use crate::entity::{conversation, message};
use crate::failure::Failure;
use crate::ids::ConversationId;
use crate::lifecycle::{Call, storage};
use crate::limits::{MAX_BRANCHES, MAX_HISTORY_CHARS, MAX_HISTORY_MESSAGES};
use crate::validate::{Input, InputMessage};

/// What the caller says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Place {
    /// After the end of the branch that is shown.
    #[default]
    End,
    /// After this message.
    After(Uuid),
    /// Beside this question, in its place.
    InsteadOf(Uuid),
    /// Another answer beside this one, to the same question.
    Again(Uuid),
}

impl Place {
    /// The name that callers give it.
    fn field(self) -> &'static str {
        match self {
            Self::End => "conversationId",
            Self::After(_) => "parentId",
            Self::InsteadOf(_) => "edit",
            Self::Again(_) => "regenerate",
        }
    }
}

/// Where it goes.
#[derive(Debug, Default)]
pub(crate) struct Spot {
    pub(crate) conversation: Option<conversation::Model>,
    /// What the exchange follows.
    pub(crate) parent: Option<Uuid>,
    /// A question that is stored already and to be answered again; `parent` is its id.
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    question: message::Model,
    attachments: Vec<Attachment>,
}

impl Spot {
    /// Finds it. A conversation that is not the caller's is none.
    pub(crate) async fn find(store: &Store, caller: &Caller, call: &Call) -> Result<Self, Failure> {
        let wrong = attachments::check(&call.attachments);
        if !wrong.is_empty() {
            return Err(Failure::Invalid(wrong));
        }
        let Some(text) = call.input.conversation_id.as_deref() else {
            return if call.place == Place::End { Ok(Self::default()) } else { Err(needs_conversation()) };
        };
        // What is no id is named by the check of the whole call.
        let Ok(id) = Uuid::parse_str(text).map(ConversationId) else { return Ok(Self::default()) };
        let found = store.find(caller.user, id).await.map_err(|e| storage(&e))?.ok_or(Failure::NoConversation)?;
        let spot = match call.place {
            Place::End => Self { parent: store.leaf(&found).await.map_err(|e| storage(&e))?, ..Self::default() },
            Place::After(message) => {
                let said = of_role(store, id, message, Role::Assistant).await?;
                Self { parent: Some(said.ok_or_else(|| no_message(call.place, "answer"))?.id), ..Self::default() }
            }
            Place::InsteadOf(message) => {
                let asked = of_role(store, id, message, Role::User).await?;
                Self { parent: asked.ok_or_else(|| no_message(call.place, "question"))?.parent_id, ..Self::default() }
            }
            Place::Again(message) => Self::again(store, id, message).await?,
        };
        if call.place != Place::End {
            let versions = store.versions(id, spot.parent).await.map_err(|e| storage(&e))?;
            if versions >= MAX_BRANCHES {
                let says = format!("has {MAX_BRANCHES} versions already; no more are kept side by side");
                return Err(Failure::Invalid(vec![FieldError::new(call.place.field(), says)]));
            }
        }
        Ok(Self { conversation: Some(found), ..spot })
    }

    async fn again(store: &Store, id: ConversationId, answer: Uuid) -> Result<Self, Failure> {
        let missing = || no_message(Place::Again(answer), "answer to a question");
        let answer = of_role(store, id, answer, Role::Assistant).await?.ok_or_else(missing)?;
        let question = of_role(store, id, answer.parent_id.ok_or_else(missing)?, Role::User).await?;
        let question = question.ok_or_else(missing)?;
        let mut attachments = store.attachments(&[question.id]).await.map_err(|e| storage(&e))?;
        let attachments = attachments.remove(&question.id).unwrap_or_default();
        Ok(Self { parent: Some(question.id), asked: Some(Asked { question, attachments }), ..Self::default() })
    }

    /// The call's input, with the question that is to be answered again.
    pub(crate) fn input(&self, input: &Input) -> Input {
        let Some(asked) = &self.asked else { return input.clone() };
        let question = InputMessage { role: Role::User.as_str().into(), content: asked.question.content.clone() };
        Input { messages: vec![question], ..input.clone() }
    }

    /// Whether the question is stored already.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// What the model is to read for a single new message: instructions, what was said before on this branch, the question.
    pub(crate) async fn messages(
        &self,
        store: &Store,
        caller: &Caller,
        call: &Call,
        question: &str,
    ) -> Result<Vec<Message>, Failure> {
        let mut messages = Vec::new();
        let system = preferences::system_prompt(store, caller.user, self.conversation.as_ref()).await;
        if let Some(content) = system.map_err(|e| storage(&e))? {
            messages.push(Message { role: Role::System, content });
        }
        let before = self.asked.as_ref().map_or(self.parent, |asked| asked.question.parent_id);
        if let (Some(conversation), Some(before)) = (&self.conversation, before) {
            messages.extend(history(store, ConversationId(conversation.id), before).await?);
        }
        let attached = self.asked.as_ref().map_or(&call.attachments, |asked| &asked.attachments);
        messages.push(Message { role: Role::User, content: attachments::with_question(question, attached) });
        Ok(messages)
    }
}

/// What was said from the beginning to `leaf`, oldest first, as much as the limits let the model read.
async fn history(store: &Store, id: ConversationId, leaf: Uuid) -> Result<Vec<Message>, Failure> {
    let newest_first = store.path(id, leaf, MAX_HISTORY_MESSAGES).await.map_err(|e| storage(&e))?;
    let ids: Vec<_> = newest_first.iter().map(|message| message.id).collect();
    let attached = store.attachments(&ids).await.map_err(|e| storage(&e))?;
    let mut chars = 0;
    let whole = newest_first.into_iter().map(|message| {
        let role = if message.role == Role::Assistant.as_str() { Role::Assistant } else { Role::User };
        let attached = attached.get(&message.id).map(Vec::as_slice).unwrap_or_default();
        Message { role, content: attachments::with_question(&message.content, attached) }
    });
    let mut messages: Vec<Message> = whole
        .take_while(|message| {
            chars += message.content.chars().count();
            chars <= MAX_HISTORY_CHARS
        })
        .collect();
    messages.reverse();
    Ok(messages)
}

async fn of_role(
    store: &Store,
    id: ConversationId,
    message: Uuid,
    role: Role,
) -> Result<Option<message::Model>, Failure> {
    let found = store.message(id, message).await.map_err(|e| storage(&e))?;
    Ok(found.filter(|message| message.role == role.as_str()))
}

fn needs_conversation() -> Failure {
    let says = "is needed to say where in a conversation the message goes";
    Failure::Invalid(vec![FieldError::new("conversationId", says)])
}

fn no_message(place: Place, what: &str) -> Failure {
    Failure::Invalid(vec![FieldError::new(place.field(), format!("is no {what} of this conversation"))])
}
