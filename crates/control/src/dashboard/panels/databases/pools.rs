//! Connections that services hold to their databases, and how many are free.

use mana_watch::series::Labels;

use super::super::super::measured::{Measured, Unmeasured, Values};
use super::super::super::state::{Mark, State};

const POOLS: &str = "sum by (service, database) (mana_pool_connections_free)";
const POOLS_MOST: &str = "sum by (service, database) (mana_pool_connections_max)";
/// Of services that do not say how their pool is, as their server sees it.
const POOLS_SEEN: &str = "sum by (service, database) (mana_pool_connections_open{server!=\"\"}) \
    unless on (service, database) sum by (service, database) (mana_pool_connections_free)";

pub(super) struct Pool {
    pub(super) service: String,
    pub(super) database: String,
    /// Nobody says how many there are.
    pub(super) free: Option<String>,
    pub(super) most: Option<String>,
    pub(super) open: Option<String>,
    pub(super) mark: Mark,
}

pub(super) async fn look(measured: &Measured) -> Vec<Pool> {
    let (free, most, seen) = tokio::join!(measured.now(POOLS), measured.now(POOLS_MOST), measured.now(POOLS_SEEN));
    all_pools(free, most).into_iter().chain(seen_pools(seen)).collect()
}

fn all_pools(free: Result<Values, Unmeasured>, most: Result<Values, Unmeasured>) -> Vec<Pool> {
    let Ok(free) = free else { return Vec::new() };
    let most = most.unwrap_or_default();
    let one = |(labels, free): &(Labels, f64)| {
        let mark = match *free {
            free if free < 1.0 => State::Critical.mark("Exhausted"),
            free if free < 2.0 => State::Warning.mark("Nearly exhausted"),
            _ => State::Healthy.mark("Healthy"),
        };
        let most = most.iter().find(|(other, _)| other == labels).map(|(_, most)| format!("{most:.0}"));
        let (service, database) = (labels.get("service").to_owned(), labels.get("database").to_owned());
        Pool { service, database, free: Some(format!("{free:.0}")), most, open: None, mark }
    };
    free.iter().map(one).collect()
}

fn seen_pools(open: Result<Values, Unmeasured>) -> Vec<Pool> {
    let one = |(labels, open): &(Labels, f64)| Pool {
        service: labels.get("service").to_owned(),
        database: labels.get("database").to_owned(),
        free: None,
        most: None,
        open: Some(format!("{open:.0}")),
        mark: State::Unknown.mark("Not measured"),
    };
    open.unwrap_or_default().iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use mana_watch::Memory;
    use mana_watch::query::{self, Limits};

    use super::*;

    #[test]
    fn every_question_is_one_that_the_store_understands() {
        for text in [POOLS, POOLS_MOST, POOLS_SEEN] {
            let answer = query::query(&Memory::default(), text, 0, &Limits::default());
            assert!(answer.is_ok(), "{text}: {answer:?}");
        }
    }
}
