//! Who may let a release into production, and what the yes is for.

use super::{Approved, Digest, Operator, Refusal, Reply, Stage, State};

impl State {
    fn may_approve(&self, by: &Operator, own: bool) -> Result<(), Refusal> {
        let Some(rules) = &self.plan.approval else { return Ok(()) };
        if !rules.approvers.is_empty() && !rules.approvers.contains(by) {
            let approvers = rules.approvers.iter().map(|name| name.0.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Refusal::NoApprover { by: by.clone(), approvers });
        }
        let behind = || self.plan.behind.iter().any(|name| is_called(by, name));
        if own && !rules.starter_may_approve && (*by == self.plan.started_by || behind()) {
            return Err(Refusal::OwnRollout { by: by.clone() });
        }
        Ok(())
    }

    pub(super) fn approve(&mut self, by: &Operator, digest: Digest, comment: Option<String>) -> Reply {
        if self.evidence.approved.as_ref().is_some_and(|approved| approved.digest == digest) {
            return Reply::Already;
        }
        if self.stage() != Stage::AwaitingApproval {
            return self
                .not_here("approve", "an approval is asked for after the smoke tests, where the manifest wants one");
        }
        if let Err(refusal) = self.may_approve(by, true) {
            return Reply::Refused(refusal);
        }
        match &self.green {
            Some(green) if green.digest != digest => {
                Reply::Refused(Refusal::OtherDigest { offered: digest, wanted: green.digest.clone() })
            }
            _ => {
                self.evidence.approved = Some(Approved { digest, by: by.clone(), comment, at: self.clock.now() });
                self.advance(Stage::AwaitingApproval);
                Reply::Taken
            }
        }
    }

    pub(super) fn reject(&mut self, by: &Operator, comment: Option<String>) -> Reply {
        if self.stage() != Stage::AwaitingApproval {
            return self.not_here("reject", "`mana rollout abort` ends it at any time");
        }
        // Nobody has to be a second person to say no to what is their own.
        if let Err(refusal) = self.may_approve(by, false) {
            return Reply::Refused(refusal);
        }
        let comment = comment.map(|comment| format!(": {comment}")).unwrap_or_default();
        self.fail(format!("{by} rejected it{comment}"), false);
        Reply::Taken
    }
}

/// Whether an operator goes by that name elsewhere: the same but for its case, or an address of it (`ada@example.org`, as well as
/// `17+ada@users.noreply.example.org`).
fn is_called(by: &Operator, name: &str) -> bool {
    let same = |other: &str| by.0.to_lowercase() == other.to_lowercase();
    let local = name.split_once('@').map(|(local, _)| local);
    same(name) || local.is_some_and(|local| same(local) || local.split('+').any(same))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_pushes_is_known_by_other_names_as_well() {
        let ada = Operator("ada".to_owned());
        for name in ["ada", "Ada", "ada@example.org", "17+ada@users.noreply.example.org", "ada+work@example.org"] {
            assert!(is_called(&ada, name), "{name}");
        }
        for name in ["", "adam", "bob", "bob@ada.example.org", "@"] {
            assert!(!is_called(&ada, name), "{name}");
        }
        let whole = Operator("ada@example.org".to_owned());
        assert!(is_called(&whole, "Ada@example.org"));
    }
}
