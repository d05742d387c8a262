//! What the checks and the build of a rollout say: kept beside its journal, an event a line, for whoever watches and for later.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use mana_delivery::rollout::RolloutId;
use mana_release::event::{Event, Events};

use crate::api::Output;
use crate::paths;

/// Of one rollout. The logs of the jobs themselves hold more.
const MOST_BYTES: u64 = 4 << 20;
/// Of one answer.
const PIECE_BYTES: u64 = 256 << 10;
/// Rollouts whose output is kept.
const MOST_KEPT: usize = 200;

/// Whatever is told here is written down. A disk that is full costs the output and nothing else.
pub(super) fn events(data: &Path, id: RolloutId) -> Events {
    let (events, mut seen) = Events::channel();
    let mut file = open(data, id).inspect_err(|error| complain(id, error)).ok();
    tokio::spawn(async move {
        while let Some(event) = seen.recv().await {
            let Some(open) = &mut file else { continue };
            match append(open, &event) {
                Ok(true) => {}
                Ok(false) => file = None,
                Err(error) => {
                    complain(id, &error);
                    file = None;
                }
            }
        }
    });
    events
}

fn complain(id: RolloutId, error: &io::Error) {
    tracing::warn!(rollout = id.0, %error, "what a rollout says cannot be written down");
}

fn open(data: &Path, id: RolloutId) -> io::Result<File> {
    let path = paths::rollout_output(data, id.0);
    fs::create_dir_all(paths::rollout_outputs(data))?;
    let fresh = !path.exists();
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
    if fresh {
        forget_old(data)?;
    }
    Ok(file)
}

/// `false`: it is full.
fn append(file: &mut File, event: &Event) -> io::Result<bool> {
    let full = file.metadata()?.len() >= MOST_BYTES;
    let left_out = Event::Note { text: "what follows is in the logs only".to_owned() };
    let mut line = serde_json::to_vec(if full { &left_out } else { event })?;
    line.push(b'\n');
    // As a whole: a reader never sees half a line, or stops before it.
    file.write_all(&line)?;
    Ok(!full)
}

fn forget_old(data: &Path) -> io::Result<()> {
    let number = |name: &str| name.strip_suffix(".jsonl")?.parse::<u64>().ok();
    let folder = fs::read_dir(paths::rollout_outputs(data))?.flatten();
    let mut all: Vec<u64> = folder.filter_map(|entry| number(entry.file_name().to_str()?)).collect();
    all.sort_unstable();
    let surplus = all.len().saturating_sub(MOST_KEPT);
    all.iter().take(surplus).try_for_each(|number| fs::remove_file(paths::rollout_output(data, *number)))
}

/// A piece from that byte on; whole lines only.
pub(crate) fn read(data: &Path, rollout: u64, from: u64) -> io::Result<Output> {
    let mut file = match File::open(paths::rollout_output(data, rollout)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Output { next: from, events: Vec::new() }),
        file => file?,
    };
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(PIECE_BYTES).read_to_end(&mut text)?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = text[..whole].split(|byte| *byte == b'\n');
    let events = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    Ok(Output { next: from + whole as u64, events })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_piece_by_piece_and_bounded() {
        let folder = tempfile::tempdir().expect("folder");
        let data = folder.path();
        assert_eq!(read(data, 7, 0).expect("nothing yet"), Output { next: 0, events: Vec::new() });
        let mut file = open(data, RolloutId(7)).expect("opened");
        let line = |text: &str| Event::Line { step: "build".to_owned(), text: text.to_owned() };
        for text in ["one", "two"] {
            assert!(append(&mut file, &line(text)).expect("written"));
        }
        file.write_all(b"{\"half").expect("written");
        let first = read(data, 7, 0).expect("read");
        assert_eq!(first.events, [line("one"), line("two")]);
        assert_eq!(read(data, 7, first.next).expect("read"), Output { next: first.next, events: Vec::new() });
        let mut file = open(data, RolloutId(8)).expect("opened");
        let long = "x".repeat(16 << 10);
        while append(&mut file, &line(&long)).expect("written") {}
        let size = fs::metadata(paths::rollout_output(data, 8)).expect("there").len();
        assert!(size < MOST_BYTES + (64 << 10), "{size}");
        let (mut next, mut count) = (0, 0);
        loop {
            let piece = read(data, 8, next).expect("read");
            if piece.events.is_empty() {
                break;
            }
            (next, count) = (piece.next, count + piece.events.len());
        }
        assert!(next == size && count > 200, "{next} of {size}, {count} events");
    }

    #[test]
    fn old_outputs_are_forgotten() {
        let folder = tempfile::tempdir().expect("folder");
        for number in 1..=MOST_KEPT as u64 + 2 {
            open(folder.path(), RolloutId(number)).expect("opened");
        }
        assert!(!paths::rollout_output(folder.path(), 2).exists());
        assert!(paths::rollout_output(folder.path(), 3).exists());
    }
}
