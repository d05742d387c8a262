//! The page that tells everybody how things are, through a real control plane, a real edge and a real browser.

mod support;

use std::path::Path;
use std::process::Command as Process;
use std::time::Duration;

use mana_control::api::{AlertCommand, AlertRequest, IncidentCommand, IncidentRequest, IncidentView};
use mana_watch::alert::Severity;
use mana_watch::incident::Status;
use serde_json::Value;
use support::{Ecosystem, Service, until, until_within};

/// Headers and body of what everybody is answered.
fn get(ecosystem: &Ecosystem, path: &str) -> String {
    let mut curl = Process::new("curl");
    curl.args(["--silent", "--include", "--max-time", "10", "-H"]);
    curl.arg(format!("host: status.localhost:{}", ecosystem.listen));
    curl.arg(format!("http://127.0.0.1:{}{path}", ecosystem.listen));
    String::from_utf8_lossy(&curl.output().expect("curl runs").stdout).into_owned()
}

fn json(ecosystem: &Ecosystem) -> Option<Value> {
    let answer = get(ecosystem, "/status.json");
    let said: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    // Before the first one is written, the edge says in JSON that there is none.
    said.get("rendered_at").is_some().then_some(said)
}

async fn wish(ecosystem: &Ecosystem, command: IncidentCommand) -> Result<IncidentView, String> {
    let request = IncidentRequest { by: "ada".into(), command };
    ecosystem.client().await.incident(&request).await.map_err(|error| format!("{error:?}"))
}

async fn incident(ecosystem: &Ecosystem, fits: impl Fn(&IncidentView) -> bool) -> Option<IncidentView> {
    ecosystem.client().await.incidents().await.ok()?.into_iter().find(fits)
}

/// The page, its JSON and its feed all say this.
async fn everywhere(ecosystem: &Ecosystem, said: &str) {
    until(said, async || {
        ["/", "/status.json", "/feed.xml"].iter().all(|path| get(ecosystem, path).contains(said)).then_some(())
    })
    .await;
}

async fn drive(ecosystem: &Ecosystem, what: &str) {
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui");
    let mut node = tokio::process::Command::new("node");
    node.args(["drive-status.mjs", what]).current_dir(ui).kill_on_drop(true);
    node.env("URL", format!("http://status.localhost:{}/", ecosystem.listen));
    let driven = node.output().await.expect("node runs (`make ui` installs what it needs)");
    let said = String::from_utf8_lossy(&driven.stdout);
    assert!(driven.status.success(), "{said}\n{}", String::from_utf8_lossy(&driven.stderr));
    println!("{said}");
}

#[tokio::test]
async fn an_outage_is_on_the_page_at_once_and_the_page_is_there_while_nothing_watches() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem
        .up(&[Service::new("a"), Service::new("b").needs("a"), Service::new("inner").with("public = false")])
        .await;
    let known = until("the page is there", async || json(&ecosystem)).await;
    let names: Vec<&str> = known["projects"][0]["components"]
        .as_array()
        .expect("components")
        .iter()
        .map(|component| component["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["a", "b"], "what is not public is not shown");
    let page = get(&ecosystem, "/");
    let (head, body) = page.split_once("\r\n\r\n").expect("a head");
    let head = head.to_ascii_lowercase();
    for header in ["http/1.1 200", "content-security-policy: default-src 'none'", "x-content-type-options: nosniff"] {
        assert!(head.contains(header), "{header}: {head}");
    }
    assert!(body.contains("no data yet") || body.contains("uptime"), "{body}");
    // Nothing is known before anything was measured, and no day before today is well.
    let bars = &known["projects"][0]["components"][0]["days"];
    assert_eq!((bars.as_array().map(Vec::len), &bars[0]["level"]), (Some(90), &serde_json::json!("no-data")));

    // What a person opens and writes stands there within moments.
    until("there is something to watch", async || {
        ecosystem.client().await.alerting().await.expect("asked").evaluated_at
    })
    .await;
    let open =
        IncidentCommand::Open { title: "Orders are slow".into(), severity: Severity::P3, services: vec!["b".into()] };
    let number = wish(&ecosystem, open).await.expect("opened").number;
    everywhere(&ecosystem, "Orders are slow").await;
    let post = |text: &str, status| IncidentCommand::Post { number, text: text.into(), status };
    let posted = wish(&ecosystem, post("An index <is> missing", Some(Status::Identified))).await.expect("posted");
    assert_eq!(posted.status, "identified");
    until("the update is in the JSON", async || {
        let known = json(&ecosystem)?;
        let update = &known["incidents"][0]["updates"][0];
        (update["text"] == "An index <is> missing" && update["status"] == "identified").then_some(())
    })
    .await;
    for path in ["/", "/feed.xml"] {
        // They are written one after the other.
        let text = until(path, async || {
            Some(get(&ecosystem, path)).filter(|text| text.contains("An index &#60;is&#62; missing"))
        })
        .await;
        assert!(!text.contains("ada"), "{path}: {text}");
    }
    wish(&ecosystem, IncidentCommand::Note { number, text: "for us alone".into() }).await.expect("noted");
    let refused = wish(&ecosystem, IncidentCommand::Post { number: 99, text: "x".into(), status: None }).await;
    assert!(refused.expect_err("there is none").contains("no incident 99"));
    let maintenance = AlertCommand::Maintenance {
        services: vec!["b".into()],
        from_ms: Some(4_000_000_000_000),
        for_ms: 3_600_000,
        reason: "a larger disk".into(),
    };
    let request = AlertRequest { by: "ada".into(), command: maintenance };
    ecosystem.client().await.alert(&request).await.expect("planned");
    everywhere(&ecosystem, "a larger disk").await;

    until("today is measured", async || {
        let known = json(&ecosystem)?;
        let component = &known["projects"][0]["components"][0];
        (component["uptime"].is_number() && component["days"][89]["level"] == "well").then_some(())
    })
    .await;

    // An outage that nobody has to type.
    let address = ecosystem.port("a");
    support::get(address, "/unready").await.expect("an answer");
    let outage = until_within(Duration::from_mins(2), "the outage is an incident", async || {
        // People go on asking meanwhile.
        let _ = support::get(address, "/work").await;
        incident(&ecosystem, |incident| incident.subjects.contains(&"a".to_owned())).await
    })
    .await;
    assert_eq!(outage.severity, "P1");
    let known = until("it is on the page", async || {
        let known = json(&ecosystem)?;
        let shown = known["incidents"].as_array()?.iter().any(|incident| incident["number"] == outage.number);
        shown.then_some(known)
    })
    .await;
    assert_eq!(known["state"], "outage", "{known:#}");
    let counted = until_within(Duration::from_mins(1), "failed requests are counted", async || {
        let _ = support::get(address, "/work").await;
        let found = incident(&ecosystem, |incident| incident.number == outage.number).await?;
        found.affected.clone().filter(|text| !text.starts_with("0 ")).map(|_| found)
    })
    .await;
    assert!(counted.announcement.contains("failed requests"), "{}", counted.announcement);
    let happened: Vec<&str> = counted.timeline.iter().map(|entry| entry.text.as_str()).collect();
    assert!(happened.iter().any(|text| text.contains("is not ready")), "what happened before it: {happened:?}");
    drive(&ecosystem, "faultless").await;

    // Nobody writes it any more: it is there, and says how old it is.
    ecosystem.kill_control();
    let page = get(&ecosystem, "/");
    assert!(page.contains("Orders are slow") && !page.contains("for us alone"), "{page}");
    drive(&ecosystem, "old").await;
    ecosystem.start_control().await;
    wish(&ecosystem, post("It was an index", Some(Status::Resolved))).await.expect("resolved");
    until("it is over", async || {
        let known = json(&ecosystem)?;
        let over = known["past_incidents"].as_array()?.iter().any(|incident| incident["number"] == number);
        over.then_some(())
    })
    .await;
    ecosystem.down().await;
}
