//! What a control group takes, with all processes in it, see the kernel's page on cgroup v2. Names are cAdvisor's.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{MAX_FILE_BYTES, Presence};
use crate::gather::{Sink, Strange, Unknown, Why};

const MICROSECOND: f64 = 1e-6;
/// Where control groups are mounted.
const MOUNTED: &str = "/sys/fs/cgroup";

/// A control group, looked at again and again.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
    buffer: String,
}

type Parse = fn(&str, &mut dyn Sink) -> Result<(), Strange>;

/// What is read of one: what is unknown without the file, its name, and what makes values of it.
const FILES: [(&str, &str, Parse); 7] = [
    ("processor", "cpu.stat", cpu),
    ("memory", "memory.current", memory_current),
    ("kinds of memory", "memory.stat", memory_stat),
    ("limit of memory", "memory.max", memory_max),
    ("want of memory", "memory.events", memory_events),
    ("threads", "pids.current", pids),
    ("disk I/O", "io.stat", io_stat),
];

impl Cgroup {
    /// The group that a process is in; none where it is in that of the whole machine, or the system keeps none of version 2.
    ///
    /// # Errors
    /// The process is gone, or may not be looked at.
    pub fn of(pid: u32) -> io::Result<Option<Self>> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let folder = path(&text).map(|path| Path::new(MOUNTED).join(path));
        Ok(folder.filter(|folder| folder.join("memory.current").exists()).map(Self::at))
    }

    /// The group of this folder.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self { folder, buffer: String::new() }
    }

    /// Measures it. What its parent does not count (controllers are switched on group by group) is unknown.
    pub fn measure(&mut self, sink: &mut dyn Sink) -> Presence {
        if !self.folder.exists() {
            return Presence::Gone;
        }
        for (what, file, parse) in FILES {
            self.buffer.clear();
            let path = self.folder.join(file);
            let read = File::open(&path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut self.buffer));
            let why = match read {
                Ok(_) => parse(&self.buffer, sink).err().map(Why::Strange),
                Err(error) => Some(Why::from(&error)),
            };
            if let Some(why) = why {
                sink.unknown(Unknown::new(what, path.display().to_string(), why));
            }
        }
        Presence::Here
    }
}

/// The path in the text of `/proc/PID/cgroup`, without the slash at its begin.
fn path(text: &str) -> Option<&str> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    (!path.is_empty() && !path.split('/').any(|part| part == "..")).then_some(path)
}

/// The value of `key` in lines of keys and values.
fn field(text: &str, key: &str) -> Result<f64, Strange> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).ok_or_else(|| Strange::new(text))
}

fn only(text: &str) -> Result<f64, Strange> {
    text.trim().parse().map_err(|_| Strange::new(text))
}

fn cpu(text: &str, sink: &mut dyn Sink) -> Result<(), Strange> {
    sink.put("container_cpu_usage_seconds_total", &[], field(text, "usage_usec")? * MICROSECOND);
    sink.put("container_cpu_user_seconds_total", &[], field(text, "user_usec")? * MICROSECOND);
    sink.put("container_cpu_system_seconds_total", &[], field(text, "system_usec")? * MICROSECOND);
    // Only where the group's processor time is counted on its own.
    if let Ok(throttled) = field(text, "throttled_usec") {
        sink.put("container_cpu_cfs_throttled_seconds_total", &[], throttled * MICROSECOND);
    }
    Ok(())
}

fn memory_current(text: &str, sink: &mut dyn Sink) -> Result<(), Strange> {
    sink.put("container_memory_usage_bytes", &[], only(text)?);
    Ok(())
}

fn memory_stat(text: &str, sink: &mut dyn Sink) -> Result<(), Strange> {
    sink.put("container_memory_rss", &[], field(text, "anon")?);
    sink.put("container_memory_cache", &[], field(text, "file")?);
    sink.put("container_memory_total_inactive_file_bytes", &[], field(text, "inactive_file")?);
    Ok(())
}

/// Without a limit there is no value.
fn memory_max(text: &str, sink: &mut dyn Sink) -> Result<(), Strange> {
    if text.trim() != "max" {
        sink.put("container_spec_memory_limit_bytes", &[], only(text)?);
    }
    Ok(())
}

fn memory_events(text: &str, sink: &mut dyn Sink) -> Result<(), Strange> {
    sink.put("container_oom_events_total", &[], field(text, "oom_kill")?);
    Ok(())
}

fn pids(text: &str, sink: &mut dyn Sink) -> Result<(), Strange> {
    sink.put("container_threads", &[], only(text)?);
    Ok(())
}

/// The sum over all devices. A group that never touched a disk has an empty file.
fn io_stat(text: &str, sink: &mut dyn Sink) -> Result<(), Strange> {
    let (mut read, mut written) = (0.0, 0.0);
    for line in text.lines() {
        for word in line.split_ascii_whitespace().skip(1) {
            let (key, value) = word.split_once('=').ok_or_else(|| Strange::new(line))?;
            let sum = match key {
                "rbytes" => &mut read,
                "wbytes" => &mut written,
                _ => continue,
            };
            *sum += value.parse::<f64>().map_err(|_| Strange::new(line))?;
        }
    }
    sink.put("container_fs_reads_bytes_total", &[], read);
    sink.put("container_fs_writes_bytes_total", &[], written);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gather::Found;

    #[test]
    fn a_path_is_that_of_version_2_and_not_the_whole_machines() {
        assert_eq!(path("4:memory:/a\n0::/system.slice/mana.service\n"), Some("system.slice/mana.service"));
        for text in ["0::/\n", "4:memory:/a\n", "", "0::/../../x\n"] {
            assert_eq!(path(text), None, "{text}");
        }
    }

    #[test]
    fn a_group_is_measured_and_what_it_does_not_count_is_unknown() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = [
            (
                "cpu.stat",
                "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_throttled 2\nthrottled_usec 1500\n",
            ),
            ("memory.current", "104857600\n"),
            ("memory.stat", "anon 1000\nfile 2000\nkernel 5\ninactive_anon 7\ninactive_file 1500\n"),
            ("memory.max", "max\n"),
            ("memory.events", "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n"),
            (
                "io.stat",
                "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n259:0 rbytes=1 wbytes=2 rios=1 wios=1\n",
            ),
        ];
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        let mut group = Cgroup::at(folder.path().to_owned());
        let mut found = Found::default();
        assert_eq!(group.measure(&mut found), Presence::Here);
        let values = [
            ("container_cpu_usage_seconds_total", Some(2.5)),
            ("container_cpu_cfs_throttled_seconds_total", Some(0.0015)),
            ("container_memory_usage_bytes", Some(104_857_600.0)),
            ("container_memory_rss", Some(1000.0)),
            ("container_spec_memory_limit_bytes", None),
            ("container_oom_events_total", Some(1.0)),
            ("container_fs_reads_bytes_total", Some(4097.0)),
            ("container_fs_writes_bytes_total", Some(8194.0)),
        ];
        for (name, value) in values {
            assert_eq!(found.get(name, &[]), value, "{name}");
        }
        assert_eq!(found.unknown.len(), 1);
        assert!(found.unknown[0].to_string().starts_with("threads is unknown: "));
        folder.close().expect("gone");
        assert_eq!(group.measure(&mut Found::default()), Presence::Gone);
    }

    #[test]
    fn what_has_an_unknown_form_is_strange() {
        for (_, file, parse) in FILES.iter().filter(|(_, file, _)| *file != "io.stat") {
            assert!(parse("x", &mut Found::default()).is_err(), "{file}");
        }
        assert!(io_stat("8:0 rbytes", &mut Found::default()).is_err());
        assert!(io_stat("", &mut Found::default()).is_ok());
    }
}
