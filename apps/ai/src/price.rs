//! What an answer costs by model, checked when the configuration is loaded: a model without a price, or with one that
//! would pay the caller, is found before the first call, not by it.
//!
//! A price is either an amount for each answer (for each choice, where several are asked for), or by tokens with a maximum:
//! the maximum is reserved before the call, the tokens are charged after it, never more than was reserved, and the rest is
//! given back. A provider that does not count its tokens, or was cut off before it did, is believed to have used one for
//! every [`CHARS_PER_TOKEN`] characters of what it was sent ([`read_chars`]) and of what it said.

use kit::Credits;
use serde_json::Value;

use crate::provider::{Delta, Request, Usage};

/// The price of an answer where nothing else is configured.
const DEFAULT_WHOLE_CREDITS: i64 = 1;

/// The usual rule of thumb for English; other languages take more tokens, so the estimate favours the caller.
const CHARS_PER_TOKEN: usize = 4;

/// Tokens that a picture counts for, however long its data: what OpenAI counts for one of 1024 × 1024 that is looked at
/// closely (85, and 170 for each of its four tiles).
const PICTURE_TOKENS: usize = 765;

/// Tokens that the two rates are given for.
const PER: i64 = 1_000;

/// What an answer of one model costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Price {
    /// This much, however long it is.
    Answer(Credits),
    /// By its tokens.
    Tokens {
        /// For a thousand tokens of the question.
        input: Credits,
        /// For a thousand tokens of the answer.
        output: Credits,
        /// Reserved before the call for each choice, and the most that is charged for it. A streamed answer ends where it is used up.
        max: Credits,
    },
}

impl Price {
    /// What to reserve for a call that asks for so many choices; `None` where that is beyond counting.
    pub fn reserve(&self, choices: u32) -> Option<Credits> {
        match self {
            Self::Answer(price) => price.units().checked_mul(choices.into()).map(Credits::from_units),
            Self::Tokens { max, .. } => max.units().checked_mul(choices.into()).map(Credits::from_units),
        }
    }

    /// Characters of an answer that `reserved` pays for beside a question of so many, none where the question alone costs all of it; `None`
    /// where the price does not grow with the answer.
    pub fn room(&self, question_chars: impl FnOnce() -> usize, reserved: Credits) -> Option<usize> {
        let Self::Tokens { input, output, .. } = self else { return None };
        let asked = i64::from(estimate(question_chars(), 0).prompt_tokens).saturating_mul(input.units());
        let left = reserved.units().saturating_mul(PER).saturating_sub(asked).max(0);
        // What costs nothing has no end.
        let tokens = left.checked_div(output.units())?;
        Some(usize::try_from(tokens).unwrap_or(usize::MAX).saturating_mul(CHARS_PER_TOKEN))
    }

    /// What to charge of `reserved`, in whole thousandths of a credit, rounded up: at least one.
    pub fn charge(&self, usage: Usage, choices: u32, reserved: Credits) -> Credits {
        let exact = match self {
            Self::Answer(_) => self.reserve(choices).unwrap_or(reserved),
            Self::Tokens { input, output, .. } => {
                let cost = |tokens: u32, rate: &Credits| i64::from(tokens).saturating_mul(rate.units());
                let sum = cost(usage.prompt_tokens, input).saturating_add(cost(usage.completion_tokens, output));
                Credits::from_units((sum.saturating_add(PER - 1) / PER).max(1))
            }
        };
        exact.min(reserved)
    }
}

/// Characters that a model reads of a call, for [`estimate`]: the messages as they are sent, and the tools, schemas and other
/// parameters beside them. A picture stands for as many as make its tokens.
pub fn read_chars(request: &Request) -> usize {
    let messages: usize = match &request.raw_messages {
        Some(raw) => raw.iter().map(message_chars).sum(),
        None => request.messages.iter().map(|message| message.content.chars().count()).sum(),
    };
    messages + request.parameters.iter().map(|(name, value)| name.chars().count() + chars(value)).sum::<usize>()
}

fn message_chars(message: &Value) -> usize {
    let field = |(name, value): (&String, &Value)| match value {
        Value::Array(parts) if name == "content" => parts.iter().map(part_chars).sum::<usize>(),
        value => name.chars().count() + chars(value),
    };
    message.as_object().map_or_else(|| chars(message), |fields| fields.iter().map(field).sum())
}

fn part_chars(part: &Value) -> usize {
    let is_picture = matches!(part["type"].as_str(), Some("image_url" | "input_image" | "image"));
    if is_picture { PICTURE_TOKENS * CHARS_PER_TOKEN } else { chars(part) }
}

/// The names and values of JSON, without what is between them.
fn chars(value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| name.chars().count() + chars(value)).sum(),
        Value::Array(list) => list.iter().map(chars).sum(),
        Value::String(text) => text.chars().count(),
        scalar => scalar.to_string().len(),
    }
}

/// Characters of a piece of an answer.
pub fn said_chars(piece: &Delta) -> usize {
    match piece {
        Delta::Content(text) => text.chars().count(),
        Delta::Choices(choices) => choices.iter().map(|choice| chars(&choice["delta"])).sum(),
        Delta::End(_) => 0,
    }
}

/// Tokens of texts that nobody counted.
pub fn estimate(question_chars: usize, answer_chars: usize) -> Usage {
    let tokens = |chars: usize| u32::try_from(chars.div_ceil(CHARS_PER_TOKEN)).unwrap_or(u32::MAX);
    let (prompt_tokens, completion_tokens) = (tokens(question_chars), tokens(answer_chars));
    Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens.saturating_add(completion_tokens) }
}

/// Prices by model.
#[derive(Debug, Clone, PartialEq)]
pub struct Prices {
    by_model: Vec<(String, Price)>,
    otherwise: Option<Price>,
}

impl Default for Prices {
    /// One credit an answer, whatever the model.
    fn default() -> Self {
        Self { by_model: Vec::new(), otherwise: Some(Price::Answer(Credits::whole(DEFAULT_WHOLE_CREDITS))) }
    }
}

impl Prices {
    /// Reads `gpt-4o-mini=1,gpt-4o=in:0.5/1k,out:1.5/1k,max=20,*=1`: credits an answer, or by a thousand tokens with a
    /// maximum; `*` is for every model not named.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut prices = Self { by_model: Vec::new(), otherwise: None };
        let mut entries = text.split(',').map(str::trim).filter(|e| !e.is_empty()).peekable();
        while let Some(entry) = entries.next() {
            let (model, price) = entry.split_once('=').ok_or_else(|| format!("{entry:?} is not MODEL=CREDITS"))?;
            let (model, price) = (model.trim(), price.trim());
            let price = if price.starts_with("in:") {
                let mut parts = vec![price];
                while let Some(part) = entries.next_if(|e| e.starts_with("out:") || e.starts_with("max=")) {
                    parts.push(part);
                }
                by_tokens(model, &parts)?
            } else {
                Price::Answer(amount(model, "price", price)?)
            };
            if prices.by_model.iter().any(|(known, _)| known == model) || (model == "*" && prices.otherwise.is_some()) {
                return Err(format!("{model:?} has two prices"));
            }
            if model == "*" {
                prices.otherwise = Some(price);
            } else {
                prices.by_model.push((model.to_owned(), price));
            }
        }
        Ok(prices)
    }

    /// What an answer of `model` costs; `None` means that the model must not be called.
    pub fn of(&self, model: &str) -> Option<Price> {
        self.by_model.iter().find(|(known, _)| known == model).map(|(_, price)| *price).or(self.otherwise)
    }
}

fn by_tokens(model: &str, parts: &[&str]) -> Result<Price, String> {
    let form = || format!("the price of {model:?} must be in:CREDITS/1k,out:CREDITS/1k,max=CREDITS");
    let part = |name: &str| {
        let mut found = parts.iter().filter_map(|part| part.strip_prefix(name));
        found.next().filter(|_| found.next().is_none()).ok_or_else(form)
    };
    let rate = |name: &str| part(name)?.strip_suffix("/1k").ok_or_else(form);
    Ok(Price::Tokens {
        input: amount(model, "price of the question", rate("in:")?)?,
        output: amount(model, "price of the answer", rate("out:")?)?,
        max: amount(model, "maximum", part("max=")?)?,
    })
}

fn amount(model: &str, what: &str, text: &str) -> Result<Credits, String> {
    let amount: Credits = text
        .trim()
        .parse()
        .map_err(|e| format!("the {what} of {model:?}, {text:?}, is not an amount of credits: {e}"))?;
    if amount <= Credits::ZERO {
        return Err(format!("the {what} of {model:?} is {amount}; it must be more than nothing"));
    }
    Ok(amount)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider::{Message, Role};

    const fn each(credits: i64) -> Price {
        Price::Answer(Credits::whole(credits))
    }

    #[test]
    fn a_model_has_its_own_price_or_the_common_one_or_none() {
        let prices = Prices::parse("gpt-4o-mini=1, gpt-4o=5").unwrap();
        assert_eq!(prices.of("gpt-4o"), Some(each(5)));
        assert_eq!(prices.of("other"), None);
        let prices = Prices::parse("gpt-4o=in:0.5/1k, out:1.5/1k, max=20,*=2").unwrap();
        assert_eq!(prices.of("other"), Some(each(2)));
        let tokens = Price::Tokens {
            input: Credits::from_units(500),
            output: Credits::from_units(1500),
            max: Credits::whole(20),
        };
        assert_eq!(prices.of("gpt-4o"), Some(tokens));
        assert_eq!(Prices::default().of("any"), Some(each(1)));
    }

    #[test]
    fn prices_that_would_pay_the_caller_are_refused() {
        for (text, why) in [
            ("m=-1", "more than nothing"),
            ("m=0", "more than nothing"),
            ("m=x", "not an amount"),
            ("m=NaN", "not an amount"),
            ("m", "not MODEL=CREDITS"),
            ("m=1,m=2", "two prices"),
            ("*=1,*=2", "two prices"),
            ("m=in:0.5/1k,out:1/1k", "max=CREDITS"),
            ("m=in:0.5/1k,max=1", "out:CREDITS"),
            ("m=in:0.5,out:1/1k,max=1", "in:CREDITS/1k"),
            ("m=in:-0.5/1k,out:1/1k,max=1", "more than nothing"),
            ("m=in:1/1k,out:1/1k,max=0", "more than nothing"),
            ("m=in:1/1k,out:1/1k,max=1,max=2", "max=CREDITS"),
        ] {
            let error = Prices::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn what_a_model_reads_is_more_than_its_texts() {
        let text = |content: &str| Message { role: Role::User, content: content.into() };
        let plain = Request { messages: vec![text("four"), text("grüß")], ..Request::default() };
        assert_eq!(read_chars(&plain), 8);

        let picture = |url: &str| json!({ "type": "image_url", "image_url": { "url": url } });
        let raw = |content: Value| Request {
            messages: vec![text("?")],
            raw_messages: Some(vec![json!({ "role": "user", "content": content })]),
            ..Request::default()
        };
        let around = "roleuser".len();
        assert_eq!(read_chars(&raw(json!("hi"))), around + "contenthi".len());
        for url in ["u", &"x".repeat(100_000)] {
            assert_eq!(read_chars(&raw(json!([picture(url), picture(url)]))), around + 2 * 4 * 765, "not its bytes");
        }
        let said = json!([{ "type": "text", "text": "what is it" }]);
        assert_eq!(read_chars(&raw(said)), around + "typetexttextwhat is it".len());

        let mut tools = raw(json!("hi"));
        let schema = json!([{ "type": "image", "description": "x".repeat(5_000) }]);
        tools.parameters.insert("tools".into(), schema);
        assert!(read_chars(&tools) > 5_000, "tools are read, too");
    }

    #[test]
    fn tokens_are_charged_up_to_what_was_reserved_and_never_nothing() {
        let price = Prices::parse("m=in:0.5/1k,out:1.5/1k,max=2").unwrap().of("m").unwrap();
        let used = |prompt_tokens, completion_tokens| Usage { prompt_tokens, completion_tokens, total_tokens: 0 };
        let reserved = price.reserve(1).unwrap();
        assert_eq!(reserved, Credits::whole(2));
        for (usage, units) in [
            (used(1000, 1000), 2000),
            (used(100, 200), 350),
            (used(1, 0), 1),
            (used(0, 0), 1),
            (used(u32::MAX, u32::MAX), 2000),
        ] {
            assert_eq!(price.charge(usage, 1, reserved).units(), units, "{usage:?}");
        }
        assert_eq!(estimate(400, 7).completion_tokens, 2);
        assert_eq!(price.reserve(3), Some(Credits::whole(6)), "each choice may be as long");
        for (chars, room) in [(0, 5_332), (4_000, 4_000), (15_997, 0), (1_000_000, 0)] {
            assert_eq!(price.room(|| chars, reserved), Some(room), "{chars}");
        }
        let each = Price::Answer(Credits::whole(2));
        assert_eq!(each.room(|| panic!("it is not asked"), reserved), None);
        assert_eq!(each.charge(used(0, 0), 3, each.reserve(3).unwrap()), Credits::whole(6));
    }
}
