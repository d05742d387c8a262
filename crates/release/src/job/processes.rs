//! Processes as `/proc` shows them: who belongs to a job, what they take, and an end to all of them.

use std::fs;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// All process ids there are.
pub(super) fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The value of a variable in a process's environment. What clears its environment is lost from sight; what only leaves its
/// group or session is not.
pub(super) fn mark(pid: u32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment.split(|byte| *byte == 0).find_map(|entry| {
        let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

/// Whether it has not ended.
pub(super) fn lives(pid: u32) -> bool {
    stat(pid).is_some()
}

/// Whether it belongs to this process group and has not ended.
pub(super) fn in_group(pid: u32, group: u32) -> bool {
    stat(pid) == Some(group)
}

/// The group of a process that has not ended.
fn stat(pid: u32) -> Option<u32> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name stands in parentheses and may hold some itself. After it: state, parent, group.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let ended = fields.next().is_none_or(|state| "ZXx".contains(state));
    fields.nth(1).and_then(|field| field.parse().ok()).filter(|_| !ended)
}

/// Memory that is its own: what it shares with a file on disk can be dropped at any time, and counting it once for each
/// process would count most of it many times.
pub(super) fn memory_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kibibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    };
    (kibibytes("RssAnon:").unwrap_or(0) + kibibytes("RssShmem:").unwrap_or(0)) * 1024
}

/// Kills a process if, with its pid held, it still is one of those that are meant.
pub(super) fn kill(pid: u32, is_meant: impl Fn(u32) -> bool) {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    let Ok(held): Result<OwnedFd, _> = pidfd_open(raw, PidfdFlags::empty()) else { return };
    if is_meant(pid) {
        // One that has just ended has what it was asked for.
        let _ = pidfd_send_signal(&held, Signal::KILL);
    }
}

/// Memory of the machine.
pub(super) fn machine_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_process_is_seen() {
        let me = std::process::id();
        assert!(all().any(|pid| pid == me));
        assert!(memory_bytes(me) > 0 && machine_bytes() > Some(memory_bytes(me)));
        assert!(lives(me) && !in_group(me, 1) && mark(me, "NOBODY_HAS_THIS").is_none());
    }
}
