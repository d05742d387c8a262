//! Foreign keys to tables that the running version deletes from.
//!
//! Such a key does not stop the running version as long as its deletions go through: by `CASCADE`, or by `SET NULL` into a
//! column that may be NULL. A table referring so is "within reach": what refers to it in turn, or guards it by a trigger,
//! could stop the deletion as well. Keys that are updated are not considered: ids do not change.

use sqlparser::ast::{
    AlterTableOperation, ColumnDef, ColumnOption, ForeignKeyConstraint, Ident, ReferentialAction, Statement,
    TableConstraint,
};

use super::Context;
use crate::migration::known::{Name, NewTable};
use crate::migration::rule::Rule;
use crate::migration::verdict::Refusal;

/// A foreign key and the columns that it is on.
pub(in crate::migration) type Reference<'a> = (&'a ForeignKeyConstraint, Vec<&'a Ident>);

/// All foreign keys that a statement adds.
pub(in crate::migration) fn references(statement: &Statement) -> Vec<Reference<'_>> {
    match statement {
        Statement::CreateTable(create) => {
            let of_columns = create.columns.iter().flat_map(of_column);
            of_columns.chain(create.constraints.iter().filter_map(of_constraint)).collect()
        }
        Statement::AlterTable(alter) => alter.operations.iter().flat_map(of_operation).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn of_operation(operation: &AlterTableOperation) -> Vec<Reference<'_>> {
    match operation {
        AlterTableOperation::AddColumn { column_def, .. } => of_column(column_def),
        AlterTableOperation::AddConstraint { constraint, .. } => of_constraint(constraint).into_iter().collect(),
        _ => Vec::new(),
    }
}

pub(super) fn of_column(column: &ColumnDef) -> Vec<Reference<'_>> {
    let keys = column.options.iter().filter_map(|option| match &option.option {
        ColumnOption::ForeignKey(key) => Some((key, vec![&column.name])),
        _ => None,
    });
    keys.collect()
}

pub(super) fn of_constraint(constraint: &TableConstraint) -> Option<Reference<'_>> {
    match constraint {
        TableConstraint::ForeignKey(key) => Some((key, key.columns.iter().collect())),
        _ => None,
    }
}

/// Whether a deletion of the row that it refers to always goes through.
pub(in crate::migration) fn yields(reference: &Reference<'_>, nullable: &dyn Fn(&Ident) -> bool) -> bool {
    match reference.0.on_delete {
        Some(ReferentialAction::Cascade) => true,
        Some(ReferentialAction::SetNull) => reference.1.iter().all(|column| nullable(column)),
        _ => false,
    }
}

impl Context<'_> {
    /// Whether blue's deletions reach the table that `reference` points to.
    pub(in crate::migration) fn points_within_reach(
        self,
        from: &Name,
        reference: &Reference<'_>,
    ) -> Result<bool, Refusal> {
        let target = self.name(&reference.0.foreign_table)?;
        Ok(target != *from && self.known.table(&target).is_none_or(|table| table.within_reach))
    }

    /// Judges what a statement on `table` adds; `before` is what is known of the table.
    pub(super) fn refuse_holding(
        self,
        table: &Name,
        before: Option<&NewTable>,
        added: &[Reference<'_>],
        nullable: &dyn Fn(&Ident) -> bool,
    ) -> Result<(), Refusal> {
        let mut reached = before.is_some_and(|table| table.within_reach);
        let mut holds = before.is_some_and(|table| table.holds);
        for reference in added {
            let target = self.name(&reference.0.foreign_table)?;
            let outside = self.points_within_reach(table, reference)?;
            if outside && !yields(reference, nullable) {
                return Err(Refusal::new(
                    Rule::HoldsBlue,
                    format!("refers from {table} to {target}, which the running version deletes from"),
                ));
            }
            reached |= outside;
            holds |= target == *table && !yields(reference, nullable);
        }
        if reached && holds {
            let what = format!("lets deletions of the running version reach {table}, whose rows can refuse it");
            return Err(Refusal::new(Rule::HoldsBlue, what));
        }
        Ok(())
    }
}
