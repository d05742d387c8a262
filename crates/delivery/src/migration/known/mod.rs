//! What is known of the schema while a set is read: what no running version has ever seen, and what it can reach anyway.
//!
//! A table that the running blue does not know is free: nobody waits for its locks and nobody reads it. Everything rests on
//! never taking a table for new that is not, so a name becomes new only by a plain `CREATE TABLE` (which fails if there is one),
//! counts only where it is written with the same schema, and never if an earlier refused statement (run by an override) mentions it.
//! Nor is one new any more that a trigger feeds from what blue writes.

mod learn;
mod name;
mod shape;

use std::collections::{HashMap, HashSet};

pub(super) use learn::Runs;
pub(super) use name::{Name, fold, name_of};
pub(super) use shape::Shape;

/// A table that was created within the set.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct NewTable {
    /// Its file has not run yet, so that it holds nothing that could be lost.
    pub(super) empty: bool,
    /// It refers to a table that blue deletes from, so blue's deletions reach it.
    pub(super) within_reach: bool,
    /// Its rows can refuse to be deleted: it has a trigger, or is referred to without `ON DELETE CASCADE`.
    pub(super) holds: bool,
}

/// A column that was added to an existing table within the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NewColumn {
    /// What blue writes has NULL there.
    pub(super) null_for_blue: bool,
}

#[derive(Debug, Default)]
pub(super) struct Known {
    tables: HashMap<Name, NewTable>,
    columns: HashMap<(Name, String), NewColumn>,
    /// Types that are surely no domains, whose checks would rewrite a table.
    enums: HashSet<Name>,
    indexes: HashSet<Name>,
    /// Some of the triggers that the set creates may do more than feed a table.
    triggers: bool,
    /// Tables that blue writes to without knowing, by triggers that feed them.
    fed: HashSet<Name>,
    shapes: HashMap<Name, Shape>,
    /// Tables with a trigger of any version.
    triggered: HashSet<Name>,
    /// A statement was not understood, and may have created whatever.
    opaque: bool,
    /// Words of statements that were refused: what they name may be anything now.
    doubtful: HashSet<String>,
}

impl Known {
    pub(super) fn table(&self, name: &Name) -> Option<&NewTable> {
        self.tables.get(name)
    }

    pub(super) fn is_new(&self, name: &Name) -> bool {
        self.tables.contains_key(name)
    }

    pub(super) fn column(&self, table: &Name, column: &str) -> Option<NewColumn> {
        self.columns.get(&(table.clone(), column.to_owned())).copied()
    }

    pub(super) fn is_enum(&self, name: &Name) -> bool {
        self.enums.contains(name)
    }

    /// Whether writing to a new table may run a trigger that does more than feed another one.
    pub(super) fn has_triggers(&self) -> bool {
        self.triggers
    }

    /// Whether writing to a table of any version may run a trigger.
    pub(super) fn may_trigger(&self, table: &Name) -> bool {
        self.opaque || self.triggered.contains(table)
    }

    pub(super) fn is_fed(&self, table: &Name) -> bool {
        self.fed.contains(table)
    }

    pub(super) fn shape(&self, table: &Name) -> Option<&Shape> {
        self.shapes.get(table)
    }

    pub(super) fn is_new_index(&self, name: &Name) -> bool {
        self.indexes.contains(name)
    }
}
