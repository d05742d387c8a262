//! Series as columns over the same times. Pure.

use std::fmt::Write as _;

use mana_watch::series::Sample;
use serde_json::{Value, json};

use super::super::measured::Span;

/// A series' values, one for each time of the span.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    name: String,
    values: Vec<Option<f64>>,
}

/// All of a chart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Columns {
    span: Span,
    all: Vec<Column>,
    left_out: usize,
}

fn count(span: Span) -> usize {
    usize::try_from((span.to - span.from) / span.step + 1).unwrap_or_default()
}

impl Column {
    pub(crate) fn new(name: String, samples: &[Sample], span: Span) -> Self {
        let mut values = vec![None; count(span)];
        for sample in samples {
            let place = usize::try_from((sample.at - span.from) / span.step).ok();
            if let Some(value) = place.and_then(|place| values.get_mut(place)) {
                *value = Some(sample.value).filter(|value| value.is_finite());
            }
        }
        Self { name, values }
    }

    fn largest(&self) -> f64 {
        self.values.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    fn json(&self) -> Value {
        Value::Array(self.values.iter().map(|value| value.map_or(Value::Null, short)).collect())
    }
}

/// Four digits: more than a chart can show, and half the bytes on the way.
fn short(value: f64) -> Value {
    let text = format!("{value:.3e}");
    json!(text.parse::<f64>().unwrap_or(value))
}

impl Columns {
    /// Those with the largest values, in the order of their names.
    /// `left_out`: so many were not even asked for.
    pub(crate) fn new(span: Span, mut columns: Vec<Column>, most: usize, left_out: usize) -> Self {
        columns.retain(|column| column.values.iter().any(Option::is_some));
        columns.sort_by(|a, b| b.largest().total_cmp(&a.largest()));
        let left_out = left_out + columns.len().saturating_sub(most);
        columns.truncate(most);
        columns.sort_by(|a, b| a.name.cmp(&b.name));
        Self { span, all: columns, left_out }
    }

    fn times(&self) -> impl Iterator<Item = i64> {
        let span = self.span;
        (0..count(span)).map(move |at| (span.from + i64::try_from(at).unwrap_or_default() * span.step) / 1_000)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "from": self.span.from / 1_000,
            "to": self.span.to / 1_000,
            "step": self.span.step / 1_000,
            "times": self.times().collect::<Vec<_>>(),
            "names": self.all.iter().map(|column| &column.name).collect::<Vec<_>>(),
            "values": self.all.iter().map(Column::json).collect::<Vec<_>>(),
            "left_out": self.left_out,
        })
    }

    /// The values for the series of another time: `null` where one was not there.
    pub(crate) fn aligned_to(&self, other: &Self) -> Value {
        let of = |column: &Column| self.all.iter().find(|own| own.name == column.name).map(Column::json);
        Value::Array(other.all.iter().map(|column| of(column).unwrap_or(Value::Null)).collect())
    }

    /// A row for each time.
    pub(crate) fn csv(&self) -> String {
        let mut text = String::from("time");
        for column in &self.all {
            let _ = write!(text, ",{}", column.name);
        }
        for (at, time) in self.times().enumerate() {
            let time = jiff::Timestamp::from_second(time).map(|time| time.to_string()).unwrap_or_default();
            let _ = write!(text, "\n{time}");
            for column in &self.all {
                text.push(',');
                if let Some(value) = column.values[at] {
                    let _ = write!(text, "{value}");
                }
            }
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span { from: 0, to: 30_000, step: 10_000 };

    fn column(name: &str, values: &[(i64, f64)]) -> Column {
        let samples: Vec<Sample> = values.iter().map(|(at, value)| Sample { at: *at, value: *value }).collect();
        Column::new(name.to_owned(), &samples, SPAN)
    }

    #[test]
    fn what_was_not_measured_is_a_gap_and_no_zero() {
        let columns = Columns::new(SPAN, vec![column("a", &[(0, 1.0), (20_000, f64::NAN), (30_000, 2.0 / 3.0)])], 5, 0);
        let json = columns.json();
        assert_eq!(json["times"], json!([0, 10, 20, 30]));
        assert_eq!(json["values"], json!([[1.0, null, null, 0.6667]]));
        assert_eq!(columns.csv().lines().nth(2), Some("1970-01-01T00:00:10Z,"));
    }

    #[test]
    fn the_largest_stay_and_the_others_are_counted() {
        let columns = ["a", "b", "c", "d"].iter().zip([3.0, 1.0, 2.0, 4.0]);
        let columns = columns.map(|(name, value)| column(name, &[(0, value)])).chain([column("empty", &[])]).collect();
        let json = Columns::new(SPAN, columns, 2, 3).json();
        assert_eq!((&json["names"], &json["left_out"]), (&json!(["a", "d"]), &json!(5)));
    }

    #[test]
    fn the_period_before_goes_by_the_names_of_this_one() {
        let now = Columns::new(SPAN, vec![column("a", &[(0, 1.0)]), column("new", &[(0, 1.0)])], 5, 0);
        let before = Columns::new(SPAN, vec![column("gone", &[(0, 1.0)]), column("a", &[(10_000, 5.0)])], 5, 0);
        assert_eq!(before.aligned_to(&now), json!([[null, 5.0, null, null], null]));
    }
}
