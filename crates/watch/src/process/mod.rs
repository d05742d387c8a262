//! What a process takes: processor, memory, file handles, threads, disk I/O. Names are those of Prometheus' client libraries.
//!
//! [`Process`] looks at one process and none of those that it started; where the system keeps its processes in control groups,
//! [`Cgroup`] counts them all. `files` and `cgroup` turn text into values; what reads is here and there at the end.

mod cgroup;
mod files;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

pub use cgroup::Cgroup;
use files::Stat;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::gather::{Sink, Strange, Unknown, Why};

/// No more is read of a file of a process once there is so much.
const MAX_FILE_BYTES: u64 = 64 << 10;
/// Room for most of them.
const FILE_BYTES: usize = 4 << 10;
/// How many handles a process may have is read again after this: it is changed seldom, and mostly by the process itself as it begins.
const LIMIT_HOLDS: Duration = Duration::from_mins(1);
/// Most file handles that are counted one by one, on kernels that do not tell their number.
const MAX_COUNTED: u32 = 1 << 20;

/// A process, looked at again and again. It is held by its folder in `/proc`, which stays that process's: when its pid is used anew, the
/// folder reads as gone, so that no value is ever another's.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    folder: OwnedFd,
    machine: Machine,
    /// Handles that it may have, and when that was read.
    limit: Option<(f64, Instant)>,
    buffer: Vec<u8>,
}

/// What values of processes are calculated with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// When it was booted, in seconds since 1970.
    pub boot_seconds: f64,
    /// What the kernel counts processor time in.
    pub ticks_per_second: f64,
    /// What the kernel counts memory in.
    pub page_bytes: f64,
}

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// At what the kernel has at hand.
    #[default]
    Plain,
    /// At each page of its memory, too, to tell what it adds to the machine: milliseconds for a large process, so every minute rather than
    /// every round.
    Pages,
}

/// Whether a process is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    Here,
    /// It has ended: nothing was put, and its series end.
    Gone,
}

/// Why a process cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// There is none.
    #[error("process {pid} is gone")]
    Gone {
        /// Its pid.
        pid: u32,
    },
    /// There is one with its pid, which began at another time.
    #[error("process {pid} is gone: its pid belongs to another process now")]
    Another {
        /// Its pid.
        pid: u32,
    },
    /// The system does not let it be looked at.
    #[error("process {pid} cannot be looked at; is /proc mounted, and is it of the same user?")]
    System {
        /// Its pid.
        pid: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Machine {
    /// This one.
    ///
    /// # Errors
    /// `/proc/stat` cannot be read, or does not say when it was booted.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    pub fn here() -> io::Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        Ok(Self {
            boot_seconds: boot.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/stat has no btime"))?,
            ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
            page_bytes: rustix::param::page_size() as f64,
        })
    }
}

impl Process {
    /// The process with this pid that began at this time (in ticks since boot, field 22 of `/proc/PID/stat`).
    ///
    /// # Errors
    /// It is gone, or the system does not let it be looked at.
    pub fn find(pid: u32, start_ticks: u64, machine: Machine) -> Result<Self, LookError> {
        Self::below(Path::new("/proc"), pid, start_ticks, machine)
    }

    fn below(proc: &Path, pid: u32, start_ticks: u64, machine: Machine) -> Result<Self, LookError> {
        let gone_or = |error: Errno| {
            if is_gone(error) { LookError::Gone { pid } } else { LookError::System { pid, source: error.into() } }
        };
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        let folder = rustix::fs::open(proc.join(pid.to_string()), flags, Mode::empty()).map_err(gone_or)?;
        let mut process = Self { pid, folder, machine, limit: None, buffer: Vec::new() };
        let text = process.text("stat").map_err(gone_or)?;
        let strange = |_| LookError::System { pid, source: io::Error::other("its stat has an unknown form") };
        let stat = Stat::read(text).map_err(strange)?;
        if stat.start_ticks != start_ticks {
            return Err(LookError::Another { pid });
        }
        if stat.ended { Err(LookError::Gone { pid }) } else { Ok(process) }
    }

    /// Its pid.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Measures it.
    pub fn measure(&mut self, depth: Depth, sink: &mut dyn Sink) -> Presence {
        let known = self.limit.filter(|(_, read)| read.elapsed() < LIMIT_HOLDS);
        let limit = if let Some((known, _)) = known {
            Ok(known)
        } else {
            let limit = self.parsed("limits", files::open_files_limit);
            self.limit = limit.as_ref().ok().map(|limit| (*limit, Instant::now()));
            limit
        };
        let io = self.parsed("io", files::io);
        let open = self.open_files();
        let pss = (depth == Depth::Pages).then(|| self.parsed("smaps_rollup", files::pss));
        // What is read last says whether all before was of a process that was there: of one that ended in between nothing is put.
        let stat = match self.text("stat").map(Stat::read) {
            Err(error) if is_gone(error) => return Presence::Gone,
            Ok(Ok(stat)) if stat.ended => return Presence::Gone,
            Ok(Ok(stat)) => stat,
            Ok(Err(strange)) => {
                self.unknown("processor, memory and threads", "stat", Why::Strange(strange), sink);
                return Presence::Here;
            }
            Err(error) => {
                self.unknown("processor, memory and threads", "stat", unreadable(error), sink);
                return Presence::Here;
            }
        };
        stat.put(&self.machine, sink);
        self.put("file handles", "fd", open.map_err(unreadable), sink, |open, sink| {
            sink.put("process_open_fds", &[], f64::from(open));
        });
        self.put("limit of file handles", "limits", limit, sink, |limit, sink| {
            sink.put("process_max_fds", &[], limit);
        });
        self.put("disk I/O", "io", io, sink, |io, sink| {
            sink.put("process_disk_read_bytes_total", &[], io.read_bytes);
            sink.put("process_disk_written_bytes_total", &[], io.written_bytes);
        });
        if let Some(pss) = pss {
            self.put("proportional memory", "smaps_rollup", pss, sink, |bytes, sink| {
                sink.put("process_proportional_memory_bytes", &[], bytes);
            });
        }
        Presence::Here
    }

    fn put<T>(
        &self,
        what: &str,
        file: &str,
        value: Result<T, Why>,
        sink: &mut dyn Sink,
        put: impl FnOnce(T, &mut dyn Sink),
    ) {
        match value {
            Ok(value) => put(value, sink),
            Err(why) => self.unknown(what, file, why, sink),
        }
    }

    fn unknown(&self, what: &str, file: &str, why: Why, sink: &mut dyn Sink) {
        sink.unknown(Unknown::new(what, format!("/proc/{}/{file}", self.pid), why));
    }

    fn parsed<T>(&mut self, file: &str, parse: impl FnOnce(&str) -> Result<T, Strange>) -> Result<T, Why> {
        parse(self.text(file).map_err(unreadable)?).map_err(Why::Strange)
    }

    fn text(&mut self, file: &str) -> Result<&str, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(self.folder.as_fd(), file, flags, Mode::empty())?;
        self.buffer.clear();
        // The kernel gives all that there is at once, as far as there is room.
        while (self.buffer.len() as u64) < MAX_FILE_BYTES {
            self.buffer.reserve(FILE_BYTES);
            let room = self.buffer.spare_capacity_mut().len();
            if rustix::io::retry_on_intr(|| {
                rustix::io::read(&opened, rustix::buffer::spare_capacity(&mut self.buffer))
            })? < room
            {
                break;
            }
        }
        // A program's name may be anything; it is not needed, but the numbers behind it are.
        if let Err(error) = std::str::from_utf8(&self.buffer) {
            let (from, to) = (error.valid_up_to(), self.buffer.iter().rposition(|byte| *byte == b')'));
            self.buffer.drain(from..to.unwrap_or(self.buffer.len()).max(from));
        }
        std::str::from_utf8(&self.buffer).map_err(|_| Errno::ILSEQ)
    }

    /// Since Linux 6.2 the folder's size is the number; before, it is 0.
    fn open_files(&self) -> Result<u32, Errno> {
        let size = rustix::fs::statat(self.folder.as_fd(), "fd", AtFlags::empty())?.st_size;
        if let Ok(size @ 1..) = u32::try_from(size) { Ok(size) } else { self.count_open_files() }
    }

    fn count_open_files(&self) -> Result<u32, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(self.folder.as_fd(), "fd", flags, Mode::empty())?;
        let mut count = 0;
        for entry in rustix::fs::Dir::read_from(opened)? {
            count += u32::from(!matches!(entry?.file_name().to_bytes(), b"." | b".."));
            if count == MAX_COUNTED {
                break;
            }
        }
        Ok(count)
    }
}

/// ESRCH comes of a file that was opened before the process ended.
fn is_gone(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::SRCH)
}

fn unreadable(error: Errno) -> Why {
    Why::from(&io::Error::from(error))
}

#[cfg(test)]
mod tests;
