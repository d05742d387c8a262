//! Whether two answers are the same.

use std::collections::BTreeMap;

use serde_json::Value;

/// Relative difference of two values that are the same: what the order of additions makes of the last bits.
const TOLERANCE: f64 = 1e-9;

type Points = Vec<(String, f64)>;

/// What differs, for people; `None` if nothing does.
pub(crate) fn difference(ours: &Value, theirs: &Value, ordered: bool) -> Option<String> {
    match (ours["status"].as_str(), theirs["status"].as_str()) {
        (Some("error"), Some("error")) => {
            let kinds = (&ours["errorType"], &theirs["errorType"]);
            // What Prometheus finds while it evaluates, such as a bad label, is found here when the text is read.
            let same = kinds.0 == kinds.1 || (kinds.0 == "bad_data" && kinds.1 == "execution");
            return (!same).then(|| format!("errors differ: {ours} and {theirs}"));
        }
        (Some("success"), Some("success")) => {}
        _ => return Some(format!("one refuses: {} and {}", cut(ours), cut(theirs))),
    }
    let (ours, theirs) = (&ours["data"], &theirs["data"]);
    if ours["resultType"] != theirs["resultType"] {
        return Some(format!("types differ: {} and {}", ours["resultType"], theirs["resultType"]));
    }
    if !ours["result"][0].is_object() && !theirs["result"][0].is_object() {
        return differs(&points(&ours["result"]), &points(&theirs["result"]));
    }
    let (ours, theirs) = (series(ours), series(theirs));
    if ordered && ours.iter().map(|(labels, _)| labels).ne(theirs.iter().map(|(labels, _)| labels)) {
        return Some("the order differs".to_owned());
    }
    let (ours, theirs): (BTreeMap<_, _>, BTreeMap<_, _>) = (ours.into_iter().collect(), theirs.into_iter().collect());
    for (labels, points) in &ours {
        match theirs.get(labels) {
            None => return Some(format!("only ours has {labels}, with {} points", points.len())),
            Some(others) => {
                if let Some(difference) = differs(points, others) {
                    return Some(format!("{labels}: {difference}"));
                }
            }
        }
    }
    theirs.keys().find(|labels| !ours.contains_key(*labels)).map(|labels| format!("only theirs has {labels}"))
}

fn cut(value: &Value) -> String {
    value.to_string().chars().take(300).collect()
}

fn series(data: &Value) -> Vec<(String, Points)> {
    let result = data["result"].as_array().cloned().unwrap_or_default();
    result
        .iter()
        .map(|one| {
            let single = &one["value"];
            let values = if single.is_null() { points(&one["values"]) } else { points(single) };
            (one["metric"].to_string(), values)
        })
        .collect()
}

/// A list of points, or one.
fn points(value: &Value) -> Points {
    let list = value.as_array().cloned().unwrap_or_default();
    let point = |value: &Value| {
        let text = value[1].as_str().unwrap_or_default();
        (value[0].to_string(), text.parse().unwrap_or(f64::NAN))
    };
    if list.first().is_some_and(Value::is_array) { list.iter().map(point).collect() } else { vec![point(value)] }
}

fn differs(ours: &Points, theirs: &Points) -> Option<String> {
    if ours.len() != theirs.len() {
        return Some(format!("{} points here and {} there", ours.len(), theirs.len()));
    }
    ours.iter()
        .zip(theirs)
        .find(|(a, b)| a.0 != b.0 || !same(a.1, b.1))
        .map(|(a, b)| format!("{a:?} here and {b:?} there"))
}

#[expect(clippy::float_cmp, reason = "infinities are the same only if they are equal")]
fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}
