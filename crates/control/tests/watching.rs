//! What runs is measured, kept, and can be asked for.

mod support;

use std::collections::BTreeMap;

use support::{Ecosystem, Service, until};

/// The samples of a query, by the service that each is about.
async fn by_service(ecosystem: &Ecosystem, query: &str) -> BTreeMap<String, f64> {
    let answer = ecosystem.client().await.query(query).await;
    let Ok(answer) = answer else { return BTreeMap::new() };
    let samples = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let sample = |sample: &serde_json::Value| {
        let service = sample["metric"]["service"].as_str().unwrap_or_default().to_owned();
        Some((service, sample["value"][1].as_str()?.parse().ok()?))
    };
    samples.iter().filter_map(sample).collect()
}

async fn becomes(ecosystem: &Ecosystem, query: &str, wanted: &[(&str, f64)]) {
    let wanted: BTreeMap<String, f64> = wanted.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    until(query, async || {
        let found = by_service(ecosystem, query).await;
        (found == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_runs_is_measured_and_what_ends_is_gone() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a"), Service::new("b")]).await;
    becomes(&ecosystem, "up", &[("a", 1.0), ("b", 1.0), ("edge", 1.0)]).await;
    becomes(&ecosystem, "mana_instances_ready", &[("a", 1.0), ("b", 1.0)]).await;
    becomes(&ecosystem, "probe_success{via=\"direct\"}", &[("a", 1.0), ("b", 1.0)]).await;
    let memory = by_service(&ecosystem, "process_resident_memory_bytes").await;
    assert!(memory.len() == 3 && memory.values().all(|bytes| *bytes > 1e5), "{memory:?}");
    until("what instances take with all that they started", async || {
        let memory = by_service(&ecosystem, "mana_instance_memory_bytes").await;
        let processes = by_service(&ecosystem, "mana_instance_processes").await;
        let cpu = by_service(&ecosystem, "mana_instance_cpu_seconds_total").await;
        let all = memory.len() == 3 && processes.len() == 3 && cpu.len() == 3;
        (all && memory.values().all(|bytes| *bytes > 1e5) && processes.values().all(|count| *count >= 1.0))
            .then_some(())
    })
    .await;
    assert!(!by_service(&ecosystem, "node_memory_MemTotal_bytes").await.is_empty());
    // What is taken away ends at once, and not after five minutes.
    ecosystem.up(&[Service::new("a")]).await;
    becomes(&ecosystem, "mana_instances_wanted", &[("a", 1.0)]).await;
    becomes(&ecosystem, "up", &[("a", 1.0), ("edge", 1.0)]).await;
    // It is still there after the control plane was killed.
    let before = by_service(&ecosystem, "count_over_time(up[10m])").await;
    ecosystem.kill_control();
    ecosystem.start_control().await;
    until("the stored series", async || {
        let after = by_service(&ecosystem, "count_over_time(up[10m])").await;
        (!after.is_empty() && before.iter().all(|(service, count)| after.get(service) >= Some(count))).then_some(())
    })
    .await;
    ecosystem.down().await;
}

#[tokio::test]
async fn each_public_host_is_probed_as_long_as_it_is_one() {
    let mut ecosystem = Ecosystem::start().await;
    let site = ecosystem.folder.path().join("site");
    std::fs::create_dir(&site).expect("made");
    std::fs::write(site.join("index.html"), "<h1>Shop</h1>").expect("written");
    let with = |hosts: &str| {
        let more = format!("\n[services.pages-landing]\nproject = \"small\"\nfolder = \"site\"\nhosts = [{hosts}]\n");
        [Service::new("a").with(&more)]
    };
    ecosystem.up(&with("\"pages.localhost\", \"www.pages.localhost\"")).await;
    let well = "count by (service) (probe_success{via=\"public\", host=~\".*pages.localhost\"} == 1)";
    becomes(&ecosystem, well, &[("pages-landing", 2.0)]).await;
    ecosystem.up(&with("\"pages.localhost\"")).await;
    becomes(&ecosystem, well, &[("pages-landing", 1.0)]).await;
    ecosystem.down().await;
}

#[tokio::test]
async fn what_is_alive_and_not_ready_is_not_up_rather_than_gone() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a")]).await;
    becomes(&ecosystem, "up{service=\"a\"}", &[("a", 1.0)]).await;
    let port = ecosystem.instance("a").await.port.expect("it listens");
    support::get(port, "/unready").await.expect("an answer");
    becomes(&ecosystem, "mana_instances_ready", &[("a", 0.0)]).await;
    becomes(&ecosystem, "up{service=\"a\"}", &[("a", 0.0)]).await;
    // It is asked on: a round later there is another zero.
    let zeros = "count_over_time((up{service=\"a\"} == 0)[1m:1s]) > bool 12";
    becomes(&ecosystem, zeros, &[("a", 1.0)]).await;
    becomes(&ecosystem, "up{service=\"a\"}", &[("a", 0.0)]).await;
    support::get(port, "/ready").await.expect("an answer");
    becomes(&ecosystem, "up{service=\"a\"}", &[("a", 1.0)]).await;
    ecosystem.down().await;
}
