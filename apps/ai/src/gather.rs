//! Puts the pieces of a stream together again, so that what was streamed can be stored and told once more.

use serde_json::{Map, Value, json};

use crate::provider::Delta;

/// Fields that come whole; every other text comes in pieces.
const WHOLE: [&str; 4] = ["role", "id", "type", "name"];

/// An answer as far as it has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gathered {
    /// The first choice's text.
    pub text: String,
    /// Everything else by choice: message and, of further choices, `finish_reason`.
    others: Vec<Value>,
}

impl Gathered {
    /// Takes one more piece.
    pub fn push(&mut self, delta: &Delta) {
        match delta {
            Delta::Content(text) => self.text.push_str(text),
            Delta::Choices(choices) => choices.iter().for_each(|choice| self.choice(choice)),
            Delta::End(_) => {}
        }
    }

    fn choice(&mut self, choice: &Value) {
        let index = crate::openai::index(choice);
        let place = self.others.iter().position(|other| crate::openai::index(other) == index);
        let place = place.unwrap_or_else(|| {
            self.others.push(json!({ "index": index, "message": { "role": "assistant", "content": null } }));
            self.others.len() - 1
        });
        let gathered = &mut self.others[place];
        let mut delta = choice["delta"].clone();
        if index == 0
            && let Some(Value::String(text)) = delta.get_mut("content").map(Value::take)
        {
            self.text.push_str(&text);
        }
        merge(&mut gathered["message"], &delta);
        for name in ["logprobs", "finish_reason"] {
            if !choice[name].is_null() {
                merge(&mut gathered[name], &choice[name]);
            }
        }
    }

    /// How many choices something was said of.
    pub fn begun(&self) -> usize {
        let is_first = |choice: &Value| crate::openai::index(choice) == 0;
        let first = !self.text.is_empty() || self.others.iter().any(|choice| is_first(choice) && says(choice));
        let further = self.others.iter().filter(|choice| !is_first(choice) && says(choice)).count();
        usize::from(first) + further
    }

    /// How many choices there are, those included that say nothing.
    pub fn given(&self) -> usize {
        let has_first = self.others.iter().any(|choice| crate::openai::index(choice) == 0);
        self.others.len() + usize::from(!has_first)
    }

    /// The choices as a plain answer has them, if there is more to them than the text. `finish` is the first one's.
    pub fn choices(&self, finish: &str) -> Option<Vec<Value>> {
        if self.others.is_empty() {
            return None;
        }
        let mut choices = self.others.clone();
        if !choices.iter().any(|choice| crate::openai::index(choice) == 0) {
            choices.push(json!({ "index": 0, "message": { "role": "assistant" } }));
        }
        choices.sort_by_key(crate::openai::index);
        choices[0]["finish_reason"] = json!(finish);
        choices[0]["message"]["content"] = if self.text.is_empty() { Value::Null } else { json!(self.text) };
        for call in choices.iter_mut().filter_map(|c| c.pointer_mut("/message/tool_calls")?.as_array_mut()).flatten() {
            // A plain answer's calls stand in their order and have no number.
            call.as_object_mut().map(|call| call.remove("index"));
        }
        Some(choices)
    }
}

/// Whether a message holds anything but its role.
fn says(choice: &Value) -> bool {
    let fields = choice["message"].as_object();
    fields.into_iter().flatten().any(|(name, value)| name != "role" && !value.is_null() && value.as_str() != Some(""))
}

/// Adds a piece to what is there: texts grow, lists by the `index` of their entries.
fn merge(into: &mut Value, piece: &Value) {
    match (&mut *into, piece) {
        (_, Value::Null) => {}
        (Value::Object(fields), Value::Object(more)) => {
            for (name, value) in more {
                field(fields, name, value);
            }
        }
        (Value::String(text), Value::String(more)) => text.push_str(more),
        (Value::Array(list), Value::Array(more)) => {
            for entry in more {
                let same = |other: &&mut Value| !entry["index"].is_null() && other["index"] == entry["index"];
                match list.iter_mut().find(same) {
                    Some(known) => merge(known, entry),
                    None => list.push(entry.clone()),
                }
            }
        }
        (into, piece) => *into = piece.clone(),
    }
}

fn field(fields: &mut Map<String, Value>, name: &str, value: &Value) {
    match fields.get_mut(name) {
        Some(known) if !WHOLE.contains(&name) => merge(known, value),
        Some(known) if value.as_str().is_some_and(|text| !text.is_empty()) => *known = value.clone(),
        Some(_) => {}
        None => {
            fields.insert(name.to_owned(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_tool_calls_and_of_several_choices_become_what_a_plain_answer_is() {
        let mut gathered = Gathered::default();
        let call = |arguments: &str| json!([{ "index": 0, "delta": { "tool_calls": [{ "index": 0, "function": { "arguments": arguments } }] } }]);
        let pieces = [
            json!([{ "index": 0, "delta": { "role": "assistant", "content": "Let me", "tool_calls": [{ "index": 0, "id": "c1", "type": "function", "function": { "name": "look", "arguments": "" } }] } }]),
            call("{\"a\""),
            call(":1}"),
            json!([{ "index": 1, "delta": { "content": "other" } }]),
            json!([{ "index": 1, "delta": { "content": " one" }, "finish_reason": "stop" }]),
        ];
        for piece in pieces {
            gathered.push(&Delta::Choices(piece.as_array().unwrap().clone()));
        }
        gathered.push(&Delta::Content(" see".into()));
        let want = json!([
            { "index": 0, "finish_reason": "tool_calls", "message": { "role": "assistant", "content": "Let me see",
                "tool_calls": [{ "id": "c1", "type": "function", "function": { "name": "look", "arguments": "{\"a\":1}" } }] } },
            { "index": 1, "finish_reason": "stop", "message": { "role": "assistant", "content": "other one" } },
        ]);
        assert_eq!(json!(gathered.choices("tool_calls")), want);
        assert_eq!(Gathered { text: "only".into(), others: vec![] }.choices("stop"), None);
    }

    #[test]
    fn a_choice_has_begun_with_its_first_word() {
        let check = |pieces: Value, want: usize| {
            let mut gathered = Gathered::default();
            gathered.push(&Delta::Choices(pieces.as_array().unwrap().clone()));
            assert_eq!(gathered.begun(), want, "{pieces}");
        };
        let piece = |index: u32, delta: Value| json!({ "index": index, "delta": delta });
        check(json!([]), 0);
        check(json!([piece(0, json!({ "role": "assistant", "content": "" }))]), 0);
        check(json!([piece(0, json!({ "content": "a" })), piece(1, json!({ "role": "assistant" }))]), 1);
        check(json!([piece(1, json!({ "content": "b" }))]), 1);
        check(json!([piece(0, json!({ "content": "a" })), piece(1, json!({ "content": "b" }))]), 2);
        check(json!([piece(0, json!({ "tool_calls": [{ "index": 0, "id": "c" }] }))]), 1);
        let mut text = Gathered { text: "a".into(), others: vec![] };
        assert_eq!(text.begun(), 1);
        text.push(&Delta::Choices(vec![piece(1, json!({ "content": "b" }))]));
        assert_eq!(text.begun(), 2);
    }
}
