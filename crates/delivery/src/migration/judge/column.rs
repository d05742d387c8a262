//! `ALTER TABLE … ADD COLUMN` on a table that the running version knows.

use sqlparser::ast::{ColumnDef, ColumnOption};

use super::constant::{is_null, is_serial};
use super::reference::of_column;
use super::{Context, Judgement, refuse_if};
use crate::migration::engine::Engine;
use crate::migration::known::{Name, fold};
use crate::migration::rule::Rule;
use crate::migration::verdict::{Allowance, Refusal};

pub(super) fn add(context: Context<'_>, table: &Name, column: &ColumnDef) -> Judgement {
    let what = format!("adds the column {} to {table}", column.name);
    refuse_if(is_serial(&column.data_type), Rule::VolatileDefault, format!("{what} as {}", column.data_type))?;
    if !context.is_plain_type(&column.data_type) {
        return Err(Refusal::new(Rule::UnknownType, format!("{what} of type {}", column.data_type)));
    }
    let mut not_null = false;
    let mut default = None;
    for option in &column.options {
        match &option.option {
            ColumnOption::NotNull => not_null = true,
            ColumnOption::Default(value) => {
                refuse_if(
                    !context.is_constant(value),
                    Rule::VolatileDefault,
                    format!("{what} with the default {value}"),
                )?;
                default = Some(value);
            }
            ColumnOption::Generated { .. } => {
                return Err(Refusal::new(Rule::GeneratedColumn, format!("{what}, generated")));
            }
            ColumnOption::PrimaryKey(_) | ColumnOption::Unique(_) => {
                return Err(Refusal::new(Rule::UniqueOnExisting, format!("{what}, unique")));
            }
            ColumnOption::Check(_) => return Err(Refusal::new(Rule::ScansTable, format!("{what} with a check"))),
            ColumnOption::ForeignKey(_) if context.engine == Engine::Postgres => {
                return Err(Refusal::new(Rule::ScansTable, format!("{what} with a foreign key")));
            }
            // Of a foreign key SQLite reads no row; what it does to blue's deletions is judged below.
            ColumnOption::Null | ColumnOption::Collation(_) | ColumnOption::ForeignKey(_) => {}
            other => return Err(Refusal::new(Rule::Unknown, format!("{what} with {other}"))),
        }
    }
    let without = not_null && default.is_none_or(is_null);
    refuse_if(without, Rule::NotNullWithoutDefault, format!("{what} NOT NULL without a default"))?;
    let name = fold(context.engine, &column.name);
    let nullable = |referring: &sqlparser::ast::Ident| fold(context.engine, referring) == name && !not_null;
    context.refuse_holding(table, None, &of_column(column), &nullable)?;
    Ok(Allowance::NewColumn)
}
