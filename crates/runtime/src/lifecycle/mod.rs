//! The life of one instance as a pure reducer: [`State::step`] takes an event and says what has to be done.
//!
//! ```text
//!  waiting ──go──▶ migrating ──done──▶ starting ──ready──▶ ready ◀──▶ unready
//!     ▲               │ failed            │ ended/late       │ ended     │ too long, or not live
//!     │               ▼                   ▼                  ▼           ▼
//!  (blocked ◀─refused─┴──────────────── backoff ◀────────────┴──────── stopping ──▶ stopped
//! ```
//!
//! Invariants (property tests below):
//! - At most one process runs or is being started at any time.
//! - Whatever is not `stopped` has a timer or waits for an event that will come.
//! - Nothing is started after a stop.
//! - Only a probe that answers `up` makes ready (or the word of the edge, on adoption).
//! - A late event of an earlier run changes nothing.
//!
//! To add a phase: a variant in [`Phase`], its timer in [`State::timer`], its rows in [`State::step`], and the model in
//! the property test must still hold.

mod backoff;
mod state;

use std::time::Duration;

pub use backoff::{BACKOFF_BASE, BACKOFF_CAP, HEALTHY_PERIOD, backoff};
pub use state::{Answer, Effect, Event, Phase, Policy, Then, Time, What};

/// So many failed `ready` probes in a row take a ready instance out of traffic: one alone may be an accident.
pub const READY_FAILURES: u32 = 3;
/// So many failed `live` probes in a row get an unready instance replaced.
pub const LIVE_FAILURES: u32 = 5;
/// An instance that is live but not ready for so long is replaced: what it waits for should be back, so it hangs.
pub const UNREADY_LIMIT: Duration = Duration::from_mins(2);
/// Longest time a migration may take before it is killed. Larger ones are run by hand (`mana run SERVICE -- migrate`).
pub const MIGRATE_TIMEOUT: Duration = Duration::from_mins(10);
/// How often a blocked instance looks whether what was missing is there now. Looking starts nothing.
pub const BLOCKED_RECHECK: Duration = Duration::from_secs(5);
/// A kill that did not end the process (it hangs in the kernel) is repeated after this.
pub const KILL_AGAIN: Duration = Duration::from_secs(5);

/// Everything that is known about the life of one instance.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each named where it is used")]
pub struct State {
    policy: Policy,
    phase: Phase,
    /// Number of the present or last run; 0 before the first.
    run: u64,
    /// What of that run exists now.
    process: Process,
    /// The migration must run before the next start.
    migrate: bool,
    /// The one that runs was begun by somebody else: how it ends nobody will know.
    unobserved: bool,
    /// Ends in a row that were not wanted.
    crashes: u32,
    /// The last of them was one that another try seldom changes: a failed migration, a start that took too long.
    stubborn: bool,
    /// Starts after the first.
    restarts: u32,
    started_before: bool,
    reason: Option<String>,
    last_exit: Option<String>,
}

/// What of a run exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    None,
    /// Asked for; the answer is on its way.
    Asked,
    Running,
}

impl State {
    /// An instance that has never run and waits for what it needs.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            phase: Phase::Waiting,
            run: 0,
            process: Process::None,
            migrate: false,
            unobserved: false,
            crashes: 0,
            stubborn: false,
            restarts: 0,
            started_before: false,
            reason: None,
            last_exit: None,
        }
    }

    /// The same with a past: so many starts before, and how the last of them ended.
    #[must_use]
    pub fn with_past(mut self, restarts: u32, last_exit: Option<String>) -> Self {
        self.started_before = true;
        self.restarts = restarts;
        self.last_exit = last_exit;
        self
    }

    /// An instance that takes the place of one that did not do its work: it starts after the wait of a crash.
    pub fn replacing(policy: Policy, failed: &Self, reason: String, at: Time, jitter: f64) -> Self {
        let healthy = matches!(failed.phase, Phase::Ready { since, .. } if at.since(since) >= HEALTHY_PERIOD);
        let mut state = Self::new(policy).with_past(failed.restarts, Some(reason.clone()));
        state.crashes = if healthy { 0 } else { failed.crashes };
        state.back_off(reason, at, jitter);
        state
    }

    /// A migration that was found running. Its exit status will not be known, so it is run once more when it ends.
    pub fn adopted_migrating(policy: Policy, at: Time) -> Self {
        Self {
            phase: Phase::Migrating { deadline: at.after(MIGRATE_TIMEOUT) },
            run: 1,
            process: Process::Running,
            migrate: true,
            unobserved: true,
            ..Self::new(policy)
        }
    }

    /// An instance that was found running. `ready`: the edge sends it traffic, so it keeps that until a probe says
    /// otherwise.
    pub fn adopted(policy: Policy, restarts: u32, last_exit: Option<String>, ready: bool, at: Time) -> Self {
        let phase = if ready {
            Phase::Ready { since: at, failures: 0 }
        } else {
            Phase::Starting { deadline: at.after(policy.start_timeout) }
        };
        Self {
            phase,
            run: 1,
            process: Process::Running,
            started_before: true,
            restarts,
            last_exit,
            ..Self::new(policy)
        }
    }

    /// Other bounds from now on; those that run already stay.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Where it is in its life.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Number of the present or last run.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Whether it may take traffic.
    pub fn ready(&self) -> bool {
        matches!(self.phase, Phase::Ready { .. })
    }

    /// Whether a process exists, or one has been asked for.
    pub fn has_process(&self) -> bool {
        self.process != Process::None
    }

    /// Whether it was told to stop for good (and may have done so already).
    pub fn stopping_for_good(&self) -> bool {
        matches!(self.phase, Phase::Stopped | Phase::Stopping { then: Then::Stop, .. })
    }

    /// Whether its process is being ended since it did not do its work.
    pub fn stopping_to_restart(&self) -> bool {
        matches!(self.phase, Phase::Stopping { then: Then::Restart, .. })
    }

    /// Why it is in this phase, where there is something to say.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// How the last run ended.
    pub fn last_exit(&self) -> Option<&str> {
        self.last_exit.as_deref()
    }

    /// Starts after the first.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Unwanted ends in a row, since it was last healthy for [`HEALTHY_PERIOD`].
    pub fn crashes(&self) -> u32 {
        self.crashes
    }

    /// Whether trying again has not helped so far, so that a person should look. It is tried on for ever all the same.
    pub fn failing(&self) -> bool {
        !self.ready() && (self.crashes >= 2 || (self.crashes >= 1 && self.stubborn))
    }

    /// When [`What::Tick`] is due. `None`: it waits for an event alone.
    pub fn timer(&self) -> Option<Time> {
        match self.phase {
            Phase::Migrating { deadline } | Phase::Starting { deadline } => Some(deadline),
            Phase::Unready { since, .. } => Some(since.after(UNREADY_LIMIT)),
            Phase::Backoff { until } => Some(until),
            Phase::Stopping { kill_at, .. } => Some(kill_at),
            Phase::Blocked { recheck } => Some(recheck),
            Phase::Waiting | Phase::Ready { .. } | Phase::Stopped => None,
        }
    }

    /// What is wanted next, given what happened.
    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        let Event { at, jitter, what } = event;
        match what {
            What::Go { migrate } => self.go(at, migrate),
            What::Spawned { run } => self.spawned(run),
            What::NotSpawned { run, reason } => self.not_spawned(run, reason, at, jitter),
            What::Refused { run, reason } => self.refused(run, reason, at),
            What::Exited { run, success, reason } => self.exited(run, success, reason, at, jitter),
            What::Probed { run, ready, live } => self.probed(run, ready, live.as_ref(), at),
            What::Tick => self.tick(at),
            What::Stop => self.stop(at),
            What::Fail { run, reason } => self.fail(run, reason, at),
            What::Recheck => match self.phase {
                Phase::Blocked { .. } => self.start(at),
                _ => Vec::new(),
            },
        }
    }

    fn go(&mut self, at: Time, migrate: bool) -> Vec<Effect> {
        if self.phase != Phase::Waiting {
            return Vec::new();
        }
        self.migrate = migrate;
        self.start(at)
    }

    /// Asks for the next process: the migration where one is due, else the instance itself.
    fn start(&mut self, at: Time) -> Vec<Effect> {
        debug_assert_eq!(self.process, Process::None, "a second process for one instance");
        self.run += 1;
        self.process = Process::Asked;
        if self.migrate {
            self.phase = Phase::Migrating { deadline: at.after(MIGRATE_TIMEOUT) };
            return vec![Effect::Migrate { run: self.run }];
        }
        self.phase = Phase::Starting { deadline: at.after(self.policy.start_timeout) };
        vec![Effect::Start { run: self.run }]
    }

    fn spawned(&mut self, run: u64) -> Vec<Effect> {
        if run != self.run || self.process != Process::Asked {
            return Vec::new();
        }
        self.process = Process::Running;
        match self.phase {
            // It was told to stop while it was being started.
            Phase::Stopping { .. } => return vec![Effect::Terminate],
            Phase::Starting { .. } => {
                self.restarts += u32::from(self.started_before);
                self.started_before = true;
                self.reason = None;
            }
            _ => self.reason = None,
        }
        Vec::new()
    }

    fn not_spawned(&mut self, run: u64, reason: String, at: Time, jitter: f64) -> Vec<Effect> {
        if run != self.run || self.process != Process::Asked {
            return Vec::new();
        }
        self.process = Process::None;
        match self.phase {
            Phase::Stopping { then: Then::Stop, .. } => self.phase = Phase::Stopped,
            _ => self.back_off(reason, at, jitter),
        }
        Vec::new()
    }

    fn refused(&mut self, run: u64, reason: String, at: Time) -> Vec<Effect> {
        if run != self.run || self.process != Process::Asked {
            return Vec::new();
        }
        self.process = Process::None;
        if matches!(self.phase, Phase::Stopping { then: Then::Stop, .. }) {
            self.phase = Phase::Stopped;
        } else {
            self.phase = Phase::Blocked { recheck: at.after(BLOCKED_RECHECK) };
            self.reason = Some(reason);
        }
        Vec::new()
    }

    fn exited(&mut self, run: u64, success: bool, reason: String, at: Time, jitter: f64) -> Vec<Effect> {
        if run != self.run || self.process == Process::None {
            return Vec::new();
        }
        self.process = Process::None;
        let unobserved = std::mem::take(&mut self.unobserved);
        match self.phase {
            // That says nothing against it.
            Phase::Migrating { .. } if unobserved => return self.start(at),
            Phase::Migrating { .. } if success => {
                self.migrate = false;
                return self.start(at);
            }
            Phase::Migrating { .. } => {
                self.stubborn = true;
                self.back_off(format!("its migration failed: {reason}"), at, jitter);
            }
            Phase::Stopping { then: Then::Stop, .. } => {
                self.last_exit = Some(reason);
                self.phase = Phase::Stopped;
                self.reason = None;
            }
            Phase::Stopping { then: Then::Restart, .. } => {
                let why = self.reason.take().unwrap_or_default();
                self.last_exit = Some(format!("{reason}, stopped because {why}"));
                self.back_off(why, at, jitter);
            }
            Phase::Ready { since, .. } => {
                if at.since(since) >= HEALTHY_PERIOD {
                    self.crashes = 0;
                }
                self.last_exit = Some(reason.clone());
                self.back_off(format!("ended with {reason}"), at, jitter);
            }
            _ => {
                self.last_exit = Some(reason.clone());
                self.back_off(format!("ended with {reason}"), at, jitter);
            }
        }
        Vec::new()
    }

    fn back_off(&mut self, reason: String, at: Time, jitter: f64) {
        self.crashes = self.crashes.saturating_add(1);
        self.phase = Phase::Backoff { until: at.after(backoff(self.crashes, jitter)) };
        self.reason = Some(reason);
    }

    fn probed(&mut self, run: u64, ready: Answer, live: Option<&Answer>, at: Time) -> Vec<Effect> {
        if run != self.run || self.process != Process::Running {
            return Vec::new();
        }
        match (&mut self.phase, ready) {
            (Phase::Starting { .. } | Phase::Unready { .. }, Answer::Up) => {
                self.phase = Phase::Ready { since: at, failures: 0 };
                self.reason = None;
                self.stubborn = false;
            }
            (Phase::Starting { .. }, Answer::Down(why) | Answer::Unknown(why)) => self.reason = Some(why),
            (Phase::Ready { failures, .. }, Answer::Up) => {
                *failures = 0;
                self.reason = None;
            }
            (Phase::Ready { .. }, Answer::Unknown(why)) => self.reason = Some(format!("probe not made: {why}")),
            (Phase::Ready { failures, .. }, Answer::Down(why)) => {
                *failures += 1;
                let out = *failures >= READY_FAILURES;
                self.reason = Some(why);
                if out {
                    self.phase = Phase::Unready { since: at, live_failures: 0 };
                }
            }
            (Phase::Unready { live_failures, .. }, Answer::Down(why) | Answer::Unknown(why)) => {
                match live {
                    Some(Answer::Up) => *live_failures = 0,
                    Some(Answer::Down(_)) => *live_failures += 1,
                    Some(Answer::Unknown(_)) | None => {}
                }
                let dead = *live_failures >= LIVE_FAILURES;
                self.reason = Some(why);
                if dead {
                    return self.fail(run, format!("it did not answer {LIVE_FAILURES} live probes in a row"), at);
                }
            }
            _ => {}
        }
        Vec::new()
    }

    fn tick(&mut self, at: Time) -> Vec<Effect> {
        if self.timer().is_none_or(|due| at < due) {
            return Vec::new();
        }
        match self.phase {
            Phase::Migrating { .. } => {
                let limit = MIGRATE_TIMEOUT.as_secs();
                self.stubborn = true;
                self.give_up(at, format!("its migration did not end within {limit} s"))
            }
            Phase::Starting { .. } => {
                let limit = self.policy.start_timeout.as_secs_f64();
                let last = self.reason.take().map(|why| format!(" (last answer: {why})")).unwrap_or_default();
                self.stubborn = true;
                self.give_up(at, format!("it was not ready within {limit} s{last}"))
            }
            Phase::Unready { .. } => {
                self.fail(self.run, format!("it was not ready for {} s", UNREADY_LIMIT.as_secs()), at)
            }
            Phase::Backoff { .. } | Phase::Blocked { .. } => self.start(at),
            Phase::Stopping { then, .. } => {
                self.phase = Phase::Stopping { kill_at: at.after(KILL_AGAIN), then };
                vec![Effect::Kill]
            }
            Phase::Waiting | Phase::Ready { .. } | Phase::Stopped => Vec::new(),
        }
    }

    fn fail(&mut self, run: u64, reason: String, at: Time) -> Vec<Effect> {
        let works = matches!(self.phase, Phase::Starting { .. } | Phase::Ready { .. } | Phase::Unready { .. });
        if run != self.run || self.process != Process::Running || !works {
            return Vec::new();
        }
        if let Phase::Ready { since, .. } = self.phase
            && at.since(since) >= HEALTHY_PERIOD
        {
            self.crashes = 0;
        }
        self.give_up(at, reason)
    }

    /// Ends the present process; a new one follows.
    fn give_up(&mut self, at: Time, reason: String) -> Vec<Effect> {
        self.reason = Some(reason);
        self.end_process(at, Then::Restart)
    }

    fn stop(&mut self, at: Time) -> Vec<Effect> {
        match self.phase {
            Phase::Stopped | Phase::Stopping { then: Then::Stop, .. } => Vec::new(),
            Phase::Stopping { kill_at, then: Then::Restart } => {
                self.phase = Phase::Stopping { kill_at, then: Then::Stop };
                Vec::new()
            }
            _ if self.process == Process::None => {
                self.phase = Phase::Stopped;
                self.reason = None;
                Vec::new()
            }
            _ => {
                self.reason = None;
                self.end_process(at, Then::Stop)
            }
        }
    }

    fn end_process(&mut self, at: Time, then: Then) -> Vec<Effect> {
        self.phase = Phase::Stopping { kill_at: at.after(self.policy.stop_timeout), then };
        match self.process {
            Process::Running => vec![Effect::Terminate],
            // Asked: the answer comes, and then it is terminated.
            Process::Asked | Process::None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
