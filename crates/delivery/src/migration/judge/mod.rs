//! Whether the running version bears a statement. What is not known to be harmless is refused.
//!
//! To allow one more kind of statement: show that it neither changes what the running version reads and writes nor makes it
//! wait, name every field of its syntax that was considered (the others must have their default), give it a branch here or
//! in the module of its kind, and add rows to the corpus of both engines, the bypasses included.

mod alter;
mod calls;
mod column;
mod constant;
mod data;
mod dormant;
mod drop;
mod feeding;
mod full_text;
mod index;
mod object;
mod opening;
mod reference;
mod table;
mod trigger;

use sqlparser::ast::{ObjectName, Statement};

use super::engine::Engine;
use super::known::{Known, Name, name_of};
use super::rule::Rule;
use super::text::Source;
use super::verdict::{Allowance, Refusal};

pub(super) use feeding::feeds;
pub(super) use reference::{references, yields};
pub(super) use table::is_nullable;

/// What a judgement depends on besides the statement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) engine: Engine,
    pub(super) known: &'a Known,
    /// The database is so small that going through all of it keeps nobody waiting.
    pub(super) small: bool,
}

type Judgement = Result<Allowance, Refusal>;

pub(super) fn judge(context: Context<'_>, source: &Source<'_>) -> Judgement {
    if let Some(refusal) = opening::refusal(&source.opening) {
        return Err(refusal);
    }
    if let Some(create) = &source.full_text {
        return full_text::create(context, create);
    }
    match &source.parsed {
        Ok(statement) => judge_parsed(context, statement),
        Err(unparsed) => {
            let rule = opening::rule_of_unparsed(&source.opening);
            Err(Refusal::new(rule, format!("not understood at {}: {}", unparsed.position, unparsed.message)))
        }
    }
}

fn judge_parsed(context: Context<'_>, statement: &Statement) -> Judgement {
    let allowance = judge_kind(context, statement)?;
    // What a view, a trigger or a function calls runs when the new version uses it, all else may run right now.
    let runs_later =
        matches!(statement, Statement::CreateView(_) | Statement::CreateTrigger(_) | Statement::CreateFunction(_));
    if !runs_later {
        calls::refuse_unknown(statement)?;
    }
    Ok(allowance)
}

fn judge_kind(context: Context<'_>, statement: &Statement) -> Judgement {
    match statement {
        Statement::CreateTable(create) => table::create(context, create),
        Statement::AlterTable(alter) => alter::judge(context, alter),
        Statement::CreateIndex(create) => index::create(context, create),
        Statement::CreateTrigger(create) => trigger::create(context, create),
        Statement::CreateFunction(create) => trigger::function(context, create),
        Statement::Drop { .. } => drop::judge(context, statement),
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Query(_) => {
            data::judge(context, statement)
        }
        _ => object::judge(context, statement),
    }
}

impl Context<'_> {
    /// The name, if it is surely what it seems to be.
    fn name(self, name: &ObjectName) -> Result<Name, Refusal> {
        let Some(folded) = name_of(self.engine, name) else {
            return Err(Refusal::new(Rule::UnclearName, format!("names {name}")));
        };
        let special = match (self.engine, folded.schema()) {
            (_, None) => false,
            (Engine::Postgres, Some(schema)) => schema.starts_with("pg_") || schema == "information_schema",
            (Engine::Sqlite, Some(schema)) => schema != "main",
        };
        if special {
            return Err(Refusal::new(
                Rule::Temporary,
                format!("names {folded}, in a schema of the engine or of this connection"),
            ));
        }
        Ok(folded)
    }

    /// For what only PostgreSQL knows.
    fn postgres_only(self, what: &str) -> Result<(), Refusal> {
        match self.engine {
            Engine::Postgres => Ok(()),
            Engine::Sqlite => Err(Refusal::new(Rule::WrongEngine, what)),
        }
    }
}

/// Refuses if `is`, so that checks of syntax read as a list.
fn refuse_if(is: bool, rule: Rule, what: impl Into<String>) -> Result<(), Refusal> {
    if is { Err(Refusal::new(rule, what)) } else { Ok(()) }
}
