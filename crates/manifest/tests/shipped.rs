//! The manifest that ships, and its schema.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mana_manifest::plan::{Environment, Plan, Run};
use mana_manifest::{Facts, Manifest, Overrides};
use proptest::prelude::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn shipped() -> String {
    std::fs::read_to_string(root().join("mana.toml")).unwrap()
}

fn plan(text: &str, overrides: &Overrides) -> Plan {
    let manifest = Manifest::parse(Path::new("/srv/manacore/mana.toml"), text).unwrap();
    manifest.plan(overrides, &Facts::assumed()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn in_environment(environment: Environment) -> Overrides {
    Overrides { environment: Some(environment.as_str().to_owned()), ..Overrides::default() }
}

#[test]
fn it_is_right_in_every_environment() {
    let manifest = Manifest::parse(&root().join("mana.toml"), &shipped()).unwrap();
    let problems = manifest.check(&Overrides::default(), &Facts::assumed());
    assert!(problems.list().is_empty(), "{problems}");
}

#[test]
fn its_plans_are_as_people_know_them() {
    for environment in Environment::ALL {
        insta::assert_snapshot!(
            environment.as_str(),
            mana_manifest::render(&plan(&shipped(), &in_environment(environment)))
        );
    }
}

#[test]
fn hosts_and_ports_are_those_that_others_rely_on() {
    let plan = plan(&shipped(), &Overrides::default());
    let urls: BTreeMap<&str, &str> = plan
        .services
        .iter()
        .filter_map(|service| Some((service.name.as_str(), service.public_url.as_deref()?)))
        .collect();
    let expected = [
        ("chat-backend", "http://api-chat.localhost:8080"),
        ("chat-landing", "http://chat.localhost:8080"),
        ("chat-web", "http://app-chat.localhost:8080"),
        ("mana-core-auth", "http://auth.localhost:8080"),
    ];
    assert_eq!(urls, BTreeMap::from(expected));
    let port = |name: &str| match &plan.services.iter().find(|service| service.name == name).unwrap().run {
        Run::Command(command) => command.internal.port(),
        Run::Static { .. } => 0,
    };
    assert_eq!((port("mana-core-auth"), port("chat-backend")), (3001, 3002));
}

#[test]
fn overrides_move_every_port_and_folder() {
    let overrides = Overrides { port_offset: Some(500), data: Some("/tmp/elsewhere".into()), ..Overrides::default() };
    let moved = plan(&shipped(), &overrides);
    assert_eq!(moved.listen, "127.0.0.1:8580".parse::<SocketAddr>().unwrap());
    let (here, there) = (ports(&plan(&shipped(), &Overrides::default())), ports(&moved));
    assert_eq!(here.iter().map(|port| port + 500).collect::<BTreeSet<_>>(), there);
    assert!(!format!("{moved:?}").contains(".mana"), "{moved:#?}");
    let listen = Overrides { listen: Some("127.0.0.1:9999".into()), ..overrides };
    assert_eq!(
        plan(&shipped(), &listen).services.last().unwrap().public_url.as_deref(),
        Some("http://chat.localhost:9999")
    );
}

fn ports(plan: &Plan) -> BTreeSet<u16> {
    let internal = plan.services.iter().filter_map(|service| match &service.run {
        Run::Command(command) => Some(command.internal.port()),
        Run::Static { .. } => None,
    });
    internal.chain([plan.listen.port()]).collect()
}

#[test]
fn wrong_overrides_name_their_flag() {
    let manifest = Manifest::parse(Path::new("mana.toml"), &shipped()).unwrap();
    let check = |overrides: Overrides, expected: &str| {
        let message = manifest.plan(&overrides, &Facts::assumed()).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    check(Overrides { environment: Some("prod".into()), ..Overrides::default() }, "--env is \"prod\"");
    check(Overrides { listen: Some("x".into()), ..Overrides::default() }, "--listen is \"x\"");
    check(Overrides { port_offset: Some(60_000), ..Overrides::default() }, "--port-offset is \"60000\"");
}

#[test]
fn the_schema_on_disk_is_current() {
    let path = root().join("docs/mana.schema.json");
    let current = serde_json::to_string_pretty(&mana_manifest::schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == current, "docs/mana.schema.json is not current: run `UPDATE=1 cargo test -p mana-manifest`");
}

/// The shipped manifest with a piece of it cut out, repeated or replaced.
fn mutated() -> impl Strategy<Value = String> {
    let text = shipped();
    let length = text.chars().count();
    (0..length, 0..60_usize, "\\PC{0,12}", 0..3_u8).prop_map(move |(start, count, replacement, how)| {
        let letters: Vec<char> = text.chars().collect();
        let end = (start + count).min(letters.len());
        let piece: String = letters[start..end].iter().collect();
        let middle = match how {
            0 => String::new(),
            1 => format!("{piece}{piece}"),
            _ => replacement,
        };
        let (before, after): (String, String) = (letters[..start].iter().collect(), letters[end..].iter().collect());
        format!("{before}{middle}{after}")
    })
}

fn exercise(text: &str) {
    let Ok(manifest) = Manifest::parse(Path::new("/x/mana.toml"), text) else { return };
    let problems = manifest.check(&Overrides::default(), &Facts { exists: &|_| false });
    let shown = format!("{problems} {}", serde_json::to_string(&problems).unwrap());
    assert_eq!(shown.is_empty(), problems.list().is_empty() && shown.len() == 3);
    for environment in Environment::ALL {
        if let Ok(plan) = manifest.plan(&in_environment(environment), &Facts::assumed()) {
            let again = manifest.plan(&in_environment(environment), &Facts::assumed()).unwrap();
            assert_eq!(plan, again);
            mana_manifest::render(&plan);
            let hosts: Vec<&String> = plan.services.iter().flat_map(|service| &service.hosts).collect();
            assert_eq!(hosts.iter().collect::<BTreeSet<_>>().len(), hosts.len(), "a host belongs to one");
            let programs = plan.services.iter().filter(|service| matches!(service.run, Run::Command(_))).count();
            assert_eq!(ports(&plan).len(), programs + 1, "a port belongs to one");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_of_it_panics(text in mutated()) {
        exercise(&text);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        exercise(&text);
    }

    #[test]
    fn no_table_of_known_keys_panics(lines in proptest::collection::vec(line(), 0..12)) {
        exercise(&format!("name = \"x\"\ndomain = \"x.example\"\n{}", lines.join("\n")));
    }
}

/// A line made of words that mean something, in places where they may not.
fn line() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "command", "port", "needs", "env", "secrets", "host", "limits", "migrate", "kind", "listen", "data", "folder",
        "build", "artefact", "checks", "releases", "accepted",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "\"x\"",
        "[]",
        "{}",
        "true",
        "[\"a\"]",
        "{ A = \"${secret.A}\" }",
        "\"${\"",
        "70000",
        "-1",
        "\"\"",
        "1.5",
        "2026-01-01",
    ]);
    let table = prop::sample::select(vec![
        "[services.a-web]",
        "[services.a-backend]",
        "[services.a]",
        "[secrets]",
        "[environments.staging]",
        "[projects]",
        "[services.a-web.production]",
        "[services.a-web.build]",
        "[releases]",
        "[releases.accepted]",
    ]);
    prop_oneof![3 => (key, value).prop_map(|(key, value)| format!("{key} = {value}")), 1 => table.prop_map(str::to_owned)]
}

#[test]
fn what_nobody_here_runs_is_needed_without_being_waited_for() {
    let text = "name = \"shop\"\ndomain = \"shop.example\"\n[secrets]\nTOKEN = { generate = 32 }\n\
        [dependencies.model]\nurl = \"https://model.example/?key=${secret.TOKEN}\"\nstatus = 200\n\
        [dependencies.books]\nurl = \"tcp://books.example:9000\"\nenvironments = [\"production\"]\n\
        [services.shop-backend]\ncommand = \"bin/shop\"\nport = 4001\nneeds = [\"model\", \"books\"]\n\
        [watch]\nremote_write = { url = \"https://p.example/write\", headers = { authorization = \"Bearer ${secret.TOKEN}\" } }\n\
        heartbeat = { url = \"https://beat.example/1\" }\nenvironments = [\"production\"]\n";
    let development = plan(text, &Overrides::default());
    assert_eq!(
        (development.services[0].needs.len(), &development.services[0].dependencies[..]),
        (0, &["model".into()][..])
    );
    assert_eq!(development.dependencies[0].url.redacted(), "https://model.example/?key=[secret TOKEN]");
    assert!(development.watch.remote_write.is_none() && development.watch.heartbeat.is_none());
    let production = plan(text, &in_environment(Environment::Production));
    assert_eq!(production.services[0].dependencies, ["books", "model"]);
    let told = production.watch;
    assert_eq!(told.remote_write.unwrap().headers["authorization"].redacted(), "Bearer [secret TOKEN]");
    assert_eq!(told.heartbeat.unwrap().every.as_secs(), 60);
}
