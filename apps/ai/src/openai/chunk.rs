//! One chunk of a stream. Nearly all hold a piece of one text: these are read without building a tree of values. Whatever
//! else a chunk holds (tool calls, further choices, `logprobs`, fields we do not know) is kept as it came.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::wire::{ErrorBody, WireUsage, has_more};
use crate::provider::{Delta, Finish, Usage};

/// What a chunk says.
pub(super) struct Chunk {
    pub(super) delta: Option<Delta>,
    /// Of the first choice.
    pub(super) finish: Option<Finish>,
    pub(super) usage: Option<Usage>,
}

/// Why a chunk says nothing.
pub(super) enum Wrong {
    /// It is an error of the provider.
    Says(ErrorBody),
    /// It makes no sense.
    Unreadable(String),
}

/// The ordinary chunk; anything that is not one is refused by `deny_unknown_fields` and read the long way.
#[derive(Deserialize)]
struct Plain<'a> {
    #[serde(borrow, default)]
    choices: Vec<PlainChoice<'a>>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    error: Option<Nothing>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainChoice<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow, default)]
    delta: PlainDelta<'a>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
    #[serde(default, rename = "logprobs")]
    _logprobs: Option<Nothing>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainDelta<'a> {
    #[serde(borrow, default, rename = "role")]
    _role: Option<Cow<'a, str>>,
    #[serde(default)]
    content: Option<String>,
    #[serde(default, rename = "refusal")]
    _refusal: Option<Nothing>,
}

/// Nothing but `null`: no value is one.
#[derive(Deserialize)]
enum Nothing {}

/// The chunk that tells its usage or an error.
#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    choices: Vec<Value>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    error: Option<ErrorBody>,
}

/// Reads the data of one event.
pub(super) fn read(data: &[u8]) -> Result<Chunk, Wrong> {
    if let Ok(plain) = serde_json::from_slice::<Plain<'_>>(data)
        && plain.error.is_none()
        && plain.choices.len() <= 1
        && plain.choices.first().is_none_or(|choice| choice.index == 0)
    {
        let choice = plain.choices.into_iter().next();
        let (content, word) = choice.map_or((None, None), |c| (c.delta.content, c.finish_reason));
        let delta = content.filter(|text| !text.is_empty()).map(Delta::Content);
        return Ok(Chunk { delta, finish: finish(word.as_deref())?, usage: plain.usage.map(Into::into) });
    }
    let whole: Whole = serde_json::from_slice(data)
        .map_err(|error| Wrong::Unreadable(format!("a chunk is not JSON we know: {error}")))?;
    if let Some(error) = whole.error {
        return Err(Wrong::Says(error));
    }
    let (delta, word) = choices(whole.choices);
    Ok(Chunk { delta, finish: finish(word.as_deref())?, usage: whole.usage.map(Into::into) })
}

fn finish(word: Option<&str>) -> Result<Option<Finish>, Wrong> {
    let Some(word) = word else { return Ok(None) };
    let known = Finish::parse(word).ok_or_else(|| Wrong::Unreadable(format!("unknown finish_reason {word:?}")))?;
    Ok(Some(known))
}

/// What the choices say, and how the first one ended.
fn choices(mut choices: Vec<Value>) -> (Option<Delta>, Option<String>) {
    let mut word = None;
    for choice in choices.iter_mut().filter(|choice| index(choice) == 0) {
        if let Some(Value::String(found)) = choice.get_mut("finish_reason").map(Value::take) {
            word = Some(found);
        }
    }
    if let [only] = choices.as_slice()
        && index(only) == 0
        && only["logprobs"].is_null()
        && !has_more(&only["delta"])
    {
        let text = only["delta"]["content"].as_str().filter(|text| !text.is_empty());
        return (text.map(|text| Delta::Content(text.to_owned())), word);
    }
    choices.retain(says_something);
    ((!choices.is_empty()).then_some(Delta::Choices(choices)), word)
}

fn says_something(choice: &Value) -> bool {
    let text = choice["delta"]["content"].as_str().is_some_and(|text| !text.is_empty());
    text || has_more(&choice["delta"]) || !choice["finish_reason"].is_null() || !choice["logprobs"].is_null()
}

/// Which of the choices it is.
pub(crate) fn index(choice: &Value) -> u64 {
    choice["index"].as_u64().unwrap_or(0)
}

/// Whether a piece is about other choices than the first alone.
pub(super) fn is_of_further_choices(delta: Option<&Delta>) -> bool {
    matches!(delta, Some(Delta::Choices(choices)) if choices.iter().all(|choice| index(choice) != 0))
}
