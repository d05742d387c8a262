//! `mana scan`, and the scan at the end of `mana build`, through the real binary.

mod repository;

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use repository::{Repository, text};
use serde_json::Value;

const BUILD: &str = "command = \"./make.sh\"\npackage = \"shop\"";

const LOCK: &str = r#"
version = 4

[[package]]
name = "shop"
version = "0.1.0"
dependencies = ["dep", "only-tests"]

[[package]]
name = "other"
version = "0.1.0"
dependencies = ["not-ours"]

[[package]]
name = "dep"
version = "1.1.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "aaaa"

[[package]]
name = "only-tests"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"

[[package]]
name = "not-ours"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
"#;

/// A shop with dependencies.
fn shop() -> Repository {
    let shop = Repository::new(BUILD);
    shop.write("Cargo.lock", LOCK);
    shop.write(
        "Cargo.toml",
        "[package]\nname = \"shop\"\nversion = \"0.1.0\"\n[dependencies]\ndep = \"1\"\n[dev-dependencies]\nonly-tests = \"1\"\n",
    );
    shop.write(".gitignore", "/out\n/.mana\n/advisories\n");
    shop.commit("dependencies");
    shop
}

/// What stands below `[releases]` in the manifest.
fn releases(shop: &Repository, text: &str) {
    let manifest = fs::read_to_string(shop.path().join("mana.toml")).expect("text");
    let before = manifest.split("[releases]").next().expect("a part");
    shop.write("mana.toml", &format!("{before}[releases]\nadvisories = [\"advisories\"]\n{text}"));
    shop.commit("releases");
}

#[expect(clippy::disallowed_methods, reason = "what is new or old is so for the real binary's clock")]
/// An advisory about a package, in OSV's form, changed so many days ago.
fn osv(shop: &Repository, id: &str, package: &str, score: &str, days: i64) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let at = i64::try_from(now).expect("a time") - days * 24 * 3600;
    let at = jiff::Timestamp::from_second(at).expect("a time");
    shop.write(
        &format!("advisories/{id}.json"),
        &format!(
            r#"{{"id": "{id}", "modified": "{at}", "summary": "it breaks", "aliases": ["CVE-{id}"],
            "severity": [{{"type": "CVSS_V3", "score": "{score}"}}],
            "affected": [{{"package": {{"ecosystem": "crates.io", "name": "{package}"}},
            "ranges": [{{"type": "SEMVER", "events": [{{"introduced": "0"}}, {{"fixed": "1.2.0"}}]}}]}}]}}"#
        ),
    );
}

const CRITICAL: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
const MEDIUM: &str = "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:H";

#[test]
fn a_known_vulnerability_stops_a_release_until_it_is_accepted() {
    let shop = shop();
    releases(&shop, "");
    osv(&shop, "OSV-1", "dep", MEDIUM, 0);
    osv(&shop, "OSV-2", "only-tests", CRITICAL, 0);
    osv(&shop, "OSV-3", "not-ours", CRITICAL, 0);
    let out = shop.check(&["build", "shop-backend"], 0, "medium OSV-1 dep 1.1.0: it breaks", "");
    assert!(out.contains("put right in 1.2.0") && !out.contains("OSV-2") && !out.contains("OSV-3"), "{out}");

    osv(&shop, "OSV-4", "dep", CRITICAL, 0);
    shop.check(&["build", "shop-backend"], 1, "is stopped by 1 finding", "");
    shop.check(&["scan", "shop-backend"], 1, "✗ critical OSV-4", "");
    shop.check(&["releases"], 0, "stopped by 1", "");
    let accept =
        |until: &str| format!("[releases.accepted]\nCVE-OSV-4 = {{ reason = \"unreachable\", until = \"{until}\" }}\n");
    releases(&shop, &accept("2999-12-31"));
    shop.check(&["scan", "shop-backend"], 0, "accepted: unreachable (until 2999-12-31)", "");
    releases(&shop, &accept("2020-12-31"));
    shop.check(&["scan", "shop-backend"], 1, "was accepted until 2020-12-31 and counts again", "");
    releases(&shop, "[releases.accepted]\nCVE-1 = { reason = \"x\", until = \"2999-12-31\" }\n");
    shop.check(&["scan", "shop-backend"], 1, "CVE-1 is accepted and was not found in shop-backend", "");
}

#[test]
fn rustsecs_own_form_is_understood() {
    let shop = shop();
    releases(&shop, "advisories_max_age = \"36500d\"\n");
    let advisory = "```toml\n[advisory]\nid = \"RUSTSEC-2026-0001\"\npackage = \"dep\"\ndate = \"2026-01-01\"\n\
                    [versions]\npatched = [\">= 1.1.1\"]\n```\n\n# Everything is on fire\n";
    shop.write("advisories/crates/dep/RUSTSEC-2026-0001.md", advisory);
    shop.check(&["build", "shop-backend"], 1, "unknown RUSTSEC-2026-0001 dep 1.1.0: Everything is on fire", "");
}

#[test]
fn old_missing_or_unnamed_advisories_are_no_pass() {
    let shop = shop();
    let head = ["--ref", "HEAD"];
    let production = |code, out: &str| {
        shop.check(&[&["-e", "production", "build", "shop-backend"], head.as_slice()].concat(), code, out, "");
    };
    production(1, "no-advisories");
    shop.check(
        &["build", "shop-backend"],
        0,
        "low no-advisories there are no advisories to look its one package up in",
        "",
    );
    releases(&shop, "");
    shop.check(&["build", "shop-backend"], 1, "", "cannot read the advisories in");
    fs::create_dir(shop.path().join("advisories")).expect("made");
    shop.check(&["build", "shop-backend"], 1, "empty-advisories", "");
    osv(&shop, "OSV-9", "unrelated", CRITICAL, 9);
    shop.check(&["build", "shop-backend"], 1, "the newest advisory is 9 days old; at most 7 days are allowed", "");
    releases(&shop, "accepted = { old-advisories = { reason = \"no network\", until = \"2999-01-01\" } }\n");
    shop.check(&["build", "shop-backend"], 0, "accepted: no network", "");
    osv(&shop, "OSV-8", "unrelated", CRITICAL, 2);
    shop.check(&["build", "shop-backend"], 0, "2 advisories, the newest from 2 d", "");
}

#[test]
fn secrets_in_the_artefact_stop_it_and_are_not_shown() {
    const TOKEN: &str = "a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2";
    let shop = Repository::new(BUILD);
    let own = "[secrets]\nSHOP_KEY = { about = \"of the shop\" }\n";
    shop.write(
        "mana.toml",
        &fs::read_to_string(shop.path().join("mana.toml"))
            .expect("text")
            .replace("[services.shop-landing]", &format!("{own}[services.shop-landing]")),
    );
    shop.write("source", &format!("\0\0 token=gh{}{TOKEN} \0", "p_"));
    shop.commit("a token");
    let out = shop.check(&["build", "shop-backend"], 1, "critical secret:GitHub-token:out/shop", "");
    assert!(!out.contains(TOKEN), "{out}");

    shop.write("source", "the value is hunter2-hunter2, once compiled in");
    shop.commit("another secret");
    shop.check(&["build", "shop-backend"], 0, "passes the scan", "");
    let mut set = shop
        .command(&["secret", "set", "SHOP_KEY"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("mana starts");
    writeln!(set.stdin.take().expect("a pipe"), "hunter2-hunter2").expect("written");
    assert!(set.wait().expect("mana ends").success());
    let out = shop.check(&["scan", "shop-backend"], 1, "secret SHOP_KEY in out/shop, at byte 13", "");
    assert!(!out.contains("hunter2"), "{out}");
}

#[test]
fn the_bill_of_materials_is_the_same_for_the_same_commit() {
    let shop = shop();
    let bill = |shop: &Repository| {
        let [release] = shop.releases("shop-backend").try_into().expect("one");
        let folder = shop.data("releases/shop-backend").join(release["id"].as_str().expect("an id"));
        fs::read_to_string(folder.join("sbom.json")).expect("a bill")
    };
    shop.check(&["build", "shop-backend"], 0, "", "");
    let first = bill(&shop);
    let parsed: Value = serde_json::from_str(&first).expect("JSON");
    assert_eq!((&parsed["bomFormat"], &parsed["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    let purls: Vec<&str> = parsed["components"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|component| component["purl"].as_str())
        .collect();
    assert_eq!(purls, ["pkg:cargo/dep@1.1.0"]);
    let data = shop.data("");
    assert!(std::process::Command::new("chmod").args(["-R", "u+w"]).arg(&data).status().expect("chmod").success());
    fs::remove_dir_all(data).expect("removed");
    shop.check(&["build", "shop-backend"], 0, "", "");
    assert_eq!(bill(&shop), first);
}

#[test]
fn a_release_that_was_changed_is_not_scanned() {
    let shop = shop();
    shop.check(&["build", "shop-backend"], 0, "", "");
    shop.check(&["scan", "shop-backend", "v9"], 2, "", "shop-backend has no release `v9`");
    let [release] = shop.releases("shop-backend").try_into().expect("one");
    fs::write(shop.root("shop-backend", &release).join("more"), "x")
        .or_else(|_| {
            // Only root may write there without asking.
            std::process::Command::new("chmod").args(["-R", "u+w"]).arg(shop.path()).status()?;
            fs::write(shop.root("shop-backend", &release).join("more"), "x")
        })
        .expect("written");
    let output = shop.mana(&["scan", "shop-backend"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("more was added"), "{}", text(&output.stderr));
}
