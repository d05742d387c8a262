//! Whether a canary may go on: the edge's counts of a window go in, a verdict with its figures comes out. Pure, and without a memory:
//! everything follows from the counts since the window opened, so a restart changes nothing and the order of looks does not matter.
//!
//! # Rules
//! For the errors and for the slow answers alike, in this order; the first that applies decides.
//!
//! | verdict | where |
//! |---|---|
//! | `no data` | a limit is not a share from 0 to 1; counts contradict themselves (more errors than requests) |
//! | `fail` at once | the lower bound at 99.9 % (Clopper–Pearson) is over the limit: 4 of 20, 5 of 50, 6 of 100, 11 of 300 at 1 %. Fewer than 100 requests or a gap do not protect from it: the errors that were seen did happen |
//! | `fail` at once | 200 to 1 for "worse than blue" (odds, see `evidence.rs`), with at least three hits, without a gap |
//! | `no data` | a gap, or fewer than 100 requests (or timed ones, where there is a limit for slow) |
//! | inconclusive | the window is not over |
//! | `fail` at the end | the limit is reached with at least three hits, and Fisher's exact test (p < 0.3 %) says that it is not blue's share and chance; at the end of the longest window, whatever it says |
//! | inconclusive | the limit is reached all the same |
//! | inconclusive | `strict`, and the upper bound at 95 % is not below the limit (299 requests with no error, 473 with one, 628 with two at 1 %) |
//! | inconclusive | not shown to be good: the odds for "below the limit" or those for "not twice blue" have to be 20 to 1 |
//! | `pass` | else, for errors and slow answers |
//!
//! A `fail` of the first and third kind is `environment` instead where blue reaches the limit with three hits as well and Fisher does not
//! say that green is worse: 6 of 100 against 45 of 900. It is `fail` where blue is bad and green is worse.
//!
//! **Shown to be good** is what keeps a green that has twice blue's errors from passing because "0.95 %" is below "1 %". It needs
//! traffic. Where a green at its limit would come to 45 hits by the end of the longest window (at 1 %: 4,500 requests), 20 to 1 is
//! asked for; with less traffic less, in proportion of the logarithm, down to 1 to 2: else every canary of a small service would be held.
//!
//! **Slow** is judged like errors, with two differences, because a fresh process has cold caches and no pooled connections: twice blue's
//! share is tolerated, and below a fifth of the limit (1 % of the answers) slow ones are not held against blue at all. A green that is
//! much slower than blue fails even where it keeps its absolute limit: 3 % slow against 0.5 %.
//!
//! **Limits at the ends**: 1 switches the absolute limit off (only blue is compared with; no timed request is needed); 0 fails with the
//! first hit and passes without any (`strict` cannot prove 0, and holds). **No blue**, or one without requests: only the absolute rules.
//!
//! **Limits of one's own** ([`SeriesLimit`], [`judge_all`]) hold beside all this: a value over its limit at any look is `fail`, unless the
//! requests say `environment`; one that is not there, whatever the reason, is `no data`, and nothing passes without it.
//!
//! # Why these
//! - A share below 1 % says little: of a build that truly fails 2 %, 100 requests show less than 1 % in 13 % of cases. So bounds, exact
//!   ones (Clopper & Pearson 1934), as bells are wrong at a handful of errors.
//! - A gate is looked at again and again; a test made for one look then errs many times as often as it says. The bound at once
//!   is strict enough for it (a green that is truly at 1 % is stopped by it in 0.3 % of windows with 20 looks at 300 requests, in 0.7 %
//!   with 60 at 3,000; at 95 % it would be 12 and 19 %), and everything else that can be decided early are odds with a mean of 1 (Ville 1939, Wald 1945), which allow any number
//!   of looks: a green like blue is stopped by them in at most one window of 200 for each figure.
//! - Against blue and not only absolute, as a limit that suits every service is too lax for most. Odds for "twice" rather than a test for
//!   "more": of millions of requests a tenth more errors is significant, and no reason to stop.
//! - "The limit is reached with three errors" stops a good green of a service at 0.5 % in 19 % of windows with 300 requests. Where
//!   chance explains it from blue's share, it is given the extension.
//!
//! # How often it is wrong
//! Simulated (`cargo run -p mana-delivery --release --example canaries` prints all of it; the tests hold the goals at 50 requests/s).
//! 10 % for 10 min, extended to 30 min, looked at every 10 s, 2,000 canaries each. *Held* is neither passed nor stopped: green goes
//! back to 0 % and a person decides.
//!
//! | requests/s in all (green in 10 min) | good, 0.2 % as blue: stopped / held | good, 0.5 % as blue: stopped / held | 1 %, blue 0.5 %: passed / held | 2 %, blue 0.5 %: passed | 5 %, blue 0.5 %: passed |
//! |---:|---:|---:|---:|---:|---:|
//! | 1 (60) | 0.2 / 1.4 % | 4.5 / 4.6 % | 71 / 10 % | 38 % | 3.5 % |
//! | 2 (120) | 0.2 / 0.5 % | 3.6 / 1.2 % | 76 / 1 % | 36 % | 1.2 % |
//! | 5 (300) | 0.5 / 0.1 % | 1.9 / 3.7 % | 54 / 11 % | 7.0 % | 0 |
//! | 10 (600) | 0.1 / 0 % | 0.8 / 5.9 % | 29 / 21 % | 0.4 % | 0 |
//! | 20 (1,200) | 0.2 / 0 % | 0.8 / 7.0 % | 7.8 / 22 % | 0 | 0 |
//! | 30 (1,800) | 0.1 / 0 % | 0.6 / 2.9 % | 3.5 / 13 % | 0 | 0 |
//! | **50 (3,000)** | **0.1 / 0 %** | **0.3 / 0.1 %** | **2.0 / 2.8 %** | **0** | **0** |
//! | 100 (6,000) | 0 / 0 % | 0.3 / 0 % | 1.2 / 0 % | 0 | 0 |
//!
//! So the goal (of good ones under 1 % stopped, of those with twice blue's 0.5 % under 5 % passed) takes **1,800 requests of green in the
//! window, 30 per second in all at 10 %**; from 3,000 (50 per second) good ones are hardly ever held either. With 5 per second a gate
//! finds 2 % and more, not 1 %: a longer window, a larger share for green or smoke traffic helps, nothing else does. A second more on every
//! answer is found within half a minute of the first that is timed, even at one request per second.
//!
//! # What it cannot see
//! Errors that come in bursts, or one client that tries again and again, are taken for as many independent ones: both kinds of
//! wrong verdict become more frequent than the table says. The share of traffic must not change within a window (open a new one).
//!
//! # To add a figure
//! Count its hits and their total in [`Counts`], and describe it as one more `Figure` in `judge.rs`; each brings its own half per
//! cent of false stops.

mod beta;
mod bounds;
mod evidence;
mod figure;
mod fisher;
mod hits;
mod judge;
mod policy;
mod reading;
mod series;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use judge::{Finding, Judgement, Verdict, judge, judge_all};
pub use policy::Policy;
pub use reading::{Counts, Reading};
pub use series::{Series, SeriesLimit};
