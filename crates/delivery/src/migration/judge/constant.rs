//! Expressions whose result is known before any row is looked at, and types without hidden checks.

use sqlparser::ast::{ArrayElemTypeDef, DataType, Expr, FunctionArguments, UnaryOperator, Value};

use super::{Context, calls};
use crate::migration::engine::Engine;
use crate::migration::known::name_of;

/// PostgreSQL's functions that give one value for the whole statement.
const STABLE: &[&str] = &[
    "now",
    "current_timestamp",
    "current_date",
    "current_time",
    "localtime",
    "localtimestamp",
    "transaction_timestamp",
    "statement_timestamp",
];

/// Those that cannot fail, as a default of what the running version inserts.
const RELIABLE: &[&str] = &["clock_timestamp", "gen_random_uuid", "random", "uuidv7", "uuidv4"];

/// Types that `sqlparser` has no word for.
const BUILT_IN: &[&str] = &[
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "money",
    "xml",
    "oid",
    "citext",
    "name",
    "bpchar",
    "pg_lsn",
    "hstore",
    "tsvector",
    "tsquery",
    "timestamptz",
    "timetz",
    "vector",
    "ltree",
    "int4range",
    "int8range",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
];

impl Context<'_> {
    /// One value for all rows, so that adding it as a default writes none of them.
    pub(super) fn is_constant(self, expression: &Expr) -> bool {
        match expression {
            Expr::Value(value) => !matches!(value.value, Value::Placeholder(_)),
            Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } | Expr::Nested(expr) => {
                self.is_constant(expr)
            }
            Expr::Cast { expr, data_type, .. } => self.is_plain_type(data_type) && self.is_constant(expr),
            Expr::TypedString(typed) => self.is_plain_type(&typed.data_type),
            Expr::Array(array) => array.elem.iter().all(|element| self.is_constant(element)),
            Expr::Interval(interval) => self.is_constant(&interval.value),
            Expr::Function(_) => self.engine == Engine::Postgres && calls_one_of(expression, STABLE),
            _ => false,
        }
    }

    /// Also what differs by row, as long as it cannot fail.
    pub(super) fn is_reliable(self, expression: &Expr) -> bool {
        self.is_constant(expression) || calls_one_of(expression, RELIABLE)
    }

    /// No domain: the checks of one are made for every row when a column is added. SQLite's types are but words.
    pub(super) fn is_plain_type(self, data_type: &DataType) -> bool {
        use DataType as T;
        match data_type {
            _ if self.engine == Engine::Sqlite => true,
            T::Array(ArrayElemTypeDef::SquareBracket(inner, _) | ArrayElemTypeDef::AngleBracket(inner)) => {
                self.is_plain_type(inner)
            }
            T::Custom(name, _) => name_of(self.engine, name).is_some_and(|name| {
                let built_in =
                    name.schema().is_none_or(|schema| schema == "pg_catalog") && BUILT_IN.contains(&name.last());
                built_in || self.known.is_enum(&name)
            }),
            T::Character(_)
            | T::Char(_)
            | T::CharacterVarying(_)
            | T::CharVarying(_)
            | T::Varchar(_)
            | T::Text
            | T::Uuid
            | T::Numeric(_)
            | T::Decimal(_)
            | T::Dec(_)
            | T::Float(_)
            | T::Float4
            | T::Float8
            | T::Real
            | T::DoublePrecision
            | T::SmallInt(_)
            | T::Int2(_)
            | T::Int(_)
            | T::Int4(_)
            | T::Int8(_)
            | T::Integer(_)
            | T::BigInt(_)
            | T::Bool
            | T::Boolean
            | T::Date
            | T::Time(..)
            | T::Timestamp(..)
            | T::Interval { .. }
            | T::JSON
            | T::JSONB
            | T::Regclass
            | T::Bytea
            | T::Bit(_)
            | T::BitVarying(_)
            | T::VarBit(_)
            | T::TsVector
            | T::TsQuery
            | T::GeometricType(_) => true,
            _ => false,
        }
    }
}

/// `serial` and its like are no types but a default of `nextval` and NOT NULL.
pub(super) fn is_serial(data_type: &DataType) -> bool {
    const SERIAL: &[&str] = &["serial", "serial2", "serial4", "serial8", "smallserial", "bigserial"];
    SERIAL.contains(&data_type.to_string().to_ascii_lowercase().as_str())
}

/// NULL in any clothes.
pub(super) fn is_null(expression: &Expr) -> bool {
    match expression {
        Expr::Value(value) => value.value == Value::Null,
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => is_null(inner),
        _ => false,
    }
}

fn calls_one_of(expression: &Expr, names: &[&str]) -> bool {
    let Expr::Function(function) = expression else { return false };
    let bare = match &function.args {
        FunctionArguments::None => true,
        FunctionArguments::List(list) => {
            list.args.is_empty() && list.clauses.is_empty() && list.duplicate_treatment.is_none()
        }
        FunctionArguments::Subquery(_) => false,
    };
    let plain = function.filter.is_none() && function.over.is_none() && function.within_group.is_empty();
    bare && plain && calls::builtin(function).is_some_and(|name| names.contains(&name.as_str()))
}
