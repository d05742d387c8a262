//! Views, types, sequences, schemas, comments and grants; whatever is none of these is refused.

use sqlparser::ast::{
    AlterTypeOperation, CreateTableOptions, CreateView, Grant, GrantObjects, GranteesType, SchemaName, SequenceOptions,
    Statement, UserDefinedTypeRepresentation as Representation,
};

use super::{Context, Judgement, calls, refuse_if};
use crate::migration::rule::Rule;
use crate::migration::verdict::{Allowance, Refusal};

pub(super) fn judge(context: Context<'_>, statement: &Statement) -> Judgement {
    match statement {
        Statement::CreateView(create) => {
            let more = calls::of(statement).statements > 1;
            refuse_if(more, Rule::ChangesData, "creates a view that changes data")?;
            view(context, create)
        }
        Statement::CreateType { name, representation } => {
            let name = context.name(name)?;
            context.postgres_only("creates a type")?;
            // A range type names functions of anyone's, a base type is written in C.
            let plain = matches!(representation, Some(Representation::Enum { .. } | Representation::Composite { .. }));
            refuse_if(!plain, Rule::Unknown, format!("creates the type {name} with functions of its own"))?;
            Ok(Allowance::NewObject)
        }
        Statement::CreateDomain(create) => {
            context.postgres_only("creates a domain")?;
            context.name(&create.name)?;
            Ok(Allowance::NewObject)
        }
        Statement::AlterType(alter) => {
            let name = context.name(&alter.name)?;
            context.postgres_only("changes a type")?;
            match &alter.operation {
                AlterTypeOperation::AddValue(_) => Ok(Allowance::EnumValue),
                AlterTypeOperation::Rename(_) | AlterTypeOperation::RenameValue(_) => {
                    Err(Refusal::new(Rule::Renames, format!("renames the type {name} or a value of it")))
                }
            }
        }
        Statement::CreateSequence { temporary, if_not_exists, name, sequence_options } => {
            let name = context.name(name)?;
            context.postgres_only("creates a sequence")?;
            refuse_if(*temporary, Rule::Temporary, format!("creates {name} for this connection only"))?;
            refuse_if(*if_not_exists, Rule::IfNotExists, format!("creates {name} if it is not there"))?;
            let owned = sequence_options.iter().any(|option| matches!(option, SequenceOptions::OwnedBy(Some(_))));
            refuse_if(owned, Rule::Unknown, format!("ties the sequence {name} to a table"))?;
            Ok(Allowance::NewObject)
        }
        // A schema has no shape, so that one which is there already is as good.
        Statement::CreateSchema {
            schema_name: SchemaName::Simple(name),
            or_replace: false,
            with: None,
            options: None,
            default_collate_spec: None,
            clone: None,
            ..
        } => {
            context.postgres_only("creates a schema")?;
            context.name(name)?;
            Ok(Allowance::NewObject)
        }
        Statement::Comment { if_exists, .. } => {
            context.postgres_only("comments on something")?;
            refuse_if(*if_exists, Rule::IfNotExists, "comments on something if it is there")?;
            Ok(Allowance::Comment)
        }
        Statement::Grant(given) => grant(context, given),
        _ => {
            let words: Vec<String> = statement.to_string().split_whitespace().take(3).map(str::to_owned).collect();
            Err(Refusal::new(Rule::Unknown, format!("{} …", words.join(" "))))
        }
    }
}

fn view(context: Context<'_>, create: &CreateView) -> Judgement {
    let name = context.name(&create.name)?;
    let what = format!("creates the view {name}");
    refuse_if(create.temporary, Rule::Temporary, &what)?;
    refuse_if(create.or_replace || create.or_alter, Rule::Replaces, &what)?;
    refuse_if(create.if_not_exists, Rule::IfNotExists, &what)?;
    refuse_if(create.materialized, Rule::CopiesData, format!("{what} with the rows of now"))?;
    let unusual = create.options != CreateTableOptions::None
        || create.secure
        || create.to.is_some()
        || create.params.is_some()
        || create.with_no_schema_binding
        || create.copy_grants
        || create.comment.is_some()
        || !create.cluster_by.is_empty();
    refuse_if(unusual, Rule::Unknown, format!("{what} with unusual options"))?;
    Ok(Allowance::NewObject)
}

fn grant(context: Context<'_>, grant: &Grant) -> Judgement {
    context.postgres_only("grants")?;
    let everyone = grant.grantees.iter().any(|grantee| {
        let name = grantee.name.as_ref().map(|name| name.to_string().to_ascii_lowercase());
        grantee.grantee_type == GranteesType::Public || name.is_none_or(|name| name == "public")
    });
    refuse_if(everyone || grant.grantees.is_empty(), Rule::Privileges, "grants to everyone")?;
    refuse_if(grant.with_grant_option, Rule::Privileges, "grants the right to grant")?;
    let plain = matches!(
        grant.objects,
        Some(
            GrantObjects::Tables(_)
                | GrantObjects::Sequences(_)
                | GrantObjects::Schemas(_)
                | GrantObjects::AllTablesInSchema { .. }
                | GrantObjects::AllSequencesInSchema { .. }
        )
    );
    let unusual = grant.as_grantor.is_some() || grant.granted_by.is_some() || grant.current_grants.is_some();
    refuse_if(!plain || unusual, Rule::Privileges, "grants more than access to tables, sequences and schemas")?;
    Ok(Allowance::Grant)
}
