//! A service to be watched, for benchmarks: listens on `$PORT` and gives 200 series at `/metrics`, as a web service has them. Their values follow the clock alone, so that whoever asks gets the same.
//! `POST /breach/VALUE` sets the gauge `bench_breach`.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Upper bounds of a histogram's buckets, in seconds.
const BOUNDS: [&str; 12] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];
const ROUTES: [&str; 8] = ["/", "/login", "/chats", "/chats/{id}", "/messages", "/search", "/settings", "/export"];
const STATUSES: [&str; 6] = ["200", "201", "400", "401", "404", "500"];
const COUNTERS: usize = 4;
const GAUGES: usize = 35;
/// A connection that says nothing for so long is closed.
const IDLE: Duration = Duration::from_mins(2);

struct Target {
    started: Instant,
    breach: AtomicU32,
}

fn main() {
    let port: u16 = std::env::var("PORT").expect("PORT is set").parse().expect("PORT is a number");
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let target = Arc::new(Target { started: Instant::now(), breach: AtomicU32::new(0) });
    for stream in listener.incoming().flatten() {
        let target = Arc::clone(&target);
        // Who asks closes; each has a thread of its own until then.
        std::thread::Builder::new().stack_size(64 * 1024).spawn(move || serve(&stream, &target)).expect("a thread");
    }
}

fn serve(stream: &TcpStream, target: &Target) {
    stream.set_read_timeout(Some(IDLE)).expect("a timeout");
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    while reader.read_line(&mut first).is_ok_and(|read| read > 0) {
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            line.clear();
        }
        let path = first.split(' ').nth(1).unwrap_or_default();
        let body = match path.strip_prefix("/breach/") {
            Some(value) => {
                target.breach.store(value.parse().unwrap_or_default(), Ordering::Relaxed);
                String::new()
            }
            None if path == "/metrics" => target.metrics(),
            None => "{}".to_owned(),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut out = stream;
        if out.write_all(head.as_bytes()).and_then(|()| out.write_all(body.as_bytes())).is_err() {
            return;
        }
        first.clear();
    }
}

impl Target {
    fn metrics(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64();
        // Rises at all times, now faster and now slower.
        let counted = |rate: f64| (rate * (seconds + 0.5 * seconds.sin())).floor();
        let mut out = String::with_capacity(16 * 1024);
        out.push_str("# TYPE http_request_duration_seconds histogram\n");
        for (number, route) in ROUTES.iter().enumerate() {
            let rate = 40.0 / f64::from(u32::try_from(number).unwrap_or(0) + 1);
            let mut share = 0.0;
            for bound in BOUNDS {
                share += (1.0 - share) * 0.35;
                let count = counted(if bound == "+Inf" { rate } else { rate * share });
                let _ =
                    writeln!(out, "http_request_duration_seconds_bucket{{route=\"{route}\",le=\"{bound}\"}} {count}");
            }
            let _ = writeln!(out, "http_request_duration_seconds_sum{{route=\"{route}\"}} {}", rate * seconds * 0.04);
            let _ = writeln!(out, "http_request_duration_seconds_count{{route=\"{route}\"}} {}", counted(rate));
        }
        out.push_str("# TYPE http_requests_total counter\n");
        for (number, route) in ROUTES.iter().enumerate() {
            for (at, status) in STATUSES.iter().enumerate() {
                let rate = 40.0 / f64::from(u32::try_from((number + 1) * (at * 4 + 1)).unwrap_or(1));
                let _ = writeln!(out, "http_requests_total{{route=\"{route}\",status=\"{status}\"}} {}", counted(rate));
            }
        }
        for number in 0..COUNTERS {
            let _ = writeln!(out, "# TYPE work_{number}_total counter\nwork_{number}_total {}", counted(7.0));
        }
        for number in 0..GAUGES {
            let wave = (seconds / 60.0 + f64::from(u32::try_from(number).unwrap_or(0))).sin();
            let _ = writeln!(out, "# TYPE gauge_{number} gauge\ngauge_{number} {}", (100.0 + 20.0 * wave).round());
        }
        let _ = writeln!(out, "# TYPE bench_breach gauge\nbench_breach {}", self.breach.load(Ordering::Relaxed));
        out
    }
}
