//! Reserves that the ledger is asked for together, and what it says about them as it comes: an object on a line of its own for each word.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use kit::{Outage, ProblemBody};
use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, Response};
use serde::Deserialize;

use crate::ledger::{LedgerError, ManyAnswer, OneOutcome, ReserveAnswer, Reserved, reason, refused, send};

/// Asks for words as they come.
pub(crate) const LINES: &str = "application/x-ndjson";

/// Longest line: a problem with all that it can say.
const MAX_LINE: usize = 64 * 1024;

/// What the ledger says about one of the reserves.
#[derive(Debug)]
pub(crate) enum Word {
    /// It is decided, and not durable yet.
    Admitted(Reserved),
    /// What came of it: the last word about it.
    Outcome(Result<Reserved, LedgerError>),
}

/// See the module's page.
pub(crate) struct Holding {
    answer: Option<Response>,
    /// What is not a whole line yet.
    rest: Vec<u8>,
    said: VecDeque<(usize, Word)>,
    /// Of each reserve, whether its outcome is still to come.
    open: Vec<bool>,
    outage: Arc<Outage>,
    began: Instant,
}

/// A line.
#[derive(Deserialize)]
struct Line {
    call: usize,
    admitted: Option<ReserveAnswer>,
    done: Option<ReserveAnswer>,
    problem: Option<ProblemBody>,
}

impl Holding {
    /// Makes the call, which asks for so many. It has an outcome for each in any case.
    pub(crate) async fn begin(call: RequestBuilder, holds: usize, outage: Arc<Outage>) -> Self {
        let (rest, said, open) = (Vec::new(), VecDeque::with_capacity(2 * holds), vec![true; holds]);
        let mut holding = Self { answer: None, rest, said, open, outage, began: Instant::now() };
        match send(call).await {
            Ok(answer) if !answer.status().is_success() => {
                // What is said of the whole is about the way it was asked, and nothing about any of them.
                let why = refused(answer).await;
                holding.end(&why.to_string());
            }
            Ok(answer) if answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == LINES) => {
                holding.answer = Some(answer);
            }
            // An instance from before there were lines.
            Ok(answer) => match answer.json::<ManyAnswer<ReserveAnswer>>().await {
                Ok(answer) => {
                    for (call, outcome) in answer.outcomes.into_iter().enumerate() {
                        holding.say(call, Word::Outcome(outcome.into_result().map(Reserved::from)));
                    }
                    holding.end("it does not answer all of the calls");
                }
                Err(error) => holding.end(&format!("its answer makes no sense: {}", reason(&error))),
            },
            Err(LedgerError::Unavailable(why)) => holding.end(&why),
            Err(error) => holding.end(&error.to_string()),
        }
        holding
    }

    /// The next word, and about the how-manieth; none when all is said and the connection is free again.
    pub(crate) async fn word(&mut self) -> Option<(usize, Word)> {
        loop {
            if let Some(said) = self.said.pop_front() {
                return Some(said);
            }
            match self.answer.as_mut()?.chunk().await {
                Ok(Some(bytes)) => self.read(&bytes),
                Ok(None) => self.end("its answer ended before all was said"),
                Err(error) => self.end(&reason(&error)),
            }
        }
    }

    /// Takes in what has come.
    fn read(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line = serde_json::from_slice::<Line>(&self.rest[..end]);
            self.rest.drain(..=end);
            match line {
                Ok(Line { call, admitted: Some(reserved), .. }) => self.say(call, Word::Admitted(reserved.into())),
                Ok(Line { call, done: Some(reserved), .. }) => self.say(call, Word::Outcome(Ok(reserved.into()))),
                Ok(Line { call, problem: Some(problem), .. }) => {
                    let outcome = OneOutcome::<ReserveAnswer>::Problem(problem).into_result();
                    self.say(call, Word::Outcome(outcome.map(Reserved::from)));
                }
                Ok(_) => return self.end("its answer makes no sense: a line that says nothing"),
                Err(error) => return self.end(&format!("its answer makes no sense: {error}")),
            }
        }
        if self.rest.len() > MAX_LINE {
            self.end("its answer makes no sense: a line without an end");
        }
    }

    /// Takes a word. One about what has its outcome, or was not asked for, counts for nothing.
    fn say(&mut self, call: usize, word: Word) {
        let Some(open) = self.open.get_mut(call).filter(|open| **open) else { return };
        if let Word::Outcome(outcome) = &word {
            *open = false;
            if !self.open.contains(&true) {
                let label = outcome.as_ref().map_or_else(LedgerError::label, |_| "ok");
                self.count(if self.open.len() == 1 { label } else { "ok" });
                match outcome {
                    // Its database is away, or it has too much to do.
                    Err(error @ LedgerError::Unavailable(_)) => self.outage.failed(error),
                    _ => self.outage.answered(),
                }
            }
        }
        self.said.push_back((call, word));
    }

    /// Nothing more comes: what has no outcome has none for this reason.
    fn end(&mut self, why: &str) {
        self.answer = None;
        if !self.open.contains(&true) {
            return;
        }
        let error = LedgerError::Unavailable(why.to_owned());
        self.outage.failed(&error);
        self.count(error.label());
        for (call, open) in self.open.iter_mut().enumerate().filter(|(_, open)| **open) {
            *open = false;
            self.said.push_back((call, Word::Outcome(Err(error.clone()))));
        }
    }

    fn count(&self, outcome: &'static str) {
        let call = if self.open.len() == 1 { "reserve" } else { "reserve_many" };
        metrics::histogram!("chat_ledger_seconds", "call" => call, "outcome" => outcome).record(self.began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(holds: usize) -> Holding {
        let (rest, said) = (Vec::new(), VecDeque::new());
        let outage = Arc::new(Outage::new("the ledger"));
        Holding { answer: None, rest, said, open: vec![true; holds], outage, began: Instant::now() }
    }

    fn heard(holding: &mut Holding) -> Vec<String> {
        let told = |(call, word)| match word {
            Word::Admitted(reserved) => format!("{call} admitted {}", reserved.left),
            Word::Outcome(Ok(reserved)) => format!("{call} done {}", reserved.left),
            Word::Outcome(Err(error)) => format!("{call} {}", error.label()),
        };
        holding.said.drain(..).map(told).collect()
    }

    fn line(call: usize, says: &str, balance: u32) -> String {
        let reserved = format!(r#"{{"reservationId":"{}","balance":{balance},"version":1}}"#, uuid::Uuid::nil());
        format!("{{\"call\":{call},\"{says}\":{reserved}}}\n")
    }

    const BROKE: &str =
        "{\"call\":1,\"problem\":{\"type\":\"t\",\"title\":\"t\",\"status\":402,\"code\":\"out_of_credits\"}}\n";

    #[test]
    fn each_word_is_heard_however_the_answer_is_cut() {
        let text = [line(0, "admitted", 4), BROKE.to_owned(), line(0, "done", 4)].concat();
        for cut in 0..text.len() {
            let mut holding = holding(2);
            holding.read(&text.as_bytes()[..cut]);
            holding.read(&text.as_bytes()[cut..]);
            holding.end("over");
            assert_eq!(heard(&mut holding), ["0 admitted 4", "1 out_of_credits", "0 done 4"], "cut at {cut}");
        }
    }

    #[test]
    fn what_has_no_outcome_when_the_answer_ends_or_makes_no_sense_has_none_from_the_ledger() {
        for (end, why) in [("", "ended"), ("{}\n", "no line"), ("<html>\n", "no JSON"), ("{\"call\":0}\n", "no word")] {
            let mut holding = holding(2);
            holding.read(format!("{}{BROKE}{end}", line(0, "admitted", 4)).as_bytes());
            holding.end("over");
            assert_eq!(heard(&mut holding), ["0 admitted 4", "1 out_of_credits", "0 unavailable"], "{why}");
        }
        let mut endless = holding(1);
        endless.read(&vec![b' '; MAX_LINE + 1]);
        assert_eq!(heard(&mut endless), ["0 unavailable"]);
    }

    #[test]
    fn what_is_said_after_the_outcome_or_of_what_was_not_asked_counts_for_nothing() {
        let mut holding = holding(1);
        let text = [line(7, "done", 9), line(0, "done", 4), line(0, "admitted", 5), line(0, "done", 5)].concat();
        holding.read(text.as_bytes());
        assert_eq!(heard(&mut holding), ["0 done 4"]);
    }
}
