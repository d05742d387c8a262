//! What a statement changes about what is known.

use std::collections::HashSet;

use sqlparser::ast::{
    AlterColumnOperation, AlterTable, AlterTableOperation, ColumnOption, CreateIndex, CreateTable, CreateTrigger, Expr,
    ObjectType, Statement, UserDefinedTypeRepresentation,
};

use super::name::{fold, name_of};
use super::{Known, Name, NewColumn, NewTable};
use crate::migration::engine::Engine;
use crate::migration::judge::{Context, feeds, is_nullable, references, yields};
use crate::migration::text::Source;

/// When a statement runs, or ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::migration) enum Runs {
    /// In an earlier rollout.
    Before,
    /// In this one.
    Now,
}

impl Known {
    /// Of a statement that will have run, by itself or by an override; `understood`: all that it does is known.
    pub(in crate::migration) fn learn(&mut self, engine: Engine, source: &Source<'_>, understood: bool, runs: Runs) {
        if let Some(create) = &source.full_text {
            let name = name_of(engine, &create.name).filter(|name| !self.is_doubtful(name.last()));
            self.tables.extend(name.map(|name| (name, NewTable { empty: runs == Runs::Now, ..NewTable::default() })));
        } else if let Ok(statement) = &source.parsed {
            self.learn_parsed(engine, statement, runs);
        }
        self.learn_shapes(engine, source);
        if !understood {
            self.doubt(source);
        }
    }

    /// An override may have made anything of the names that the statement mentions, so none of them counts as new any more,
    /// and none becomes new. Only what a refused `CREATE TABLE` makes is certain: it fails if there is such a table.
    fn doubt(&mut self, source: &Source<'_>) {
        let words = source.text.split(|character: char| !(character.is_alphanumeric() || character == '_'));
        let words: HashSet<String> = words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
        self.doubt_all();
        if !matches!(source.parsed, Ok(Statement::CreateTable(_))) {
            let certain = |name: &str| !words.contains(&name.to_lowercase());
            self.tables.retain(|name, _| certain(name.last()));
            self.columns.retain(|(table, column), _| certain(table.last()) || certain(column));
            self.enums.retain(|name| certain(name.last()));
            self.indexes.retain(|name| certain(name.last()));
        }
        self.doubtful.extend(words);
    }

    /// Of a statement that all running versions know: the types that it creates, and what tables look like.
    pub(in crate::migration) fn learn_known(&mut self, engine: Engine, source: &Source<'_>) {
        self.learn_shapes(engine, source);
        if let Ok(statement @ Statement::CreateType { .. }) = &source.parsed {
            self.learn_parsed(engine, statement, Runs::Before);
        }
        if let Some("drop" | "alter") = source.opening.first().map(String::as_str)
            && let Ok(Statement::Drop { object_type: ObjectType::Type, names, .. }) = &source.parsed
        {
            let gone: Vec<Name> = names.iter().filter_map(|name| name_of(engine, name)).collect();
            self.enums.retain(|name| !gone.contains(name));
        }
    }

    fn is_doubtful(&self, name: &str) -> bool {
        self.doubtful.contains(&name.to_lowercase())
    }

    fn learn_parsed(&mut self, engine: Engine, statement: &Statement, runs: Runs) {
        match statement {
            Statement::CreateTable(create) => self.learn_table(engine, statement, create, runs),
            Statement::AlterTable(alter) => self.learn_change(engine, statement, alter),
            Statement::CreateIndex(create) => self.learn_index(engine, create),
            Statement::CreateTrigger(create) => self.learn_trigger(engine, create),
            Statement::CreateType { name, representation: Some(UserDefinedTypeRepresentation::Enum { .. }) } => {
                self.enums.extend(name_of(engine, name).filter(|name| !self.is_doubtful(name.last())));
            }
            Statement::Drop { object_type, names, .. } => {
                for name in names.iter().filter_map(|name| name_of(engine, name)) {
                    match object_type {
                        ObjectType::Table => drop(self.tables.remove(&name)),
                        ObjectType::Index => drop(self.indexes.remove(&name)),
                        ObjectType::Type => drop(self.enums.remove(&name)),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn learn_table(&mut self, engine: Engine, statement: &Statement, create: &CreateTable, runs: Runs) {
        let Some(name) = name_of(engine, &create.name) else { return };
        let masks = create.if_not_exists || create.temporary || create.or_replace;
        if masks || self.is_doubtful(name.last()) {
            return;
        }
        self.tables.insert(name.clone(), NewTable { empty: runs == Runs::Now, ..NewTable::default() });
        self.learn_references(engine, &name, statement, &|column| is_nullable(engine, create, column));
    }

    /// What is fed from a table that blue knows is written to by blue.
    fn learn_trigger(&mut self, engine: Engine, create: &CreateTrigger) {
        let fed = feeds(Context { engine, known: self, small: false }, create);
        let table = name_of(engine, &create.table_name).filter(|table| self.is_new(table));
        match (fed, table) {
            (Ok(_), Some(_)) => {}
            (Ok(fed), None) => {
                self.tables.retain(|name, _| !fed.contains(name));
                self.fed.extend(fed);
            }
            (Err(_), table) => {
                self.triggers = true;
                if let Some(table) = table.and_then(|table| self.tables.get_mut(&table)) {
                    table.holds = true;
                }
            }
        }
    }

    fn learn_references(
        &mut self,
        engine: Engine,
        from: &Name,
        statement: &Statement,
        nullable: &dyn Fn(&sqlparser::ast::Ident) -> bool,
    ) {
        for reference in references(statement) {
            let outside =
                Context { engine, known: self, small: false }.points_within_reach(from, &reference).unwrap_or(true);
            if let Some(table) = self.tables.get_mut(from) {
                table.within_reach |= outside;
            }
            let target = name_of(engine, &reference.0.foreign_table).and_then(|name| self.tables.get_mut(&name));
            if let Some(target) = target
                && !yields(&reference, nullable)
            {
                target.holds = true;
            }
        }
    }

    fn learn_change(&mut self, engine: Engine, statement: &Statement, alter: &AlterTable) {
        let Some(table) = name_of(engine, &alter.name) else { return };
        self.learn_references(engine, &table, statement, &|_| false);
        if self.is_new(&table) {
            return;
        }
        for operation in &alter.operations {
            match operation {
                AlterTableOperation::AddColumn { if_not_exists: false, column_def, .. } => {
                    let name = fold(engine, &column_def.name);
                    let plain = |option: &ColumnOption| {
                        matches!(option, ColumnOption::Null | ColumnOption::Collation(_) | ColumnOption::ForeignKey(_))
                    };
                    let null_for_blue = column_def.options.iter().all(|option| plain(&option.option));
                    if !self.is_doubtful(&name) {
                        self.columns.insert((table.clone(), name), NewColumn { null_for_blue });
                    }
                }
                AlterTableOperation::AlterColumn { column_name, op: AlterColumnOperation::SetDefault { .. } } => {
                    self.columns.remove(&(table.clone(), fold(engine, column_name)));
                }
                _ => {}
            }
        }
    }

    fn learn_index(&mut self, engine: Engine, create: &CreateIndex) {
        let Some(table) = name_of(engine, &create.table_name) else { return };
        if self.is_new(&table) {
            let name = create.name.as_ref().and_then(|name| name_of(engine, name));
            if let Some(name) = name.filter(|name| !create.if_not_exists && !self.is_doubtful(name.last())) {
                // An index is in its table's schema, whatever the search path says.
                self.indexes.insert(table.sibling(name.last()));
            }
        } else if create.unique {
            // A default would now make blue's rows collide.
            for column in &create.columns {
                if let Expr::Identifier(column) = &column.column.expr {
                    self.columns.remove(&(table.clone(), fold(engine, column)));
                }
            }
        }
    }
}
