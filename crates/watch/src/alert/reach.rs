//! Whether a rule can fire at all: one that reads what nobody gives is silent for ever, and looks like all is well.

use std::collections::BTreeSet;

use super::rule::Rule;

/// How alike a name has to be to be what was meant.
const ALIKE: f64 = 0.85;

/// A rule reads series that nobody gives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule \"{rule}\" {} fire: {}", if *.never { "can never" } else { "may never" }, reasons(.missing))]
pub struct CannotFire {
    /// Which rule.
    pub rule: String,
    /// Nothing of what it reads is there.
    pub never: bool,
    /// Each name that nobody gives, with what may have been meant.
    pub missing: Vec<(String, Option<String>)>,
}

fn reasons(missing: &[(String, Option<String>)]) -> String {
    let reason = |(name, meant): &(String, Option<String>)| {
        let meant = meant.as_ref().map_or_else(String::new, |meant| format!("; is {meant} meant?"));
        format!("it reads {name}, which nothing gives{meant}")
    };
    missing.iter().map(reason).collect::<Vec<_>>().join(", and ")
}

/// Compares the metrics that a rule reads, as whoever evaluates it says, with those that are known. A rule that reads none
/// (`vector(1)`) can fire.
pub fn can_fire(rule: &Rule, reads: &BTreeSet<String>, known: &BTreeSet<String>) -> Result<(), CannotFire> {
    let missing: Vec<(String, Option<String>)> =
        reads.difference(known).map(|name| (name.clone(), meant(name, known))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(CannotFire { rule: rule.name.clone(), never: missing.len() == reads.len(), missing })
}

/// Which of the known names may have been meant by one that is unknown.
pub fn meant(name: &str, known: &BTreeSet<String>) -> Option<String> {
    let likeness = known.iter().map(|known| (strsim::normalized_damerau_levenshtein(name, known), known));
    let (likeness, nearest) = likeness.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (likeness >= ALIKE).then(|| nearest.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::builtin;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_rule_that_reads_what_nobody_gives_says_so() {
        let rule = &builtin::rules()[0];
        let known = names(&["up", "mana_instances_ready", "http_requests_total"]);
        assert_eq!(can_fire(rule, &names(&["up"]), &known), Ok(()));
        assert_eq!(can_fire(rule, &names(&[]), &known), Ok(()));
        for (reads, expected) in [
            (
                names(&["http_request_total"]),
                "rule \"ServiceDown\" can never fire: it reads http_request_total, which nothing gives; is http_requests_total meant?",
            ),
            (names(&["up", "down"]), "rule \"ServiceDown\" may never fire: it reads down, which nothing gives"),
            (
                names(&["a", "b"]),
                "rule \"ServiceDown\" can never fire: it reads a, which nothing gives, and it reads b, which nothing gives",
            ),
        ] {
            assert_eq!(can_fire(rule, &reads, &known).unwrap_err().to_string(), expected);
        }
        assert!(can_fire(rule, &names(&["up"]), &BTreeSet::new()).is_err());
    }
}
