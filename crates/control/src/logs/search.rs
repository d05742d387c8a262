//! Which lines are looked for. Pure.

use jiff::Timestamp;
use serde::Deserialize;

use super::ACCESS;
use super::line::{Level, Line};

/// As it stands in an address.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Asked {
    /// Empty: of all.
    #[serde(default)]
    pub service: String,
    /// This and worse.
    #[serde(default)]
    pub level: String,
    /// Words, each of them somewhere in the line; `key=value` too.
    #[serde(default)]
    pub q: String,
    /// Ids of requests or traces, one of which it has to have.
    #[serde(default)]
    pub request_id: String,
    /// Not before.
    #[serde(default)]
    pub from: String,
    /// Not after.
    #[serde(default)]
    pub to: String,
}

/// What a line has to be like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    level: Option<Level>,
    /// In lower case; each of them somewhere.
    words: Vec<String>,
    /// Ids of requests and traces, one of which it has to have.
    requests: Vec<String>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Asked {
    /// What is looked for.
    ///
    /// # Errors
    /// What of it is not understood, in words.
    pub fn search(&self) -> Result<Search, String> {
        let instant = |text: &str| match text.trim() {
            "" => Ok(None),
            text => time(text).map(Some),
        };
        let level = match self.level.as_str() {
            "" => None,
            name => Some(Level::named(name).ok_or_else(|| format!("`{name}` is no level"))?),
        };
        Ok(Search {
            level,
            words: self.q.split_whitespace().map(str::to_lowercase).collect(),
            requests: self.request_id.split_whitespace().map(str::to_owned).collect(),
            from: instant(&self.from)?,
            to: instant(&self.to)?,
        })
    }

    /// In an address.
    pub(crate) fn query(&self) -> String {
        query_of([
            ("service", &self.service),
            ("level", &self.level),
            ("q", &self.q),
            ("request_id", &self.request_id),
            ("from", &self.from),
            ("to", &self.to),
        ])
    }
}

/// The fields of a form in an address, without those that say nothing.
pub(crate) fn query_of<'a>(fields: impl IntoIterator<Item = (&'a str, &'a String)>) -> String {
    let said = fields.into_iter().filter(|(_, value)| !value.is_empty());
    form_urlencoded::Serializer::new(String::new()).extend_pairs(said).finish()
}

/// RFC 3339, or what a field for date and time gives: `2026-01-02T03:04`, in UTC.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    let whole = match text.len() {
        16 => format!("{text}:00Z"),
        19 => format!("{text}Z"),
        _ => text.to_owned(),
    };
    whole.parse().map_err(|_| format!("`{text}` is no time such as 2026-01-02T03:04, in UTC"))
}

impl Search {
    /// Lines of these requests or traces.
    pub fn of_requests(ids: &[String]) -> Self {
        Self { requests: ids.to_vec(), ..Self::default() }
    }

    pub(crate) fn is_of_requests(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Whether a line that is not read yet may fit: looking for an id costs less than taking it apart.
    pub(crate) fn may_fit(&self, text: &str) -> bool {
        self.requests.is_empty() || self.requests.iter().any(|id| text.contains(id.as_str()))
    }

    /// Whether it is looked for.
    pub fn fits(&self, line: &Line) -> bool {
        // A line that does not say when or how bad is found only where nobody asks for that.
        self.level.is_none_or(|least| line.level.is_some_and(|level| level >= least))
            && (self.requests.is_empty() || self.requests.iter().any(|id| is_of(line, id)))
            && self.from.is_none_or(|from| line.at.is_some_and(|at| at >= from))
            && self.to.is_none_or(|to| line.at.is_some_and(|at| at <= to))
            && self.words.iter().all(|word| holds(line, word))
    }

    /// Until when, where later lines are not looked for.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        self.to
    }

    /// Whether older lines than this one cannot fit.
    pub(crate) fn is_before(&self, line: &Line) -> bool {
        self.from.zip(line.at).is_some_and(|(from, at)| at < from)
    }
}

fn is_of(line: &Line, id: &str) -> bool {
    // Whoever looks at a request asks for a path with its id, and that is another request.
    let says = line.service != ACCESS && line.message.contains(id);
    says || line.request.as_deref() == Some(id) || line.trace.as_deref() == Some(id)
}

fn holds(line: &Line, word: &str) -> bool {
    line.message.to_lowercase().contains(word)
        || line.fields.iter().any(|(key, value)| {
            value.to_lowercase().contains(word) || format!("{key}={value}").to_lowercase().contains(word)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"timestamp":"2026-01-02T03:04:05Z","level":"WARN","message":"Slow answer","request_id":"7f","took_ms":812}"#;

    fn asked(name: &str, value: &str) -> Asked {
        let of = |field: &str| if field == name { value.to_owned() } else { String::new() };
        Asked {
            service: of("service"),
            level: of("level"),
            q: of("q"),
            request_id: of("request_id"),
            from: of("from"),
            to: of("to"),
        }
    }

    #[test]
    fn a_line_is_found_by_each_thing_that_it_says() {
        let line = Line::read("a", 1, TEXT);
        for (name, value, fits) in [
            ("q", "", true),
            ("q", "slow ANSWER", true),
            ("q", "took_ms=812", true),
            ("q", "slow fast", false),
            ("level", "info", true),
            ("level", "warn", true),
            ("level", "error", false),
            ("request_id", "7f", true),
            ("request_id", "7", false),
            ("from", "2026-01-02T03:04", true),
            ("from", "2026-01-02T03:05", false),
            ("to", "2026-01-02T03:04:05Z", true),
            ("to", "2026-01-02T03:04", false),
        ] {
            assert_eq!(asked(name, value).search().expect("understood").fits(&line), fits, "{name}={value}");
        }
        assert!(!asked("level", "info").search().expect("understood").fits(&Line::read("a", 1, "plain")));
    }

    #[test]
    fn what_is_no_time_or_level_is_said() {
        for (name, value) in [("from", "yesterday"), ("to", "2026-13-01T00:00"), ("level", "loud")] {
            assert!(asked(name, value).search().is_err(), "{name}={value}");
        }
        assert_eq!(asked("q", "a&b=c").query(), "q=a%26b%3Dc");
    }
}
