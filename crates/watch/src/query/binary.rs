//! Operators between vectors and scalars.

use std::collections::HashMap;

use super::column::{ABSENT, Column, Merged, merge, present, shown, without_name};
use super::error::QueryError;
use super::labels::with;
use super::limits::Account;
use super::plan::{Group, Matching, Operator};
use crate::series::{Labels, NAME};

/// The result, and for a comparison whether it holds; its result is the left side.
#[expect(clippy::float_cmp, reason = "the language compares exactly")]
fn apply(operator: Operator, left: f64, right: f64) -> (f64, bool) {
    match operator {
        Operator::Add => (left + right, true),
        Operator::Sub => (left - right, true),
        Operator::Mul => (left * right, true),
        Operator::Div => (left / right, true),
        Operator::Mod => (left % right, true),
        Operator::Pow => (left.powf(right), true),
        Operator::Atan2 => (left.atan2(right), true),
        Operator::Equal => (left, left == right),
        Operator::NotEqual => (left, left != right),
        Operator::Greater => (left, left > right),
        Operator::Less => (left, left < right),
        Operator::GreaterEqual => (left, left >= right),
        Operator::LessEqual => (left, left <= right),
        Operator::And | Operator::Or | Operator::Unless => (left, false),
    }
}

/// As [`apply`]; `None` where nothing comes of it.
fn kept(operator: Operator, gives_bool: bool, left: f64, right: f64) -> Option<f64> {
    let (value, holds) = apply(operator, left, right);
    if gives_bool { Some(f64::from(u8::from(holds))) } else { holds.then_some(value) }
}

pub(super) fn scalars(operator: Operator, left: &[f64], right: &[f64]) -> Vec<f64> {
    let both = left.iter().zip(right);
    both.map(|(left, right)| {
        let (value, holds) = apply(operator, *left, *right);
        if operator.compares() { f64::from(u8::from(holds)) } else { value }
    })
    .collect()
}

/// A vector and a scalar, which is on the left if `swapped`.
pub(super) fn with_scalar(
    operator: Operator,
    gives_bool: bool,
    mut columns: Vec<Column>,
    scalar: &[f64],
    swapped: bool,
) -> Result<Vec<Column>, QueryError> {
    for column in &mut columns {
        if operator.drops_name() || gives_bool {
            column.labels = without_name(&column.labels);
        }
        for (value, scalar) in column.values.iter_mut().zip(scalar).filter(|(value, _)| present(**value)) {
            let (left, right) = if swapped { (*scalar, *value) } else { (*value, *scalar) };
            let result = kept(operator, gives_bool, left, right);
            // A comparison lets the vector's value through, wherever it stands.
            let chosen = if operator.compares() && !gives_bool { result.map(|_| *value) } else { result };
            *value = chosen.unwrap_or(ABSENT);
        }
    }
    merge(columns, scalar.len())
}

impl Matching {
    /// What has to be the same on both sides.
    fn signature(&self, labels: &Labels) -> Labels {
        labels.only(|label| {
            let named = self.labels.iter().any(|other| other == label);
            if self.on { named } else { !named && label != NAME }
        })
    }

    /// Labels of what comes of an element of the side that may have several, and one of the other.
    fn result(&self, operator: Operator, gives_bool: bool, many: &Labels, one: &Labels) -> Labels {
        let drops = operator.drops_name() || gives_bool;
        let mut labels = if drops { without_name(many) } else { many.clone() };
        let taken = match &self.group {
            Group::None => {
                return labels.only(|label| {
                    let named = self.labels.iter().any(|other| other == label);
                    if self.on { named } else { !named }
                });
            }
            Group::Left(taken) | Group::Right(taken) => taken,
        };
        for label in taken.iter().filter(|label| !(gives_bool && *label == NAME)) {
            labels = with(&labels, label, one.get(label));
        }
        labels
    }
}

/// What one signature has on either side.
#[derive(Default)]
struct Match {
    ones: Vec<usize>,
    manys: usize,
    /// Steps at which an element has found its match, where several could.
    taken: Vec<bool>,
}

/// Arithmetic and comparison of two vectors.
pub(super) fn vectors(
    operator: Operator,
    gives_bool: bool,
    matching: &Matching,
    left: &[Column],
    right: &[Column],
    count: usize,
    account: &Account<'_>,
) -> Result<Vec<Column>, QueryError> {
    let swapped = matches!(matching.group, Group::Right(_));
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let mut matches: HashMap<Labels, Match> = HashMap::new();
    for (at, column) in one.iter().enumerate() {
        matches.entry(matching.signature(&column.labels)).or_default().ones.push(at);
    }
    let signatures: Vec<Labels> = many.iter().map(|column| matching.signature(&column.labels)).collect();
    for signature in &signatures {
        if let Some(found) = matches.get_mut(signature) {
            found.manys += 1;
        }
    }
    let side = if swapped { "left" } else { "right" };
    each_is_alone(&matches, many, one, count, side, account)?;
    let mut merged = Merged::new(count);
    for (column, signature) in many.iter().zip(&signatures) {
        let Some(found) = matches.get_mut(signature) else { continue };
        let alone = matches!(matching.group, Group::None);
        if alone && found.manys > 1 && found.taken.is_empty() {
            found.taken = vec![false; count];
        }
        for at in &found.ones {
            account.hold(1, count)?;
            let other = &one[*at];
            let target = merged.column(matching.result(operator, gives_bool, &column.labels, &other.labels));
            for (step, (value, other)) in column.values.iter().zip(&other.values).enumerate() {
                if !present(*value) || !present(*other) {
                    continue;
                }
                let (left, right) = if swapped { (*other, *value) } else { (*value, *other) };
                let Some(value) = kept(operator, gives_bool, left, right) else { continue };
                if let Some(taken) = found.taken.get_mut(step)
                    && std::mem::replace(taken, true)
                {
                    return Err(QueryError::ManyToOne { group: shown(signature) });
                }
                merged.put(target, step, value)?;
            }
        }
    }
    Ok(merged.finish())
}

/// That on the side which has one for each signature there is one, at each step at which the other side has any at all.
fn each_is_alone(
    matches: &HashMap<Labels, Match>,
    many: &[Column],
    one: &[Column],
    count: usize,
    side: &'static str,
    account: &Account<'_>,
) -> Result<(), QueryError> {
    let mut doubtful = matches.iter().filter(|(_, found)| found.ones.len() > 1).peekable();
    if doubtful.peek().is_none() {
        return Ok(());
    }
    account.work((many.len() + one.len()).saturating_mul(count))?;
    let anything = presence(many, count);
    for (signature, found) in doubtful {
        let mut seen = vec![false; count];
        for at in &found.ones {
            for (step, value) in one[*at].values.iter().enumerate() {
                if anything[step] && present(*value) && std::mem::replace(&mut seen[step], true) {
                    return Err(QueryError::ManyToMany { group: shown(signature), side });
                }
            }
        }
    }
    Ok(())
}

fn presence<'a>(columns: impl IntoIterator<Item = &'a Column>, count: usize) -> Vec<bool> {
    let mut there = vec![false; count];
    for column in columns {
        for (there, value) in there.iter_mut().zip(&column.values) {
            *there |= present(*value);
        }
    }
    there
}

/// `and`, `or` and `unless`.
pub(super) fn sets(
    operator: Operator,
    matching: &Matching,
    mut left: Vec<Column>,
    mut right: Vec<Column>,
    count: usize,
    account: &Account<'_>,
) -> Result<Vec<Column>, QueryError> {
    account.hold(left.len() + right.len(), count)?;
    let (deciding, decided) = if operator == Operator::Or { (&left, &mut right) } else { (&right, &mut left) };
    let mut signatures: HashMap<Labels, Vec<&Column>> = HashMap::new();
    for column in deciding {
        signatures.entry(matching.signature(&column.labels)).or_default().push(column);
    }
    let there: HashMap<Labels, Vec<bool>> =
        signatures.into_iter().map(|(signature, columns)| (signature, presence(columns, count))).collect();
    let wanted = operator == Operator::And;
    for column in decided {
        let there = there.get(&matching.signature(&column.labels));
        for (step, value) in column.values.iter_mut().enumerate() {
            if there.is_some_and(|there| there[step]) != wanted {
                *value = ABSENT;
            }
        }
    }
    if operator == Operator::Or {
        left.append(&mut right);
    }
    merge(left, count)
}
