//! Whether a call makes sense, before anything is spent on it. Pure: what needs the database is asked in the lifecycle.
//!
//! All problems are found at once, each with the field it is in, by the name the caller gave it.

use ai::{Catalog, Message, Offer, Role};
use kit::FieldError;
use uuid::Uuid;

use crate::ids::ConversationId;
use crate::limits::{MADE_TITLE_CHARS, MAX_CALL_CHARS, MAX_CONTENT_CHARS, MAX_MESSAGES};

/// A call as it came, of either protocol.
#[derive(Debug, Clone, Default)]
pub(crate) struct Input {
    pub(crate) messages: Vec<InputMessage>,
    pub(crate) model: Option<String>,
    pub(crate) conversation_id: Option<String>,
    /// Parameters to hand through.
    pub(crate) parameters: serde_json::Map<String, serde_json::Value>,
    /// The messages as OpenAI's protocol had them, to be handed through as they are; `messages` then hold their texts.
    pub(crate) raw_messages: Option<Vec<serde_json::Value>>,
    /// How many answers are asked for; 0 stands for one.
    pub(crate) choices: u32,
}

/// One message as it came.
#[derive(Debug, Clone)]
pub(crate) struct InputMessage {
    pub(crate) role: String,
    pub(crate) content: String,
}

/// A call that makes sense.
#[derive(Debug, Clone)]
pub(crate) struct Valid {
    pub(crate) offer: Offer,
    /// What the caller said, the question last.
    pub(crate) messages: Vec<Message>,
    pub(crate) conversation: Option<ConversationId>,
}

impl Valid {
    /// The message that is answered and stored.
    pub(crate) fn question(&self) -> &str {
        self.messages.last().map_or("", |m| m.content.as_str())
    }
}

/// Checks everything about a call that can be seen by looking at it.
pub(crate) fn check(input: &Input, catalog: &Catalog) -> Result<Valid, Vec<FieldError>> {
    let mut wrong = Vec::new();
    let messages = check_messages(&input.messages, input.raw_messages.is_some(), &mut wrong);
    let offer = match input.model.as_deref() {
        None | Some("") => Some(catalog.default_offer()),
        Some(model) => {
            let offer = catalog.find(model);
            if offer.is_none() {
                let known: Vec<_> = catalog.offers().iter().map(|o| o.model.as_str()).collect();
                wrong.push(FieldError::new(
                    "model",
                    format!("{model:?} is not offered; there are {}", known.join(", ")),
                ));
            }
            offer
        }
    };
    let conversation = input.conversation_id.as_deref().and_then(|text| {
        let id = Uuid::parse_str(text).ok().map(ConversationId);
        if id.is_none() {
            wrong.push(FieldError::new("conversationId", "must be a UUID"));
        }
        id
    });
    match offer {
        Some(offer) if wrong.is_empty() => Ok(Valid { offer: offer.clone(), messages, conversation }),
        _ => Err(wrong),
    }
}

fn check_messages(input: &[InputMessage], speaks_openai: bool, wrong: &mut Vec<FieldError>) -> Vec<Message> {
    if input.is_empty() {
        wrong.push(FieldError::new("messages", "must hold at least one message"));
    }
    if input.len() > MAX_MESSAGES {
        wrong.push(FieldError::new("messages", format!("holds {}; {MAX_MESSAGES} are allowed", input.len())));
        return Vec::new();
    }
    let mut messages = Vec::with_capacity(input.len());
    let mut chars_in_all = 0;
    for (n, message) in input.iter().enumerate() {
        let chars = message.content.chars().count();
        chars_in_all += chars;
        // A message that only calls tools, or their result, says nothing in words.
        let may_be_empty = matches!(message.role.as_str(), "assistant" | "tool" | "function") && speaks_openai;
        if message.content.trim().is_empty() && !may_be_empty {
            wrong.push(FieldError::new(format!("messages[{n}].content"), "must not be empty"));
        } else if chars > MAX_CONTENT_CHARS {
            let says = format!("has {chars} characters; {MAX_CONTENT_CHARS} are allowed");
            wrong.push(FieldError::new(format!("messages[{n}].content"), says));
        } else if message.content.contains('\0') {
            // PostgreSQL cannot store it.
            wrong.push(FieldError::new(format!("messages[{n}].content"), "must not contain the character U+0000"));
        }
        let role = match message.role.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            // OpenAI renamed `system` for newer models; it means the same.
            "system" | "developer" => Role::System,
            // What a tool gave: for storing and counting it is something said to the model.
            "tool" | "function" if speaks_openai => Role::User,
            _ => {
                let says = "must be one of user, assistant, system, developer";
                wrong.push(FieldError::new(format!("messages[{n}].role"), says));
                continue;
            }
        };
        if n + 1 == input.len() && role != Role::User {
            wrong
                .push(FieldError::new(format!("messages[{n}].role"), "must be user: the last message is the question"));
        }
        messages.push(Message { role, content: message.content.clone() });
    }
    if chars_in_all > MAX_CALL_CHARS {
        let says = format!("hold {chars_in_all} characters together; {MAX_CALL_CHARS} are allowed");
        wrong.push(FieldError::new("messages", says));
    }
    messages
}

/// A conversation's name made from its first question: its first words, on one line.
pub(crate) fn title(question: &str) -> String {
    let line = question.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MADE_TITLE_CHARS {
        return line;
    }
    let cut: String = line.chars().take(MADE_TITLE_CHARS - 1).collect();
    // At a word's end, unless that would leave almost nothing.
    let end = cut.rfind(' ').filter(|&at| at > MADE_TITLE_CHARS / 2).unwrap_or(cut.len());
    format!("{}…", &cut[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        ai::config::catalog(|name| match name {
            "AI_PROVIDERS" => Some("echo".into()),
            "AI_ECHO_URL" => Some("http://127.0.0.1:1".into()),
            _ => None,
        })
        .unwrap()
    }

    fn input(messages: &[(&str, &str)]) -> Input {
        let messages = messages
            .iter()
            .map(|(role, content)| InputMessage { role: (*role).into(), content: (*content).into() })
            .collect();
        Input { messages, ..Input::default() }
    }

    fn check_fields(input: &Input, want: &[&str]) {
        let got = match check(input, &catalog()) {
            Ok(_) => Vec::new(),
            Err(wrong) => wrong.into_iter().map(|w| w.field).collect(),
        };
        assert_eq!(got, want, "{:?}", input.messages.first());
    }

    #[test]
    fn every_problem_is_named_with_its_field() {
        check_fields(&input(&[("user", "hi")]), &[]);
        check_fields(&input(&[("developer", "be brief"), ("user", "hi")]), &[]);
        check_fields(&input(&[]), &["messages"]);
        check_fields(&input(&[("user", "")]), &["messages[0].content"]);
        check_fields(&input(&[("user", " \n ")]), &["messages[0].content"]);
        check_fields(&input(&[("user", "a\0b")]), &["messages[0].content"]);
        check_fields(&input(&[("robot", "hi")]), &["messages[0].role"]);
        check_fields(
            &input(&[("robot", ""), ("user", "")]),
            &["messages[0].content", "messages[0].role", "messages[1].content"],
        );
        check_fields(&input(&[("user", "hi"), ("assistant", "hello")]), &["messages[1].role"]);
        let long = "x".repeat(MAX_CONTENT_CHARS + 1);
        check_fields(&input(&[("user", &long)]), &["messages[0].content"]);
        check_fields(&input(&vec![("user", "hi"); MAX_MESSAGES + 1]), &["messages"]);
        let full = "x".repeat(MAX_CONTENT_CHARS);
        check_fields(&input(&[("user", full.as_str()); 13]), &["messages"]);
        let odd = Input { model: Some("gpt-9".into()), conversation_id: Some("7".into()), ..input(&[("user", "hi")]) };
        check_fields(&odd, &["model", "conversationId"]);
    }

    #[test]
    fn a_call_without_model_gets_the_default() {
        let valid = check(&input(&[("user", "hi")]), &catalog()).unwrap();
        assert_eq!((valid.offer.model.as_str(), valid.question()), ("echo", "hi"));
    }

    #[test]
    fn titles_are_one_short_line() {
        let long = "word ".repeat(40);
        for (question, want) in [
            ("Hello", "Hello".to_owned()),
            ("  two\n lines ", "two lines".to_owned()),
            (long.as_str(), format!("{}…", ["word"; 11].join(" "))),
            (&"ä".repeat(100), format!("{}…", "ä".repeat(59))),
        ] {
            assert_eq!(title(question), want);
        }
    }
}
