//! The columns of SQLite's tables, and what they take: what a trigger rests on that feeds one table from what is written to another.
//!
//! SQLite looks at a trigger's body when the trigger runs, within the statement of whoever made it run. A column that is not there, or a
//! row that is refused, would be found out by the running version; so the guard has to know before. What it does not know takes nothing.

use sqlparser::ast::{
    AlterTable, AlterTableOperation, ColumnDef, ColumnOption, CreateIndex, CreateTable, DataType, Expr, Ident,
    Statement, Value,
};

use super::name::{fold, name_of};
use super::{Known, Name};
use crate::migration::engine::Engine;
use crate::migration::judge::references;
use crate::migration::text::{FullText, Source};

/// FTS5's own ways of cutting a text into words. One of somebody's own need not be known to the running version.
const TOKENIZERS: &[&str] = &["unicode61", "ascii", "porter", "trigram"];

/// What is known of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::migration) struct Shape {
    columns: Vec<String>,
    /// The number of a row, which the engine gives where nobody else does.
    key: Option<String>,
    takes_all: bool,
    lets_go: bool,
}

impl Shape {
    /// Whether it has the column.
    pub(in crate::migration) fn has(&self, column: &Ident) -> bool {
        self.columns.contains(&fold(Engine::Sqlite, column))
    }

    /// Whether a row with whatever in this column is taken: a number that is taken already would not be.
    pub(in crate::migration) fn takes(&self, column: &Ident) -> bool {
        self.takes_all && self.has(column) && self.key.as_ref() != Some(&fold(Engine::Sqlite, column))
    }

    /// Whether any row may go.
    pub(in crate::migration) fn lets_go(&self) -> bool {
        self.lets_go
    }

    fn of(create: &CreateTable) -> Option<Self> {
        let masks = create.if_not_exists || create.temporary || create.or_replace;
        if masks || create.query.is_some() || create.like.is_some() || create.columns.is_empty() {
            return None;
        }
        let numbers = |column: &&ColumnDef| is_row_number(column);
        let plain = create.columns.iter().all(|column| is_plain(column) || is_row_number(column));
        let without_options = create.sqlite_table_options.options.is_empty();
        Some(Self {
            columns: create.columns.iter().map(|column| fold(Engine::Sqlite, &column.name)).collect(),
            key: create.columns.iter().find(numbers).map(|column| fold(Engine::Sqlite, &column.name)),
            takes_all: plain && without_options && create.constraints.is_empty(),
            lets_go: true,
        })
    }

    /// What keeps its text elsewhere trusts whoever writes to it, and fails once it was deceived.
    fn of_full_text(create: &FullText) -> Self {
        let plain = create.options.iter().all(|(option, value)| match option.as_str() {
            "prefix" => true,
            "tokenize" => {
                let words: Vec<&str> = value.split_ascii_whitespace().collect();
                let known = |word: Option<&&str>| word.is_some_and(|word| TOKENIZERS.contains(word));
                known(words.first()) && (words.first() != Some(&"porter") || words.len() == 1 || known(words.get(1)))
            }
            _ => false,
        });
        Self {
            columns: create.columns.iter().map(|column| fold(Engine::Sqlite, column)).collect(),
            key: None,
            takes_all: plain,
            lets_go: plain,
        }
    }

    fn close(&mut self) {
        (self.takes_all, self.lets_go) = (false, false);
    }
}

/// A column into which anything goes, or nothing.
fn is_plain(column: &ColumnDef) -> bool {
    column.options.iter().all(|option| match &option.option {
        ColumnOption::Null => true,
        ColumnOption::Default(Expr::Value(value)) => !matches!(value.value, Value::Placeholder(_)),
        _ => false,
    })
}

/// `INTEGER PRIMARY KEY`, and no other spelling of it, is the row's own number.
fn is_row_number(column: &ColumnDef) -> bool {
    const OPTIONS: &[&str] = &["PRIMARY KEY", "NOT NULL", "NULL", "AUTOINCREMENT"];
    let options: Vec<String> = column.options.iter().map(|option| option.option.to_string().to_uppercase()).collect();
    let plain = options.iter().all(|option| OPTIONS.contains(&option.as_str()));
    column.data_type == DataType::Integer(None) && plain && options.iter().any(|option| option == "PRIMARY KEY")
}

impl Known {
    /// A file that ran cannot be read any more.
    pub(in crate::migration) fn doubt_all(&mut self) {
        self.opaque = true;
        self.shapes.clear();
    }

    /// Of any statement, also of those that the running version knows: it writes to those tables.
    pub(in crate::migration) fn learn_shapes(&mut self, engine: Engine, source: &Source<'_>) {
        let runs_code = matches!(source.opening.first().map(String::as_str), Some("do" | "call" | "execute"));
        if let Some(create) = &source.full_text {
            if let Some(name) = name_of(engine, &create.name) {
                self.shapes.insert(name, Shape::of_full_text(create));
            }
            return;
        }
        let Ok(statement) = &source.parsed else { return self.doubt_all() };
        self.opaque |= runs_code;
        for reference in references(statement) {
            self.with_shape(name_of(engine, &reference.0.foreign_table), |shape| shape.lets_go = false);
        }
        match statement {
            Statement::CreateTable(create) => {
                let Some(name) = name_of(engine, &create.name) else { return };
                match Shape::of(create).filter(|_| engine == Engine::Sqlite) {
                    Some(mut shape) => {
                        let targets = references(statement);
                        shape.lets_go =
                            !targets.iter().any(|it| name_of(engine, &it.0.foreign_table).as_ref() == Some(&name));
                        self.shapes.insert(name, shape);
                    }
                    None => drop(self.shapes.remove(&name)),
                }
            }
            Statement::AlterTable(alter) => self.reshape(engine, alter),
            Statement::CreateIndex(create) if can_refuse(create) => {
                self.with_shape(name_of(engine, &create.table_name), |shape| shape.takes_all = false);
            }
            Statement::CreateTrigger(create) => {
                let table = name_of(engine, &create.table_name);
                // Whatever it does: what is fed has no trigger of its own, so that nothing is fed by way of it.
                self.with_shape(table.clone(), Shape::close);
                self.triggered.extend(table);
            }
            Statement::Drop { names, .. } => {
                for name in names.iter().filter_map(|name| name_of(engine, name)) {
                    self.shapes.remove(&name);
                }
            }
            _ => {}
        }
    }

    fn with_shape(&mut self, table: Option<Name>, change: impl FnOnce(&mut Shape)) {
        if let Some(shape) = table.and_then(|table| self.shapes.get_mut(&table)) {
            change(shape);
        }
    }

    fn reshape(&mut self, engine: Engine, alter: &AlterTable) {
        let Some(table) = name_of(engine, &alter.name) else { return };
        for operation in &alter.operations {
            let Some(shape) = self.shapes.get_mut(&table) else { return };
            match operation {
                AlterTableOperation::AddColumn { if_not_exists: false, column_def, .. } => {
                    shape.columns.push(fold(engine, &column_def.name));
                    shape.takes_all &= is_plain(column_def);
                }
                AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
                    let (old, new) = (fold(engine, old_column_name), fold(engine, new_column_name));
                    for column in shape.columns.iter_mut().chain(&mut shape.key).filter(|column| **column == old) {
                        column.clone_from(&new);
                    }
                }
                // It is called otherwise afterwards, or lacks a column.
                _ => drop(self.shapes.remove(&table)),
            }
        }
    }
}

/// An index over anything but plain columns is computed for each row, and a unique one refuses some.
fn can_refuse(create: &CreateIndex) -> bool {
    let plain = |expression: &Expr| matches!(expression, Expr::Identifier(_));
    create.unique || create.predicate.is_some() || !create.columns.iter().all(|column| plain(&column.column.expr))
}
