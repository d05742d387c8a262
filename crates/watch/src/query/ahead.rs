//! Reads the next series while the one before is worked on: by another thread, where there is enough of both to be worth one.

use std::ops::ControlFlow;
use std::sync::mpsc;
use std::thread;

use crate::series::{Each, Keep, Labels, Matcher, Sample, Source, SourceError};

/// Series that are read and not worked on yet; each takes the memory of its samples.
const AHEAD: usize = 2;
/// Steps from which on a query has enough to do with each series: below, a thread costs more than it saves.
const MIN_STEPS: usize = 1_000;

/// What to read; see [`Source::each`].
pub(super) struct Wanted<'a> {
    pub(super) matchers: &'a [Matcher],
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) beat: i64,
    pub(super) keep: Keep,
}

/// As [`Source::each`], for a query of so many steps.
pub(super) fn each(
    source: &dyn Source,
    wanted: &Wanted<'_>,
    steps: usize,
    each: &mut Each<'_>,
) -> Result<(), SourceError> {
    let Wanted { matchers, from, to, beat, keep } = *wanted;
    if steps < MIN_STEPS {
        return source.each(matchers, from, to, beat, keep, each);
    }
    thread::scope(|scope| {
        let (read, series) = mpsc::sync_channel::<(Labels, Vec<Sample>)>(AHEAD);
        let (used, again) = mpsc::channel::<Vec<Sample>>();
        let reader = thread::Builder::new().name("series".to_owned()).spawn_scoped(scope, move || {
            source.each(matchers, from, to, beat, keep, &mut |labels, samples| {
                let mut own = again.try_recv().unwrap_or_default();
                own.clear();
                own.extend_from_slice(samples);
                // Nobody takes any more: what was read is enough.
                if read.send((labels, own)).is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
        });
        // A system that has no thread to give has us read by ourselves.
        let Ok(reader) = reader else { return source.each(matchers, from, to, beat, keep, each) };
        for (labels, samples) in series {
            if each(labels, &samples).is_break() {
                break;
            }
            // The reader may be done.
            let _ = used.send(samples);
        }
        reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Memory, Series};

    fn source(series: u32) -> Memory {
        let one = |number: u32| Series {
            labels: Labels::new([("__name__", "x"), ("number", &format!("{number:03}"))]),
            samples: (0..100).map(|at| Sample { at, value: f64::from(number) }).collect(),
        };
        Memory((0..series).map(one).collect())
    }

    fn given(source: &Memory, steps: usize, until: usize) -> Vec<(Labels, Vec<(i64, f64)>)> {
        let wanted = Wanted { matchers: &[], from: 10, to: 90, beat: 1, keep: Keep::Last };
        let mut all = Vec::new();
        each(source, &wanted, steps, &mut |labels, samples| {
            all.push((labels, samples.iter().map(|sample| (sample.at, sample.value)).collect()));
            if all.len() == until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        all
    }

    #[test]
    fn what_is_read_ahead_is_what_is_read_and_whoever_has_enough_gets_no_more() {
        let fifty = source(50);
        for until in [1, 3, 50, 1_000] {
            let (here, ahead) = (given(&fifty, 1, until), given(&fifty, MIN_STEPS, until));
            assert_eq!(here.len(), until.min(50));
            assert_eq!(here, ahead);
        }
        assert_eq!(given(&source(0), MIN_STEPS, 1), Vec::new());
    }

    #[test]
    #[should_panic(expected = "enough")]
    fn a_panic_of_whoever_works_on_it_ends_the_reader_too() {
        let wanted = Wanted { matchers: &[], from: 0, to: 100, beat: 1, keep: Keep::Last };
        let _ = each(&source(50), &wanted, MIN_STEPS, &mut |_, _| panic!("enough"));
    }
}
