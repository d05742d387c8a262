//! Triggers on tables that the running version writes to, which so run within its own statements (SQLite alone: what a trigger of
//! PostgreSQL does is in a function that no guard sees through).
//!
//! One is let through that does nothing but put rows into, and take rows out of, tables that the set makes, and that cannot fail whatever
//! is written: every name in it is known to be there, its expressions have a value for any row, and the tables take all ([`Shape`]).
//! How a conflict is resolved (`OR IGNORE`) does not help, as the statement that made the trigger run overrides it.
//!
//! Each part is compared with the text that the parts which are understood make, so that no other syntax slips through.

use sqlparser::ast::{
    BinaryOperator as Op, ConditionalStatements, CreateTrigger, Delete, Expr, FromTable, Function, Ident, InTarget,
    Insert, ObjectName, Query, SelectItem, SetExpr, Statement, TableFactor, TableObject, TableWithJoins, TriggerEvent,
    TriggerPeriod, UnaryOperator, Value,
};

use super::{Context, Judgement, calls};
use crate::migration::engine::Engine;
use crate::migration::known::{Name, Shape, fold};
use crate::migration::rule::Rule;
use crate::migration::verdict::{Allowance, Refusal};

pub(super) fn judge(context: Context<'_>, create: &CreateTrigger) -> Judgement {
    feeds(context, create).map(|_| Allowance::Feeds)
}

/// The tables that it feeds, if it does nothing else.
pub(in crate::migration) fn feeds(context: Context<'_>, create: &CreateTrigger) -> Result<Vec<Name>, Refusal> {
    let table = context.name(&create.table_name)?;
    let refuse =
        |why: String| Refusal::new(Rule::TriggerOnExisting, format!("creates a trigger on {table}, which {why}"));
    if context.engine == Engine::Postgres {
        return Err(refuse("runs a function".to_owned()));
    }
    context.name(&create.name)?;
    let event = plain_event(create).filter(|(period, _)| matches!(period, TriggerPeriod::After));
    let (_, event) = event.ok_or_else(|| refuse("is no plain AFTER INSERT, UPDATE or DELETE".to_owned()))?;
    let Some(row) = context.known.shape(&table).filter(|_| !context.known.is_fed(&table)) else {
        return Err(refuse("has columns that are not known for certain".to_owned()));
    };
    let scope = Scope {
        context,
        row,
        new: !matches!(event, TriggerEvent::Delete),
        old: !matches!(event, TriggerEvent::Insert),
        reads: None,
        asks_all: false,
    };
    if let TriggerEvent::Update(columns) = event
        && let Some(column) = columns.iter().find(|column| !row.has(column))
    {
        return Err(refuse(format!("has no column {column}")));
    }
    if let Some(condition) = create.condition.as_ref().filter(|condition| !scope.is_certain(condition)) {
        return Err(refuse(format!("may fail on {condition}")));
    }
    let body = create.statements.as_ref().map(ConditionalStatements::statements).into_iter().flatten();
    let mut fed = Vec::new();
    for statement in body {
        let name = match statement {
            Statement::Insert(insert) => scope.insert(insert),
            Statement::Delete(delete) => scope.delete(delete),
            _ => None,
        };
        let name = name.filter(|name| *name != table);
        fed.push(
            name.ok_or_else(|| refuse(format!("may fail, or change what the running version sees: {statement}")))?,
        );
    }
    if fed.is_empty() { Err(refuse("does nothing".to_owned())) } else { Ok(fed) }
}

/// What makes it run, and when, if nothing about it is unusual.
pub(super) fn plain_event(create: &CreateTrigger) -> Option<(TriggerPeriod, &TriggerEvent)> {
    let CreateTrigger {
        or_alter: false,
        temporary: false,
        or_replace: false,
        is_constraint: false,
        name: _,
        period: Some(period),
        period_before_table: true,
        events,
        table_name: _,
        referenced_table_name: None,
        referencing,
        trigger_object: _,
        condition: _,
        exec_body: None,
        statements_as: false,
        statements: Some(ConditionalStatements::BeginEnd(_)),
        characteristics: None,
    } = create
    else {
        return None;
    };
    match events.as_slice() {
        [event @ (TriggerEvent::Insert | TriggerEvent::Update(_) | TriggerEvent::Delete)] if referencing.is_empty() => {
            Some((*period, event))
        }
        _ => None,
    }
}

/// What a name can mean.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) context: Context<'a>,
    /// The table whose rows make it run.
    pub(super) row: &'a Shape,
    pub(super) new: bool,
    pub(super) old: bool,
    /// The table that a statement goes through.
    pub(super) reads: Option<&'a Shape>,
    /// Whether tables of the running version may be asked as well.
    pub(super) asks_all: bool,
}

impl<'a> Scope<'a> {
    /// A table that the set makes, whether one feeds it already or not.
    fn own(self, name: &ObjectName) -> Option<(Name, &'a Shape)> {
        let name = self.context.name(name).ok()?;
        let known = self.context.known;
        let own = known.is_new(&name) || known.is_fed(&name);
        known.shape(&name).filter(|_| own).map(|shape| (name, shape))
    }

    /// A table that may be asked.
    fn asked(self, name: &ObjectName) -> Option<&'a Shape> {
        if self.asks_all {
            return self.context.name(name).ok().and_then(|name| self.context.known.shape(&name));
        }
        self.own(name).map(|(_, shape)| shape)
    }

    /// `INSERT INTO t (a, b) VALUES (…)`.
    fn insert(self, insert: &Insert) -> Option<Name> {
        let TableObject::TableName(table) = &insert.table else { return None };
        let (name, shape) = self.own(table)?;
        let columns = insert.columns.iter().map(single).collect::<Option<Vec<&Ident>>>()?;
        let distinct =
            columns.iter().enumerate().all(|(index, column)| !columns[..index].iter().any(|other| same(other, column)));
        let source = insert.source.as_deref()?;
        let SetExpr::Values(values) = &*source.body else { return None };
        let written: Vec<String> = insert.columns.iter().map(ToString::to_string).collect();
        let plain = insert.to_string() == format!("INSERT INTO {table} ({}) {values}", written.join(", "));
        let rows = values
            .rows
            .iter()
            .all(|row| row.content.len() == columns.len() && row.content.iter().all(|value| self.is_certain(value)));
        let taken = columns.iter().all(|column| shape.takes(column));
        (plain && rows && taken && distinct && !columns.is_empty()).then_some(name)
    }

    /// `DELETE FROM t WHERE …`.
    fn delete(self, delete: &Delete) -> Option<Name> {
        let FromTable::WithFromKeyword(from) = &delete.from else { return None };
        let table = only(from)?;
        let (name, shape) = self.own(table)?;
        let scope = Self { reads: Some(shape), ..self };
        let plain = delete.to_string() == format!("DELETE FROM {table}{}", filter(delete.selection.as_ref()));
        (plain && shape.lets_go() && delete.selection.iter().all(|it| scope.is_certain(it))).then_some(name)
    }

    /// `SELECT a FROM t WHERE …`, of which only what it gives matters.
    fn is_certain_query(self, query: &Query) -> bool {
        let SetExpr::Select(select) = &*query.body else { return false };
        let ([SelectItem::UnnamedExpr(item)], Some(table)) = (select.projection.as_slice(), only(&select.from)) else {
            return false;
        };
        let Some(shape) = self.asked(table) else { return false };
        let scope = Self { reads: Some(shape), ..self };
        let plain = query.to_string() == format!("SELECT {item} FROM {table}{}", filter(select.selection.as_ref()));
        plain && scope.is_certain(item) && select.selection.iter().all(|it| scope.is_certain(it))
    }

    /// Whether it has a value for any row, and names nothing that is not there.
    pub(super) fn is_certain(self, expression: &Expr) -> bool {
        match expression {
            Expr::Value(value) => !matches!(value.value, Value::Placeholder(_)),
            Expr::Identifier(column) => self.reads.is_some_and(|table| table.has(column) || is_number(column)),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [row, column] => {
                    let is = |name: &str| row.quote_style.is_none() && row.value.eq_ignore_ascii_case(name);
                    (self.new && is("new") || self.old && is("old")) && self.row.has(column)
                }
                _ => false,
            },
            Expr::Nested(inner)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::UnaryOp { op: UnaryOperator::Not, expr: inner } => self.is_certain(inner),
            Expr::BinaryOp { left, op, right } => {
                let simple =
                    matches!(op, Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq | Op::And | Op::Or);
                simple && self.is_certain(left) && self.is_certain(right)
            }
            Expr::In { expr, target, global: false, .. } => {
                let among = match target {
                    InTarget::List(list) => list.iter().all(|value| self.is_certain(value)),
                    InTarget::Subquery(query) => self.is_certain_query(query),
                    _ => false,
                };
                among && self.is_certain(expr)
            }
            Expr::Exists { subquery, .. } => self.is_certain_query(subquery),
            Expr::Function(function) => {
                arguments(function).is_some_and(|arguments| arguments.iter().all(|argument| self.is_certain(argument)))
            }
            _ => false,
        }
    }
}

/// Those of a function that has a value for whatever it is given.
fn arguments(function: &Function) -> Option<Vec<&Expr>> {
    let arguments = calls::plain_arguments(function)?;
    let fits = match calls::builtin(function)?.as_str() {
        "last_insert_rowid" => arguments.is_empty(),
        "lower" | "upper" | "length" => arguments.len() == 1,
        "coalesce" => arguments.len() > 1,
        _ => false,
    };
    fits.then_some(arguments)
}

/// The only table there, by its own name.
fn only(from: &[TableWithJoins]) -> Option<&ObjectName> {
    match from {
        [TableWithJoins { relation: TableFactor::Table { name, .. }, .. }] => Some(name),
        _ => None,
    }
}

fn filter(selection: Option<&Expr>) -> String {
    selection.map(|selection| format!(" WHERE {selection}")).unwrap_or_default()
}

pub(super) fn single(column: &ObjectName) -> Option<&Ident> {
    match column.0.as_slice() {
        [part] => part.as_ident(),
        _ => None,
    }
}

fn same(one: &Ident, other: &Ident) -> bool {
    fold(Engine::Sqlite, one) == fold(Engine::Sqlite, other)
}

/// The name of every row's number, where no column has it.
fn is_number(column: &Ident) -> bool {
    column.quote_style.is_none() && column.value.eq_ignore_ascii_case("rowid")
}
