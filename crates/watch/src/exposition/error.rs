//! What can be wrong with an exposition.

use super::{MAX_BAD_LINES, MAX_BODY_BYTES, MAX_LABELS, MAX_LINE_BYTES, MAX_SAMPLES};

/// A line that was left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {fault}")]
pub struct BadLine {
    /// From 1.
    pub line: usize,
    /// In bytes, from 1.
    pub column: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong at a place of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Something else than a metric's name.
    #[error("a metric's name was expected: letters, digits, `_` and `:`, no digit first")]
    Name,
    /// Something else than a label's name.
    #[error("a label's name was expected: letters, digits and `_`, no digit first")]
    Label,
    /// No `=` after a label's name.
    #[error("`=` was expected after the label's name")]
    Equals,
    /// A label's value without its quotes.
    #[error("a label's value in double quotes was expected")]
    Quote,
    /// A value whose quotes do not end in this line.
    #[error("the label's value does not end: a `\"` or a backslash in it needs a backslash before")]
    OpenQuote,
    /// Labels not followed by one of these.
    #[error("`,` or `}}` was expected after the label's value")]
    CommaOrBrace,
    /// A label twice in one sample.
    #[error("the label was given before in this line")]
    LabelTwice,
    /// More labels than are read.
    #[error("the sample has more than {MAX_LABELS} labels")]
    TooManyLabels,
    /// Text that is not UTF-8.
    #[error("the text is not UTF-8")]
    Utf8,
    /// No number where the value belongs.
    #[error("a number was expected as the sample's value")]
    Value,
    /// No number where a time belongs.
    #[error("the sample's time was expected: whole milliseconds (in OpenMetrics: seconds) since 1970")]
    Time,
    /// More than a sample in a line.
    #[error("nothing more was expected in this line")]
    Rest,
    /// An exemplar of the wrong form.
    #[error("an exemplar was expected: ` # {{labels}} value`")]
    Exemplar,
    /// A type that does not exist.
    #[error("the type is none of those the format knows")]
    Kind,
    /// An unknown comment, where only known ones are allowed.
    #[error("OpenMetrics allows only TYPE, HELP, UNIT and EOF after `# `")]
    Comment,
    /// An empty line, where none is allowed.
    #[error("OpenMetrics allows no empty line")]
    Empty,
    /// A line after the last one.
    #[error("OpenMetrics allows nothing after `# EOF`")]
    AfterEnd,
    /// More text than is read.
    #[error("the line is longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
}

/// Why a whole body was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Nonsense {
    /// Not one line of it is a sample.
    #[error("the answer is no exposition ({first}): is this the path of the metrics?")]
    NoExposition {
        /// The first bad line.
        first: BadLine,
    },
    /// Too many of its lines are bad.
    #[error("more than {MAX_BAD_LINES} lines of the exposition are bad, the first one: {first}")]
    TooManyBadLines {
        /// The first bad line.
        first: BadLine,
    },
    /// It has no end, so some of it may be lost.
    #[error("the exposition does not end with `# EOF`: it was cut off on its way, or its program breaks off")]
    CutOff,
    /// It is larger than what is read.
    #[error("the exposition is larger than {MAX_BODY_BYTES} bytes: give fewer labels or fewer values of them")]
    TooLarge,
    /// It has more samples than are taken.
    #[error("the exposition has more than {MAX_SAMPLES} samples: give fewer labels or fewer values of them")]
    TooManySamples,
}

/// A fault and its place in a line, in bytes from 0.
pub(super) type At<T> = Result<T, (usize, Fault)>;
