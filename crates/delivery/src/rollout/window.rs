//! The time after the cutover: green serves, blue is kept ready to take everything back with one change of weights.
//!
//! The gate judges windows of [`Warm::guard`](super::Warm::guard), one after the other. It ends with
//! the first pass after its time is over, or when a newer rollout takes its place; without a pass a person is asked, and blue stays. Where requests are not counted by slot there is no gate:
//! a green that is lost goes back all the same. A person who does not answer for as long as a rollout may be held leaves it to blue.

use std::time::Duration;

use super::canary::COUNTED;
use super::look::out_of_time;
use super::{
    Effect, EffectKind, Elapsed, Headline, LOOK_EVERY, LOOK_EVERY_ASKED, OnBreach, Percent, Phase, Since, Slot, Stage,
    State, Window,
};
use crate::gate::{Reading, Series, Verdict};

impl State {
    pub(super) fn open_window(&mut self) {
        let (now, warm) = (self.clock.now(), self.plan.warm);
        self.deadline = None;
        self.phase = Phase::Window(Window {
            live: Slot::Green,
            until: now.after(warm.window),
            guard_from: self.counts_from(),
            look_at: now.after(LOOK_EVERY),
            asked: false,
            answer_by: None,
        });
        if !self.blue_ready {
            self.warm_up("blue was not ready when green took over");
        }
    }

    pub(super) fn window(&mut self) -> Option<&mut Window> {
        match &mut self.phase {
            Phase::Window(window) => Some(window),
            _ => None,
        }
    }

    /// Green has everything, as the edge has acknowledged, and nobody was asked about it.
    pub(super) fn serves_well(&self) -> bool {
        let acknowledged =
            self.traffic.acknowledged == Some(Percent::ALL) && !self.waits_for_effect(EffectKind::EnsureWeights);
        let quiet = matches!(self.phase, Phase::Window(Window { live: Slot::Green, asked: false, .. }));
        acknowledged && quiet && self.green_ready
    }

    /// Starts blue again beside the green that serves.
    pub(super) fn warm_up(&mut self, why: &str) {
        if let Some(release) = self.blue.clone()
            && !self.waits_for_effect(EffectKind::EnsureRunning)
        {
            self.ensure(Effect::EnsureRunning { slot: Slot::Blue, release });
            self.tell(Headline::Reviving, Some(why.to_owned()), false);
        }
    }

    /// One slot gets everything, both stay. A new window opens for what serves then.
    pub(super) fn switch(&mut self, live: Slot) {
        let (now, length) = (self.clock.now(), self.plan.warm.window);
        self.forget(EffectKind::Measure);
        self.deadline = Some(now.after(self.plan.deadline(Stage::CuttingOver)));
        if let Some(window) = self.window() {
            let until = now.after(length);
            *window = Window { live, until, guard_from: None, asked: false, answer_by: None, ..*window };
        }
        self.weigh(if live == Slot::Green { Percent::ALL } else { Percent::NONE }, None);
    }

    /// After a restart: what happened in the meantime was not judged. `astray`: the edge may serve something else.
    pub(super) fn watch_anew(&mut self, astray: bool) {
        self.forget(EffectKind::Measure);
        let Some(Window { live, guard_from, .. }) = self.window().copied() else { return };
        if astray {
            self.deadline = Some(self.clock.now().after(self.plan.deadline(Stage::CuttingOver)));
            self.weigh(if live == Slot::Green { Percent::ALL } else { Percent::NONE }, None);
            self.window().into_iter().for_each(|window| {
                window.guard_from = None;
            });
        } else if guard_from.is_some() {
            self.begin_guard();
        }
    }

    pub(super) fn window_succeeded(&mut self, effect: &Effect) {
        match effect {
            Effect::EnsureWeights { .. } => {
                self.deadline = None;
                self.begin_guard();
            }
            Effect::EnsureRunning { .. } => self.blue_ready = true,
            Effect::SmokeTraffic { .. } => {
                let at = self.clock.now().after(COUNTED);
                self.window().into_iter().for_each(|window| window.look_at = at);
            }
            _ => {}
        }
    }

    pub(super) fn window_failed(&mut self, window: Window, effect: &Effect, reason: &str) {
        match effect {
            Effect::EnsureWeights { .. } => {
                self.blue_ready &= window.live == Slot::Green;
                self.fail(format!("the switch to {} did not succeed: {reason}", window.live), false);
            }
            Effect::EnsureRunning { .. } => self.tell(Headline::NotWarm, Some(reason.to_owned()), false),
            Effect::Measure { .. } => self.measured(None, Vec::new()),
            _ => {}
        }
    }

    fn begin_guard(&mut self) {
        let (now, from) = (self.clock.now(), self.counts_from());
        if let Some(window) = self.window() {
            window.guard_from = from;
            window.look_at = now.after(look_every(window));
        }
    }

    fn counts_from(&self) -> Option<Elapsed> {
        (!self.plan.uncounted).then(|| self.clock.now())
    }

    pub(super) fn window_tick(&mut self) {
        let (now, guard) = (self.clock.now(), self.plan.warm.guard);
        let Some(Window { live, until, guard_from, look_at, answer_by, .. }) = self.window().copied() else { return };
        if answer_by.is_some_and(|by| by <= now) {
            let limit = self.plan.deadline(Stage::Held).as_secs();
            return self.fail(format!("nobody decided within {limit} s whether it may stay"), false);
        }
        if let Some(from) = guard_from
            && live == Slot::Green
            && look_at <= now
        {
            self.forget(EffectKind::Measure);
            self.ensure(Effect::Measure { since: Since::Last(now.since(from)), window: guard });
            self.window().into_iter().for_each(|window| window.look_at = now.after(look_every(window)));
        }
        if until <= now {
            self.window_over();
        }
    }

    /// When a person is asked because green has not been shown healthy.
    pub(super) fn asks_at(&self, window: &Window) -> Option<Elapsed> {
        let waits = window.live == Slot::Green && !window.asked;
        waits.then(|| window.until.after(self.plan.deadline(Stage::Window)))
    }

    fn window_over(&mut self) {
        let now = self.clock.now();
        let Some(window) = self.window().copied().filter(|window| window.until <= now) else { return };
        if window.live == Slot::Blue {
            self.fail("blue served when the window ended".to_owned(), false);
        } else if self.plan.uncounted {
            self.advance(Stage::Window);
        } else if self.asks_at(&window).is_some_and(|at| at <= now) {
            self.ask("its time is over and no window has passed the gate since".to_owned(), false);
        }
    }

    fn ask(&mut self, why: String, by_gate: bool) {
        let by = self.clock.now().after(self.plan.deadline(Stage::Held));
        let Some(window) = self.window().filter(|window| !window.asked) else { return };
        window.asked = true;
        window.answer_by = Some(by);
        self.tell(Headline::Asking, Some(why), by_gate);
    }

    /// A look was made; `None`: it could not be.
    pub(super) fn window_measured(&mut self, window: Window, reading: Option<Reading>, series: Vec<Series>) {
        let guard = self.plan.warm.guard;
        let Window { live: Slot::Green, guard_from: Some(from), .. } = window else { return };
        let reading = reading.map(|reading| self.in_own_time(from, reading));
        let longest = self.plan.gate.longest.max(guard);
        let over = out_of_time(self.clock.now().since(from), reading.as_ref(), longest);
        // A gap is not made good by waiting: nothing passes on this guard any more.
        let gap = reading.is_some_and(|reading| !reading.complete && reading.elapsed >= guard);
        let verdict = match reading {
            Some(reading) => self.judge(0, from, Reading { window: guard, ..reading }, series),
            None => Verdict::NoData,
        };
        match verdict {
            Verdict::Fail => self.breach(),
            Verdict::Pass if window.until <= self.clock.now() => return self.advance(Stage::Window),
            Verdict::Pass => self.begin_guard(),
            _ if over || gap => self.begin_guard(),
            Verdict::NoData | Verdict::Inconclusive => self.fill_up(guard, reading.as_ref()),
            Verdict::Environment => {}
        }
        self.window_over();
    }

    fn breach(&mut self) {
        let why = format!("the gate failed after the cutover: {}", self.last_figures());
        match self.plan.warm.on_breach {
            OnBreach::SwitchBack => self.fail(why, true),
            OnBreach::Ask => {
                self.ask(why, true);
                self.begin_guard();
            }
        }
    }
}

fn look_every(window: &Window) -> Duration {
    if window.asked { LOOK_EVERY_ASKED } else { LOOK_EVERY }
}
