//! Matchers, where many series share few values: each value is looked at once.

use std::collections::HashMap;
use std::hash::Hash;

use crate::series::{Matcher, Test};

/// A matcher, with what it said of values so far. `S` stands for a value.
pub(super) struct Tested<'a, S> {
    matcher: &'a Matcher,
    known: HashMap<S, bool>,
    missing: bool,
}

impl<'a, S: Copy + Eq + Hash> Tested<'a, S> {
    pub(super) fn new(matcher: &'a Matcher) -> Self {
        Self { matcher, known: HashMap::new(), missing: fits(matcher, "") }
    }

    pub(super) fn label(&self) -> &'a str {
        &self.matcher.label
    }

    /// Whether it fits a series that has this value of the label, or none.
    pub(super) fn fits<'t>(&mut self, value: Option<S>, text: impl FnOnce(S) -> &'t str) -> bool {
        let Some(value) = value else { return self.missing };
        *self.known.entry(value).or_insert_with(|| fits(self.matcher, text(value)))
    }
}

/// Whether the matcher fits the value, whatever its label.
pub(super) fn fits(matcher: &Matcher, value: &str) -> bool {
    match &matcher.test {
        Test::Equal(wanted) => value == wanted,
        Test::NotEqual(unwanted) => value != unwanted,
        Test::Like(expression) => expression.is_match(value),
        Test::Unlike(expression) => !expression.is_match(value),
    }
}
