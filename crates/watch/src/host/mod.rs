//! The machine: processors, memory, disks, network, load and pressure, from what the kernel tells.
//!
//! Each file of this folder turns one kernel file's text into values, and reads nothing. [`Host`] reads. Names are node_exporter's, so
//! that what is written for it works here. What a kernel does not tell (pressure may be switched off) is said to be unknown.

mod cpu;
mod disk;
mod filesystem;
mod load;
mod memory;
mod network;
mod pressure;
mod reading;

use std::io;
use std::path::{Path, PathBuf};

pub use cpu::Cpus;
pub use filesystem::Space;
use reading::Reader;

use crate::gather::{Sink, Strange, Unknown, Why};

/// Most devices, interfaces or file systems of one kind that are measured: a machine with more has them made by programs.
pub const MAX_DEVICES: usize = 128;

/// Reads the machine again and again, with the same memory.
#[derive(Debug)]
pub struct Host {
    reader: Reader,
    cpus: Cpus,
    ticks_per_second: f64,
}

/// What turns a text into values.
type Parse = fn(&str, &mut dyn Sink) -> Result<(), Strange>;

/// Files of which nothing but their text is needed: what is unknown without it, and where it is.
const PLAIN: [(&str, &str, Parse); 11] = [
    ("memory", "proc/meminfo", memory::meminfo),
    ("memory events", "proc/vmstat", memory::vmstat),
    ("disk I/O", "proc/diskstats", disk::diskstats),
    ("network", "proc/net/dev", network::dev),
    ("load", "proc/loadavg", load::loadavg),
    ("uptime", "proc/uptime", load::uptime),
    ("file handles", "proc/sys/fs/file-nr", load::file_nr),
    ("processor pressure", "proc/pressure/cpu", pressure::cpu),
    ("memory pressure", "proc/pressure/memory", pressure::memory),
    ("I/O pressure", "proc/pressure/io", pressure::io),
    ("clock", "sys/devices/system/clocksource/clocksource0/current_clocksource", load::clock_source),
];

impl Host {
    /// This machine.
    #[must_use]
    pub fn here() -> Self {
        Self::below("/")
    }

    /// The machine whose `/proc` and `/sys` are below this folder, for tests and for a control plane in a container.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "100, rarely 1000")]
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        Self { reader: Reader::below(root.into()), cpus: Cpus::default(), ticks_per_second }
    }

    /// Measures everything but disk space, which takes [`Self::space`].
    pub fn measure(&mut self, sink: &mut dyn Sink) {
        let (cpus, ticks) = (&mut self.cpus, self.ticks_per_second);
        self.reader.read("processors", "proc/stat", sink, |text, sink| cpus.stat(text, ticks, sink));
        for (what, path, parse) in PLAIN {
            self.reader.read(what, path, sink, parse);
        }
        self.interfaces(sink);
        self.clock(sink);
    }

    /// Measures the space of real, local file systems. Apart from the rest, since a file system that hangs makes whoever asks it hang, too:
    /// whoever cannot wait asks by [`Self::space_by`].
    pub fn space(&mut self, sink: &mut dyn Sink) {
        self.space_by(sink, Space::at);
    }

    /// The same, with `ask` for the space at the place where each is mounted.
    pub fn space_by(&mut self, sink: &mut dyn Sink, mut ask: impl FnMut(&Path) -> io::Result<Space>) {
        let root = self.reader.root().to_owned();
        self.reader.read("disk space", "proc/self/mounts", sink, |text, sink| {
            filesystem::mounts(text, sink, |point| ask(&root.join(point.trim_start_matches('/'))))
        });
    }

    /// Whether the clock was set by the network since boot, as systemd's timesyncd tells by a file. Others (chrony, ntpd) leave none, and the
    /// kernel's own word takes a system call that none of our crates offers: then it is unknown.
    fn clock(&mut self, sink: &mut dyn Sink) {
        let folder = self.reader.root().join("run/systemd/timesync");
        if folder.is_dir() {
            let set = folder.join("synchronized").exists();
            sink.put("node_timex_sync_status", &[], f64::from(u8::from(set)));
        } else {
            let what = "whether the clock is set by the network";
            sink.unknown(Unknown::new(what, "/run/systemd/timesync", Why::Missing));
        }
    }

    /// Whether each interface is up, and how fast it is. Many have no speed, which is no fault.
    fn interfaces(&mut self, sink: &mut dyn Sink) {
        let mut names = Vec::new();
        match std::fs::read_dir(self.reader.root().join("sys/class/net")) {
            Ok(entries) => {
                names.extend(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()));
            }
            Err(error) => sink.unknown(Unknown::new("state of interfaces", "/sys/class/net", Why::from(&error))),
        }
        names.sort_unstable();
        for name in names.iter().take(MAX_DEVICES) {
            let what = format!("state of {name}");
            self.reader.read(&what, &format!("sys/class/net/{name}/operstate"), sink, |text, sink| {
                network::state(name, text, sink);
                Ok(())
            });
            if let Ok(text) = self.reader.text(&format!("sys/class/net/{name}/speed")) {
                network::speed(name, &text, sink);
            }
        }
    }
}

/// A word as a number, or what stood there instead.
fn number(word: &str) -> Result<f64, Strange> {
    word.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| Strange::new(word))
}

/// The next word of a line as a number, or the line.
fn next_number<'a>(words: &mut impl Iterator<Item = &'a str>, line: &str) -> Result<f64, Strange> {
    words.next().ok_or_else(|| Strange::new(line)).and_then(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gather::Found;

    #[test]
    fn this_machine_tells_what_every_linux_tells() {
        let mut host = Host::here();
        let found = Found::by(|sink| {
            host.measure(sink);
            host.space(sink);
        });
        assert!(found.get("node_memory_MemTotal_bytes", &[]).is_some_and(|bytes| bytes > 1e6));
        assert!(found.get("node_cpu_seconds_total", &[("cpu", "0"), ("mode", "user")]).is_some());
        assert!(found.get("node_load1", &[]).is_some() && found.get("node_boot_time_seconds", &[]).is_some());
        // Only what kernels may leave out may be missing; a file that was not understood is a fault here.
        for unknown in found.unknown {
            assert!(!matches!(unknown.why, Why::Strange(_)), "{unknown}");
        }
    }

    #[test]
    fn a_machine_that_tells_nothing_has_no_values_and_says_of_each_that_it_is_unknown() {
        let nothing = tempfile::tempdir().expect("a folder");
        let mut host = Host::below(nothing.path());
        let found = Found::by(|sink| {
            host.measure(sink);
            host.space(sink);
        });
        assert_eq!(found.values, []);
        assert_eq!(found.unknown.len(), PLAIN.len() + 4);
        assert_eq!(found.unknown[0].to_string(), "processors is unknown: /proc/stat is not there");
    }

    #[test]
    fn a_clock_that_is_not_set_is_told_from_one_that_is_not_known() {
        let root = tempfile::tempdir().expect("a folder");
        let status = || Found::by(|sink| Host::below(root.path()).measure(sink)).get("node_timex_sync_status", &[]);
        assert_eq!(status(), None);
        let folder = root.path().join("run/systemd/timesync");
        std::fs::create_dir_all(&folder).expect("a folder");
        assert_eq!(status(), Some(0.0));
        std::fs::write(folder.join("synchronized"), "").expect("a file");
        assert_eq!(status(), Some(1.0));
    }

    #[test]
    fn a_file_that_is_not_understood_is_unknown_and_leaves_the_others_alone() {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(root.path().join("proc")).expect("a folder");
        std::fs::write(root.path().join("proc/loadavg"), "a lot").expect("a file");
        std::fs::write(root.path().join("proc/uptime"), "12.5 30.0\n").expect("a file");
        let found = Found::by(|sink| Host::below(root.path()).measure(sink));
        assert_eq!((found.values.len(), found.get("node_uptime_seconds", &[])), (1, Some(12.5)));
        let strange = found.unknown.iter().find(|unknown| unknown.what == "load").expect("load");
        assert_eq!(strange.to_string(), "load is unknown: /proc/loadavg has an unknown form: \"a\"");
    }
}
