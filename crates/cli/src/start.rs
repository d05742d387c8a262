//! Starting a control plane that lives on when this command and its terminal are gone.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mana_control::client::ClientError;
use mana_control::daemon::make_data_folder;
use mana_control::{logs, paths, secrets};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::running::{self, Running};
use crate::show::units;

/// Longest wait for the new control plane's socket. It adopts what runs before it answers; that takes milliseconds.
const START_BOUND: Duration = Duration::from_secs(15);
/// Pause between two looks at the socket.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Pause between two starts while another control plane owns the folder.
const TRY_EVERY: Duration = Duration::from_millis(100);
/// Log lines shown when it dies at once.
const TAIL_LINES: usize = 15;

/// The control plane of this data folder, started if none runs. Also says whether it was.
pub(crate) async fn ensure(context: &Context, data: &Path) -> Result<(Running, bool), Failure> {
    match running::find(data).await {
        Ok(running) => Ok((running, false)),
        Err(ClientError::NotRunning { .. }) => Ok((start(context, data).await?, true)),
        Err(error) => Err(context.failure(error)),
    }
}

async fn start(context: &Context, data: &Path) -> Result<Running, Failure> {
    let mut child = spawn(data)?;
    let began = Instant::now();
    loop {
        match running::find(data).await {
            Ok(running) => return Ok(running),
            Err(ClientError::NotRunning { .. }) => {}
            Err(error) => return Err(context.failure(error)),
        }
        if began.elapsed() > START_BOUND {
            return Err(failure(data, format!("nothing answers on its socket after {}", units::duration(START_BOUND))));
        }
        match child.try_wait()? {
            None => {}
            // The one that owns the folder is starting as well, and will answer; or it is ending, and then it is our turn.
            Some(status) if status.code() == Some(i32::from(Exit::AlreadyRunning.code())) => {
                tokio::time::sleep(TRY_EVERY).await;
                child = spawn(data)?;
            }
            Some(status) => return Err(failure(data, format!("it ended at once ({status})"))),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// This very binary as `mana control`. It leaves the terminal's session itself; its output goes to its log, so that a panic
/// is not lost.
fn spawn(data: &Path) -> Result<Child, Failure> {
    let log = open_log(data)?;
    let file = |what: &'static str| move |source| Failure::File { what, path: paths::control_log(data), source };
    let second = log.try_clone().map_err(file("write"))?;
    let binary = std::env::current_exe()?;
    let mut command = Command::new(&binary);
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command
        .arg("--data")
        .arg(data)
        .arg("control")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(second)
        .current_dir("/")
        .spawn()
        .map_err(|source| Failure::File { what: "start", path: binary, source })
}

/// Variables that were for this command: which ecosystem, and provided secrets, which would otherwise lie in the control
/// plane's environment for as long as it runs.
fn is_ours(name: &str) -> bool {
    const FLAGS: [&str; 5] = ["MANA_MANIFEST", "MANA_ENV", "MANA_DATA", "MANA_LISTEN", "MANA_PORT_OFFSET"];
    FLAGS.contains(&name) || name.starts_with(secrets::ENVIRONMENT_PREFIX)
}

/// The log, opened for appending.
fn open_log(data: &Path) -> Result<File, Failure> {
    make_data_folder(data)?;
    let path = paths::control_log(data);
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    opened.map_err(|source| Failure::File { what: "write", path, source })
}

fn failure(data: &Path, what: String) -> Failure {
    let log = paths::control_log(data);
    let tail = match logs::tail(&log, TAIL_LINES) {
        Ok(lines) if lines.is_empty() => String::new(),
        Ok(lines) => format!("the end of its log:\n{}\n", lines.join("\n")),
        Err(error) => format!("its log cannot be read ({error})\n"),
    };
    Failure::ControlStart { what, tail, log }
}

/// Longest wait for a control plane that has said its last word.
const END_BOUND: Duration = Duration::from_secs(10);

/// Waits until the process of a control plane is gone, so that the next command finds none.
pub(crate) fn wait_for_end(pid: Option<OwnedFd>) -> Result<(), Failure> {
    let Some(pid) = pid else { return Ok(()) };
    let bound = Timespec::try_from(END_BOUND).map_err(io::Error::other)?;
    let mut ends = [PollFd::new(&pid, PollFlags::IN)];
    match poll(&mut ends, Some(&bound)).map_err(io::Error::from)? {
        0 => Err(Failure::Failed {
            what: format!(
                "everything is stopped, but the control plane has not ended within {}",
                units::duration(END_BOUND)
            ),
            help: "`mana logs control` shows what it is doing".into(),
        }),
        _ => Ok(()),
    }
}

/// Holds on to a process, so that its end is seen and never mixed up with another's. `None`: it is gone already.
pub(crate) fn hold(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}
