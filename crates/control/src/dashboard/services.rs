//! The page of one service.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use serde_json::Value;

use super::Dashboard;
use super::coming::Coming;
use super::figures::Figures;
use super::guard::Visitor;
use super::logs;
use super::pages::{Frame, NoPage};
use super::panels::{Panel, Part, status};
use super::state::{Mark, State};
use crate::api::ServiceStatus;
use crate::desired::EDGE;
use crate::door::person::Action;
use crate::logs::Line;
use crate::server::{Refused, ask, problem};
use crate::supervisor::Call;

/// Lines of its logs on its page; more are one link away.
const LINES: usize = 40;

#[derive(Template)]
#[template(path = "dashboard/service.html")]
struct Page {
    frame: Frame,
    service: ServiceStatus,
    mark: Mark,
    reasons: Vec<String>,
    panels: Vec<Panel>,
    lines: Vec<Line>,
    settings: Vec<(String, String)>,
    may_deploy: bool,
}

impl Page {
    /// A folder has no processes: nothing of it is measured but by the edge.
    fn is_program(&self) -> bool {
        self.service.internal_url.is_some() || self.service.name == EDGE
    }
}

/// `GET /services/{name}`
pub(crate) async fn show(
    Shared(dashboard): Shared<Dashboard>,
    Path(name): Path<String>,
    visitor: Visitor,
    frame: Frame,
) -> Result<Response, NoPage> {
    let refused = |why: String| Refused(problem(503, "the service cannot be shown", why));
    let status = status(&dashboard).await.map_err(refused)?;
    let service = status.services.into_iter().find(|service| service.name == name);
    let unknown = || Refused(problem(404, "there is no such service", format!("`{name}` is none of the manifest's")));
    let service = service.ok_or_else(unknown)?;
    let parts = Part::ALL.map(|part| Panel::Service(name.clone(), part));
    let coming = Coming::begin(&dashboard, parts.into());
    let (figures, serving, lines) = tokio::join!(
        Figures::look(&dashboard.measured),
        ask(&dashboard.app, Call::Serving),
        logs::last(&dashboard, &name, LINES)
    );
    let (state, reasons) = figures.unwrap_or_default().judge(&service);
    let word = match state {
        State::Healthy => "Healthy",
        State::Unknown => "Unknown",
        State::Warning => "Warning",
        State::Critical => "Critical",
    };
    let settings = serving.map(|serving| settings(&serving.plan, &name)).unwrap_or_default();
    let may_deploy = visitor.may(Action::Deploy);
    let mark = state.mark(word);
    let panels = coming.names();
    Ok(coming.in_page(&Page { frame, service, mark, reasons, panels, lines, settings, may_deploy }))
}

/// What the manifest means for a service, setting by setting. Secrets stand in a plan by their names; what looks like one
/// although it was written down is not shown either.
fn settings(plan: &Value, name: &str) -> Vec<(String, String)> {
    let services = plan["services"].as_array();
    let Some(service) = services.and_then(|services| services.iter().find(|service| service["name"] == name)) else {
        return Vec::new();
    };
    let mut found = BTreeMap::new();
    flatten("", service, &mut found);
    found.into_iter().collect()
}

fn flatten(path: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| flatten(&below(name), value, found)),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            if !items.is_empty() {
                found.insert(path.to_owned(), harmless(path, &items.join(" ")));
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| flatten(&below(&(at + 1).to_string()), value, found));
        }
        Value::Null => {}
        value => {
            found.insert(path.to_owned(), harmless(path, &plain(value)));
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The value, where neither its name nor its form says that it is a secret.
fn harmless(path: &str, text: &str) -> String {
    let name = path.rsplit('.').next().unwrap_or(path);
    // It is no secret what a secret is called.
    if (path.contains(".env.") && is_telling(name) && !is_reference(text)) || path.contains("basic_auth") {
        return "hidden".to_owned();
    }
    // Words, of which the one after `--password` is one as well.
    let mut after = false;
    let text = text.replace(REFERENCE, JOINED);
    let words = text.split(' ').map(|word| {
        let hidden = after && !is_reference(word);
        after = word.starts_with('-') && !word.contains('=') && is_telling(word);
        if hidden { "hidden".to_owned() } else { harmless_word(word) }
    });
    words.collect::<Vec<_>>().join(" ").replace(JOINED, REFERENCE)
}

/// How what is said by a secret's name begins; and the same as part of one word.
const REFERENCE: &str = "[secret ";
const JOINED: &str = "[secret\u{a0}";

fn is_reference(text: &str) -> bool {
    (text.starts_with(REFERENCE) || text.starts_with(JOINED)) && text.ends_with(']')
}

/// Whether what is called like this is most likely secret.
fn is_telling(name: &str) -> bool {
    const TELLING: [&str; 6] = ["secret", "token", "pass", "pwd", "credential", "apikey"];
    let name = name.to_ascii_lowercase();
    let is_key = name.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|part| part == "key" || part == "keys");
    is_key || TELLING.iter().any(|word| name.contains(word))
}

/// A word without the secrets in it: `--password=…`, `?key=…`, `scheme://name:password@host`.
fn harmless_word(word: &str) -> String {
    let (before, query) = word.split_once('?').map_or((word, None), |(before, query)| (before, Some(query)));
    let assigned = |text: &str| match text.split_once('=') {
        Some((name, value)) if is_telling(name) && !is_reference(value) => format!("{name}=hidden"),
        _ => text.to_owned(),
    };
    let before = if before.contains("://") { without_password(before) } else { assigned(before) };
    let Some(query) = query else { return before };
    let query: Vec<String> = query.split('&').map(assigned).collect();
    format!("{before}?{}", query.join("&"))
}

/// `scheme://name:password@host` without the password, which stands alone in `scheme://token@host`.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some((who, host)) = rest[..end].rsplit_once('@') else { return text.to_owned() };
    match who.split_once(':') {
        Some((_, password)) if is_reference(password) => text.to_owned(),
        Some((name, _)) => format!("{scheme}://{name}:hidden@{host}{}", &rest[end..]),
        None if is_reference(who) => text.to_owned(),
        None => format!("{scheme}://hidden@{host}{}", &rest[end..]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_shown_one_by_one_and_secrets_by_name_at_most() {
        let plan = json!({ "services": [
            { "name": "other", "kind": "web" },
            { "name": "a", "hosts": ["a.example", "b.example"], "needs": [], "build": null,
              "run": { "command": { "env": {
                  "SESSION_KEY": "[secret SESSION_KEY]",
                  "API_TOKEN": "written down",
                  "GREETING": "hello = world",
                  "SMTP_PASS": "written down",
                  "OPENAI_APIKEY": "written down",
                  "HOOK_URL": "https://hooks.example/a?channel=b&key=written-down",
                  "REPOSITORY": "https://written-down@git.example/a",
                  "DATABASE_URL": "postgres://mana:hunter2@127.0.0.1/chat",
                  "CACHE_URL": "redis://:[secret REDIS]@127.0.0.1/0",
              }, "arguments": ["serve", "--password=written-down", "--token", "[secret A]", "--token", "written-down", "--port=1"] } },
              "access": { "basic_auth": ["abcdef"] } },
        ] });
        let settings: BTreeMap<String, String> = settings(&plan, "a").into_iter().collect();
        let of = |name: &str| settings.get(name).map(String::as_str);
        assert_eq!(of("hosts"), Some("a.example b.example"));
        assert_eq!(of("run.command.env.SESSION_KEY"), Some("[secret SESSION_KEY]"));
        assert_eq!(of("run.command.env.API_TOKEN"), Some("hidden"));
        assert_eq!(of("run.command.env.GREETING"), Some("hello = world"));
        assert_eq!(
            (of("run.command.env.SMTP_PASS"), of("run.command.env.OPENAI_APIKEY")),
            (Some("hidden"), Some("hidden"))
        );
        assert_eq!(of("run.command.env.HOOK_URL"), Some("https://hooks.example/a?channel=b&key=hidden"));
        assert_eq!(of("run.command.env.REPOSITORY"), Some("https://hidden@git.example/a"));
        let arguments = "serve --password=hidden --token [secret A] --token hidden --port=1";
        assert_eq!(of("run.command.arguments"), Some(arguments));
        assert_eq!(of("run.command.env.DATABASE_URL"), Some("postgres://mana:hidden@127.0.0.1/chat"));
        assert_eq!(of("run.command.env.CACHE_URL"), Some("redis://:[secret REDIS]@127.0.0.1/0"));
        assert_eq!(of("access.basic_auth"), Some("hidden"));
        assert_eq!((of("needs"), of("build")), (None, None));
    }
}
