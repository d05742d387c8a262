//! A Prometheus of its own, on a free port, in a temporary folder, gone with the value.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mana_watch::Series;
use serde_json::Value;

/// Until it answers.
const START_WITHIN: Duration = Duration::from_mins(1);
/// For one request.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);
/// Samples are told in slices of this many milliseconds: of what it holds in memory, Prometheus takes nothing that is more than an hour old.
const SLICE_MS: i64 = 10 * 60 * 1000;

/// Ends with the value.
pub(crate) struct Prometheus {
    port: u16,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, "global: {}\n").expect("the temporary folder takes a file");
        let port = test_ports::free_port();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--web.enable-remote-write-receiver")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "`prometheus` does not start ({error}): this test compares with it; install Debian's package `prometheus`, \
                     as scripts/test-services.sh install does"
                )
            });
        let mut started = Self { port, process, _folder: folder };
        let deadline = Instant::now() + START_WITHIN;
        while started.request("GET", "/-/ready", &[]).is_none_or(|(status, _)| status != 200) {
            let ended = started.process.try_wait().ok().flatten();
            assert!(ended.is_none(), "prometheus ended while it started");
            assert!(Instant::now() < deadline, "prometheus is not ready after {START_WITHIN:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        started
    }

    /// Writes the series, by remote write, since no text format has stale markers.
    pub(crate) fn write(&self, series: &[Series]) {
        let times = || series.iter().flat_map(|one| one.samples.iter().map(|sample| sample.at));
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return };
        let mut from = first;
        while from <= last {
            let mut message = Vec::new();
            for one in series {
                let inside = one.samples.iter().filter(|sample| (from..from + SLICE_MS).contains(&sample.at));
                let mut encoded = Vec::new();
                for (label, value) in one.labels.iter() {
                    let mut pair = Vec::new();
                    field(&mut pair, 1, label.as_bytes());
                    field(&mut pair, 2, value.as_bytes());
                    field(&mut encoded, 1, &pair);
                }
                let labels = encoded.len();
                for sample in inside {
                    let mut point = vec![1 << 3 | 1];
                    point.extend(sample.value.to_bits().to_le_bytes());
                    point.push(2 << 3);
                    varint(&mut point, sample.at.cast_unsigned());
                    field(&mut encoded, 2, &point);
                }
                if encoded.len() > labels {
                    field(&mut message, 1, &encoded);
                }
            }
            if !message.is_empty() {
                let (status, answer) =
                    self.request("POST", "/api/v1/write", &snappy(&message)).expect("prometheus answers");
                assert!(status == 204 || status == 200, "prometheus does not take the samples: {status} {answer}");
            }
            from += SLICE_MS;
        }
    }

    /// The answer to a call of its API.
    pub(crate) fn ask(&self, call: &str, parameters: &[(&str, &str)]) -> Value {
        let pairs: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let path = format!("/api/v1/{call}?{}", pairs.join("&"));
        let (_, answer) = self.request("GET", &path, &[]).expect("prometheus answers");
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error} in {answer:?}"))
    }

    fn request(&self, method: &str, path: &str, body: &[u8]) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\nContent-Encoding: snappy\r\n\
             Content-Type: application/x-protobuf\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(byte as char);
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_bits(value) | 0x80);
        value >>= 7;
    }
    out.push(low_bits(value));
}

fn low_bits(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

/// A field of a protocol buffer whose content has a length.
fn field(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, content.len() as u64);
    out.extend(content);
}

/// Snappy's format without any compression: one literal.
fn snappy(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, content.len() as u64);
    out.push(63 << 2);
    out.extend((u32::try_from(content.len()).expect("a short message") - 1).to_le_bytes());
    out.extend(content);
    out
}
