//! What a statement runs besides itself: calls, nested statements, tables it reads.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, CreateTable, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, Query,
    Select, SetExpr, Statement, TableFactor, Visit, Visitor,
};

use crate::migration::rule::Rule;
use crate::migration::verdict::Refusal;

/// Functions of the engines that change nothing (`nextval` moves a counter on, which is what it is for).
const HARMLESS: &[&str] = &[
    // time
    "now",
    "current_timestamp",
    "current_date",
    "current_time",
    "localtime",
    "localtimestamp",
    "transaction_timestamp",
    "statement_timestamp",
    "clock_timestamp",
    "date_trunc",
    "date_part",
    "timezone",
    "make_interval",
    "to_timestamp",
    "strftime",
    "unixepoch",
    "datetime",
    "date",
    "time",
    "julianday",
    // identifiers and chance
    "gen_random_uuid",
    "uuid_generate_v4",
    "uuidv4",
    "uuidv7",
    "random",
    "randomblob",
    "nextval",
    // text and numbers
    "lower",
    "upper",
    "length",
    "char_length",
    "octet_length",
    "trim",
    "btrim",
    "ltrim",
    "rtrim",
    "substr",
    "substring",
    "left",
    "right",
    "replace",
    "concat",
    "starts_with",
    "strpos",
    "instr",
    "abs",
    "round",
    "ceil",
    "floor",
    "md5",
    "sha256",
    "encode",
    "decode",
    "hex",
    "last_insert_rowid",
    "regexp_replace",
    "to_tsvector",
    // choice and aggregates
    "coalesce",
    "nullif",
    "ifnull",
    "iif",
    "greatest",
    "least",
    "num_nulls",
    "num_nonnulls",
    "count",
    "sum",
    "min",
    "max",
    "avg",
    // structure
    "json",
    "json_valid",
    "json_type",
    "json_extract",
    "json_typeof",
    "json_build_object",
    "json_object",
    "json_array",
    "jsonb",
    "jsonb_typeof",
    "jsonb_build_object",
    "jsonb_build_array",
    "json_build_array",
    "jsonb_array_length",
    "json_array_length",
    "array_length",
    "cardinality",
    "typeof",
];

/// The name of a function of the engine, in lower case; none if it might be anyone's.
pub(super) fn builtin(function: &Function) -> Option<String> {
    let parts: Vec<_> = function.name.0.iter().map(|part| part.as_ident()).collect::<Option<_>>()?;
    let name = match parts.as_slice() {
        [name] => name,
        [schema, name] if schema.value == "pg_catalog" => name,
        _ => return None,
    };
    // In quotes upper case stays: "NOW" is anyone's.
    Some(if name.quote_style.is_some() { name.value.clone() } else { name.value.to_ascii_lowercase() })
}

/// The arguments of a call that has nothing else: no filter, no order, no window.
pub(super) fn plain_arguments(function: &Function) -> Option<Vec<&Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let mut arguments = Vec::new();
    for argument in &list.args {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) = argument else { return None };
        arguments.push(expression);
    }
    let written: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    (function.to_string() == format!("{}({})", function.name, written.join(", "))).then_some(arguments)
}

/// What was found within a statement.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// The tables and views that it names.
    pub(super) relations: Vec<ObjectName>,
    /// Calls that are not known to be harmless, as they are written.
    pub(super) unknown: Vec<String>,
    /// How many statements it holds, itself included.
    pub(super) statements: usize,
}

/// Everything that `statement` names or calls.
pub(super) fn of(statement: &Statement) -> Calls {
    let mut calls = Calls::default();
    let ControlFlow::Continue(()) = statement.visit(&mut calls);
    calls
}

/// Refuses what holds calls that may do anything, or other statements.
pub(super) fn refuse_unknown(statement: &Statement) -> Result<(), Refusal> {
    let calls = match statement {
        // To the parser `RANGE (a)` is a call; its kind is judged with the table.
        Statement::CreateTable(create) if create.partition_by.is_some() => {
            of(&Statement::CreateTable(CreateTable { partition_by: None, ..create.clone() }))
        }
        _ => of(statement),
    };
    if let Some(call) = calls.unknown.first() {
        return Err(Refusal::new(Rule::SideEffects, format!("runs {call}")));
    }
    super::refuse_if(calls.statements > 1, Rule::ChangesData, "holds another statement that changes data")
}

impl Visitor for Calls {
    type Break = std::convert::Infallible;

    fn pre_visit_statement(&mut self, _: &Statement) -> ControlFlow<Self::Break> {
        self.statements += 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Self::Break> {
        self.relations.push(relation.clone());
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        if reads_whole_table(&query.body) {
            self.unknown.push("TABLE …".to_owned());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        if select.into.is_some() {
            self.unknown.push("SELECT … INTO".to_owned());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        let plain = match factor {
            TableFactor::Table { args, .. } => args.is_none(),
            TableFactor::Derived { .. } | TableFactor::NestedJoin { .. } => true,
            _ => false,
        };
        if !plain {
            self.unknown.push(format!("a function as a table: {factor}"));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Self::Break> {
        match expression {
            Expr::Function(function) if !builtin(function).is_some_and(|name| HARMLESS.contains(&name.as_str())) => {
                self.unknown.push(format!("{}()", function.name));
            }
            // An operator of anyone's is a call of anyone's function.
            Expr::BinaryOp { op: BinaryOperator::Custom(_) | BinaryOperator::PGCustomBinaryOperator(_), .. } => {
                self.unknown.push(format!("an operator: {expression}"));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// `TABLE name`, also within a union; the name is no relation to the parser.
fn reads_whole_table(body: &SetExpr) -> bool {
    let mut open = vec![body];
    while let Some(body) = open.pop() {
        match body {
            SetExpr::Table(_) => return true,
            SetExpr::SetOperation { left, right, .. } => open.extend([&**left, &**right]),
            _ => {}
        }
    }
    false
}
