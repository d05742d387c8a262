use std::process::{Child, Command, Stdio};

use super::*;
use crate::gather::Found;

fn machine() -> Machine {
    Machine::here().expect("the machine")
}

fn start_ticks(pid: u32) -> u64 {
    Stat::read(&std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a stat")).expect("a stat").start_ticks
}

/// A process that waits for its input to end.
fn child() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat")
}

#[test]
fn the_own_process_is_measured() {
    let pid = std::process::id();
    let mut process = Process::find(pid, start_ticks(pid), machine()).expect("it is here");
    let mut found = Found::default();
    assert_eq!(process.measure(Depth::Pages, &mut found), Presence::Here);
    assert_eq!(found.unknown, []);
    let value = |name: &str| found.get(name, &[]).unwrap_or_else(|| panic!("{name} is missing"));
    assert!(value("process_resident_memory_bytes") > 100_000.0);
    assert!(value("process_proportional_memory_bytes") > 100_000.0);
    assert!(value("process_threads") >= 1.0 && value("process_cpu_seconds_total") >= 0.0);
    assert!(value("process_max_fds") >= value("process_open_fds"));
    assert!(value("process_start_time_seconds") > machine().boot_seconds);
    let folder = std::fs::read_dir(format!("/proc/{pid}")).expect("its folder").count();
    assert!(folder > 0 && value("process_disk_written_bytes_total") >= 0.0);
}

#[test]
fn file_handles_are_told_as_they_are_counted() {
    let mut child = child();
    let process = Process::find(child.id(), start_ticks(child.id()), machine()).expect("it is here");
    // Until it is the program it is to be, it opens and closes some.
    let mut both = (0, 0);
    for _ in 0..1_000 {
        both = (process.open_files().expect("told"), process.count_open_files().expect("counted"));
        if both.0 == both.1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(both.0, both.1);
    assert!(both.1 >= 3, "it has its input and outputs");
    child.kill().expect("ended");
    child.wait().expect("gone");
}

#[test]
fn a_process_that_ended_is_gone_and_gives_no_value() {
    let mut child = child();
    let (pid, start) = (child.id(), start_ticks(child.id()));
    let mut process = Process::find(pid, start, machine()).expect("it is here");
    assert_eq!(process.measure(Depth::Plain, &mut Found::default()), Presence::Here);
    child.kill().expect("ended");
    // Nobody took notice of its end yet: it is there in name only.
    let mut found = Found::default();
    for _ in 0..1_000 {
        found = Found::default();
        if process.measure(Depth::Plain, &mut found) == Presence::Gone {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!((process.measure(Depth::Plain, &mut found), found.values.len()), (Presence::Gone, 0));
    assert!(matches!(Process::find(pid, start, machine()), Err(LookError::Gone { .. })));
    child.wait().expect("gone");
    assert_eq!((process.measure(Depth::Plain, &mut found), found.values.len()), (Presence::Gone, 0));
    assert!(matches!(Process::find(pid, start, machine()), Err(LookError::Gone { .. })));
}

#[test]
fn a_pid_that_is_used_anew_is_another_process() {
    let pid = std::process::id();
    let refused = Process::find(pid, start_ticks(pid) + 1, machine()).expect_err("not that one");
    assert_eq!(refused.to_string(), format!("process {pid} is gone: its pid belongs to another process now"));
}

#[test]
fn what_a_process_may_have_is_read_again_after_a_minute() {
    let proc = tempfile::tempdir().expect("a folder");
    let folder = proc.path().join("17");
    std::fs::create_dir(&folder).expect("a folder");
    let stat = "17 (shop) S 1 17 17 0 -1 4194560 1 0 9 0 30 12 0 0 20 0 4 0 9876 10 55 1";
    std::fs::write(folder.join("stat"), stat).expect("a file");
    let mut process = Process::below(proc.path(), 17, 9876, machine()).expect("it is here");
    let allowed = |limit: u32, process: &mut Process| {
        let limits = format!("Max open files            {limit}                 524288               files\n");
        std::fs::write(folder.join("limits"), limits).expect("a file");
        let mut found = Found::default();
        assert_eq!(process.measure(Depth::Plain, &mut found), Presence::Here);
        found.get("process_max_fds", &[])
    };
    assert_eq!(allowed(1_024, &mut process), Some(1_024.0));
    assert_eq!(allowed(4_096, &mut process), Some(1_024.0));
    let (_, read) = process.limit.as_mut().expect("it is known");
    *read = read.checked_sub(LIMIT_HOLDS).expect("a moment before");
    assert_eq!(allowed(4_096, &mut process), Some(4_096.0));
}

#[test]
fn what_may_not_be_read_is_unknown_and_the_rest_is_measured() {
    let proc = tempfile::tempdir().expect("a folder");
    let folder = proc.path().join("17");
    std::fs::create_dir(&folder).expect("a folder");
    let stat =
        [b"17 (sh\xff) op)".as_slice(), b" S 1 17 17 0 -1 4194560 1 0 9 0 30 12 0 0 20 0 4 0 9876 10 55 1"].concat();
    std::fs::write(folder.join("stat"), stat).expect("a file");
    std::fs::write(folder.join("limits"), "nothing").expect("a file");
    let mut process = Process::below(proc.path(), 17, 9876, machine()).expect("it is here");
    let mut found = Found::default();
    assert_eq!(process.measure(Depth::Plain, &mut found), Presence::Here);
    assert_eq!(found.get("process_threads", &[]), Some(4.0));
    let unknown: Vec<String> = found.unknown.iter().map(ToString::to_string).collect();
    assert_eq!(
        unknown,
        [
            "file handles is unknown: /proc/17/fd is not there",
            "limit of file handles is unknown: /proc/17/limits has an unknown form: \"nothing\"",
            "disk I/O is unknown: /proc/17/io is not there",
        ]
    );
}
