//! Reading and writing of rows.

use sqlparser::ast::{Statement, TableObject};

use super::{Context, Judgement, calls, refuse_if};
use crate::migration::rule::Rule;
use crate::migration::verdict::Allowance;

/// Rows of tables that no running version knows may be written, from nothing but such tables and constants. A query may
/// read nothing at all: its result is thrown away, so that one which reads something is there for what it does besides.
pub(super) fn judge(context: Context<'_>, statement: &Statement) -> Judgement {
    calls::refuse_unknown(statement)?;
    let names = calls::of(statement).relations;
    let reads = matches!(statement, Statement::Query(_));
    refuse_if(reads && !names.is_empty(), Rule::SideEffects, "reads a table")?;
    if reads {
        return Ok(Allowance::Nothing);
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

/// Whether rows that are there already stay as they are.
fn only_adds(statement: &Statement) -> bool {
    match statement {
        Statement::Insert(insert) => insert.or.is_none() && !insert.replace_into && insert.on.is_none(),
        _ => false,
    }
}
