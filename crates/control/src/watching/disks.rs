//! How much room disks have. A file system that hangs makes whoever asks it hang, in the kernel, where no bound reaches: so it is asked by a
//! thread of its own, which is waited for only so long, and no second time before it has come back.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use mana_watch::gather::Found;
use mana_watch::host::{Host, Space};
use mana_watch::schedule::INTERVAL;

use super::keeper::Told;
use super::rounds::tell;

/// Longest time that one may take: even a disk that has to spin up first, or is very busy, mostly answers from memory.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks until the process ends.
pub(super) fn start(told: SyncSender<Told>) -> io::Result<()> {
    let asking = move || {
        let (mut host, mut asked) = (Host::here(), Asked::default());
        loop {
            let found = Found::by(|sink| {
                host.space_by(sink, |place| asked.ask(place, PATIENCE, Space::at));
            });
            tell(&told, Told::Space(found));
            std::thread::sleep(INTERVAL);
        }
    };
    std::thread::Builder::new().name("disks".to_owned()).spawn(asking).map(drop)
}

/// Those that have not answered yet. As many threads hang at most as there are file systems that are measured.
#[derive(Debug, Default)]
struct Asked {
    silent: BTreeMap<PathBuf, Receiver<io::Result<Space>>>,
}

impl Asked {
    /// How much room is at this place, as `look` says within `patience`.
    fn ask(
        &mut self,
        place: &Path,
        patience: Duration,
        look: impl FnOnce(&Path) -> io::Result<Space> + Send + 'static,
    ) -> io::Result<Space> {
        let silent = || io::Error::new(io::ErrorKind::TimedOut, "it does not answer");
        if let Some(answer) = self.silent.get(place) {
            match answer.try_recv() {
                Err(TryRecvError::Empty) => return Err(silent()),
                // What it says by now is of some time ago.
                Ok(_) | Err(TryRecvError::Disconnected) => drop(self.silent.remove(place)),
            }
        }
        let (sender, answer) = sync_channel(1);
        let at = place.to_owned();
        // Whoever waited for it may have gone on.
        std::thread::Builder::new().name("disk".to_owned()).spawn(move || drop(sender.send(look(&at))))?;
        match answer.recv_timeout(patience) {
            Ok(space) => space,
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!(place = %place.display(), "a file system does not answer: how much room it has is not known");
                self.silent.insert(place.to_owned(), answer);
                Err(silent())
            }
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("looking at it broke off")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: Space = Space { block_bytes: 4096, blocks: 100, free: 50, available: 45, files: 0, files_free: 0 };
    /// Longer than any test waits for what answers.
    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn one_that_hangs_is_not_waited_for_and_asked_again_only_once_it_has_come_back() {
        let (srv, root) = (Path::new("/srv"), Path::new("/"));
        let mut asked = Asked::default();
        let (go_on, hangs) = sync_channel::<()>(1);
        let hung = asked.ask(srv, Duration::ZERO, move |_| {
            let _ = hangs.recv();
            Ok(SPACE)
        });
        assert_eq!(hung.expect_err("it hangs").kind(), io::ErrorKind::TimedOut);
        let again = asked.ask(srv, LONG, |_| panic!("it still hangs"));
        assert_eq!(again.expect_err("it hangs").kind(), io::ErrorKind::TimedOut);
        // Nobody else is held up.
        assert_eq!(asked.ask(root, LONG, |_| Ok(SPACE)).expect("answered"), SPACE);
        go_on.send(()).expect("it waits");
        let back = std::iter::repeat_with(|| asked.ask(srv, LONG, |_| Ok(SPACE))).find_map(Result::ok);
        assert_eq!(back, Some(SPACE));
        assert!(asked.silent.is_empty());
    }
}
