//! The rim: kernel files, into memory that is used again.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::gather::{Sink, Strange, Unknown, Why};

/// Most that is read of a kernel file: `/proc/stat` of a machine with hundreds of processors fits many times.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Reads files below a folder.
#[derive(Debug)]
pub(super) struct Reader {
    root: PathBuf,
    buffer: Vec<u8>,
}

impl Reader {
    pub(super) fn below(root: PathBuf) -> Self {
        Self { root, buffer: Vec::new() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The text of a file.
    pub(super) fn text(&mut self, path: &str) -> io::Result<Cow<'_, str>> {
        self.buffer.clear();
        File::open(self.root.join(path))?.take(MAX_FILE_BYTES).read_to_end(&mut self.buffer)?;
        Ok(String::from_utf8_lossy(&self.buffer))
    }

    /// Gives a file's text to `parse`; says that `what` is unknown if that fails.
    pub(super) fn read(
        &mut self,
        what: &str,
        path: &str,
        sink: &mut dyn Sink,
        parse: impl FnOnce(&str, &mut dyn Sink) -> Result<(), Strange>,
    ) {
        let why = match self.text(path) {
            Ok(text) => parse(&text, sink).err().map(Why::Strange),
            Err(error) => Some(Why::from(&error)),
        };
        if let Some(why) = why {
            sink.unknown(Unknown::new(what, format!("/{path}"), why));
        }
    }
}
