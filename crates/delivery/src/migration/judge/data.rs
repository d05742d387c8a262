//! Reading and writing of rows.

use sqlparser::ast::{AssignmentTarget, Insert, Statement, TableFactor, TableObject, Update};

use super::feeding::single;
use super::{Context, Judgement, calls, refuse_if};
use crate::migration::engine::Engine;
use crate::migration::known::fold;
use crate::migration::rule::Rule;
use crate::migration::verdict::{Allowance, Refusal};

/// Rows of tables that no running version knows may be written, from nothing but such tables and constants. A query may
/// read nothing at all: its result is thrown away, so that one which reads something is there for what it does besides.
/// What the running version has may be copied where it is copied from then on as well (a column that is filled, a table that is fed), and
/// where that is done in a moment.
pub(super) fn judge(context: Context<'_>, statement: &Statement) -> Judgement {
    calls::refuse_unknown(statement)?;
    let names = calls::of(statement).relations;
    let reads = matches!(statement, Statement::Query(_));
    refuse_if(reads && !names.is_empty(), Rule::SideEffects, "reads a table")?;
    if reads {
        return Ok(Allowance::Nothing);
    }
    let at_once = match statement {
        Statement::Update(update) => fills(context, update),
        Statement::Insert(insert) => copies(context, insert),
        _ => None,
    };
    if let Some(what) = at_once.transpose()? {
        refuse_if(!context.small, Rule::FillsAtOnce, what)?;
        return Ok(Allowance::Fills);
    }
    let plain = match statement {
        Statement::Insert(insert) => {
            matches!(insert.table, TableObject::TableName(_)) && insert.multi_table_into_clauses.is_empty()
        }
        Statement::Delete(delete) => delete.tables.is_empty(),
        _ => true,
    };
    refuse_if(!plain || names.is_empty(), Rule::Unknown, "writes to what is no plain table")?;
    for (index, name) in names.iter().enumerate() {
        let name = context.name(name)?;
        let rule = if index == 0 { Rule::ChangesData } else { Rule::CopiesData };
        let what = if index == 0 { "changes rows of" } else { "changes rows, and reads" };
        let new = context.known.table(&name);
        let fits = new.is_some_and(|table| table.empty || index > 0 || only_adds(statement));
        refuse_if(!fits, rule, format!("{what} {name}"))?;
    }
    refuse_if(context.known.has_triggers(), Rule::SideEffects, "may run the triggers that the set creates")?;
    Ok(Allowance::NewTable)
}

/// `UPDATE t SET a = …` of columns that the set adds to a table of the running version, which neither reads nor writes them.
fn fills(context: Context<'_>, update: &Update) -> Option<Result<String, Refusal>> {
    let TableFactor::Table { name: written, .. } = &update.table.relation else { return None };
    let table = context.name(written).ok().filter(|table| !context.known.is_new(table))?;
    let column = |target: &AssignmentTarget| match target {
        AssignmentTarget::ColumnName(column) => single(column).map(|column| fold(context.engine, column)),
        AssignmentTarget::Tuple(_) => None,
    };
    let columns = update.assignments.iter().map(|it| column(&it.target)).collect::<Option<Vec<_>>>()?;
    let added = !columns.is_empty() && columns.iter().all(|column| context.known.column(&table, column).is_some());
    let assignments: Vec<String> = update.assignments.iter().map(ToString::to_string).collect();
    let filter = update.selection.as_ref().map(|selection| format!(" WHERE {selection}")).unwrap_or_default();
    let plain = update.to_string() == format!("UPDATE {written} SET {}{filter}", assignments.join(", "));
    if !added || !plain {
        return None;
    }
    let what = format!("fills {} of {table}", columns.join(", "));
    let may_trigger = context.known.may_trigger(&table);
    Some(refuse_if(may_trigger, Rule::SideEffects, format!("{what}, and may run its triggers")).map(|()| what))
}

/// `INSERT INTO t (a) SELECT …` into a table that a trigger feeds from then on (SQLite; elsewhere nothing is let through that feeds).
fn copies(context: Context<'_>, insert: &Insert) -> Option<Result<String, Refusal>> {
    let TableObject::TableName(table) = &insert.table else { return None };
    let table = context.name(table).ok().filter(|table| context.known.is_fed(table))?;
    let lists = !insert.columns.is_empty() && insert.multi_table_into_clauses.is_empty();
    let plain = context.engine == Engine::Sqlite && lists && only_adds_rows(insert);
    plain.then(|| Ok(format!("copies rows into {table}")))
}

/// Whether rows that are there already stay as they are.
fn only_adds(statement: &Statement) -> bool {
    match statement {
        Statement::Insert(insert) => only_adds_rows(insert),
        _ => false,
    }
}

fn only_adds_rows(insert: &Insert) -> bool {
    insert.or.is_none() && !insert.replace_into && insert.on.is_none()
}
