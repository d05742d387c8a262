//! What the operators' door asks of the owner of the state, and who may come in.

use mana_release::store::Store as Releases;
use secrecy::{ExposeSecret, SecretString};

use super::Supervisor;
use super::calls::{conflict, internal, problem};
use crate::api::{MadeToken, NewToken, Problem, TokenView};
use crate::door::{Site, Watched, access};
use crate::secrets::Secrets;
use crate::store::TokenRow;
use crate::{clock, people, releases};

/// What a token begins with, so that a scanner of secrets knows one.
const PREFIX: &str = "mana_";

impl Supervisor {
    /// Lets somebody in.
    pub(super) fn make_token(&mut self, request: &NewToken) -> Result<MadeToken, Problem> {
        people::check_name(&request.name)?;
        if request.scopes.is_empty() {
            return Err(problem(422, "a token is for something", "give it a scope: read, deploy, approve"));
        }
        let token = format!("{PREFIX}{}", clock::secret());
        let end = request.days.map(|days| {
            let hours = jiff::SignedDuration::from_hours(i64::from(days) * 24);
            clock::timestamp().checked_add(hours).map(|end| end.to_string())
        });
        let expires_at = end.transpose().map_err(|error| internal(&error))?;
        let view = TokenView {
            name: request.name.clone(),
            scopes: request.scopes.clone(),
            made_at: clock::timestamp().to_string(),
            expires_at,
            used_at: None,
        };
        let row = TokenRow::new(access::hash(&token), view.clone());
        if !self.store.add_token(&row).map_err(|error| internal(&error))? {
            return Err(conflict(format!(
                "there is a token {0} already, or there are too many; `mana token revoke {0}` takes it back",
                request.name
            )));
        }
        self.note(None, None, "token", &format!("{} was let in", view.name));
        Ok(MadeToken { token, view })
    }

    pub(super) fn tokens(&self) -> Result<Vec<TokenView>, Problem> {
        let rows = self.store.tokens().map_err(|error| internal(&error))?;
        Ok(rows.into_iter().map(|row| row.view).collect())
    }

    pub(super) fn remove_token(&mut self, name: &str) -> Result<(), Problem> {
        if !self.store.remove_token(name).map_err(|error| internal(&error))? {
            return Err(problem(404, "there is no such token", name));
        }
        self.note(None, None, "token", &format!("{name} is not let in any more"));
        Ok(())
    }

    /// Where the releases of a service are kept.
    pub(super) fn kept(&self, service: &str) -> Result<Releases, Problem> {
        let desired = self.desired.as_ref().ok_or_else(|| conflict("nothing was applied yet; `mana up` does"))?;
        if !desired.plan.services.iter().any(|planned| planned.name == service) {
            return Err(problem(404, "there is no such service", service));
        }
        Ok(releases::store(&desired.plan, service))
    }

    /// Where people see the door.
    pub(super) fn site(&self) -> Result<Site, Problem> {
        let desired = self.desired.as_ref().ok_or_else(|| conflict("nothing was applied yet; `mana up` does"))?;
        let plan = &desired.plan;
        let ops = plan.ops.as_ref().ok_or_else(|| {
            let environment = plan.environment.as_str();
            conflict(format!("there is no door; write ops = \"ops.example.com\" in [environments.{environment}]"))
        })?;
        let port = plan.public_port.map(|port| format!(":{port}")).unwrap_or_default();
        let secure = plan.public_scheme == "https";
        Ok(Site { origin: format!("{}://{}{port}", plan.public_scheme, ops.host), secure })
    }

    /// What pushes lead to.
    pub(super) fn watched(&self) -> Result<Watched, Problem> {
        let desired = self.desired.as_ref().ok_or_else(|| conflict("nothing was applied yet; `mana up` does"))?;
        let secret = desired.plan.ops.as_ref().and_then(|ops| ops.push_secret.as_ref());
        let secret =
            secret.ok_or_else(|| problem(404, "nothing is deployed by pushes", "the manifest names no push_secret"))?;
        let known = Secrets::load(&self.data).map_err(|error| internal(&error))?;
        let revealed = secret.reveal(|name| known.get(name).map(|value| value.expose_secret().to_owned()));
        let revealed =
            revealed.map_err(|name| conflict(format!("the secret {name} is missing; `mana secret set {name}`")))?;
        if revealed.is_empty() {
            return Err(conflict("the push_secret is empty"));
        }
        let services = desired.plan.services.iter();
        let services = services.filter_map(|service| Some((service.name.clone(), service.rollout.on_push.clone()?)));
        Ok(Watched {
            secret: SecretString::from(revealed),
            folder: desired.plan.root.clone(),
            services: services.collect(),
        })
    }
}
