//! Load for the benchmarks, where the usual clients do not measure what is asked for. Prints one line of JSON.
//!
//! ```text
//! load rate       --address A --path P --rate N [--connections 256] [--seconds 3] [CALL]   requests at a constant rate
//! load closed     --address A --path P [--connections 64] [--seconds 3] [CALL]   as many as get through
//! load streams    --address A --path P [--connections 1000] [--seconds 3] CALL   streamed answers at once, begun within so many seconds
//! load handshakes --address A --path P --resume yes|no [--connections 32] [--seconds 3]   new TLS connections
//! load up|down    --address A --path P [--bytes 67108864] [--connections 8] [--seconds 3]   large bodies
//! load websockets --address A --path P [--connections 1000]   held until standard input ends
//! load sink       --address A   the service behind `up`, `down` and `websockets`, until standard input ends
//! ```
//!
//! CALL is `--headers FILE` (lines of headers: tokens are in no argument) and `--body FILE` (with one, it is a POST).
//! Every load is bounded in time and connections and goes to loopback only. `rate` waits on sockets by `epoll`, in one thread; the
//! others have a thread for each connection, which blocks: with a few of them that is as cheap, and far simpler.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

mod answer;
mod bodies;
mod handshakes;
mod histogram;
mod rate;
mod sink;
mod streams;
mod websockets;

/// What went wrong, for a person.
type Problem = Box<dyn std::error::Error + Send + Sync>;

/// The host that the proxies serve.
const HOST: &str = "localhost";

/// No socket waits longer than this for its peer.
const SILENCE: Duration = Duration::from_secs(10);

/// More than this many connections, or seconds, is a typing error.
const MOST_CONNECTIONS: usize = 8_192;
const MOST_SECONDS: u64 = 600;

/// Where the load goes, and how much of it.
struct Target {
    address: SocketAddr,
    path: String,
    connections: usize,
    duration: Duration,
}

/// The head of a request, as every load sends it.
fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n")
}

#[expect(clippy::cast_precision_loss, reason = "shown to a person")]
fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

/// `--name value` pairs.
struct Flags(BTreeMap<String, String>);

impl Flags {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Problem> {
        let mut flags = BTreeMap::new();
        while let Some(flag) = arguments.next() {
            let name = flag.strip_prefix("--").ok_or_else(|| format!("{flag}: a --flag is needed here"))?;
            let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
            flags.insert(name.to_owned(), value);
        }
        Ok(Self(flags))
    }

    fn take<T: FromStr>(&mut self, name: &str, default: Option<T>) -> Result<T, Problem> {
        match (self.0.remove(name), default) {
            (Some(text), _) => text.parse().map_err(|_| format!("--{name} {text}: not understood").into()),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(format!("--{name} is missing").into()),
        }
    }

    fn address(&mut self) -> Result<SocketAddr, Problem> {
        let address: SocketAddr = self.take("address", None)?;
        if address.ip().is_loopback() { Ok(address) } else { Err(format!("{address} is not on loopback").into()) }
    }

    fn target(&mut self, connections: usize) -> Result<Target, Problem> {
        let target = Target {
            address: self.address()?,
            path: self.take("path", None)?,
            connections: self.take("connections", Some(connections))?,
            duration: Duration::from_secs(self.take("seconds", Some(3))?),
        };
        if !(1..=MOST_CONNECTIONS).contains(&target.connections) {
            return Err(format!("--connections is 1 to {MOST_CONNECTIONS}").into());
        }
        if !(1..=MOST_SECONDS).contains(&target.duration.as_secs()) {
            return Err(format!("--seconds is 1 to {MOST_SECONDS}").into());
        }
        Ok(target)
    }

    /// The bytes of a request: what `--headers` and `--body` name, if they are there.
    fn call(&mut self, path: &str) -> Result<Vec<u8>, Problem> {
        let mut headers = String::new();
        let name: String = self.take("headers", Some(String::new()))?;
        if !name.is_empty() {
            for line in std::fs::read_to_string(name)?.lines() {
                headers.push_str(line);
                headers.push_str("\r\n");
            }
        }
        let name: String = self.take("body", Some(String::new()))?;
        if name.is_empty() {
            return Ok(request("GET", path, &headers).into_bytes());
        }
        let body = std::fs::read(name)?;
        let mut whole = request("POST", path, &format!("{headers}Content-Length: {}\r\n", body.len())).into_bytes();
        whole.extend(body);
        Ok(whole)
    }

    fn end(self) -> Result<(), Problem> {
        self.0.into_keys().next().map_or(Ok(()), |flag| Err(format!("--{flag} is not known here").into()))
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), Problem> {
    let load = arguments.next().ok_or("which load? rate, closed, streams, handshakes, up, down, websockets or sink")?;
    let mut flags = Flags::parse(arguments)?;
    let measured = match load.as_str() {
        "rate" => {
            let (target, rate) = (flags.target(256)?, flags.take("rate", None)?);
            let call = flags.call(&target.path)?;
            flags.end()?;
            rate::run(&target, Some(rate), call)?
        }
        "closed" => {
            let target = flags.target(64)?;
            let call = flags.call(&target.path)?;
            flags.end()?;
            rate::run(&target, None, call)?
        }
        "streams" => {
            let target = flags.target(1_000)?;
            let call = flags.call(&target.path)?;
            flags.end()?;
            streams::run(&target, &call)?
        }
        "handshakes" => {
            let (target, resume) = (flags.target(32)?, flags.take::<String>("resume", None)?);
            flags.end()?;
            handshakes::run(&target, resume == "yes")?
        }
        "up" | "down" => {
            let (target, bytes) = (flags.target(8)?, flags.take("bytes", Some(64 << 20))?);
            flags.end()?;
            bodies::run(&target, bytes, load == "up")
        }
        "websockets" => {
            let target = flags.target(1_000)?;
            flags.end()?;
            websockets::run(&target)?
        }
        "sink" => {
            let address = flags.address()?;
            flags.end()?;
            return sink::run(address);
        }
        _ => return Err(format!("{load} is no load").into()),
    };
    println!("{measured}");
    Ok(())
}

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("load: {problem}");
            ExitCode::FAILURE
        }
    }
}
