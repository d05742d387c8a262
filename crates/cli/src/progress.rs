//! Showing a stream of progress while it lasts: redrawn in place on a terminal, line by line elsewhere, as JSON for scripts.

use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use mana_control::api::Event;
use mana_control::client::Events;
use tokio::time::MissedTickBehavior;

use crate::context::Context;
use crate::failure::Failure;
use crate::report;
use crate::show::failures;
use crate::show::progress::{End, FRAME, Progress};
use crate::terminal::Output;

/// How a stream ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// As asked.
    Settled(Duration),
    /// Not; why, in one sentence.
    Failed(String),
    /// The person pressed Ctrl-C. What was asked for goes on without this command.
    Interrupted,
}

/// Follows the stream to its end, or to Ctrl-C.
pub(crate) async fn follow_until_interrupted(
    events: Events,
    json: bool,
    output: &mut Output,
    context: &Context,
) -> Result<Outcome, Failure> {
    tokio::select! {
        outcome = follow(events, json, output, context) => outcome,
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted.map(|()| Outcome::Interrupted)?),
    }
}

/// Waits for the end of a stream that has nothing to show.
pub(crate) async fn wait(mut events: Events, context: &Context) -> Result<Outcome, Failure> {
    while let Some(event) = events.next().await.map_err(|error| context.failure(error))? {
        match event {
            Event::Settled { took_ms } => return Ok(Outcome::Settled(Duration::from_millis(took_ms))),
            Event::Failed { reason } => return Ok(Outcome::Failed(reason)),
            Event::Service { .. } | Event::ServiceFailed { .. } => {}
        }
    }
    Err(Failure::Cut)
}

/// Follows the stream to its end. Failed services are shown with their log lines.
pub(crate) async fn follow(
    mut events: Events,
    json: bool,
    output: &mut Output,
    context: &Context,
) -> Result<Outcome, Failure> {
    let mut ticks = tokio::time::interval(FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut screen = Screen::new(json, output);
    while screen.progress.end().is_none() {
        tokio::select! {
            event = events.next() => {
                let Some(event) = event.map_err(|error| context.failure(error))? else { return Err(Failure::Cut) };
                screen.tell(&event)?;
            }
            _ = ticks.tick(), if screen.in_place => screen.draw()?,
        }
    }
    let progress = screen.end()?;
    if !json {
        show_failed(&progress, context);
    }
    match progress.end() {
        Some(End::Settled { took }) => Ok(Outcome::Settled(*took)),
        Some(End::Failed { reason }) => Ok(Outcome::Failed(reason.clone())),
        None => Err(Failure::Cut),
    }
}

/// Where the progress is shown, and what was shown so far.
struct Screen<'a> {
    progress: Progress,
    began: Instant,
    json: bool,
    in_place: bool,
    output: &'a mut Output,
}

impl<'a> Screen<'a> {
    fn new(json: bool, output: &'a mut Output) -> Self {
        let in_place = output.abilities.live && !json;
        Self { progress: Progress::default(), began: Instant::now(), json, in_place, output }
    }

    fn tell(&mut self, event: &Event) -> Result<(), Failure> {
        let line = self.progress.step(event, self.began.elapsed(), self.output.style());
        if self.json {
            self.output.json_line(event)?;
        } else if self.in_place {
            self.draw()?;
        } else if let Some(line) = line {
            self.output.line(&line)?;
        }
        Ok(())
    }

    fn draw(&mut self) -> Result<(), Failure> {
        let (width, height) = (self.output.width(), self.output.height());
        let lines = self.progress.draw(self.began.elapsed(), self.output.style(), width, height);
        Ok(self.output.redraw(&lines)?)
    }

    fn end(mut self) -> Result<Progress, Failure> {
        if self.in_place {
            self.draw()?;
            self.output.keep();
        }
        Ok(self.progress)
    }
}

/// Complaints go to standard error, so that they are seen where the progress was sent to a file.
fn show_failed(progress: &Progress, context: &Context) {
    let zone = TimeZone::system();
    for failed in progress.failed() {
        let logs = context.command(&format!("logs {}", failed.name));
        report::lines(|style| failures::lines(failed, &logs, style, &zone), context.global().color);
    }
}
