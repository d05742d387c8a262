//! Decides what echo will do with a call, before it does any of it: pure, so that the table in the module's page can be
//! checked line by line.

use std::time::Duration;

use super::{Settings, speak};

/// The models echo serves, the ordinary one first.
pub const MODELS: [&str; 4] = ["echo", "echo-slow", "echo-fail", "echo-abort"];

/// Longest pause before a word that a call may ask for.
const MAX_DELAY: Duration = Duration::from_mins(1);

/// Longest answer that a call may ask for.
const MAX_WORDS: usize = 10_000;

/// The pace of `echo-slow`: that of a person reading along.
const SLOW: Duration = Duration::from_millis(120);

/// Where `echo-abort` breaks off: after something was delivered, before everything was.
const ABORT_AFTER: usize = 3;

/// How an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    Whole,
    Fail(u16),
    /// Break the connection after so many words.
    Abort(usize),
    /// Fall silent after so many words.
    Stall(usize),
    /// Close in good order after so many words, without the protocol's ending.
    End(usize),
    /// Send what is not JSON after so many words.
    Garbage(usize),
}

/// What echo will say to one call, and how.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Script {
    /// The words with their separating spaces: joined, they are the answer.
    pub(super) words: Vec<String>,
    pub(super) delay: Duration,
    pub(super) course: Course,
    /// How many of the offered tools to call instead of speaking.
    pub(super) calls: usize,
    /// Answers at most, whatever is asked for.
    pub(super) choices: usize,
}

impl Script {
    /// Says the same as a JSON object.
    pub(super) fn say_as_json(&mut self) {
        let text = speak::as_json(&self.words.concat());
        self.words = text.split_inclusive(' ').map(str::to_owned).collect();
    }
}

/// Reads settings, model and message, in this order; what is read later wins.
pub(super) fn write(settings: &Settings, model: &str, message: &str, number: u64) -> Script {
    let mut delay = settings.delay;
    let mut course = settings.abort_after.map_or(Course::Whole, Course::Abort);
    if is_nth_failure(settings.failure_rate, number) {
        course = Course::Fail(500);
    }
    match model {
        "echo-slow" => delay = SLOW,
        "echo-fail" => course = Course::Fail(500),
        "echo-abort" => course = Course::Abort(ABORT_AFTER),
        _ => {}
    }
    let mut said = Vec::new();
    let (mut count, mut calls, mut choices) = (None, 0, usize::MAX);
    for word in message.split_whitespace() {
        match directive(word) {
            Some(("delay", n)) => delay = Duration::from_millis(n as u64).min(MAX_DELAY),
            Some(("fail", n)) => course = Course::Fail(status(n)),
            Some(("abort", n)) => course = Course::Abort(n),
            Some(("stall", n)) => course = Course::Stall(n),
            Some(("end", n)) => course = Course::End(n),
            Some(("garbage", n)) => course = Course::Garbage(n),
            Some(("call", n)) => calls = n,
            Some(("choices", n)) => choices = n.max(1),
            Some(("nul", n)) => said.extend(std::iter::repeat_n("\0", n.min(MAX_WORDS))),
            Some(("words", n)) => count = Some(n.min(MAX_WORDS)),
            _ => said.push(word),
        }
    }
    let words = match count {
        Some(count) => spaced((1..=count).map(|n| format!("word{n}"))),
        None => spaced(["You".to_owned(), "said:".to_owned()].into_iter().chain(said.into_iter().map(str::to_owned))),
    };
    Script { words, delay, course, calls, choices }
}

/// `[name=number]`, of the names above; anything else is an ordinary word.
fn directive(word: &str) -> Option<(&str, usize)> {
    let (name, number) = word.strip_prefix('[')?.strip_suffix(']')?.split_once('=')?;
    let known =
        ["delay", "fail", "abort", "stall", "end", "garbage", "nul", "words", "call", "choices"].contains(&name);
    known.then_some((name, number.parse().ok()?))
}

/// `n` as a failing HTTP status; 500 if it is none.
fn status(n: usize) -> u16 {
    u16::try_from(n).ok().filter(|status| (400..600).contains(status)).unwrap_or(500)
}

/// Whether the call of this number is one of those that fail when `rate` of all do, spread evenly.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 calls")]
fn is_nth_failure(rate: f64, number: u64) -> bool {
    (number as f64 * rate).floor() > ((number - 1) as f64 * rate).floor()
}

/// Words with the spaces between them, so that joining the pieces gives the text.
fn spaced(words: impl Iterator<Item = String>) -> Vec<String> {
    words.enumerate().map(|(n, word)| if n == 0 { word } else { format!(" {word}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(model: &str, message: &str, text: &str, delay_ms: u64, course: Course) {
        let script = write(&Settings::default(), model, message, 1);
        assert_eq!(script.words.concat(), text, "{message}");
        assert_eq!(script.delay, Duration::from_millis(delay_ms), "{message}");
        assert_eq!(script.course, course, "{message}");
    }

    #[test]
    fn models_and_directives_do_what_the_table_says() {
        check("echo", "hello there", "You said: hello there", 0, Course::Whole);
        check("echo-slow", "hi", "You said: hi", 120, Course::Whole);
        check("echo-fail", "hi", "You said: hi", 0, Course::Fail(500));
        check("echo-abort", "hi", "You said: hi", 0, Course::Abort(3));
        check("echo", "hi [delay=7]", "You said: hi", 7, Course::Whole);
        check("echo", "[fail=429] hi", "You said: hi", 0, Course::Fail(429));
        check("echo", "[fail=200] hi", "You said: hi", 0, Course::Fail(500));
        check("echo-abort", "hi [abort=1]", "You said: hi", 0, Course::Abort(1));
        check("echo", "hi [stall=2]", "You said: hi", 0, Course::Stall(2));
        check("echo", "hi [end=2]", "You said: hi", 0, Course::End(2));
        check("echo", "hi [garbage=2]", "You said: hi", 0, Course::Garbage(2));
        check("echo", "[nul=2] hi", "You said: \0 \0 hi", 0, Course::Whole);
        check("echo", "hi [words=3]", "word1 word2 word3", 0, Course::Whole);
        check("echo", "hi [words=0]", "", 0, Course::Whole);
        check("echo", "[unknown=3] [abort=x] [abort]", "You said: [unknown=3] [abort=x] [abort]", 0, Course::Whole);
        check("echo", "", "You said:", 0, Course::Whole);
    }

    #[test]
    fn the_same_is_said_as_json() {
        let mut script = write(&Settings::default(), "echo", "a \"b\"", 1);
        script.say_as_json();
        assert_eq!(script.words, [r#"{"said":"You "#, "said: ", "a ", r#"\"b\""}"#]);
    }

    #[test]
    fn a_failure_rate_is_met_exactly_and_without_chance() {
        for (rate, want) in [(0.0, 0), (0.1, 100), (0.25, 250), (0.5, 500), (1.0, 1000)] {
            let failed = (1..=1000).filter(|n| is_nth_failure(rate, *n)).count();
            assert!(failed.abs_diff(want) <= 1, "{rate}: {failed}");
        }
        let settings = Settings { failure_rate: 0.25, ..Settings::default() };
        let failing: Vec<u64> =
            (1..=8).filter(|n| write(&settings, "echo", "hi", *n).course == Course::Fail(500)).collect();
        assert_eq!(failing, [4, 8]);
    }

    #[test]
    fn the_environment_is_overruled_by_the_call() {
        let settings = Settings { delay: Duration::from_millis(5), abort_after: Some(9), ..Settings::default() };
        let script = write(&settings, "echo", "hi [delay=0] [abort=1]", 1);
        assert_eq!((script.delay, script.course), (Duration::ZERO, Course::Abort(1)));
        assert_eq!(write(&settings, "echo", "hi", 1).course, Course::Abort(9));
    }
}
