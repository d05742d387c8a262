//! The four states that everything shown is in. Shape, word and colour say the same, so that no one of them is needed.

use std::fmt;

/// How something is. Later ones are worse: the worst of several stands for all of them, and what is unknown is worse than
/// well but not worse than a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Healthy,
    Unknown,
    Warning,
    Critical,
}

impl State {
    /// As colours, shapes and exports call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// By a value that is better the smaller it is.
    pub(crate) fn at(value: f64, warning: f64, critical: f64) -> Self {
        if !value.is_finite() {
            Self::Unknown
        } else if value > critical {
            Self::Critical
        } else if value > warning {
            Self::Warning
        } else {
            Self::Healthy
        }
    }

    /// With a word of its own: `Fast`, `Up`.
    pub(crate) fn mark(self, word: impl Into<String>) -> Mark {
        Mark { state: self, word: word.into() }
    }
}

/// A state with the word that stands beside its shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) state: State,
    pub(crate) word: String,
}

/// Writes the HTML: templates put it in as it is.
impl fmt::Display for Mark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.state.name();
        write!(
            out,
            "<span class=\"state {name}\"><svg aria-hidden=\"true\" viewBox=\"0 0 16 16\"><use href=\"#s-{name}\"/></svg>\
             <span class=\"word\">"
        )?;
        for character in self.word.chars() {
            match character {
                '&' => out.write_str("&#38;")?,
                '<' => out.write_str("&#60;")?,
                '>' => out.write_str("&#62;")?,
                '"' => out.write_str("&#34;")?,
                '\'' => out.write_str("&#39;")?,
                _ => write!(out, "{character}")?,
            }
        }
        // A word that does not say it is told whom colours and shapes do not reach.
        if self.word.eq_ignore_ascii_case(name) {
            out.write_str("</span></span>")
        } else {
            write!(out, "</span><span class=\"hidden\"> ({name})</span></span>")
        }
    }
}

impl askama::FastWritable for Mark {
    fn write_into(&self, out: &mut dyn fmt::Write, _: &dyn askama::Values) -> askama::Result<()> {
        write!(out, "{self}").map_err(askama::Error::from)
    }
}

impl askama::filters::HtmlSafe for Mark {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_broken_only_above_it_and_no_number_is_unknown() {
        for (value, state) in [
            (0.0, State::Healthy),
            (0.01, State::Healthy),
            (0.02, State::Warning),
            (0.05, State::Warning),
            (0.06, State::Critical),
            (f64::NAN, State::Unknown),
            (f64::INFINITY, State::Unknown),
        ] {
            assert_eq!(State::at(value, 0.01, 0.05), state, "{value}");
        }
    }

    #[test]
    fn the_worst_stands_for_all() {
        use State::{Critical, Healthy, Unknown, Warning};
        assert_eq!([Healthy, Unknown].into_iter().max(), Some(Unknown));
        assert_eq!([Unknown, Warning, Healthy].into_iter().max(), Some(Warning));
        assert_eq!([Critical, Unknown, Warning].into_iter().max(), Some(Critical));
    }

    #[test]
    fn a_mark_says_its_state_in_words_and_nothing_of_it_is_markup() {
        assert!(State::Healthy.mark("Fast").to_string().contains("Fast</span><span class=\"hidden\"> (healthy)"));
        assert!(!State::Critical.mark("Critical").to_string().contains("hidden\">"));
        assert!(State::Warning.mark("<b>&").to_string().contains("&#60;b&#62;&#38;"));
    }
}
