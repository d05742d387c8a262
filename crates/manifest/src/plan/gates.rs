//! Limits of one's own for what is measured while a release takes over.

use serde::Serialize;

/// A query with what its value must keep to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gate {
    /// What it is called.
    pub name: String,
    /// PromQL, in which `$slot` and `$window` are filled in.
    pub query: String,
    /// The most that it may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Limit>,
    /// The least that it has to be; at least one of the two is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<Limit>,
}

/// A finite number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Limit(f64);

// What is finite is equal to itself.
impl Eq for Limit {}

impl Limit {
    /// `None` where it is not finite.
    pub fn new(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// `$slot` and `$window` of a query filled in.
pub fn fill_in(query: &str, slot: &str, seconds: u64) -> String {
    // A range has to have a length.
    query.replace("$slot", slot).replace("$window", &format!("{}s", seconds.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_and_window_are_filled_in() {
        let query = "max(rate(jobs_failed_total{slot=\"$slot\"}[$window])) # $other";
        assert_eq!(fill_in(query, "green", 130), "max(rate(jobs_failed_total{slot=\"green\"}[130s])) # $other");
        assert_eq!(fill_in("a[$window]", "green", 0), "a[1s]");
        assert_eq!((Limit::new(f64::NAN), Limit::new(0.5).map(Limit::get)), (None, Some(0.5)));
    }
}
