//! Which rows of the audit log are looked for. Pure.

use jiff::Timestamp;

use crate::api::AuditEntry;
use crate::logs;

/// Rows on a page, where nothing is said of it.
const ROWS: usize = 100;
/// Rows at once, at most.
pub(crate) const MOST_ROWS: usize = 1_000;
/// Longest text that is looked for, in characters: no field of a row is longer.
const LONGEST: usize = 200;

/// As it stands in an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    /// Whose: a name as it is written.
    pub(crate) who: String,
    /// Some of what was done.
    pub(crate) what: String,
    /// Some of what it was done to.
    pub(crate) target: String,
    /// Not before.
    pub(crate) from: String,
    /// Not after.
    pub(crate) to: String,
    /// Before the row of this number.
    pub(crate) before: String,
    /// So many rows.
    pub(crate) rows: String,
}

/// What a row has to be like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Search {
    who: Option<String>,
    /// These two in lower case.
    what: String,
    target: String,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    pub(crate) before: Option<u64>,
    pub(crate) rows: usize,
}

impl Asked {
    /// What somebody asks for by the query of an address. What is no field of it says nothing.
    pub(crate) fn read(query: &str) -> Self {
        let mut asked = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let field = match name.as_ref() {
                "who" => &mut asked.who,
                "what" => &mut asked.what,
                "target" => &mut asked.target,
                "from" => &mut asked.from,
                "to" => &mut asked.to,
                "before" => &mut asked.before,
                "rows" => &mut asked.rows,
                _ => continue,
            };
            *field = value.trim().chars().take(LONGEST).collect();
        }
        asked
    }

    /// In an address.
    pub(crate) fn query(&self) -> String {
        logs::query_of([
            ("who", &self.who),
            ("what", &self.what),
            ("target", &self.target),
            ("from", &self.from),
            ("to", &self.to),
            ("before", &self.before),
            ("rows", &self.rows),
        ])
    }

    /// The same, from before this row on.
    pub(crate) fn before(&self, row: u64) -> Self {
        Self { before: row.to_string(), ..self.clone() }
    }

    /// The same, from the newest row on.
    pub(crate) fn newest(&self) -> Self {
        Self { before: String::new(), ..self.clone() }
    }

    /// The same, as many rows as there are at once.
    pub(crate) fn most(&self) -> Self {
        Self { rows: MOST_ROWS.to_string(), ..self.clone() }
    }

    /// What is looked for; an error: what of it is not understood, in words.
    pub(crate) fn search(&self) -> Result<Search, String> {
        let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let instant = |text: &str| said(text).map(|text| logs::time(&text)).transpose();
        let number = |text: &str| {
            let read = |text: String| text.parse::<u64>().map_err(|_| format!("`{text}` is no number of a row"));
            said(text).map(read).transpose()
        };
        let rows = number(&self.rows)?.map_or(ROWS, |rows| usize::try_from(rows).unwrap_or(MOST_ROWS));
        Ok(Search {
            who: said(&self.who),
            what: self.what.to_lowercase(),
            target: self.target.to_lowercase(),
            from: instant(&self.from)?,
            to: instant(&self.to)?,
            before: number(&self.before)?,
            rows: rows.clamp(1, MOST_ROWS),
        })
    }
}

impl Search {
    /// Whether it is looked for.
    pub(crate) fn fits(&self, row: &AuditEntry) -> bool {
        // A row whose time nobody can read is found only where nobody asks for one.
        let at = || row.at.parse::<Timestamp>().ok();
        self.who.as_ref().is_none_or(|who| *who == row.who)
            && holds(&row.what, &self.what)
            && holds(&row.target, &self.target)
            && self.from.is_none_or(|from| at().is_some_and(|at| at >= from))
            && self.to.is_none_or(|to| at().is_some_and(|at| at <= to))
    }
}

fn holds(text: &str, part: &str) -> bool {
    part.is_empty() || text.to_lowercase().contains(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> AuditEntry {
        AuditEntry {
            number: 7,
            at: "2026-01-02T03:04:05.25Z".into(),
            who: "ada".into(),
            source: "socket".into(),
            what: "role operator".into(),
            target: "Bob admin".into(),
            outcome: "done".into(),
            sha256: String::new(),
        }
    }

    #[test]
    fn a_row_is_found_by_each_thing_that_is_asked_of_it() {
        for (query, fits) in [
            ("", true),
            ("who=ada", true),
            ("who=ad", false),
            ("what=ROLE", true),
            ("what=deploy", false),
            ("target=bob+adm", true),
            ("target=eve", false),
            ("from=2026-01-02T03:04", true),
            ("from=2026-01-02T03:05", false),
            ("from=2026-01-02T03:04:06", false),
            ("to=2026-01-02T03:04:06Z", true),
            ("to=2026-01-02T03:04:05", false),
            ("who=ada&what=operator&target=bob&from=2026-01-01T00:00&to=2026-01-03T00:00", true),
            ("who=ada&target=eve", false),
        ] {
            assert_eq!(Asked::read(query).search().expect("understood").fits(&row()), fits, "{query}");
        }
        let unread = AuditEntry { at: "some day".into(), ..row() };
        let fits = |query: &str| Asked::read(query).search().expect("understood").fits(&unread);
        assert_eq!((fits("who=ada"), fits("from=2026-01-01T00:00")), (true, false));
    }

    #[test]
    fn what_is_asked_for_stands_in_the_address_as_it_was_read_from_it() {
        for text in ["a,b", "a&b=c", "50% +1", "<b>", "chat~1f", "ä?#/"] {
            let asked = Asked { target: text.into(), who: "ada".into(), ..Asked::default() };
            assert_eq!(Asked::read(&asked.query()), asked, "{text}");
            assert!(!asked.query().contains([',', '~', '<', '"']), "{}", asked.query());
        }
        let asked = Asked::read("who=+ada+&nothing=1&before=70");
        assert_eq!(asked.query(), "who=ada&before=70");
        assert_eq!((asked.before(20).query(), asked.newest().query()), ("who=ada&before=20".into(), "who=ada".into()));
        assert_eq!(Asked::read(&format!("who={}", "x".repeat(5_000))).who.len(), LONGEST);
    }

    #[test]
    fn there_are_not_too_many_rows_at_once() {
        let rows = |query: &str| Asked::read(query).search().expect("understood").rows;
        assert_eq!((rows(""), rows("rows=20"), rows("rows=0")), (ROWS, 20, 1));
        assert_eq!((rows("rows=18446744073709551615"), rows(&Asked::default().most().query())), (MOST_ROWS, MOST_ROWS));
        assert_eq!(Asked::read("before=70").search().expect("understood").before, Some(70));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for query in ["from=yesterday", "to=2026-13-01T00:00", "before=x", "before=-1", "rows=many"] {
            assert!(Asked::read(query).search().is_err(), "{query}");
        }
    }
}
