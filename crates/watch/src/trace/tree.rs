//! The spans of one request as people look at them: each below the one that it is within, in the order in which they began.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use super::Span;

/// One of them, in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<'a> {
    /// What it is.
    pub span: &'a Span,
    /// How many others it is within.
    pub depth: usize,
    /// Microseconds from the begin of the first one of all.
    pub after_us: u64,
}

/// The rows, and the microseconds from the first begin to the last end.
///
/// A span that was sent twice stands once. One whose parent is not there (it was not sampled, or is not there yet) stands at the
/// top. Every span has exactly one row, whatever they say of each other.
#[must_use]
pub fn rows(spans: &[Span]) -> (Vec<Row<'_>>, u64) {
    let mut known: HashMap<(&str, &str), &Span> = HashMap::new();
    for span in spans {
        known.entry((&span.trace_id, &span.span_id)).or_insert(span);
    }
    let mut order: Vec<&Span> = known.values().copied().collect();
    // Of those that begin together, the longer one is around the other.
    order.sort_by(|a, b| (a.began, b.took_us, &a.span_id).cmp(&(b.began, a.took_us, &b.span_id)));
    let Some(first) = order.first().map(|span| span.began) else { return (Vec::new(), 0) };
    let mut within: BTreeMap<(&str, &str), Vec<&Span>> = BTreeMap::new();
    let mut tops = Vec::new();
    for span in &order {
        let parent = span.parent_span_id.as_deref().map(|parent| (span.trace_id.as_str(), parent));
        match parent.filter(|parent| known.contains_key(parent)) {
            Some(parent) => within.entry(parent).or_default().push(span),
            None => tops.push(*span),
        }
    }
    let mut rows = Vec::with_capacity(order.len());
    let mut seen = HashSet::new();
    // What is in a circle is below no top: it begins with its first.
    for top in tops.iter().chain(&order) {
        let mut stack = vec![(*top, 0)];
        while let Some((span, depth)) = stack.pop() {
            let id = (span.trace_id.as_str(), span.span_id.as_str());
            if !seen.insert(id) {
                continue;
            }
            rows.push(Row { span, depth, after_us: micros(first, span.began) });
            let inner = within.get(&id).map(Vec::as_slice).unwrap_or_default();
            stack.extend(inner.iter().rev().map(|inner| (*inner, depth + 1)));
        }
    }
    let whole = rows.iter().map(|row| row.after_us.saturating_add(row.span.took_us)).max().unwrap_or(0);
    (rows, whole)
}

fn micros(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_micros()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::trace::Kind;

    fn span(id: &str, parent: Option<&str>, began_us: i64, took_us: u64) -> Span {
        Span {
            began: Timestamp::from_microsecond(1_000_000 + began_us).expect("a time"),
            took_us,
            service: "a".into(),
            name: id.into(),
            kind: Kind::Internal,
            trace_id: "t".into(),
            span_id: id.into(),
            parent_span_id: parent.map(str::to_owned),
            failed: None,
            attributes: BTreeMap::new(),
        }
    }

    fn shape(spans: &[Span]) -> Vec<(String, usize, u64)> {
        rows(spans).0.iter().map(|row| (row.span.span_id.clone(), row.depth, row.after_us)).collect()
    }

    #[test]
    fn spans_stand_below_what_they_are_within_in_the_order_of_their_times() {
        // As they arrive: the inner ones end first, and one came twice.
        let spans = [
            span("ledger", Some("chat"), 20, 5),
            span("model", Some("chat"), 30, 60),
            span("chat", Some("edge"), 10, 90),
            span("ledger", Some("chat"), 20, 5),
            span("edge", Some("browser"), 0, 100),
            span("later", None, 200, 10),
        ];
        let expected = [("edge", 0, 0), ("chat", 1, 10), ("ledger", 2, 20), ("model", 2, 30), ("later", 0, 200)];
        assert_eq!(shape(&spans), expected.map(|(id, depth, after)| (id.to_owned(), depth, after)));
        assert_eq!(rows(&spans).1, 210);
        assert_eq!(rows(&[]), (Vec::new(), 0));
    }

    #[test]
    fn the_same_id_in_two_traces_is_two_spans() {
        let other = Span { trace_id: "u".into(), ..span("x", None, 5, 1) };
        assert_eq!(shape(&[span("x", None, 0, 1), other]).len(), 2);
    }

    proptest! {
        #[test]
        fn every_span_has_one_row_whatever_they_say_of_each_other(
            links in prop::collection::vec((0_usize..12, prop::option::of(0_usize..14), 0_i64..5, 0_u64..5), 0..12)
        ) {
            let spans: Vec<Span> = links.iter().map(|(id, parent, began, took)| {
                span(&id.to_string(), parent.map(|parent| parent.to_string()).as_deref(), *began, *took)
            }).collect();
            let mut ids: Vec<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
            ids.sort_unstable();
            ids.dedup();
            let (found, whole) = rows(&spans);
            let mut told: Vec<&str> = found.iter().map(|row| row.span.span_id.as_str()).collect();
            told.sort_unstable();
            prop_assert_eq!(ids, told);
            for (index, row) in found.iter().enumerate() {
                prop_assert!(row.after_us + row.span.took_us <= whole);
                let is_around = |outer: &Row<'_>| {
                    outer.depth + 1 == row.depth && row.span.parent_span_id.as_deref() == Some(&outer.span.span_id)
                };
                let has_its_place = row.depth == 0 || found[..index].iter().any(is_around);
                prop_assert!(has_its_place);
            }
        }
    }
}
