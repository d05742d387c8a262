//! A share of traffic under a lease and under judgement.
//!
//! A window is whole or it does not count: when its lease ran out, the edge was replaced or the control plane was away, it is
//! thrown away and a new one is opened with weights of their own generation, so that counts of the two never mix.

use std::time::Duration;

use super::look::out_of_time;
use super::{Canary, Effect, EffectKind, Held, LEASE, LOOK_EVERY, Phase, Point, Since, Stage, State};
use crate::gate::{Reading, Series, Verdict};

/// The lease is renewed three times in its length: two renewals may be lost.
pub const RENEW_EVERY: Duration = Duration::from_secs(20);
/// What was sent is in the edge's counts after this time.
pub(super) const COUNTED: Duration = Duration::from_secs(2);
/// So many windows of a step may break off, then a person has to look.
pub const LOST_WINDOWS: u8 = 3;

impl State {
    /// Sends green its share and opens a window as soon as the edge has acknowledged it.
    pub(super) fn open_canary(&mut self, step: usize, lost: u8) {
        let Some(share) = self.plan.canary.get(step).map(|step| step.share) else {
            return self.fail(format!("the plan has no canary step {}", step + 1), false);
        };
        self.forget_work();
        let now = self.clock.now();
        self.deadline = Some(now.after(self.longest(step)).after(self.plan.deadline(Stage::Canary)));
        self.phase = Phase::Canary(Canary { step, opened: None, lost, renew_at: now, look_at: now });
        self.weigh(share, Some(LEASE));
    }

    /// The window does not count: another one of the same step, unless that many broke off before.
    fn open_another(&mut self, canary: Canary, why: String) {
        if canary.lost < LOST_WINDOWS {
            self.open_canary(canary.step, canary.lost + 1);
        } else {
            self.hold_canary(canary.step, why, false);
        }
    }

    /// Longest time that the gate of that step may take for a verdict.
    fn longest(&self, step: usize) -> Duration {
        let window = self.plan.canary.get(step).map_or(Duration::ZERO, |step| step.window);
        self.plan.gate.longest.max(window)
    }

    fn canary(&mut self) -> Option<&mut Canary> {
        match &mut self.phase {
            Phase::Canary(canary) => Some(canary),
            _ => None,
        }
    }

    pub(super) fn canary_succeeded(&mut self, effect: EffectKind) {
        let now = self.clock.now();
        let Some(Canary { step, .. }) = self.canary().copied() else { return };
        if effect == EffectKind::EnsureWeights {
            self.deadline = Some(now.after(self.longest(step)).after(self.plan.deadline(Stage::Canary)));
            if let Some(canary) = self.canary() {
                canary.opened = Some(now);
                canary.renew_at = now.after(RENEW_EVERY);
                canary.look_at = now.after(LOOK_EVERY);
            }
        }
        if effect == EffectKind::SmokeTraffic {
            self.canary().into_iter().for_each(|canary| canary.look_at = now.after(COUNTED));
        }
    }

    pub(super) fn canary_failed(&mut self, canary: Canary, effect: EffectKind, reason: &str) {
        match effect {
            EffectKind::RenewLease => self.open_another(canary, format!("its lease ran out again: {reason}")),
            EffectKind::Measure => self.measured(None, Vec::new()),
            EffectKind::EnsureWeights => self.fail(format!("green did not get its share of traffic: {reason}"), false),
            _ => {}
        }
    }

    /// Renews the lease and looks, each when its time has come. What was asked before and not answered is asked anew.
    pub(super) fn canary_tick(&mut self) {
        let now = self.clock.now();
        let generation = self.traffic.generation;
        let Some(Canary { step, opened: Some(_), renew_at, look_at, .. }) = self.canary().copied() else { return };
        if renew_at <= now {
            self.forget(EffectKind::RenewLease);
            self.ensure(Effect::RenewLease { generation, lease: LEASE });
            self.canary().into_iter().for_each(|canary| canary.renew_at = now.after(RENEW_EVERY));
        }
        if look_at <= now {
            let window = self.plan.canary.get(step).map_or(Duration::ZERO, |step| step.window);
            self.forget(EffectKind::Measure);
            self.ensure(Effect::Measure { since: Since::Generation(generation), window });
            self.canary().into_iter().for_each(|canary| canary.look_at = now.after(LOOK_EVERY));
        }
    }

    /// A look was made; `None`: it could not be.
    pub(super) fn canary_measured(&mut self, canary: Canary, reading: Option<Reading>, series: Vec<Series>) {
        let Canary { step, opened: Some(opened), .. } = canary else { return };
        let Some(window) = self.plan.canary.get(step).map(|step| step.window) else { return };
        let reading = reading.map(|reading| self.in_own_time(opened, reading));
        let over = out_of_time(self.clock.now().since(opened), reading.as_ref(), self.longest(step));
        // A gap is not made good by waiting: the edge was replaced in this window, and nothing passes on it any more.
        let gap = reading.is_some_and(|reading| !reading.complete);
        let verdict = match reading {
            Some(reading) => self.judge(step, opened, Reading { window, ..reading }, series),
            None => Verdict::NoData,
        };
        let figures = || self.last_figures();
        match verdict {
            Verdict::Pass => self.advance(Point { stage: Stage::Canary, step }),
            Verdict::Fail => self.fail(format!("the gate failed: {}", figures()), true),
            Verdict::Environment => {
                let why = format!("blue is as bad as green, so it is not green's fault: {}", figures());
                self.hold_canary(step, why, true);
            }
            Verdict::NoData | Verdict::Inconclusive if gap => self.open_another(canary, self.what_is_missing()),
            Verdict::NoData if over => {
                self.hold_canary(step, self.what_is_missing(), reading.is_some());
            }
            Verdict::Inconclusive if over => {
                let why = format!("the figures allow no verdict: {}", figures());
                self.hold_canary(step, why, true);
            }
            Verdict::NoData | Verdict::Inconclusive => self.fill_up(window, reading.as_ref()),
        }
    }

    /// The window is over and too few requests came by themselves for a verdict: those that are missing, or as many again.
    pub(super) fn fill_up(&mut self, window: Duration, reading: Option<&Reading>) {
        let Some(reading) = reading.filter(|reading| self.plan.smoke_traffic && reading.elapsed >= window) else {
            return;
        };
        let least = self.plan.gate.least_requests;
        let missing = least.saturating_sub(reading.green.requests);
        let requests = if missing > 0 { missing } else { least };
        if requests > 0 && !self.waits_for_effect(EffectKind::SmokeTraffic) {
            self.ensure(Effect::SmokeTraffic { requests });
        }
    }

    /// Stops; tried again it opens a new window of the same step, promoted it goes on to the next.
    pub(super) fn hold_canary(&mut self, step: usize, why: String, by_gate: bool) {
        let at = Point { stage: Stage::Canary, step };
        self.hold(Held { at, next: self.point_after(at), why }, by_gate);
    }
}
