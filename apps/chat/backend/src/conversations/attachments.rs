//! Texts that come with a question: checked, stored beside it, and put behind it when a model reads it.

use std::collections::HashMap;

use kit::FieldError;
use kit::clock;
use sea_orm::{ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, InsertMany, QueryFilter, QueryOrder};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Store;
use crate::entity::attachment;
use crate::limits::{MAX_ATTACHMENT_CHARS, MAX_ATTACHMENT_NAME_CHARS, MAX_ATTACHMENTS};

/// A text that came with a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Attachment {
    /// What the file is called, 1 to 120 characters.
    pub(crate) name: String,
    /// What is in it, 1 to 50 000 characters.
    pub(crate) content: String,
}

/// What is wrong with them.
pub(crate) fn check(attachments: &[Attachment]) -> Vec<FieldError> {
    let mut wrong = Vec::new();
    if attachments.len() > MAX_ATTACHMENTS {
        let says = format!("holds {}; {MAX_ATTACHMENTS} are allowed", attachments.len());
        wrong.push(FieldError::new("attachments", says));
    }
    for (n, attachment) in attachments.iter().enumerate().take(MAX_ATTACHMENTS) {
        let name = attachment.name.trim();
        if name.is_empty() || name.chars().count() > MAX_ATTACHMENT_NAME_CHARS || name.chars().any(char::is_control) {
            let says = format!("must have 1 to {MAX_ATTACHMENT_NAME_CHARS} characters, without control characters");
            wrong.push(FieldError::new(format!("attachments[{n}].name"), says));
        }
        let chars = attachment.content.chars().count();
        if chars == 0 || chars > MAX_ATTACHMENT_CHARS {
            let says = format!("has {chars} characters; 1 to {MAX_ATTACHMENT_CHARS} are allowed");
            wrong.push(FieldError::new(format!("attachments[{n}].content"), says));
        } else if attachment.content.contains('\0') {
            // PostgreSQL cannot store it, and a file that holds it is no text.
            wrong.push(FieldError::new(format!("attachments[{n}].content"), "must be text, without U+0000"));
        }
    }
    wrong
}

/// A question as the model reads it.
pub(crate) fn with_question(question: &str, attachments: &[Attachment]) -> String {
    let mut text = question.to_owned();
    for Attachment { name, content } in attachments {
        text.push_str("\n\nAttached file ");
        text.push_str(name);
        text.push_str(":\n<file>\n");
        text.push_str(content);
        text.push_str("\n</file>");
    }
    text
}

/// What stores those of some messages, if there are any.
pub(super) fn insertion<'a>(
    messages: impl Iterator<Item = (Uuid, &'a [Attachment])>,
) -> Option<InsertMany<attachment::ActiveModel>> {
    let rows = messages.flat_map(|(message, attachments)| {
        (0_i64..).zip(attachments).map(move |(position, it)| attachment::ActiveModel {
            id: Set(clock::new_id()),
            message_id: Set(message),
            position: Set(position),
            name: Set(it.name.trim().to_owned()),
            content: Set(it.content.clone()),
        })
    });
    let rows: Vec<_> = rows.collect();
    (!rows.is_empty()).then(|| attachment::Entity::insert_many(rows))
}

impl Store {
    /// Those of some messages, by message, in their order. The caller has checked the owner.
    pub(crate) async fn attachments(&self, messages: &[Uuid]) -> Result<HashMap<Uuid, Vec<Attachment>>, DbErr> {
        let mut found: HashMap<Uuid, Vec<Attachment>> = HashMap::new();
        if messages.is_empty() {
            return Ok(found);
        }
        let rows = attachment::Entity::find()
            .filter(attachment::Column::MessageId.is_in(messages.iter().copied()))
            .order_by_asc(attachment::Column::Position)
            .all(&*self.db)
            .await?;
        for row in rows {
            found.entry(row.message_id).or_default().push(Attachment { name: row.name, content: row.content });
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_or_no_text_is_named_with_its_field() {
        let text = |name: &str, content: &str| Attachment { name: name.into(), content: content.into() };
        let check_fields = |attachments: &[Attachment], fields: &[&str]| {
            let got: Vec<_> = check(attachments).into_iter().map(|wrong| wrong.field).collect();
            assert_eq!(got, fields);
        };
        check_fields(&[], &[]);
        check_fields(&[text("a.txt", "words")], &[]);
        check_fields(&[text("a.txt", "words"), text(" ", "words")], &["attachments[1].name"]);
        check_fields(&[text("a\nb", "")], &["attachments[0].name", "attachments[0].content"]);
        check_fields(&[text("a", "\0")], &["attachments[0].content"]);
        check_fields(&[text("a", &"x".repeat(MAX_ATTACHMENT_CHARS + 1))], &["attachments[0].content"]);
        check_fields(&vec![text("a", "x"); MAX_ATTACHMENTS + 1], &["attachments"]);
    }

    #[test]
    fn the_model_reads_them_behind_the_question() {
        let list = [Attachment { name: "a.txt".into(), content: "one two".into() }];
        assert_eq!(with_question("What?", &list), "What?\n\nAttached file a.txt:\n<file>\none two\n</file>");
        assert_eq!(with_question("What?", &[]), "What?");
    }
}
