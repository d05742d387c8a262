//! `ALTER TABLE`.

use sqlparser::ast::{AlterColumnOperation, AlterTable, AlterTableOperation as Operation, Ident, TableConstraint};

use super::reference::{of_constraint, of_operation};
use super::table::is_column_option;
use super::{Context, Judgement, column, refuse_if};
use crate::migration::known::{Name, NewTable, fold};
use crate::migration::rule::Rule;
use crate::migration::verdict::{Allowance, Refusal};

pub(super) fn judge(context: Context<'_>, alter: &AlterTable) -> Judgement {
    let table = context.name(&alter.name)?;
    refuse_if(alter.if_exists, Rule::IfNotExists, format!("changes {table} if it is there"))?;
    let unusual = alter.only || alter.location.is_some() || alter.on_cluster.is_some() || alter.table_type.is_some();
    refuse_if(unusual || alter.operations.is_empty(), Rule::Unknown, format!("changes {table} in an unusual way"))?;
    let mut allowance = Allowance::NewTable;
    for operation in &alter.operations {
        allowance = match context.known.table(&table) {
            Some(new) => on_new(context, &table, new, operation)?,
            None => on_existing(context, &table, operation)?,
        };
    }
    let validates = alter.operations.iter().any(|operation| matches!(operation, Operation::ValidateConstraint { .. }));
    let alone = alter.operations.len() == 1 || context.known.is_new(&table);
    refuse_if(
        validates && !alone,
        Rule::ScansTable,
        format!("validates a constraint of {table} under the lock of another change"),
    )?;
    Ok(allowance)
}

/// No running version knows the table: nearly everything goes.
fn on_new(context: Context<'_>, table: &Name, new: &NewTable, operation: &Operation) -> Judgement {
    match operation {
        Operation::AddColumn { if_not_exists, column_def, column_position, .. } => {
            refuse_if(*if_not_exists, Rule::IfNotExists, format!("adds a column to {table} if it is not there"))?;
            let unusual =
                column_position.is_some() || !column_def.options.iter().all(|option| is_column_option(&option.option));
            refuse_if(unusual, Rule::Unknown, format!("adds a column to {table} with unusual options"))?;
        }
        Operation::DropColumn { if_exists, drop_behavior, .. }
        | Operation::DropConstraint { if_exists, drop_behavior, .. } => {
            refuse_if(*if_exists, Rule::IfNotExists, format!("drops a part of {table} if it is there"))?;
            let loses = matches!(operation, Operation::DropColumn { .. }) && !new.empty;
            refuse_if(loses, Rule::DropsColumn, format!("drops a column of {table}, which may hold data already"))?;
            refuse_if(
                drop_behavior.is_some(),
                Rule::DropsObject,
                format!("drops a part of {table} and what depends on it"),
            )?;
        }
        Operation::AddConstraint { .. }
        | Operation::AlterColumn { .. }
        | Operation::RenameColumn { .. }
        | Operation::RenameConstraint { .. }
        | Operation::ValidateConstraint { .. }
        | Operation::EnableRowLevelSecurity
        | Operation::ForceRowLevelSecurity => {}
        other => return Err(unknown(table, other)),
    }
    // Whether a column may be NULL is not followed through changes, so only CASCADE counts.
    context.refuse_holding(table, Some(new), &of_operation(operation), &|_| false)?;
    Ok(Allowance::NewTable)
}

fn on_existing(context: Context<'_>, table: &Name, operation: &Operation) -> Judgement {
    match operation {
        Operation::AddColumn { if_not_exists, column_def, column_position, .. } => {
            refuse_if(*if_not_exists, Rule::IfNotExists, format!("adds a column to {table} if it is not there"))?;
            refuse_if(column_position.is_some(), Rule::WrongEngine, format!("places a column of {table}"))?;
            column::add(context, table, column_def)
        }
        Operation::AddConstraint { constraint, not_valid } => add_constraint(context, table, constraint, *not_valid),
        Operation::ValidateConstraint { .. } => {
            context.postgres_only("validates a constraint")?;
            Ok(Allowance::Validates)
        }
        Operation::AlterColumn { column_name, op } => alter_column(context, table, column_name, op),
        other => Err(refused(table, other).unwrap_or_else(|| unknown(table, other))),
    }
}

fn add_constraint(context: Context<'_>, table: &Name, constraint: &TableConstraint, not_valid: bool) -> Judgement {
    let what = format!("adds to {table}: {constraint}");
    context.postgres_only(&what)?;
    match constraint {
        TableConstraint::Check(check) => {
            refuse_if(!not_valid, Rule::ScansTable, &what)?;
            refuse_if(check.enforced.is_some(), Rule::Unknown, &what)?;
        }
        TableConstraint::ForeignKey(key) => {
            refuse_if(!not_valid, Rule::ScansTable, &what)?;
            refuse_if(key.index_name.is_some(), Rule::WrongEngine, &what)?;
            let nullable = |column: &Ident| {
                context.known.column(table, &fold(context.engine, column)).is_some_and(|column| column.null_for_blue)
            };
            let target = context.name(&key.foreign_table)?;
            let skips_null = key.match_kind.is_none() && key.columns.iter().any(nullable);
            refuse_if(context.known.is_new(&target) && !skips_null, Rule::RefersToNew, &what)?;
            let added: Vec<_> = of_constraint(constraint).into_iter().collect();
            context.refuse_holding(table, None, &added, &nullable)?;
        }
        TableConstraint::Index(_) | TableConstraint::FulltextOrSpatial(_) => {
            return Err(Refusal::new(Rule::WrongEngine, what));
        }
        _ => return Err(Refusal::new(Rule::UniqueOnExisting, what)),
    }
    Ok(Allowance::NotValid)
}

fn alter_column(context: Context<'_>, table: &Name, column: &Ident, operation: &AlterColumnOperation) -> Judgement {
    let what = format!("changes the column {column} of {table}: {operation}");
    context.postgres_only(&what)?;
    let rule = match operation {
        AlterColumnOperation::SetDefault { value } => {
            let added = context.known.column(table, &fold(context.engine, column));
            // Of a column that blue does not write, any default will do that cannot fail.
            if added.is_some_and(|column| column.null_for_blue) && context.is_reliable(value) {
                return Ok(Allowance::NewColumn);
            }
            Rule::ChangesDefault
        }
        AlterColumnOperation::DropDefault => Rule::ChangesDefault,
        AlterColumnOperation::SetNotNull => Rule::SetsNotNull,
        AlterColumnOperation::DropNotNull => Rule::DropsNotNull,
        AlterColumnOperation::SetDataType { .. } => Rule::ChangesType,
        AlterColumnOperation::AddGenerated { .. } => Rule::GeneratedColumn,
        AlterColumnOperation::GenericOptions { .. } => Rule::Unknown,
    };
    Err(Refusal::new(rule, what))
}

fn refused(table: &Name, operation: &Operation) -> Option<Refusal> {
    let rule = match operation {
        Operation::DropColumn { .. } => Rule::DropsColumn,
        Operation::DropConstraint { .. } | Operation::DropPrimaryKey { .. } | Operation::DropForeignKey { .. } => {
            Rule::DropsConstraint
        }
        Operation::RenameColumn { .. } | Operation::RenameTable { .. } | Operation::RenameConstraint { .. } => {
            Rule::Renames
        }
        Operation::ChangeColumn { .. } | Operation::ModifyColumn { .. } => Rule::ChangesType,
        Operation::OwnerTo { .. }
        | Operation::EnableRowLevelSecurity
        | Operation::ForceRowLevelSecurity
        | Operation::NoForceRowLevelSecurity
        | Operation::DisableRowLevelSecurity => Rule::Privileges,
        Operation::EnableTrigger { .. } | Operation::DisableTrigger { .. } => Rule::TriggerOnExisting,
        _ => return None,
    };
    Some(Refusal::new(rule, format!("changes {table}: {operation}")))
}

fn unknown(table: &Name, operation: &Operation) -> Refusal {
    Refusal::new(Rule::Unknown, format!("changes {table}: {operation}"))
}
