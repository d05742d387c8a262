//! One value of what is stored, for whoever decides by it. What is not there is no value, and why is said.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mana_watch::query::{self, Answer, Limits};
use mana_watch::series::NAME;

use super::Watching;
use super::alerts::DOUBT_LOOKBACK_MS;
use super::rounds::now_ms;

/// Longest time for it.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What was measured last longer ago than this is not how things are: six rounds of measuring were missed.
const LOOKBACK_MS: i64 = 60_000;

impl Watching {
    /// The one value that a query gives now.
    pub(crate) async fn one(&self, text: String) -> Result<f64, String> {
        let reader = self.reader().cloned().ok_or("the stored series are not open yet")?;
        let asked = tokio::task::spawn_blocking(move || {
            let until = Instant::now() + TIMEOUT;
            let stop = || Instant::now() >= until;
            let limits = Limits { lookback_ms: LOOKBACK_MS, stop: Some(&stop), ..Limits::default() };
            query::query(&reader, &text, now_ms(), &limits).map_err(|error| error.to_string())
        });
        asked.await.map_err(|error| error.to_string())?.and_then(value)
    }

    /// The names of all that was measured lately; empty where that cannot be told.
    pub(crate) async fn names(&self) -> BTreeSet<String> {
        let Some(reader) = self.reader().cloned() else { return BTreeSet::new() };
        let now = now_ms();
        let names = tokio::task::spawn_blocking(move || reader.label_values(NAME, &[], now - DOUBT_LOOKBACK_MS, now));
        names.await.ok().and_then(Result::ok).into_iter().flatten().collect()
    }
}

fn value(answer: Answer) -> Result<f64, String> {
    let value = match answer {
        Answer::Scalar { value, .. } => value,
        Answer::Vector { elements, .. } => match elements.as_slice() {
            [] => return Err("nothing was measured of what it reads".to_owned()),
            [(_, value)] => *value,
            several => return Err(format!("it gives {} values; make one of them, as max(…) does", several.len())),
        },
        Answer::Text { .. } | Answer::Matrix(_) => return Err("it gives no number".to_owned()),
    };
    if value.is_finite() { Ok(value) } else { Err(format!("its value is {value}")) }
}

#[cfg(test)]
mod tests {
    use mana_watch::series::Labels;

    use super::*;

    #[test]
    fn only_one_finite_number_is_a_value() {
        let vector = |values: &[f64]| {
            value(Answer::Vector { at: 0, elements: values.iter().map(|value| (Labels::default(), *value)).collect() })
        };
        assert_eq!(vector(&[0.5]), Ok(0.5));
        assert_eq!(value(Answer::Scalar { at: 0, value: 2.0 }), Ok(2.0));
        for (found, why) in [
            (vector(&[]), "nothing was measured"),
            (vector(&[1.0, 2.0]), "2 values"),
            (vector(&[f64::NAN]), "NaN"),
            (value(Answer::Text { at: 0, text: "1".into() }), "no number"),
            (value(Answer::Matrix(Vec::new())), "no number"),
        ] {
            assert!(found.as_ref().is_err_and(|said| said.contains(why)), "{found:?}");
        }
    }
}
