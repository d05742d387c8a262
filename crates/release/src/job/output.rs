//! A job's output: to the screen as it comes, to a file of bounded size, and never more than that in memory.
//!
//! The beginning is kept and so is the end, since errors are there; what is between is counted and left out.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, timeout_at};

use super::size;
use crate::event::{Event, Events};

/// The beginning: a thousand pages. The largest build log of a healthy project seen is a tenth of it.
const HEAD_BYTES: usize = 8 << 20;
/// The end.
const TAIL_BYTES: usize = 256 << 10;
/// Longer lines come in pieces.
const MAX_LINE_BYTES: usize = 16 << 10;
/// Lines of the end that are shown of a job that failed and said too much before.
const LAST_LINES: usize = 40;
const BUFFER_BYTES: usize = 64 << 10;

pub(super) struct Output<'a> {
    file: File,
    step: &'a str,
    events: &'a Events,
    head: usize,
    tail: VecDeque<u8>,
    left_out: u64,
    line: Vec<u8>,
    /// Reused: a job that says a lot should not cost an allocation a read.
    buffer: Vec<u8>,
}

impl<'a> Output<'a> {
    /// Begins a log anew.
    pub(super) fn new(log: &Path, step: &'a str, events: &'a Events) -> io::Result<Self> {
        if let Some(folder) = log.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(log)?;
        let buffer = vec![0; BUFFER_BYTES];
        Ok(Self { file, step, events, head: 0, tail: VecDeque::new(), left_out: 0, line: Vec::new(), buffer })
    }

    /// Takes what there is now; `false` once nothing will come any more.
    pub(super) async fn take(&mut self, reader: &Receiver) -> io::Result<bool> {
        let count = match reader.try_read(&mut self.buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        };
        let bytes = self.buffer[..count].to_vec();
        self.keep(&bytes)?;
        self.show(&bytes).await;
        Ok(true)
    }

    /// What is left in the pipe; not for longer than `limit`, should somebody hold it open still.
    pub(super) async fn rest(&mut self, reader: &Receiver, limit: Duration) -> io::Result<()> {
        let deadline = Instant::now() + limit;
        while let Ok(ready) = timeout_at(deadline, reader.readable()).await {
            ready?;
            let Ok(more) = timeout_at(deadline, self.take(reader)).await else { break };
            if !more? {
                break;
            }
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> io::Result<()> {
        let fits = bytes.len().min(HEAD_BYTES.saturating_sub(self.head));
        self.file.write_all(&bytes[..fits])?;
        self.head += fits;
        self.tail.extend(&bytes[fits..]);
        let over = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..over);
        self.left_out += over as u64;
        Ok(())
    }

    async fn show(&mut self, bytes: &[u8]) {
        if self.left_out > 0 {
            return;
        }
        for &byte in bytes {
            if byte == b'\n' || byte == b'\r' || self.line.len() >= MAX_LINE_BYTES {
                self.show_line().await;
            }
            if byte != b'\n' && byte != b'\r' {
                self.line.push(byte);
            }
        }
    }

    async fn show_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.tell(plain(&line)).await;
        }
    }

    async fn tell(&self, text: String) {
        self.events.tell(Event::Line { step: self.step.to_owned(), text }).await;
    }

    /// Writes the end.
    pub(super) async fn finish(mut self, success: bool) -> io::Result<()> {
        self.show_line().await;
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        if self.left_out > 0 {
            let notice = format!("[mana: {} of output left out here]", size(self.left_out));
            write!(self.file, "\n{notice}\n")?;
            self.tell(notice).await;
            let lines: Vec<&[u8]> = tail.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
            let shown = if success { 1 } else { LAST_LINES };
            for line in &lines[lines.len().saturating_sub(shown)..] {
                self.tell(plain(&line[line.len().saturating_sub(MAX_LINE_BYTES)..])).await;
            }
        }
        self.file.write_all(&tail)?;
        self.file.sync_data()
    }
}

/// Text that a terminal takes for text.
fn plain(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.chars().filter(|letter| *letter == '\t' || !letter.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn beginning_and_end_are_kept_and_what_is_between_is_counted() {
        let folder = tempfile::tempdir().expect("folder");
        let log = folder.path().join("logs/build.log");
        let (events, mut seen) = Events::channel();
        let reader = tokio::spawn(async move {
            let mut lines = Vec::new();
            while let Some(Event::Line { text, .. }) = seen.recv().await {
                lines.push(text);
            }
            lines
        });
        let mut output = Output::new(&log, "build", &events).expect("opened");
        let block = "the same line again and again\n".repeat(2_000);
        for _ in 0..400 {
            output.keep(block.as_bytes()).expect("kept");
            output.show(block.as_bytes()).await;
        }
        output.keep(b"error: \x1b[31mit broke\n").expect("kept");
        output.finish(false).await.expect("written");
        let text = std::fs::read_to_string(&log).expect("text");
        assert!(text.len() < HEAD_BYTES + TAIL_BYTES + 200, "{}", text.len());
        assert!(text.contains("MiB of output left out here]") && text.ends_with("it broke\n"));
        drop(events);
        let lines = reader.await.expect("lines");
        assert_eq!(lines.last().map(String::as_str), Some("error: [31mit broke"));
        assert!(lines.len() < HEAD_BYTES / 20);
    }

    #[tokio::test]
    async fn a_full_disk_is_an_error() {
        let events = Events::nowhere();
        let mut output = Output::new(Path::new("/dev/full"), "build", &events).expect("opened");
        let error = output.keep(b"x").expect_err("no room");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
