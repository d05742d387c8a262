//! `DROP`.

use sqlparser::ast::{ObjectType, Statement};

use super::{Context, Judgement, refuse_if};
use crate::migration::rule::Rule;
use crate::migration::verdict::{Allowance, Refusal};

/// Tables and indexes that the set itself created may go again; nobody has used them.
pub(super) fn judge(context: Context<'_>, statement: &Statement) -> Judgement {
    let Statement::Drop { object_type, if_exists, names, cascade, purge, temporary, table, .. } = statement else {
        return Err(Refusal::new(Rule::Unknown, "drops something"));
    };
    for name in names {
        let name = context.name(name)?;
        let new = match object_type {
            ObjectType::Table => context.known.table(&name).is_some_and(|table| table.empty),
            ObjectType::Index => context.known.is_new_index(&name),
            _ => false,
        };
        refuse_if(!new, Rule::DropsObject, format!("drops the {} {name}", object_type.to_string().to_lowercase()))?;
    }
    refuse_if(*if_exists, Rule::IfNotExists, "drops something if it is there")?;
    refuse_if(*cascade, Rule::DropsObject, "drops what depends on it as well")?;
    refuse_if(*purge || *temporary || table.is_some() || names.is_empty(), Rule::Unknown, "drops in an unusual way")?;
    Ok(Allowance::NewTable)
}
