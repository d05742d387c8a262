//! The manifest's rules and objectives, as `mana_watch` has them. What is wrong with one is said when the manifest is read, and not in the night
//! in which it was to fire.

mod doubts;
mod gates;

use mana_manifest::plan::{self, Plan};
use mana_watch::alert::slo::{Good, Slo};
use mana_watch::alert::{Absence, DEFAULT_PATH, Role, Rule, Severity, Span, Template, builtin};
use mana_watch::query;

pub(crate) use doubts::doubt;
pub use doubts::{IDENTITIES, There, doubts};
pub use gates::gates;

/// All of them, besides those that everybody has.
///
/// # Errors
/// What is wrong with which, each in a line.
pub fn rules(plan: &Plan) -> Result<Vec<Rule>, Vec<String>> {
    let (mut rules, mut problems) = (Vec::new(), Vec::new());
    for alert in &plan.alerts {
        match rule(alert) {
            Ok(rule) if builtin::rules().iter().any(|other| other.name == rule.name) => {
                problems
                    .push(format!("alerts.{}: a rule that is built in has that name; choose another one", alert.name));
            }
            Ok(rule) => rules.push(rule),
            Err(why) => problems.push(format!("alerts.{}: {why}", alert.name)),
        }
    }
    for service in &plan.services {
        for objective in &service.objectives {
            let slo = Slo {
                service: service.name.clone(),
                good: objective.within.map_or(Good::Answered, |within| Good::Within(span(within))),
                objective: f64::from(objective.share) / 10_000.0,
                window: span(objective.window),
            };
            match slo.rules() {
                Ok(of_slo) => rules.extend(of_slo),
                Err(why) => problems.push(format!("services.{}.slo: {why}", service.name)),
            }
        }
    }
    if problems.is_empty() { Ok(rules) } else { Err(problems) }
}

fn rule(alert: &plan::Alert) -> Result<Rule, String> {
    // What it reads has to be understood; whether anybody gives it is seen once it is watched.
    query::metrics_of(&alert.expression).map_err(|error| error.to_string())?;
    let severity = Severity::ALL.into_iter().find(|severity| severity.as_str() == alert.severity);
    let rule = Rule {
        name: alert.name.clone(),
        expression: alert.expression.clone(),
        hold: span(alert.hold),
        keep_firing_for: span(alert.keep_firing_for),
        severity: severity.ok_or_else(|| format!("`{}` is not one of P1 to P4", alert.severity))?,
        summary: Template::try_from(alert.summary.clone()).map_err(|error| error.to_string())?,
        runbook: alert.runbook.clone(),
        subject: "service".to_owned(),
        group_by: alert.group_by.clone(),
        role: Role::default(),
        path: alert.path.clone().unwrap_or_else(|| DEFAULT_PATH.to_owned()),
        tell: alert.tell.clone(),
        no_data: Absence::default(),
    };
    rule.check().map_err(|problem| problem.to_string())?;
    Ok(rule)
}

fn span(time: std::time::Duration) -> Span {
    Span::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mana_manifest::{Facts, Manifest, Overrides};

    use super::*;

    const SHOP: &str =
        "name = \"shop\"\ndomain = \"shop.example\"\n[services.shop-backend]\ncommand = \"bin/shop\"\nport = 4001\n";

    fn of(more: &str) -> Result<Vec<Rule>, Vec<String>> {
        let manifest = Manifest::parse(Path::new("/srv/shop/mana.toml"), &format!("{SHOP}{more}")).expect("TOML");
        rules(&manifest.plan(&Overrides::default(), &Facts::assumed()).expect("a plan"))
    }

    #[test]
    fn rules_and_objectives_are_read_from_the_manifest() {
        let rules = of("[services.shop-backend.slo]\navailability = \"99.9%\"\nlatency = \"99%\"\n\
            [alerts.queue-long]\nexpression = \"max by (service) (jobs_waiting) > 1000\"\nfor = \"5m\"\nseverity = \"P2\"\n\
            summary = \"{{value}} jobs of {{service}} wait\"\n")
        .expect("rules");
        let own = &rules[0];
        assert_eq!((own.name.as_str(), own.hold, own.severity), ("queue-long", Span::from_mins(5), Severity::P2));
        assert!(
            rules.len() > 2 && rules[1..].iter().all(|rule| rule.expression.contains("shop-backend")),
            "{rules:#?}"
        );
    }

    #[test]
    fn a_gate_that_nothing_could_pass_is_named_with_its_reason() {
        let wrong = |query: &str, there: &[&str]| {
            let rollout = format!("rollout = {{ gates = {{ queue = {{ query = '{query}', max = 0.5 }} }} }}\n");
            let manifest =
                Manifest::parse(Path::new("/srv/shop/mana.toml"), &format!("{SHOP}{rollout}")).expect("TOML");
            let plan = manifest.plan(&Overrides::default(), &Facts::assumed()).expect("a plan");
            super::gates(&plan, &there.iter().map(|name| (*name).to_owned()).collect()).pop()
        };
        let there = ["up", "jobs_waiting"];
        for (query, there, why) in [
            (
                "max(jobs_waitin)",
                &there[..],
                Some("it reads jobs_waitin, which nothing gives; is jobs_waiting meant?"),
            ),
            (r#"max(rate(jobs_waiting{slot="$slot"}[$window]))"#, &there, None),
            ("max(jobs_waitin)", &[], None),
            ("max(mana_instances_reedy)", &[], Some("is mana_instances_ready meant?")),
            ("max(", &[], Some("")),
        ] {
            let found = wrong(query, there);
            match why {
                Some(why) => assert!(
                    found.as_deref().is_some_and(|text| {
                        text.starts_with("services.shop-backend.rollout.gates.queue: ") && text.contains(why)
                    }),
                    "{query}: {found:?}"
                ),
                None => assert_eq!(found, None, "{query}"),
            }
        }
    }

    #[test]
    fn a_gate_without_a_query_or_a_limit_is_no_gate() {
        for (gate, problem) in [
            ("{ max = 1 }", "query of the gate queue is missing"),
            ("{ query = \"up\" }", "the gate queue has no limit"),
            ("{ query = \"up\", max = 1, min = 2 }", "the gate queue has a max of 1 and a min of 2"),
            ("{ query = \"up\", max = nan }", "max"),
            ("{ query = \"up\", max = \"1\" }", "max"),
        ] {
            let text = format!("{SHOP}rollout = {{ gates = {{ queue = {gate} }} }}\n");
            let manifest = Manifest::parse(Path::new("/srv/shop/mana.toml"), &text);
            let plan = manifest.and_then(|manifest| manifest.plan(&Overrides::default(), &Facts::assumed()));
            let problems = plan.expect_err("wrong");
            assert!(problems.list().iter().any(|found| found.message.contains(problem)), "{gate}: {problems}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said_by_its_name() {
        let alert = |expression: &str, summary: &str| {
            of(&format!("[alerts.bad]\nexpression = \"{expression}\"\nseverity = \"P2\"\nsummary = \"{summary}\"\n"))
                .expect_err("wrong")
                .remove(0)
        };
        for (expression, summary, part) in [
            ("sum(", "x", "alerts.bad: "),
            ("up == 0", "{{value", "alerts.bad: "),
            ("count_values(\\\"a\\\", up)", "x", "count_values"),
        ] {
            let problem = alert(expression, summary);
            assert!(problem.starts_with("alerts.bad: ") && problem.contains(part), "{problem}");
        }
        let problem = of("[services.shop-backend.slo]\navailability = \"10%\"\n").expect_err("too little").remove(0);
        assert!(problem.starts_with("services.shop-backend.slo: "), "{problem}");
    }
}
