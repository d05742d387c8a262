//! Triggers, and the functions that they run.

use sqlparser::ast::{CreateFunction, CreateTrigger, DataType, FunctionReturnType};

use super::{Context, Judgement, dormant, feeding, refuse_if};
use crate::migration::engine::Engine;
use crate::migration::rule::Rule;
use crate::migration::verdict::Allowance;

/// On tables that the running version neither knows nor reaches, it runs for the new version alone.
pub(super) fn create(context: Context<'_>, create: &CreateTrigger) -> Judgement {
    let table = context.name(&create.table_name)?;
    let what = format!("creates a trigger on {table}");
    refuse_if(create.temporary, Rule::Temporary, &what)?;
    refuse_if(create.or_replace || create.or_alter, Rule::Replaces, &what)?;
    let Some(new) = context.known.table(&table) else {
        let sleeps = dormant::sleeps(context, create);
        return if sleeps { Ok(Allowance::Sleeps) } else { feeding::judge(context, create) };
    };
    refuse_if(new.within_reach, Rule::HoldsBlue, format!("{what}, which deletions of the running version reach"))?;
    let calls_function = create.exec_body.is_some() && create.statements.is_none();
    let has_body = create.exec_body.is_none() && create.statements.is_some();
    let of_engine = match context.engine {
        Engine::Postgres => calls_function,
        Engine::Sqlite => has_body,
    };
    let unusual = create.is_constraint || create.referenced_table_name.is_some() || create.statements_as;
    refuse_if(unusual || !of_engine, Rule::Unknown, format!("{what} in an unusual way"))?;
    Ok(Allowance::NewTable)
}

/// Only what cannot be called but by a trigger, so that no call of the running version can mean it.
pub(super) fn function(context: Context<'_>, create: &CreateFunction) -> Judgement {
    let name = context.name(&create.name)?;
    let what = format!("creates the function {name}");
    context.postgres_only(&what)?;
    refuse_if(create.or_replace || create.or_alter, Rule::Replaces, &what)?;
    refuse_if(create.if_not_exists, Rule::IfNotExists, &what)?;
    let for_triggers = matches!(create.return_type, Some(FunctionReturnType::DataType(DataType::Trigger)));
    let without_arguments = create.args.as_ref().is_none_or(Vec::is_empty);
    refuse_if(!for_triggers || !without_arguments, Rule::CallableFunction, &what)?;
    let unusual =
        create.temporary || create.using.is_some() || create.options.is_some() || create.remote_connection.is_some();
    refuse_if(unusual, Rule::Unknown, what)?;
    Ok(Allowance::NewObject)
}
