//! Answers as rows of text.

use crate::gather::{Sink, Strange, Unknown, Why};

/// A row with all of its columns as text; none is SQL's null.
pub type Row = Vec<Option<String>>;

/// What to ask, and what makes values of the answer.
#[derive(Debug)]
pub struct Query {
    /// What is unknown without it.
    pub what: &'static str,
    /// In which view it looks.
    pub view: &'static str,
    /// The statement; each of its columns is text.
    pub sql: &'static str,
    /// How many columns it gives.
    pub(super) columns: usize,
    pub(super) put: fn(&[Row], &mut dyn Sink) -> Result<(), Strange>,
}

impl Query {
    /// Puts the values of the answer.
    pub fn put(&self, rows: &[Row], sink: &mut dyn Sink) {
        let odd = rows.iter().find(|row| row.len() != self.columns);
        let read = odd.map_or_else(|| (self.put)(rows, sink), |row| Err(strange(row)));
        if let Err(strange) = read {
            sink.unknown(Unknown::new(self.what, self.view, Why::Strange(strange)));
        }
    }

    /// Puts that it could not be asked, and why.
    pub fn failed(&self, why: &str, sink: &mut dyn Sink) {
        sink.unknown(Unknown::new(self.what, self.view, Why::Unreadable(why.to_owned())));
    }
}

pub(super) fn strange(row: &Row) -> Strange {
    let texts: Vec<&str> = row.iter().map(|column| column.as_deref().unwrap_or("null")).collect();
    Strange::new(&texts.join(" | "))
}

/// A column's text; empty for null.
pub(super) fn text(row: &Row, column: usize) -> &str {
    row.get(column).and_then(Option::as_deref).unwrap_or_default()
}

/// A column's number; none for null, which says that it is not known.
pub(super) fn number(row: &Row, column: usize) -> Result<Option<f64>, Strange> {
    match row.get(column).and_then(Option::as_deref) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| strange(row)),
    }
}

/// Puts the numbers of a row's columns from `first` on under these names.
pub(super) fn put_numbers(
    row: &Row,
    first: usize,
    names: &[&str],
    labels: &[(&str, &str)],
    sink: &mut dyn Sink,
) -> Result<(), Strange> {
    for (place, name) in names.iter().enumerate() {
        if let Some(value) = number(row, first + place)? {
            sink.put(name, labels, value);
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) fn row(texts: &[&str]) -> Row {
    texts.iter().map(|text| (*text != "null").then(|| (*text).to_owned())).collect()
}
