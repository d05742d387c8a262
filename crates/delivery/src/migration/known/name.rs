//! Names as the engine compares them.

use std::fmt;

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

use crate::migration::Engine;

/// Longest name that PostgreSQL keeps; the rest is cut off silently, so that two names may become one.
const MAX_POSTGRES_BYTES: usize = 63;

/// A name, with its schema if one is written.
///
/// `users` and `public.users` are different here: what an unqualified name means is up to `search_path`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::migration) struct Name(Vec<String>);

impl Name {
    /// The name without its schema.
    pub(in crate::migration) fn last(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// The schema, if it is written.
    pub(in crate::migration) fn schema(&self) -> Option<&str> {
        match self.0.as_slice() {
            [.., schema, _] => Some(schema),
            _ => None,
        }
    }

    /// The same schema, another name.
    pub(in crate::migration) fn sibling(&self, last: &str) -> Self {
        let mut parts = self.0.clone();
        parts.pop();
        parts.push(last.to_owned());
        Self(parts)
    }

    /// In quotes, as SQL.
    pub(in crate::migration) fn quoted(&self) -> String {
        let quote = |part: &String| format!("\"{}\"", part.replace('"', "\"\""));
        self.0.iter().map(quote).collect::<Vec<_>>().join(".")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("."))
    }
}

/// PostgreSQL folds what has no quotes to lower case; SQLite compares all names without regard to ASCII case.
pub(in crate::migration) fn fold(engine: Engine, ident: &Ident) -> String {
    match (engine, ident.quote_style) {
        (Engine::Postgres, Some(_)) => ident.value.clone(),
        _ => ident.value.to_ascii_lowercase(),
    }
}

/// None for what is no plain name, has too many parts, or is longer than the engine keeps.
pub(in crate::migration) fn name_of(engine: Engine, name: &ObjectName) -> Option<Name> {
    let part = |part: &ObjectNamePart| match part {
        ObjectNamePart::Identifier(ident) => Some(fold(engine, ident)),
        ObjectNamePart::Function(_) => None,
    };
    let parts: Vec<String> = name.0.iter().map(part).collect::<Option<_>>()?;
    let fits = |part: &String| !part.is_empty() && (engine == Engine::Sqlite || part.len() <= MAX_POSTGRES_BYTES);
    (matches!(parts.len(), 1 | 2) && parts.iter().all(fits)).then_some(Name(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_the_engine_does() {
        let name = |engine, parts: &[(&str, bool)]| {
            let ident =
                |(text, quoted): &(&str, bool)| if *quoted { Ident::with_quote('"', *text) } else { Ident::new(*text) };
            name_of(engine, &ObjectName::from(parts.iter().map(ident).collect::<Vec<_>>())).map(|name| name.quoted())
        };
        let check = |parts: &[(&str, bool)], postgres: Option<&str>, sqlite: Option<&str>| {
            assert_eq!(name(Engine::Postgres, parts).as_deref(), postgres, "{parts:?}");
            assert_eq!(name(Engine::Sqlite, parts).as_deref(), sqlite, "{parts:?}");
        };
        check(&[("Users", false)], Some("\"users\""), Some("\"users\""));
        check(&[("Users", true)], Some("\"Users\""), Some("\"users\""));
        check(&[("A", false), ("b\"c", true)], Some("\"a\".\"b\"\"c\""), Some("\"a\".\"b\"\"c\""));
        check(&[("", true)], None, None);
        check(&[("a", false), ("b", false), ("c", false)], None, None);
        let long = "x".repeat(64);
        let quoted = format!("\"{long}\"");
        check(&[(&long, false)], None, Some(&quoted));
    }
}
