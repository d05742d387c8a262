//! What is evaluated: the expression with its names resolved, its types checked and its parentheses gone.

use super::window::RangeFunction;
use crate::series::Matcher;

/// A part of an expression.
#[derive(Debug)]
pub(super) enum Plan {
    Number(f64),
    Text(String),
    /// A text that was read as a regular expression.
    Pattern(regex::Regex),
    Select(Selector),
    Range(Window),
    Negate(Box<Plan>),
    Binary(Box<Binary>),
    Aggregate(Box<Aggregate>),
    Call(Function, Vec<Plan>),
    OverTime(Box<OverTime>),
}

/// What kind of value a part gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar,
    Vector,
    Matrix,
    Text,
}

/// Series, at one time each.
#[derive(Debug)]
pub(super) struct Selector {
    pub(super) matchers: Vec<Matcher>,
    pub(super) when: When,
    /// As it was written, for people.
    pub(super) shown: String,
}

/// At which time something is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct When {
    /// Milliseconds before.
    pub(super) offset: i64,
    pub(super) at: Option<At>,
}

/// A time that does not depend on the step.
#[derive(Debug, Clone, Copy)]
pub(super) enum At {
    /// Milliseconds since 1970.
    Time(i64),
    /// First step of the query.
    Start,
    /// Last step of the query.
    End,
}

/// Series over a span of time.
#[derive(Debug)]
pub(super) enum Window {
    Stored { selector: Selector, range: i64 },
    Subquery { of: Box<Plan>, when: When, range: i64, step: Option<i64> },
}

/// A function over a span of time.
#[derive(Debug)]
pub(super) struct OverTime {
    pub(super) function: RangeFunction,
    pub(super) window: Window,
    /// The scalar that some of them take.
    pub(super) parameter: Option<Plan>,
}

#[derive(Debug)]
pub(super) struct Binary {
    pub(super) operator: Operator,
    pub(super) left: Plan,
    pub(super) right: Plan,
    pub(super) matching: Matching,
    /// A comparison gives 0 or 1 instead of choosing.
    pub(super) gives_bool: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
    And,
    Or,
    Unless,
}

/// Which elements of two vectors belong together.
#[derive(Debug, Default)]
pub(super) struct Matching {
    /// The labels are those that count (`on`), instead of those that do not.
    pub(super) on: bool,
    pub(super) labels: Vec<String>,
    pub(super) group: Group,
}

/// Which side may have several elements for one of the other's, and the labels it takes from there.
#[derive(Debug, Default)]
pub(super) enum Group {
    #[default]
    None,
    Left(Vec<String>),
    Right(Vec<String>),
}

#[derive(Debug)]
pub(super) struct Aggregate {
    pub(super) operator: Aggregation,
    pub(super) without: bool,
    pub(super) labels: Vec<String>,
    pub(super) parameter: Option<Plan>,
    pub(super) of: Plan,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregation {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Quantile,
}

/// A function over what is there at one time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Function {
    /// Of each value.
    Math(fn(f64) -> f64),
    /// A part of the date of each value.
    Date(super::date::Part),
    Clamp,
    ClampMin,
    ClampMax,
    Round,
    Sort,
    SortDescending,
    Absent,
    Scalar,
    Vector,
    Time,
    Timestamp,
    LabelReplace,
    LabelJoin,
    HistogramQuantile,
}

impl Operator {
    pub(super) const fn compares(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual | Self::Greater | Self::Less | Self::GreaterEqual | Self::LessEqual)
    }

    pub(super) const fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// Whether the result is no longer what the name says. (Prometheus keeps it for `atan2`.)
    pub(super) const fn drops_name(self) -> bool {
        matches!(self, Self::Add | Self::Sub | Self::Mul | Self::Div | Self::Mod | Self::Pow)
    }
}

impl Kind {
    /// As people read it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "a scalar",
            Self::Vector => "an instant vector",
            Self::Matrix => "a range vector",
            Self::Text => "a string",
        }
    }
}

impl Plan {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Number(_) | Self::Call(Function::Time | Function::Scalar, _) => Kind::Scalar,
            Self::Text(_) | Self::Pattern(_) => Kind::Text,
            Self::Range(_) => Kind::Matrix,
            Self::Negate(of) => of.kind(),
            Self::Binary(binary) if binary.left.kind() == Kind::Scalar && binary.right.kind() == Kind::Scalar => {
                Kind::Scalar
            }
            Self::Select(_) | Self::Binary(_) | Self::Aggregate(_) | Self::Call(..) | Self::OverTime(_) => Kind::Vector,
        }
    }
}
