//! `/proc/self/mounts`: which file systems are real, and how much room they have, see proc_pid_mounts(5).

use std::borrow::Cow;
use std::io;
use std::path::Path;

use super::MAX_DEVICES;
use crate::gather::{Sink, Strange, Unknown, Why};

/// File systems on disks of this machine. Others are memory, views of these, or far away, where asking may hang.
const LOCAL: [&str; 13] =
    ["ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "reiserfs", "vfat", "exfat", "ntfs3"];

/// How much room a file system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Size of a block.
    pub block_bytes: u64,
    /// Blocks there are.
    pub blocks: u64,
    /// Blocks that are free.
    pub free: u64,
    /// Blocks that are free for everybody: root keeps some.
    pub available: u64,
    /// Files there may be; 0 where there is no such bound.
    pub files: u64,
    /// Files that may still be made.
    pub files_free: u64,
}

impl Space {
    /// How much room there is at this place. Does not come back before its file system answers.
    ///
    /// # Errors
    /// It does not tell.
    pub fn at(place: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(place)?;
        Ok(Self {
            block_bytes: stat.f_frsize,
            blocks: stat.f_blocks,
            free: stat.f_bfree,
            available: stat.f_bavail,
            files: stat.f_files,
            files_free: stat.f_ffree,
        })
    }
}

/// Values of the text of `/proc/self/mounts`, with `space_of` the place where each is mounted. Each device counts once, where it was mounted first.
pub(super) fn mounts(
    text: &str,
    sink: &mut dyn Sink,
    mut space_of: impl FnMut(&str) -> io::Result<Space>,
) -> Result<(), Strange> {
    let mut seen: Vec<&str> = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some(device), Some(point), Some(kind), Some(options)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Strange::new(line));
        };
        if !LOCAL.contains(&kind) || seen.contains(&device) || seen.len() == MAX_DEVICES {
            continue;
        }
        seen.push(device);
        let (device, point) = (plain(device), plain(point));
        let labels = [("device", &*device), ("fstype", kind), ("mountpoint", &*point)];
        let read_only = options.split(',').any(|option| option == "ro");
        sink.put("node_filesystem_readonly", &labels, f64::from(u8::from(read_only)));
        let space = space_of(&point);
        sink.put("node_filesystem_device_error", &labels, f64::from(u8::from(space.is_err())));
        match space {
            Ok(space) => room(space, &labels, sink),
            Err(error) => {
                let why = Why::Unreadable(error.to_string());
                sink.unknown(Unknown::new(format!("disk space of {device}"), point.clone(), why));
            }
        }
    }
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a file system of more than 8 PiB may be told to the nearest byte or two"
)]
fn room(space: Space, labels: &[(&str, &str)], sink: &mut dyn Sink) {
    let bytes = |blocks: u64| blocks as f64 * space.block_bytes as f64;
    sink.put("node_filesystem_size_bytes", labels, bytes(space.blocks));
    sink.put("node_filesystem_free_bytes", labels, bytes(space.free));
    sink.put("node_filesystem_avail_bytes", labels, bytes(space.available));
    if space.files > 0 {
        sink.put("node_filesystem_files", labels, space.files as f64);
        sink.put("node_filesystem_files_free", labels, space.files_free as f64);
    }
}

/// Blanks and the like are written as `\040`.
fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let (mut bytes, mut at) = (Vec::with_capacity(text.len()), 0);
    let all = text.as_bytes();
    while let Some(byte) = all.get(at) {
        let digits =
            all.get(at + 1..at + 4).filter(|_| *byte == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(escaped) = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(escaped);
            at += 4;
        } else {
            bytes.push(*byte);
            at += 1;
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gather::Found;

    const SPACE: Space = Space { block_bytes: 4096, blocks: 100, free: 50, available: 45, files: 0, files_free: 0 };

    #[test]
    fn real_file_systems_count_once_and_others_not_at_all() {
        let text = include_str!("../../tests/host/server/proc/self/mounts");
        let found = Found::by(|sink| {
            mounts(
                text,
                sink,
                |point| if point == "/boot/efi" { Err(rustix::io::Errno::IO.into()) } else { Ok(SPACE) },
            )
            .expect("mounts");
        });
        let root = [("device", "/dev/nvme0n1p2"), ("fstype", "ext4"), ("mountpoint", "/")];
        let data = [("device", "/dev/sda1"), ("fstype", "xfs"), ("mountpoint", "/srv/my data\\x")];
        let boot = [("device", "/dev/nvme0n1p1"), ("fstype", "vfat"), ("mountpoint", "/boot/efi")];
        assert_eq!(found.get("node_filesystem_avail_bytes", &root), Some(45.0 * 4096.0));
        assert_eq!(found.get("node_filesystem_readonly", &root), Some(0.0));
        assert_eq!(found.get("node_filesystem_readonly", &data), Some(1.0));
        assert_eq!(found.get("node_filesystem_files", &data), None, "it has no such bound");
        assert_eq!(found.get("node_filesystem_device_error", &boot), Some(1.0));
        assert_eq!(found.get("node_filesystem_avail_bytes", &boot), None, "unknown, and not full");
        assert_eq!(found.values.len(), 5 + 5 + 2);
        assert!(
            found.unknown[0]
                .to_string()
                .starts_with("disk space of /dev/nvme0n1p1 is unknown: /boot/efi cannot be read")
        );
    }

    #[test]
    fn a_line_of_an_unknown_form_is_strange() {
        assert!(mounts("/dev/sda1 /\n", &mut Found::default(), |_| Ok(SPACE)).is_err());
    }
}
