//! `CREATE INDEX`.

use sqlparser::ast::{
    BinaryOperator as Op, CreateIndex, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, InTarget,
    UnaryOperator, Value,
};

use super::{Context, Judgement, calls, refuse_if};
use crate::migration::engine::Engine;
use crate::migration::known::{Name, fold};
use crate::migration::rule::Rule;
use crate::migration::verdict::Allowance;

/// Most characters of a text whose words are indexed: 400,000 bytes at most, and 50,000 words with eight bytes beside each.
const WORDS_CHARS: u32 = 100_000;

pub(super) fn create(context: Context<'_>, create: &CreateIndex) -> Judgement {
    let table = context.name(&create.table_name)?;
    let what = format!("creates an index on {table}");
    refuse_if(create.if_not_exists, Rule::IfNotExists, &what)?;
    let unusual = create.r#async || !create.index_options.is_empty() || !create.alter_options.is_empty();
    refuse_if(unusual, Rule::Unknown, format!("{what} with unusual options"))?;
    if create.concurrently {
        context.postgres_only(&format!("{what} CONCURRENTLY"))?;
    }
    match &create.name {
        Some(name) => drop(context.name(name)?),
        None => refuse_if(create.concurrently, Rule::UnnamedIndex, &what)?,
    }
    if context.known.is_new(&table) {
        return Ok(Allowance::NewTable);
    }
    let can_collide = create.unique && !is_null_for_blue(context, &table, create);
    refuse_if(can_collide, Rule::UniqueOnExisting, format!("{what} that is unique"))?;
    let blocking = context.engine == Engine::Postgres && !create.concurrently;
    refuse_if(blocking, Rule::BlockingIndex, &what)?;
    let keys = create.columns.iter().map(|column| &column.column.expr);
    for expression in keys.chain(&create.predicate) {
        refuse_if(!cannot_fail(expression), Rule::RiskyIndex, format!("{what} by {expression}"))?;
    }
    Ok(Allowance::Index)
}

/// Whether NULL is in a key column of all that blue writes: rows with NULL never collide.
fn is_null_for_blue(context: Context<'_>, table: &Name, create: &CreateIndex) -> bool {
    let new = create.columns.iter().any(|column| match &column.column.expr {
        Expr::Identifier(column) => {
            context.known.column(table, &fold(context.engine, column)).is_some_and(|column| column.null_for_blue)
        }
        _ => false,
    });
    new && create.nulls_distinct != Some(false)
}

/// `to_tsvector('simple', …)` of at most [`WORDS_CHARS`] characters, in which punctuation may have been taken for blanks: fewer bytes than a
/// `tsvector` holds (1 MiB), however they are cut into words. PostgreSQL leaves out single words that are too long.
fn is_words(function: &Function) -> bool {
    let Some([configuration, text]) = called(function, "to_tsvector") else { return false };
    let bounded = match text {
        Expr::Function(call) => match called(call, "regexp_replace") {
            Some([Expr::Function(left), pattern, by, flags]) => {
                // One or more characters become one: it never gets longer.
                let shortens = literal(pattern).is_some_and(|text| {
                    text.starts_with('[')
                        && text.ends_with("]+")
                        && text.matches(']').count() == 1
                        && !text.contains('\\')
                });
                is_beginning(left) && shortens && literal(by) == Some(" ") && literal(flags) == Some("g")
            }
            _ => is_beginning(call),
        },
        _ => false,
    };
    bounded && literal(configuration) == Some("simple")
}

/// `left(column, 1000)`.
fn is_beginning(function: &Function) -> bool {
    let Some([Expr::Identifier(_), Expr::Value(length)]) = called(function, "left") else { return false };
    match &length.value {
        Value::Number(digits, _) => digits.parse().is_ok_and(|length: u32| length <= WORDS_CHARS),
        _ => false,
    }
}

/// The arguments of a plain call of that function.
fn called<'a, const N: usize>(function: &'a Function, name: &str) -> Option<[&'a Expr; N]> {
    let same = calls::builtin(function).is_some_and(|builtin| builtin == name);
    if same { calls::plain_arguments(function)?.try_into().ok() } else { None }
}

fn literal(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// For any row whatsoever; a cast or a division can.
fn cannot_fail(expression: &Expr) -> bool {
    match expression {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) => true,
        Expr::Nested(inner)
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsTrue(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsFalse(inner)
        | Expr::IsNotFalse(inner)
        | Expr::UnaryOp { op: UnaryOperator::Not, expr: inner }
        | Expr::Collate { expr: inner, .. } => cannot_fail(inner),
        // A constant is cast once, when the index is made.
        Expr::Cast { expr, .. } => matches!(&**expr, Expr::Value(_)),
        Expr::BinaryOp { left, op, right } => {
            let simple = matches!(op, Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq | Op::And | Op::Or);
            simple && cannot_fail(left) && cannot_fail(right)
        }
        Expr::In { expr, target: InTarget::List(list), .. } => cannot_fail(expr) && list.iter().all(cannot_fail),
        Expr::Trim { expr, trim_what: None, trim_characters: None, .. } => cannot_fail(expr),
        Expr::Function(function) if is_words(function) => true,
        Expr::Function(function) => {
            let total = ["lower", "upper", "trim", "btrim", "length", "coalesce"];
            let known = calls::builtin(function).is_some_and(|name| total.contains(&name.as_str()));
            let FunctionArguments::List(list) = &function.args else { return false };
            let plain = list.clauses.is_empty() && function.over.is_none() && function.filter.is_none();
            let arguments = list.args.iter().all(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => cannot_fail(expression),
                _ => false,
            });
            known && plain && arguments
        }
        _ => false,
    }
}
