//! Which rules can never fire: by a comparison that cannot be true, a name that nothing gives, or a label that says of whom a series is and is
//! nobody's.

use std::collections::{BTreeMap, BTreeSet};

use mana_manifest::plan::Plan;
use mana_watch::alert::{Rule, builtin, can_fire, meant};
use mana_watch::query;
use mana_watch::series::{Matcher, NAME, Test};

use super::rules;
use crate::desired::EDGE;
use crate::slot::Slot;

/// Labels that say of whom a series is. Of others no value can be told to be wrong: a status of 500 may come with the first error.
pub const IDENTITIES: [&str; 3] = [SERVICE, INSTANCE, "job"];
const SERVICE: &str = "service";
const INSTANCE: &str = "instance";
/// So many values are listed where none of them can be what was meant.
const MOST_LISTED: usize = 10;

/// What there is to be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct There {
    /// Names of all series that are stored; empty where nothing was measured yet.
    pub names: BTreeSet<String>,
    /// Values that these have, of each of the [`IDENTITIES`].
    pub identities: BTreeMap<String, BTreeSet<String>>,
    /// The manifest's services.
    pub services: BTreeSet<String>,
}

/// What can never fire of the manifest's own rules, with its reason. Where nothing was measured yet, only names of our own and services are known
/// to be wrong.
pub fn doubts(plan: &Plan, mut there: There) -> Vec<String> {
    there.services.extend(plan.services.iter().map(|service| service.name.clone()));
    let rules = rules(plan).unwrap_or_default();
    let own = rules.iter().filter(|rule| plan.alerts.iter().any(|alert| alert.name == rule.name));
    own.filter_map(|rule| Some(format!("alerts.{}: {}", rule.name, doubt(rule, &there)?))).collect()
}

/// Why a rule can never fire.
pub(crate) fn doubt(rule: &Rule, there: &There) -> Option<String> {
    match query::never_true(&rule.expression) {
        Ok(None) => {}
        Ok(Some(why)) => return Some(format!("rule \"{}\" can never fire: {why}", rule.name)),
        // Said elsewhere.
        Err(_) => return None,
    }
    let reads = query::metrics_of(&rule.expression).ok()?;
    let reads: Vec<&[Matcher]> =
        reads.iter().filter(|read| !read.may_be_missing).map(|read| read.matchers.as_slice()).collect();
    let named: BTreeSet<String> = reads.iter().filter_map(|matchers| name(matchers)).collect();
    let known = known(&named, &there.names);
    // Where one series is enough, as of `a or b`, the other may be missing.
    let is_named = |matchers: &[Matcher]| name(matchers).is_none_or(|name| known.contains(&name));
    let exists = |matchers: &[Matcher]| is_named(matchers) && nobodys(matchers, there).is_none();
    if query::never_fires(&rule.expression, exists).ok()?.is_empty() {
        return None;
    }
    if let Err(why) = can_fire(rule, &named, &known) {
        return Some(why.to_string());
    }
    let (label, value) = reads.iter().find_map(|matchers| nobodys(matchers, there))?;
    Some(format!("rule \"{}\" can never fire: no series has {label}={value:?}{}", rule.name, there.hint(label, value)))
}

/// The names without which nothing comes of an expression.
pub(super) fn needed(reads: &[query::Read]) -> BTreeSet<String> {
    reads.iter().filter(|read| !read.may_be_missing).filter_map(|read| name(&read.matchers)).collect()
}

/// All names that are known to be given, and those of `named` that may be.
pub(super) fn known(named: &BTreeSet<String>, there: &BTreeSet<String>) -> BTreeSet<String> {
    let given = |name: &&String| builtin::is_given(name) || (there.is_empty() && !builtin::is_ours(name));
    let known = there.iter().cloned().chain(builtin::names().map(str::to_owned));
    known.chain(named.iter().filter(given).cloned()).collect()
}

/// The name that series have to have.
fn name(matchers: &[Matcher]) -> Option<String> {
    matchers.iter().find_map(|matcher| match &matcher.test {
        Test::Equal(name) if matcher.label == NAME => Some(name.clone()),
        _ => None,
    })
}

/// A label, and its value, that no series has.
fn nobodys<'m>(matchers: &'m [Matcher], there: &There) -> Option<(&'m str, &'m str)> {
    matchers.iter().find_map(|matcher| match &matcher.test {
        // Without the label it reads as empty.
        Test::Equal(value) if !value.is_empty() && !there.may_have(&matcher.label, value) => {
            Some((matcher.label.as_str(), value.as_str()))
        }
        _ => None,
    })
}

impl There {
    fn may_have(&self, label: &str, value: &str) -> bool {
        let is_stored = || self.identities.get(label).is_some_and(|values| values.contains(value));
        match label {
            SERVICE => value == EDGE || self.services.contains(value) || is_stored(),
            INSTANCE => value == EDGE || is_place(value) || is_stored(),
            // Nothing of ours has others, so what is stored says all there is.
            other => !IDENTITIES.contains(&other) || self.names.is_empty() || is_stored(),
        }
    }

    /// What may have been meant.
    fn hint(&self, label: &str, value: &str) -> String {
        let mut all: BTreeSet<String> = self.identities.get(label).cloned().unwrap_or_default();
        if label == SERVICE {
            all.extend(self.services.iter().cloned().chain([EDGE.to_owned()]));
        }
        match meant(value, &all) {
            Some(meant) => format!("; is {meant} meant?"),
            None if label == SERVICE && all.len() <= MOST_LISTED => {
                format!("; there are {}", all.into_iter().collect::<Vec<_>>().join(", "))
            }
            // Prometheus' habit: here it is the service.
            None if label != INSTANCE => "; `service` says of whom a series is".to_owned(),
            None => "; they are called like blue-1 and green-2".to_owned(),
        }
    }
}

/// Whether an instance may be called so: `blue-1`.
fn is_place(value: &str) -> bool {
    let number = |(slot, number): (&str, &str)| {
        Slot::ALL.iter().any(|known| known.as_str() == slot) && number.parse::<u16>().is_ok_and(|number| number > 0)
    };
    value.split_once('-').is_some_and(number)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mana_manifest::{Facts, Manifest, Overrides};

    use super::*;

    const SHOP: &str = "name = \"shop\"\ndomain = \"shop.example\"\n\
        [services.shop-backend]\ncommand = \"bin/shop\"\nport = 4001\n\
        [services.chat-backend]\ncommand = \"bin/chat\"\nport = 4002\n";

    fn set(values: &[&str]) -> BTreeSet<String> {
        values.iter().map(|&value| value.to_owned()).collect()
    }

    fn doubts_of(expression: &str, names: &[&str]) -> Option<String> {
        let expression = expression.replace('"', "\\\"");
        let more = format!("[alerts.odd]\nexpression = \"{expression}\"\nseverity = \"P2\"\nsummary = \"x\"\n");
        let manifest = Manifest::parse(Path::new("/srv/shop/mana.toml"), &format!("{SHOP}{more}")).expect("TOML");
        let plan = manifest.plan(&Overrides::default(), &Facts::assumed()).expect("a plan");
        let identities = if names.is_empty() {
            BTreeMap::new()
        } else {
            [(SERVICE.to_owned(), set(&["chat-backend", "lately-gone"])), (INSTANCE.to_owned(), set(&["blue-1"]))]
                .into()
        };
        doubts(&plan, There { names: set(names), identities, services: BTreeSet::new() }).pop()
    }

    fn check(expression: &str, names: &[&str], why: Option<&str>) {
        let found = doubts_of(expression, names);
        match why {
            Some(why) => assert!(
                found
                    .as_deref()
                    .is_some_and(|text| text.starts_with("alerts.odd: rule \"odd\" ") && text.contains(why)),
                "{expression}: {found:?}"
            ),
            None => assert_eq!(found, None, "{expression}"),
        }
    }

    #[test]
    fn a_rule_that_can_never_fire_is_named_with_its_reason() {
        let there = ["up", "jobs_waiting"];
        for (expression, there, why) in [
            ("jobs_waitin > 5", &there[..], Some("reads jobs_waitin, which nothing gives; is jobs_waiting meant?")),
            ("jobs_waiting > 5", &there, None),
            ("jobs_waitin > 5", &[], None),
            (
                "mana_instances_reedy < 1",
                &[],
                Some("reads mana_instances_reedy, which nothing gives; is mana_instances_ready meant?"),
            ),
            ("mana_instances_ready < 1", &[], None),
            ("node_load1 > 5 or jobs_waitin > 5", &there, None),
            ("absent(jobs_waitin)", &there, None),
            ("up > 1", &[], Some("can never fire: (a value from 0 to 1) > 1 can never be true")),
        ] {
            check(expression, there, why);
        }
    }

    #[test]
    fn a_rule_about_nobody_is_named_with_whom_it_may_have_meant() {
        let there = ["up", "jobs_waiting"];
        let chta = "no series has service=\"chta\"; there are chat-backend, edge";
        for (expression, there, why) in [
            (r#"up{service="chta"} == 0"#, &there[..], Some(chta)),
            (r#"up{service="chta"} == 0"#, &[], Some(chta)),
            (r#"up{service="shop-backed"} == 0"#, &[], Some("service=\"shop-backed\"; is shop-backend meant?")),
            (r#"jobs_waiting{job="chat"} > 5"#, &there, Some("job=\"chat\"; `service` says of whom")),
            (r#"jobs_waiting{job="chat"} > 5"#, &[], None),
            (r#"up{instance="10.0.0.5:9090"} == 0"#, &there, Some("; they are called like blue-1")),
            (r#"up{service="chat-backend", instance="green-2"} == 0"#, &there, None),
            (r#"up{service="edge"} == 0"#, &[], None),
            (r#"up{service="lately-gone"} == 0"#, &there, None),
            (r#"up{service!="chta"} == 0"#, &there, None),
            (r#"up{service=~"chta|x"} == 0"#, &there, None),
            (r#"up{service=""} == 0"#, &there, None),
            (r#"absent(up{service="chta"})"#, &there, None),
            (r#"up{service="chta"} == 0 or up{service="chat-backend"} == 0"#, &there, None),
            (r#"up unless up{service="chta"}"#, &there, None),
            (r#"jobs_waiting{status="500"} > 1"#, &there, None),
        ] {
            check(expression, there, why);
        }
    }
}
