//! Objectives: how much may go wrong in a month, how much of that is left, and the rules that say when it is spent too fast.
//!
//! The rules are those of Google's SRE workbook ("Alerting on SLOs", multiwindow, multi-burn-rate): a share of the budget that is spent
//! within a long window, and still being spent in a short one, so that an alert is over soon after what it is about.

use serde::{Deserialize, Serialize};

use super::rule::{Absence, DEFAULT_PATH, MAX_NAME, Role, Rule, Severity};
use super::span::Span;
use super::template::{NoTemplate, Template};

/// An objective has to leave something: nobody is up for 100 %.
const BEST: f64 = 0.99999;
/// Below half it is no objective.
const WORST: f64 = 0.5;
/// Windows that make sense: less does not hold the three days of the slowest rule, more is not kept.
const WINDOWS: (Span, Span) = (Span::from_days(7), Span::from_days(90));
/// So many have to have failed within the long window: where there are few requests, one failure is no emergency.
pub const FEWEST_BAD: u32 = 5;
/// The edge's histograms show borders of four an octave, from 2^-12 s to 2^6 s.
const BORDERS: (f64, f64) = (0.000_244_140_625, 64.0);

/// What share of requests has to go well, over what time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slo {
    /// Of which service.
    pub service: String,
    /// What well means.
    pub good: Good,
    /// Which share has to, from 0 to 1.
    pub objective: f64,
    /// Over what time.
    #[serde(default = "month")]
    pub window: Span,
}

/// When a request went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Good {
    /// It did not end in a 5xx.
    Answered,
    /// It was answered within this time: a border of the edge's histogram, such as 250 ms, 500 ms or 1 s.
    Within(Span),
}

/// Why an objective is not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoSlo {
    /// It is about nothing that routes are named by.
    #[error("\"{0}\" cannot be the name of a service: letters, digits, - and _, at most {MAX_NAME}")]
    Service(String),
    /// More or less than can be promised.
    #[error("the objective of {service} is {objective}: it has to be from 50% to 99.999%, as 0.5 to 0.99999")]
    Objective {
        /// Of which service.
        service: String,
        /// What it says.
        objective: f64,
    },
    /// Too short or too long a time.
    #[error("the objective of {service} is over {window}: it has to be over 7 to 90 days")]
    Window {
        /// Of which service.
        service: String,
        /// What it says.
        window: Span,
    },
    /// Nothing counts how many were quicker than that.
    #[error(
        "nothing counts the requests to {service} that are answered within {within}: {below} or {above} can be told"
    )]
    Within {
        /// Of which service.
        service: String,
        /// What it says.
        within: Span,
        /// The next border below it.
        below: String,
        /// The next border above it.
        above: String,
    },
    /// Its summary is none.
    #[error(transparent)]
    Summary(#[from] NoTemplate),
}

/// How much of what may go wrong has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Requests that may go wrong in what there were.
    pub allowed: f64,
    /// Those that did.
    pub spent: f64,
    /// The share that is left: 1 where nothing went wrong, 0 where as much did as may, less than 0 where more did.
    pub left: f64,
}

/// One speed at which the budget is spent too fast.
struct Burn {
    name: &'static str,
    /// The share of the budget that is spent.
    share: f64,
    long: Span,
    short: Span,
    severity: Severity,
}

/// 14.4, 6 and 1 times what lasts for a month of 30 days.
const BURNS: [Burn; 3] = [
    Burn { name: "Fast", share: 0.02, long: Span::from_hours(1), short: Span::from_mins(5), severity: Severity::P1 },
    Burn { name: "Steady", share: 0.05, long: Span::from_hours(6), short: Span::from_mins(30), severity: Severity::P2 },
    Burn { name: "Slow", share: 0.1, long: Span::from_days(3), short: Span::from_hours(6), severity: Severity::P3 },
];

fn month() -> Span {
    Span::from_days(30)
}

impl Slo {
    /// Looks at what was promised.
    pub fn check(&self) -> Result<(), NoSlo> {
        let service = || self.service.chars().take(MAX_NAME).collect::<String>();
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if self.service.is_empty() || self.service.len() > MAX_NAME || !self.service.bytes().all(is_name) {
            return Err(NoSlo::Service(service()));
        }
        if !(WORST..=BEST).contains(&self.objective) {
            return Err(NoSlo::Objective { service: service(), objective: self.objective });
        }
        if self.window < WINDOWS.0 || self.window > WINDOWS.1 {
            return Err(NoSlo::Window { service: service(), window: self.window });
        }
        if let Good::Within(within) = self.good {
            let (below, above) = borders(seconds(within));
            if below < above {
                let (below, above) = (format!("{below} s"), format!("{above} s"));
                return Err(NoSlo::Within { service: service(), within, below, above });
            }
        }
        Ok(())
    }

    /// The expression that counts, over a time, what went wrong.
    pub fn bad(&self, over: Span) -> String {
        let all = self.all(over);
        match self.good {
            Good::Answered => self.sum("mana_edge_requests_total", r#",class="5xx""#, over),
            Good::Within(within) => {
                let border = seconds(within);
                format!(
                    "({all} - {})",
                    self.sum("mana_edge_request_seconds_bucket", &format!(r#",le="{border}""#), over)
                )
            }
        }
    }

    /// The expression that counts, over a time, everything.
    pub fn all(&self, over: Span) -> String {
        match self.good {
            Good::Answered => self.sum("mana_edge_requests_total", "", over),
            Good::Within(_) => self.sum("mana_edge_request_seconds_count", "", over),
        }
    }

    fn sum(&self, metric: &str, more: &str, over: Span) -> String {
        // Neither letter of a name has a meaning in an expression.
        format!(r#"sum(increase({metric}{{route=~"{}(/.*)?"{more}}}[{over}]))"#, self.service)
    }

    /// What is left of the budget, where so many of all went wrong within the window.
    pub fn budget(&self, bad: f64, all: f64) -> Budget {
        let allowed = (1.0 - self.objective) * all.max(0.0);
        let left = if allowed > 0.0 { 1.0 - bad / allowed } else { 1.0 };
        Budget { allowed, spent: bad, left }
    }

    /// The rules that say that the budget is spent too fast.
    pub fn rules(&self) -> Result<Vec<Rule>, NoSlo> {
        self.check()?;
        BURNS.iter().map(|burn| self.rule(burn)).collect()
    }

    fn rule(&self, burn: &Burn) -> Result<Rule, NoSlo> {
        let what = match self.good {
            Good::Answered => "Answers",
            Good::Within(_) => "Latency",
        };
        #[expect(clippy::cast_precision_loss, reason = "spans of days")]
        let factor = burn.share * (self.window.millis() as f64 / burn.long.millis() as f64);
        let limit = factor * (1.0 - self.objective);
        let (long, short) = (burn.long, burn.short);
        let share = |over| format!("{} / {}", self.bad(over), self.all(over));
        let expression = format!(
            "label_replace({} > {limit:.8} and {} > {limit:.8} and {} >= {FEWEST_BAD}, \"service\", \"{}\", \"service\", \"\")",
            share(long),
            share(short),
            self.bad(long),
            self.service,
        );
        let went = match self.good {
            Good::Answered => "fail".to_owned(),
            Good::Within(within) => format!("take longer than {}", within.spoken()),
        };
        let summary = format!(
            "{{{{value|percent}}}} of the requests to {{{{service}}}} {went}, {} times what its objective of {}% bears: in {} that spends \
             {}% of what may go wrong in {}",
            short_number(factor),
            short_number(self.objective * 100.0),
            long.spoken(),
            short_number(burn.share * 100.0),
            self.window.spoken(),
        );
        Ok(Rule {
            name: format!("Budget{}{what} {}", burn.name, self.service),
            expression,
            hold: Span::ZERO,
            keep_firing_for: burn.short,
            severity: burn.severity,
            summary: Template::parse(&summary)?,
            runbook: None,
            subject: "service".to_owned(),
            group_by: vec!["service".to_owned()],
            role: Role::Symptom,
            path: DEFAULT_PATH.to_owned(),
            tell: Vec::new(),
            // A service that nobody calls keeps its budget.
            no_data: Absence::Shown,
        })
    }
}

fn seconds(span: Span) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "spans of minutes")]
    let millis = span.millis() as f64;
    millis / 1_000.0
}

/// The borders around a time: the same twice where it is one.
fn borders(seconds: f64) -> (f64, f64) {
    if seconds <= BORDERS.0 || seconds >= BORDERS.1 {
        let border = seconds.clamp(BORDERS.0, BORDERS.1);
        return if (border - seconds).abs() < f64::EPSILON { (border, border) } else { (BORDERS.0, BORDERS.1) };
    }
    let step = 2_f64.powf(seconds.log2().floor()) / 4.0;
    ((seconds / step).floor() * step, (seconds / step).ceil() * step)
}

fn short_number(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered() -> Slo {
        Slo { service: "chat-backend".into(), good: Good::Answered, objective: 0.999, window: month() }
    }

    #[test]
    fn two_lines_are_an_objective() {
        let slo: Slo = toml::from_str("service = \"chat\"\ngood = \"answered\"\nobjective = 0.999").unwrap();
        assert_eq!((slo.window, slo.good), (month(), Good::Answered));
        let slo: Slo = toml::from_str("service = \"chat\"\ngood = { within = \"500ms\" }\nobjective = 0.99").unwrap();
        assert_eq!(slo.good, Good::Within(Span::from_millis(500)));
    }

    #[test]
    fn the_rules_are_those_of_the_workbook() {
        let text = |slo: &Slo| {
            let line = |rule: &Rule| {
                rule.check().unwrap();
                let summary = String::from(rule.summary.clone());
                format!(
                    "{} {} {}\n{}\n{summary}",
                    rule.severity.as_str(),
                    rule.name,
                    rule.keep_firing_for,
                    rule.expression
                )
            };
            slo.rules().unwrap().iter().map(line).collect::<Vec<_>>().join("\n\n")
        };
        let latency = Slo {
            good: Good::Within(Span::from_millis(500)),
            objective: 0.95,
            window: Span::from_days(7),
            ..answered()
        };
        insta::assert_snapshot!(format!("{}\n\n{}", text(&answered()), text(&latency)));
    }

    #[test]
    fn the_budget_is_what_may_go_wrong_less_what_did() {
        for (bad, all, left) in
            [(0.0, 1e6, 1.0), (500.0, 1e6, 0.5), (1_000.0, 1e6, 0.0), (2_000.0, 1e6, -1.0), (0.0, 0.0, 1.0)]
        {
            assert!((answered().budget(bad, all).left - left).abs() < 1e-9, "{bad} of {all}");
        }
    }

    #[test]
    fn what_cannot_be_promised_is_refused() {
        for (slo, problem) in [
            (Slo { objective: 1.0, ..answered() }, "from 50% to 99.999%"),
            (Slo { objective: f64::NAN, ..answered() }, "from 50% to 99.999%"),
            (Slo { window: Span::from_days(1), ..answered() }, "7 to 90 days"),
            (Slo { service: "a\"b".into(), ..answered() }, "cannot be the name"),
            (Slo { good: Good::Within(Span::from_millis(300)), ..answered() }, "0.25 s or 0.3125 s can be told"),
            (Slo { good: Good::Within(Span::from_hours(1)), ..answered() }, "64 s can be told"),
        ] {
            let error = slo.rules().unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
        for millis in [250, 500, 625, 750, 875, 1_000, 2_500, 64_000] {
            Slo { good: Good::Within(Span::from_millis(millis)), ..answered() }.check().unwrap();
        }
    }
}
