//! Wrong manifests, each with what is said about it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use mana_manifest::{Facts, Manifest, Overrides, Problems};

const GOOD: &str = r#"name = "shop"
domain = "shop.example"

[secrets]
TOKEN = { generate = 32 }

[services.shop-backend]
command = "bin/shop"
port = 4000
secrets = ["TOKEN"]
"#;

fn problems(text: &str) -> Problems {
    match Manifest::parse(Path::new("mana.toml"), text) {
        Ok(manifest) => manifest.check(&Overrides::default(), &Facts::assumed()),
        Err(problems) => problems,
    }
}

/// The good manifest with lines added at its end.
fn with(lines: &str) -> String {
    format!("{GOOD}{lines}")
}

#[test]
fn the_good_one_is_good() {
    assert!(problems(GOOD).list().is_empty(), "{}", problems(GOOD));
}

#[test]
fn a_guard_is_no_longer_than_the_edge_remembers() {
    for (rollout, is_too_long) in [
        ("warm = \"72h\", guard = \"25h\"", true),
        ("warm = \"72h\", guard = \"24h\"", false),
        // It ends with `warm`.
        ("warm = \"1h\", guard = \"25h\"", false),
    ] {
        let service = "command = \"bin/x\"\nport = 4001\n";
        let found =
            problems(&with(&format!("\n[services.x-backend]\n{service}rollout = {{ {rollout} }}\n"))).to_string();
        assert_eq!(found.contains("guard is longer than a day"), is_too_long, "{rollout}: {found}");
        assert!(is_too_long || found.is_empty(), "{rollout}: {found}");
    }
}

#[test]
fn every_wrong_one_says_where_what_and_what_instead() {
    let service = |lines: &str| with(&format!("\n[services.x-web]\n{lines}\n"));
    let ok = "command = \"bin/x\"\nport = 4001\n";
    let cases = [
        ("not TOML", "name = \"x".to_owned()),
        ("twice the same key", GOOD.replace("port = 4000", "port = 4000\nport = 4001")),
        ("nothing", String::new()),
        ("unknown key", GOOD.replace("command", "comand")),
        ("unknown key at the top", format!("nmae = \"x\"\n{GOOD}")),
        ("unknown key in an environment", with("[environments.production]\nlisten_on = \"0.0.0.0:80\"\n")),
        ("unknown environment", with("[environments.prodution]\n")),
        ("unknown key in limits", service(&format!("{ok}limits = {{ memroy = \"1MB\" }}"))),
        ("wrong type", GOOD.replace("port = 4000", "port = \"4000\"")),
        (
            "wrong type of a table",
            with("[services]\nx-web = 3\n").replace("[services.shop-backend]", "[services.y-backend]"),
        ),
        ("wrong type in a list", service(&format!("{ok}needs = [1]"))),
        ("dependency at no address", with("\n[dependencies.model]\nurl = \"api.example.com\"\n")),
        ("dependency without an address", with("\n[dependencies.model]\nstatus = 200\n")),
        ("dependency without a port", with("\n[dependencies.mysql]\nurl = \"tcp://db.example.com\"\n")),
        (
            "dependency that is asked too seldom and may take too long",
            with("\n[dependencies.model]\nurl = \"https://m.example\"\ninterval = \"1h\"\ntimeout = \"9s\"\n"),
        ),
        ("dependency with a service's name", with("\n[dependencies.shop-backend]\nurl = \"https://m.example\"\n")),
        (
            "dependency with an unknown secret",
            with("\n[dependencies.model]\nurl = \"https://m.example/${secret.NONE}\"\n"),
        ),
        ("heartbeat to nowhere", with("\n[watch]\nheartbeat = { every = \"1m\" }\n")),
        ("samples to no address", with("\n[watch]\nremote_write = { url = \"ftp://x.example\" }\n")),
        ("status page of no service", with("\n[status]\nservices = [\"shop-bakend\"]\n")),
        ("status page on a service's host", with("\n[status]\nhost = \"api-shop\"\n")),
        ("channel without a kind", with("\n[notifications.ops]\nurl = \"https://example.org\"\n")),
        ("channel without an address", with("\n[notifications.ops]\nkind = \"slack\"\n")),
        ("channel of an unknown kind", with("\n[notifications.ops]\nkind = \"slak\"\nurl = \"https://x.example\"\n")),
        ("channel with an unknown secret", with("\n[notifications.ops]\nkind = \"slack\"\nurl = \"${secret.NONE}\"\n")),
        ("channel at no address", with("\n[notifications.ops]\nkind = \"ntfy\"\nurl = \"ntfy.sh/x\"\n")),
        (
            "channel of an unknown service",
            with(
                "\n[notifications.ops]\nkind = \"slack\"\nurl = \"${secret.TOKEN}\"\nservices = [\"shop\"]\nevents = [\"doen\"]\n",
            ),
        ),
        ("mail from and to nobody", with("\n[notifications.ops]\nkind = \"email\"\nserver = \"example.org:587\"\n")),
        (
            "mail in the clear",
            with(
                "\n[notifications.ops]\nkind = \"email\"\nserver = \"example.org:25\"\nencryption = \"plain\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\nuser = \"a\"\n",
            ),
        ),
        ("unknown kind", service(&format!("{ok}kind = \"bakend\""))),
        ("no kind", with("\n[services.shop]\ncommand = \"x\"\nport = 4001\n")),
        ("duplicate port", service("command = \"bin/x\"\nport = 4000")),
        ("privileged port", service("command = \"bin/x\"\nport = 80")),
        ("port too large", service("command = \"bin/x\"\nport = 70000")),
        ("reserved port", service("command = \"bin/x\"\nport = 5432")),
        ("public port", service("command = \"bin/x\"\nport = 8080")),
        ("instance port", service("command = \"bin/x\"\nport = 20001")),
        ("no port", service("command = \"bin/x\"")),
        ("neither command nor folder", service("port = 4001")),
        ("both command and folder", service(&format!("{ok}folder = \"site\""))),
        ("folder with a port", service("folder = \"site\"\nport = 4001")),
        ("duplicate host", service(&format!("{ok}host = \"api-shop\""))),
        ("invalid host", service(&format!("{ok}host = \"Shop_1\""))),
        ("unknown dependency", service(&format!("{ok}needs = [\"shop-bakend\"]"))),
        (
            "dependency on a folder",
            service(&format!("{ok}needs = [\"y-landing\"]\n\n[services.y-landing]\nfolder = \"site\"")),
        ),
        (
            "cycle",
            service(&format!(
                "{ok}needs = [\"y-web\"]\n\n[services.y-web]\ncommand = \"bin/y\"\nport = 4002\nneeds = [\"x-web\"]"
            )),
        ),
        ("cycle with itself", service(&format!("{ok}needs = [\"x-web\"]"))),
        ("unknown secret", service(&format!("{ok}secrets = [\"TOKN\"]"))),
        (
            "secret of another environment",
            service(&format!("{ok}secrets = [\"KEY\"]"))
                .replace("[secrets]", "[secrets]\nKEY = { environments = [\"production\"] }"),
        ),
        ("secret too short", GOOD.replace("generate = 32", "generate = 4")),
        ("invalid secret name", GOOD.replace("TOKEN", "token")),
        ("invalid service name", with("\n[services.Shop-web]\ncommand = \"x\"\nport = 4001\n")),
        ("invalid ecosystem name", GOOD.replace("\"shop\"", "\"My Shop\"")),
        ("invalid domain", GOOD.replace("shop.example", "https://shop.example")),
        ("invalid size", service(&format!("{ok}limits = {{ memory = \"256\" }}"))),
        ("invalid duration", service(&format!("{ok}start_timeout = \"30\""))),
        ("no time to drain", service(&format!("{ok}limits = {{ drain = \"0s\", request_timeout = \"2d\" }}"))),
        ("invalid rate", service(&format!("{ok}limits = {{ rate = \"600\" }}"))),
        ("duration as a number", service(&format!("{ok}start_timeout = 30"))),
        ("invalid listen", with("[environments.development]\nlisten = \"localhost\"\n")),
        (
            "invalid proxies",
            with("[environments.production]\ntrusted_proxies = [\"10.0.0.0/8\", \"10.0.0.1/8\", \"caddy\"]\n"),
        ),
        ("unknown source of certificates", with("[environments.production]\ntls = \"acne\"\n")),
        ("http though the edge speaks TLS", with("[environments.production]\nscheme = \"http\"\n")),
        (
            "acme settings without acme",
            with("[environments.production]\ntls = \"off\"\nacme = { email = \"a@b.example\" }\n"),
        ),
        (
            "certificates without TLS",
            with("[environments.development.certificates]\nown = { certificate = \"a.pem\", key = \"a.key\" }\n"),
        ),
        (
            "certificate without its key",
            with("[environments.production.certificates]\nown = { certificate = \"a.pem\" }\n"),
        ),
        ("address of TLS without TLS", with("[environments.development]\ntls_listen = \"127.0.0.1:8443\"\n")),
        ("no port for TLS", with("[environments.production]\nlisten = \"0.0.0.0:80\"\ntls_listen = \"0.0.0.0:80\"\n")),
        (
            "path out of the folder",
            service(&format!("{ok}build = {{ command = \"make\", artefact = [\"../x\", \"/etc\"] }}")),
        ),
        (
            "artefact without the program",
            service(&format!("{ok}build = {{ command = \"make\", artefact = [\"lib\"] }}")),
        ),
        ("empty artefact", service(&format!("{ok}build = {{ command = \"make\", artefact = [] }}"))),
        (
            "artefact that cannot be told",
            service("command = \"node server.js\"\nport = 4001\nbuild = { command = \"npm run build\" }"),
        ),
        (
            "limits of a build",
            service(&format!(
                "{ok}build = {{ memory = \"1MB\", timeout = \"0s\", check_timeout = \"2d\", cpu = 0, checks = {{ Lint = \"x\" }} }}"
            )),
        ),
        ("build of an environment", service(&format!("{ok}production = {{ build = {{ command = \"make\" }} }}"))),
        (
            "acceptance without reason and end",
            with("[releases.accepted]\nRUSTSEC-2024-0001 = { services = [\"shop-bakend\"] }\n"),
        ),
        (
            "acceptance until no day",
            with("[releases.accepted]\n\"a b\" = { reason = \"x\", until = \"2026-02-30\" }\n"),
        ),
        ("releases that are not kept", with("[releases]\nkeep = 0\nadvisories_max_age = \"0s\"\n")),
        ("http3 without TLS", with("[environments.development]\nhttp3 = true\n")),
        ("PROXY header of nobody", with("[environments.production]\nproxy_protocol = true\n")),
        ("traces to nowhere", with("[environments.production]\ntraces = \"localhost:4318\"\n")),
        ("password in clear text", service(&format!("{ok}access = {{ basic_auth = [\"anna:secret\"] }}"))),
        ("cors for nobody", service(&format!("{ok}cors = {{ methods = [\"PUT\"] }}"))),
        (
            "cors for everybody with cookies",
            service(&format!("{ok}cors = {{ origins = [\"*\", \"app.example\"], credentials = true }}")),
        ),
        ("maintenance for too long", service(&format!("{ok}maintenance = \"5m\""))),
        ("unknown protocol", service(&format!("{ok}protocol = \"grpc\""))),
        ("invalid instance ports", with("[environments.development]\ninstance_ports = \"3000\"\n")),
        ("invalid probe path", service(&format!("{ok}health = {{ ready = \"ready\" }}"))),
        ("unknown reference", service(&format!("{ok}env = {{ X = \"${{service.shop}}\" }}"))),
        ("reference to no service", service(&format!("{ok}env = {{ X = \"${{services.nothing.url}}\" }}"))),
        ("reference to no secret", service(&format!("{ok}env = {{ X = \"${{secret.TOKE}}\" }}"))),
        ("reference never closed", service(&format!("{ok}env = {{ X = \"${{domain\" }}"))),
        ("reserved variable", service(&format!("{ok}env = {{ PORT = \"1\" }}"))),
        ("invalid variable", service(&format!("{ok}env = {{ path = \"1\" }}"))),
        ("redirect to nowhere", service(&format!("{ok}redirects = {{ \"/a\" = \"b\" }}"))),
        ("redirect from nowhere", service(&format!("{ok}redirects = {{ \"a\" = \"http://b.example\" }}"))),
        (
            "database without its name",
            service(&format!("{ok}database = \"x\"\n[environments.production]\ndatabase = \"postgres://host/fixed\"")),
        ),
        ("project without a service", with("[projects]\nshopp = {}\n")),
        ("empty command", service("command = \"\"\nport = 4001")),
        ("control character", service(&format!("{ok}cwd = \"a\\u0007b\""))),
        ("several at once", service("comand = \"x\"\nport = 4000\nneeds = [\"nobody\"]\nsecrets = [\"NONE\"]")),
    ];
    let mut report = String::new();
    for (name, text) in cases {
        let problems = problems(&text);
        assert!(problems.any_error(), "{name} is not refused:\n{text}");
        assert!(problems.list().iter().all(|problem| problem.help.is_some() && problem.line > 0), "{name}: {problems}");
        writeln!(report, "## {name}\n{problems}\n").unwrap();
    }
    insta::assert_snapshot!("messages", report);
}

#[test]
fn too_large_a_file_is_not_read() {
    let text = format!("{GOOD}# {}", "x".repeat(mana_manifest::MAX_BYTES));
    assert!(problems(&text).to_string().contains("at most 1048576"));
}

#[test]
fn what_is_missing_on_disk_is_said() {
    let text = with("\n[services.x-landing]\nfolder = \"site\"\n");
    let manifest = Manifest::parse(Path::new("/srv/mana.toml"), &text).unwrap();
    let problems = manifest.check(&Overrides::default(), &Facts { exists: &|_| false });
    let shown = problems.to_string();
    assert!(shown.contains("warning: the program /srv/bin/shop is not there"), "{shown}");
    assert!(shown.contains("the folder /srv/site is not there"), "{shown}");
}

#[test]
fn a_problem_is_drawn_with_its_line() {
    let problems = problems(&GOOD.replace("command", "comand"));
    let diagnostic = problems.diagnostics().next().unwrap();
    let mut drawn = String::new();
    miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::none())
        .render_report(&mut drawn, diagnostic)
        .unwrap();
    insta::assert_snapshot!("drawn", drawn);
    insta::assert_snapshot!("json", serde_json::to_string_pretty(&problems).unwrap());
}

#[test]
fn secrets_that_only_a_person_can_give_are_named_with_their_services() {
    let text = with("\n[services.x-web]\ncommand = \"bin/x\"\nport = 4001\nsecrets = [\"GIVEN\", \"TOKEN\"]\n")
        .replace("[secrets]", "[secrets]\nGIVEN = {}\nUNUSED = {}");
    let manifest = Manifest::parse(Path::new("mana.toml"), &text).unwrap();
    let plan = manifest.plan(&Overrides::default(), &Facts::assumed()).unwrap();
    let missing = mana_manifest::missing_secrets(&plan, &BTreeSet::new());
    assert_eq!(missing, [("GIVEN".to_owned(), vec!["x-web".to_owned()])]);
    assert!(mana_manifest::missing_secrets(&plan, &BTreeSet::from(["GIVEN".to_owned()])).is_empty());
}
