//! Files of `/proc/PID` as values, see proc_pid_stat(5), proc_pid_limits(5), proc_pid_io(5) and proc_pid_smaps(5).

use super::Machine;
use crate::gather::{Sink, Strange};

const KIB: f64 = 1024.0;

/// What is used of `/proc/PID/stat`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stat {
    /// It only waits for its parent to take notice.
    pub(super) ended: bool,
    pub(super) start_ticks: u64,
    user_ticks: f64,
    system_ticks: f64,
    threads: f64,
    virtual_bytes: f64,
    resident_pages: f64,
    major_faults: f64,
}

/// What it read from disks and wrote to them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Io {
    pub(super) read_bytes: f64,
    pub(super) written_bytes: f64,
}

impl Stat {
    /// The program's name stands in parentheses and may hold some itself, and blanks: fields count from the last closing one.
    pub(super) fn read(text: &str) -> Result<Self, Strange> {
        let strange = || Strange::new(text);
        let (_, rest) = text.rsplit_once(')').ok_or_else(strange)?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // `fields[0]` is field 3 of the manual page.
        let field = |number: usize| fields.get(number - 3).copied().ok_or_else(strange);
        let number = |place: usize| field(place)?.parse::<f64>().map_err(|_| strange());
        Ok(Self {
            ended: matches!(field(3)?, "Z" | "X" | "x"),
            start_ticks: field(22)?.parse().map_err(|_| strange())?,
            user_ticks: number(14)?,
            system_ticks: number(15)?,
            threads: number(20)?,
            virtual_bytes: number(23)?,
            resident_pages: number(24)?,
            major_faults: number(12)?,
        })
    }

    pub(super) fn put(&self, machine: &Machine, sink: &mut dyn Sink) {
        #[expect(clippy::cast_precision_loss, reason = "ticks since boot stay below 2^52 for millions of years")]
        let start = machine.boot_seconds + self.start_ticks as f64 / machine.ticks_per_second;
        let seconds = (self.user_ticks + self.system_ticks) / machine.ticks_per_second;
        sink.put("process_cpu_seconds_total", &[], seconds);
        sink.put("process_resident_memory_bytes", &[], self.resident_pages * machine.page_bytes);
        sink.put("process_virtual_memory_bytes", &[], self.virtual_bytes);
        sink.put("process_threads", &[], self.threads);
        sink.put("process_start_time_seconds", &[], start);
        sink.put("process_major_page_faults_total", &[], self.major_faults);
    }
}

/// How many file handles the text of `/proc/PID/limits` allows; infinity where it is unlimited.
pub(super) fn open_files_limit(text: &str) -> Result<f64, Strange> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_ascii_whitespace().next());
    let limit = soft.and_then(|soft| if soft == "unlimited" { Some(f64::INFINITY) } else { soft.parse().ok() });
    limit.ok_or_else(|| Strange::new(text))
}

/// Values of the text of `/proc/PID/io`. What was written and thrown away before it got to the disk counts, too: without it the sum would
/// fall now and then, which reads as a process that began anew.
pub(super) fn io(text: &str) -> Result<Io, Strange> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse::<f64>().ok()).ok_or_else(|| Strange::new(text))
    };
    Ok(Io { read_bytes: field("read_bytes")?, written_bytes: field("write_bytes")? })
}

/// The memory of the text of `/proc/PID/smaps_rollup`, in which pages that are shared count in part.
pub(super) fn pss(text: &str) -> Result<f64, Strange> {
    let kib = text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.map(|kib: f64| kib * KIB).ok_or_else(|| Strange::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gather::Found;

    const LINE: &str = "17 (a) b (c)) S 1 17 17 0 -1 4194560 1 0 9 0 30 12 0 0 20 0 4 0 9876 104857600 55 1844674407";

    #[test]
    fn a_stat_is_read_whatever_the_programs_name() {
        let stat = Stat::read(LINE).expect("a stat");
        assert!(!stat.ended && stat.start_ticks == 9876);
        let machine = Machine { boot_seconds: 1e9, ticks_per_second: 100.0, page_bytes: 4096.0 };
        let found = Found::by(|sink| stat.put(&machine, sink));
        let values = [
            ("process_cpu_seconds_total", 0.42),
            ("process_resident_memory_bytes", 225_280.0),
            ("process_virtual_memory_bytes", 104_857_600.0),
            ("process_threads", 4.0),
            ("process_start_time_seconds", 1_000_000_098.76),
            ("process_major_page_faults_total", 9.0),
        ];
        for (name, value) in values {
            assert_eq!(found.get(name, &[]), Some(value), "{name}");
        }
        assert!(Stat::read(&LINE.replace(") S ", ") Z ")).expect("a stat").ended);
        for text in ["", "17 (x) S 1", "17 x S 1 17", &LINE.replace("9876", "-1")] {
            assert!(Stat::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_io_and_memory_are_read_or_strange() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(open_files_limit(limits), Ok(1024.0));
        assert_eq!(open_files_limit(&limits.replace("1024  ", "unlimited")), Ok(f64::INFINITY));
        let text = "rchar: 1\nread_bytes: 4096\nwrite_bytes: 100\ncancelled_write_bytes: 40\n";
        assert_eq!(io(text), Ok(Io { read_bytes: 4096.0, written_bytes: 100.0 }));
        assert_eq!(pss("Rss: 10 kB\nPss:     3 kB\nPss_Anon: 1 kB\n"), Ok(3072.0));
        assert!(open_files_limit("").is_err() && io("read_bytes: 1\n").is_err() && pss("Rss: 10 kB\n").is_err());
    }
}
