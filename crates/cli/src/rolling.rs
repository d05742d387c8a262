//! Following a rollout.

use std::time::Duration;

use mana_control::api::RolloutView;
use mana_control::client::{Client, ClientError};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report;
use crate::show::{release, rollout};

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(250);

/// One line, or one line of JSON.
pub(crate) fn show(view: &RolloutView, json: bool, context: &Context) -> Result<(), Failure> {
    let mut output = context.output();
    if json {
        output.json_line(view)?;
    } else {
        output.line(&format!("{:>4}  {}", view.number, rollout::line(view, output.style())))?;
    }
    Ok(())
}

/// Shows each change until it is over or waits for a person; `to_the_end`: else until the new version serves.
pub(crate) async fn follow(
    client: &Client,
    view: RolloutView,
    to_the_end: bool,
    json: bool,
    context: &Context,
) -> Result<Exit, Failure> {
    Ok(follow_to(client, view, to_the_end, json, context).await?.0)
}

/// The same, with where it ended.
pub(crate) async fn follow_to(
    client: &Client,
    mut view: RolloutView,
    to_the_end: bool,
    json: bool,
    context: &Context,
) -> Result<(Exit, RolloutView), Failure> {
    show(&view, json, context)?;
    let mut said = 0;
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        // Before it is said how it stands: that is why it stands so.
        said = say(client, &view, said, json, context).await?;
        if let Some(exit) = end(&view, to_the_end) {
            return Ok((exit, view));
        }
        tokio::select! {
            signal = &mut interrupted => {
                signal?;
                let watch = context.command(&format!("rollout watch {}", view.number));
                report::note(&format!("the rollout goes on in the background: `{watch}` follows it again"));
                return Ok((Exit::Interrupted, view));
            }
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let now = client.rollout_view(view.number).await.map_err(|error| context.failure(error))?;
        if now != view {
            said = say(client, &view, said, json, context).await?;
            show(&now, json, context)?;
        }
        view = now;
    }
}

/// What its checks and its build have said since then.
async fn say(client: &Client, view: &RolloutView, from: u64, json: bool, context: &Context) -> Result<u64, Failure> {
    /// Of what came at once, so that a person sees how it stands in between.
    const MOST_PIECES: usize = 64;
    let mut next = from;
    for _ in 0..MOST_PIECES {
        let piece = match client.rollout_output(view.number, next).await {
            // A control plane of before does not know the call.
            Err(ClientError::Refused(problem)) if problem.status == 404 => return Ok(next),
            piece => piece.map_err(|error| context.failure(error))?,
        };
        if piece.events.is_empty() {
            break;
        }
        next = piece.next;
        let mut output = context.output();
        for event in &piece.events {
            if json {
                output.json_line(event)?;
            } else {
                let line = release::line(event, output.style());
                output.line(&format!("      {line}"))?;
            }
        }
    }
    Ok(next)
}

/// How following ends, if it does.
fn end(view: &RolloutView, to_the_end: bool) -> Option<Exit> {
    match view.stage.as_str() {
        "done" => Some(Exit::Ok),
        "rolled-back" => Some(Exit::RolledBack),
        "aborted" | "superseded" => Some(Exit::Failed),
        _ if !view.waits_for.is_empty() => Some(Exit::Waiting),
        "window" if !to_the_end && view.new.percent == 100 => Some(Exit::Ok),
        _ => None,
    }
}
