//! The alerts as the dashboard shows them. Whoever evaluates rules puts them here; until somebody does, there are none to show,
//! and the page says so.

use std::sync::{Arc, PoisonError, RwLock};

use super::state::State;

/// Where the present alerts are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Board(Arc<RwLock<Option<Arc<Alerts>>>>);

/// All that are active.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Alerts {
    /// Worst first, then oldest first.
    pub(crate) active: Vec<Alert>,
    /// Rules that are watched.
    pub(crate) rules: usize,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alert {
    /// `P1` to `P4`.
    pub(crate) severity: String,
    /// Name of the rule.
    pub(crate) rule: String,
    /// What it is about: a service, the host, a database.
    pub(crate) subject: String,
    /// In a sentence, with its figures.
    pub(crate) summary: String,
    /// RFC 3339.
    pub(crate) since: String,
    /// Who looks after it.
    pub(crate) acknowledged_by: Option<String>,
}

impl Board {
    /// What is active from now on.
    #[cfg_attr(not(test), expect(dead_code, reason = "called where rules are evaluated, which is not yet"))]
    pub(crate) fn put(&self, alerts: Alerts) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(alerts));
    }

    /// `None`: nobody evaluates rules.
    pub(crate) fn now(&self) -> Option<Arc<Alerts>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Alert {
    /// P1 and P2 wake people.
    pub(crate) fn state(&self) -> State {
        match self.severity.as_str() {
            "P1" | "P2" => State::Critical,
            "P3" | "P4" => State::Warning,
            _ => State::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_evaluating_is_another_thing_than_nothing_active() {
        let board = Board::default();
        assert_eq!(board.now(), None);
        board.put(Alerts { active: Vec::new(), rules: 20 });
        assert_eq!(board.now().map(|alerts| (alerts.active.len(), alerts.rules)), Some((0, 20)));
    }
}
