use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_000_000;

type Read = (Vec<(Labels, Sample)>, Reading<usize>);

/// A target, and a list in which its series get their places as ids.
struct World {
    target: Target<usize>,
    series: Vec<Labels>,
    /// Names of which none is taken.
    refuse: Vec<&'static str>,
}

impl World {
    fn new(own: &[(&str, &str)], clash: Clash) -> Self {
        Self { target: Target::new(own.iter().copied(), clash), series: Vec::new(), refuse: Vec::new() }
    }

    fn plain() -> Self {
        Self::new(&[], Clash::Ours)
    }

    fn read_as(&mut self, body: &[u8], format: Format) -> Result<Read, Nonsense> {
        let mut points = Vec::new();
        let reading = self.target.read(body, format, NOW, &mut points, |first| {
            if self.refuse.contains(&first.labels.name()) {
                return None;
            }
            let known = self.series.iter().position(|labels| *labels == first.labels);
            Some(known.unwrap_or_else(|| {
                self.series.push(first.labels);
                self.series.len() - 1
            }))
        })?;
        Ok((points.iter().map(|point| (self.series[point.id].clone(), point.sample)).collect(), reading))
    }

    fn read(&mut self, body: &str) -> Read {
        self.read_as(body.as_bytes(), Format::Text).expect("a reading")
    }

    fn names(&self, ids: &[usize]) -> Vec<&str> {
        ids.iter().map(|id| self.series[*id].name()).collect()
    }
}

#[test]
fn the_second_scrape_builds_no_labels() {
    let body = "# TYPE a counter\na{x=\"1\"} 1\na{x=\"2\"} 2\nb 3\n";
    let mut world = World::plain();
    assert_eq!(world.read(body).1.added, 3);
    let mut points = Vec::new();
    let later = body.replace(" 1\n", " 9\n");
    let asked = |first: First<'_>| panic!("{} is asked for again", first.labels.name());
    let reading = world.target.read(later.as_bytes(), Format::Text, NOW, &mut points, asked).expect("a reading");
    assert_eq!((reading.scraped, reading.added, points.len()), (3, 0, 3));
    assert_eq!(points.iter().map(|point| point.id).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(points[0].sample.value > 8.9 && points[0].sample.at == NOW);
}

#[test]
fn a_longer_name_is_not_taken_for_the_one_it_begins_with() {
    let mut world = World::plain();
    world.read("a 1\n");
    let (samples, reading) = world.read("a {x=\"2\"} 1\na{x=\"1\"} 1\nab 2\na 3\n");
    assert_eq!((reading.added, reading.bad), (3, 0));
    assert_eq!(samples.iter().map(|(labels, _)| labels.name()).collect::<Vec<_>>(), ["a", "a", "ab", "a"]);
}

#[test]
fn what_stays_away_ends_once_and_comes_back_as_new() {
    let mut world = World::plain();
    world.read("a 1\nb 1\nc 1\n");
    let gone = world.read("c 1\na 1\n").1.gone;
    assert_eq!(world.names(&gone), ["b"]);
    assert!(world.read("c 1\na 1\n").1.gone.is_empty());
    assert_eq!(world.read("c 1\nb 1\na 1\n").1.added, 1);
}

#[test]
fn a_lost_target_ends_all_of_its_series_once_and_is_known_when_it_is_back() {
    let mut world = World::plain();
    world.read("a 1\nb 1\n");
    assert_eq!(world.target.lose(), [0, 1]);
    assert!(world.target.lose().is_empty());
    let reading = world.read("a 1\n").1;
    assert_eq!((reading.added, reading.gone), (0, Vec::<usize>::new()));
    assert_eq!(world.target.lose(), [0]);
}

#[test]
fn own_labels_are_added_and_a_clash_keeps_both() {
    let body = "a{job=\"x\",exported_job=\"y\",zone=\"\"} 1\n";
    let labels = |clash| World::new(&[("job", "shop"), ("instance", "1")], clash).read(body).0[0].0.clone();
    assert_eq!(
        labels(Clash::Ours),
        Labels::new([
            (NAME, "a"),
            ("job", "shop"),
            ("instance", "1"),
            ("exported_job", "y"),
            ("exported_exported_job", "x")
        ])
    );
    assert_eq!(
        labels(Clash::Theirs),
        Labels::new([(NAME, "a"), ("job", "x"), ("instance", "1"), ("exported_job", "y")])
    );
}

#[test]
fn a_series_given_twice_counts_once_unless_it_has_times() {
    let mut world = World::plain();
    for _ in 0..2 {
        let (samples, reading) = world.read("a 1\na 2\nb 1 10\nb 2 20\n");
        assert_eq!((reading.scraped, reading.doubled), (4, 1));
        let times: Vec<_> = samples.iter().map(|(labels, sample)| (labels.name(), sample.at)).collect();
        assert_eq!(times, [("a", NOW), ("b", 10), ("b", 20)]);
    }
}

#[test]
fn refused_series_are_counted_and_offered_again_after_a_while() {
    let mut world = World::plain();
    world.refuse = vec!["b"];
    let reading = world.read("a 1\nb 1\nc 1\n").1;
    assert_eq!((reading.scraped, reading.added, reading.refused), (3, 3, 1));
    world.refuse.clear();
    let mut taken = None;
    for round in 1..=ROUNDS_BETWEEN_OFFERS {
        let (samples, reading) = world.read("a 1\nb 1\nc 1\n");
        if reading.refused == 0 {
            assert_eq!(samples.len(), 3);
            taken.get_or_insert(round);
        } else {
            assert_eq!(taken, None, "it stays taken");
        }
    }
    assert_eq!(taken, Some(ROUNDS_BETWEEN_OFFERS - 1));
}

#[test]
fn a_new_series_comes_with_what_is_said_of_its_metric() {
    let body = "# HELP a_seconds How\\nlong.\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n\
        a_seconds_bucket{le=\"1\"} 1\na_second 2\n# TYPE b counter\nb_total 1\n# EOF\n";
    let mut said = Vec::new();
    let mut target = Target::new([("", ""); 0], Clash::Ours);
    let reading = target.read(body.as_bytes(), Format::OpenMetrics, NOW, &mut Vec::new(), |first| {
        said.push((
            first.labels.name().to_owned(),
            first.family.kind,
            first.family.help.into_owned(),
            first.family.unit.to_owned(),
        ));
        Some(said.len())
    });
    assert!(reading.is_ok_and(|reading| reading.bad == 0));
    let row = |name: &str, kind, help: &str, unit: &str| (name.to_owned(), kind, help.to_owned(), unit.to_owned());
    assert_eq!(
        said,
        [
            row("a_seconds_bucket", Kind::Histogram, "How\nlong.", "seconds"),
            row("a_second", Kind::Unknown, "", ""),
            row("b_total", Kind::Counter, "", ""),
        ]
    );
}

#[test]
fn a_bad_line_loses_only_itself() {
    let (samples, reading) = World::plain().read("a 1\nb{x=1} 2\nc 3\nd four\n");
    assert_eq!((samples.len(), reading.scraped, reading.bad), (2, 2, 2));
    assert_eq!(reading.first_bad, Some(BadLine { line: 2, column: 5, fault: Fault::Quote }));
}

#[test]
fn nonsense_is_refused_as_a_whole_and_loses_nothing_that_was_known() {
    let mut world = World::plain();
    world.read("a 1\n");
    let mut read = |body: &str, format| world.read_as(body.as_bytes(), format).expect_err("nonsense").to_string();
    assert_eq!(
        read("<!DOCTYPE html>\n<p>Hello</p>\n", Format::Text),
        "the answer is no exposition (line 1, column 1: a metric's name was expected: letters, digits, `_` and `:`, no digit \
         first): is this the path of the metrics?"
    );
    assert!(read(&format!("a 1\n{}", "b\n".repeat(MAX_BAD_LINES + 1)), Format::Text).starts_with("more than 10 lines"));
    assert!(read("a 1\nb 2\n", Format::OpenMetrics).starts_with("the exposition does not end with `# EOF`"));
    assert!(read("", Format::OpenMetrics).starts_with("the exposition does not end"));
    assert!(read(&" ".repeat(MAX_BODY_BYTES + 1), Format::Text).contains("is larger than 16777216 bytes"));
    assert!(read(&"a 1\n".repeat(MAX_SAMPLES + 1), Format::Text).contains("more than 50000 samples"));
    assert_eq!(world.read("a 1\n").1.added, 0);
}

#[test]
fn an_empty_body_is_an_exposition_of_nothing() {
    let mut world = World::plain();
    world.read("a 1\n");
    assert_eq!(world.read("").1.gone, [0]);
}

/// Lines of which some are wrong, so that bodies are near to what is right.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => ("[ab]|ab", "| ?\\{\\}| ?\\{x=\"[12]\"\\}|\\{ x = \"1\" ,\\}|\\{y=\"\\\\\\\\n\",x=\"1\"\\}", "[ \t]{1,2}", "[0-9]{1,2}|NaN|-1.5e3", "| 7| -8 ")
            .prop_map(|(name, labels, blanks, value, time)| format!("{name}{labels}{blanks}{value}{time}")),
        1 => "# (TYPE|HELP|UNIT|EOF) ?[ab]?.{0,4}",
        1 => "[ab{}\"= ,#\\\\0-9\t]{0,12}",
        1 => "\\PC{0,8}",
    ]
}

fn bits(samples: &[(Labels, Sample)]) -> Vec<(Labels, i64, u64)> {
    samples.iter().map(|(labels, sample)| (labels.clone(), sample.at, sample.value.to_bits())).collect()
}

proptest! {
    #[test]
    fn memory_never_changes_what_is_read(
        bodies in prop::collection::vec(prop::collection::vec(line(), 0..10), 1..5),
        open in any::<bool>()
    ) {
        let format = if open { Format::OpenMetrics } else { Format::Text };
        let mut world = World::plain();
        for lines in bodies {
            let mut body = lines.join("\n");
            if open {
                body.push_str("\n# EOF\n");
            }
            let fresh = World::plain().read_as(body.as_bytes(), format);
            for _ in 0..2 {
                match (&fresh, world.read_as(body.as_bytes(), format)) {
                    (Ok((samples, reading)), Ok((with_memory, second))) => {
                        prop_assert_eq!(bits(samples), bits(&with_memory));
                        prop_assert_eq!(
                            (reading.scraped, reading.doubled, reading.bad, &reading.first_bad),
                            (second.scraped, second.doubled, second.bad, &second.first_bad)
                        );
                    }
                    (Err(nonsense), Err(second)) => prop_assert_eq!(nonsense, &second),
                    (fresh, second) => prop_assert!(false, "{:?} but {:?}", fresh, second),
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic_and_lines_agree_with_the_target(
        body in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b' '), Just(b'"'), Just(b'\\'), any::<u8>()], 0..200),
        open in any::<bool>()
    ) {
        let format = if open { Format::OpenMetrics } else { Format::Text };
        let samples = super::super::Lines::new(&body, format)
            .filter(|line| matches!(line, Ok(super::super::Entry::Sample(_))))
            .count();
        if let Ok((_, reading)) = World::plain().read_as(&body, format) {
            prop_assert_eq!(reading.scraped, samples);
        }
    }
}
