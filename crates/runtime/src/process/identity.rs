//! Who a process is: what `/proc` tells, parsed once, and the check that a pid still means the same process.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use rustix::process::Pid;

use crate::driver::{AdoptError, Identity};

/// Longer than `/proc/PID/stat` can be: some fifty numbers of at most twenty digits, and a name of at most sixty-four.
const MAX_STAT_BYTES: usize = 4096;

/// The fields of `/proc/PID/stat` that are used here, see proc_pid_stat(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stat {
    /// `R`, `S`, `D`, `Z` (ended, not waited for), `X` (dead), …
    pub(crate) state: char,
    /// Parent.
    pub(crate) parent: u32,
    /// Process group.
    pub(crate) group: u32,
    /// Processor time in user and kernel mode, in ticks.
    pub(crate) cpu_ticks: u64,
    /// The same of its children that have ended and that it has waited for, and of theirs.
    pub(crate) waited_ticks: u64,
    /// Start in ticks since boot.
    pub(crate) start_time_ticks: u64,
    /// Resident pages.
    pub(crate) resident_pages: u64,
}

impl Stat {
    /// Whether the process has ended and only waits to be reaped.
    pub(crate) fn ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// The program's name stands in parentheses and may itself hold blanks and parentheses, so fields count from the
    /// last closing one.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // `fields[0]` is field 3 of the manual page.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: u32::try_from(number(4)?).ok()?,
            group: u32::try_from(number(5)?).ok()?,
            cpu_ticks: number(14)?.saturating_add(number(15)?),
            waited_ticks: number(16)?.saturating_add(number(17)?),
            start_time_ticks: number(22)?,
            resident_pages: number(24)?,
        })
    }
}

/// Reads what `/proc` says about a process. All processes of a user are read every few seconds: the kernel gives the text in one piece.
pub(crate) fn stat(pid: u32) -> io::Result<Stat> {
    let mut text = [0; MAX_STAT_BYTES];
    let length = File::open(format!("/proc/{pid}/stat"))?.read(&mut text)?;
    Stat::parse(&String::from_utf8_lossy(&text[..length]))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat has an unknown form")))
}

/// Whether a read of `/proc/PID` failed because that process is gone (ESRCH comes when it ends during the read).
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// Which boot of the machine this is.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The identity of a process that runs now.
pub(crate) fn identify(pid: u32) -> io::Result<Identity> {
    Ok(Identity { pid, start_time_ticks: stat(pid)?.start_time_ticks, boot_id: boot_id()? })
}

/// A pid as the system calls take it.
pub(crate) fn pid(raw: u32) -> Option<Pid> {
    i32::try_from(raw).ok().and_then(Pid::from_raw)
}

/// Checks that the process under `identity.pid` is still the one meant. To be called while a pidfd of that pid is held:
/// then the answer stays true for the pidfd, whatever becomes of the pid.
pub(crate) fn check(identity: &Identity) -> Result<(), AdoptError> {
    let system = |source| AdoptError::System { pid: identity.pid, source };
    if boot_id().map_err(system)? != identity.boot_id {
        return Err(AdoptError::Gone { why: "the machine was booted since" });
    }
    match stat(identity.pid) {
        Ok(now) if now.start_time_ticks != identity.start_time_ticks => {
            Err(AdoptError::Gone { why: "its pid belongs to another process now" })
        }
        Ok(now) if now.ended() => Err(AdoptError::Gone { why: "it has ended" }),
        Ok(_) => Ok(()),
        Err(error) if is_gone(&error) => Err(AdoptError::Gone { why: "its pid is free" }),
        Err(error) => Err(system(error)),
    }
}

/// All process ids, as `/proc` lists them.
pub(crate) fn processes() -> io::Result<impl Iterator<Item = u32>> {
    Ok(fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

/// Those of this user.
pub(crate) fn own_processes() -> io::Result<impl Iterator<Item = u32>> {
    let me = rustix::process::geteuid().as_raw();
    // A process that ends while it is looked at is not there, which is what the caller wants to know.
    Ok(processes()?.filter(move |pid| fs::metadata(format!("/proc/{pid}")).is_ok_and(|folder| folder.uid() == me)))
}

/// The value of a variable in a process's initial environment. `None` also when the process is gone or not readable.
pub(crate) fn environment_variable(pid: u32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment.split(|byte| *byte == 0).find_map(|entry| {
        let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_does_not_shift_the_fields() {
        let line = "17 (a) b (c)) S 1 17 17 0 -1 4194560 1 0 0 0 30 12 5 2 20 0 1 0 9876 1000 55 18446744073709551615";
        let stat = Stat::parse(line).expect("parses");
        assert_eq!(
            stat,
            Stat {
                state: 'S',
                parent: 1,
                group: 17,
                cpu_ticks: 42,
                waited_ticks: 7,
                start_time_ticks: 9876,
                resident_pages: 55
            }
        );
        assert!(Stat::parse("17 (x) S 1").is_none());
    }

    #[test]
    fn the_own_process_is_itself_and_nobody_else() {
        let me = identify(std::process::id()).expect("identity");
        check(&me).expect("it is");
        let recycled = Identity { start_time_ticks: me.start_time_ticks + 1, ..me.clone() };
        assert!(matches!(check(&recycled), Err(AdoptError::Gone { why }) if why.contains("another process")));
        let rebooted = Identity { boot_id: "another".into(), ..me };
        assert!(matches!(check(&rebooted), Err(AdoptError::Gone { why }) if why.contains("booted")));
    }

    #[test]
    fn own_processes_hold_the_own_one() {
        assert!(own_processes().expect("readable").any(|pid| pid == std::process::id()));
    }
}
