//! How a start, a restart or a stop goes on: events in, a small table or plain lines out.

use std::time::Duration;

use mana_control::api::{Event, ServiceState};

use super::style::{Style, Tone};
use super::table::{self, Cell, Column};
use super::units;

/// One turn of the spinner; see [`FRAME`].
const SPINNER: [&str; 8] = ["⠋", "⠙", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇"];
/// How long one picture of the spinner stands.
pub(crate) const FRAME: Duration = Duration::from_millis(100);

const COLUMNS: [Column; 4] = [Column::text("", 0), Column::text("", 0), Column::text("", 0), Column::text("", 0)];

/// What is known so far.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    services: Vec<Service>,
    failed: Vec<FailedService>,
    end: Option<End>,
}

#[derive(Debug)]
struct Service {
    name: String,
    state: ServiceState,
    detail: String,
    failed: bool,
    told: Told,
}

/// The last line about a service where nothing can be redrawn.
#[derive(Debug)]
struct Told {
    word: &'static str,
    at: Duration,
}

/// For how long the details of one state are not worth another line.
const TELL_AGAIN: Duration = Duration::from_secs(2);

/// A service that did not come up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailedService {
    /// Its name.
    pub(crate) name: String,
    /// What happened.
    pub(crate) reason: String,
    /// Its last log lines.
    pub(crate) log_tail: Vec<String>,
    /// What to try next.
    pub(crate) hint: String,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// All is as desired.
    Settled {
        /// How long that took.
        took: Duration,
    },
    /// It is not.
    Failed {
        /// Why.
        reason: String,
    },
}

impl Progress {
    /// Takes in what happened. Answers the line that tells it where nothing can be redrawn; `None` for nothing new.
    pub(crate) fn step(&mut self, event: &Event, elapsed: Duration, style: Style) -> Option<String> {
        match event {
            Event::Service { service, state, detail } => self.changed(service, *state, detail, elapsed, style),
            Event::ServiceFailed { service, reason, log_tail, hint } => {
                let state = self.find(service).map_or(ServiceState::Down, |service| service.state);
                self.changed(service, state, reason, elapsed, style);
                if let Some(service) = self.services.iter_mut().find(|known| known.name == *service) {
                    service.failed = true;
                }
                self.failed.push(FailedService {
                    name: service.clone(),
                    reason: reason.clone(),
                    log_tail: log_tail.clone(),
                    hint: hint.clone(),
                });
                Some(line(service, Tone::Bad, "failed", reason, elapsed, style))
            }
            Event::Settled { took_ms } => {
                self.end = Some(End::Settled { took: Duration::from_millis(*took_ms) });
                None
            }
            Event::Failed { reason } => {
                self.end = Some(End::Failed { reason: reason.clone() });
                None
            }
        }
    }

    fn find(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    fn changed(
        &mut self,
        name: &str,
        state: ServiceState,
        detail: &str,
        elapsed: Duration,
        style: Style,
    ) -> Option<String> {
        let (word, beyond) = said(state, detail);
        let told = Told { word, at: elapsed };
        match self.services.iter_mut().find(|service| service.name == name) {
            Some(service) if service.state == state && service.detail == detail => return None,
            Some(service) => {
                service.state = state;
                detail.clone_into(&mut service.detail);
                service.failed = false;
                if service.told.word == word && elapsed.saturating_sub(service.told.at) < TELL_AGAIN {
                    return None;
                }
                service.told = told;
            }
            None => {
                let (name, detail) = (name.into(), detail.into());
                self.services.push(Service { name, state, detail, failed: false, told });
            }
        }
        Some(line(name, tone(state), word, beyond, elapsed, style))
    }

    /// How it ended, once it has.
    pub(crate) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// What did not come up and still is not up.
    pub(crate) fn failed(&self) -> Vec<&FailedService> {
        let still = |failed: &&FailedService| self.find(&failed.name).is_none_or(|now| now.state != ServiceState::Up);
        self.failed.iter().filter(still).collect()
    }

    /// The table for a terminal of this size, redrawn with every picture of the spinner.
    pub(crate) fn draw(
        &self,
        elapsed: Duration,
        style: Style,
        width: Option<usize>,
        height: Option<usize>,
    ) -> Vec<String> {
        let turn = elapsed.as_millis() / FRAME.as_millis() % (SPINNER.len() as u128);
        let spinner = SPINNER[usize::try_from(turn).unwrap_or(0)];
        let rows: Vec<Vec<Cell>> = self.shown(height).map(|service| service.row(spinner)).collect();
        let mut lines = table::lines(&COLUMNS, &rows, style, width);
        lines.remove(0);
        let hidden = self.services.len() - rows.len();
        if hidden > 0 {
            lines.push(style.paint(Tone::Faint, &format!("   and {hidden} more that are settled")));
        }
        if self.end.is_none() {
            lines.push(style.paint(Tone::Faint, &format!("{spinner}  {}", units::duration(elapsed))));
        }
        lines
    }

    /// The services that fit into the terminal: those still on their way first, in their order.
    fn shown(&self, height: Option<usize>) -> impl Iterator<Item = &Service> {
        /// The last line, the line of hidden ones, and the prompt.
        const OTHER_LINES: usize = 3;
        let room = height.map_or(usize::MAX, |height| height.saturating_sub(OTHER_LINES).max(1));
        let moving = self.services.iter().filter(|service| !service.settled()).count();
        let mut settled = room.saturating_sub(moving);
        let chosen = self.services.iter().filter(move |service| {
            if !service.settled() {
                return true;
            }
            let fits = settled > 0;
            settled = settled.saturating_sub(1);
            fits
        });
        chosen.take(room)
    }
}

impl Service {
    fn settled(&self) -> bool {
        matches!(said(self.state, &self.detail).0, "up" | "stopped") && !self.failed
    }

    fn row(&self, spinner: &str) -> Vec<Cell> {
        let (said_word, detail) = said(self.state, &self.detail);
        let (mark, mark_tone) = match self.state {
            _ if self.failed => ("✗", Tone::Bad),
            _ if said_word == STOPPING => (spinner, Tone::Care),
            ServiceState::Up => ("✓", Tone::Good),
            ServiceState::Starting | ServiceState::Degraded => (spinner, Tone::Care),
            ServiceState::Down | ServiceState::Blocked => ("✗", Tone::Bad),
            ServiceState::Stopped => ("✓", Tone::Faint),
        };
        let (word, word_tone) = if self.failed { ("failed", Tone::Bad) } else { (said_word, tone(self.state)) };
        vec![
            Cell::toned(mark_tone, mark),
            self.name.as_str().into(),
            Cell::toned(word_tone, word),
            Cell::toned(Tone::Faint, detail),
        ]
    }
}

fn line(service: &str, tone: Tone, word: &str, detail: &str, elapsed: Duration, style: Style) -> String {
    let elapsed = style.paint(Tone::Faint, &format!("{:>7}", units::duration(elapsed)));
    let state = style.paint(tone, word);
    if detail.is_empty() {
        format!("{elapsed}  {service}  {state}")
    } else {
        format!("{elapsed}  {service}  {state}: {detail}")
    }
}

/// The word for what is on its way to being stopped; the control plane tells it as a detail.
const STOPPING: &str = "stopping";

/// The word for a state with what there is to say beyond it.
fn said(state: ServiceState, detail: &str) -> (&'static str, &str) {
    match (state, detail) {
        (ServiceState::Stopped, STOPPING) => (STOPPING, ""),
        (state, detail) => {
            let word = word(state);
            let beyond = detail.strip_prefix(word).map_or(Some(detail), |rest| match rest {
                "" => Some(""),
                rest => rest.strip_prefix(": "),
            });
            (word, beyond.unwrap_or(detail))
        }
    }
}

/// The word for a state.
pub(crate) fn word(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Up => "up",
        ServiceState::Starting => "starting",
        ServiceState::Degraded => "degraded",
        ServiceState::Down => "down",
        ServiceState::Blocked => "blocked",
        ServiceState::Stopped => "stopped",
    }
}

/// What a state says.
pub(crate) fn tone(state: ServiceState) -> Tone {
    match state {
        ServiceState::Up => Tone::Good,
        ServiceState::Starting | ServiceState::Degraded => Tone::Care,
        ServiceState::Down | ServiceState::Blocked => Tone::Bad,
        ServiceState::Stopped => Tone::Faint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, state: ServiceState, detail: &str) -> Event {
        Event::Service { service: name.into(), state, detail: detail.into() }
    }

    fn story() -> Vec<Event> {
        vec![
            service("edge", ServiceState::Up, "ready after 0.1 s"),
            service("mana-core-auth", ServiceState::Starting, "migrating"),
            service("mana-core-auth", ServiceState::Starting, "migrating"),
            service("chat-backend", ServiceState::Starting, "waiting for mana-core-auth"),
            service("mana-core-auth", ServiceState::Up, "ready after 0.3 s"),
            Event::ServiceFailed {
                service: "chat-backend".into(),
                reason: "exit code 1 after 0.2 s".into(),
                log_tail: vec!["no such table: messages".into()],
                hint: "mana run chat-backend -- migrate".into(),
            },
        ]
    }

    fn told(events: &[Event]) -> (Progress, Vec<String>) {
        let mut progress = Progress::default();
        let mut lines = Vec::new();
        for (index, event) in events.iter().enumerate() {
            let elapsed = Duration::from_millis(100 * u64::try_from(index).expect("few events"));
            lines.extend(progress.step(event, elapsed, Style::PLAIN));
        }
        (progress, lines)
    }

    #[test]
    fn plain_lines_tell_each_change_once() {
        insta::assert_snapshot!(told(&story()).1.join("\n"));
    }

    #[test]
    fn the_table_shows_the_present_state() {
        let (progress, _) = told(&story());
        let draw = |width, height| progress.draw(Duration::from_millis(600), Style::PLAIN, width, height).join("\n");
        insta::assert_snapshot!(draw(None, None));
        insta::assert_snapshot!(draw(Some(40), Some(5)));
    }

    #[test]
    fn a_word_is_not_said_twice_and_stopping_is_not_stopped() {
        let events = [
            service("a", ServiceState::Starting, "starting: connection refused"),
            service("a", ServiceState::Stopped, "stopping"),
            service("a", ServiceState::Stopped, "stopped"),
        ];
        let (_, lines) = told(&events);
        assert_eq!(
            lines.join("\n"),
            "  0.0 s  a  starting: connection refused\n  0.1 s  a  stopping\n  0.2 s  a  stopped"
        );
        assert!(!told(&events[..2]).0.services[0].settled());
    }

    #[test]
    fn the_table_never_outgrows_the_terminal() {
        let mut events: Vec<Event> = (0..40).map(|n| service(&format!("up-{n}"), ServiceState::Up, "")).collect();
        events.push(service("late", ServiceState::Starting, "migrating"));
        let (progress, _) = told(&events);
        for height in 4..60 {
            let lines = progress.draw(Duration::ZERO, Style::PLAIN, Some(80), Some(height));
            assert!(lines.len() < height, "{height}: {lines:#?}");
            assert!(lines.iter().any(|line| line.contains("late")), "{height}: what is on its way is shown first");
        }
    }

    #[test]
    fn a_service_that_came_up_after_all_is_not_reported_as_failed() {
        let mut events = story();
        assert_eq!(told(&events).0.failed().len(), 1);
        events.push(service("chat-backend", ServiceState::Up, "ready after 2.0 s"));
        assert!(told(&events).0.failed().is_empty());
    }
}
