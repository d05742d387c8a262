//! What needs what: who of two alerts is the cause.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// For each service what it needs: services, databases, hosts, by the names that alerts call them. Answers for what is needed by
/// way of others, too.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, BTreeSet<String>>", into = "BTreeMap<String, BTreeSet<String>>")]
pub struct Needs {
    direct: BTreeMap<String, BTreeSet<String>>,
    /// With what is needed by way of others.
    all: BTreeMap<String, BTreeSet<String>>,
}

impl Needs {
    /// Of direct needs.
    pub fn new(direct: BTreeMap<String, BTreeSet<String>>) -> Self {
        let reach = |start: &String| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
            while let Some(name) = open.pop() {
                for need in direct.get(name).into_iter().flatten() {
                    if seen.insert(need.clone()) {
                        open.push(need);
                    }
                }
            }
            (start.clone(), seen)
        };
        let all = direct.keys().map(reach).collect();
        Self { direct, all }
    }

    /// Everything that this needs, directly or not.
    pub fn of(&self, subject: &str) -> impl Iterator<Item = &str> {
        self.all.get(subject).into_iter().flatten().map(String::as_str)
    }

    /// Whether one needs the other, directly or not.
    pub fn needs(&self, subject: &str, other: &str) -> bool {
        self.all.get(subject).is_some_and(|all| all.contains(other))
    }

    /// Whether one is dead because of the other alone: of two that need each other, neither is.
    pub fn follows(&self, subject: &str, cause: &str) -> bool {
        self.needs(subject, cause) && !self.needs(cause, subject)
    }

    /// Everything that is dead because of this one, if this is: see [`Self::follows`].
    pub fn followers<'a>(&'a self, cause: &'a str) -> impl Iterator<Item = &'a str> {
        self.all.keys().map(String::as_str).filter(move |subject| self.follows(subject, cause))
    }

    /// Whether trouble of one can have to do with trouble of the other.
    pub fn related(&self, one: &str, other: &str) -> bool {
        !one.is_empty() && (one == other || self.needs(one, other) || self.needs(other, one))
    }

    /// How deep something lies: how much it needs itself.
    pub fn depth(&self, subject: &str) -> usize {
        self.all.get(subject).map_or(0, BTreeSet::len)
    }
}

impl From<BTreeMap<String, BTreeSet<String>>> for Needs {
    fn from(direct: BTreeMap<String, BTreeSet<String>>) -> Self {
        Self::new(direct)
    }
}

impl From<Needs> for BTreeMap<String, BTreeSet<String>> {
    fn from(needs: Needs) -> Self {
        needs.direct
    }
}

impl<N: Into<String>, const M: usize> FromIterator<(N, [N; M])> for Needs {
    fn from_iter<I: IntoIterator<Item = (N, [N; M])>>(pairs: I) -> Self {
        let pair = |(name, needs): (N, [N; M])| (name.into(), needs.into_iter().map(Into::into).collect());
        Self::new(pairs.into_iter().map(pair).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_go_on_by_way_of_others_and_circles_have_no_cause() {
        let needs: Needs = [("web", ["chat"]), ("chat", ["auth"]), ("auth", ["postgres"]), ("a", ["b"]), ("b", ["a"])]
            .into_iter()
            .collect();
        assert!(needs.follows("web", "postgres") && !needs.follows("postgres", "web"));
        assert_eq!(needs.followers("auth").collect::<Vec<_>>(), ["chat", "web"]);
        assert_eq!((needs.followers("web").count(), needs.followers("a").count()), (0, 0));
        assert!(needs.needs("a", "b") && needs.needs("b", "a") && !needs.follows("a", "b"));
        assert!(needs.related("postgres", "web") && needs.related("x", "x") && !needs.related("a", "web"));
        assert!(!needs.related("", ""));
        assert_eq!((needs.depth("web"), needs.depth("postgres")), (3, 0));
        let text = serde_json::to_string(&needs).unwrap();
        assert_eq!(serde_json::from_str::<Needs>(&text).unwrap(), needs);
    }
}
