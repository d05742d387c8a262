//! The manifest's rules and objectives, as `mana_watch` has them. What is wrong with one is said when the manifest is read, and not in the night
//! in which it was to fire.

mod doubts;
mod gates;

use mana_manifest::plan::{self, Plan};
use mana_watch::alert::slo::{Good, Slo};
use mana_watch::alert::{DEFAULT_PATH, Rule, Severity, Span, Template, builtin};
use mana_watch::query;

pub(crate) use doubts::doubt;
pub use doubts::{IDENTITIES, There, doubts};
pub use gates::gates;

/// All of them, besides those that everybody has. One that is called like such a rule takes its place: see [`all`].
///
/// # Errors
/// What is wrong with which, each in a line.
pub fn rules(plan: &Plan) -> Result<Vec<Rule>, Vec<String>> {
    let (mut rules, mut problems) = (Vec::new(), Vec::new());
    for alert in &plan.alerts {
        match rule(alert) {
            Ok(rule) => rules.push(rule),
            Err(why) => problems.push(format!("alerts.{}: {why}", alert.name)),
        }
    }
    for slo in objectives(plan) {
        match slo.rules() {
            Ok(of_slo) => rules.extend(of_slo),
            Err(why) => problems.push(format!("services.{}.slo: {why}", slo.service)),
        }
    }
    if problems.is_empty() { Ok(rules) } else { Err(problems) }
}

/// Those that everybody has and the manifest's, each name once: the manifest's comes in place of a built-in one.
#[must_use]
pub fn all(own: &[Rule]) -> Vec<Rule> {
    let is_replaced = |rule: &&Rule| own.iter().any(|other| other.name == rule.name);
    builtin::rules().iter().filter(|rule| !is_replaced(rule)).chain(own).cloned().collect()
}

/// What services promise, by the manifest.
#[must_use]
pub fn objectives(plan: &Plan) -> Vec<Slo> {
    let of_service = |service: &plan::Service| {
        let slo = |objective: &plan::Objective| Slo {
            service: service.name.clone(),
            good: objective.within.map_or(Good::Answered, |within| Good::Within(span(within))),
            objective: f64::from(objective.share) / 10_000.0,
            window: span(objective.window),
        };
        service.objectives.iter().map(slo).collect::<Vec<_>>()
    };
    plan.services.iter().flat_map(of_service).collect()
}

fn rule(alert: &plan::Alert) -> Result<Rule, String> {
    let replaced = builtin::rules().iter().find(|other| other.name == alert.name);
    if replaced.is_none() && alert.name.starts_with(|first: char| first.is_ascii_uppercase()) {
        return Err(
            "no rule that is built in has that name (`mana alerts rules`); one's own begin with a small letter"
                .to_owned(),
        );
    }
    // What it reads has to be understood; whether anybody gives it is seen once it is watched.
    query::metrics_of(&alert.expression).map_err(|error| error.to_string())?;
    let severity = Severity::ALL.into_iter().find(|severity| severity.as_str() == alert.severity);
    // Of a rule that is built in, what the manifest has no key for or leaves out stays: what it is about, and what it means for others.
    let kept = |list: &Vec<String>, of: fn(&Rule) -> &Vec<String>| match replaced {
        Some(replaced) if list.is_empty() => of(replaced).clone(),
        _ => list.clone(),
    };
    let rule = Rule {
        name: alert.name.clone(),
        expression: alert.expression.clone(),
        hold: span(alert.hold),
        keep_firing_for: span(alert.keep_firing_for),
        severity: severity.ok_or_else(|| format!("`{}` is not one of P1 to P4", alert.severity))?,
        summary: Template::try_from(alert.summary.clone()).map_err(|error| error.to_string())?,
        runbook: alert.runbook.clone().or_else(|| replaced?.runbook.clone()),
        subject: replaced.map_or("service", |rule| rule.subject.as_str()).to_owned(),
        group_by: kept(&alert.group_by, |rule| &rule.group_by),
        role: replaced.map(|rule| rule.role).unwrap_or_default(),
        path: alert.path.clone().unwrap_or_else(|| replaced.map_or(DEFAULT_PATH, |rule| rule.path.as_str()).to_owned()),
        tell: kept(&alert.tell, |rule| &rule.tell),
        no_data: replaced.map(|rule| rule.no_data).unwrap_or_default(),
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
    fn a_rule_that_is_called_like_a_built_in_one_takes_its_place() {
        let own = of(
            "[alerts.DatabaseDown]\nexpression = \"max by (server) (pg_up) == 0\"\nfor = \"5m\"\nseverity = \"P2\"\n\
            summary = \"{{server}} is away\"\n",
        )
        .expect("rules");
        let rules = all(&own);
        assert_eq!(rules.len(), builtin::rules().len());
        let named: Vec<&Rule> = rules.iter().filter(|rule| rule.name == "DatabaseDown").collect();
        let before = builtin::rules().iter().find(|rule| rule.name == "DatabaseDown").expect("built in");
        let [rule] = named[..] else { panic!("once: {named:#?}") };
        assert_eq!((rule.hold, rule.severity), (Span::from_mins(5), Severity::P2));
        // What it means for others does not change with its limits.
        let rest = |rule: &Rule| (rule.subject.clone(), rule.role, rule.path.clone(), rule.no_data);
        assert_eq!(rest(rule), rest(before));
        assert_eq!(before.subject, "server");
        let problem = of("[alerts.DatabaseDwn]\nexpression = \"pg_up == 0\"\nseverity = \"P2\"\nsummary = \"x\"\n")
            .expect_err("misspelt")
            .remove(0);
        assert!(problem.starts_with("alerts.DatabaseDwn: no rule that is built in has that name"), "{problem}");
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
            ("max(jobs_waitin)", &there[..], Some("it reads jobs_waitin, which nothing gives; is jobs_waiting meant?")),
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
