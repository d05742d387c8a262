//! What a one-off command is started with where no control plane can be asked: the plan and the secrets file say the same.

use std::collections::BTreeMap;

use mana_control::api::{RunRequest, RunSpec};
use mana_control::daemon::make_data_folder;
use mana_control::secrets::Secrets;
use mana_manifest::plan::{Plan, Run, Service};
use secrecy::ExposeSecret;

use crate::context::Context;
use crate::failure::Failure;

pub(super) fn spec(context: &Context, request: &RunRequest) -> Result<RunSpec, Failure> {
    let plan = context.plan()?;
    // Where the services' databases lie; a `migrate` before the first `mana up` needs it.
    make_data_folder(&plan.data)?;
    let secrets = Secrets::load(&plan.data)?;
    let reveal = |name: &str| secrets.get(name).map(|value| value.expose_secret().to_owned());
    build(plan, request, reveal).map_err(|refusal| match refusal {
        Refusal::Unknown => {
            let known = plan.services.iter().map(|service| service.name.as_str());
            Failure::unknown("service", &request.service, known)
        }
        Refusal::Static => Failure::Failed {
            what: format!("{} is a folder served by the edge; it has no program", request.service),
            help: "only a service with a `command` can be run".into(),
        },
        Refusal::MissingSecret(name) => missing_secret(plan, &name, context),
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Unknown,
    Static,
    MissingSecret(String),
}

fn build(plan: &Plan, request: &RunRequest, reveal: impl Fn(&str) -> Option<String>) -> Result<RunSpec, Refusal> {
    let service = plan.services.iter().find(|service| service.name == request.service).ok_or(Refusal::Unknown)?;
    let Service { run: Run::Command(command), secrets, .. } = service else { return Err(Refusal::Static) };
    if let Some(missing) = secrets.iter().find(|name| reveal(name).is_none()) {
        return Err(Refusal::MissingSecret(missing.clone()));
    }
    let mut env = BTreeMap::new();
    for (name, value) in &command.env {
        let value = value.reveal(&reveal).map_err(|missing| Refusal::MissingSecret(missing.to_owned()))?;
        env.insert(name.clone(), value);
    }
    // It listens nowhere, and is told apart from instances that do.
    env.insert("PORT".into(), "0".into());
    env.insert("MANA_INSTANCE".into(), format!("{}-run", service.name));
    let argv = command.argv.iter().take(1).chain(&request.args).cloned().collect();
    Ok(RunSpec { argv, cwd: command.cwd.clone(), env })
}

fn missing_secret(plan: &Plan, name: &str, context: &Context) -> Failure {
    let rule = plan.secrets.get(name);
    let about = rule.and_then(|rule| rule.about.as_deref()).map(|about| format!(" ({about})")).unwrap_or_default();
    let generated = rule.is_some_and(|rule| rule.generate_bytes.is_some());
    Failure::Failed {
        what: format!("the secret {name}{about} has no value yet"),
        help: if generated {
            format!("`{}` generates it", context.command("up"))
        } else {
            format!("give it one with `{}`", context.command(&format!("secret set {name}")))
        },
    }
}
