//! One command with limits: it gets so much and no more, its output takes a bounded place, and when it ends, everything that it
//! started ends.
//!
//! How it starts: `/bin/sh` waits for a line on its input before it becomes the program. Meanwhile it is put where the limits
//! are. So there is no moment at which the program runs without them, and if whoever started it dies before, it never runs.

mod cgroup;
mod enclosure;
mod output;
mod processes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::time::{Instant, MissedTickBehavior, timeout_at};

pub use enclosure::{Enclosure, InForce, Limits};

use crate::event::Events;
use output::Output;

/// How often memory and processes are counted where the system does not limit them by itself.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long the rest of the output is waited for once all processes are gone.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Waits for its input, then becomes the program, without input.
const GATE: &str = "read -r _ && exec \"$@\" </dev/null";
/// What the shell answers with where there is no such program, or it cannot be run.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;

/// What is run.
#[derive(Debug)]
pub struct Job<'a> {
    /// What it is called on the screen: `build`, `check lint`.
    pub name: &'a str,
    /// Program and arguments; never empty.
    pub argv: &'a [String],
    /// Folder it runs in.
    pub folder: &'a Path,
    /// Its whole environment.
    pub env: &'a BTreeMap<String, String>,
    /// How long it may take.
    pub timeout: Duration,
    /// Where its output goes, beside the screen.
    pub log: &'a Path,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Code(i32),
    /// Somebody sent it this signal.
    Signal(i32),
    /// It took too long.
    TimedOut(Duration),
    /// It needed more than these bytes.
    OutOfMemory(u64),
    /// It made more processes than this.
    TooManyProcesses(u64),
}

impl End {
    /// Whether it did what it should.
    pub fn success(&self) -> bool {
        *self == Self::Code(0)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(NOT_FOUND) => write!(f, "exit code {NOT_FOUND}: a program is not there"),
            Self::Code(NOT_EXECUTABLE) => write!(f, "exit code {NOT_EXECUTABLE}: a program cannot be executed"),
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => write!(f, "signal {number}"),
            Self::TimedOut(limit) => write!(f, "it took longer than {}", duration(*limit)),
            Self::OutOfMemory(bytes) => write!(f, "it needed more than {} of memory", size(*bytes)),
            Self::TooManyProcesses(count) => write!(f, "it made more than {count} processes"),
        }
    }
}

/// Why it could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Its output cannot be written down.
    #[error("cannot write the log {}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system refuses to run anything.
    #[error("cannot start {program}")]
    Start {
        /// What.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Runs a job to its end. Dropped before, it takes all its processes with it.
///
/// # Errors
/// Where nothing could be run, or its output cannot be written down any more. A program that fails is no error here.
pub async fn run(job: &Job<'_>, enclosure: &Enclosure, events: &Events) -> Result<End, JobError> {
    let log = |source| JobError::Log { path: job.log.to_owned(), source };
    let start = |source| JobError::Start { program: job.argv[0].clone(), source };
    let mut output = Output::new(job.log, job.name, events).map_err(log)?;
    let (reader, writer) = io::pipe().map_err(start)?;
    let mut child = spawn(job, enclosure, writer).map_err(start)?;
    let Some(pid) = child.id() else { return Err(start(io::ErrorKind::NotFound.into())) };
    let mut running = Running { enclosure, job: job.name, pid: Some(pid) };
    enclosure.take_in(pid, job.name).map_err(start)?;
    let reader = Receiver::from_owned_fd(reader.into()).map_err(start)?;
    if let Some(mut gate) = child.stdin.take() {
        gate.write_all(b"\n").await.map_err(start)?;
    }
    let end = watch(job, enclosure, &mut child, &mut output, &reader).await;
    // Whatever it left behind holds the output open, so it goes first. The leader's own end is known or comes now.
    running.end();
    let _ = child.wait().await;
    let end = end.map_err(log)?;
    output.rest(&reader, LAST_WORDS).await.map_err(log)?;
    output.finish(end.success()).await.map_err(log)?;
    Ok(end)
}

fn spawn(job: &Job<'_>, enclosure: &Enclosure, writer: io::PipeWriter) -> io::Result<Child> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", GATE, "mana"]).args(job.argv).current_dir(job.folder).env_clear().envs(job.env);
    command.envs(enclosure.mark(job.name));
    command.stdin(Stdio::piped()).stdout(writer.try_clone()?).stderr(writer).process_group(0).kill_on_drop(true);
    command.spawn()
}

/// Until it ends or has to.
async fn watch(
    job: &Job<'_>,
    enclosure: &Enclosure,
    child: &mut Child,
    output: &mut Output<'_>,
    reader: &Receiver,
) -> io::Result<End> {
    let deadline = Instant::now() + job.timeout;
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut open = true;
    loop {
        tokio::select! {
            // Output that takes all of the time must not put off the deadline.
            biased;
            () = tokio::time::sleep_until(deadline) => return Ok(End::TimedOut(job.timeout)),
            ended = child.wait() => return Ok(enclosure.overrun().unwrap_or_else(|| of_status(&ended))),
            _ = look.tick() => if let Some(end) = enclosure.look() { return Ok(end) },
            ready = reader.readable(), if open => {
                ready?;
                // Whoever reads may not read: a stopped terminal must not put off the deadline either.
                match timeout_at(deadline, output.take(reader)).await {
                    Ok(more) => open = more?,
                    Err(_) => return Ok(End::TimedOut(job.timeout)),
                }
            }
        }
    }
}

fn of_status(status: &io::Result<std::process::ExitStatus>) -> End {
    use std::os::unix::process::ExitStatusExt;
    match status {
        Ok(status) => status.code().map_or_else(|| End::Signal(status.signal().unwrap_or(0)), End::Code),
        // Somebody else has waited for it: it did not tell us that it succeeded.
        Err(_) => End::Code(-1),
    }
}

/// Takes the processes of a job away, at the latest when it is dropped.
struct Running<'a> {
    enclosure: &'a Enclosure,
    job: &'a str,
    pid: Option<u32>,
}

impl Running<'_> {
    fn end(&mut self) {
        let Some(pid) = self.pid.take() else { return };
        self.enclosure.kill(pid, self.job);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// Kills a process group whose leader has not been waited for.
fn kill_group(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // One that is gone has what it was asked for.
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
}

/// `30m`, `1h 30m`, `45s`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (hours, 0, _) => format!("{hours}h"),
        (hours, minutes, _) => format!("{hours}h {minutes}m"),
    }
}

/// `4.0 GiB`.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
}
