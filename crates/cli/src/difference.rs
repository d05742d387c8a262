//! Two documents held against each other. Pure.

use serde::Serialize;
use serde_json::Value;

/// A place where they differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Change {
    /// `services.chat-backend.limits.max_body_bytes`.
    pub(crate) place: String,
    /// What is there; absent: nothing.
    pub(crate) from: Option<Value>,
    /// What would be; absent: nothing.
    pub(crate) to: Option<Value>,
}

/// Every place where they differ, in their order. What has a name is found by it, wherever it stands in its list.
pub(crate) fn changes(from: &Value, to: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", Some(from), Some(to), &mut changes);
    changes
}

fn compare(place: &str, from: Option<&Value>, to: Option<&Value>, changes: &mut Vec<Change>) {
    if from == to {
        return;
    }
    match (from.and_then(parts), to.and_then(parts)) {
        (Some(old), Some(new)) => {
            let gone = old.iter().filter(|(name, _)| find(&new, name).is_none());
            for (name, _) in new.iter().chain(gone) {
                compare(&join(place, name), find(&old, name), find(&new, name), changes);
            }
        }
        _ => changes.push(Change { place: place.to_owned(), from: from.cloned(), to: to.cloned() }),
    }
}

fn find<'a>(parts: &[(&str, &'a Value)], name: &str) -> Option<&'a Value> {
    parts.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
}

/// What it is made of, by name; `None`: it is compared as a whole.
fn parts(value: &Value) -> Option<Vec<(&str, &Value)>> {
    match value {
        Value::Object(table) => Some(table.iter().map(|(name, value)| (name.as_str(), value)).collect()),
        Value::Array(list) if !list.is_empty() => {
            list.iter().map(|value| Some((value.get("name")?.as_str()?, value))).collect()
        }
        _ => None,
    }
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_named_and_nothing_else() {
        let from = json!({
            "listen": "a", "tls": null, "services": [{"name": "chat", "port": 1, "needs": ["x"]}, {"name": "old", "port": 2}],
        });
        let to = json!({
            "listen": "a", "tls": {"port": 443},
            "services": [{"name": "new", "port": 3}, {"name": "chat", "port": 9, "needs": ["x", "y"]}],
        });
        let found = changes(&from, &to);
        let places: Vec<&str> = found.iter().map(|change| change.place.as_str()).collect();
        assert_eq!(places, ["services.new", "services.chat.needs", "services.chat.port", "services.old", "tls"]);
        assert_eq!((found[2].from.clone(), found[2].to.clone()), (Some(json!(1)), Some(json!(9))));
        assert_eq!((found[0].from.clone(), found[3].to.clone()), (None, None));
        assert!(changes(&to, &to).is_empty());
    }
}
