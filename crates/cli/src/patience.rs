//! How long whoever follows or wants something bears with a control plane that does not answer: it is being replaced, its machine starts
//! again, or it was asked too often. What is followed goes on meanwhile; what is wanted carries a key, so that it is done once however often
//! it is asked for. Pure, but for the asking itself.

use std::io;
use std::time::{Duration, Instant};

use mana_control::client::{Client, ClientError};

use crate::context::Context;
use crate::failure::Failure;
use crate::report;

/// The first wait; each is twice the one before, up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);
/// What an answer may ask for: limits of the operators' door are by the minute.
const LONGEST_ASKED: Duration = Duration::from_mins(1);
/// Without any answer. A control plane that is replaced is back within seconds; after a minute a canary that nobody watches goes back.
const BOUND: Duration = Duration::from_mins(2);
/// Between two looks at something that goes on, on this machine.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The same of another machine, whose door lets an address ask 600 times a minute: a look is up to three questions, and there may be others.
const LOOK_EVERY_ELSEWHERE: Duration = Duration::from_secs(1);

/// Asked too often.
const TOO_MANY: u16 = 429;
/// What a proxy, the edge, or a control plane that ends says of a moment, not of the question.
const OF_A_MOMENT: [u16; 4] = [TOO_MANY, 502, 503, 504];

/// How it went lately.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    /// Since when nothing is answered.
    since: Option<Instant>,
    /// Questions since then.
    tries: u32,
}

impl Patience {
    /// It answered. Says whether it had not before.
    fn answered(&mut self) -> bool {
        std::mem::take(self).since.is_some()
    }

    /// It did not. How long to wait before it is asked again; `None`: asking again is of no use, or was not for too long.
    fn wait(&mut self, error: &ClientError, now: Instant) -> Option<Duration> {
        if !is_passing(error) {
            return None;
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= BOUND {
            return None;
        }
        let wait = FIRST.saturating_mul(1_u32.checked_shl(self.tries).unwrap_or(u32::MAX)).min(LONGEST);
        self.tries += 1;
        Some(match error {
            ClientError::NotNow { after: Some(after), .. } => (*after).clamp(wait, LONGEST_ASKED),
            _ => wait,
        })
    }
}

/// Whether it may be over in a moment.
fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::NotNow { .. } | ClientError::Talk { .. } | ClientError::NotRunning { .. } => true,
        ClientError::Refused(problem) => OF_A_MOMENT.contains(&problem.status),
        ClientError::Answer { .. } => false,
    }
}

/// For people.
fn excuse(error: &ClientError) -> String {
    match error {
        ClientError::NotNow { problem, .. } | ClientError::Refused(problem) if problem.status == TOO_MANY => {
            "the control plane is asked too often, trying again".to_owned()
        }
        ClientError::Refused(problem) => format!("the control plane says: {}; trying again", problem.title),
        _ => "the control plane does not answer, trying again".to_owned(),
    }
}

/// How long to wait between two looks.
pub(crate) fn interval(context: &Context) -> Duration {
    if context.is_elsewhere() { LOOK_EVERY_ELSEWHERE } else { LOOK_EVERY }
}

/// Asks until there is an answer. `say` is told what is waited for, once; and nothing, when there is an answer again.
pub(crate) async fn asked<T>(
    patience: &mut Patience,
    client: &Client,
    context: &Context,
    question: impl AsyncFn(&Client) -> Result<T, ClientError>,
    mut say: impl FnMut(Option<&str>) -> io::Result<()>,
) -> Result<T, Failure> {
    loop {
        let error = match question(client).await {
            Ok(answer) => {
                if patience.answered() {
                    say(None)?;
                }
                return Ok(answer);
            }
            Err(error) => error,
        };
        let news = patience.since.is_none();
        let Some(wait) = patience.wait(&error, Instant::now()) else { return Err(context.failure(error)) };
        if news {
            say(Some(&excuse(&error)))?;
        }
        tokio::time::sleep(wait).await;
    }
}

/// The same, where what is waited for is said on standard error.
pub(crate) async fn told<T>(
    patience: &mut Patience,
    client: &Client,
    context: &Context,
    question: impl AsyncFn(&Client) -> Result<T, ClientError>,
) -> Result<T, Failure> {
    asked(patience, client, context, question, |away| {
        if let Some(why) = away {
            report::note(why);
        }
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use mana_control::api::Problem;

    use super::*;

    fn problem(status: u16) -> Problem {
        Problem { title: "x".into(), status, detail: String::new(), problems: Vec::new() }
    }

    fn broken() -> ClientError {
        ClientError::Talk { what: "asking", source: "broken pipe".into() }
    }

    #[test]
    fn what_may_pass_is_asked_again_and_nothing_else() {
        let not_now = |status, after| ClientError::NotNow { problem: problem(status), after };
        let asks = Duration::from_secs(7);
        let cases = [
            (broken(), Some(FIRST)),
            (ClientError::NotRunning { data: "x".into() }, Some(FIRST)),
            (ClientError::Refused(problem(503)), Some(FIRST)),
            (not_now(502, None), Some(FIRST)),
            (not_now(429, Some(asks)), Some(asks)),
            (not_now(429, Some(Duration::from_hours(1))), Some(LONGEST_ASKED)),
            (not_now(429, Some(Duration::ZERO)), Some(FIRST)),
            (ClientError::Refused(problem(404)), None),
            (ClientError::Refused(problem(409)), None),
            (ClientError::Answer { what: "x".into() }, None),
        ];
        for (error, expected) in cases {
            assert_eq!(Patience::default().wait(&error, Instant::now()), expected, "{error:?}");
        }
    }

    #[test]
    fn patience_grows_and_ends_and_an_answer_brings_it_back() {
        let (mut patience, began) = (Patience::default(), Instant::now());
        let waits: Vec<_> = (0..40).filter_map(|_| patience.wait(&broken(), began)).collect();
        assert_eq!(waits[..6], [250, 500, 1_000, 2_000, 4_000, 5_000].map(Duration::from_millis));
        assert!(waits.len() == 40 && waits[6..].iter().all(|wait| *wait == LONGEST));
        assert_eq!(patience.wait(&broken(), began + BOUND), None);
        assert!(patience.answered() && !patience.answered());
        assert_eq!(patience.wait(&broken(), began + BOUND), Some(FIRST));
    }

    #[test]
    fn whoever_waits_is_told_why() {
        assert!(excuse(&ClientError::Refused(problem(503))).contains("says: x;"));
        assert!(excuse(&ClientError::NotNow { problem: problem(429), after: None }).contains("too often"));
        assert!(excuse(&broken()).contains("does not answer"));
    }
}
