//! What chat-web tells a page of an answer.

use reqwest::{Response, StatusCode};
use serde_json::Value;

/// The events in a text.
pub(super) fn events(text: &str) -> Vec<(String, Value)> {
    let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty() && !block.starts_with(':'));
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
    };
    blocks.map(|block| (field(block, "event:"), serde_json::from_str(&field(block, "data:")).unwrap())).collect()
}

/// What a page makes of the events.
pub(crate) fn html_of(events: &[(String, Value)]) -> String {
    let mut html: Vec<u16> = Vec::new();
    for (_, data) in events.iter().filter(|(name, _)| name == "delta") {
        html.truncate(usize::try_from(data["keep"].as_u64().unwrap()).unwrap());
        html.extend(data["html"].as_str().unwrap().encode_utf16());
    }
    String::from_utf16(&html).unwrap()
}

/// An answer while it is told.
pub(crate) struct Telling {
    response: Response,
    text: String,
}

impl Telling {
    pub(super) fn of(response: Response) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        Self { response, text: String::new() }
    }

    /// Reads until there is an event of this name; gives what it says.
    pub(crate) async fn until(&mut self, name: &str) -> Value {
        loop {
            let whole = self.text.rfind("\n\n").map_or("", |end| &self.text[..end]);
            if let Some((_, data)) = events(whole).into_iter().find(|(other, _)| other == name) {
                return data;
            }
            let chunk = self.response.chunk().await.unwrap().unwrap_or_else(|| panic!("no {name}: {}", self.text));
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// All events, to the end.
    pub(crate) async fn all(mut self) -> Vec<(String, Value)> {
        while let Some(chunk) = self.response.chunk().await.unwrap() {
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        events(&self.text)
    }
}
