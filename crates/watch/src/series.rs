//! The words that all of this crate shares: a series is its labels, and samples in the order of their time.

use std::ops::ControlFlow;
use std::sync::Arc;

/// The label that holds a metric's name, as in Prometheus.
pub const NAME: &str = "__name__";

/// Says that a series ended here (its target is gone, or no longer gives it). The bits are Prometheus' own, so they travel.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Pairs of a label and its value, sorted by label, each label once. An empty value is no label. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

/// One measured value.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Milliseconds since 1970.
    pub at: i64,
    /// What was measured; [`STALE_BITS`] says that the series ended.
    pub value: f64,
}

/// A series with those of its samples that were asked for.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its labels, its name among them.
    pub labels: Labels,
    /// In the order of their time, each time once.
    pub samples: Vec<Sample>,
}

/// What a label has to be like.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// The label. One that a series does not have reads as empty.
    pub label: String,
    /// How it is compared.
    pub test: Test,
}

/// How a label's value is compared.
#[derive(Debug, Clone)]
pub enum Test {
    /// It is this.
    Equal(String),
    /// It is not this.
    NotEqual(String),
    /// All of it fits the expression.
    Like(regex::Regex),
    /// It does not fit, as a whole, the expression.
    Unlike(regex::Regex),
}

/// Which of the values that stand for a span of time a query wants, where raw samples are no longer kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// The last one: right for counters and for what is looked at point by point.
    #[default]
    Last,
    /// The smallest, for `min_over_time`.
    Min,
    /// The largest, for `max_over_time`.
    Max,
}

/// Why a source gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// More series fit than are given out at once.
    #[error("{found} series fit, which is more than the {limit} that one query may read: name more labels")]
    TooManySeries {
        /// How many fit.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// More samples lie there than are given out at once.
    #[error("the query would read more than {limit} samples: ask for less time or fewer series")]
    TooManySamples {
        /// The limit.
        limit: usize,
    },
    /// The store could not be read.
    #[error("the stored series could not be read")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where samples are read from: by another thread than the one that works on them, where that is worth it.
pub trait Source: Sync {
    /// Gives every series that all matchers fit to `each`, one after the other and each labels once, with its samples from `from` to `to` (milliseconds,
    /// both included); series without one are left out. The samples are lent, so that a query holds those of one series at a time, or of a few.
    /// Where raw samples are gone, what stands for them is given: the coarsest that has a sample for each `step` milliseconds, or what is left.
    /// Ends early, and well, where `each` breaks.
    ///
    /// # Errors
    /// More fits than its limits allow, or the store cannot be read. What was given before that is right, and not all.
    fn each(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
        step: i64,
        keep: Keep,
        each: &mut Each<'_>,
    ) -> Result<(), SourceError>;

    /// All of the series of [`Source::each`], sorted by their labels.
    ///
    /// # Errors
    /// As there.
    fn select(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
        step: i64,
        keep: Keep,
    ) -> Result<Vec<Series>, SourceError> {
        let mut series = Vec::new();
        self.each(matchers, from, to, step, keep, &mut |labels, samples| {
            series.push(Series { labels, samples: samples.to_vec() });
            ControlFlow::Continue(())
        })?;
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(series)
    }
}

/// Who gets a series after the other. The samples are in the order of their time, each time once.
pub type Each<'a> = dyn FnMut(Labels, &[Sample]) -> ControlFlow<()> + 'a;

impl Labels {
    /// Sorted, with what is empty left out. Of a label that comes twice the last one counts.
    pub fn new<L: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (L, V)>) -> Self {
        let shared = |(label, value): (L, V)| (Arc::from(label.as_ref()), Arc::from(value.as_ref()));
        let mut pairs: Vec<(Arc<str>, Arc<str>)> = pairs.into_iter().map(shared).collect();
        if !pairs.is_sorted_by(|(before, _), (label, _)| before < label) {
            pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
            pairs.dedup_by(|next, kept| {
                let same = next.0 == kept.0;
                if same {
                    std::mem::swap(next, kept);
                }
                same
            });
        }
        pairs.retain(|(_, value)| !value.is_empty());
        Self(pairs.into())
    }

    /// Those of the labels that are wanted; their texts are shared.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|(label, _)| wanted(label)).cloned().collect())
    }

    /// The label's value; empty if it is not there.
    #[must_use]
    pub fn get(&self, label: &str) -> &str {
        self.0.binary_search_by(|(known, _)| (**known).cmp(label)).map_or("", |at| &self.0[at].1)
    }

    /// The metric's name; empty after an operation that takes it away.
    #[must_use]
    pub fn name(&self) -> &str {
        self.get(NAME)
    }

    /// All pairs, sorted by label.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(label, value)| (&**label, &**value))
    }
}

impl Sample {
    /// Says that a series ended at this time.
    #[must_use]
    pub const fn stale(at: i64) -> Self {
        Self { at, value: f64::from_bits(STALE_BITS) }
    }

    /// Whether it says that the series ended.
    #[must_use]
    pub const fn is_stale(self) -> bool {
        self.value.to_bits() == STALE_BITS
    }
}

impl Matcher {
    /// Whether these labels are meant.
    #[must_use]
    pub fn fits(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.label);
        match &self.test {
            Test::Equal(wanted) => value == wanted,
            Test::NotEqual(unwanted) => value != unwanted,
            Test::Like(expression) => expression.is_match(value),
            Test::Unlike(expression) => !expression.is_match(value),
        }
    }

    /// The label is the value.
    #[must_use]
    pub fn equal(label: &str, value: &str) -> Self {
        Self { label: label.to_owned(), test: Test::Equal(value.to_owned()) }
    }

    /// A test for an expression that is anchored at both ends, as Prometheus' are.
    ///
    /// # Errors
    /// It is no regular expression, or too large a one.
    pub fn like(expression: &str) -> Result<regex::Regex, regex::Error> {
        regex::RegexBuilder::new(&format!("^(?s:{expression})$")).size_limit(1 << 20).build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_and_an_empty_one_is_none() {
        let labels = Labels::new([("service", "chat"), (NAME, "up"), ("zone", "")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [(NAME, "up"), ("service", "chat")]);
        assert_eq!((labels.name(), labels.get("zone"), labels.get("none")), ("up", "", ""));
        let twice = Labels::new([("b", "1"), ("a", "1"), ("b", "2"), ("a", "3"), ("a", "")]);
        assert_eq!(twice.iter().collect::<Vec<_>>(), [("b", "2")], "the last one counts, also where it is none");
        assert_eq!(labels.only(|label| label != NAME), Labels::new([("service", "chat")]));
    }

    #[test]
    fn matchers_look_at_the_whole_value_and_read_a_missing_label_as_empty() {
        let labels = Labels::new([("service", "chat-backend")]);
        let like =
            |expression| Matcher { label: "service".into(), test: Test::Like(Matcher::like(expression).unwrap()) };
        assert!(like("chat-.*").fits(&labels) && like("a|chat-backend").fits(&labels));
        assert!(!like("chat").fits(&labels));
        assert!(Matcher::equal("zone", "").fits(&labels));
    }
}
