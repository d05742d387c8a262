//! `CREATE TABLE`.

use sqlparser::ast::helpers::stmt_create_table::CreateTableBuilder;
use sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, CreateTableOptions, Expr, FunctionArg, FunctionArgExpr, FunctionArguments,
    Ident, TableConstraint,
};

use super::calls::builtin;
use super::reference::{of_column, of_constraint};
use super::{Context, Judgement, refuse_if};
use crate::migration::engine::Engine;
use crate::migration::known::fold;
use crate::migration::rule::Rule;
use crate::migration::verdict::Allowance;

pub(super) fn create(context: Context<'_>, create: &CreateTable) -> Judgement {
    let name = context.name(&create.name)?;
    refuse_if(create.if_not_exists, Rule::IfNotExists, format!("creates {name} if it is not there"))?;
    refuse_if(create.temporary, Rule::Temporary, format!("creates {name} for this connection only"))?;
    refuse_if(create.or_replace, Rule::Replaces, format!("replaces {name}"))?;
    refuse_if(create.query.is_some(), Rule::CopiesData, format!("fills {name} from a query"))?;
    if let Some(parent) = &create.partition_of {
        let parent = context.name(parent)?;
        refuse_if(
            !context.known.is_new(&parent),
            Rule::Unknown,
            format!("attaches a partition to the existing {parent}"),
        )?;
    }
    refuse_if(has_other_syntax(context.engine, create), Rule::Unknown, format!("creates {name} with unusual options"))?;
    let by = create.partition_by.as_deref();
    refuse_if(!by.is_none_or(partitions_by_columns), Rule::Unknown, format!("partitions {name} by an expression"))?;
    for option in create.columns.iter().flat_map(|column| &column.options) {
        refuse_if(
            !is_column_option(&option.option),
            Rule::Unknown,
            format!("creates {name} with the column option {}", option.option),
        )?;
    }
    let added: Vec<_> =
        create.columns.iter().flat_map(of_column).chain(create.constraints.iter().filter_map(of_constraint)).collect();
    context.refuse_holding(&name, None, &added, &|column| is_nullable(context.engine, create, column))?;
    Ok(Allowance::NewObject)
}

/// `RANGE (a, b)`, which the parser takes for a call.
fn partitions_by_columns(expression: &Expr) -> bool {
    let Expr::Function(function) = expression else { return false };
    let FunctionArguments::List(list) = &function.args else { return false };
    let is_column =
        |argument: &FunctionArg| matches!(argument, FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(_))));
    let known = builtin(function).is_some_and(|kind| matches!(kind.as_str(), "range" | "list" | "hash"));
    known && list.clauses.is_empty() && list.args.iter().all(is_column)
}

/// Whether anything is set that was not considered above: the statement must be what the parts that are understood make.
fn has_other_syntax(engine: Engine, create: &CreateTable) -> bool {
    let options = match (&create.table_options, engine) {
        (CreateTableOptions::With(options), Engine::Postgres) => CreateTableOptions::With(options.clone()),
        _ => CreateTableOptions::None,
    };
    let understood = CreateTableBuilder::new(create.name.clone())
        .columns(create.columns.clone())
        .constraints(create.constraints.clone())
        .like(create.like.clone())
        .unlogged(create.unlogged)
        .partition_by(create.partition_by.clone())
        .partition_of(create.partition_of.clone())
        .for_values(create.for_values.clone())
        .sqlite_table_options(create.sqlite_table_options.clone())
        .table_options(options)
        .build();
    understood != *create
}

/// Options of both engines; the table is new, so what they cost and forbid concerns the new version only.
pub(super) fn is_column_option(option: &ColumnOption) -> bool {
    use ColumnOption as O;
    matches!(
        option,
        O::Null
            | O::NotNull
            | O::Default(_)
            | O::PrimaryKey(_)
            | O::Unique(_)
            | O::ForeignKey(_)
            | O::Check(_)
            | O::Collation(_)
            | O::Generated { .. }
            | O::OnConflict(_)
            | O::DialectSpecific(_)
    )
}

/// As far as the definition says: neither NOT NULL nor part of the primary key.
pub(in crate::migration) fn is_nullable(engine: Engine, create: &CreateTable, column: &Ident) -> bool {
    let column = fold(engine, column);
    let is_it = |definition: &&ColumnDef| fold(engine, &definition.name) == column;
    let Some(definition) = create.columns.iter().find(is_it) else { return false };
    let of_column = definition.options.iter().any(|option| {
        !matches!(option.option, ColumnOption::Null | ColumnOption::ForeignKey(_) | ColumnOption::Collation(_))
    });
    let of_table = create.constraints.iter().any(|constraint| match constraint {
        TableConstraint::ForeignKey(_) => false,
        // Any other constraint may refuse NULL: a primary key, a check.
        other => other.to_string().to_lowercase().contains(&column),
    });
    !of_column && !of_table
}
