//! Series as an exposition, for whoever federates.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Format, Kind};
use crate::series::{Labels, NAME, Sample};

/// Whole numbers below this are written without a fraction, exactly.
const EXACT: f64 = 1e15;

/// Puts one sample of each series behind `out`, by name and labels, with its time. Left out are series that ended, and those without a name,
/// which an exposition cannot say. `kind_of` is asked once for each name.
pub fn write<'a>(
    out: &mut String,
    series: impl IntoIterator<Item = (&'a Labels, Sample)>,
    format: Format,
    kind_of: impl Fn(&str) -> Kind,
) {
    let alive = series.into_iter().filter(|(labels, sample)| !sample.is_stale() && !labels.name().is_empty());
    // By name first: by labels alone, those before `__name__` (capital letters) would tear a metric apart.
    let sorted: BTreeMap<(&str, &Labels), Sample> =
        alive.map(|(labels, sample)| ((labels.name(), labels), sample)).collect();
    let mut last = "";
    for ((name, labels), sample) in sorted {
        if name != last {
            comment(out, name, kind_of(name), format);
            last = name;
        }
        out.push_str(name);
        pairs(out, labels);
        out.push(' ');
        number(out, sample.value);
        out.push(' ');
        time(out, sample.at, format);
        out.push('\n');
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
}

fn comment(out: &mut String, name: &str, kind: Kind, format: Format) {
    // OpenMetrics wants the name of the family, which is not known here; nothing said is `unknown`.
    if format == Format::Text {
        out.extend(["# TYPE ", name, " ", kind.in_text(), "\n"]);
    }
}

fn pairs(out: &mut String, labels: &Labels) {
    let mut before = '{';
    for (label, value) in labels.iter().filter(|(label, _)| *label != NAME) {
        out.push(before);
        out.push_str(label);
        out.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                other => out.push(other),
            }
        }
        out.push('"');
        before = ',';
    }
    if before == ',' {
        out.push('}');
    }
}

fn number(out: &mut String, value: f64) {
    // Writing to a string cannot fail.
    let _ = if value.is_nan() {
        write!(out, "NaN")
    } else if value.is_infinite() {
        write!(out, "{}Inf", if value > 0.0 { '+' } else { '-' })
    } else if value.fract() == 0.0 && value.abs() < EXACT {
        write!(out, "{value}")
    } else {
        // The shortest text that reads as the same number, with an exponent where it is far from 1.
        write!(out, "{value:?}")
    };
}

fn time(out: &mut String, at: i64, format: Format) {
    let _ = match format {
        Format::Text => write!(out, "{at}"),
        Format::OpenMetrics => {
            let (sign, at) = (if at < 0 { "-" } else { "" }, at.unsigned_abs());
            write!(out, "{sign}{}.{:03}", at / 1_000, at % 1_000)
        }
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::exposition::{Clash, Target};

    #[test]
    fn series_are_grouped_by_name_with_their_times() {
        let up = Labels::new([(NAME, "up"), ("Zone", "a\"b\\c\nd")]);
        let down = Labels::new([(NAME, "down")]);
        let other = Labels::new([(NAME, "up"), ("a", "b")]);
        let nameless = Labels::new([("a", "b")]);
        let sample = |value| Sample { at: 1_500, value };
        let given =
            [(&up, sample(1.0)), (&down, sample(0.25)), (&other, sample(f64::INFINITY)), (&nameless, sample(1.0))];
        let mut text = String::new();
        write(&mut text, given, Format::Text, |name| if name == "up" { Kind::Gauge } else { Kind::Unknown });
        assert_eq!(
            text,
            "# TYPE down untyped\ndown 0.25 1500\n# TYPE up gauge\nup{Zone=\"a\\\"b\\\\c\\nd\"} 1 1500\nup{a=\"b\"} +Inf 1500\n"
        );
        let mut open = String::new();
        write(&mut open, [(&down, Sample { at: -1_005, value: 1e300 })], Format::OpenMetrics, |_| Kind::Unknown);
        assert_eq!(open, "down 1e300 -1.005\n# EOF\n");
    }

    #[test]
    fn a_series_that_ended_is_not_given() {
        let up = Labels::new([(NAME, "up")]);
        let mut text = String::new();
        write(&mut text, [(&up, Sample::stale(1))], Format::Text, |_| Kind::Unknown);
        assert_eq!(text, "");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(
            series in prop::collection::vec(("[a-z_:][a-z0-9_:]{0,5}", "[a-z]{1,3}", "\\PC{1,8}|[\\\\\"\n,{} ]{1,4}", any::<f64>(), any::<i32>()), 0..20),
            open in any::<bool>()
        ) {
            let format = if open { Format::OpenMetrics } else { Format::Text };
            let series: BTreeMap<Labels, Sample> = series.into_iter()
                .map(|(name, label, value, number, at)| {
                    (Labels::new([(NAME, name), (&label, value)]), Sample { at: i64::from(at), value: number })
                })
                .collect();
            let mut text = String::new();
            write(&mut text, series.iter().map(|(labels, sample)| (labels, *sample)), format, |_| Kind::Gauge);
            let mut target = Target::new([("", ""); 0], Clash::Theirs);
            let (mut points, mut read) = (Vec::new(), Vec::new());
            let reading = target.read(text.as_bytes(), format, 0, &mut points, |first| {
                read.push(first.labels);
                Some(read.len() - 1)
            });
            prop_assert!(reading.as_ref().is_ok_and(|reading| reading.bad == 0), "{:?}\n{}", reading, text);
            let read: BTreeMap<Labels, Sample> =
                points.iter().map(|point| (read[point.id].clone(), point.sample)).collect();
            prop_assert_eq!(read.len(), series.len());
            for (labels, sample) in &series {
                let found = read.get(labels).expect("the series");
                prop_assert_eq!(found.at, sample.at);
                prop_assert!(found.value.to_bits() == sample.value.to_bits() || (found.value.is_nan() && sample.value.is_nan()));
            }
        }
    }
}
