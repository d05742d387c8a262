//! `label_replace` and `label_join`.

use super::column::{Column, merge};
use super::error::QueryError;
use super::plan::{Function, Plan};
use crate::series::{Labels, Matcher};

/// The arguments, whose texts make sense, so that a rule with a mistake is found when it is read; what is a regular expression is read once.
pub(super) fn checked(function: Function, mut arguments: Vec<Plan>) -> Result<Vec<Plan>, QueryError> {
    let texts = texts(&arguments);
    let pattern = match (function, texts.as_slice()) {
        (Function::LabelReplace, [target, _, _, expression]) => {
            named(target)?;
            Some(like(expression)?)
        }
        (Function::LabelJoin, [target, _, sources @ ..]) => {
            named(target)?;
            sources.iter().try_for_each(|source| named(source))?;
            None
        }
        _ => None,
    };
    if let (Some(pattern), Some(last)) = (pattern, arguments.last_mut()) {
        *last = Plan::Pattern(pattern);
    }
    Ok(arguments)
}

fn texts(arguments: &[Plan]) -> Vec<&str> {
    arguments
        .iter()
        .filter_map(|argument| if let Plan::Text(text) = argument { Some(text.as_str()) } else { None })
        .collect()
}

fn named(label: &str) -> Result<(), QueryError> {
    let mut characters = label.chars();
    let good = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|other| other.is_ascii_alphanumeric() || other == '_');
    if good { Ok(()) } else { Err(QueryError::Syntax(format!("{label:?} is no name of a label"))) }
}

fn like(expression: &str) -> Result<regex::Regex, QueryError> {
    Matcher::like(expression)
        .map_err(|error| QueryError::Syntax(format!("{expression:?} is no regular expression: {error}")))
}

pub(super) fn relabel(
    function: Function,
    columns: Vec<Column>,
    arguments: &[Plan],
    count: usize,
) -> Result<Vec<Column>, QueryError> {
    let texts = texts(arguments);
    let changed = match (function, texts.as_slice(), arguments.last()) {
        (Function::LabelReplace, [target, replacement, source], Some(Plan::Pattern(expression))) => {
            change(columns, |labels| {
                let captures = expression.captures(labels.get(source))?;
                let mut value = String::new();
                captures.expand(replacement, &mut value);
                Some(with(labels, target, &value))
            })
        }
        (Function::LabelJoin, [target, separator, sources @ ..], _) => change(columns, |labels| {
            let values: Vec<&str> = sources.iter().map(|source| labels.get(source)).collect();
            Some(with(labels, target, &values.join(separator)))
        }),
        _ => columns,
    };
    merge(changed, count)
}

fn change(mut columns: Vec<Column>, of: impl Fn(&Labels) -> Option<Labels>) -> Vec<Column> {
    for column in &mut columns {
        if let Some(labels) = of(&column.labels) {
            column.labels = labels;
        }
    }
    columns
}

/// With this label instead of what it was; an empty value takes it away.
pub(super) fn with(labels: &Labels, label: &str, value: &str) -> Labels {
    if value.is_empty() {
        return labels.only(|other| other != label);
    }
    Labels::new(labels.iter().filter(|(other, _)| *other != label).chain([(label, value)]))
}
