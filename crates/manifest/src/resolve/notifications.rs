//! Channels that people are told things through.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::exists_in;
use crate::document::{Document, NotificationTable, Text};
use crate::interpolate::{self, Reference};
use crate::plan::{Environment, MailEncryption, Notification, Part, SecretRule, Target, Value};
use crate::problem::Problem;

/// What texts are resolved against.
pub(super) struct Context<'a> {
    pub(super) environment: Environment,
    pub(super) domain: &'a str,
    pub(super) secrets: &'a BTreeMap<String, SecretRule>,
}

/// Those of this environment.
pub(super) fn notifications(document: &Document, context: &Context, problems: &mut Vec<Problem>) -> Vec<Notification> {
    let here = document
        .notifications
        .iter()
        .filter(|(_, table)| exists_in(table.environments.as_deref(), context.environment));
    here.filter_map(|(name, table)| {
        for service in table.services.iter().flatten() {
            let known = document.services.iter().map(|table| table.name.value.as_str());
            if !known.clone().any(|name| name == service.value) {
                let problem =
                    Problem::error(service.span.clone(), format!("there is no service \"{}\"", service.value));
                problems.push(problem.suggest(&service.value, known, "correct the name"));
            }
        }
        let values = |list: &Option<Vec<Text>>| list.iter().flatten().map(|text| text.value.clone()).collect();
        let target = target(name, table, context, problems)?;
        let (services, events) = (values(&table.services), values(&table.events));
        Some(Notification { name: name.value.clone(), target, services, events })
    })
    .collect()
}

fn target(name: &Text, table: &NotificationTable, context: &Context, problems: &mut Vec<Problem>) -> Option<Target> {
    let mut missing = |key: &str, example: &str| {
        let problem = Problem::error(name.span.clone(), format!("{key} of the channel {} is missing", name.value));
        problems.push(problem.help(format!("write {example}")));
    };
    let Some(kind) = &table.kind else {
        missing("kind", "kind = \"webhook\", \"slack\", \"email\" or \"ntfy\"");
        return None;
    };
    if kind.value == "email" {
        return email(name, table, context, problems);
    }
    if table.url.is_none() {
        missing("url", "url = \"${secret.NAME}\", or the address itself where it holds no token");
    }
    let url = address(table.url.as_ref()?, context, problems)?;
    let secret = match &table.secret {
        Some(secret) => Some(filled(secret, context, problems)?),
        None => None,
    };
    Some(match kind.value.as_str() {
        "slack" => Target::Slack { url },
        "ntfy" => Target::Ntfy { url, token: secret },
        _ => Target::Webhook { url, secret },
    })
}

fn address(text: &Text, context: &Context, problems: &mut Vec<Problem>) -> Option<Value> {
    let url = filled(text, context, problems)?;
    // What begins with a secret shows only when it is sent.
    if let Some(Part::Text(start)) = url.0.first()
        && !start.starts_with("https://")
        && !start.starts_with("http://")
    {
        let problem = Problem::error(text.span.clone(), format!("messages go to \"{}\"", url.redacted()));
        problems.push(problem.help("write an address that begins with https://"));
        return None;
    }
    Some(url)
}

fn email(name: &Text, table: &NotificationTable, context: &Context, problems: &mut Vec<Problem>) -> Option<Target> {
    let mut said = |key: &str, text: &Option<Text>, example: &str| {
        if text.is_none() {
            let problem = Problem::error(name.span.clone(), format!("{key} of the channel {} is missing", name.value));
            problems.push(problem.help(format!("write {example}")));
        }
        text.clone()
    };
    let server = said("server", &table.server, "server = \"smtp.example.org:587\"");
    let from = said("from", &table.from, "from = \"mana@example.org\"");
    let to: Vec<String> = table.to.iter().flatten().map(|text| text.value.clone()).collect();
    said("to", &table.to.iter().flatten().next().cloned(), "to = [\"you@example.org\"]");
    let (server, from) = (server?, from?);
    let parts = server.value.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    let Some((host, port)) = parts.filter(|(host, _)| !host.is_empty()) else {
        let problem = Problem::error(server.span.clone(), format!("the mail server is \"{}\"", server.value));
        problems.push(problem.help("write its name and port, such as \"smtp.example.org:587\""));
        return None;
    };
    let encryption = match table.encryption.as_ref().map(|encryption| encryption.value.as_str()) {
        Some("tls") => MailEncryption::Tls,
        Some("plain") => MailEncryption::Plain,
        _ => MailEncryption::StartTls,
    };
    let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if encryption == MailEncryption::Plain && !here {
        let span = table.encryption.as_ref().and_then(|encryption| encryption.span.clone());
        let problem = Problem::error(span, format!("mails to {host} would go over the network in the clear"));
        problems.push(problem.help("write \"starttls\" or \"tls\""));
    }
    let login = match (&table.user, &table.password) {
        (Some(user), Some(password)) => Some((filled(user, context, problems)?, filled(password, context, problems)?)),
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => {
            let problem = Problem::error(one.span.clone(), "user and password belong together");
            problems.push(problem.help("write both, or neither"));
            None
        }
    };
    (!to.is_empty()).then_some(Target::Email { host, port, encryption, login, from: from.value, to })
}

pub(super) fn filled(text: &Text, context: &Context, problems: &mut Vec<Problem>) -> Option<Value> {
    let parts = interpolate::fill(&text.value, |reference| match reference {
        Reference::Secret(name) if context.secrets.contains_key(name) => Ok(Part::Secret(name.to_owned())),
        Reference::Secret(name) => Err(format!("there is no secret \"{name}\" in {}", context.environment.as_str())),
        Reference::Environment => Ok(Part::Text(context.environment.as_str().to_owned())),
        Reference::Domain => Ok(Part::Text(context.domain.to_owned())),
        Reference::Url(_) | Reference::PublicUrl(_) => Err("no service can be referred to here".to_owned()),
    });
    match parts {
        Ok(parts) => Some(Value(parts)),
        Err(message) => {
            let help = "there are ${secret.NAME}, ${environment} and ${domain}; declare a secret in [secrets]";
            problems.push(Problem::error(text.span.clone(), message).help(help));
            None
        }
    }
}
