//! The JSON Schema of `mana.toml`, made from the same table that checking uses.

use serde_json::{Map, Value, json};

use crate::names;
use crate::shape::{self, Key, Names, Shape};

/// The schema (draft 2020-12).
pub fn schema() -> Value {
    let mut schema = table(shape::ROOT);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("mana.toml");
    schema["description"] = json!("One ecosystem: its environments, secrets, projects and services.");
    schema["required"] = json!(["name", "domain", "services"]);
    schema
}

fn table(keys: &[Key]) -> Value {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| {
            let mut property = of(key.shape);
            property["description"] = json!(key.about);
            (key.name.to_owned(), property)
        })
        .collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn of(shape: Shape) -> Value {
    match shape {
        Shape::Text => json!({ "type": "string", "minLength": 1 }),
        Shape::Word(words) => json!({ "type": "string", "enum": words }),
        Shape::Size => {
            json!({ "type": "string", "pattern": "^[0-9]+ ?(B|kB|KB|MB|GB|KiB|MiB|GiB)$", "examples": ["256MB"] })
        }
        Shape::Duration => json!({ "type": "string", "pattern": "^[0-9]+ ?(ms|s|m|h|d)$", "examples": ["30s"] }),
        Shape::Rate => {
            json!({ "type": "string", "pattern": "^[0-9]+/[0-9]+ ?(ms|s|m|h|d)$", "examples": ["600/1m"] })
        }
        Shape::Share => {
            json!({ "type": "string", "pattern": "^[0-9]{1,2}(\\.[0-9]{1,2})? ?%$", "examples": ["0.5%"] })
        }
        Shape::Step => {
            json!({ "type": "string", "pattern": "^[0-9]{1,2} ?% [0-9]+ ?(ms|s|m|h|d)$", "examples": ["10% 10m"] })
        }
        Shape::Address => json!({ "type": "string", "examples": ["127.0.0.1:8080"] }),
        Shape::Network => json!({ "type": "string", "examples": ["127.0.0.1", "10.0.0.0/8"] }),
        Shape::PortRange => json!({ "type": "string", "pattern": "^[0-9]+-[0-9]+$", "examples": ["20000-29999"] }),
        Shape::Host => json!({ "type": "string", "pattern": "^[a-z0-9.-]+$", "examples": ["example.com"] }),
        Shape::UrlPath => json!({ "type": "string", "pattern": "^/" }),
        Shape::Database => json!({ "type": "string", "pattern": "^[a-z][a-z0-9_]*$" }),
        Shape::Inside => json!({ "type": "string", "minLength": 1, "examples": ["target/release/app"] }),
        Shape::Date => {
            json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "examples": ["2026-12-31"] })
        }
        Shape::Integer(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Number => json!({ "type": "number" }),
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Command => json!({ "anyOf": [
            { "type": "string", "minLength": 1 },
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ] }),
        Shape::List(inner) => json!({ "type": "array", "items": of(*inner) }),
        Shape::Table(keys) => table(keys),
        Shape::Map(names, inner) => {
            let (pattern, about) = match names {
                Names::Name => ("^[a-z][a-z0-9-]*$", names::NAME),
                Names::Rule => ("^([a-z][a-z0-9-]*|[A-Z][A-Za-z0-9]*)$", names::RULE),
                Names::Variable => ("^[A-Z_][A-Z0-9_]*$", names::VARIABLE),
                Names::UrlPath => ("^/", "a path that begins with /"),
                Names::Header => ("^[a-z0-9-]+$", names::HEADER),
                Names::Finding => ("^\\S+$", names::FINDING),
            };
            let names = json!({ "pattern": pattern, "description": about });
            json!({ "type": "object", "propertyNames": names, "additionalProperties": of(*inner) })
        }
    }
}
