//! What operators show beside a password, or in its place: codes and passkeys.

mod support;

use std::process::Command as Process;

use mana_control::api::{NewOperator, Role};
use mana_control::paths;

use support::people::{Browser, PASSWORD, somebody, started, written};
use support::{Ecosystem, Service};

/// The code of a moment, by a program that is not ours.
fn code(secret: &str, offset_s: i64) -> String {
    let script = "import base64, hashlib, hmac, struct, sys, time\n\
        key = base64.b32decode(sys.argv[1])\n\
        step = (int(time.time()) + int(sys.argv[2])) // 30\n\
        mac = hmac.new(key, struct.pack('>Q', step), hashlib.sha1).digest()\n\
        at = mac[-1] & 15\n\
        print('%06d' % ((struct.unpack('>I', mac[at:at + 4])[0] & 0x7fffffff) % 1000000))";
    let output = Process::new("python3").args(["-c", script, secret, &offset_s.to_string()]).output().expect("runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test]
async fn a_second_factor_is_asked_for_and_each_code_is_good_once() {
    let mut ecosystem = started().await;
    let mut ada = somebody(&ecosystem, "ada", Role::Operator).await;
    let mut elsewhere = Browser::new(&ecosystem);
    elsewhere.log_in("ada", PASSWORD, "");
    let page = ada.get("/account/second-factor");
    let (_, rest) = page.body.split_once("name=\"secret\" value=\"").expect("a secret");
    let secret = rest.split('"').next().expect("a value").to_owned();
    let set = |ada: &mut Browser, code: &str, password: &str| {
        let fields = [("secret", secret.as_str()), ("code", code), ("password", password)];
        ada.send("/account/second-factor", "/account/second-factor", &fields)
    };
    assert_eq!(set(&mut ada, "000000", PASSWORD).status, 422);
    assert_eq!(set(&mut ada, &code(&secret, 0), "another password").status, 403);
    let codes = set(&mut ada, &code(&secret, 0), PASSWORD);
    assert_eq!(codes.status, 200, "{}", codes.body);
    let codes: Vec<&str> =
        codes.body.lines().filter_map(|line| line.trim().strip_prefix("<li>")?.strip_suffix("</li>")).collect();
    assert_eq!(codes.len(), 10);
    assert!(ada.is_logged_in() && !elsewhere.is_logged_in());
    assert_eq!(elsewhere.log_in("ada", PASSWORD, "").status, 401);
    let good = code(&secret, 30);
    assert_eq!(elsewhere.log_in("ada", "wrong password", &good).status, 401);
    assert_eq!(elsewhere.log_in("ada", PASSWORD, &good).status, 303, "a failed try uses no code up");
    assert_eq!(Browser::new(&ecosystem).log_in("ada", PASSWORD, &good).status, 401, "it was used");
    assert_eq!(Browser::new(&ecosystem).log_in("ada", PASSWORD, codes[3]).status, 303);
    assert_eq!(Browser::new(&ecosystem).log_in("ada", PASSWORD, codes[3]).status, 401, "it was used");
    let remove = |browser: &mut Browser, password: &str| {
        browser.send("/account", "/account/second-factor/remove", &[("password", password)])
    };
    assert_eq!(remove(&mut ada, "another password").status, 403);
    assert_eq!(remove(&mut ada, PASSWORD).status, 303);
    assert_eq!(Browser::new(&ecosystem).log_in("ada", PASSWORD, "").status, 303);
    // Another password ends what the old one began.
    let change = [("current", PASSWORD), ("password", "staple of another kind"), ("again", "staple of another kind")];
    assert_eq!(ada.send("/account", "/account/password", &change).status, 303);
    assert!(ada.is_logged_in() && !elsewhere.is_logged_in());
    assert_eq!(elsewhere.log_in("ada", PASSWORD, "").status, 401);
    assert_eq!(elsewhere.log_in("ada", "staple of another kind", "").status, 303);
    ecosystem.down().await;
}

#[tokio::test]
async fn a_passkey_is_made_lets_in_and_opens_nothing_once_it_is_removed() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.write(&[Service::new("one")]);
    let manifest = std::fs::read_to_string(ecosystem.manifest()).expect("read");
    // Browsers make passkeys for names alone; this one is of the machine itself, and is trusted as such.
    let manifest = manifest.replace("listen = ", "ops = \"ops.localhost\"\nlisten = ");
    std::fs::write(ecosystem.manifest(), manifest).expect("written");
    support::repository::up(&ecosystem).await;
    let request = NewOperator { name: "ada".into(), role: Role::Admin };
    let after = ecosystem.client().await.add_operator(&request).await.expect("added");
    let link = after.invitation.expect("a link").link;
    let (origin, code) = link.split_once("/invite#").expect("a code behind the #");

    let ui = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui");
    let mut node = tokio::process::Command::new("node");
    node.arg("drive-operators.mjs").current_dir(ui).kill_on_drop(true);
    node.env("URL", origin).env("NAME", "ada").env("PASSWORD", PASSWORD).env("INVITATION", code);
    let driven = node.output().await.expect("node runs (`make ui` installs what it needs)");
    let said = String::from_utf8_lossy(&driven.stdout);
    assert!(driven.status.success(), "{said}\n{}", String::from_utf8_lossy(&driven.stderr));

    let rows = written(&ecosystem).await;
    let outcomes = |what: &str, outcome: &str| {
        rows.iter()
            .filter(|row| row.starts_with("ada|") && row.contains(&format!("|{what}|")) && row.contains(outcome))
            .count()
    };
    assert_eq!((outcomes("login/passkey", "done"), outcomes("account/passkeys", "done")), (2, 1), "{rows:#?}");
    assert_eq!(outcomes("login/passkey", "refused: passkey: its count went back"), 1, "{rows:#?}");
    assert_eq!(outcomes("account/passkeys/remove", "done"), 1, "{rows:#?}");
    assert!(
        rows.iter().any(|row| row.starts_with("unknown|") && row.ends_with("refused: an unknown passkey")),
        "{rows:#?}"
    );
    ecosystem.down().await;
}

#[tokio::test]
async fn no_second_factor_lies_open_in_the_data_folder() {
    let mut ecosystem = started().await;
    let mut ada = somebody(&ecosystem, "ada", Role::Admin).await;
    let page = ada.get("/account/second-factor");
    let secret =
        page.body.split_once("name=\"secret\" value=\"").expect("a secret").1.split('"').next().expect("it").to_owned();
    let shown = [("secret", secret.as_str()), ("code", &code(&secret, 0)), ("password", PASSWORD)];
    assert_eq!(ada.send("/account/second-factor", "/account/second-factor", &shown).status, 200);
    let database = paths::database(&ecosystem.data());
    for file in [database.clone(), database.with_extension("db-wal")] {
        let text = std::fs::read(&file).unwrap_or_default();
        assert!(!text.windows(secret.len()).any(|part| part == secret.as_bytes()), "{}", file.display());
    }
    // It is still asked for, and right, after the control plane has begun anew.
    ecosystem.kill_control();
    ecosystem.start_control().await;
    let mut browser = Browser::new(&ecosystem);
    support::until("the door is open again", async || (browser.get("/login").status == 200).then_some(())).await;
    assert_eq!(browser.log_in("ada", PASSWORD, "000000").status, 401);
    assert_eq!(browser.log_in("ada", PASSWORD, &code(&secret, 30)).status, 303);
    ecosystem.down().await;
}
