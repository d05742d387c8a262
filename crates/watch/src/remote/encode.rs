//! Series as `prometheus.WriteRequest`, a protocol buffer of four kinds of fields.

use crate::series::{Labels, Sample, Series};

/// Samples of one request, as Prometheus itself sends by default; one series more may be in it.
pub const MAX_BATCH_SAMPLES: usize = 2_000;

/// Splits series into those of one request each. No series is in two, so that its samples arrive in their order.
#[must_use]
pub fn batches(series: Vec<Series>) -> Vec<Vec<Series>> {
    let (mut batches, mut samples) = (Vec::<Vec<Series>>::new(), MAX_BATCH_SAMPLES);
    for one in series.into_iter().filter(|one| !one.samples.is_empty()) {
        if samples >= MAX_BATCH_SAMPLES {
            batches.push(Vec::new());
            samples = 0;
        }
        samples += one.samples.len();
        if let Some(batch) = batches.last_mut() {
            batch.push(one);
        }
    }
    batches
}

/// The body of a request, before it is compressed. `more` are labels that each series gets which has none of that name.
#[must_use]
pub fn encode(series: &[Series], more: &[(&str, &str)]) -> Vec<u8> {
    let (mut message, mut encoded, mut part) = (Vec::new(), Vec::new(), Vec::new());
    for one in series {
        encoded.clear();
        // Receivers want labels in their order; of one that comes twice the last one counts.
        let labels = Labels::new(more.iter().copied().chain(one.labels.iter()));
        for (label, value) in labels.iter() {
            part.clear();
            field(&mut part, 1, label.as_bytes());
            field(&mut part, 2, value.as_bytes());
            field(&mut encoded, 1, &part);
        }
        for Sample { at, value } in &one.samples {
            part.clear();
            part.push(1 << 3 | 1);
            // Bit by bit: the one that says that a series ended is a number that is none.
            part.extend(value.to_bits().to_le_bytes());
            part.push(2 << 3);
            varint(&mut part, at.cast_unsigned());
            field(&mut encoded, 2, &part);
        }
        field(&mut message, 1, &encoded);
    }
    message
}

/// A field whose content has a length.
fn field(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::NAME;

    fn series(name: &str, samples: usize) -> Series {
        let sample = |at: usize| Sample { at: i64::try_from(at).expect("small"), value: 1.0 };
        Series { labels: Labels::new([(NAME, name)]), samples: (0..samples).map(sample).collect() }
    }

    #[test]
    fn a_request_is_as_the_protocol_says() {
        let up =
            Series { labels: Labels::new([(NAME, "up"), ("a", "b")]), samples: vec![Sample { at: 300, value: 1.0 }] };
        let expected: &[u8] = &[
            &b"\x0a\x3b\x0a\x0e\x0a\x08__name__\x12\x02up"[..],
            b"\x0a\x06\x0a\x01a\x12\x01b",
            b"\x0a\x11\x0a\x0benvironment\x12\x02st",
            b"\x12\x0c\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\xac\x02",
        ]
        .concat();
        let encoded = encode(&[up], &[("environment", "st"), ("a", "of others")]);
        assert_eq!(encoded[2..], expected[2..], "{encoded:x?}");
        assert_eq!(usize::from(encoded[1]), encoded.len() - 2);
    }

    #[test]
    fn requests_are_bounded_and_no_series_is_torn() {
        let all = (0..10).map(|number| series(&number.to_string(), 700)).chain([series("none", 0)]).collect();
        let batches = batches(all);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 3, 1]);
    }
}
