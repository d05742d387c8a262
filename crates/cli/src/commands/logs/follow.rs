//! What is written from now on.

use std::path::Path;
use std::time::Duration;

use mana_control::logs::Follow;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::sources::{self, Source};
use super::{Args, Printer, Wanted, merge, unreadable};
use crate::exit::Exit;
use crate::failure::Failure;

/// Batches of lines on their way to the terminal. A reader that fills it waits; nothing is lost, the files remember.
const QUEUE: usize = 64;
/// How often to look for logs of instances that began to write meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One log's news, or why it cannot be read any more.
type News = (Source, std::io::Result<Vec<String>>);

/// Prints last lines, then new ones, until Ctrl-C or until nobody reads.
pub(super) async fn run(
    args: &Args,
    wanted: &Wanted,
    data: &Path,
    known: Vec<Source>,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let (sender, mut news) = mpsc::channel(QUEUE);
    let mut readers = JoinSet::new();
    let mut lines = Vec::new();
    for (index, source) in known.iter().enumerate() {
        let (last, follow) = Follow::open(&source.path, wanted.back(args.tail)).map_err(unreadable(&source.path))?;
        lines.push((index, wanted.last(source, last, args.tail)));
        readers.spawn(read(source.clone(), follow, sender.clone()));
    }
    for (index, line) in merge::by_time(lines) {
        printer.print(&known[index], &line)?;
    }
    let mut known = known;
    let mut looks = tokio::time::interval(LOOK_EVERY);
    while !printer.output.closed() {
        tokio::select! {
            Some((source, lines)) = news.recv() => {
                for line in wanted.of(&source, lines.map_err(unreadable(&source.path))?) {
                    printer.print(&source, &line)?;
                }
            }
            _ = looks.tick() => {
                for source in newcomers(args, data, &known)? {
                    let (first, follow) = Follow::open(&source.path, usize::MAX).map_err(unreadable(&source.path))?;
                    for line in wanted.of(&source, first) {
                        printer.print(&source, &line)?;
                    }
                    readers.spawn(read(source.clone(), follow, sender.clone()));
                    known.push(source);
                }
            }
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                break;
            }
        }
    }
    Ok(Exit::Ok)
}

async fn read(source: Source, mut follow: Follow, sender: mpsc::Sender<News>) {
    loop {
        let lines = follow.next().await;
        let failed = lines.is_err();
        // The receiver is gone when the command is ending.
        if sender.send((source.clone(), lines)).await.is_err() || failed {
            return;
        }
    }
}

/// Logs that were not there at the last look.
fn newcomers(args: &Args, data: &Path, known: &[Source]) -> Result<Vec<Source>, Failure> {
    let services =
        if args.services.is_empty() { sources::usual(data).map_err(unreadable(data))? } else { args.services.clone() };
    let mut found = sources::list(data, &services)?;
    found.retain(|source| !known.iter().any(|known| known.path == source.path));
    for (new, source) in found.iter_mut().enumerate() {
        source.colour = known.len() + new;
    }
    Ok(found)
}
