//! Who comes in at the door, by a token or logged in, and what they may do. One check guards both.

use std::collections::BTreeSet;
use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use jiff::Timestamp;

use super::guard;
use crate::api::{Role, Scope, TokenView};
use crate::server::{Refused, problem};
use crate::store::SessionRow;

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// See how things are.
    See,
    /// Deploy, roll back, acknowledge, silence.
    Deploy,
    /// Say yes or no where an approval is asked for.
    Approve,
    /// Make operators and tokens, and read the audit log.
    Manage,
}

impl Action {
    /// The least role that may do it.
    fn least(self) -> Role {
        match self {
            Self::See => Role::Viewer,
            Self::Deploy => Role::Operator,
            Self::Approve => Role::Approver,
            Self::Manage => Role::Admin,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::See => "see how things are",
            Self::Deploy => "deploy",
            Self::Approve => "approve",
            Self::Manage => "manage operators, tokens and the audit log",
        }
    }
}

/// Somebody who is known. Handlers behind [`super::admit`] and [`super::pages::visit`] take one as an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// The operator's name; a token's is that of its operator.
    pub(crate) name: String,
    way: Way,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    Token(BTreeSet<Scope>),
    Session(Box<Session>),
}

/// What somebody who is logged in has.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) row: SessionRow,
    /// What the forms of its pages hold, and calls of its scripts in `x-csrf-token`.
    pub(crate) form_token: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Session").field("row", &self.row).finish_non_exhaustive()
    }
}

/// Whether its time is not over.
pub(crate) fn is_alive(token: &TokenView, now: Timestamp) -> bool {
    // What cannot be read has ended.
    token.expires_at.as_ref().is_none_or(|end| end.parse::<Timestamp>().is_ok_and(|end| now < end))
}

impl Person {
    /// Who shows this token. `None`: its time is over.
    pub(crate) fn by_token(token: TokenView, now: Timestamp) -> Option<Self> {
        is_alive(&token, now).then_some(Self { name: token.name, way: Way::Token(token.scopes) })
    }

    /// Who is logged in there; `id` is what lets in.
    pub(crate) fn logged_in(row: SessionRow, id: &str) -> Self {
        let form_token = guard::form_token(id);
        Self { name: row.operator.clone(), way: Way::Session(Box::new(Session { row, form_token })) }
    }

    /// The same, as their session is by now.
    pub(crate) fn with(&self, row: SessionRow) -> Self {
        let form_token = self.session().map(|session| session.form_token.clone()).unwrap_or_default();
        Self { name: row.operator.clone(), way: Way::Session(Box::new(Session { row, form_token })) }
    }

    /// Whether they may do this.
    pub(crate) fn may(&self, action: Action) -> bool {
        match &self.way {
            Way::Session(session) => session.row.role >= action.least(),
            Way::Token(scopes) => match action {
                Action::See => scopes.contains(&Scope::Read),
                Action::Deploy => scopes.contains(&Scope::Deploy),
                Action::Approve => scopes.contains(&Scope::Approve),
                // Who comes in is said by people.
                Action::Manage => false,
            },
        }
    }

    /// Refuses them by name where they may not.
    pub(crate) fn require(&self, action: Action) -> Result<(), Refused> {
        if self.may(action) { Ok(()) } else { Err(self.refused(action)) }
    }

    fn refused(&self, action: Action) -> Refused {
        match &self.way {
            Way::Token(scopes) => {
                let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
                let detail = format!("the token {} is for {} only", self.name, scopes.join(", "));
                Refused(problem(403, "this token does not allow it", detail))
            }
            Way::Session(session) => {
                let (role, least) = (session.row.role.as_str(), action.least().as_str());
                let detail =
                    format!("{} is {role}; to {} takes {least}. An admin changes roles", self.name, action.as_str());
                Refused(problem(403, "your role does not allow it", detail))
            }
        }
    }

    /// Their role, or that which a token's scopes come next to.
    pub(crate) fn role(&self) -> Role {
        match &self.way {
            Way::Session(session) => session.row.role,
            Way::Token(scopes) if scopes.contains(&Scope::Approve) => Role::Approver,
            Way::Token(scopes) if scopes.contains(&Scope::Deploy) => Role::Operator,
            Way::Token(_) => Role::Viewer,
        }
    }

    /// What they have where they are logged in; `None`: they came by a token.
    pub(crate) fn session(&self) -> Option<&Session> {
        match &self.way {
            Way::Session(session) => Some(session),
            Way::Token(_) => None,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Person {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        parts.extensions.get::<Self>().cloned().ok_or_else(stranger)
    }
}

/// What somebody is told who is not known.
pub(super) fn stranger() -> Refused {
    Refused(problem(401, "who are you?", "log in, or show a token: `mana token create` makes one".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_token(scopes: &[Scope], expires_at: Option<&str>) -> Option<Person> {
        let token = TokenView {
            name: "ci".into(),
            scopes: scopes.iter().copied().collect(),
            made_at: String::new(),
            expires_at: expires_at.map(str::to_owned),
            used_at: None,
        };
        Person::by_token(token, Timestamp::from_second(1_000_000).expect("a time"))
    }

    fn logged_in(role: Role) -> Person {
        let row = SessionRow {
            sha256: "hash".into(),
            operator: "ada".into(),
            role,
            made_at: 0,
            seen_at: 0,
            expires_at: 0,
            address: String::new(),
            agent: String::new(),
        };
        Person::logged_in(row, "id")
    }

    const ALL: [Action; 4] = [Action::See, Action::Deploy, Action::Approve, Action::Manage];

    #[test]
    fn a_token_ends_and_allows_what_it_is_for() {
        let reader = by_token(&[Scope::Read], None).expect("known");
        assert_eq!(ALL.map(|action| reader.may(action)), [true, false, false, false]);
        let approver = by_token(&[Scope::Approve], None).expect("known");
        assert_eq!(ALL.map(|action| approver.may(action)), [false, false, true, false]);
        let all = by_token(&Scope::ALL, None).expect("known");
        assert_eq!(ALL.map(|action| all.may(action)), [true, true, true, false]);
        assert_eq!((reader.role(), approver.role()), (Role::Viewer, Role::Approver));
        assert!(by_token(&[Scope::Read], Some("1970-01-12T13:46:41Z")).is_some());
        assert_eq!(by_token(&[Scope::Read], Some("1970-01-12T13:46:40Z")), None);
        assert_eq!(by_token(&[Scope::Read], Some("some day")), None);
    }

    #[test]
    fn each_role_may_what_those_before_it_may() {
        let cases = [
            (Role::Viewer, [true, false, false, false]),
            (Role::Operator, [true, true, false, false]),
            (Role::Approver, [true, true, true, false]),
            (Role::Admin, [true, true, true, true]),
        ];
        for (role, expected) in cases {
            let person = logged_in(role);
            assert_eq!(ALL.map(|action| person.may(action)), expected, "{role:?}");
        }
    }

    #[test]
    fn who_may_not_is_told_who_could() {
        let Err(Refused(problem)) = logged_in(Role::Viewer).require(Action::Deploy) else { panic!("a viewer") };
        assert_eq!(problem.status, 403);
        assert_eq!(problem.detail, "ada is viewer; to deploy takes operator. An admin changes roles");
    }
}
