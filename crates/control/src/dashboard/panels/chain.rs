//! Whether the audit log is as it was written: its chain of hashes is walked now and then, and how far is said.

use std::time::Duration;

use askama::Template;
use serde_json::json;

use super::super::measured::now_ms;
use super::super::state::{Mark, State};
use super::super::{CHAIN_MS, Dashboard, units};
use super::{Table, Tabular};
use crate::api::AuditCheck;
use crate::clock;
use crate::server::Refused;
use crate::server::people::beside;

/// Links that are walked, the last ones: some tenths of a second. `mana audit --verify` walks all.
const MOST_LINKS: u64 = 100_000;

/// What was found when it was walked last.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    /// RFC 3339.
    at: String,
    /// The row that was believed, after which it began; 0: there was none before it. With what was found, or why nothing was.
    found: Result<(u64, AuditCheck), String>,
}

#[derive(Template)]
#[template(path = "dashboard/panels/chain.html")]
pub(super) struct Walked {
    chain: Chain,
}

impl Walked {
    fn mark(&self) -> Mark {
        match &self.chain.found {
            Err(_) => State::Unknown.mark("Not checked"),
            Ok((_, AuditCheck { broken: Some(_), .. })) => State::Critical.mark("Not as it was written"),
            Ok((_, AuditCheck { broken: None, .. })) => State::Healthy.mark("As it was written"),
        }
    }

    /// How far it was walked, and what is wrong.
    fn about(&self) -> String {
        let (believed, check) = match &self.chain.found {
            Err(why) => return why.clone(),
            Ok((believed, check)) => (*believed, check),
        };
        let rows = match (check.good - believed, believed) {
            (0, _) => "no row is as it was written".to_owned(),
            (_, 0) => format!("rows 1 to {} are as they were written", check.good),
            (_, believed) => format!(
                "rows {} to {} are as they were written; those before were not looked at",
                believed + 1,
                check.good
            ),
        };
        match &check.broken {
            None if check.good == 0 => "nothing was written yet".to_owned(),
            None => rows,
            Some(broken) => format!("row {}: {}; {rows}", broken.number, broken.why),
        }
    }

    /// What the last good row hashes to.
    fn head(&self) -> Option<&str> {
        self.chain.found.as_ref().ok().map(|(_, check)| check.head.as_str())
    }

    fn minute(&self) -> String {
        units::minute(&self.chain.at)
    }

    fn every() -> String {
        units::duration(Duration::from_millis(CHAIN_MS.unsigned_abs()))
    }
}

pub(super) async fn look(dashboard: &Dashboard) -> Walked {
    let walk = async {
        let found = beside(&dashboard.app, |store| store.check_last_audited(MOST_LINKS)).await;
        let found = found.map_err(|Refused(problem)| format!("{}: {}", problem.title, problem.detail));
        Chain { at: clock::timestamp().to_string(), found }
    };
    Walked { chain: dashboard.chain.get((), now_ms(), walk).await }
}

impl Tabular for Walked {
    fn table(&self) -> Table {
        let mut table = Table::new(&["checked_at", "state", "about", "sha256"]);
        table.row([json!(self.chain.at), json!(self.mark().state.name()), json!(self.about()), json!(self.head())]);
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Broken;

    fn said(found: Result<(u64, AuditCheck), String>) -> (State, String) {
        let walked = Walked { chain: Chain { at: "2026-01-02T03:04:05Z".into(), found } };
        (walked.mark().state, walked.about())
    }

    #[test]
    fn how_far_it_was_walked_is_said_and_what_is_wrong_first() {
        let check = |good, broken: Option<u64>| AuditCheck {
            good,
            head: "abc".into(),
            broken: broken.map(|number| Broken { number, why: "it is missing".into() }),
        };
        for (found, state, about) in [
            (Ok((0, check(0, None))), State::Healthy, "nothing was written yet"),
            (Ok((0, check(7, None))), State::Healthy, "rows 1 to 7 are as they were written"),
            (
                Ok((900, check(1_000, None))),
                State::Healthy,
                "rows 901 to 1000 are as they were written; those before were not looked at",
            ),
            (Ok((0, check(3, Some(4)))), State::Critical, "row 4: it is missing; rows 1 to 3 are as they were written"),
            (Ok((0, check(0, Some(1)))), State::Critical, "row 1: it is missing; no row is as it was written"),
            (Err("the disk: full".to_owned()), State::Unknown, "the disk: full"),
        ] {
            assert_eq!(said(found), (state, about.to_owned()));
        }
    }
}
