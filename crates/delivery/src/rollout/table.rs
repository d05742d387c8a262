//! The transitions of a rollout as data: what the documentation shows is what the tests hold
//! [`State::step`](super::State::step) to, in both directions.

use super::{
    EffectKind::{
        self, AskApproval, Build, DeployStaging, EnsureMigrated, EnsureRunning, EnsureStopped, EnsureUnrouted,
        EnsureWeights, Measure, Notify, RenewLease, RetireRelease, RunCheck, Scan, Smoke, SmokeTraffic, Verify,
    },
    Stage::{
        self, Aborted, AwaitingApproval, Building, Canary, Checking, Clearing, CuttingOver, Decommissioning, Done,
        GreenStarting, Held, Migrating, Queued, Returning, Reviving, RolledBack, Scanning, Smoking, Staging, Stuck,
        Superseded, Verifying, Window,
    },
};

macro_rules! triggers {
    ($($on:ident = $name:literal,)+) => {
        /// What makes a rollout move.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "their names say it")]
        pub enum On { $($on,)+ }

        impl On {
            /// For people.
            pub fn name(self) -> &'static str {
                match self { $(Self::$on => $name,)+ }
            }
        }
    };
}

triggers! {
    Start = "its turn", Good = "good", Bad = "failed", Unknown = "unknown", Stale = "stale generation", Pass = "pass",
    Fail = "fail", NoVerdict = "no data, inconclusive", Environment = "environment", Tick = "time",
    Approve = "approve", Reject = "reject", Promote = "promote", Retry = "retry", Abort = "abort",
    Rollback = "rollback", Supersede = "supersede", Switch = "switch", Lost = "lost",
    Restarted = "restarted",
}

/// Where a transition leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// To the next stage that the plan has (of a canary: to its next step).
    Next,
    /// Nowhere; the row says what is asked for.
    Stay,
    /// To where it was stopped, or to the stage after it.
    There,
    /// On the way back, where that begins: [`back`].
    Back,
    /// To the end of the way back that was begun.
    End,
    /// To that one.
    Stage(Stage),
}

/// Transitions with the same outcome.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// In each of these,
    pub from: &'static [Stage],
    /// each of these
    pub on: &'static [On],
    /// leads to one of these.
    pub to: &'static [To],
    /// What is asked for beside what the stage that is entered asks for ([`entry`]).
    pub asks: &'static [EffectKind],
    /// Which of them, when.
    pub when: &'static str,
}

/// What a stage asks for when it is entered.
pub fn entry(stage: Stage) -> &'static [EffectKind] {
    match stage {
        Queued => &[],
        Checking => &[RunCheck],
        Building => &[Build],
        Scanning => &[Scan],
        Staging => &[DeployStaging],
        Smoking => &[Smoke],
        AwaitingApproval => &[AskApproval],
        Migrating => &[EnsureMigrated],
        GreenStarting => &[EnsureRunning],
        Verifying => &[Verify],
        Canary | CuttingOver => &[EnsureWeights],
        Window | Reviving => &[EnsureRunning, Notify],
        Decommissioning | Clearing => &[EnsureStopped],
        Returning => &[EnsureWeights, EnsureUnrouted],
        Held => &[EnsureWeights, Notify],
        Done | Stuck | Aborted | RolledBack | Superseded => &[Notify],
    }
}

/// Where the way back begins: at the end where nothing has started, at green's stop where no traffic has moved, else at blue.
pub fn back(from: Stage) -> &'static [Stage] {
    match from {
        Reviving | Returning | Clearing | Aborted | RolledBack | Superseded => &[],
        Migrating | GreenStarting | Verifying => &[Clearing],
        Canary | CuttingOver | Window => &[Returning, Reviving],
        Decommissioning | Done => &[Reviving],
        Held => &[Aborted, Superseded, Clearing, Returning, Reviving],
        Stuck => &[Clearing, Returning, Reviving],
        _ => &[Aborted, Superseded],
    }
}

use self::To::{Back, End, Next, Stay, There};

const BEFORE_GREEN: &[Stage] = &[Queued, Checking, Building, Scanning, Staging, Smoking, AwaitingApproval];
const WORKING: &[Stage] = &[Checking, Building, Scanning, Staging, Smoking, Migrating, GreenStarting, Verifying];
const IN_GREENS_SLOT: &[Stage] = &[Migrating, GreenStarting, Verifying];

const fn row(
    from: &'static [Stage],
    on: &'static [On],
    to: &'static [To],
    asks: &'static [EffectKind],
    when: &'static str,
) -> Row {
    Row { from, on, to, asks, when }
}

/// Every transition there is.
pub const TABLE: &[Row] = &[
    row(&[Queued], &[On::Start], &[Next, To::Stage(Held)], &[Notify], "held: told to pause there"),
    row(WORKING, &[On::Good], &[Next, To::Stage(Held)], &[], "all that was asked for holds; held: told to pause there"),
    row(&[AwaitingApproval], &[On::Approve], &[Next, To::Stage(Held)], &[], "by an approver, for this digest"),
    row(WORKING, &[On::Bad, On::Unknown, On::Tick], &[Back], &[], "unknown: five times; time: its deadline"),
    row(&[Scanning, Staging, Smoking, GreenStarting, Verifying], &[On::Good], &[Back], &[], "it was another digest"),
    row(&[AwaitingApproval], &[On::Reject, On::Tick], &[Back], &[], "time: nobody approved it"),
    row(
        &[GreenStarting, Verifying],
        &[On::Lost, On::Restarted],
        &[Back],
        &[],
        "green was ready and is not; verifying: or blue",
    ),
    row(BEFORE_GREEN, &[On::Abort, On::Rollback, On::Supersede], &[Back], &[], "always"),
    row(IN_GREENS_SLOT, &[On::Abort, On::Rollback, On::Supersede], &[Back], &[], "always"),
    row(&[Canary], &[On::Tick], &[Stay], &[RenewLease, Measure], "each when it is due"),
    row(&[Canary], &[On::Pass], &[Next, To::Stage(Held)], &[], "held: told to pause there"),
    row(&[Canary], &[On::Fail], &[Back], &[], "at once"),
    row(
        &[Canary],
        &[On::NoVerdict, On::Environment],
        &[To::Stage(Held)],
        &[],
        "no verdict: at the longest window, or the edge was replaced for the fourth time",
    ),
    row(&[Canary], &[On::NoVerdict], &[Stay], &[EnsureWeights], "the edge was replaced: a new window"),
    row(&[Canary], &[On::NoVerdict], &[Stay], &[SmokeTraffic], "no data though the window is over, where configured"),
    row(&[Canary], &[On::Unknown, On::Tick], &[To::Stage(Held)], &[], "nothing could be measured"),
    row(
        &[Canary],
        &[On::Bad, On::Unknown, On::Stale, On::Restarted],
        &[Stay],
        &[EnsureWeights],
        "the lease was lost: a new window",
    ),
    row(&[Canary], &[On::Bad, On::Stale], &[To::Stage(Held)], &[], "the lease ran out for the fourth time"),
    row(&[Canary, CuttingOver], &[On::Bad, On::Unknown, On::Stale], &[Back], &[], "no weights for green"),
    row(&[Canary, CuttingOver], &[On::Lost, On::Restarted], &[Back], &[], "green or blue was lost"),
    row(&[Canary, CuttingOver, Window], &[On::Abort, On::Rollback], &[Back], &[], "always"),
    row(&[Canary, CuttingOver], &[On::Supersede], &[Back], &[], "always"),
    row(&[Window], &[On::Supersede], &[Next, Back], &[], "next: green has everything, and nothing was said against it"),
    row(&[CuttingOver], &[On::Tick], &[Back], &[], "its deadline"),
    row(&[CuttingOver], &[On::Good], &[Next], &[], "window: starts blue where it is not warm"),
    row(&[Held], &[On::Promote, On::Retry], &[There], &[], "retry: the same again; promote: on"),
    row(&[Held], &[On::Promote], &[Stay], &[Notify], "told to pause before the next stage as well"),
    row(&[Held], &[On::Tick, On::Abort, On::Rollback, On::Supersede], &[Back], &[], "time: nobody decided"),
    row(
        &[Held],
        &[On::Lost, On::Bad, On::Unknown, On::Stale, On::Restarted],
        &[Back],
        &[],
        "green was lost; no weights for blue",
    ),
    row(&[Held], &[On::Restarted], &[Stay], &[EnsureWeights], "the edge may serve something else"),
    row(&[Window], &[On::NoVerdict], &[Stay], &[SmokeTraffic], "no data though a guard is over, where configured"),
    row(&[Window], &[On::Tick], &[Stay], &[Measure, Notify], "a look is due; a person is asked"),
    row(&[Window], &[On::Pass, On::Promote], &[Next], &[], "pass: its time is over; promote: asked"),
    row(&[Window], &[On::Tick], &[Next], &[], "its time is over, and requests are not counted by slot"),
    row(&[Window], &[On::Switch], &[Stay], &[EnsureWeights], "the slot is ready"),
    row(&[Window], &[On::Fail], &[Back, Stay], &[Notify], "stay: a breach asks"),
    row(&[Window], &[On::Lost], &[Back, Stay], &[EnsureRunning, Notify], "back: what serves; stay: blue, warm"),
    row(
        &[Window],
        &[On::Bad, On::Unknown, On::Stale],
        &[Back, Stay],
        &[Notify],
        "back: the switch; stay: blue is not warm",
    ),
    row(&[Window], &[On::Good], &[Stay], &[Notify], "blue is another digest"),
    row(&[Window], &[On::Tick], &[Back], &[], "blue served at its end; a switch was not answered; nobody decided"),
    row(
        &[Window],
        &[On::Restarted],
        &[Back, Stay],
        &[EnsureWeights, EnsureRunning, Notify],
        "what was lost or is astray",
    ),
    row(&[Decommissioning], &[On::Good], &[Stay, Next], &[RetireRelease], "stopped; retired"),
    row(&[Decommissioning], &[On::Bad, On::Unknown, On::Tick], &[To::Stage(Stuck), Next], &[], "next: not retired"),
    row(&[Decommissioning], &[On::Abort, On::Rollback], &[Back], &[], "always"),
    row(&[Decommissioning, Stuck], &[On::Restarted], &[To::Stage(CuttingOver)], &[], "the edge serves blue again"),
    row(&[Done], &[On::Rollback], &[Back], &[], "there is a version before"),
    row(
        &[Reviving],
        &[On::Good, On::Bad, On::Unknown],
        &[Stay],
        &[EnsureRunning, Notify],
        "it does not answer: once more",
    ),
    row(&[Reviving], &[On::Good], &[Stay, To::Stage(Returning)], &[Verify], "it runs; it answers"),
    row(
        &[Reviving],
        &[On::Good, On::Bad, On::Unknown, On::Tick],
        &[To::Stage(Stuck), To::Stage(Done)],
        &[],
        "done: the rollback was wanted after the end; good: it was another digest",
    ),
    row(&[Returning], &[On::Good], &[To::Stage(Clearing)], &[], "the edge has acknowledged it"),
    row(
        &[Returning],
        &[On::Bad, On::Unknown, On::Stale],
        &[To::Stage(Reviving), To::Stage(Stuck)],
        &[],
        "stuck: for the fourth time",
    ),
    row(&[Returning], &[On::Lost, On::Restarted], &[To::Stage(Reviving)], &[], "blue was lost"),
    row(&[Returning], &[On::Tick], &[To::Stage(Stuck)], &[], "its deadline"),
    row(&[Clearing], &[On::Restarted], &[To::Stage(Returning)], &[], "the edge serves green again"),
    row(&[Clearing], &[On::Good], &[End], &[], "it is stopped"),
    row(
        &[Clearing],
        &[On::Bad, On::Unknown, On::Tick],
        &[To::Stage(Stuck)],
        &[],
        "unknown: five times; time: its deadline",
    ),
    row(
        &[Stuck],
        &[On::Retry],
        &[There, Back],
        &[RetireRelease],
        "there: decommissioning; else the way back from its beginning",
    ),
    row(&[Stuck], &[On::Abort, On::Rollback, On::Supersede], &[Back], &[], "always"),
    row(
        &[Stuck],
        &[On::Promote],
        &[To::Stage(CuttingOver), To::Stage(Done), End],
        &[],
        "instead of reviving; decommissioning; clearing",
    ),
    row(&[Aborted, RolledBack], &[On::Retry], &[Next, To::Stage(Held)], &[], "a new attempt from the first stage"),
];

impl To {
    /// The stages that it can mean there.
    pub fn targets(self, from: Stage) -> Vec<Stage> {
        match self {
            Self::Stay => vec![from],
            Self::Back => back(from).to_vec(),
            Self::End => vec![Aborted, RolledBack, Superseded],
            Self::Stage(stage) => vec![stage],
            Self::There if from == Stuck => vec![Decommissioning],
            Self::There => Stage::ALL.iter().copied().filter(|stage| stage.can_pause()).collect(),
            Self::Next => next(from),
        }
    }
}

/// Those which a plan can make the next one: as far as the first that every plan has.
fn next(from: Stage) -> Vec<Stage> {
    let start = if from.is_final() { Queued } else { from };
    let mut next = if from == Canary { vec![Canary] } else { Vec::new() };
    for stage in Stage::ALL.iter().copied().filter(|stage| *stage > start && *stage <= Done) {
        next.push(stage);
        if matches!(stage, GreenStarting | Verifying | CuttingOver | Done) {
            break;
        }
    }
    next
}
