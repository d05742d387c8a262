//! What follows a call that failed before anything of its answer was passed on: the same again, another model, or the error.
//! Pure; chance comes in as an argument.

use std::time::Duration;

use crate::Error;

/// The first pause is at most this; each further one at most twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// No pause is longer, and a provider that wants a longer one is not asked again.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask the same again after a pause.
    Again(Duration),
    /// Ask the next of the chain.
    Further,
    /// Tell the caller.
    GiveUp,
}

/// Decides. `tries` counts the calls to this model so far, `further` says whether the chain goes on, `left` is what is left
/// of the time for the call as a whole, `chance` is from 0 to 1.
pub(super) fn next(error: &Error, tries: u32, retries: u32, further: bool, left: Duration, chance: f64) -> Next {
    let give_up = if further && !error.is_ours_alone() && !left.is_zero() { Next::Further } else { Next::GiveUp };
    if !error.is_passing() || tries > retries {
        return give_up;
    }
    let most = FIRST_PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(MAX_PAUSE);
    let wanted = error.retry_after().unwrap_or_default();
    // Half is certain, half is chance: what failed together does not come back together.
    let pause = (most / 2 + (most / 2).mul_f64(chance.clamp(0.0, 1.0))).max(wanted);
    if wanted > MAX_PAUSE || pause >= left { give_up } else { Next::Again(pause) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Phase;

    const LEFT: Duration = Duration::from_secs(100);

    fn failed() -> Error {
        Error::Failed { provider: "p".into(), status: 500, message: "m".into() }
    }

    fn limited(seconds: u64) -> Error {
        let retry_after = Some(Duration::from_secs(seconds));
        Error::RateLimited { provider: "p".into(), retry_after, message: "m".into(), code: None }
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_will_not_goes_further_or_back() {
        let refused = |status| Error::Refused { provider: "p".into(), status, message: "m".into(), code: None };
        let late = |phase| Error::TimedOut { provider: "p".into(), phase, limit: LEFT };
        let again = |ms| Next::Again(Duration::from_millis(ms));
        for (error, tries, further, left, want) in [
            (failed(), 1, true, LEFT, again(125)),
            (failed(), 2, true, LEFT, again(250)),
            (failed(), 3, true, LEFT, Next::Further),
            (failed(), 3, false, LEFT, Next::GiveUp),
            (failed(), 1, false, Duration::from_millis(100), Next::GiveUp),
            (limited(1), 1, true, LEFT, again(1000)),
            (limited(30), 1, true, LEFT, Next::Further),
            (limited(30), 1, false, LEFT, Next::GiveUp),
            (refused(400), 1, true, LEFT, Next::GiveUp),
            (refused(401), 1, true, LEFT, Next::Further),
            (late(Phase::FirstByte), 1, false, LEFT, again(125)),
            (late(Phase::Total), 1, false, LEFT, Next::GiveUp),
        ] {
            assert_eq!(next(&error, tries, 2, further, left, 0.0), want, "{error} {tries}");
        }
        assert_eq!(next(&failed(), 1, 2, true, LEFT, 1.0), again(250), "chance makes it longer");
    }
}
