//! Answers, and how Prometheus' API writes them.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::error::QueryError;
use crate::series::{Labels, Series};

/// What a query gives.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A number.
    Scalar {
        /// Milliseconds since 1970.
        at: i64,
        /// The number.
        value: f64,
    },
    /// A text, as it stood in the query.
    Text {
        /// Milliseconds since 1970.
        at: i64,
        /// The text.
        text: String,
    },
    /// A value for each of some series, at one time.
    Vector {
        /// Milliseconds since 1970.
        at: i64,
        /// Labels and value; sorted by what the query says, otherwise by labels or in the order of its parts.
        elements: Vec<(Labels, f64)>,
    },
    /// Values over time for each of some series, sorted by labels.
    Matrix(Vec<Series>),
}

impl Answer {
    /// `{"status":"success","data":{"resultType":…,"result":…}}`, as `query` and `query_range` answer.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::from(r#"{"status":"success","data":{"resultType":"#);
        match self {
            Self::Scalar { at, value } => {
                json.push_str(r#""scalar","result":"#);
                write_point(&mut json, *at, *value);
            }
            Self::Text { at, text } => {
                json.push_str(r#""string","result":["#);
                write_time(&mut json, *at);
                json.push(',');
                write_text(&mut json, text);
                json.push(']');
            }
            Self::Vector { at, elements } => {
                json.push_str(r#""vector","result":"#);
                write_list(&mut json, elements, |json, (labels, value)| {
                    json.push_str(r#"{"metric":"#);
                    write_labels(json, labels);
                    json.push_str(r#","value":"#);
                    write_point(json, *at, *value);
                    json.push('}');
                });
            }
            Self::Matrix(series) => {
                json.push_str(r#""matrix","result":"#);
                write_list(&mut json, series, |json, one| {
                    json.push_str(r#"{"metric":"#);
                    write_labels(json, &one.labels);
                    json.push_str(r#","values":"#);
                    write_list(json, &one.samples, |json, sample| write_point(json, sample.at, sample.value));
                    json.push('}');
                });
            }
        }
        json.push_str("}}");
        json
    }
}

impl QueryError {
    /// `{"status":"error","errorType":…,"error":…}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = format!(r#"{{"status":"error","errorType":"{}","error":"#, self.kind());
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        write_text(&mut json, &text);
        json.push('}');
        json
    }
}

/// What `series` answers: the labels of series.
pub fn series_json<'a>(series: impl IntoIterator<Item = &'a Labels>) -> String {
    let series: BTreeSet<&Labels> = series.into_iter().collect();
    success(|json| write_list(json, series, write_labels))
}

/// What `labels` answers: the names of labels that any of the series has.
pub fn labels_json<'a>(series: impl IntoIterator<Item = &'a Labels>) -> String {
    let names: BTreeSet<&str> = series.into_iter().flat_map(|labels| labels.iter().map(|(label, _)| label)).collect();
    success(|json| write_list(json, names, write_text))
}

/// What `label/NAME/values` answers: the values that the label has in any of the series.
pub fn label_values_json<'a>(label: &str, series: impl IntoIterator<Item = &'a Labels>) -> String {
    let values: BTreeSet<&str> =
        series.into_iter().map(|labels| labels.get(label)).filter(|value| !value.is_empty()).collect();
    success(|json| write_list(json, values, write_text))
}

fn success(write_data: impl FnOnce(&mut String)) -> String {
    let mut json = String::from(r#"{"status":"success","data":"#);
    write_data(&mut json);
    json.push('}');
    json
}

fn write_list<T>(json: &mut String, items: impl IntoIterator<Item = T>, write_item: impl Fn(&mut String, T)) {
    json.push('[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        write_item(json, item);
    }
    json.push(']');
}

fn write_labels(json: &mut String, labels: &Labels) {
    json.push('{');
    for (at, (label, value)) in labels.iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        write_text(json, label);
        json.push(':');
        write_text(json, value);
    }
    json.push('}');
}

fn write_text(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            // Go writes these escaped, so that the answer may stand in a page, and two more that end a line in JavaScript.
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            _ => json.push(c),
        }
    }
    json.push('"');
}

fn write_point(json: &mut String, at: i64, value: f64) {
    json.push('[');
    write_time(json, at);
    json.push_str(",\"");
    write_number(json, value);
    json.push_str("\"]");
}

fn write_time(json: &mut String, at: i64) {
    if at < 0 {
        json.push('-');
    }
    let at = at.unsigned_abs();
    let _ = match at % 1000 {
        0 => write!(json, "{}", at / 1000),
        fraction => write!(json, "{}.{fraction:03}", at / 1000),
    };
}

/// As Go writes a float: the shortest that reads back, with an exponent of two digits when very large or small.
fn write_number(json: &mut String, value: f64) {
    let size = value.abs();
    if value.is_nan() {
        json.push_str("NaN");
    } else if value.is_infinite() {
        json.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        let _ = write!(json, "{digits}e{sign}{exponent:0>2}");
    } else {
        let _ = write!(json, "{value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{NAME, Sample};

    #[test]
    fn answers_have_the_shapes_of_prometheus() {
        let labels = Labels::new([(NAME, "up"), ("service", "a\"<b>\n")]);
        let vector = Answer::Vector { at: 1_700_000_000_123, elements: vec![(labels.clone(), 1.0)] };
        assert_eq!(
            vector.to_json(),
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","service":"a\"\u003cb\u003e\n"},"value":[1700000000.123,"1"]}]}}"#
        );
        let samples = vec![Sample { at: 1_000, value: 0.5 }, Sample { at: 2_007, value: f64::NAN }];
        assert_eq!(
            Answer::Matrix(vec![Series { labels: Labels::default(), samples }]).to_json(),
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"0.5"],[2.007,"NaN"]]}]}}"#
        );
        assert_eq!(
            Answer::Scalar { at: -1_500, value: 2.0 }.to_json(),
            r#"{"status":"success","data":{"resultType":"scalar","result":[-1.500,"2"]}}"#
        );
        assert_eq!(
            Answer::Text { at: 0, text: "x".to_owned() }.to_json(),
            r#"{"status":"success","data":{"resultType":"string","result":[0,"x"]}}"#
        );
        assert_eq!(
            QueryError::Unsupported("`fill`".to_owned()).to_json(),
            r#"{"status":"error","errorType":"bad_data","error":"`fill` is not supported here; docs/QUERY.md lists what is"}"#
        );
    }

    #[test]
    fn names_and_values_are_told_once_and_sorted() {
        let series = [Labels::new([(NAME, "up"), ("service", "b")]), Labels::new([(NAME, "up"), ("service", "a")])];
        assert_eq!(labels_json(&series), r#"{"status":"success","data":["__name__","service"]}"#);
        assert_eq!(label_values_json("service", &series), r#"{"status":"success","data":["a","b"]}"#);
        assert_eq!(label_values_json("zone", &series), r#"{"status":"success","data":[]}"#);
        assert_eq!(
            series_json(&series),
            r#"{"status":"success","data":[{"__name__":"up","service":"a"},{"__name__":"up","service":"b"}]}"#
        );
    }

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (123_456_789.5, "123456789.5"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-07"),
            (1e-6, "0.000001"),
            (-2e300, "-2e+300"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            let mut text = String::new();
            write_number(&mut text, value);
            assert_eq!(text, expected);
        }
    }
}
