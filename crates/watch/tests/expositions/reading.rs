//! Expositions read twice: as scrapes read them, and in a second, simple way.

use mana_watch::exposition::{Clash, Format, Lines, Target};
use mana_watch::{Labels, Sample};

/// Everything a body says, read by a target that knows nothing.
pub(crate) fn read(body: &str, format: Format) -> Vec<(Labels, Sample)> {
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

/// That every line of the body is read, with the value that stands there.
pub(crate) fn check(program: &str, body: &str, format: Format) -> Vec<(Labels, Sample)> {
    // The value follows the labels, or the name.
    let expected: Vec<f64> = body
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let line = line.split_once(" # {").map_or(line, |(sample, _)| sample);
            let tail = line.rsplit_once('}').map_or_else(|| line.split_once(' ').expect("a value").1, |(_, tail)| tail);
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
    samples
}
