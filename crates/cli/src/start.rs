//! Starting a control plane that lives on when this command and its terminal are gone.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use mana_control::client::{Client, ClientError};
use mana_control::{logs, paths};

use crate::context::Context;
use crate::failure::Failure;

/// Longest wait for the new control plane's socket. It adopts what runs before it answers; that takes milliseconds.
const START_BOUND: Duration = Duration::from_secs(15);
/// Pause between two looks at the socket.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Log lines shown when it dies at once.
const TAIL_LINES: usize = 15;

/// The control plane of this data folder, started if none runs. Also says whether it was.
pub(crate) async fn ensure(context: &Context, data: &Path) -> Result<(Client, bool), Failure> {
    match Client::connect(data).await {
        Ok(client) => Ok((client, false)),
        Err(ClientError::NotRunning { .. }) => Ok((start(context, data).await?, true)),
        Err(error) => Err(context.failure(error)),
    }
}

async fn start(context: &Context, data: &Path) -> Result<Client, Failure> {
    let mut child = spawn(data)?;
    let began = Instant::now();
    loop {
        match Client::connect(data).await {
            Ok(client) => return Ok(client),
            Err(ClientError::NotRunning { .. }) => {}
            Err(error) => return Err(context.failure(error)),
        }
        // One that lost a race against another `mana up` ends at once too; then the winner's socket is there in a moment.
        if let Some(status) = child.try_wait()? {
            return match wait_for_another(data).await {
                Some(client) => Ok(client),
                None => Err(died(data, status)),
            };
        }
        if began.elapsed() > START_BOUND {
            return Err(failure(data, format!("it runs (pid {}) but does not answer on its socket", child.id())));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Longest wait for the socket of a control plane that somebody else is starting.
const OTHER_BOUND: Duration = Duration::from_secs(1);

async fn wait_for_another(data: &Path) -> Option<Client> {
    let began = Instant::now();
    while began.elapsed() < OTHER_BOUND {
        if let Ok(client) = Client::connect(data).await {
            return Some(client);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    None
}

/// This very binary as `mana control`. It leaves the terminal's session itself; its output goes to its log, so that a panic
/// is not lost.
fn spawn(data: &Path) -> Result<Child, Failure> {
    let log = open_log(data)?;
    let file = |what: &'static str| move |source| Failure::File { what, path: paths::control_log(data), source };
    let second = log.try_clone().map_err(file("write"))?;
    let binary = std::env::current_exe()?;
    Command::new(&binary)
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

/// The log, opened for appending; folders of a new data folder are made for their owner only.
fn open_log(data: &Path) -> Result<File, Failure> {
    let folder = paths::logs(data);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|source| Failure::File { what: "make", path: folder, source })?;
    let path = paths::control_log(data);
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    opened.map_err(|source| Failure::File { what: "write", path, source })
}

fn died(data: &Path, status: ExitStatus) -> Failure {
    failure(data, format!("it ended at once ({status})"))
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

/// Makes the data folder, for its owner only.
pub(crate) fn make_data_folder(data: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data)
}
