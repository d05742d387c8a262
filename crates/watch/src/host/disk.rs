//! `/proc/diskstats`: what each disk read and wrote, and for how long, see proc_diskstats(5).

use super::{MAX_DEVICES, number};
use crate::gather::{Sink, Strange};

/// The kernel counts in sectors of this size, whatever the disk's are.
const SECTOR_BYTES: f64 = 512.0;
const MILLISECOND: f64 = 1e-3;

/// The columns after the name, with what makes seconds and bytes of them. Older kernels lack the last ones.
const COLUMNS: [(&str, f64); 17] = [
    ("node_disk_reads_completed_total", 1.0),
    ("node_disk_reads_merged_total", 1.0),
    ("node_disk_read_bytes_total", SECTOR_BYTES),
    ("node_disk_read_time_seconds_total", MILLISECOND),
    ("node_disk_writes_completed_total", 1.0),
    ("node_disk_writes_merged_total", 1.0),
    ("node_disk_written_bytes_total", SECTOR_BYTES),
    ("node_disk_write_time_seconds_total", MILLISECOND),
    ("node_disk_io_now", 1.0),
    ("node_disk_io_time_seconds_total", MILLISECOND),
    ("node_disk_io_time_weighted_seconds_total", MILLISECOND),
    ("node_disk_discards_completed_total", 1.0),
    ("node_disk_discards_merged_total", 1.0),
    ("node_disk_discarded_sectors_total", 1.0),
    ("node_disk_discard_time_seconds_total", MILLISECOND),
    ("node_disk_flush_requests_total", 1.0),
    ("node_disk_flush_requests_time_seconds_total", MILLISECOND),
];
/// Columns that every kernel has.
const ALWAYS: usize = 11;

/// Values of the text of `/proc/diskstats`.
pub(super) fn diskstats(text: &str, sink: &mut dyn Sink) -> Result<(), Strange> {
    let mut devices = 0;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace().skip(2);
        let device = words.next().ok_or_else(|| Strange::new(line))?;
        if !is_disk(device) || devices == MAX_DEVICES {
            continue;
        }
        devices += 1;
        let mut columns = 0;
        for ((name, factor), word) in COLUMNS.iter().zip(words) {
            sink.put(name, &[("device", device)], number(word)? * factor);
            columns += 1;
        }
        if columns < ALWAYS {
            return Err(Strange::new(line));
        }
    }
    Ok(())
}

/// Whether it is a whole disk. Not so are partitions, of which the disk is the sum, memory that poses as a disk, and files that do.
fn is_disk(device: &str) -> bool {
    let base = device.trim_end_matches(|character: char| character.is_ascii_digit());
    let numbered = base.len() < device.len();
    match base {
        "ram" | "zram" | "loop" | "fd" | "sr" => !numbered,
        _ if numbered => {
            let by_letter = ["hd", "sd", "vd", "xvd"].iter().any(|prefix| {
                base.strip_prefix(prefix)
                    .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_lowercase()))
            });
            let by_part = (base.starts_with("nvme") || base.starts_with("mmcblk"))
                && base.strip_suffix('p').is_some_and(|disk| disk.ends_with(|end: char| end.is_ascii_digit()));
            !by_letter && !by_part
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gather::Found;

    #[test]
    fn whole_disks_are_measured_and_their_parts_are_not() {
        for disk in ["sda", "sdaa", "vda", "xvdb", "nvme0n1", "mmcblk0", "dm-0", "md127", "nbd0", "drbd1"] {
            assert!(is_disk(disk), "{disk}");
        }
        for part in ["sda1", "sdaa12", "vda3", "xvdb2", "nvme0n1p1", "mmcblk0p2", "loop7", "ram0", "zram0", "sr0"] {
            assert!(!is_disk(part), "{part}");
        }
    }

    #[test]
    fn a_line_with_too_few_columns_is_strange() {
        for text in ["8 0\n", "8 0 sda 1 2 3\n", "8 0 sda 1 2 3 4 5 6 7 8 9 10 x\n"] {
            assert!(diskstats(text, &mut Found::default()).is_err(), "{text}");
        }
        assert!(diskstats("8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n", &mut Found::default()).is_ok());
        assert!(diskstats("", &mut Found::default()).is_ok(), "a machine may have no disk");
    }
}
