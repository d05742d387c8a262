//! What instances take of the machine: processor and memory of each, with all processes it started.
//!
//! One pass over `/proc` serves all instances. A process belongs to an instance when it is in its process group, or is a
//! descendant of it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::time::Instant;

use crate::process::identity;

/// What one instance takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Share of one core since the last sample, 1.0 = one core. `None` at the first sample.
    pub cpu: Option<f64>,
    /// Processor time since it began, those of its processes included that have ended. It never falls.
    pub cpu_seconds: f64,
    /// Resident memory; pages shared with other programs count in full.
    pub resident_bytes: u64,
    /// Processes.
    pub processes: u32,
}

/// Takes samples, and remembers the last one.
#[derive(Debug, Default)]
pub struct Sampler {
    last: HashMap<u32, Last>,
}

/// What was known of an instance at the last sample.
#[derive(Debug, Clone, Copy)]
struct Last {
    at: Instant,
    /// Ticks that its processes told, all together.
    told: u64,
    /// Ticks as they are given on.
    total: u64,
}

impl Sampler {
    /// Measures the instances led by these processes. One that is gone is not in the answer.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn sample(&mut self, leaders: &[u32]) -> io::Result<HashMap<u32, Usage>> {
        let now = Instant::now();
        let mut processes = HashMap::new();
        for pid in identity::processes()? {
            // One that ends while it is looked at takes nothing any more. Whose they are shows in who started them.
            if let Ok(stat) = identity::stat(pid) {
                processes.insert(pid, stat);
            }
        }
        let mut sums: HashMap<u32, (u64, u64, u32)> = HashMap::new();
        for (pid, stat) in &processes {
            let Some(leader) = owner(*pid, leaders, &processes) else { continue };
            let (ticks, pages, count) = sums.entry(leader).or_default();
            // A child's ticks are its own until it was waited for, and then its parent's: each counts once.
            *ticks += stat.cpu_ticks + stat.waited_ticks;
            *pages += stat.resident_pages;
            *count += 1;
        }
        let page_bytes = rustix::param::page_size() as u64;
        let (mut usages, mut last) = (HashMap::new(), HashMap::new());
        for (leader, (told, pages, processes)) in sums {
            let before = self.last.get(&leader);
            let total = total(told, before);
            let cpu = before.and_then(|before| share(now, before.at, total, before.total));
            let cpu_seconds = seconds(total);
            usages.insert(leader, Usage { cpu, cpu_seconds, resident_bytes: pages * page_bytes, processes });
            last.insert(leader, Last { at: now, told, total });
        }
        self.last = last;
        Ok(usages)
    }
}

/// Ticks that never fall. When a child ended that nobody of its instance waited for, its ticks are gone from what is told: then the total
/// stands still for one interval, and goes on from there.
fn total(told: u64, before: Option<&Last>) -> u64 {
    before.map_or(told, |before| before.total + told.saturating_sub(before.told))
}

/// Ticks over time as a share of one core.
fn share(now: Instant, then: Instant, ticks: u64, before: u64) -> Option<f64> {
    let passed = now.duration_since(then).as_secs_f64();
    (passed > 0.0).then(|| seconds(ticks.saturating_sub(before)) / passed)
}

#[expect(clippy::cast_precision_loss, reason = "ticks since boot stay below 2^52 for millions of years")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Longest chain of parents that is followed; real ones are far shorter, and the table may be inconsistent.
const MAX_DEPTH: usize = 64;

fn owner(pid: u32, leaders: &[u32], processes: &HashMap<u32, identity::Stat>) -> Option<u32> {
    let mut pid = pid;
    for _ in 0..MAX_DEPTH {
        if leaders.contains(&pid) {
            return Some(pid);
        }
        let stat = processes.get(&pid)?;
        if leaders.contains(&stat.group) {
            return Some(stat.group);
        }
        pid = stat.parent;
    }
    None
}

/// Memory of one process with shared pages divided by their users (PSS): what it really adds to the machine.
///
/// # Errors
/// When the process is gone or belongs to another user.
pub fn proportional_bytes(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kib = text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.map(|kib: u64| kib * 1024)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/smaps_rollup has no Pss line")))
}

/// How often the kernel has killed a process for want of memory since it was booted, of anybody's; `None` where it does not tell.
///
/// # Errors
/// When `/proc/vmstat` cannot be read.
pub fn kernel_kills() -> io::Result<Option<u64>> {
    fs::read_to_string("/proc/vmstat").map(|text| kills_in(&text))
}

fn kills_in(vmstat: &str) -> Option<u64> {
    vmstat.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_of_the_kernel_are_read_where_it_tells_them() {
        assert_eq!(kills_in("pgfault 12\noom_kill_other 3\noom_kill 4\n"), Some(4));
        assert_eq!(kills_in("pgfault 12\n"), None);
        kernel_kills().expect("read");
    }

    #[test]
    fn the_own_process_takes_memory_and_a_share_of_a_core() {
        let me = std::process::id();
        let mut sampler = Sampler::default();
        let first = sampler.sample(&[me]).expect("sample")[&me];
        assert!(first.cpu.is_none() && first.resident_bytes > 0 && first.processes >= 1);
        let second = sampler.sample(&[me]).expect("sample")[&me];
        assert!(second.cpu.is_some_and(|cpu| cpu >= 0.0));
        assert!(proportional_bytes(me).expect("pss") > 0);
    }

    #[test]
    fn processor_time_never_falls_when_a_child_is_gone_with_its_own() {
        let at = Instant::now();
        let mut last = None;
        // What is told: a child's 300 ticks are lost after the second sample.
        let totals = [100, 450, 160, 200].map(|told| {
            let total = total(told, last.as_ref());
            last = Some(Last { at, told, total });
            total
        });
        assert_eq!(totals, [100, 450, 450, 490]);
    }

    #[test]
    fn what_an_instance_starts_is_its_own_while_it_runs_and_after_it_has_ended() {
        let me = std::process::id();
        let mut sampler = Sampler::default();
        let before = sampler.sample(&[me]).expect("sample")[&me];
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a child");
        let with_child = sampler.sample(&[me]).expect("sample")[&me];
        child.kill().expect("killed");
        child.wait().expect("waited for");
        let after = sampler.sample(&[me]).expect("sample")[&me];
        assert!(with_child.processes > 1 && with_child.resident_bytes > 0, "{with_child:?}");
        assert!(before.cpu_seconds <= with_child.cpu_seconds && with_child.cpu_seconds <= after.cpu_seconds);
    }

    #[test]
    fn a_process_that_is_gone_is_not_in_the_answer() {
        assert!(Sampler::default().sample(&[u32::MAX]).expect("sample").is_empty());
    }
}
