//! The rules that everybody has, evaluated: each fires on what it is about, and on nothing else.

use mana_watch::alert::slo::{Good, Slo};
use mana_watch::alert::{Span, builtin};
use mana_watch::query::{Answer, Expression, Limits, metrics_of, query};
use mana_watch::{Labels, Memory, Sample, Series};

const NOW: i64 = 1_764_246_840_000;
const STEP: i64 = 60_000;

/// A series by its text, with a value for each minute of seven hours, as a function of the minutes that are left.
fn series(text: &str, value: impl Fn(f64) -> f64) -> Series {
    let (name, rest) = text.split_once('{').unwrap_or((text, "}"));
    let pairs = rest
        .trim_end_matches('}')
        .split(',')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').expect("a label"));
    let labels = Labels::new(pairs.chain([("__name__", name)]));
    let minute = |left: i32| Sample { at: NOW - i64::from(left) * STEP, value: value(f64::from(left)) };
    Series { labels, samples: (0..=420).rev().map(minute).collect() }
}

/// What an expression gives: its labels without a name, and values.
fn evaluate(expression: &str, all: Vec<Series>) -> Vec<(String, f64)> {
    let source = Memory(all);
    let answer =
        query(&source, expression, NOW, &Limits::default()).unwrap_or_else(|error| panic!("{expression}: {error}"));
    let Answer::Vector { elements, .. } = answer else { panic!("{expression} gives no vector") };
    let text =
        |labels: &Labels| labels.iter().map(|(label, value)| format!("{label}={value}")).collect::<Vec<_>>().join(",");
    let all: Vec<(String, f64)> = elements.iter().map(|(labels, value)| (text(labels), *value)).collect();
    // What was read once is asked again and again.
    let ready = Expression::read(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    for _ in 0..2 {
        let Ok(Answer::Vector { elements, .. }) = ready.at(&source, NOW, &Limits::default()) else {
            panic!("{expression} gives no vector")
        };
        let again: Vec<(String, f64)> = elements.iter().map(|(labels, value)| (text(labels), *value)).collect();
        assert_eq!(again, all, "{expression}");
    }
    all
}

/// A series, what it is when all is well, and when it is not, by the minutes that are left.
type Given = (&'static str, fn(f64) -> f64, fn(f64) -> f64);
/// The rule, the labels that it gives, and the series.
type Case = (&'static str, &'static str, Vec<Given>);

/// For each rule: the labels that it gives, and series with what they are when all is well, and when it is not.
fn cases() -> Vec<Case> {
    const SECONDS: f64 = 1_764_246_840.0;
    const DAY: f64 = 86_400.0;
    let grows: fn(f64) -> f64 = |left| (420.0 - left) * 60.0;
    let traffic = |bad: fn(f64) -> f64| -> Vec<Given> {
        vec![
            ("mana_edge_requests_total{route=chat/v2,class=2xx}", |left| 6_000.0 - left, |left| 6_000.0 - left * 3.0),
            ("mana_edge_requests_total{route=chat,class=5xx}", |_| 7.0, bad),
        ]
    };
    let free: fn(f64) -> f64 = |_| 60.0;
    vec![
        (
            "ServiceDown",
            "service=chat",
            vec![("up{service=chat,instance=a}", |_| 1.0, |_| 0.0), ("up{service=chat,instance=b}", |_| 0.0, |_| 0.0)],
        ),
        (
            "ServiceDown",
            "service=chat",
            vec![
                ("mana_instances_wanted{service=chat}", |_| 2.0, |_| 2.0),
                ("mana_instances_ready{service=chat}", |_| 1.0, |_| 0.0),
            ],
        ),
        (
            "InstanceMissing",
            "service=chat",
            vec![
                ("mana_instances_wanted{service=chat}", |_| 2.0, |_| 2.0),
                ("mana_instances_ready{service=chat}", |_| 2.0, |_| 1.0),
            ],
        ),
        (
            "PublicHostDown",
            "host=b,service=chat",
            vec![
                ("probe_success{service=chat,via=public,host=a}", |_| 1.0, |_| 1.0),
                ("probe_success{service=chat,via=public,host=b}", |_| 1.0, |_| 0.0),
                ("probe_success{service=chat,via=direct}", |_| 1.0, |_| 1.0),
            ],
        ),
        (
            "CrashLoop",
            "service=chat",
            vec![("mana_instance_restarts_total{service=chat}", |left| (420.0 - left) / 200.0, |left| 420.0 - left)],
        ),
        (
            "OutOfMemory",
            "service=chat",
            vec![("mana_instance_oom_kills_total{service=chat}", |_| 1.0, |left| if left > 5.0 { 1.0 } else { 2.0 })],
        ),
        ("ErrorsMost", "service=chat", traffic(|left| 9_000.0 - left * 20.0)),
        ("ErrorsHigh", "service=chat", traffic(|left| 9_000.0 - left * 2.0)),
        (
            "LatencyHigh",
            "service=chat",
            vec![
                ("mana_edge_request_seconds_bucket{route=chat,le=0.5}", |left| 1e4 - left * 20.0, |left| 1e4 - left),
                (
                    "mana_edge_request_seconds_bucket{route=chat,le=1}",
                    |left| 1e4 - left * 20.0,
                    |left| 1e4 - left * 20.0,
                ),
                (
                    "mana_edge_request_seconds_bucket{route=chat,le=+Inf}",
                    |left| 1e4 - left * 20.0,
                    |left| 1e4 - left * 20.0,
                ),
            ],
        ),
        (
            "MemoryHigh",
            "instance=a,service=chat",
            vec![
                ("mana_instance_memory_bytes{service=chat,instance=a}", |_| 75.0, |_| 85.0),
                ("mana_instance_memory_limit_bytes{service=chat,instance=a}", |_| 100.0, |_| 100.0),
            ],
        ),
        (
            "HostMemoryHigh",
            "",
            vec![
                ("node_memory_MemAvailable_bytes", |_| 25.0, |_| 15.0),
                ("node_memory_MemTotal_bytes", |_| 100.0, |_| 100.0),
            ],
        ),
        (
            "DatabaseDown",
            "server=postgres",
            vec![("pg_up{server=postgres}", |_| 1.0, |_| 0.0), ("redis_up{server=redis}", |_| 1.0, |_| 1.0)],
        ),
        (
            "DatabaseDown",
            "server=redis",
            vec![("pg_up{server=postgres}", |_| 1.0, |_| 1.0), ("redis_up{server=redis}", |_| 1.0, |_| 0.0)],
        ),
        (
            "PoolExhausted",
            "database=chat,service=chat",
            vec![("mana_pool_connections_free{service=chat,database=chat}", |_| 2.0, |_| 1.0)],
        ),
        (
            "SlowQuery",
            "database=chat",
            vec![("mana_database_slowest_query_seconds{database=chat}", |_| 0.19, |_| 0.25)],
        ),
        (
            "FailedLogins",
            "service=auth",
            vec![("logins_failed_total{service=auth,instance=a}", |left| 4e4 - left * 90.0, |left| 1e5 - left * 200.0)],
        ),
        (
            "CertificateEndsSoon",
            "host=a",
            vec![(
                "mana_edge_certificate_expiry_seconds{host=a,source=file}",
                |_| SECONDS + 31.0 * DAY,
                |_| SECONDS + 29.0 * DAY,
            )],
        ),
        (
            "CertificateEndsSoon",
            "host=a",
            vec![
                (
                    "mana_edge_certificate_expiry_seconds{host=a,source=acme}",
                    |_| SECONDS + 5.0 * DAY,
                    |_| SECONDS + 5.0 * DAY,
                ),
                ("mana_edge_certificate_failures{host=a}", |_| 0.0, |_| 3.0),
            ],
        ),
        (
            "CertificateEnds",
            "host=a",
            vec![
                (
                    "mana_edge_certificate_expiry_seconds{host=a,source=acme}",
                    |_| SECONDS + 3.0 * DAY,
                    |_| SECONDS + DAY,
                ),
                ("mana_edge_certificate_expiry_seconds{host=b,source=local}", |_| SECONDS, |_| SECONDS),
            ],
        ),
        (
            "DiskFull",
            "mountpoint=/",
            vec![
                ("node_filesystem_avail_bytes{mountpoint=/,device=a}", |_| 6.0, |_| 4.0),
                ("node_filesystem_size_bytes{mountpoint=/,device=a}", |_| 100.0, |_| 100.0),
            ],
        ),
        (
            "DiskFills",
            "mountpoint=/",
            vec![
                (
                    "node_filesystem_avail_bytes{mountpoint=/,device=a}",
                    |left| 40.0 + left * 9.0 / 360.0,
                    |left| 40.0 + left * 11.0 / 360.0,
                ),
                ("node_filesystem_size_bytes{mountpoint=/,device=a}", |_| 100.0, |_| 100.0),
            ],
        ),
        (
            "BackupLate",
            "database=chat",
            vec![(
                "mana_backup_good_timestamp_seconds{database=chat}",
                |_| SECONDS - 25.0 * 3_600.0,
                |_| SECONDS - 27.0 * 3_600.0,
            )],
        ),
        (
            "BackupShrunk",
            "database=chat",
            vec![
                ("mana_backup_bytes{database=chat}", |_| 60.0, |_| 40.0),
                ("mana_backup_previous_bytes{database=chat}", |_| 100.0, |_| 100.0),
            ],
        ),
        ("DeployFailed", "service=chat", vec![("mana_rollout_failed{service=chat}", |_| 0.0, |_| 1.0)]),
        ("DependencyDown", "dependency=openai", vec![("mana_dependency_up{dependency=openai}", |_| 1.0, |_| 0.0)]),
        ("ChannelDown", "channel=team", vec![("mana_channel_up{channel=team}", |_| 1.0, |_| 0.0)]),
        ("SeriesRefused", "", vec![("mana_watch_series_refused_total", free, grows)]),
    ]
}

#[test]
fn each_rule_fires_on_what_it_is_about_and_not_when_all_is_well() {
    let rules = builtin::rules();
    let cases = cases();
    for rule in rules {
        assert!(cases.iter().any(|(name, ..)| *name == rule.name), "{} is not tried", rule.name);
    }
    for (name, labels, all) in cases {
        let rule = rules.iter().find(|rule| rule.name == name).unwrap();
        let well = evaluate(&rule.expression, all.iter().map(|(text, well, _)| series(text, well)).collect());
        assert_eq!(well, [], "{name} when all is well");
        let ill = evaluate(&rule.expression, all.iter().map(|(text, _, ill)| series(text, ill)).collect());
        assert_eq!(ill.iter().map(|(labels, _)| labels.as_str()).collect::<Vec<_>>(), [labels], "{name}");
        let labels = Labels::new(labels.split(',').filter_map(|pair| pair.split_once('=')));
        let summary = rule.summary.render(&labels, ill[0].1);
        assert!(!summary.contains('?') || name == "BackupShrunk", "{summary}");
        println!("{name}: {summary}");
    }
}

#[test]
fn objectives_fire_when_their_budget_burns() {
    for (good, slow) in [(Good::Answered, false), (Good::Within(Span::from_millis(500)), true)] {
        let slo = Slo { service: "chat".into(), good, objective: 0.999, window: Span::from_days(30) };
        let all = |bad: f64| {
            let bad = move |left: f64| 1e6 - left * bad;
            vec![
                series("mana_edge_requests_total{route=chat/v2,class=2xx}", |left| 1e6 - left * 100.0),
                series("mana_edge_requests_total{route=chat,class=5xx}", bad),
                series("mana_edge_request_seconds_count{route=chat}", |left| 1e6 - left * 100.0),
                series("mana_edge_request_seconds_bucket{route=chat,le=0.5}", move |left| {
                    2e6 - left * 100.0 - bad(left)
                }),
            ]
        };
        for rule in slo.rules().unwrap() {
            assert!(metrics_of(&rule.expression).unwrap().len() >= 5);
            assert_eq!(evaluate(&rule.expression, all(0.01)), [], "{} {slow}", rule.name);
            let burns = evaluate(&rule.expression, all(5.0));
            assert_eq!(burns.len(), 1, "{} {slow}", rule.name);
            assert_eq!(burns[0].0, "service=chat");
            println!("{}", rule.summary.render(&Labels::new([("service", "chat")]), burns[0].1));
        }
    }
}
