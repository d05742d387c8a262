//! How often the streams of this process pass on what their models have written. A piece costs each program that it passes the
//! same, however short it is. So there is a bound on how many go out in a second, all streams together: few streams never meet it;
//! with many, each passes on after a pause what has come meanwhile, in one go. The first piece of a stream never waits, and no
//! piece is lost or becomes part of another one.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use ai::{Delta, Deltas};
use futures_util::{FutureExt, StreamExt};

/// What all streams together pass on in a second: chosen so that two processors have time left for everything else that an
/// answer takes. `benches/ai/run.py` measures streams with it; other values were not compared.
const A_SECOND: u32 = 10_000;

/// Models write a piece every twenty milliseconds or so: a shorter pause holds nothing together.
const SHORTEST: Duration = Duration::from_millis(20);

/// Longer ones would be seen.
const LONGEST: Duration = Duration::from_millis(100);

/// Pieces that go together at most: what is on its way to a client.
const MOST: usize = 32;

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

/// All that has come meanwhile. Whoever reads the connection hands over one piece at a time, so it gets its turn after each.
pub(crate) async fn gather(deltas: &mut Deltas) -> VecDeque<Result<Delta, ai::Error>> {
    let mut pieces = VecDeque::new();
    while pieces.len() < MOST {
        let next = match deltas.next().now_or_never() {
            None => {
                others_first().await;
                deltas.next().now_or_never()
            }
            next => next,
        };
        let Some(Some(piece)) = next else { break };
        let is_last = !matches!(piece, Ok(Delta::Content(_) | Delta::Choices(_)));
        pieces.push_back(piece);
        if is_last {
            break;
        }
    }
    pieces
}

/// Lets whoever is ready go first. Unlike `yield_now` it does not wait until there is nobody.
async fn others_first() {
    let mut waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use ai::{Ending, Finish};
    use futures_util::stream;

    use super::*;

    #[test]
    fn few_streams_never_pause_and_many_for_a_moment() {
        for (streams, millis) in [
            (0, None),
            (1, None),
            (199, None),
            (200, Some(20)),
            (700, Some(70)),
            (1_000, Some(100)),
            (usize::MAX, Some(100)),
        ] {
            let told = pause(streams).map(|pause| (pause.as_secs_f64() * 1e3).round());
            assert_eq!(told, millis.map(f64::from), "{streams}");
        }
    }

    #[tokio::test]
    async fn what_is_there_is_gathered_up_to_the_end_and_nothing_is_waited_for() {
        let text = |n: usize| Ok(Delta::Content(n.to_string()));
        let end = || Ok(Delta::End(Ending { finish: Finish::Stop, usage: None }));
        let silent = || stream::pending::<Result<Delta, ai::Error>>();
        let mut some: Deltas = stream::iter((0..3).map(text)).chain(silent()).boxed();
        assert_eq!(gather(&mut some).await.len(), 3);
        assert_eq!(gather(&mut some).await.len(), 0);
        let mut ended: Deltas = stream::iter([text(0), end(), text(1)]).boxed();
        assert_eq!(gather(&mut ended).await.into_iter().collect::<Result<Vec<_>, _>>().unwrap().len(), 2);
        let mut many: Deltas = stream::iter((0..100).map(text)).boxed();
        assert_eq!(gather(&mut many).await.len(), MOST);
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
