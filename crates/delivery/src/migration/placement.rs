//! Which statements cannot share a file with others.
//!
//! Invariant: a file is one transaction, or one statement outside of any. So a file has run or has not, and an interrupted
//! run is taken up again at a file.

use sqlparser::ast::{AlterTableOperation, AlterTypeOperation, ObjectName, Statement};

use super::engine::Engine;
use super::judge::Context;
use super::known::name_of;
use super::leftover::Leftover;
use super::text::Source;

/// How a statement is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Placement {
    /// Within its file's transaction.
    Shared,
    /// In a transaction that holds nothing else: it takes long, or must be committed before it can be used.
    OwnTransaction,
    /// The engine refuses it within a transaction.
    Outside(Option<Leftover>),
}

impl Placement {
    pub(super) fn of(context: Context<'_>, source: &Source<'_>) -> Self {
        if context.engine == Engine::Sqlite {
            return Self::Shared;
        }
        match &source.parsed {
            Ok(Statement::CreateIndex(create)) if create.concurrently => {
                let name = |name: &ObjectName| name_of(context.engine, name);
                let index = create.name.as_ref().and_then(name);
                let leftover = index.zip(name(&create.table_name)).map(|(index, table)| Leftover::new(&index, &table));
                Self::Outside(leftover)
            }
            // A new value cannot be used before it is committed.
            Ok(Statement::AlterType(alter)) if matches!(alter.operation, AlterTypeOperation::AddValue(_)) => {
                Self::OwnTransaction
            }
            // It reads for long, during which the locks of other statements would stay.
            Ok(Statement::AlterTable(alter)) => {
                let validates = |operation: &AlterTableOperation| {
                    matches!(operation, AlterTableOperation::ValidateConstraint { .. })
                };
                let existing = name_of(context.engine, &alter.name).is_none_or(|name| !context.known.is_new(&name));
                if existing && alter.operations.iter().any(validates) { Self::OwnTransaction } else { Self::Shared }
            }
            _ if runs_concurrently(&source.opening) => Self::Outside(None),
            _ => Self::Shared,
        }
    }

    pub(super) fn needs_own_file(&self) -> bool {
        *self != Self::Shared
    }
}

/// `DROP INDEX CONCURRENTLY`, which only an override lets run.
fn runs_concurrently(opening: &[String]) -> bool {
    let opening: Vec<&str> = opening.iter().map(String::as_str).collect();
    opening.starts_with(&["drop", "index", "concurrently"])
}
