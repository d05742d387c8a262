//! Following a rollout: a picture that is redrawn on a terminal, a line for each change elsewhere, JSON for scripts.

use std::collections::VecDeque;
use std::io;

use mana_control::api::{Output as Said, RolloutView};
use mana_control::client::{Client, ClientError};
use mana_release::event::Event;

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::patience::{self, Patience};
use crate::report;
use crate::show::style::Style;
use crate::show::{release, rollout, timeline};
use crate::terminal::Output;

/// Pieces of output that are fetched in one look, so that a person sees how it stands in between.
const MOST_PIECES: usize = 64;
/// Last lines of output in the picture while all goes well, and once it went wrong.
const TAIL: usize = 5;
const LAST_WORDS: usize = 40;
/// The status of what an older control plane does not know.
const NOT_FOUND: u16 = 404;

/// One line, or one line of JSON.
pub(crate) fn show(view: &RolloutView, json: bool, context: &Context) -> Result<(), Failure> {
    print(view, json, &mut context.output())
}

fn print(view: &RolloutView, json: bool, output: &mut Output) -> Result<(), Failure> {
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
    let mut screen = Screen::new(json, context.output());
    let mut asking = Asking { client, context, number: view.number, patience: Patience::default() };
    tokio::select! {
        exit = look_on(&mut asking, &mut screen, &mut view, to_the_end) => Ok((exit?, view)),
        signal = tokio::signal::ctrl_c() => {
            signal?;
            screen.end(&view)?;
            let watch = context.command(&format!("rollout watch {}", view.number));
            report::note(&format!("the rollout goes on in the background: `{watch}` follows it again"));
            Ok((Exit::Interrupted, view))
        }
    }
}

/// Looks until there is nothing more to wait for.
async fn look_on(
    asking: &mut Asking<'_>,
    screen: &mut Screen,
    view: &mut RolloutView,
    to_the_end: bool,
) -> Result<Exit, Failure> {
    let mut speaks = is_young(view);
    if !speaks {
        screen.pass_over(asking).await?;
    }
    loop {
        // Before it is said how it stands: that is why it stands so.
        if speaks || is_young(view) {
            screen.hear(asking).await?;
        }
        speaks = is_young(view);
        screen.tell(view)?;
        if let Some(exit) = end(view, to_the_end) {
            screen.end(view)?;
            return Ok(exit);
        }
        tokio::time::sleep(patience::interval(asking.context)).await;
        *view = asking.view(screen).await?;
    }
}

/// How a rollout goes, asked until there is an answer.
pub(crate) async fn look(
    client: &Client,
    number: u64,
    patience: &mut Patience,
    context: &Context,
) -> Result<RolloutView, Failure> {
    patience::told(patience, client, context, async |client: &Client| client.rollout_view(number).await).await
}

/// Questions about one rollout, asked until there is an answer.
struct Asking<'a> {
    client: &'a Client,
    context: &'a Context,
    number: u64,
    patience: Patience,
}

impl Asking<'_> {
    async fn view(&mut self, screen: &mut Screen) -> Result<RolloutView, Failure> {
        let number = self.number;
        let question = async |client: &Client| client.rollout_view(number).await;
        patience::asked(&mut self.patience, self.client, self.context, question, |away| screen.away(away)).await
    }

    /// The next piece of what was said.
    async fn piece(&mut self, screen: &mut Screen) -> Result<Said, Failure> {
        let (number, from) = (self.number, screen.next);
        let question = async |client: &Client| match client.rollout_output(number, from).await {
            // A control plane of before keeps none.
            Err(ClientError::Refused(problem)) if problem.status == NOT_FOUND => {
                Ok(Said { next: from, events: Vec::new() })
            }
            piece => piece,
        };
        patience::asked(&mut self.patience, self.client, self.context, question, |away| screen.away(away)).await
    }
}

/// Where it is shown, and what was shown so far.
struct Screen {
    output: Output,
    json: bool,
    in_place: bool,
    /// Where the next piece of its output begins.
    next: u64,
    /// The last lines of its output.
    tail: VecDeque<String>,
    /// What was told last, without times unless it is redrawn.
    told: Option<RolloutView>,
    /// Why nothing is known at the moment.
    away: Option<String>,
}

impl Screen {
    fn new(json: bool, output: Output) -> Self {
        let in_place = output.abilities.live && !json;
        Self { output, json, in_place, next: 0, tail: VecDeque::new(), told: None, away: None }
    }

    /// What was said before is not news.
    async fn pass_over(&mut self, asking: &mut Asking<'_>) -> Result<(), Failure> {
        loop {
            let piece = asking.piece(self).await?;
            if piece.next == self.next {
                return Ok(());
            }
            self.next = piece.next;
        }
    }

    /// What its checks and its build have said since.
    async fn hear(&mut self, asking: &mut Asking<'_>) -> Result<(), Failure> {
        for _ in 0..MOST_PIECES {
            let piece = asking.piece(self).await?;
            if piece.next == self.next {
                break;
            }
            self.next = piece.next;
            for event in &piece.events {
                self.say(event)?;
            }
        }
        Ok(())
    }

    /// Nobody answers, and why; or somebody does again.
    fn away(&mut self, why: Option<&str>) -> io::Result<()> {
        self.away = why.map(str::to_owned);
        match (why, self.told.clone().filter(|_| self.in_place)) {
            (_, Some(told)) => self.draw(&told, TAIL),
            // Standard output is for JSON alone.
            (Some(why), None) if self.json => {
                report::note(why);
                Ok(())
            }
            (Some(why), None) => self.output.line(&format!("      {why}")),
            (None, None) => Ok(()),
        }
    }

    fn say(&mut self, event: &Event) -> io::Result<()> {
        if self.json {
            return self.output.json_line(event);
        }
        if !self.in_place {
            let line = release::line(event, self.output.style());
            return self.output.line(&format!("      {line}"));
        }
        self.tail.push_back(release::line(event, Style::new(false)));
        if self.tail.len() > LAST_WORDS {
            self.tail.pop_front();
        }
        Ok(())
    }

    /// How it stands.
    fn tell(&mut self, view: &RolloutView) -> Result<(), Failure> {
        if self.in_place {
            self.told = Some(view.clone());
            return Ok(self.draw(view, TAIL)?);
        }
        // Times alone are no news.
        let bare = RolloutView { steps: Vec::new(), ..view.clone() };
        if self.told.as_ref() != Some(&bare) {
            print(view, self.json, &mut self.output)?;
            self.told = Some(bare);
        }
        Ok(())
    }

    fn draw(&mut self, view: &RolloutView, tail: usize) -> io::Result<()> {
        let skipped = self.tail.len().saturating_sub(tail);
        let said: Vec<String> = self.tail.iter().skip(skipped).chain(&self.away).cloned().collect();
        let (style, width) = (self.output.style(), self.output.width());
        let mut lines = timeline::lines(view, &said, style, width);
        // What has left the screen above cannot be drawn again.
        let most = self.output.height().map_or(lines.len(), |height| height.saturating_sub(1));
        lines.truncate(most.max(1));
        self.output.redraw(&lines)
    }

    fn end(&mut self, view: &RolloutView) -> Result<(), Failure> {
        if self.in_place {
            let went_wrong = view.over && view.stage != "done";
            self.draw(view, if went_wrong { LAST_WORDS } else { 0 })?;
            self.output.keep();
        }
        Ok(())
    }
}

/// Whether it is where something is said.
fn is_young(view: &RolloutView) -> bool {
    ["queued", "checking", "building", "scanning", "staging", "smoking"].contains(&view.stage.as_str())
}

/// How following ends, if it does.
fn end(view: &RolloutView, to_the_end: bool) -> Option<Exit> {
    match view.stage.as_str() {
        "done" => Some(Exit::Ok),
        "rolled-back" => Some(Exit::RolledBack),
        "aborted" | "superseded" => Some(Exit::Failed),
        _ if !view.waits_for.is_empty() => Some(Exit::Waiting),
        "window" | "decommissioning" if !to_the_end && view.new.percent == 100 => Some(Exit::Ok),
        _ => None,
    }
}
