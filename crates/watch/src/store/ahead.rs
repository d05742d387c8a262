//! Long ranges are read in a thread of their own, a few series ahead of whoever works on them: taking samples out of blocks takes as long as
//! most of what is made of them.

use std::ops::ControlFlow;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;

use crate::series::{Each, Labels, Sample, SourceError};

/// Series that wait. Each holds its samples in memory.
const AHEAD: usize = 2;

/// Takes a series, and leaves other memory for the samples of the next one.
pub(super) type Take<'a> = dyn FnMut(Labels, &mut Vec<Sample>) -> ControlFlow<()> + 'a;

/// Lets `read` give its series to `each` from another thread; from this one where there is no other.
pub(super) fn ahead(
    read: impl Fn(&mut Take<'_>) -> Result<(), SourceError> + Sync,
    each: &mut Each<'_>,
) -> Result<(), SourceError> {
    let (give, given) = sync_channel::<(Labels, Vec<Sample>)>(AHEAD);
    let (give_back, given_back) = channel::<Vec<Sample>>();
    thread::scope(|scope| {
        let reading = thread::Builder::new().name("watch-read".into()).spawn_scoped(scope, || {
            let (give, given_back) = (give, given_back);
            read(&mut |labels, samples| {
                let samples = std::mem::replace(samples, given_back.try_recv().unwrap_or_default());
                // Nobody takes it: whoever asked has enough.
                give.send((labels, samples)).map_or(ControlFlow::Break(()), |()| ControlFlow::Continue(()))
            })
        });
        let Ok(reading) = reading else { return read(&mut |labels, samples| each(labels, samples)) };
        for (labels, samples) in given {
            if each(labels, &samples).is_break() {
                break;
            }
            // Whoever has read all needs no more memory.
            let _ = give_back.send(samples);
        }
        reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels of a series, and the times of its samples.
    fn numbered(number: i64) -> (Labels, [i64; 3]) {
        (Labels::new([("number", number.to_string())]), [number; 3])
    }

    /// Gives a hundred series, and then this.
    fn hundred(take: &mut Take<'_>, end: Result<(), SourceError>) -> Result<(), SourceError> {
        let mut samples = Vec::new();
        for number in 0..100 {
            let (labels, times) = numbered(number);
            samples.clear();
            samples.extend(times.map(|at| Sample { at, value: 0.0 }));
            if take(labels, &mut samples).is_break() {
                return Ok(());
            }
        }
        end
    }

    #[test]
    fn all_come_in_their_order_until_there_are_enough() {
        for (wanted, got) in [(1_000, 100), (7, 7)] {
            let mut found = Vec::new();
            let done = ahead(|take| hundred(take, Ok(())), &mut |labels, samples| {
                let times: Vec<i64> = samples.iter().map(|sample| sample.at).collect();
                found.push((labels, times.try_into().expect("three")));
                if found.len() < wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            assert!(done.is_ok());
            assert_eq!(found, (0..got).map(numbered).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_ends_reading_is_told_after_what_was_read() {
        let mut count = 0;
        let limit = || Err(SourceError::TooManySamples { limit: 7 });
        let done = ahead(|take| hundred(take, limit()), &mut |_, _| {
            count += 1;
            ControlFlow::Continue(())
        });
        assert!(matches!(done, Err(SourceError::TooManySamples { limit: 7 })), "{done:?}");
        assert_eq!(count, 100);
    }
}
