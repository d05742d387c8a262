//! Why a query has no answer, with what Prometheus' API calls it.

use crate::series::SourceError;

/// Where a person finds what is supported.
const LIST: &str = "docs/QUERY.md lists what is";

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is no expression.
    #[error("this is no expression: {0}")]
    Syntax(String),
    /// The text is longer or deeper than is read.
    #[error("the expression has more than {limit} {what}: write a shorter one, or several")]
    TooLong {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// It is an expression, but of a part of the language that is not evaluated.
    #[error("{0} is not supported here; {LIST}")]
    Unsupported(String),
    /// An argument has another type than is wanted.
    #[error("{place} wants {wanted}, and got {got}")]
    Type {
        /// The function or operator.
        place: String,
        /// The type that is wanted.
        wanted: &'static str,
        /// The type that is there.
        got: &'static str,
    },
    /// A parameter of the call makes no sense.
    #[error("invalid parameter \"{parameter}\": {why}")]
    Parameter {
        /// Its name.
        parameter: &'static str,
        /// Why.
        why: String,
    },
    /// The answer would have more points for each series than is allowed.
    #[error(
        "the answer would have more than {limit} points for each series: ask for less time or a larger step (?step=XX)"
    )]
    TooManyPoints {
        /// The limit.
        limit: usize,
    },
    /// More is read or held than one query may.
    #[error("the query needs more than {limit} {what}: ask for less time, fewer series or a larger step")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Its time is up.
    #[error("the query took longer than it may: ask for less time, fewer series or a larger step")]
    OutOfTime,
    /// Two results would bear the same labels.
    #[error("vector cannot contain metrics with the same labelset: two results at one time would both be {labels}")]
    SameLabels {
        /// Which.
        labels: String,
    },
    /// The side of an operator of which each element has to be alone is ambiguous.
    #[error(
        "found duplicate series for the match group {group} on the {side} hand-side of the operation; \
         many-to-many matching not allowed: matching labels must be unique on one side"
    )]
    ManyToMany {
        /// The labels by which the sides were matched.
        group: String,
        /// Which side.
        side: &'static str,
    },
    /// Several elements match one, and the expression does not say that this is meant.
    #[error("multiple matches for labels {group}: many-to-one matching must be explicit (group_left/group_right)")]
    ManyToOne {
        /// The labels by which the sides were matched.
        group: String,
    },
    /// A number has no meaning where it stands.
    #[error("{what} has no use for the value {value}")]
    Value {
        /// The function or operator.
        what: &'static str,
        /// The number.
        value: f64,
    },
    /// The series could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl QueryError {
    /// What Prometheus' API calls this kind of error.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Syntax(_)
            | Self::TooLong { .. }
            | Self::Unsupported(_)
            | Self::Type { .. }
            | Self::Parameter { .. }
            | Self::TooManyPoints { .. } => "bad_data",
            Self::OutOfTime => "timeout",
            Self::Source(SourceError::Store(_)) => "internal",
            Self::TooMuch { .. }
            | Self::SameLabels { .. }
            | Self::ManyToMany { .. }
            | Self::ManyToOne { .. }
            | Self::Value { .. }
            | Self::Source(_) => "execution",
        }
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.kind() {
            "bad_data" => 400,
            "timeout" => 503,
            "internal" => 500,
            _ => 422,
        }
    }
}
