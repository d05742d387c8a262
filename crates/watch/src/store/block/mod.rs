//! A block: an immutable file with the samples of a span of time at one level.
//!
//! ```text
//! magic | columns, those of one series next to each other, each followed by a checksum | index | meta | footer
//! ```
//! The index holds the texts once, the places of the times (which the series of a target share), and the series in the order of their
//! keys, told by what differs from the one before; every [`index::ANCHOR`]th stands for itself, so that a metric is found without
//! reading the others. Everything has a checksum, which is looked at on every read.

pub(super) mod index;
pub(super) mod writer;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::bits::{Broken, ByteReader, put_length, put_signed, put_varint};
use super::disk::{Disk, disk_error};
use super::error::StoreError;
use super::thin::Level;
use index::Index;

/// How the file begins and ends; the number is that of the format.
const MAGIC: &[u8; 8] = b"manablk1";
/// Where the index begins, its length, its checksum, the meta's length and checksum, the checksum of these, the magic.
const FOOTER: usize = 8 + 8 + 4 + 4 + 4 + 4 + 8;
/// More serials than a block can come from.
const MAX_SOURCES: usize = 10_000;
/// A larger index is not read: it would be one of millions of series.
const MAX_INDEX: u64 = 1 << 30;

/// What a block says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) level: Level,
    /// Names the block; of two that hold the same sample, that of the higher one counts.
    pub(super) serial: u64,
    /// The span that it covers, `to` excluded.
    pub(super) from: i64,
    pub(super) to: i64,
    /// Serials of blocks of the same level that it stands for.
    pub(super) merged: Vec<u64>,
    /// Serials of blocks of the next finer level that it stands for.
    pub(super) thinned: Vec<u64>,
    pub(super) series: u64,
    pub(super) samples: u64,
    /// The time of its newest sample.
    pub(super) newest: i64,
}

/// An open block.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) meta: Meta,
    pub(super) name: String,
    pub(super) bytes: u64,
    path: PathBuf,
    file: File,
    index: (u64, usize, u32),
    /// Was found damaged, and is read no more.
    damaged: AtomicBool,
}

impl Meta {
    /// The name of its file.
    pub(super) fn file_name(&self) -> String {
        format!("{}-{}-{}.block", self.level.name(), self.from, self.serial)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::try_from(self.level.span_ms() / 60_000).unwrap_or(0));
        put_varint(out, self.serial);
        put_signed(out, self.from);
        put_signed(out, self.to);
        for serials in [&self.merged, &self.thinned] {
            put_length(out, serials.len());
            for serial in serials {
                put_varint(out, *serial);
            }
        }
        put_varint(out, self.series);
        put_varint(out, self.samples);
        put_signed(out, self.newest);
    }

    fn read(bytes: &[u8]) -> Result<Self, Broken> {
        let mut reader = ByteReader::new(bytes);
        let minutes = i64::from(reader.byte()?);
        let level = Level::ALL.into_iter().find(|level| level.span_ms() / 60_000 == minutes);
        let level = level.ok_or(Broken("an unknown level"))?;
        let serial = reader.varint()?;
        let (from, to) = (reader.signed()?, reader.signed()?);
        let mut sources = || -> Result<Vec<u64>, Broken> {
            let count = reader.length()?;
            if count > MAX_SOURCES {
                return Err(Broken("more sources than there can be"));
            }
            (0..count).map(|_| reader.varint()).collect()
        };
        let (merged, thinned) = (sources()?, sources()?);
        let (series, samples, newest) = (reader.varint()?, reader.varint()?, reader.signed()?);
        Ok(Self { level, serial, from, to, merged, thinned, series, samples, newest })
    }
}

impl Block {
    /// Opens the file and reads what it says of itself.
    pub(super) fn open(disk: &Disk, name: &str) -> Result<Self, StoreError> {
        let path = disk.path(name);
        let file = File::open(&path).map_err(disk_error("open", &path))?;
        let bytes = file.metadata().map_err(disk_error("look at", &path))?.len();
        let damaged = |source| StoreError::Damaged { path: path.clone(), where_: "its frame", source };
        let read = |at: u64, length: usize| -> Result<Vec<u8>, StoreError> {
            let mut buffer = vec![0; length];
            file.read_exact_at(&mut buffer, at).map_err(disk_error("read", &path))?;
            Ok(buffer)
        };
        if bytes < (MAGIC.len() + FOOTER) as u64 {
            return Err(damaged(Broken("the file is too short")));
        }
        if read(0, MAGIC.len())? != MAGIC {
            return Err(damaged(Broken("the file does not begin as a block does")));
        }
        let footer_at = bytes - FOOTER as u64;
        let footer = Footer::read(&read(footer_at, FOOTER)?).map_err(damaged)?;
        let index_end = footer.index_at.checked_add(footer.index_length);
        let fits = index_end.and_then(|end| end.checked_add(u64::from(footer.meta_length))) == Some(footer_at)
            && footer.index_length < MAX_INDEX;
        let (true, Some(index_end), Ok(index_length)) = (fits, index_end, usize::try_from(footer.index_length)) else {
            return Err(damaged(Broken("its parts do not fit the file")));
        };
        let meta = read(index_end, footer.meta_length as usize)?;
        if crc32fast::hash(&meta) != footer.meta_checksum {
            return Err(damaged(Broken("the checksum is wrong")));
        }
        let meta = Meta::read(&meta).map_err(damaged)?;
        if meta.file_name() != name {
            return Err(damaged(Broken("the file's name is that of another block")));
        }
        let index = (footer.index_at, index_length, footer.index_checksum);
        Ok(Self { meta, name: name.to_owned(), bytes, path, file, index, damaged: AtomicBool::new(false) })
    }

    /// Reads the index.
    pub(super) fn index(&self) -> Result<Index, StoreError> {
        let (at, length, checksum) = self.index;
        let bytes = self.bytes_at(at, length)?;
        if crc32fast::hash(&bytes) != checksum {
            return Err(self.broken("its index", Broken("the checksum is wrong")));
        }
        Index::read(bytes).map_err(|source| self.broken("its index", source))
    }

    /// Reads what lies there, without a look at checksums.
    pub(super) fn bytes_at(&self, at: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        self.read_at(at, length, &mut bytes)?;
        Ok(bytes)
    }

    /// The same, in place of what was in `bytes`.
    pub(super) fn read_at(&self, at: u64, length: usize, bytes: &mut Vec<u8>) -> Result<(), StoreError> {
        if at.checked_add(length as u64).is_none_or(|end| end > self.bytes) {
            return Err(self.broken("its index", Broken("a column lies beyond the end")));
        }
        bytes.resize(length, 0);
        match self.file.read_exact_at(bytes, at) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(self.broken("its end", Broken("the file became shorter")))
            }
            Err(error) => Err(disk_error("read", &self.path)(error)),
        }
    }

    /// Where the columns end.
    pub(super) fn columns_end(&self) -> u64 {
        self.index.0
    }

    /// Notes that the block is damaged: nobody reads it from here on.
    pub(super) fn broken(&self, where_: &'static str, source: Broken) -> StoreError {
        self.damaged.store(true, Ordering::Relaxed);
        StoreError::Damaged { path: self.path.clone(), where_, source }
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }
}

/// Where the parts are.
#[derive(Debug, Clone, Copy)]
struct Footer {
    index_at: u64,
    index_length: u64,
    index_checksum: u32,
    meta_length: u32,
    meta_checksum: u32,
}

impl Footer {
    fn write(self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.index_at.to_le_bytes());
        out.extend_from_slice(&self.index_length.to_le_bytes());
        for word in [self.index_checksum, self.meta_length, self.meta_checksum] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        let checksum = crc32fast::hash(&out[begin..]);
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(MAGIC);
    }

    fn read(bytes: &[u8]) -> Result<Self, Broken> {
        let mut reader = ByteReader::new(bytes);
        let footer = Self {
            index_at: reader.u64()?,
            index_length: reader.u64()?,
            index_checksum: reader.u32()?,
            meta_length: reader.u32()?,
            meta_checksum: reader.u32()?,
        };
        let checksum = crc32fast::hash(&bytes[..reader.at]);
        if reader.u32()? != checksum || reader.rest() != MAGIC {
            return Err(Broken("the file does not end as a block does"));
        }
        Ok(footer)
    }
}

/// Takes the checksum off the end of what it is of.
fn checked(bytes: &[u8]) -> Result<&[u8], Broken> {
    let (rest, checksum) = bytes.split_last_chunk::<4>().ok_or(Broken("a column is too short"))?;
    if crc32fast::hash(rest) == u32::from_le_bytes(*checksum) {
        Ok(rest)
    } else {
        Err(Broken("a column's checksum is wrong"))
    }
}
