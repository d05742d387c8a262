//! Real programs' expositions, recorded, are read to the last line.

#[path = "expositions/reading.rs"]
mod reading;

use mana_watch::Labels;
use mana_watch::exposition::{Clash, Entry, Format, Kind, Lines, MAX_LABELS, Target, write};
use reading::{check, read};

const RECORDED: [(&str, &str, Format); 9] = [
    ("client-python", include_str!("expositions/client-python-0.26.0.txt"), Format::Text),
    ("client-python", include_str!("expositions/client-python-0.26.0.openmetrics.txt"), Format::OpenMetrics),
    ("nginx-exporter", include_str!("expositions/nginx-exporter-0.11.0.txt"), Format::Text),
    ("node-exporter", include_str!("expositions/node-exporter-1.5.0.txt"), Format::Text),
    ("postgres-exporter", include_str!("expositions/postgres-exporter-0.11.1.txt"), Format::Text),
    ("prometheus", include_str!("expositions/prometheus-2.42.0.txt"), Format::Text),
    ("prometheus, federated", include_str!("expositions/prometheus-2.42.0-federate.txt"), Format::Text),
    ("mana's edge", include_str!("expositions/mana-edge-0.1.0.txt"), Format::Text),
    ("redis-exporter", include_str!("expositions/redis-exporter-1.45.0.txt"), Format::Text),
];

#[test]
fn every_line_of_every_program_is_read() {
    for (program, body, format) in RECORDED {
        assert!(!check(program, body, format).is_empty(), "{program}");
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

/// Whether all of it is well, and how many samples it gives.
fn judge(body: &[u8], format: Format) -> (bool, usize) {
    let mut points = Vec::new();
    let mut target = Target::new([("", ""); 0], Clash::Theirs);
    let reading = target.read(body, format, 0, &mut points, |_| Some(0));
    (reading.is_ok_and(|reading| reading.bad == 0), points.len())
}

#[test]
fn bodies_are_well_where_prometheus_says_so() {
    use Format::{OpenMetrics, Text};
    // What Prometheus 2.42 made of each when it scraped it: whether its target was up, and how many samples it kept.
    let judged: [(&[u8], Format, bool, usize); 34] = [
        (b"a{x=\"1\"}1\n", Text, true, 1),
        (b"a{x=\"1\",} 1\n", Text, true, 1),
        (b"a{,} 1\n", Text, false, 0),
        (b"a{x=\"\\w\\\\n\"} 1\n", Text, true, 1),
        (b"a 1", Text, true, 1),
        (b"a 1\r\n", Text, false, 0),
        (b"a 1_000\n", Text, false, 0),
        (b"a 0x1F\n", Text, false, 0),
        (b"a inf\nb Infinity\nc +Inf\nd nan\n", Text, true, 4),
        (b"a{x=\"1\",x=\"2\"} 1\n", Text, false, 0),
        (b"a 1 1.5\n", Text, false, 0),
        (b"a_total 1 # {x=\"y\"} 1\n", Text, false, 0),
        (b"a{x=\"\xff\"} 1\n", Text, false, 0),
        (b"# TYPE a countre\n", Text, false, 0),
        (b"# TYPE a\n", Text, false, 0),
        (b"#HELP\n#foo\n# \na 1\n", Text, true, 1),
        (b"  # TYPE a counter\na 1\n", Text, true, 1),
        (b"# HELP a\na 1\n", Text, true, 1),
        (b"# UNIT a seconds\na 1\n", Text, true, 1),
        (b"a{x:y=\"1\"} 1\n", Text, false, 0),
        (b"", Text, true, 0),
        (b"a 1\na 2\n", Text, true, 1),
        (b"a{x=\"\"} 1\n", Text, true, 1),
        (b"a{__name__=\"z\"} 1\n", Text, false, 0),
        (b"a 1 2 3\n", Text, false, 0),
        (b"# TYPE a counter\na_total 1 # {x=\"y\"} 1 2.5\n# EOF\n", OpenMetrics, true, 1),
        (b"a 1\n", OpenMetrics, false, 0),
        (b"a 1\n# EOF", OpenMetrics, true, 1),
        (b"a 1 2.5\n# EOF\n", OpenMetrics, true, 1),
        (b"# foo\n# EOF\n", OpenMetrics, false, 0),
        (b"# TYPE a untyped\n# EOF\n", OpenMetrics, false, 0),
        (b" a 1\n# EOF\n", OpenMetrics, false, 0),
        (b"a 1\n# EOF \n", OpenMetrics, false, 0),
        (b"", OpenMetrics, false, 0),
    ];
    for (body, format, up, samples) in judged {
        assert_eq!(judge(body, format), (up, samples), "{:?}", String::from_utf8_lossy(body));
    }
}

#[test]
fn where_prometheus_gives_up_we_read_what_the_format_allows_or_what_is_well() {
    use Format::{OpenMetrics, Text};
    let refused_by_prometheus: [(&[u8], Format, bool, usize); 8] = [
        // One bad line costs Prometheus all others.
        (b"a 1\nb{x=1} 2\nc 3\n", Text, false, 2),
        (b"a 1\n\nb 1\n# EOF\n", OpenMetrics, false, 2),
        (b"a 1\n# EOF\na 2\n", OpenMetrics, false, 1),
        // The text format allows blanks at the begin of a line, and times before 1970.
        (b"\n\n a 1\n\t\n", Text, true, 1),
        (b"a 1 -5\n", Text, true, 1),
        // More blanks than OpenMetrics allows change no meaning, and neither does an exemplar where it forbids one.
        (b"a  { x = \"1\" }  1 \n# EOF\n", OpenMetrics, true, 1),
        (b"# TYPE a gauge\na 1 # {x=\"y\"} 1\n# EOF\n", OpenMetrics, true, 1),
        (b"a 1 \n# EOF\n", OpenMetrics, true, 1),
    ];
    for (body, format, well, samples) in refused_by_prometheus {
        assert_eq!(judge(body, format), (well, samples), "{:?}", String::from_utf8_lossy(body));
    }
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
