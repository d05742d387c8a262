//! `/proc/meminfo` and `/proc/vmstat`: memory, and what happened for want of it, see proc_meminfo(5) and proc_vmstat(5).

use super::number;
use crate::gather::{Sink, Strange};

/// What of memory is measured; the rest is for who develops kernels.
const WANTED: [&str; 21] = [
    "MemTotal",
    "MemFree",
    "MemAvailable",
    "Buffers",
    "Cached",
    "SwapCached",
    "Active",
    "Inactive",
    "SwapTotal",
    "SwapFree",
    "Dirty",
    "Writeback",
    "AnonPages",
    "Mapped",
    "Shmem",
    "Slab",
    "SReclaimable",
    "KernelStack",
    "PageTables",
    "CommitLimit",
    "Committed_AS",
];
/// Without these the share that is used cannot be told.
const NEEDED: [&str; 2] = ["MemTotal", "MemAvailable"];
const EVENTS: [&str; 5] = ["oom_kill", "pgfault", "pgmajfault", "pswpin", "pswpout"];
const KIB: f64 = 1024.0;

/// Values of the text of `/proc/meminfo`.
pub(super) fn meminfo(text: &str, sink: &mut dyn Sink) -> Result<(), Strange> {
    let mut needed = 0;
    for line in text.lines() {
        let Some((key, rest)) = line.split_once(':') else { return Err(Strange::new(line)) };
        if !WANTED.contains(&key) {
            continue;
        }
        let mut words = rest.split_ascii_whitespace();
        let (Some(word), Some("kB")) = (words.next(), words.next()) else { return Err(Strange::new(line)) };
        sink.put(&format!("node_memory_{key}_bytes"), &[], number(word)? * KIB);
        needed += usize::from(NEEDED.contains(&key));
    }
    if needed == NEEDED.len() { Ok(()) } else { Err(Strange::new(text)) }
}

/// Values of the text of `/proc/vmstat`.
pub(super) fn vmstat(text: &str, sink: &mut dyn Sink) -> Result<(), Strange> {
    let mut found = false;
    for line in text.lines() {
        if let Some((key, value)) = line.split_once(' ')
            && EVENTS.contains(&key)
        {
            sink.put(&format!("node_vmstat_{key}"), &[], number(value.trim())?);
            found = true;
        }
    }
    if found { Ok(()) } else { Err(Strange::new(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gather::Found;

    #[test]
    fn memory_without_what_is_available_is_strange_and_not_zero() {
        let mut found = Found::default();
        assert!(meminfo("MemTotal: 10 kB\nMemFree: 5 kB\n", &mut found).is_err());
        assert_eq!(found.get("node_memory_MemAvailable_bytes", &[]), None);
        for text in ["", "MemTotal 10 kB\n", "MemTotal: 10\n", "MemTotal: x kB\n", "MemTotal: 10 MB\n"] {
            assert!(meminfo(text, &mut Found::default()).is_err(), "{text}");
        }
    }
}
