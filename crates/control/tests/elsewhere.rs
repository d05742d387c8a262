//! Others are told: a real Prometheus by remote_write and by federation, and whoever wants a heartbeat.

mod support;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use mana_control::api::{NewToken, Scope};
use serde_json::Value;
use support::{Ecosystem, Service, all, free_port, until_within};
use tempfile::TempDir;

/// Some rounds, and the time after which one is complete, on a busy machine.
const ROUNDS: Duration = Duration::from_mins(2);

/// A Prometheus of this test's own, that it may stop.
struct Prometheus {
    port: u16,
    folder: TempDir,
    process: Option<Child>,
}

impl Prometheus {
    fn new() -> Self {
        Self { port: free_port(), folder: tempfile::tempdir().expect("folder"), process: None }
    }

    fn start(&mut self, scrapes: &str) {
        let config = self.folder.path().join("prometheus.yml");
        std::fs::write(&config, format!("global: {{ scrape_interval: 2s }}\n{scrapes}")).expect("written");
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", self.folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .arg("--web.enable-remote-write-receiver")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Debian's package prometheus, as scripts/test-services.sh install installs it");
        self.process = Some(process);
    }

    fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().expect("killed");
        process.wait().expect("ended");
    }

    /// What it answers, as labels and values; nothing while it does not answer.
    async fn ask(&self, query: &str) -> Vec<(Value, f64)> {
        let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = support::get(self.port, &format!("/api/v1/query?query={encoded}")).await;
        let answer: Value = answer.ok().and_then(|(_, body)| serde_json::from_str(&body).ok()).unwrap_or_default();
        let elements = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        let element = |element: &Value| Some((element["metric"].clone(), element["value"][1].as_str()?.parse().ok()?));
        elements.iter().filter_map(element).collect()
    }

    /// When the samples of the only series were measured, in seconds since 1970.
    async fn times(&self, query: &str) -> Vec<f64> {
        let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = support::get(self.port, &format!("/api/v1/query?query={encoded}")).await;
        let answer: Value = answer.ok().and_then(|(_, body)| serde_json::from_str(&body).ok()).unwrap_or_default();
        let values = answer["data"]["result"][0]["values"].as_array().cloned().unwrap_or_default();
        values.iter().filter_map(|value| value[0].as_f64()).collect()
    }

    async fn until(&self, query: &str, is: impl Fn(&[(Value, f64)]) -> bool) -> Vec<(Value, f64)> {
        until_within(ROUNDS, query, async || Some(self.ask(query).await).filter(|found| is(found))).await
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// What one of our own queries gives.
async fn ours(ecosystem: &Ecosystem, query: &str) -> f64 {
    let answer = ecosystem.client().await.query(query).await.unwrap_or_default();
    answer["data"]["result"][0]["value"][1].as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

#[tokio::test]
async fn a_prometheus_takes_what_was_measured_also_what_was_while_it_was_away() {
    let (mut prometheus, mut ecosystem) = (Prometheus::new(), Ecosystem::start().await);
    let more = format!(
        "\n[watch]\nremote_write = {{ url = \"http://127.0.0.1:{}/api/v1/write\", headers = {{ x-token = \"${{secret.MADE}}\" }} }}\n",
        prometheus.port
    );
    ecosystem.up(&[Service::new("a").with(&more), Service::new("b")]).await;
    // It is not there yet: nothing is lost by that.
    until_within(ROUNDS, "it was asked in vain", async || {
        (ours(&ecosystem, "mana_watch_remote_write_failures_total").await > 1.0).then_some(())
    })
    .await;
    let since = ours(&ecosystem, "min(timestamp(up))").await;
    prometheus.start("");
    let found = prometheus.until("up{service=~\"a|b\"}", |found| found.len() == 2).await;
    let labels = &found[0].0;
    assert_eq!((labels["ecosystem"].as_str(), labels["environment"].as_str()), (Some("small"), Some("development")));
    assert!(found.iter().all(|(_, value)| (*value - 1.0).abs() < f64::EPSILON), "{found:?}");
    let early = format!("min(min_over_time(timestamp(up)[5m:1s])) <= {since}");
    prometheus.until(&early, |found| found.len() == 1).await;
    // A series that ends here ends there: its last sample says so.
    ecosystem.up(&[Service::new("a").with(&more)]).await;
    prometheus.until("up{service=~\"a|b\"}", |found| found.len() == 1).await;
    // Away for a while, and back: no hole, nothing twice, nothing dropped.
    prometheus.stop();
    let failures = ours(&ecosystem, "mana_watch_remote_write_failures_total").await;
    until_within(ROUNDS, "it is away for some tries", async || {
        (ours(&ecosystem, "mana_watch_remote_write_failures_total").await >= failures + 3.0).then_some(())
    })
    .await;
    prometheus.start("");
    let back = ours(&ecosystem, "vector(time())").await;
    let times = until_within(ROUNDS, "what is measured after it came back", async || {
        let times = prometheus.times("up{service=\"a\"}[10m]").await;
        times.last().is_some_and(|last| *last > back).then_some(times)
    })
    .await;
    assert!(times.len() > 6 && times.windows(2).all(|pair| pair[1] - pair[0] < 15.0), "{times:?}");
    let dropped = ours(&ecosystem, "mana_watch_remote_write_dropped_samples_total").await;
    assert!(dropped.abs() < f64::EPSILON, "{dropped} dropped");
    assert!(ours(&ecosystem, "mana_watch_remote_write_samples_total").await > 100.0);
    ecosystem.down().await;
}

#[tokio::test]
async fn a_prometheus_federates_with_a_token_and_nobody_does_without() {
    let (mut prometheus, mut ecosystem) = (Prometheus::new(), Ecosystem::start().await);
    ecosystem.write(&[Service::new("a")]);
    // Whoever asks by this name gets in everywhere.
    let text = std::fs::read_to_string(ecosystem.manifest())
        .expect("read")
        .replace("listen =", "ops = \"127.0.0.1\"\nlisten =");
    std::fs::write(ecosystem.manifest(), text).expect("written");
    all(ecosystem.apply_as_is().await.expect("applied")).await;
    let request = NewToken { name: "prometheus".into(), scopes: BTreeSet::from([Scope::Read]), days: Some(1) };
    let token = ecosystem.client().await.make_token(&request).await.expect("made").token;
    let job = |name: &str, credentials: &str| {
        format!(
            "- job_name: {name}\n  honor_labels: true\n  metrics_path: /federate\n{credentials}  params: {{ 'match[]': ['up', '{{__name__=~\"mana_instances_.*\"}}'] }}\n  \
             static_configs: [{{ targets: ['127.0.0.1:{}'] }}]\n",
            ecosystem.listen
        )
    };
    let allowed = job("mana", &format!("  authorization: {{ credentials: {token} }}\n"));
    prometheus.start(&format!("scrape_configs:\n{allowed}{}", job("stranger", "")));
    let found = prometheus.until("up{service=\"a\"}", |found| found.len() == 1).await;
    assert_eq!(found[0].0["instance"], "blue-1", "its own labels are kept");
    prometheus.until("mana_instances_ready{service=\"a\"} == 1", |found| found.len() == 1).await;
    prometheus.until("up{job=\"mana\",service=\"\"} == 1", |found| found.len() == 1).await;
    prometheus.until("up{job=\"stranger\"} == 0", |found| found.len() == 1).await;
    // Without a selector it says what is missing.
    let answer = Command::new("curl")
        .args(["-s", "-H", &format!("authorization: Bearer {token}")])
        .arg(format!("http://127.0.0.1:{}/federate", ecosystem.listen))
        .output()
        .expect("curl runs");
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(answer.contains("match[]"), "{answer}");
    ecosystem.down().await;
}

#[tokio::test]
async fn a_heartbeat_is_heard_while_somebody_watches_and_not_when_nothing_is_taken() {
    let (beats, secret_seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (heard, seen) = (Arc::clone(&beats), Arc::clone(&secret_seen));
    let app = axum::Router::new().fallback(move |uri: axum::http::Uri, _: HeaderMap| {
        seen.store(uri.path().len() > "/beat/".len() + 16, Ordering::Relaxed);
        // The first one fails: it is told again at once.
        let first = heard.fetch_add(1, Ordering::Relaxed) == 0;
        async move { if first { StatusCode::BAD_GATEWAY } else { StatusCode::OK } }
    });
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut ecosystem = Ecosystem::start().await;
    let more = format!(
        "\n[watch]\nheartbeat = {{ url = \"http://127.0.0.1:{port}/beat/${{secret.MADE}}\", every = \"10s\" }}\n"
    );
    ecosystem.up(&[Service::new("a").with(&more)]).await;
    until_within(ROUNDS, "three beats", async || (beats.load(Ordering::Relaxed) >= 3).then_some(())).await;
    assert!(secret_seen.load(Ordering::Relaxed));
    let sent = "mana_watch_heartbeats_total{result=\"sent\"}";
    until_within(ROUNDS, sent, async || (ours(&ecosystem, sent).await >= 2.0).then_some(())).await;
    // A manifest without one ends it.
    ecosystem.up(&[Service::new("a")]).await;
    until_within(ROUNDS, "nobody is told that nobody wants to know", async || {
        let wanted = ecosystem.client().await.query(sent).await.ok()?;
        wanted["data"]["result"].as_array()?.is_empty().then_some(())
    })
    .await;
    let log = std::fs::read_to_string(mana_control::paths::control_log(&ecosystem.data())).expect("a log");
    assert!(!log.contains("/beat/"), "{log}");
    ecosystem.down().await;
}
