//! What outlives what: instances the control plane, traffic both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use system_tests::people::Person;
use system_tests::{Ecosystem, wait};

const KILLS: usize = 20;

fn kill(pid: u64) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("not zero");
    kill_process(pid, Signal::KILL).expect("the process is there");
}

/// Requests without pause from a few clients until stopped; counts answers and remembers what failed.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(ecosystem: &Ecosystem, token: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let targets =
            [("api-chat.localhost", "/api/conversations"), ("app-chat.localhost", "/login"), ("chat.localhost", "/")];
        let clients = targets.map(|(host, path)| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            let (client, token, url) = (ecosystem.client(), token.to_owned(), format!("{}{path}", ecosystem.url(host)));
            tokio::spawn(async move {
                let mut failures = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match client.get(&url).bearer_auth(&token).send().await {
                        Ok(answer) if answer.status() == StatusCode::OK => {
                            if let Err(error) = answer.bytes().await {
                                failures.push(format!("{url}: {error:?}"));
                            }
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(answer) => failures.push(format!("{url}: {}", answer.status())),
                        Err(error) => failures.push(format!("{url}: {error:?}")),
                    }
                }
                failures
            })
        });
        Self { stop, answered, clients: clients.into() }
    }

    async fn finish(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut failures = Vec::new();
        for client in self.clients {
            failures.extend(client.await.expect("the client ends"));
        }
        (self.answered.load(Ordering::Relaxed), failures)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_plane_killed_twenty_times_under_load_fails_no_request_and_changes_no_pid() {
    let ecosystem = Ecosystem::up();
    let person = Person::register(&ecosystem).await;
    let before = ecosystem.pids();
    assert!(before.iter().filter(|(_, pids)| !pids.is_empty()).count() >= 4, "{before:?}");
    let load = Load::start(&ecosystem, &person.token);
    for round in 0..KILLS {
        kill(ecosystem.status()["control_pid"].as_u64().expect("control_pid"));
        assert_eq!(ecosystem.mana(["status"]).status.code(), Some(4), "round {round}: the control plane is gone");
        ecosystem.start();
        assert_eq!(ecosystem.pids(), before, "round {round}");
    }
    let (answered, failures) = load.finish().await;
    assert_eq!(failures, Vec::<String>::new(), "of {answered} requests");
    assert!(answered > 100, "only {answered} requests were made");
}

#[tokio::test]
async fn a_crashed_service_is_back_within_a_second() {
    let ecosystem = Ecosystem::up();
    let client = ecosystem.client();
    let url = format!("{}/api/health/ready", ecosystem.internal(3002));
    let pid = ecosystem.service("chat-backend")["instances"][0]["pid"].as_u64().expect("pid");
    kill(pid);
    let killed = Instant::now();
    // First the answer of the dead one must go, so that it is the new one's that counts.
    wait::until("chat-backend answers again with a new pid", Duration::from_secs(5), || async {
        let healthy = client.get(&url).send().await.is_ok_and(|answer| answer.status() == StatusCode::OK);
        (healthy && ecosystem.service("chat-backend")["instances"][0]["pid"].as_u64() != Some(pid)).then_some(())
    })
    .await;
    let away = killed.elapsed();
    assert!(away < Duration::from_secs(1), "away for {away:?}");
    let instance = &ecosystem.service("chat-backend")["instances"][0];
    assert_eq!(instance["restarts"], 1, "{instance}");
    assert!(instance["last_exit"].as_str().is_some_and(|exit| exit.contains('9')), "{instance}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_loses_no_request() {
    let ecosystem = Ecosystem::up();
    let person = Person::register(&ecosystem).await;
    let load = Load::start(&ecosystem, &person.token);
    for service in ["chat-backend", "chat-web", "mana-core-auth"] {
        let before = ecosystem.service(service)["instances"][0]["pid"].clone();
        let output = ecosystem.mana(["restart", service]);
        assert!(output.status.success(), "{}", system_tests::ecosystem::text(&output));
        assert_ne!(ecosystem.service(service)["instances"][0]["pid"], before);
    }
    let (answered, failures) = load.finish().await;
    assert_eq!(failures, Vec::<String>::new(), "of {answered} requests");
}

#[tokio::test]
async fn down_stops_everything_it_started_and_nothing_else() {
    let (one, other) = (Ecosystem::up(), Ecosystem::up());
    let pids = one.pids();
    let others = other.pids();
    let down = one.mana(["down"]);
    assert!(down.status.success(), "{}", system_tests::ecosystem::text(&down));
    for pid in pids.iter().flat_map(|(_, pids)| pids) {
        let process = format!("/proc/{pid}/stat");
        let gone = std::fs::read_to_string(&process).map_or(true, |stat| stat.contains(") Z "));
        assert!(gone, "{process} is still there");
    }
    assert_eq!(other.pids(), others);
    assert_eq!(other.mana(["status"]).status.code(), Some(0));
    assert_eq!(one.mana(["status"]).status.code(), Some(4));
    assert!(one.mana(["down"]).status.success(), "a second down is no error");
}
