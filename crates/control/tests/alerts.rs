//! From a breach to whoever is told of it, through a real control plane, its stored series and a webhook.

mod support;

use std::time::Duration;

use mana_control::api::{AlertCommand, AlertRequest, Alerting};
use mana_watch::alert::{Comparison, Condition};
use support::webhook::{Taken, sent, webhook};
use support::{Ecosystem, Service, free_port, until, until_within};

async fn watched(port: u16) -> Ecosystem {
    let mut ecosystem = Ecosystem::start().await;
    let more = format!(
        "\n[notifications.on-call]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/hook\"\nsecret = \"${{secret.MADE}}\"\n\
         [notifications.others]\nkind = \"slack\"\nurl = \"http://127.0.0.1:{port}/\"\nevents = [\"page\"]\n"
    );
    ecosystem.up(&[Service::new("a").with(&more), Service::new("b")]).await;
    ecosystem
}

/// One whose rules were evaluated, and what its webhook takes.
async fn evaluated() -> (Taken, Ecosystem) {
    let port = free_port();
    let taken = webhook(port).await;
    let ecosystem = watched(port).await;
    until("the rules are evaluated", async || ecosystem.client().await.alerting().await.expect("asked").evaluated_at)
        .await;
    (taken, ecosystem)
}

async fn wish(ecosystem: &Ecosystem, command: AlertCommand) -> Result<Alerting, String> {
    let request = AlertRequest { by: "ada".into(), command };
    ecosystem.client().await.alert(&request).await.map_err(|error| format!("{error:?}"))
}

fn titles(taken: &Taken) -> Vec<String> {
    let taken = taken.lock().expect("no panic");
    assert!(taken.values().all(|bodies| bodies.len() == 1), "each once: {taken:#?}");
    taken.values().flatten().map(|body| body["title"].as_str().expect("text").to_owned()).collect()
}

#[tokio::test]
async fn a_test_alert_arrives_once_though_the_control_plane_was_killed_and_is_acknowledged() {
    let (taken, mut ecosystem) = evaluated().await;
    let tested = wish(&ecosystem, AlertCommand::Test).await.expect("taken");
    assert_eq!(tested.test_channels, Some(vec!["on-call".to_owned()]));
    until("it arrives", async || titles(&taken).iter().any(|title| title.contains("test")).then_some(())).await;
    let alert = until("it is shown in a group that was told", async || {
        let alerting = ecosystem.client().await.alerting().await.expect("asked");
        alerting.alerts.into_iter().find(|alert| alert.rule == "Test" && alert.group.is_some())
    })
    .await;
    assert_eq!((alert.state.as_str(), alert.severity.as_str()), ("firing", "P3"));
    let group = alert.group.expect("just seen");
    until("it is written down as sent", async || (sent(&ecosystem) == 1).then_some(())).await;
    ecosystem.kill_control();
    ecosystem.start_control().await;
    let acknowledged = AlertCommand::Acknowledge { group, comment: "I am on it".into(), for_ms: None };
    let alerting = until("it is acknowledged", async || wish(&ecosystem, acknowledged.clone()).await.ok()).await;
    drop(alerting);
    until("it is shown", async || {
        let alerting = ecosystem.client().await.alerting().await.expect("asked");
        let group = alerting.groups.into_iter().find(|known| known.number == group)?;
        (group.acknowledged_by.as_deref() == Some("ada")).then_some(())
    })
    .await;
    let after = titles(&taken);
    let began = after.iter().filter(|title| title.starts_with("[P3] a test")).count();
    assert_eq!(began, 1, "nobody is told anew of what began: {after:#?}");
    ecosystem.down().await;
}

#[tokio::test]
async fn a_group_that_is_shown_can_be_acknowledged() {
    let (_taken, mut ecosystem) = evaluated().await;
    wish(&ecosystem, AlertCommand::Test).await.expect("taken");
    let shown = until("it is shown", async || {
        let alerting = ecosystem.client().await.alerting().await.expect("asked");
        let shown = alerting.alerts.iter().find_map(|alert| alert.group)?;
        assert!(alerting.groups.iter().any(|group| group.number == shown), "{alerting:#?}");
        Some(shown)
    })
    .await;
    let acknowledged = AlertCommand::Acknowledge { group: shown, comment: "I am on it".into(), for_ms: None };
    wish(&ecosystem, acknowledged).await.expect("at once");
    ecosystem.down().await;
}

#[tokio::test]
async fn a_dead_service_pages_and_opens_an_incident_and_a_silence_needs_a_reason_and_a_condition() {
    let port = free_port();
    let taken = webhook(port).await;
    let mut ecosystem = watched(port).await;
    let condition = Condition { label: "service".into(), is: Comparison::Equal, value: "a".into() };
    let silence = |conditions: &[Condition], reason: &str| AlertCommand::Silence {
        conditions: conditions.to_vec(),
        for_ms: 60_000,
        reason: reason.into(),
    };
    until("the rules are evaluated", async || ecosystem.client().await.alerting().await.expect("asked").evaluated_at)
        .await;
    let refused = wish(&ecosystem, silence(&[], "noise")).await.expect_err("it would silence everything");
    assert!(refused.contains("silence everything"), "{refused}");
    wish(&ecosystem, silence(std::slice::from_ref(&condition), "")).await.expect_err("why?");
    let alerting = wish(&ecosystem, silence(&[condition], "a is being mended")).await.expect("taken");
    drop(alerting);
    // Both are lost: of one people do not want to hear.
    for service in ["a", "b"] {
        let port = ecosystem.port(service);
        support::get(port, "/unready").await.expect("an answer");
    }
    // It has to last half a minute.
    until_within(Duration::from_mins(2), "b is told of", async || {
        let titles = titles(&taken);
        assert!(!titles.iter().any(|title| title.contains("a is down")), "{titles:#?}");
        titles.iter().any(|title| title.contains("b is down")).then_some(())
    })
    .await;
    let incidents = ecosystem.client().await.incidents().await.expect("asked");
    assert!(incidents[0].severity == "P1" && incidents[0].title.contains('b'), "{incidents:#?}");
    ecosystem.down().await;
}

#[tokio::test]
async fn no_rule_that_everybody_has_lacks_what_it_reads_in_an_ecosystem_that_is_well() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a"), Service::new("b")]).await;
    let told = |name: &str| {
        let rule = mana_watch::alert::builtin::rules().iter().find(|rule| rule.name == name);
        rule.is_some_and(|rule| rule.no_data == mana_watch::alert::Absence::Told)
    };
    until_within(Duration::from_mins(1), "every rule finds its data", async || {
        let rules = ecosystem.client().await.alerting().await.expect("asked").rules;
        let blind = |state: &str| ["no-data", "unheard", "error"].contains(&state);
        let well = rules.iter().filter(|rule| told(&rule.name)).all(|rule| !blind(&rule.state));
        (well && !rules.is_empty()).then_some(())
    })
    .await;
    ecosystem.down().await;
}

#[tokio::test]
async fn where_the_channel_of_who_is_on_call_is_dead_the_next_one_is_told_at_once() {
    let (dead, port) = (free_port(), free_port());
    let taken = webhook(port).await;
    let mut ecosystem = Ecosystem::start().await;
    let channel = |name: &str, port: u16| {
        format!(
            "\n[notifications.{name}]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/\"\nsecret = \"${{secret.MADE}}\"\n"
        )
    };
    let more = format!("{}{}", channel("on-call", dead), channel("devops-lead", port));
    ecosystem.up(&[Service::new("a").with(&more)]).await;
    until("the rules are evaluated", async || ecosystem.client().await.alerting().await.expect("asked").evaluated_at)
        .await;
    let tested = wish(&ecosystem, AlertCommand::Test).await.expect("taken");
    assert_eq!(tested.test_channels, Some(vec!["on-call".to_owned()]));
    // By time alone it would be after two hours.
    until_within(Duration::from_mins(1), "the next one is told", async || {
        titles(&taken).iter().any(|title| title.contains("a test")).then_some(())
    })
    .await;
    ecosystem.down().await;
}
