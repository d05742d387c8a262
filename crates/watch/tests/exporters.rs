//! Debian's exporters, beside real servers of what they are for, are read to the last line; in both formats, where they speak both.

#[path = "expositions/reading.rs"]
mod reading;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mana_watch::Labels;
use mana_watch::exposition::{ACCEPT, Format};
use reading::check;
use test_ports::free_port;

/// Until a program answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ends with the value.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        let name = command.get_program().display().to_string();
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(started.unwrap_or_else(|error| {
            panic!("{name} does not start ({error}): `scripts/test-services.sh install` installs what tests need")
        }))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The body that it answers with, and its format.
fn scrape(port: u16, accept: &str) -> Option<(String, Format)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET /metrics HTTP/1.0\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let kind = head
        .lines()
        .find_map(|line| line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("content-type")));
    let format = kind.and_then(|(_, value)| Format::of(value)).unwrap_or_default();
    head.contains(" 200 ").then(|| (body.to_owned(), format))
}

/// Scrapes an exporter until it has these values, and reads what it says.
fn shows(exporter: &str, port: u16, values: &[(&str, f64)]) {
    for accept in ["text/plain;version=0.0.4", ACCEPT] {
        let began = Instant::now();
        loop {
            if let Some((body, format)) = scrape(port, accept) {
                let samples = check(exporter, &body, format);
                let value = |name: &str| {
                    let named = samples.iter().filter(|(labels, _)| labels.name() == name);
                    named.map(|(_, sample)| sample.value).fold(f64::NEG_INFINITY, f64::max)
                };
                if values.iter().all(|(name, least)| value(name) >= *least) {
                    let mut series: Vec<&Labels> = samples.iter().map(|(labels, _)| labels).collect();
                    let all = series.len();
                    series.sort();
                    series.dedup();
                    assert_eq!(series.len(), all, "{exporter} says each series once");
                    break;
                }
            }
            assert!(began.elapsed() < PATIENCE, "{exporter} does not show {values:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn address(of: &str) -> String {
    std::env::var(of).expect("run `make test`, or inside `scripts/test-services.sh run`")
}

#[test]
fn the_exporter_of_redis_is_read() {
    let port = free_port();
    let _exporter = Running::start(
        Command::new("prometheus-redis-exporter")
            .args(["-redis.addr", address("MANA_TEST_REDIS_URL").trim_end_matches('/')])
            .args(["-web.listen-address", &format!("127.0.0.1:{port}")]),
    );
    shows(
        "prometheus-redis-exporter",
        port,
        &[("redis_up", 1.0), ("redis_memory_used_bytes", 1e5), ("redis_commands_total", 1.0)],
    );
}

#[test]
fn the_exporter_of_postgresql_is_read() {
    let port = free_port();
    let _exporter = Running::start(
        Command::new("prometheus-postgres-exporter")
            .env("DATA_SOURCE_NAME", format!("{}?sslmode=disable", address("MANA_TEST_POSTGRES_URL")))
            .arg(format!("--web.listen-address=127.0.0.1:{port}")),
    );
    let values = [("pg_up", 1.0), ("pg_settings_max_connections", 1.0), ("pg_stat_database_xact_commit", 1.0)];
    shows("prometheus-postgres-exporter", port, &values);
}

#[test]
fn the_exporter_of_nginx_is_read() {
    let (web, port, folder) = (free_port(), free_port(), tempfile::tempdir().expect("a folder"));
    let config = folder.path().join("nginx.conf");
    let place = folder.path().display();
    let text = format!(
        "daemon off; master_process off; pid {place}/pid; error_log {place}/error.log; events {{}}\n\
         http {{ access_log off; client_body_temp_path {place}/a; proxy_temp_path {place}/b; fastcgi_temp_path {place}/c; \
         uwsgi_temp_path {place}/d; scgi_temp_path {place}/e; server {{ listen 127.0.0.1:{web}; location /status {{ stub_status; }} }} }}\n"
    );
    std::fs::write(&config, text).expect("the folder takes a file");
    let nginx = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().map(PathBuf::from).find(|program| program.exists());
    let _nginx = Running::start(Command::new(nginx.unwrap_or_else(|| "nginx".into())).arg("-c").arg(&config));
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", web)).is_err() {
        assert!(began.elapsed() < PATIENCE, "nginx does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    let _exporter = Running::start(
        Command::new("prometheus-nginx-exporter")
            .arg(format!("-nginx.scrape-uri=http://127.0.0.1:{web}/status"))
            .arg(format!("-web.listen-address=127.0.0.1:{port}")),
    );
    shows(
        "prometheus-nginx-exporter",
        port,
        &[("nginx_up", 1.0), ("nginx_connections_accepted", 1.0), ("nginx_http_requests_total", 1.0)],
    );
}
