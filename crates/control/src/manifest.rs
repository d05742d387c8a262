//! TEMPORARY reader until `mana-manifest` has one.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use mana_manifest::plan::{
    Command, Environment, Kind, Part, Plan, Project, Run, SecretRule, Service, ServiceLimits, Value,
};

use crate::api::Apply;

/// Reads and checks a manifest; every problem at once.
pub(crate) fn parse(text: &str, request: &Apply, data: &Path) -> Result<Plan, Vec<String>> {
    let doc: toml_edit::DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| vec![error.to_string()])?;
    let root = request.manifest.parent().unwrap_or(Path::new("/")).to_owned();
    let strings = |item: Option<&toml_edit::Item>| -> Vec<String> {
        item.and_then(|item| item.as_array())
            .map(|array| array.iter().filter_map(|value| value.as_str()).map(str::to_owned).collect())
            .unwrap_or_default()
    };
    let listen: std::net::SocketAddr = doc["environments"]["development"]["listen"]
        .as_str()
        .ok_or(vec!["listen".to_owned()])?
        .parse()
        .map_err(|_| vec!["listen".to_owned()])?;
    let mut services = Vec::new();
    let mut secrets = BTreeMap::new();
    if let Some(table) = doc.get("secrets").and_then(|item| item.as_table()) {
        for (name, item) in table {
            let generate =
                item.get("generate").and_then(toml_edit::Item::as_integer).and_then(|n| u16::try_from(n).ok());
            secrets.insert(name.to_owned(), SecretRule { generate_bytes: generate, about: None });
        }
    }
    for (name, item) in doc["services"].as_table().ok_or(vec!["services".to_owned()])? {
        let get = |key: &str| item.get(key);
        let run = if let Some(folder) = get("folder").and_then(|f| f.as_str()) {
            Run::Static { folder: root.join(folder), not_found: None }
        } else {
            let command = get("command").and_then(|c| c.as_str()).ok_or(vec![format!("{name}: command")])?;
            let port = get("port").and_then(toml_edit::Item::as_integer).ok_or(vec![format!("{name}: port")])?;
            let mut env: BTreeMap<String, Value> = BTreeMap::new();
            env.insert("HOST".into(), Value::text("127.0.0.1"));
            for secret in strings(get("secrets")) {
                env.insert(secret.clone(), Value(vec![Part::Secret(secret)]));
            }
            if let Some(table) = get("env").and_then(|e| e.as_inline_table()) {
                for (key, value) in table {
                    env.insert(key.to_owned(), Value::text(value.as_str().unwrap_or_default()));
                }
            }
            Run::Command(Command {
                argv: command.split_whitespace().map(str::to_owned).collect(),
                cwd: root.clone(),
                migrate: strings(get("migrate")),
                internal: ([127, 0, 0, 1], u16::try_from(port).unwrap_or(0)).into(),
                env,
                live: "/api/health".into(),
                ready: "/api/health/ready".into(),
                instances: get("instances")
                    .and_then(toml_edit::Item::as_integer)
                    .and_then(|n| u16::try_from(n).ok())
                    .unwrap_or(1),
                start_timeout: Duration::from_secs(
                    get("start_timeout").and_then(toml_edit::Item::as_integer).unwrap_or(10).unsigned_abs(),
                ),
                stop_timeout: Duration::from_secs(3),
            })
        };
        services.push(Service {
            name: name.to_owned(),
            project: "test".into(),
            kind: Kind::Backend,
            hosts: vec![format!("{name}.localhost")],
            public_url: Some(format!("http://{name}.localhost:{}", listen.port())),
            redirects: BTreeMap::new(),
            run,
            needs: strings(get("needs")),
            secrets: strings(get("secrets")),
            limits: ServiceLimits {
                memory_bytes: get("memory").map(|_| 64 * 1024 * 1024),
                max_body_bytes: 1024 * 1024,
                response_timeout: Duration::from_secs(30),
            },
        });
    }
    Ok(Plan {
        ecosystem: doc["name"].as_str().unwrap_or_default().to_owned(),
        domain: "localhost".into(),
        environment: Environment::Development,
        root,
        data: data.to_owned(),
        listen,
        public_scheme: "http".into(),
        public_port: Some(listen.port()),
        instance_ports: (20_000, 20_999),
        secrets,
        projects: BTreeMap::from([("test".to_owned(), Project { about: None })]),
        services,
    })
}
