//! The limits of all jobs of one build together, by the best means that the machine offers.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use rustix::thread::CpuSet;

use super::cgroup::{Bounds, Cgroup};
use super::{End, kill_group, processes, size};
use crate::clock;

/// A build that makes more processes than this at once multiplies them without end.
const MAX_PROCESSES: u64 = 4096;
/// Builds stand behind what serves people.
const NICENESS: i32 = 10;
/// How long killed processes may take to go away; one in an uninterruptible call takes longer.
const GONE_WITHIN: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// The environment variable by which processes of a build are known.
const MARK: &str = "MANA_BUILD";
/// Share of the machine's memory where nothing else is said, in quarters.
const DEFAULT_MEMORY_QUARTERS: u64 = 3;

/// What a build may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Processors; `None`: all.
    pub cpus: Option<u16>,
    /// Memory; `None`: three quarters of the machine's.
    pub memory_bytes: Option<u64>,
}

/// A build's jobs and what bounds them.
#[derive(Debug)]
pub struct Enclosure {
    /// What its processes carry in their environment, before the job's name: owner and id.
    mark: String,
    cgroup: Option<Cgroup>,
    /// The processors it runs on, where the system does not bound its time.
    processors: Option<CpuSet>,
    cpus: Option<u16>,
    memory_bytes: u64,
}

impl Enclosure {
    /// Finds out what this machine can do. `owner` is the one place that builds so, see [`Enclosure::sweep`].
    pub fn new(limits: Limits, owner: &Path) -> Self {
        let id = format!("mana-build-{}", clock::unique());
        Self { cgroup: Cgroup::make(&id, bounds_of(limits)), ..Self::without_cgroup(limits, owner, &id) }
    }

    fn without_cgroup(limits: Limits, owner: &Path, id: &str) -> Self {
        let ours = rustix::thread::sched_getaffinity(None).ok();
        let there = ours.as_ref().map_or(u32::MAX, CpuSet::count);
        let cpus = limits.cpus.filter(|cpus| u32::from(*cpus) < there);
        // Also where its time is bounded: tools take the processors they may run on for the number of jobs to start.
        let processors = cpus.zip(ours).map(|(cpus, ours)| last(&ours, usize::from(cpus)));
        let mark = format!("{}{id}", of_owner(owner));
        Self { mark, cgroup: None, processors, cpus, memory_bytes: memory_bytes(limits) }
    }

    /// Ends what a build of this owner left behind when mana itself was killed. Whoever calls knows that none is running.
    pub fn sweep(owner: &Path) -> usize {
        let owner = of_owner(owner);
        let left = |pid: u32| processes::mark(pid, MARK).is_some_and(|mark| mark.starts_with(&owner));
        let began = Instant::now();
        let mut ended = 0;
        loop {
            let found: Vec<u32> = processes::all().filter(|pid| processes::lives(*pid) && left(*pid)).collect();
            if found.is_empty() || began.elapsed() > GONE_WITHIN {
                return ended;
            }
            ended = ended.max(found.len());
            for pid in found {
                processes::kill(pid, left);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Which limits are in force, and how.
    pub fn in_force(&self) -> InForce {
        let by_system = self.cgroup.as_ref().is_some_and(Cgroup::limits);
        InForce { cpus: self.cpus, memory_bytes: self.memory_bytes, by_system }
    }

    /// What a process of this job has in its environment.
    pub(super) fn mark(&self, job: &str) -> [(&'static str, String); 1] {
        [(MARK, format!("{}/{job}", self.mark))]
    }

    /// Puts a process, and all it will start, under the limits.
    pub(super) fn take_in(&self, pid: u32, job: &str) -> io::Result<()> {
        if let Some(cgroup) = &self.cgroup {
            cgroup.take_in(pid, job)?;
        }
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        if let Some(processors) = &self.processors {
            rustix::thread::sched_setaffinity(raw, processors)?;
        }
        // Only a courtesy: a system that refuses it builds all the same.
        let _ = rustix::process::setpriority_process(raw, NICENESS);
        Ok(())
    }

    /// Whether one of the jobs has to end, looked up where the system does not see to it.
    pub(super) fn look(&self) -> Option<End> {
        let by_system = self.cgroup.as_ref().is_some_and(Cgroup::limits);
        if by_system {
            return self.overrun();
        }
        let all = self.all();
        if all.len() as u64 > MAX_PROCESSES {
            return Some(End::TooManyProcesses(MAX_PROCESSES));
        }
        let used: u64 = all.into_iter().map(processes::memory_bytes).sum();
        (used > self.memory_bytes).then_some(End::OutOfMemory(self.memory_bytes))
    }

    /// Whether the system has killed something for want of memory: then the end that was seen was not the reason.
    pub(super) fn overrun(&self) -> Option<End> {
        let killed = self.cgroup.as_ref().is_some_and(Cgroup::killed_for_memory);
        killed.then_some(End::OutOfMemory(self.memory_bytes))
    }

    fn all(&self) -> Vec<u32> {
        match &self.cgroup {
            Some(cgroup) => cgroup.all_processes(),
            None => processes::all().filter(|pid| self.has_mark(*pid)).collect(),
        }
    }

    fn has_mark(&self, pid: u32) -> bool {
        processes::mark(pid, MARK).is_some_and(|mark| mark.starts_with(&self.mark))
    }

    /// Ends a job: its group, and whatever else came of it. Waits until nothing is left, within bounds.
    pub(super) fn kill(&self, pid: u32, job: &str) {
        kill_group(pid);
        let [(_, mark)] = self.mark(job);
        let of_job = |other: u32| {
            processes::in_group(other, pid) || processes::mark(other, MARK).as_deref() == Some(mark.as_str())
        };
        let began = Instant::now();
        loop {
            if let Some(cgroup) = &self.cgroup {
                cgroup.kill(job);
            }
            let within = self.cgroup.as_ref().map(|cgroup| cgroup.processes(job)).unwrap_or_default();
            let in_cgroup = |other: u32| within.contains(&other);
            let left: Vec<u32> = processes::all()
                .filter(|other| processes::lives(*other) && (in_cgroup(*other) || of_job(*other)))
                .collect();
            if left.is_empty() || began.elapsed() > GONE_WITHIN {
                return;
            }
            for other in left {
                processes::kill(other, |pid| {
                    of_job(pid) || self.cgroup.as_ref().is_some_and(|cgroup| cgroup.processes(job).contains(&pid))
                });
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// How the marks of an owner begin.
fn of_owner(owner: &Path) -> String {
    format!("{}#", owner.canonicalize().unwrap_or_else(|_| owner.to_owned()).display())
}

fn memory_bytes(limits: Limits) -> u64 {
    let machine = processes::machine_bytes().unwrap_or(u64::MAX);
    limits.memory_bytes.unwrap_or(machine / 4 * DEFAULT_MEMORY_QUARTERS)
}

fn bounds_of(limits: Limits) -> Bounds {
    let there = rustix::thread::sched_getaffinity(None).map_or(1, |ours| ours.count());
    let cpus = limits.cpus.map_or(there, u32::from).min(there);
    Bounds { cpus: u64::from(cpus), memory_bytes: memory_bytes(limits), processes: MAX_PROCESSES }
}

/// The last `count` processors of a set: the first ones have the system's own work.
fn last(set: &CpuSet, count: usize) -> CpuSet {
    let mut chosen = CpuSet::new();
    let there = (0..CpuSet::MAX_CPU).rev().filter(|cpu| set.is_set(*cpu));
    there.take(count).for_each(|cpu| chosen.set(cpu));
    chosen
}

/// Limits, and how they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    /// Processors; `None`: all.
    pub cpus: Option<u16>,
    /// Memory.
    pub memory_bytes: u64,
    /// Whether the kernel keeps them, or memory is looked at from time to time.
    pub by_system: bool,
}

impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = size(self.memory_bytes);
        match self.cpus {
            None => f.write_str("all processors, ")?,
            Some(1) => f.write_str("1 processor, ")?,
            Some(cpus) => write!(f, "{cpus} processors, ")?,
        }
        if self.by_system {
            write!(f, "{memory} of memory (control group)")
        } else {
            write!(f, "{memory} of memory (looked at four times a second: no control group is delegated to mana here)")
        }
    }
}

#[cfg(test)]
impl Enclosure {
    /// As on a machine without control groups.
    pub(super) fn bare(limits: Limits, owner: &Path) -> Self {
        Self::without_cgroup(limits, owner, &clock::unique())
    }
}
