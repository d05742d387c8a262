//! What a panel shows, as a table: for exports, and for whoever cannot see the chart.

use serde_json::{Map, Value};

/// Columns and rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// A further row. What is not known is [`Value::Null`], never 0.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Value; N]) {
        debug_assert_eq!(N, self.columns.len(), "a cell for each column");
        self.rows.push(cells.into());
    }

    /// As RFC 4180 says, but with newlines of one character. A cell that a spreadsheet would take for a formula is text.
    pub(crate) fn csv(&self) -> String {
        let mut text = self.columns.join(",");
        text.push('\n');
        for row in &self.rows {
            for (at, cell) in row.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write_cell(&mut text, cell);
            }
            text.push('\n');
        }
        text
    }

    /// An object for each row.
    pub(crate) fn json(&self) -> Value {
        let object = |row: &Vec<Value>| {
            let named = self.columns.iter().zip(row).map(|(column, cell)| ((*column).to_owned(), cell.clone()));
            Value::Object(named.collect::<Map<_, _>>())
        };
        Value::Array(self.rows.iter().map(object).collect())
    }
}

fn write_cell(text: &mut String, cell: &Value) {
    let words = match cell {
        Value::Null => return,
        Value::String(words) => words.clone(),
        other => return text.push_str(&other.to_string()),
    };
    let guarded = if words.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{words}") } else { words };
    if guarded.contains([',', '"', '\n', '\r']) {
        text.push('"');
        text.push_str(&guarded.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(&guarded);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_is_written_for_spreadsheets_and_for_programs() {
        let mut table = Table::new(&["service", "p95_seconds"]);
        table.row([json!("a,\"b\""), json!(0.5)]);
        table.row([json!("=HYPERLINK(1)"), Value::Null]);
        table.row([json!("c"), json!(-1)]);
        assert_eq!(table.csv(), "service,p95_seconds\n\"a,\"\"b\"\"\",0.5\n'=HYPERLINK(1),\nc,-1\n");
        assert_eq!(table.json()[1], json!({ "service": "=HYPERLINK(1)", "p95_seconds": null }));
    }
}
