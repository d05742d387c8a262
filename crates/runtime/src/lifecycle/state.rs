//! The states of an instance's life, and what can happen in it.

use std::fmt;
use std::time::Duration;

/// A moment, as the time since a fixed but arbitrary origin. Every event brings its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub Duration);

impl Time {
    /// The moment `wait` later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }

    /// Time that passed since `earlier`.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// What differs from service to service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Longest time from the start to the first `ready` answer.
    pub start_timeout: Duration,
    /// Longest time from the stop signal to the kill.
    pub stop_timeout: Duration,
}

/// Where an instance is in its life. Every phase but [`Phase::Stopped`] waits for an event or has a time at which
/// something happens by itself (see [`crate::lifecycle::State::timer`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Not allowed to start yet; waits for [`What::Go`].
    Waiting,
    /// Its one-off migration runs, until `deadline`.
    Migrating {
        /// When the migration is killed.
        deadline: Time,
    },
    /// Its process was asked for or runs, and has not answered `ready` yet.
    Starting {
        /// When it is given up.
        deadline: Time,
    },
    /// Takes traffic.
    Ready {
        /// Since when, without a break.
        since: Time,
        /// Failed `ready` probes in a row.
        failures: u32,
    },
    /// Was ready, runs, and takes no traffic.
    Unready {
        /// Since when.
        since: Time,
        /// Failed `live` probes in a row.
        live_failures: u32,
    },
    /// Ended; the next start is at `until`.
    Backoff {
        /// When.
        until: Time,
    },
    /// Asked to end.
    Stopping {
        /// When the next kill is sent.
        kill_at: Time,
        /// What comes after the end.
        then: Then,
    },
    /// Ended on purpose, for good.
    Stopped,
    /// Cannot be started before a person does something; looked at again at `recheck`.
    Blocked {
        /// When.
        recheck: Time,
    },
}

impl Phase {
    /// The word for it that people and programs read.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Migrating { .. } => "migrating",
            Self::Starting { .. } => "starting",
            Self::Ready { .. } => "ready",
            Self::Unready { .. } => "unready",
            Self::Backoff { .. } => "backoff",
            Self::Stopping { .. } => "stopping",
            Self::Stopped => "stopped",
            Self::Blocked { .. } => "blocked",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// What follows the end of a stopping process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Stop,
    /// A new start, after the wait of a crash: the process was stopped because it did not do its work.
    Restart,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When.
    pub at: Time,
    /// Chance, in 0.0..=1.0; used where a wait is chosen.
    pub jitter: f64,
    /// What.
    pub what: What,
}

/// See [`Event`]. Where a `run` is given and is not the present one, the event is late and changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// What it needs is up: it may start, after its migration where `migrate`.
    Go {
        /// Whether the database has to be brought up to date first.
        migrate: bool,
    },
    /// The process of this run runs.
    Spawned {
        /// Which run.
        run: u64,
    },
    /// The process of this run could not be started, but might be later.
    NotSpawned {
        /// Which run.
        run: u64,
        /// Why.
        reason: String,
    },
    /// The process of this run was not started, and a person has to do something.
    Refused {
        /// Which run.
        run: u64,
        /// What is missing.
        reason: String,
    },
    /// The process of this run ended.
    Exited {
        /// Which run.
        run: u64,
        /// Whether as a program that has done its work.
        success: bool,
        /// How, in words.
        reason: String,
    },
    /// A probe came back.
    Probed {
        /// Which run was asked.
        run: u64,
        /// What `ready` said.
        ready: Answer,
        /// What `live` said, where it was asked.
        live: Option<Answer>,
    },
    /// The time of [`crate::lifecycle::State::timer`] has come.
    Tick,
    /// It should end, for good.
    Stop,
    /// It does not do its work (too much memory, say) and should be replaced by a new process.
    Fail {
        /// Which run.
        run: u64,
        /// Why.
        reason: String,
    },
    /// What blocked it may be gone: look now.
    Recheck,
}

/// What a probe said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is well.
    Up,
    /// It is not, and why.
    Down(String),
    /// The probe could not be made, and why. Never counts as up; takes nobody down either, since it tells nothing.
    Unknown(String),
}

/// What has to be done. Each is answered by an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Run the migration; answered like a start.
    Migrate {
        /// Number of this run; the answers carry it.
        run: u64,
    },
    /// Start the process; answered by [`What::Spawned`], [`What::NotSpawned`] or [`What::Refused`], then
    /// [`What::Exited`].
    Start {
        /// Number of this run; the answers carry it.
        run: u64,
    },
    /// Ask the process to end.
    Terminate,
    /// Kill the process and all it started.
    Kill,
}
