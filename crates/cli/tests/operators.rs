//! Operators and the audit log, through the real binary.

mod support;

use support::Ecosystem;

#[test]
fn operators_are_invited_by_a_link_and_what_is_done_is_written_down() {
    let small = Ecosystem::new("");
    let (_, err) = small.check(&["operator", "list"], 4);
    assert!(err.contains("no control plane runs"), "{err}");
    small.check(&["up"], 0);
    let (out, _) = small.check(&["operator", "list"], 0);
    assert!(out.contains("mana operator add NAME --role admin"), "{out}");
    let (_, err) = small.check(&["operator", "add", "ada", "--role", "admim"], 2);
    assert!(err.contains("did you mean `admin`?"), "{err}");
    let (link, _) = small.check(&["operator", "add", "ada", "--role", "admin"], 0);
    let begin = format!("http://ops.localhost:{}/invite#", small.port);
    let code = link.trim().strip_prefix(&begin).expect("a link of the door");
    assert_eq!(code.len(), 43, "256 bits");
    let (_, err) = small.check(&["operator", "add", "ada", "--role", "viewer"], 1);
    assert!(err.contains("mana operator reset ada"), "{err}");
    let (out, _) = small.check(&["operator", "list"], 0);
    assert!(out.contains("ada") && out.contains("admin") && out.contains("invited"), "{out}");
    let (again, _) = small.check(&["operator", "reset", "ada"], 0);
    assert!(again.starts_with(&begin) && again != link, "{again}");
    small.check(&["operator", "role", "ada", "viewer"], 0);
    small.check(&["operator", "disable", "ada"], 0);
    let (out, _) = small.check(&["operator", "list", "--json"], 0);
    let listed: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&listed[0]["role"], &listed[0]["disabled"]), (&"viewer".into(), &true.into()));
    small.check(&["operator", "enable", "ada"], 0);
    small.check(&["operator", "revoke", "ada"], 0);
    let (out, _) = small.check(&["operator", "sessions", "ada"], 0);
    assert_eq!(out, "ada is not logged in anywhere\n");
    let (_, err) = small.check(&["operator", "disable", "eve"], 2);
    assert!(err.contains("there is no such operator"), "{err}");

    let (out, _) = small.check(&["audit", "--json"], 0);
    assert!(!out.contains(code), "no code in the log");
    let written: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let written: Vec<(&str, &str)> = written
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| (entry["what"].as_str().expect("text"), entry["outcome"].as_str().expect("text")))
        .collect();
    assert_eq!(
        written,
        [
            ("apply", "done"),
            ("add operator", "done"),
            ("add operator", "refused: this does not fit the present state"),
            ("reset operator", "done"),
            ("role operator", "done"),
            ("disable operator", "done"),
            ("enable operator", "done"),
            ("revoke operator", "done"),
            ("disable operator", "refused: there is no such operator"),
        ]
    );
    let (out, _) = small.check(&["audit", "--limit", "1"], 0);
    assert!(out.contains("disable operator") && !out.contains("revoke operator"), "{out}");
}

#[test]
fn a_row_of_the_audit_log_that_somebody_changed_is_named() {
    let small = Ecosystem::new("");
    small.check(&["up"], 0);
    for name in ["ada", "bob", "eve"] {
        small.check(&["operator", "add", name, "--role", "viewer"], 0);
    }
    let (out, _) = small.check(&["audit", "--verify"], 0);
    assert!(out.starts_with("4 rows as written; the last hash is "), "{out}");
    let db = rusqlite::Connection::open(small.data().join("control.db")).expect("opened");
    let tamper = "UPDATE audit SET target = 'mallory admin' WHERE target = 'bob viewer'";
    assert!(db.execute(tamper, []).is_err(), "triggers refuse it");
    db.execute_batch(&format!("DROP TRIGGER audit_is_not_changed; {tamper}")).expect("tampered");
    let (out, _) = small.check(&["audit", "--verify"], 1);
    assert!(out.starts_with("row 3 is not as it was written"), "{out}");
    let (out, _) = small.check(&["audit", "--verify", "--json"], 1);
    let check: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&check["good"], &check["broken"]["number"]), (&2.into(), &3.into()));
}
