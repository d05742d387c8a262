//! Triggers on tables that the running version writes to, which run for nothing that it writes (SQLite alone: what a trigger of PostgreSQL does
//! is in a function that no guard sees through).
//!
//! One is let through that refuses rows (`SELECT RAISE(ABORT, '…')`) where they are inserted and have a value in a column that the set adds:
//! what the running version inserts has NULL there. Not where rows are changed or deleted: those may be the new version's. It is compiled into the
//! running version's statements all the same, so every name in it is known to be there; and that the value is asked for first keeps the rest from costing
//! anything.

use sqlparser::ast::{
    BinaryOperator, ConditionalStatements, CreateTrigger, Expr, Query, SelectItem, SetExpr, Statement, TriggerEvent,
    TriggerPeriod, Value,
};

use super::feeding::{Scope, plain_event};
use super::{Context, calls};
use crate::migration::engine::Engine;
use crate::migration::known::{Name, fold};

/// Whether it runs for nothing that the running version writes, and cannot fail before it is known not to.
pub(super) fn sleeps(context: Context<'_>, create: &CreateTrigger) -> bool {
    let (Ok(table), Ok(_)) = (context.name(&create.table_name), context.name(&create.name)) else { return false };
    let inserts =
        matches!(plain_event(create), Some((TriggerPeriod::Before | TriggerPeriod::After, TriggerEvent::Insert)));
    if context.engine != Engine::Sqlite || !inserts {
        return false;
    }
    let (Some(row), Some(condition)) = (context.known.shape(&table), &create.condition) else { return false };
    let scope = Scope { context, row, new: true, old: false, reads: None, asks_all: true };
    let body = create.statements.as_ref().map(ConditionalStatements::statements);
    let only_refuses = body.is_some_and(|body| !body.is_empty() && body.iter().all(refuses));
    only_refuses && has_value(context, &table, first(condition)) && scope.is_certain(condition)
}

/// What is asked for first of all that has to hold.
fn first(condition: &Expr) -> &Expr {
    match condition {
        Expr::Nested(inner) => first(inner),
        Expr::BinaryOp { left, op: BinaryOperator::And, .. } => first(left),
        other => other,
    }
}

/// `NEW.column IS NOT NULL`, which does not hold for what the running version inserts.
fn has_value(context: Context<'_>, table: &Name, expression: &Expr) -> bool {
    let Expr::IsNotNull(inner) = expression else { return false };
    let Expr::CompoundIdentifier(parts) = &**inner else { return false };
    let [row, column] = parts.as_slice() else { return false };
    let new = row.quote_style.is_none() && row.value.eq_ignore_ascii_case("new");
    new && context.known.column(table, &fold(context.engine, column)).is_some_and(|column| column.null_for_blue)
}

/// `SELECT RAISE(ABORT, '…')`.
fn refuses(statement: &Statement) -> bool {
    let Statement::Query(query) = statement else { return false };
    raises(query).is_some_and(|written| query.to_string() == format!("SELECT {written}"))
}

fn raises(query: &Query) -> Option<String> {
    let SetExpr::Select(select) = &*query.body else { return None };
    let [SelectItem::UnnamedExpr(Expr::Function(function))] = select.projection.as_slice() else { return None };
    let arguments: [&Expr; 2] = calls::plain_arguments(function)?.try_into().ok()?;
    let [Expr::Identifier(how), Expr::Value(why)] = arguments else { return None };
    let known = ["abort", "fail", "rollback"].iter().any(|known| how.value.eq_ignore_ascii_case(known));
    let plain = how.quote_style.is_none() && known && matches!(why.value, Value::SingleQuotedString(_));
    (plain && calls::builtin(function)? == "raise").then(|| function.to_string())
}
