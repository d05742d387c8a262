//! A machine's kernel files, read by us and by node_exporter, give the same numbers.

use std::collections::BTreeMap;
use std::path::Path;

use mana_watch::Labels;
use mana_watch::exposition::{Entry, Format, Lines};
use mana_watch::gather::Found;
use mana_watch::host::Host;

/// Said by node_exporter 1.5.0 of the same folder (`--path.procfs`, `--path.sysfs`).
const THEIRS: &str = include_str!("host/server.node-exporter-1.5.0.txt");
/// What it does not say, or says only where there is a real machine.
const OURS_ALONE: [&str; 2] = ["machine_cpu_cores", "node_uptime_seconds"];

#[test]
fn each_value_is_node_exporters() {
    let theirs: BTreeMap<Labels, f64> = Lines::new(THEIRS.as_bytes(), Format::Text)
        .filter_map(|line| match line.expect("a line") {
            Entry::Sample(sample) => {
                let pairs = sample.labels().map(|(label, value)| (label.to_owned(), value.into_owned()));
                let name = ("__name__".to_owned(), sample.name().to_owned());
                Some((Labels::new(pairs.chain([name])), sample.value))
            }
            _ => None,
        })
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/host/server");
    let found = Found::by(|sink| Host::below(root).measure(sink));
    let mut compared = 0;
    for (labels, ours) in &found.values {
        if OURS_ALONE.contains(&labels.name()) {
            assert!(!theirs.contains_key(labels));
            continue;
        }
        // From these files it leaves out the loopback interface, which on a running machine it does not.
        if labels.get("device") == "lo" && labels.name() != "node_network_up" {
            continue;
        }
        let theirs = theirs.get(labels).unwrap_or_else(|| panic!("node_exporter has no {labels:?}"));
        assert!((ours - theirs).abs() <= theirs.abs() * 1e-12, "{labels:?} is {theirs}, not {ours}");
        compared += 1;
    }
    assert_eq!(compared, 142);
    let unknown: Vec<&str> = found.unknown.iter().map(|unknown| unknown.what.as_str()).collect();
    assert_eq!(unknown, ["clock", "whether the clock is set by the network"], "the recorded folder holds no clock");
}
