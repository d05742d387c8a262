//! Answers that are being written. Each is written by a task of its own, whoever reads along: who loses the connection, or loads the
//! page again, finds it by its key and reads on. What ends one early is its reader's wish ([`Writings::stop`]), or that nobody has
//! read along for [`LEFT_ALONE`].
//!
//! They are known to the instance that writes them. Another one asks chat-backend with the same key, and is given the answer when it
//! is whole; so no answer is written or charged twice, wherever its reader comes back. A stop that reaches another one is passed on
//! ([`super::stops`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kit::Credits;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::limits::{LEFT_ALONE, MAX_WRITINGS, WRITING_KEPT};
use crate::words::{self, Words};

/// Whose answer, and to which of their questions: a browser's session, and the key that its page gave the question.
pub(crate) type Who = (String, String);

/// All that this instance writes, and for a while has written.
#[derive(Default)]
pub(crate) struct Writings {
    all: Mutex<HashMap<Who, Arc<Writing>>>,
    /// How many have not ended.
    under_way: watch::Sender<usize>,
}

/// An answer.
pub(crate) struct Writing {
    /// The conversation it is in; `None` for one that was stopped before it began.
    pub(super) conversation: Option<Uuid>,
    progress: watch::Sender<Progress>,
    stop: CancellationToken,
}

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) text: String,
    pub(super) end: Option<End>,
}

/// How it ended.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// It is whole, kept and paid for.
    Done {
        /// What is left.
        credits: Credits,
        /// Who answered.
        model: String,
    },
    /// It is not.
    Failed {
        /// What to tell about it.
        words: Words,
        /// Whether its conversation is still there.
        kept: bool,
    },
}

/// What a look for an answer gives.
pub(super) enum Begun {
    /// It is to be written, with this.
    Mine(Pen, Arc<Writing>),
    /// It is written already.
    Known(Arc<Writing>),
}

impl Writings {
    /// The answer of that key, if this instance writes it or has just done so.
    pub(super) fn find(&self, who: &Who) -> Option<Arc<Writing>> {
        self.all().get(who).cloned()
    }

    /// Begins one, unless it has been begun.
    pub(super) fn begin(self: &Arc<Self>, who: Who, conversation: Uuid) -> Begun {
        let mut all = self.all();
        if let Some(known) = all.get(&who) {
            return Begun::Known(known.clone());
        }
        let writing = Arc::new(Writing::new(Some(conversation)));
        all.insert(who.clone(), writing.clone());
        self.under_way.send_modify(|count| *count += 1);
        Begun::Mine(Pen { writing: writing.clone(), all: self.clone(), who }, writing)
    }

    /// Ends one. One that is not known yet is still on its way here, and will not begin; or another instance writes it. Gives whether the
    /// others are to be told.
    pub(super) fn stop(self: &Arc<Self>, who: &Who) -> bool {
        let mut all = self.all();
        if let Some(writing) = all.get(who) {
            writing.stop.cancel();
            return false;
        }
        if all.len() >= MAX_WRITINGS {
            return false;
        }
        let writing = Arc::new(Writing::new(None));
        writing.end(End::stopped(false));
        all.insert(who.clone(), writing.clone());
        tokio::spawn(self.clone().forget_later(who.clone(), writing));
        true
    }

    /// Ends those that are meant.
    pub(super) fn stop_those(&self, is_meant: impl Fn(&Who) -> bool) {
        for (who, writing) in &*self.all() {
            if is_meant(who) {
                writing.stop.cancel();
            }
        }
    }

    /// How many are being written, as that changes.
    pub(super) fn under_way(&self) -> watch::Receiver<usize> {
        self.under_way.subscribe()
    }

    async fn forget_later(self: Arc<Self>, who: Who, writing: Arc<Writing>) {
        tokio::time::sleep(WRITING_KEPT).await;
        self.forget(&who, &writing);
    }

    /// Forgets it, and not another one that has taken its place since.
    fn forget(&self, who: &Who, writing: &Arc<Writing>) {
        let mut all = self.all();
        if all.get(who).is_some_and(|known| Arc::ptr_eq(known, writing)) {
            all.remove(who);
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Who, Arc<Writing>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing {
    fn new(conversation: Option<Uuid>) -> Self {
        Self { conversation, progress: watch::Sender::default(), stop: CancellationToken::new() }
    }

    /// Reads along.
    pub(super) fn read(&self) -> watch::Receiver<Progress> {
        let mut progress = self.progress.subscribe();
        progress.mark_changed();
        progress
    }

    fn end(&self, end: End) {
        self.progress.send_modify(|progress| {
            progress.end.get_or_insert(end);
        });
    }
}

impl End {
    pub(super) fn stopped(kept: bool) -> Self {
        Self::Failed { words: words::stopped(), kept }
    }
}

/// What an answer is written with. Dropped without an end (which only a panic does), it says so.
pub(super) struct Pen {
    writing: Arc<Writing>,
    all: Arc<Writings>,
    who: Who,
}

impl Pen {
    pub(super) fn write(&self, piece: &str) {
        self.writing.progress.send_modify(|progress| progress.text.push_str(piece));
    }

    /// Whether anything was said.
    pub(super) fn has_begun(&self) -> bool {
        !self.writing.progress.borrow().text.is_empty()
    }

    pub(super) fn end(self, end: End) {
        self.writing.end(end);
    }

    /// Ends it, and leaves it to chat-backend to know more when it is asked for again.
    pub(super) fn lose(self, end: End) {
        self.writing.end(end);
        self.all.forget(&self.who, &self.writing);
    }

    /// Resolves when it is to end early.
    pub(super) async fn to_end_early(&self) {
        tokio::select! {
            () = self.writing.stop.cancelled() => {}
            () = self.left_alone() => metrics::counter!("answers_left_alone_total").increment(1),
        }
    }

    async fn left_alone(&self) {
        loop {
            self.writing.progress.closed().await;
            let came_back = async {
                while self.writing.progress.is_closed() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            };
            if tokio::time::timeout(LEFT_ALONE, came_back).await.is_err() {
                return;
            }
        }
    }
}

/// How often it is looked whether somebody reads along again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Drop for Pen {
    fn drop(&mut self) {
        self.writing.end(End::Failed { words: words::broken_off(), kept: true });
        self.all.under_way.send_modify(|count| *count -= 1);
        tokio::spawn(self.all.clone().forget_later(self.who.clone(), self.writing.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who() -> Who {
        ("browser".into(), "key".into())
    }

    fn begun(writings: &Arc<Writings>) -> (Pen, Arc<Writing>) {
        match writings.begin(who(), Uuid::nil()) {
            Begun::Mine(pen, writing) => (pen, writing),
            Begun::Known(_) => panic!("it is known"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_key_is_the_same_answer_for_a_while() {
        let writings = Arc::<Writings>::default();
        let (pen, writing) = begun(&writings);
        let again = writings.find(&who()).unwrap();
        assert!(Arc::ptr_eq(&writing, &again));
        assert!(matches!(writings.begin(who(), Uuid::nil()), Begun::Known(_)));
        assert!(writings.find(&("other".into(), "key".into())).is_none(), "another browser's key is another key");
        pen.write("one ");
        pen.write("two");
        let mut reading = again.read();
        assert!(reading.has_changed().unwrap(), "who comes late reads from the beginning");
        assert_eq!(reading.borrow_and_update().text, "one two");
        pen.end(End::Done { credits: Credits::ZERO, model: "m".into() });
        assert!(matches!(reading.borrow_and_update().end, Some(End::Done { .. })));
        tokio::time::sleep(WRITING_KEPT + LOOK_EVERY).await;
        assert!(writings.find(&who()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_early_when_its_reader_wishes_or_nobody_comes_back() {
        let writings = Arc::<Writings>::default();
        let (pen, writing) = begun(&writings);
        let reading = writing.read();
        let ends = |within: Duration| tokio::time::timeout(within, pen.to_end_early());
        assert!(ends(LEFT_ALONE * 3).await.is_err(), "somebody reads along");
        drop(reading);
        assert!(ends(LEFT_ALONE / 2).await.is_err());
        let reading = writing.read();
        assert!(ends(LEFT_ALONE * 3).await.is_err(), "somebody came back");
        drop(reading);
        assert!(ends(LEFT_ALONE * 2).await.is_ok());
        assert!(!writings.stop(&who()), "it is written here");
        assert!(ends(Duration::from_millis(1)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_from_another_instance_ends_what_is_meant_and_nothing_else() {
        let writings = Arc::<Writings>::default();
        let under_way = writings.under_way();
        assert_eq!(*under_way.borrow(), 0);
        let (pen, writing) = begun(&writings);
        let _reading = writing.read();
        assert_eq!(*under_way.borrow(), 1);
        let ends = || tokio::time::timeout(LEFT_ALONE, pen.to_end_early());
        writings.stop_those(|who| who.1 == "another key");
        assert!(ends().await.is_err());
        writings.stop_those(|meant| *meant == who());
        assert!(ends().await.is_ok());
        pen.end(End::stopped(true));
        assert_eq!(*under_way.borrow(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_stopped_on_its_way_here_does_not_begin() {
        let writings = Arc::<Writings>::default();
        assert!(writings.stop(&who()), "another instance may write it");
        assert!(!writings.stop(&who()), "once is enough");
        let Begun::Known(writing) = writings.begin(who(), Uuid::nil()) else { panic!("it was stopped") };
        assert!(matches!(writing.read().borrow().end, Some(End::Failed { kept: false, .. })));
        tokio::time::sleep(WRITING_KEPT + LOOK_EVERY).await;
        assert!(matches!(writings.begin(who(), Uuid::nil()), Begun::Mine(..)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_lost_is_begun_anew() {
        let writings = Arc::<Writings>::default();
        let (pen, _) = begun(&writings);
        pen.lose(End::stopped(true));
        let (pen, writing) = begun(&writings);
        tokio::time::sleep(WRITING_KEPT + LOOK_EVERY).await;
        assert!(Arc::ptr_eq(&writings.find(&who()).unwrap(), &writing), "the first one's time is not the second one's");
        drop(pen);
    }

    #[tokio::test]
    async fn a_writer_that_dies_says_so() {
        let writings = Arc::<Writings>::default();
        let (pen, writing) = begun(&writings);
        drop(pen);
        assert!(
            matches!(&writing.read().borrow().end, Some(End::Failed { words, kept: true }) if words.code == "broken_off")
        );
    }
}
