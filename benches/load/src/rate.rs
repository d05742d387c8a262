//! Requests at a constant rate over kept connections, whatever the answers take: request `n` is due `n / rate` after the begin. It
//! goes to the connection that has been free for longest, or waits for one, and its time counts from when it was due. So a
//! proxy that stands still for a moment pays for every request of that moment (no coordinated omission).
//!
//! Without a rate, each connection asks again as soon as it is answered: for what gets through at most.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use serde_json::{Value, json};

use crate::answer::Head;
use crate::histogram::Histogram;
use crate::{Problem, SILENCE, Target, per_second};

/// Not counted: connections of proxy and service are still being opened.
const WARM_UP: Duration = Duration::from_millis(500);

/// What is still on its way after the end has this long.
const REST: Duration = Duration::from_secs(5);

/// An answer after that came late.
const LATE: Duration = Duration::from_secs(1);

/// Of sockets looked after in one turn.
const EVENTS: usize = 256;

/// With so many failures the proxy is not measured but broken.
const MOST_ERRORS: u64 = 10_000;

struct Connection {
    stream: TcpStream,
    /// When the request on its way was due.
    due: Option<Instant>,
    counted: bool,
    answer: Vec<u8>,
    end: Option<End>,
}

/// How the end of an answer is known, once its head is there.
#[derive(Clone, Copy)]
enum End {
    /// Of head and body together.
    At(usize),
    /// The last chunk.
    Chunk,
}

/// The end of a body in chunks. (No body of JSON holds it.)
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

impl Connection {
    fn open(target: &Target, epoll: &OwnedFd, index: usize) -> Result<Self, Problem> {
        let stream = TcpStream::connect_timeout(&target.address, SILENCE)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll::add(epoll, &stream, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
        Ok(Self { stream, due: None, counted: false, answer: Vec::with_capacity(4096), end: None })
    }

    /// Whether the answer is complete.
    fn read(&mut self, buffer: &mut [u8]) -> Result<bool, Problem> {
        match self.stream.read(buffer) {
            Ok(0) => return Err("closed".into()),
            Ok(read) => self.answer.extend_from_slice(&buffer[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        if self.due.is_none() {
            return Err("an answer that nobody asked for".into());
        }
        let end = if let Some(end) = self.end {
            end
        } else {
            let Some(head) = Head::parse(&self.answer)? else { return Ok(false) };
            if head.status != 200 {
                return Err(format!("status {}", head.status).into());
            }
            match head.length {
                Some(length) => End::At(head.bytes + usize::try_from(length)?),
                None if head.chunked => End::Chunk,
                None => return Err("an answer without an end".into()),
            }
        };
        self.end = Some(end);
        Ok(match end {
            End::At(length) => self.answer.len() == length,
            End::Chunk => self.answer.ends_with(LAST_CHUNK),
        })
    }
}

struct Load<'a> {
    target: &'a Target,
    request: Vec<u8>,
    /// A second; without one, whoever is free asks.
    rate: Option<f64>,
    until: Instant,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    free: VecDeque<usize>,
    begin: Instant,
    sent: u64,
    total: u64,
    answered: u64,
    errors: u64,
    last_error: Option<String>,
    times: Histogram,
    /// How late the load itself was: from when a request was due to when it was sent.
    late: Histogram,
}

impl Load<'_> {
    #[expect(clippy::cast_precision_loss, reason = "a request's number is far below 2^53")]
    fn due(&self, number: u64) -> Instant {
        match self.rate {
            Some(rate) => self.begin + Duration::from_secs_f64(number as f64 / rate),
            None => Instant::now(),
        }
    }

    /// Whether there is more to send.
    fn goes_on(&self) -> bool {
        if self.rate.is_some() { self.sent < self.total } else { Instant::now() < self.until }
    }

    fn failed(&mut self, index: usize, problem: &Problem) -> Result<(), Problem> {
        self.errors += 1;
        self.last_error = Some(problem.to_string());
        if self.errors > MOST_ERRORS {
            return Err(format!("{MOST_ERRORS} requests failed, the last by: {problem}").into());
        }
        let was_free = self.connections[index].due.is_none();
        self.connections[index] = Connection::open(self.target, &self.epoll, index)?;
        if !was_free {
            self.free.push_back(index);
        }
        Ok(())
    }

    fn send_what_is_due(&mut self) -> Result<(), Problem> {
        while self.goes_on() {
            let due = self.due(self.sent);
            let now = Instant::now();
            if self.rate.is_some() && due > now {
                break;
            }
            let Some(index) = self.free.pop_front() else { break };
            let counted = due >= self.begin + WARM_UP;
            self.sent += 1;
            let connection = &mut self.connections[index];
            (connection.due, connection.counted, connection.end) = (Some(due), counted, None);
            connection.answer.clear();
            if counted {
                self.late.record(now.saturating_duration_since(due));
            }
            if let Err(error) = connection.stream.write_all(&self.request) {
                self.failed(index, &error.into())?;
            }
        }
        Ok(())
    }

    fn wait(&self) -> Result<(), Problem> {
        let now = Instant::now();
        let until = if self.goes_on() && !self.free.is_empty() { self.due(self.sent) } else { now + REST };
        let wait = Timespec::try_from(until.saturating_duration_since(now))?;
        // `epoll_pwait` counts in milliseconds, `ppoll` in nanoseconds.
        match poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn receive(&mut self, events: &mut Vec<epoll::Event>, buffer: &mut [u8]) -> Result<(), Problem> {
        events.clear();
        epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), Some(&Timespec::default()))?;
        for event in events.iter() {
            let index = usize::try_from(event.data.u64())?;
            let connection = &mut self.connections[index];
            match connection.read(buffer) {
                Ok(false) => {}
                Ok(true) => {
                    let took = connection.due.take().map(|due| due.elapsed()).unwrap_or_default();
                    let counted = connection.counted;
                    self.answered += 1;
                    self.free.push_back(index);
                    if counted {
                        self.times.record(took);
                    }
                }
                Err(problem) => self.failed(index, &problem)?,
            }
        }
        Ok(())
    }
}

pub(crate) fn run(target: &Target, rate: Option<f64>, request: Vec<u8>) -> Result<Value, Problem> {
    if rate.is_some_and(|rate| !(1.0..=1e6).contains(&rate)) {
        return Err("--rate is 1 to 1000000".into());
    }
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let connections =
        (0..target.connections).map(|index| Connection::open(target, &epoll, index)).collect::<Result<Vec<_>, _>>()?;
    let whole = WARM_UP + target.duration;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 6e8, checked above")]
    let total = (rate.unwrap_or_default() * whole.as_secs_f64()) as u64;
    let begin = Instant::now();
    let mut load = Load {
        target,
        request,
        rate,
        epoll,
        free: (0..connections.len()).collect(),
        connections,
        begin,
        until: begin + whole,
        sent: 0,
        total,
        answered: 0,
        errors: 0,
        last_error: None,
        times: Histogram::default(),
        late: Histogram::default(),
    };
    let mut events = Vec::with_capacity(EVENTS);
    let mut buffer = vec![0; 64 * 1024];
    let end = load.begin + whole + REST;
    while (load.goes_on() || load.answered + load.errors < load.sent) && Instant::now() < end {
        load.send_what_is_due()?;
        load.wait()?;
        load.receive(&mut events, &mut buffer)?;
    }
    let elapsed = load.begin.elapsed();
    // What never came took at least until now.
    for connection in &load.connections {
        if let Some(due) = connection.due {
            load.times.record(due.elapsed());
        }
    }
    for number in load.sent..total {
        load.times.record(load.due(number).elapsed());
    }
    let unanswered = total.max(load.sent).saturating_sub(load.answered + load.errors);
    Ok(json!({
        "requests": load.answered,
        "requests_per_second": per_second(load.answered, elapsed),
        "p50_seconds": load.times.seconds_at(500),
        "p99_seconds": load.times.seconds_at(990),
        "p999_seconds": load.times.seconds_at(999),
        "max_seconds": load.times.max_seconds(),
        "late_answers": load.times.above(LATE),
        "late_p99_seconds": load.late.seconds_at(990),
        "errors": load.errors + unanswered,
        "last_error": load.last_error,
    }))
}
