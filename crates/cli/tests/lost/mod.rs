//! A way to the control plane on which answers get lost.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// The answer to every other change is given and never heard. Dropping it makes the way whole again.
pub(crate) struct LostAnswers {
    socket: PathBuf,
    real: PathBuf,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    changes: AtomicU32,
    lost: AtomicU32,
}

impl LostAnswers {
    /// Stands in the way of whoever asks the control plane of this data folder.
    pub(crate) fn of(data: &Path) -> Self {
        let socket = data.join("control.sock");
        let real = data.join("real.sock");
        fs::rename(&socket, &real).expect("a control plane runs");
        let listener = UnixListener::bind(&socket).expect("bound");
        let way = Self { socket, real, counts: Arc::default() };
        let (real, counts) = (way.real.clone(), Arc::clone(&way.counts));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (real, counts) = (real.clone(), Arc::clone(&counts));
                // Whichever side breaks off, the other one sees it.
                thread::spawn(move || carry(client, &real, &counts));
            }
        });
        way
    }

    /// How many were lost.
    pub(crate) fn count(&self) -> u32 {
        self.counts.lost.load(Ordering::Relaxed)
    }
}

impl Drop for LostAnswers {
    fn drop(&mut self) {
        // It may have ended, and its socket with it.
        let _ = fs::rename(&self.real, &self.socket);
    }
}

fn carry(mut client: UnixStream, real: &Path, counts: &Counts) -> io::Result<()> {
    let mut server = UnixStream::connect(real)?;
    let mut piece = [0; 4096];
    let length = client.read(&mut piece)?;
    let is_change = piece[..length].starts_with(b"POST ");
    let is_lost = is_change && counts.changes.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
    server.write_all(&piece[..length])?;
    let (mut asked, mut on) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut asked, &mut on);
        let _ = on.shutdown(Shutdown::Write);
    });
    if is_lost {
        // It answers, so it was done.
        let answer = server.read(&mut piece)?;
        counts.lost.fetch_add(u32::from(answer > 0), Ordering::Relaxed);
        let _ = server.shutdown(Shutdown::Both);
    } else {
        io::copy(&mut server, &mut client)?;
    }
    client.shutdown(Shutdown::Both)
}
