//! Real programs' expositions, recorded, are read to the last line.

use mana_watch::exposition::{Clash, Entry, Format, Kind, Lines, MAX_LABELS, Target, write};
use mana_watch::{Labels, Sample};

const RECORDED: [(&str, &str, Format); 8] = [
    ("client-python", include_str!("expositions/client-python-0.26.0.txt"), Format::Text),
    ("client-python", include_str!("expositions/client-python-0.26.0.openmetrics.txt"), Format::OpenMetrics),
    ("nginx-exporter", include_str!("expositions/nginx-exporter-0.11.0.txt"), Format::Text),
    ("node-exporter", include_str!("expositions/node-exporter-1.5.0.txt"), Format::Text),
    ("postgres-exporter", include_str!("expositions/postgres-exporter-0.11.1.txt"), Format::Text),
    ("prometheus", include_str!("expositions/prometheus-2.42.0.txt"), Format::Text),
    ("prometheus, federated", include_str!("expositions/prometheus-2.42.0-federate.txt"), Format::Text),
    ("redis-exporter", include_str!("expositions/redis-exporter-1.45.0.txt"), Format::Text),
];

/// Everything a body says, read by a target that knows nothing.
fn read(body: &str, format: Format) -> Vec<(Labels, Sample)> {
    let (mut labels, mut points) = (Vec::new(), Vec::new());
    let mut target = Target::new([("", ""); 0], Clash::Theirs);
    let reading = target
        .read(body.as_bytes(), format, 0, &mut points, |first| {
            labels.push(first.labels);
            Some(labels.len() - 1)
        })
        .expect("an exposition");
    assert_eq!((reading.bad, reading.doubled, reading.refused), (0, 0, 0));
    points.iter().map(|point| (labels[point.id].clone(), point.sample)).collect()
}

#[test]
fn every_line_of_every_program_is_read() {
    for (program, body, format) in RECORDED {
        // A second, simple way of reading: the value follows the labels, or the name.
        let expected: Vec<f64> = body
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let line = line.split_once(" # {").map_or(line, |(sample, _)| sample);
                let tail =
                    line.rsplit_once('}').map_or_else(|| line.split_once(' ').expect("a value").1, |(_, tail)| tail);
                tail.split_whitespace().next().expect("a value").parse().expect("a number")
            })
            .collect();
        let samples = read(body, format);
        assert_eq!(samples.len(), expected.len(), "{program}");
        for ((labels, sample), expected) in samples.iter().zip(expected) {
            let same = sample.value.to_bits() == expected.to_bits() || (sample.value.is_nan() && expected.is_nan());
            assert!(same, "{program}: {labels:?}");
        }
        assert!(Lines::new(body.as_bytes(), format).all(|line| line.is_ok()), "{program}");
    }
}

#[test]
fn escapes_infinities_and_what_is_said_of_metrics_are_read_as_meant() {
    let (_, body, format) = RECORDED[1];
    let samples = read(body, format);
    let value = |labels: Labels| samples.iter().find(|(known, _)| *known == labels).expect("the series").1.value;
    let tea = value(Labels::new([
        ("__name__", "orders_total"),
        ("from", "C:\\shop\nline two"),
        ("kind", "café \"au lait\""),
    ]));
    assert!((tea - 3.0).abs() < f64::EPSILON);
    assert!(value(Labels::new([("__name__", "limit"), ("side", "lower")])).is_sign_negative());
    assert!(value(Labels::new([("__name__", "queue_seconds")])).is_nan());
    let kinds: Vec<Kind> = Lines::new(body.as_bytes(), format)
        .filter_map(|line| match line {
            Ok(Entry::Type { kind, .. }) => Some(kind),
            _ => None,
        })
        .collect();
    let expected =
        [Kind::Counter, Kind::Histogram, Kind::Summary, Kind::Info, Kind::StateSet, Kind::Gauge, Kind::Gauge];
    assert_eq!(kinds, expected);
}

#[test]
fn what_a_prometheus_federates_is_written_as_it_writes_it() {
    let (_, body, format) = RECORDED[6];
    let samples = read(body, format);
    let mut written = String::new();
    write(&mut written, samples.iter().map(|(labels, sample)| (labels, *sample)), format, |_| Kind::Unknown);
    let (mut ours, mut theirs): (Vec<&str>, Vec<&str>) = (written.lines().collect(), body.lines().collect());
    ours.sort_unstable();
    theirs.sort_unstable();
    assert_eq!(ours, theirs);
}

#[test]
fn a_body_that_is_cut_off_anywhere_is_read_or_refused_and_gives_no_value_that_was_not_there() {
    let (_, body, format) = RECORDED[1];
    let whole = read(body, format);
    for cut in (0..body.len()).filter(|cut| body.is_char_boundary(*cut)) {
        let mut points = Vec::new();
        let mut target = Target::new([("", ""); 0], Clash::Theirs);
        let reading = target.read(&body.as_bytes()[..cut], format, 0, &mut points, |_| Some(0));
        // All that a reader may miss is the end of the last line.
        assert_eq!(reading.is_ok(), cut == body.len() - 1, "cut at {cut}");
        assert!(points.len() == if reading.is_ok() { whole.len() } else { 0 });
    }
}

#[test]
fn the_recorded_programs_stay_within_the_bounds() {
    for (program, body, format) in RECORDED {
        let most = Lines::new(body.as_bytes(), format).filter_map(|line| match line {
            Ok(Entry::Sample(sample)) => Some(sample.labels().count()),
            _ => None,
        });
        assert!(most.max().expect("samples") < MAX_LABELS / 2, "{program}");
    }
}

proptest::proptest! {
    #[test]
    fn a_wrong_byte_loses_no_more_than_its_line_and_the_one_it_is_joined_with(
        which in 0..RECORDED.len(), place in proptest::prelude::any::<proptest::sample::Index>(), byte in proptest::prelude::any::<u8>()
    ) {
        let (_, body, format) = RECORDED[which];
        let mut bytes = body.as_bytes().to_vec();
        // The end that OpenMetrics asks for is not to be torn away.
        let place = place.index(bytes.len() - "\n# EOF\n".len());
        bytes[place] = byte;
        let samples = |body: &[u8]| {
            let mut points = Vec::new();
            let mut target = Target::new([("", ""); 0], Clash::Theirs);
            let reading = target.read(body, format, 0, &mut points, |_| Some(0));
            reading.map(|reading| (points.len(), reading.bad))
        };
        let whole = samples(body.as_bytes()).expect("an exposition").0;
        let (left, bad) = samples(&bytes).expect("still an exposition");
        proptest::prop_assert!(bad <= 2 && left + 2 >= whole && left <= whole + 1, "{left} of {whole}, {bad} bad");
    }
}
