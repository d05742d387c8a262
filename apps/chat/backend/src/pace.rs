//! How often the streams of this process pass on what their models have written. A piece costs each program that it passes the
//! same, however short it is. So there is a bound on how many go out in a second, all streams together: few streams never meet it;
//! with many, each passes on after a pause what has come meanwhile, in one go. The first piece of a stream never waits, and no
//! piece is lost or becomes part of another one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What all streams together pass on in a second: about what two processors do beside everything else that an answer takes,
/// measured with `benches/ai/run.py`.
const A_SECOND: u32 = 15_000;

/// A shorter pause holds nothing together: models write a piece every ten milliseconds at most.
const SHORTEST: Duration = Duration::from_millis(8);

/// Longer ones would be seen.
const LONGEST: Duration = Duration::from_millis(100);

/// The streams that are under way.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    streams: AtomicUsize,
}

/// One of them, until dropped.
#[derive(Debug)]
pub(crate) struct Paced<'a>(&'a Pace);

impl Pace {
    /// One stream more.
    pub(crate) fn join(&self) -> Paced<'_> {
        self.streams.fetch_add(1, Ordering::Relaxed);
        Paced(self)
    }
}

impl Paced<'_> {
    /// How long to gather after something was passed on, if at all.
    pub(crate) fn pause(&self) -> Option<Duration> {
        pause(self.0.streams.load(Ordering::Relaxed))
    }
}

impl Drop for Paced<'_> {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

fn pause(streams: usize) -> Option<Duration> {
    let streams = u32::try_from(streams).unwrap_or(u32::MAX);
    let pause = (Duration::from_secs(1) / A_SECOND).saturating_mul(streams);
    (pause >= SHORTEST).then_some(pause.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_streams_never_pause_and_many_for_a_moment() {
        for (streams, millis) in
            [(0, None), (1, None), (100, None), (300, Some(20)), (1_000, Some(67)), (usize::MAX, Some(100))]
        {
            let told = pause(streams).map(|pause| (pause.as_secs_f64() * 1e3).round());
            assert_eq!(told, millis.map(f64::from), "{streams}");
        }
    }

    #[test]
    fn a_stream_that_has_ended_counts_no_more() {
        let pace = Pace::default();
        let streams: Vec<Paced<'_>> = (0..200).map(|_| pace.join()).collect();
        assert!(streams[0].pause().is_some());
        drop(streams);
        assert_eq!(pace.join().pause(), None);
    }
}
