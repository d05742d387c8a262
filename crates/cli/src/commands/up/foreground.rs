//! `mana up --foreground`: the control plane in this process.
//!
//! Two threads: the control plane on this one, and one that does what a detached `mana up` does as its client. Either
//! signal ends the control plane alone, its instances live on; after Ctrl-C `mana down` follows, so that a person who
//! tried something out leaves nothing behind, while a service manager's SIGTERM replaces only the control plane.

use std::path::Path;
use std::thread;
use std::time::Duration;

use mana_control::api::Apply;
use mana_control::daemon::{self, ExitReason, Options};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::{Args, bring_up};
use crate::commands::down;
use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{report, running};

/// Pause between two looks at the socket of the control plane that is starting in this process.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Why the client thread ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Interrupted,
    Terminated,
    ControlEnded,
}

pub(super) fn run(args: &Args, context: &Context, data: &Path, apply: &Apply) -> Result<Exit, Failure> {
    let options = Options { detach: false, log_to_stderr: true, ..Options::new(data.to_owned())? };
    thread::scope(|scope| {
        let (ended, control_ended) = oneshot::channel();
        let operator = scope.spawn(move || block_on(operate(args, context, data, apply, control_ended)));
        let reason = daemon::run(options);
        // A client that ended before has nothing left to be told.
        let _ = ended.send(());
        let end = operator.join().unwrap_or(Ok(End::ControlEnded))?;
        match reason? {
            ExitReason::Signal if end == End::Interrupted => down::run(&down::Args::in_words(), context),
            ExitReason::Signal | ExitReason::Down => Ok(Exit::Ok),
        }
    })
}

/// What a detached `mana up` does, and then waiting for the signal that ends it all.
async fn operate(
    args: &Args,
    context: &Context,
    data: &Path,
    apply: &Apply,
    mut control_ended: oneshot::Receiver<()>,
) -> Result<End, Failure> {
    let mut terminated = signal(SignalKind::terminate())?;
    let brought_up = async {
        // Bounded by the control plane's own start: it either listens or ends, and then so does this.
        let client = loop {
            match running::connect(data).await {
                Ok(client) => break client,
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        };
        if let Err(failure) = bring_up(&client, apply, args, context).await {
            report::show(&failure, context.global().color);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = brought_up => Ok(End::ControlEnded),
        interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| End::Interrupted).map_err(Failure::from),
        _ = terminated.recv() => Ok(End::Terminated),
        _ = &mut control_ended => Ok(End::ControlEnded),
    }
}
