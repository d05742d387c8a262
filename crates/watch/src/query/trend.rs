//! Sums, means and lines through samples, with the compensation (Kahan's, as bettered by Neumaier) that Prometheus uses, so that results agree.

use super::window::count;
use crate::series::Sample;

/// A sum and what rounding took from it.
#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        let next = self.sum + value;
        self.lost += if self.sum.abs() >= value.abs() { (self.sum - next) + value } else { (value - next) + self.sum };
        self.sum = next;
    }

    fn total(self) -> f64 {
        self.sum + self.lost
    }
}

pub(super) fn sum(samples: &[Sample]) -> f64 {
    let mut sum = Sum::default();
    for sample in samples {
        sum.add(sample.value);
    }
    if sum.sum.is_infinite() { sum.sum } else { sum.total() }
}

/// Follows a mean so that it does not overflow, and keeps an infinite one.
pub(super) fn keeps_infinity(mean: f64, value: f64) -> bool {
    mean.is_infinite() && if value.is_infinite() { (mean > 0.0) == (value > 0.0) } else { !value.is_nan() }
}

pub(super) fn mean(samples: &[Sample]) -> f64 {
    let (mut mean, mut number) = (Sum::default(), 0.0);
    for sample in samples {
        number += 1.0;
        if keeps_infinity(mean.sum, sample.value) {
            continue;
        }
        mean.add(sample.value / number - mean.sum / number);
    }
    if mean.sum.is_infinite() { mean.sum } else { mean.total() }
}

pub(super) fn variance(samples: &[Sample]) -> f64 {
    let (mut mean, mut squares, mut number) = (Sum::default(), Sum::default(), 0.0);
    for sample in samples {
        number += 1.0;
        let delta = sample.value - mean.total();
        mean.add(delta / number);
        squares.add(delta * (sample.value - mean.total()));
    }
    squares.total() / number
}

/// Slope a second, and the value at `origin`, of the line with the least squares.
pub(super) fn line(samples: &[Sample], origin: i64) -> (f64, f64) {
    let initial = samples.first().map_or(f64::NAN, |sample| sample.value);
    let [mut times, mut values, mut products, mut squares] = [Sum::default(); 4];
    #[expect(clippy::float_cmp, reason = "a line is level only if all values are the same")]
    let level = samples.iter().all(|sample| sample.value == initial) || samples.len() == 1;
    if level {
        return if initial.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, initial) };
    }
    for sample in samples {
        #[expect(clippy::cast_precision_loss, reason = "spans of time stay far below 2^53 milliseconds")]
        let x = (sample.at - origin) as f64 / 1e3;
        times.add(x);
        values.add(sample.value);
        products.add(x * sample.value);
        squares.add(x * x);
    }
    let number = count(samples.len());
    let (x, y) = (times.total(), values.total());
    let slope = (products.total() - x * y / number) / (squares.total() - x * x / number);
    (slope, y / number - slope * x / number)
}
