//! One JSON line for each request, written off the hot path.
//!
//! A thread writes lines into a buffer of its own; full buffers, and once a tick begun ones, go to one writer thread
//! over a bounded queue. If the writer is behind (a slow disk, a stopped pager), lines are dropped and counted: logging
//! never slows an answer. Query strings are left out, since they carry tokens.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock;
use crate::error::Error;
use crate::metrics::ThreadCells;
use crate::options::AccessLog;
use crate::record::{Asked, Record};

/// A buffer is handed over when it holds this much: about a hundred lines.
const BUFFER_BYTES: usize = 32 * 1024;

/// Buffers that may wait for the writer: 4 MiB in all.
const QUEUE: usize = 128;

/// A log file is renamed to `NAME.1`, replacing the one before, when it has grown to this.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// A thread's end of the log.
pub(crate) struct LogBuffer {
    text: Vec<u8>,
    lines: u64,
    queue: SyncSender<Vec<u8>>,
    time: Timestamp,
}

/// The writer thread; ends when the last [`LogBuffer`] is gone.
pub(crate) struct LogWriter {
    queue: SyncSender<Vec<u8>>,
    thread: JoinHandle<()>,
}

impl LogWriter {
    /// Opens the log and starts the writer; `None` if no log is wanted.
    pub(crate) fn start(to: &AccessLog) -> Result<Option<Self>, Error> {
        let output = match to {
            AccessLog::Off => return Ok(None),
            AccessLog::Stdout => Output::Stdout,
            AccessLog::File(path) => {
                Output::open(path).map_err(|source| Error::AccessLog { path: path.clone(), source })?
            }
        };
        let (queue, lines) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("edge-log".into())
            .spawn(move || write_all(output, &lines))
            .map_err(|source| Error::Start { what: "the access log's thread", source })?;
        Ok(Some(Self { queue, thread }))
    }

    pub(crate) fn buffer(&self) -> LogBuffer {
        LogBuffer { text: Vec::new(), lines: 0, queue: self.queue.clone(), time: Timestamp::default() }
    }

    /// Waits until everything handed over is written. All buffers must be gone.
    pub(crate) fn finish(self) {
        drop(self.queue);
        if self.thread.join().is_err() {
            tracing::error!("the access log's thread ended by a panic");
        }
    }
}

impl LogBuffer {
    pub(crate) fn write(&mut self, record: &Record, counts: &ThreadCells) {
        let Some(asked) = &record.asked else { return };
        if self.text.capacity() == 0 {
            self.text.reserve_exact(BUFFER_BYTES + 1_024);
        }
        line(&mut self.text, self.time.now(), record, asked);
        self.lines += 1;
        if self.text.len() >= BUFFER_BYTES {
            self.flush(counts);
        }
    }

    /// Hands over what there is, or drops it if the writer is behind.
    pub(crate) fn flush(&mut self, counts: &ThreadCells) {
        if self.text.is_empty() {
            return;
        }
        let text = std::mem::take(&mut self.text);
        let lines = std::mem::take(&mut self.lines);
        match self.queue.try_send(text) {
            Ok(()) => counts.log_lines.add(lines),
            Err(_behind) => counts.log_dropped.add(lines),
        }
    }
}

fn line(into: &mut Vec<u8>, time: &str, record: &Record, asked: &Asked) {
    let route = record.route.map(|route| &record.view.table.routes[route]);
    let slot = route.zip(record.slot).and_then(|(route, slot)| match &route.target {
        crate::table::Target::Slots(slots) => slots.slots.get(slot),
        _ => None,
    });
    into.extend_from_slice(b"{\"timestamp\":\"");
    into.extend_from_slice(time.as_bytes());
    into.extend_from_slice(b"\",\"level\":\"INFO\",\"target\":\"access\"");
    text(into, ",\"method\":\"", asked.method.as_str().as_bytes());
    if let Some(host) = &asked.host {
        text(into, ",\"host\":\"", host.as_bytes());
    }
    text(into, ",\"path\":\"", asked.uri.path().as_bytes());
    // A request without an answer: the client went away first.
    number(into, ",\"status\":", u64::from(record.status.map_or(499, |status| status.as_u16())));
    if let Some(route) = route {
        text(into, ",\"route\":\"", route.name.as_bytes());
    }
    if let Some(slot) = slot {
        text(into, ",\"slot\":\"", slot.name.as_bytes());
        text(into, ",\"release\":\"", slot.release.as_bytes());
    }
    if let Some(upstream) = &record.upstream {
        text(into, ",\"instance\":\"", upstream.id.as_bytes());
    }
    if let Some(to_head) = record.to_head {
        number(into, ",\"head_us\":", micros(to_head));
    }
    number(into, ",\"total_us\":", micros(record.started.elapsed()));
    number(into, ",\"received_bytes\":", record.received_bytes);
    number(into, ",\"sent_bytes\":", record.sent_bytes);
    if let Some(cached) = record.cached {
        text(into, ",\"cache\":\"", cached.name().as_bytes());
    }
    if record.retries > 0 {
        number(into, ",\"retries\":", u64::from(record.retries));
    }
    text(into, ",\"peer\":\"", record.busy.state.peer_text.as_bytes());
    if let Some(client) = asked.client {
        // Writing to a vector does not fail.
        let _ = write!(into, ",\"client\":\"{client}\"");
    }
    text(into, ",\"request_id\":\"", record.request_id.as_bytes());
    if let Some(traceparent) = &asked.traceparent {
        text(into, ",\"traceparent\":\"", traceparent.as_bytes());
    }
    into.extend_from_slice(b"}\n");
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// `field` with everything up to the value.
pub(crate) fn number(into: &mut Vec<u8>, field: &str, value: u64) {
    into.extend_from_slice(field.as_bytes());
    // `u64::MAX` has twenty digits. Formatting through `fmt` costs five times as much.
    let mut digits = [0; 20];
    let mut begin = digits.len();
    let mut rest = value;
    loop {
        begin -= 1;
        digits[begin] = b"0123456789"[usize::try_from(rest % 10).unwrap_or_default()];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    into.extend_from_slice(&digits[begin..]);
}

/// `field` with everything up to the value, its opening quote included.
pub(crate) fn text(into: &mut Vec<u8>, field: &str, value: &[u8]) {
    into.extend_from_slice(field.as_bytes());
    let mut rest = value;
    while let Some(at) = rest.iter().position(|byte| !is_plain(*byte)) {
        into.extend_from_slice(&rest[..at]);
        match rest[at] {
            byte @ (b'"' | b'\\') => into.extend_from_slice(&[b'\\', byte]),
            // What is no printable ASCII is shown as the code point of its byte: the line stays JSON whatever came.
            byte => write!(into, "\\u{byte:04x}").expect("writing to memory cannot fail"),
        }
        rest = &rest[at + 1..];
    }
    into.extend_from_slice(rest);
    into.push(b'"');
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\'
}

/// The time as text, of which only the milliseconds are made anew within a second.
#[derive(Default)]
struct Timestamp {
    second: u64,
    text: String,
}

impl Timestamp {
    fn now(&mut self) -> &str {
        let millis = clock::unix_millis();
        self.at(millis)
    }

    fn at(&mut self, millis: u64) -> &str {
        let second = millis / 1_000;
        if self.second != second || self.text.is_empty() {
            self.second = second;
            let time = jiff::Timestamp::from_second(i64::try_from(second).unwrap_or_default()).unwrap_or_default();
            self.text = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        }
        // Length of `2025-01-31T23:59:59`.
        self.text.truncate(19);
        let millis = millis % 1_000;
        self.text.push('.');
        for digit in [millis / 100, millis / 10 % 10, millis % 10] {
            self.text.push(char::from_digit(u32::try_from(digit).unwrap_or_default(), 10).unwrap_or('0'));
        }
        self.text.push('Z');
        &self.text
    }
}

enum Output {
    Stdout,
    File { path: PathBuf, file: File, bytes: u64 },
}

impl Output {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self::File { path: path.to_owned(), file, bytes })
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().lock().write_all(text),
            Self::File { path, file, bytes } => {
                if *bytes >= MAX_FILE_BYTES {
                    let mut older = path.clone().into_os_string();
                    older.push(".1");
                    // Whoever may not read the one before may not read the next one.
                    let readable_by = file.metadata()?.permissions();
                    std::fs::rename(&*path, older)?;
                    *self = Self::open(&path.clone())?;
                    if let Self::File { file, .. } = self {
                        file.set_permissions(readable_by)?;
                    }
                    return self.write(text);
                }
                file.write_all(text)?;
                *bytes += text.len() as u64;
                Ok(())
            }
        }
    }
}

fn write_all(mut output: Output, lines: &Receiver<Vec<u8>>) {
    let mut failed = false;
    for text in lines {
        match output.write(&text) {
            Ok(()) => failed = false,
            // Told once, not for each buffer: what is broken is also where such lines would go.
            Err(error) if !failed => {
                failed = true;
                tracing::error!(%error, "access log cannot be written; lines are lost until it can");
            }
            Err(_same) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn timestamps_are_rfc_3339_with_milliseconds() {
        let mut time = Timestamp::default();
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_709_164_800_123, "2024-02-29T00:00:00.123Z"),
            (1_709_164_800_007, "2024-02-29T00:00:00.007Z"),
            (1_709_164_801_000, "2024-02-29T00:00:01.000Z"),
        ] {
            assert_eq!(time.at(millis), expected);
        }
    }

    #[test]
    fn numbers_are_written_as_they_are() {
        for value in [0, 7, 10, 12_345, u64::MAX] {
            let mut into = Vec::new();
            number(&mut into, "", value);
            assert_eq!(into, value.to_string().as_bytes());
        }
    }

    #[test]
    fn whatever_a_client_sends_the_line_stays_json() {
        let mut into = b"{\"a\":1".to_vec();
        text(&mut into, ",\"path\":\"", b"/\"\\\n\x00\xff\xc3\xa9 x");
        into.push(b'}');
        let parsed: serde_json::Value = serde_json::from_slice(&into).unwrap();
        assert_eq!(parsed["path"], "/\"\\\n\u{0}\u{ff}\u{c3}\u{a9} x");
    }

    #[test]
    fn a_full_file_makes_room_for_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let mut output = Output::open(&path).unwrap();
        output.write(b"first\n").unwrap();
        // Made by somebody who wants nobody else to read it.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        if let Output::File { bytes, .. } = &mut output {
            *bytes = MAX_FILE_BYTES;
        }
        output.write(b"second\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "second\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(folder.path().join("access.log.1")).unwrap(), "first\n");
    }
}
