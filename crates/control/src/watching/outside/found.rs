//! Which there are: the dependencies that the manifest names, and the databases and Redis that stand in services' addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use mana_manifest::plan::{Notification, Part, Plan, Run, Target, Value};
use mana_watch::schedule::INTERVAL;
use secrecy::ExposeSecret;
use url::Url;

use super::{Address, MAX_OUTSIDE, Outside, What};
use crate::secrets::Secrets;

/// How long those may take that the manifest says nothing else of.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often a channel is asked whether it takes connections.
const CHANNEL_EVERY: Duration = Duration::from_mins(1);
/// Variables with such names hold addresses.
const ENDING: &str = "_URL";

/// All of them, with what each service needs of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Found {
    pub(crate) all: Vec<Outside>,
    pub(crate) needs: BTreeMap<String, BTreeSet<String>>,
}

/// Which there are in a plan. What has a secret without a value, or an address that is not understood, is not among them: whoever needs
/// it is not started either, or says so itself. `refusing` knows why a channel has not taken the last message;
/// `is_proxied`: requests leave this machine by a proxy.
pub(crate) fn found(
    plan: &Plan,
    secrets: &Secrets,
    refusing: impl Fn(&str) -> Option<String>,
    is_proxied: bool,
) -> Found {
    let mut found = Found::default();
    for dependency in &plan.dependencies {
        let Some(text) = revealed(&dependency.url, secrets) else { continue };
        let Some(what) = what(&text, dependency.status) else { continue };
        let users = plan.services.iter().filter(|service| service.dependencies.contains(&dependency.name));
        let users = users.map(|service| service.name.clone()).collect();
        let (name, interval, timeout) = (dependency.name.clone(), dependency.interval, dependency.timeout);
        found.all.push(Outside { name, what, interval, timeout, users });
    }
    for service in &plan.services {
        let Run::Command(command) = &service.run else { continue };
        for (_, value) in command.env.iter().filter(|(name, value)| name.ends_with(ENDING) && may_be_one(value)) {
            let Some(text) = revealed(value, secrets) else { continue };
            if let Some(what) = what(&text, None).filter(|what| !matches!(what, What::Http { .. } | What::Tcp { .. })) {
                found.use_of(&service.name, what);
            }
        }
    }
    for notification in &plan.notifications {
        let (name, refusing) = (notification.name.clone(), refusing(&notification.name));
        let server = receiver(notification, secrets, is_proxied);
        if server.is_none() && refusing.is_none() {
            continue;
        }
        let what = What::Channel { server, refusing };
        found.all.push(Outside { name, what, interval: CHANNEL_EVERY, timeout: TIMEOUT, users: BTreeSet::new() });
    }
    if found.all.len() > MAX_OUTSIDE {
        tracing::debug!(
            most = MAX_OUTSIDE,
            left_out = found.all.len() - MAX_OUTSIDE,
            "not all that is outside is watched"
        );
    }
    found.all.truncate(MAX_OUTSIDE);
    for outside in &found.all {
        for user in &outside.users {
            found.needs.entry(user.clone()).or_default().insert(outside.name.clone());
        }
    }
    found
}

impl Found {
    /// A service has the address of something: of a server that is known, or of another one.
    fn use_of(&mut self, service: &str, what: What) {
        let same = self.all.iter_mut().find(|outside| is_same(&outside.what, &what));
        if let Some(outside) = same {
            if let (What::Postgres { databases, .. }, What::Postgres { databases: more, .. }) =
                (&mut outside.what, what)
            {
                databases.extend(more);
            }
            outside.users.insert(service.to_owned());
            return;
        }
        let users = BTreeSet::from([service.to_owned()]);
        self.all.push(Outside { name: name_of(&what), what, interval: INTERVAL, timeout: TIMEOUT, users });
    }
}

/// The server that a channel's messages go to; none where they go by way of a proxy.
fn receiver(notification: &Notification, secrets: &Secrets, is_proxied: bool) -> Option<(String, u16)> {
    match &notification.target {
        Target::Webhook { .. } | Target::Slack { .. } | Target::Ntfy { .. } if is_proxied => None,
        Target::Webhook { url, .. } | Target::Slack { url } | Target::Ntfy { url, .. } => {
            let url = Url::parse(&revealed(url, secrets)?).ok()?;
            Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
        }
        Target::Email { host, port, .. } => Some((host.clone(), *port)),
    }
}

/// Whether requests leave this machine by a proxy, as far as its environment says.
pub(crate) fn has_proxy() -> bool {
    const NAMES: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    NAMES.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// What is no text at its beginning shows only when it is revealed.
fn may_be_one(value: &Value) -> bool {
    match value.0.first() {
        Some(Part::Text(text)) => ["postgres", "redis", "sqlite:"].iter().any(|scheme| text.starts_with(scheme)),
        Some(Part::Secret(_)) => true,
        None => false,
    }
}

fn revealed(value: &Value, secrets: &Secrets) -> Option<String> {
    value.reveal(|name| secrets.get(name).map(|secret| secret.expose_secret().to_owned())).ok()
}

fn what(text: &str, status: Option<u16>) -> Option<What> {
    if let Some(path) = text.strip_prefix("sqlite://") {
        let file = PathBuf::from(path.split('?').next().unwrap_or(path));
        let database = file.file_stem()?.to_str()?.to_owned();
        return file.is_absolute().then_some(What::Sqlite { database, file });
    }
    let url = Url::parse(text).ok()?;
    let address = || Address::new(text.to_owned());
    Some(match url.scheme() {
        "postgres" | "postgresql" => {
            let database = url.path().trim_start_matches('/');
            let databases = Some(database.to_owned()).filter(|name| !name.is_empty()).into_iter().collect();
            What::Postgres { url: address(), databases }
        }
        "redis" | "rediss" => What::Redis { url: address() },
        "http" | "https" => What::Http { url: address(), status },
        "tcp" => What::Tcp { host: url.host_str()?.to_owned(), port: url.port()? },
        _ => return None,
    })
}

/// Host and port of a server.
fn place(what: &What) -> Option<(&'static str, String)> {
    let (kind, url, port) = match what {
        What::Postgres { url, .. } => ("postgres", url, 5432),
        What::Redis { url } => ("redis", url, 6379),
        _ => return None,
    };
    let url = url.url().ok()?;
    Some((kind, format!("{}:{}", url.host_str().unwrap_or("localhost"), url.port().unwrap_or(port))))
}

fn is_same(one: &What, other: &What) -> bool {
    match (one, other) {
        (What::Sqlite { file: one, .. }, What::Sqlite { file: other, .. }) => one == other,
        _ => place(one).is_some_and(|one| Some(one) == place(other)),
    }
}

/// What it is called that has no name: what it is and where, which does not depend on what else there is.
fn name_of(what: &What) -> String {
    match (what, place(what)) {
        (What::Sqlite { file, .. }, _) => file.display().to_string(),
        (_, Some((kind, place))) => format!("{kind}@{place}"),
        (_, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mana_manifest::{Facts, Manifest, Overrides};

    use super::*;

    fn of(more: &str) -> Found {
        of_proxied(more, false)
    }

    fn of_proxied(more: &str, is_proxied: bool) -> Found {
        let text = format!("name = \"shop\"\ndomain = \"shop.example\"\n{more}");
        let manifest = Manifest::parse(Path::new("/srv/shop/mana.toml"), &text).expect("TOML");
        let refusing = |channel: &str| (channel == "team").then(|| "it answered 500".to_owned());
        let plan = manifest.plan(&Overrides::default(), &Facts::assumed()).expect("a plan");
        found(&plan, &Secrets::default(), refusing, is_proxied)
    }

    const SERVICES: &str = "[services.a-backend]\ncommand = \"bin/a\"\nport = 4001\ndatabase = \"a\"\ncache = true\nneeds = [\"model\"]\n\
        [services.b-backend]\ncommand = \"bin/b\"\nport = 4002\ndatabase = \"b\"\n\
        env = { QUEUE_URL = \"redis://127.0.0.1:7000/1\", HOME_URL = \"https://b.example\" }\n\
        [dependencies.model]\nurl = \"https://model.example\"\ninterval = \"30s\"\n";

    #[test]
    fn servers_are_found_in_services_addresses_and_asked_once_each() {
        let environment = "[environments.development]\ndatabase = \"postgres://u:p@127.0.0.1:5432/{database}\"\n\
            cache = \"redis://127.0.0.1:6379/0#x:\"\n";
        let found = of(&format!("{environment}{SERVICES}"));
        let names: Vec<&str> = found.all.iter().map(|outside| outside.name.as_str()).collect();
        assert_eq!(names, ["model", "postgres@127.0.0.1:5432", "redis@127.0.0.1:6379", "redis@127.0.0.1:7000"]);
        assert_eq!(found.all[0].interval, Duration::from_secs(30));
        let What::Postgres { databases, .. } = &found.all[1].what else { panic!("{found:?}") };
        assert_eq!(databases.iter().collect::<Vec<_>>(), ["a", "b"]);
        let needs: Vec<&String> = found.needs["b-backend"].iter().collect();
        assert_eq!(needs, ["postgres@127.0.0.1:5432", "redis@127.0.0.1:7000"]);
        assert!(!format!("{found:?}").contains("u:p"), "{found:?}");
    }

    #[test]
    fn a_server_that_the_manifest_names_has_that_name() {
        let environment = "[environments.development]\ndatabase = \"postgres://u:p@db.example/{database}\"\n";
        let found =
            of(&format!("{environment}{SERVICES}[dependencies.main-db]\nurl = \"postgres://w@db.example:5432/a\"\n"));
        let named: Vec<(&str, usize)> =
            found.all.iter().map(|outside| (outside.name.as_str(), outside.users.len())).collect();
        assert_eq!(named, [("model", 1), ("main-db", 2), ("redis@127.0.0.1:7000", 1)]);
    }

    #[test]
    fn files_of_sqlite_are_found_and_what_lacks_a_secret_is_not() {
        let found = of(&format!(
            "{SERVICES}[secrets]\nKEY = {{ about = \"x\" }}\n[dependencies.other]\nurl = \"https://x.example/${{secret.KEY}}\"\n"
        ));
        let names: Vec<&str> = found.all.iter().map(|outside| outside.name.as_str()).collect();
        let data = "/srv/shop/.mana/development/data";
        assert_eq!(names, ["model", &format!("{data}/a.db"), &format!("{data}/b.db"), "redis@127.0.0.1:7000"]);
    }

    #[test]
    fn channels_are_asked_at_their_servers_and_say_what_they_refuse() {
        let text = "[services.a-landing]\nfolder = \"site\"\n[secrets]\nHOOK = { about = \"x\" }\n\
            [notifications.team]\nkind = \"webhook\"\nurl = \"https://hooks.example/a/token\"\n\
            [notifications.phone]\nkind = \"ntfy\"\nurl = \"http://[::1]:8090/topic\"\n\
            [notifications.mail]\nkind = \"email\"\nserver = \"mail.example:587\"\nfrom = \"a@mail.example\"\nto = [\"b@mail.example\"]\n\
            [notifications.secret]\nkind = \"slack\"\nurl = \"${secret.HOOK}\"\n";
        let found = of(text);
        let channels: Vec<_> = found
            .all
            .iter()
            .map(|outside| match &outside.what {
                What::Channel { server, refusing } => (outside.name.as_str(), server.clone(), refusing.is_some()),
                other => panic!("{other:?}"),
            })
            .collect();
        let server = |host: &str, port| Some((host.to_owned(), port));
        let expected = [
            ("team", server("hooks.example", 443), true),
            ("phone", server("[::1]", 8090), false),
            ("mail", server("mail.example", 587), false),
        ];
        assert_eq!(channels, expected, "who has no address is not asked");
        assert!(!format!("{found:?}").contains("token"), "{found:?}");
        assert!(found.needs.is_empty(), "no service needs them");
        // Behind a proxy nobody's server is asked but that of mail; what is refused is known all the same.
        let proxied = of_proxied(text, true);
        let names: Vec<&str> = proxied.all.iter().map(|outside| outside.name.as_str()).collect();
        assert_eq!(names, ["team", "mail"]);
    }
}
