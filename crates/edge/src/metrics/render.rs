//! All threads' cells as one Prometheus text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::cells::{CLASSES, Cells, Counter, HANDSHAKES, REFUSALS};
use super::histogram::Sum;
use super::registry::{Key, Registry};
use crate::admin::Certificate;
use crate::cache::Use;

/// Numbers that are not counted in cells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) generation: u64,
    /// Names of all routes.
    pub(crate) routes: Vec<Arc<str>>,
    pub(crate) started_seconds: u64,
    pub(crate) admin_refused: u64,
    pub(crate) leases_ended: u64,
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) cache: CacheFacts,
    /// Spans that the collector did not take.
    pub(crate) spans_lost: u64,
}

/// What the cache holds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CacheFacts {
    pub(crate) bytes: usize,
    pub(crate) objects: usize,
    pub(crate) evictions: u64,
}

/// One slot's cells of all threads, added up.
#[derive(Default)]
pub(crate) struct Total {
    pub(crate) started: u64,
    pub(crate) moved: u64,
    pub(crate) classes: [u64; CLASSES.len()],
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) connect_failures: u64,
    pub(crate) retries: u64,
    pub(crate) ejections: u64,
    pub(crate) cache: [u64; Use::NAMES.len()],
    pub(crate) broken_off: u64,
    pub(crate) seconds: Sum,
    pub(crate) upstream_seconds: Sum,
    pub(crate) end_seconds: Sum,
}

impl Total {
    pub(crate) fn add(&mut self, cells: &Cells) {
        // What has ended is read before what has begun, so that in-flight is never negative.
        for (total, class) in self.classes.iter_mut().zip(&cells.classes) {
            *total += class.get();
        }
        for (total, count) in self.cache.iter_mut().zip(&cells.cache) {
            *total += count.get();
        }
        self.moved += cells.moved.get();
        self.started += cells.started.get();
        self.received_bytes += cells.received_bytes.get();
        self.sent_bytes += cells.sent_bytes.get();
        self.connect_failures += cells.connect_failures.get();
        self.retries += cells.retries.get();
        self.ejections += cells.ejections.get();
        self.broken_off += cells.broken_off.get();
        self.seconds.add(&cells.seconds);
        self.upstream_seconds.add(&cells.upstream_seconds);
        self.end_seconds.add(&cells.total_seconds);
    }

    fn in_flight(&self) -> u64 {
        self.started.saturating_sub(self.moved + self.classes.iter().sum::<u64>())
    }
}

/// All threads' cells, added up, of whatever had a request.
pub(crate) fn totals(threads: &[Arc<Registry>]) -> BTreeMap<Key, Total> {
    let mut totals: BTreeMap<Key, Total> = BTreeMap::new();
    for thread in threads {
        thread.for_each(|key, cells| {
            if cells.started.get() > 0 || cells.connect_failures.get() > 0 {
                totals.entry(key.clone()).or_default().add(cells);
            }
        });
    }
    totals
}

/// Prometheus text, version 0.0.4.
pub(crate) fn render(threads: &[Arc<Registry>], facts: &Facts) -> String {
    let mut totals = totals(threads);
    // A slot that never had a request would only add hundreds of zeros; routes are shown all the same.
    for route in &facts.routes {
        let nothing: Arc<str> = "".into();
        totals.entry(Key { route: Arc::clone(route), slot: Arc::clone(&nothing), release: nothing }).or_default();
    }
    let mut page = Page::default();
    slots(&mut page, &totals);
    histograms(&mut page, &totals);
    cache(&mut page, &totals, facts);
    thread_counts(&mut page, threads);
    page.family("generation", "gauge", "Generation of the snapshot that is served.");
    page.sample("generation", "", facts.generation);
    page.family("start_time_seconds", "gauge", "When the process started, in seconds since 1970.");
    page.sample("start_time_seconds", "", facts.started_seconds);
    page.family("snapshots_refused_total", "counter", "Snapshots offered on the admin socket that were not taken.");
    page.sample("snapshots_refused_total", "", facts.admin_refused);
    page.family("leases_ended_total", "counter", "Leases of weights that ran out, since nobody renewed them.");
    page.sample("leases_ended_total", "", facts.leases_ended);
    page.family("spans_lost_total", "counter", "Spans that the collector did not take.");
    page.sample("spans_lost_total", "", facts.spans_lost);
    certificates(&mut page, &facts.certificates);
    page.family("threads", "gauge", "Worker threads.");
    page.sample("threads", "", threads.len());
    page.text
}

/// Name, type, help and value of a number per slot.
type Column = (&'static str, &'static str, &'static str, fn(&Total) -> u64);

fn slots(page: &mut Page, totals: &BTreeMap<Key, Total>) {
    page.family(
        "requests_total",
        "counter",
        "Requests that ended, by class of status; aborted: the client went away before an answer.",
    );
    for (key, total) in totals {
        for (class, count) in CLASSES.iter().zip(total.classes) {
            // 2xx and 5xx are always there: a ratio needs both to exist.
            if count > 0 || matches!(*class, "2xx" | "5xx") {
                page.sample("requests_total", &format!("{},class=\"{class}\"", labels(key)), count);
            }
        }
    }
    let columns: [Column; 7] = [
        ("requests_in_flight", "gauge", "Requests being answered.", Total::in_flight),
        ("received_bytes_total", "counter", "Bytes of request bodies.", |total| total.received_bytes),
        ("sent_bytes_total", "counter", "Bytes of answers' bodies.", |total| total.sent_bytes),
        ("connect_failures_total", "counter", "Connections to instances that could not be opened.", |total| {
            total.connect_failures
        }),
        ("ejections_total", "counter", "Instances left out for a while since they failed, on one thread.", |total| {
            total.ejections
        }),
        ("retries_total", "counter", "Requests sent again, since nothing of them had been answered.", |total| {
            total.retries
        }),
        (
            "broken_off_total",
            "counter",
            "Answers that had begun and were cut, since the instance broke off or fell silent.",
            |total| total.broken_off,
        ),
    ];
    for (name, kind, help, value) in columns {
        page.family(name, kind, help);
        for (key, total) in totals {
            page.sample(name, &labels(key), value(total));
        }
    }
}

fn cache(page: &mut Page, totals: &BTreeMap<Key, Total>, facts: &Facts) {
    page.family("cache_total", "counter", "Requests the cache had to do with, by what it did.");
    for (key, total) in totals {
        for (result, count) in Use::NAMES.iter().zip(total.cache).filter(|(_, count)| *count > 0) {
            page.sample("cache_total", &format!("{},result=\"{result}\"", labels(key)), count);
        }
    }
    page.family("cache_bytes", "gauge", "Bytes of kept answers, with their headers.");
    page.sample("cache_bytes", "", facts.cache.bytes);
    page.family("cache_objects", "gauge", "Kept answers.");
    page.sample("cache_objects", "", facts.cache.objects);
    page.family("cache_evictions_total", "counter", "Answers dropped to make room for others.");
    page.sample("cache_evictions_total", "", facts.cache.evictions);
}

/// Name, help and values of a histogram per slot.
type Times = (&'static str, &'static str, fn(&Total) -> &Sum);

fn histograms(page: &mut Page, totals: &BTreeMap<Key, Total>) {
    let times: [Times; 3] = [
        ("request_seconds", "Time from a request's head to its answer's head.", |total| &total.seconds),
        ("upstream_seconds", "Time from a request to an instance to its answer's head.", |total| {
            &total.upstream_seconds
        }),
        ("total_seconds", "Time from a request's head to its answer's last byte.", |total| &total.end_seconds),
    ];
    for (name, help, pick) in times {
        page.family(name, "histogram", help);
        for (key, sum) in totals.iter().map(|(key, total)| (key, pick(total))).filter(|(_, sum)| sum.count() > 0) {
            let labels = labels(key);
            for (border, count) in sum.cumulative() {
                page.sample(&format!("{name}_bucket"), &format!("{labels},le=\"{border}\""), count);
            }
            page.sample(&format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), sum.count());
            page.sample(&format!("{name}_sum"), &labels, sum.seconds());
            page.sample(&format!("{name}_count"), &labels, sum.count());
        }
    }
}

fn thread_counts(page: &mut Page, threads: &[Arc<Registry>]) {
    let sum = |pick: fn(&Registry) -> &Counter| threads.iter().map(|thread| pick(thread).get()).sum::<u64>();
    let closed = sum(|thread| &thread.thread.closed);
    let accepted = sum(|thread| &thread.thread.accepted);
    page.family("connections_total", "counter", "Client connections accepted.");
    page.sample("connections_total", "", accepted);
    page.family("connections_open", "gauge", "Client connections open.");
    page.sample("connections_open", "", accepted.saturating_sub(closed));
    page.family("accept_errors_total", "counter", "Connections that could not be accepted.");
    page.sample("accept_errors_total", "", sum(|thread| &thread.thread.accept_errors));
    page.family("refused_total", "counter", "Requests and connections turned away before they belonged to a route.");
    for (index, reason) in REFUSALS.iter().enumerate() {
        let count: u64 = threads.iter().map(|thread| thread.thread.refused[index].get()).sum();
        page.sample("refused_total", &format!("reason=\"{reason}\""), count);
    }
    page.family("tls_handshakes_total", "counter", "TLS handshakes, by how they ended.");
    for (index, result) in HANDSHAKES.iter().enumerate() {
        let count: u64 = threads.iter().map(|thread| thread.thread.handshakes[index].get()).sum();
        page.sample("tls_handshakes_total", &format!("result=\"{result}\""), count);
    }
    page.family("probes_total", "counter", "Health checks through the edge; they are in no route's numbers.");
    page.sample("probes_total", "", sum(|thread| &thread.thread.probes));
    page.family(
        "probe_failures_total",
        "counter",
        "The edge's own questions to instances that were not answered well.",
    );
    page.sample("probe_failures_total", "", sum(|thread| &thread.thread.probe_failures));
    page.family("spans_total", "counter", "Spans handed to the exporter.");
    page.sample("spans_total", "", sum(|thread| &thread.thread.spans));
    page.family("spans_dropped_total", "counter", "Spans dropped because the exporter was behind.");
    page.sample("spans_dropped_total", "", sum(|thread| &thread.thread.spans_dropped));
    page.family("access_log_lines_total", "counter", "Access log lines handed to the writer.");
    page.sample("access_log_lines_total", "", sum(|thread| &thread.thread.log_lines));
    page.family("access_log_dropped_total", "counter", "Access log lines dropped because the writer was behind.");
    page.sample("access_log_dropped_total", "", sum(|thread| &thread.thread.log_dropped));
}

fn certificates(page: &mut Page, certificates: &[Certificate]) {
    page.family("certificate_expiry_seconds", "gauge", "End of a served certificate, in seconds since 1970.");
    for certificate in certificates {
        if let Some(end) = certificate.not_after {
            let labels = format!("host=\"{}\",source=\"{}\"", escape(&certificate.host), certificate.source);
            page.sample("certificate_expiry_seconds", &labels, end);
        }
    }
    page.family("certificate_failures", "gauge", "Orders of a certificate in a row that failed.");
    for certificate in certificates.iter().filter(|certificate| certificate.source == "acme") {
        page.sample("certificate_failures", &format!("host=\"{}\"", escape(&certificate.host)), certificate.failures);
    }
}

fn labels(key: &Key) -> String {
    format!("route=\"{}\",slot=\"{}\",release=\"{}\"", escape(&key.route), escape(&key.slot), escape(&key.release))
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP mana_edge_{name} {help}\n# TYPE mana_edge_{name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        if labels.is_empty() {
            self.line(format_args!("mana_edge_{name} {value}"));
        } else {
            self.line(format_args!("mana_edge_{name}{{{labels}}} {value}"));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("writing to a string cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::cells::Class;
    use super::*;

    #[test]
    fn threads_are_added_up_into_one_page() {
        let threads: Vec<Arc<Registry>> = (0..2).map(|_| Arc::default()).collect();
        for (index, thread) in (1_u64..).zip(&threads) {
            let key = Key { route: "chat \"quoted\"".into(), slot: "blue".into(), release: "v1".into() };
            let cells = thread.cells(key);
            cells.started.add(3);
            let took = Duration::from_millis(3 * index);
            cells.finish(Class::Status(200), Some(took), Some(took), took, 10, 1_024);
            let took = Duration::from_micros(50);
            cells.finish(Class::Status(503), Some(took), None, took, 0, 20);
            thread.thread.accepted.add(2);
            thread.thread.closed.add(1);
        }
        let page = render(&threads, &Facts { generation: 7, started_seconds: 1_700_000_000, ..Facts::default() });
        let shown: Vec<_> = page.lines().filter(|line| !line.contains("_bucket")).collect();
        insta::assert_snapshot!(shown.join("\n"));
        assert!(page.contains("release=\"v1\",le=\"0.00390625\"} 3\n"), "{page}");
        assert!(page.contains("release=\"v1\",le=\"+Inf\"} 4\n"), "{page}");
    }
}
