//! A control group (version 2) for the processes of a build: nothing leaves it, and where the system delegates the controllers,
//! it bounds processors, memory and number of processes.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Period over which processor time is counted, in microseconds; the kernel's own default.
const PERIOD_US: u64 = 100_000;

/// A control group.
#[derive(Debug)]
pub(super) struct Cgroup {
    folder: PathBuf,
    /// Whether it bounds anything, or only holds processes together.
    limits: bool,
}

/// What it bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) cpus: u64,
    pub(super) memory_bytes: u64,
    pub(super) processes: u64,
}

impl Cgroup {
    /// The best that can be made here: one that bounds, else one that holds together, else none.
    pub(super) fn make(name: &str, bounds: Bounds) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mount = mount_point(&mounts)?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
        Self::below(&mount, own, name, bounds)
    }

    /// Looks from our own group upwards, since it holds processes and so may not have groups that bound below it.
    fn below(mount: &Path, own: &str, name: &str, bounds: Bounds) -> Option<Self> {
        let own = mount.join(own);
        let candidates: Vec<&Path> = own.ancestors().take_while(|folder| folder.starts_with(mount)).collect();
        let bounding = candidates.iter().filter(|folder| delegates(folder));
        let made = bounding.copied().find_map(|folder| Self::at(&folder.join(name), Some(bounds)));
        made.or_else(|| candidates.iter().find_map(|folder| Self::at(&folder.join(name), None)))
    }

    fn at(folder: &Path, bounds: Option<Bounds>) -> Option<Self> {
        // Processes may only be moved by who may write to the group above both places.
        OpenOptions::new().write(true).open(folder.parent()?.join("cgroup.procs")).ok()?;
        fs::create_dir(folder).ok()?;
        let cgroup = Self { folder: folder.to_owned(), limits: bounds.is_some() };
        match bounds.map_or(Ok(()), |bounds| cgroup.bound(bounds)) {
            Ok(()) => Some(cgroup),
            // Dropped, it removes its folder.
            Err(_) => None,
        }
    }

    fn bound(&self, bounds: Bounds) -> io::Result<()> {
        self.write("cpu.max", &format!("{} {PERIOD_US}", bounds.cpus * PERIOD_US))?;
        self.write("memory.max", &bounds.memory_bytes.to_string())?;
        // Not every group has that controller.
        let _ = self.write("pids.max", &bounds.processes.to_string());
        // Swapping would only make a build slow that does not fit. Not every kernel has swap to bound.
        let _ = self.write("memory.swap.max", "0");
        Ok(())
    }

    pub(super) fn limits(&self) -> bool {
        self.limits
    }

    /// Puts a process into a group of its own within this one.
    pub(super) fn take_in(&self, pid: u32, job: &str) -> io::Result<()> {
        let folder = self.of_job(job);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        fs::write(folder.join("cgroup.procs"), pid.to_string())
    }

    /// Processes of a job.
    pub(super) fn processes(&self, job: &str) -> Vec<u32> {
        let text = fs::read_to_string(self.of_job(job).join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Processes of all jobs.
    pub(super) fn all_processes(&self) -> Vec<u32> {
        let jobs = fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        let jobs = jobs.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        jobs.flat_map(|job| self.processes(&job.file_name().to_string_lossy())).collect()
    }

    /// Kills all processes of a job at once, where the kernel can (5.14).
    pub(super) fn kill(&self, job: &str) {
        // Older kernels have no such file; whoever calls kills one by one after this.
        let _ = OpenOptions::new()
            .write(true)
            .open(self.of_job(job).join("cgroup.kill"))
            .and_then(|mut file| io::Write::write_all(&mut file, b"1"));
    }

    /// Whether a process was killed for want of memory.
    pub(super) fn killed_for_memory(&self) -> bool {
        let events = fs::read_to_string(self.folder.join("memory.events")).unwrap_or_default();
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.and_then(|count| count.trim().parse::<u64>().ok()).is_some_and(|count| count > 0)
    }

    fn of_job(&self, job: &str) -> PathBuf {
        self.folder.join(job.replace([' ', '/'], "-"))
    }

    fn write(&self, name: &str, value: &str) -> io::Result<()> {
        fs::write(self.folder.join(name), value)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let jobs = fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        for job in jobs.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            // Busy for as long as a process is in it; then it stays, empty but for that.
            let _ = fs::remove_dir(job.path());
        }
        let _ = fs::remove_dir(&self.folder);
    }
}

fn delegates(folder: &Path) -> bool {
    let controllers = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
    let has = |name| controllers.split_ascii_whitespace().any(|controller| controller == name);
    has("cpu") && has("memory")
}

/// Where the hierarchy of version 2 is: `… / / … - cgroup2 …`.
fn mount_point(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let path = before.split(' ').nth(4)?;
        after.starts_with("cgroup2 ").then(|| PathBuf::from(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { cpus: 2, memory_bytes: 1 << 30, processes: 500 };

    #[test]
    fn the_hierarchy_is_found_beside_version_1() {
        let mounts = "40 25 0:31 / /sys/fs/cgroup/cpu rw,relatime shared:16 - cgroup cgroup rw,cpu\n\
                      42 25 0:33 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_point(mounts), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(mount_point("1 2 0:3 / / rw - ext4 /dev/sda rw\n"), None);
    }

    /// A tree as the kernel would show it, but of plain files.
    fn tree(folders: &[(&str, &str)]) -> tempfile::TempDir {
        let tree = tempfile::tempdir().expect("folder");
        for (folder, controllers) in folders {
            let folder = tree.path().join(folder);
            fs::create_dir_all(&folder).expect("made");
            fs::write(folder.join("cgroup.procs"), "").expect("written");
            fs::write(folder.join("cgroup.subtree_control"), controllers).expect("written");
        }
        tree
    }

    #[test]
    fn the_nearest_group_that_delegates_is_taken() {
        let tree = tree(&[("", "cpu memory"), ("slice", "cpuset cpu io memory pids"), ("slice/mana.service", "")]);
        let made = Cgroup::below(tree.path(), "slice/mana.service", "b", BOUNDS).expect("made");
        assert!(made.limits() && made.folder == tree.path().join("slice/b"), "{made:?}");
        let read = |name: &str| fs::read_to_string(made.folder.join(name)).expect("written");
        assert_eq!((read("cpu.max"), read("memory.max")), ("200000 100000".into(), (1 << 30).to_string()));
    }

    #[test]
    fn without_controllers_it_still_holds_processes_together() {
        let tree = tree(&[("", ""), ("own", "pids")]);
        let made = Cgroup::below(tree.path(), "own", "b", BOUNDS).expect("made");
        assert!(!made.limits() && made.folder == tree.path().join("own/b"));
        made.take_in(17, "check lint").expect("written");
        assert_eq!((made.processes("check lint"), made.all_processes()), (vec![17], vec![17]));
        assert!(!made.killed_for_memory());
        fs::write(made.folder.join("memory.events"), "oom 2\noom_kill 1\n").expect("written");
        assert!(made.killed_for_memory());
    }
}
