//! Sessions that have ended while their access tokens had not expired yet: signed out, password changed, account closed.
//!
//! The issuer is asked for them, since its database is what a lost cache cannot make forget. Nobody waits for that on a busy service: what is known is looked at
//! without a lock, and asked for anew aside once it is [`REFRESH_AFTER`] old. Only after a pause in which nobody came is it asked for first, so that an ended session is refused after
//! [`STALE_AFTER`] at the latest. While the issuer does not answer, what is known counts for [`TRUSTED_FOR`]; after that no token counts until it answers again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::SERVICE_TOKEN_HEADER;
use crate::client;

/// Where the issuer tells them, with a service token.
pub const ENDED_SESSIONS_PATH: &str = "/api/internal/sessions/ended";

/// After this they are asked for again, aside.
const REFRESH_AFTER: Duration = Duration::from_secs(1);

/// After this whoever comes waits until they have been asked for.
const STALE_AFTER: Duration = Duration::from_secs(2);

/// For so long what is known counts while the issuer does not answer: longer than it takes to start anew.
const TRUSTED_FOR: Duration = Duration::from_mins(1);

/// Shortest time between two questions, so that an issuer that is away is not hammered.
const MIN_PAUSE: Duration = Duration::from_millis(500);

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How often all of them are asked for, and not only what is new: what became visible at the issuer later than its time says is seen then.
const ALL_EVERY: Duration = Duration::from_mins(1);

/// What the issuer answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndedSessions {
    /// The issuer's time, milliseconds since 1970: to be sent as `since` with the next question.
    pub as_of: i64,
    /// Seconds after which an access token of an ended session has expired, whenever it was issued.
    pub kept_for: u64,
    /// Their ids (`sid` in the tokens).
    pub sessions: Vec<Uuid>,
}

/// Why nobody can say which sessions have ended.
#[derive(Debug, thiserror::Error)]
pub enum EndedError {
    /// The issuer did not answer, or not as it must.
    #[error("the issuer does not say which sessions have ended")]
    Fetch(#[from] reqwest::Error),
    /// It did not a moment ago, and is not asked again so soon.
    #[error("the issuer did not say a moment ago which sessions have ended")]
    Pausing,
}

/// What was answered last.
struct Known {
    /// When the question was asked.
    at: Instant,
    /// When all of them were asked for.
    all_at: Instant,
    as_of: i64,
    /// Each with when it can be forgotten.
    sessions: Arc<HashMap<Uuid, Instant>>,
}

impl Known {
    /// What is known with an answer to a question of `at`. Unchanged sets are kept as they are.
    fn after(before: Option<&Self>, answer: EndedSessions, at: Instant, all: bool) -> Self {
        let all_at = before.filter(|_| !all).map_or(at, |before| before.all_at);
        let old = before.map(|before| Arc::clone(&before.sessions)).unwrap_or_default();
        let is_news = answer.sessions.iter().any(|id| !old.contains_key(id));
        let sessions = if is_news || all {
            let until = at + Duration::from_secs(answer.kept_for);
            let mut sessions = HashMap::with_capacity(old.len() + answer.sessions.len());
            sessions.extend(old.iter().filter(|(_, until)| **until > at));
            for id in answer.sessions {
                sessions.entry(id).or_insert(until);
            }
            Arc::new(sessions)
        } else {
            old
        };
        Self { at, all_at, as_of: answer.as_of, sessions }
    }
}

/// Asks the issuer, and remembers.
#[derive(Clone)]
pub(super) struct Ended(Arc<Inner>);

struct Inner {
    url: String,
    token: SecretString,
    client: Client,
    /// [`TRUSTED_FOR`], but in tests.
    trusted_for: Duration,
    known: ArcSwapOption<Known>,
    /// Held while asking, so that it happens once for many waiting requests.
    last_attempt: Arc<Mutex<Option<Instant>>>,
}

impl Ended {
    /// Of the issuer at this base URL.
    pub(super) fn of(base: &str, token: SecretString) -> Self {
        Self::trusted_for(base, token, TRUSTED_FOR)
    }

    fn trusted_for(base: &str, token: SecretString, trusted_for: Duration) -> Self {
        let url = format!("{}{ENDED_SESSIONS_PATH}", base.trim_end_matches('/'));
        let (client, known, last_attempt) = (client::internal(), ArcSwapOption::empty(), Arc::default());
        Self(Arc::new(Inner { url, token, client, trusted_for, known, last_attempt }))
    }

    /// Whether a session has ended. An error where nobody can say.
    pub(super) async fn has(&self, session: Uuid) -> Result<bool, EndedError> {
        let age = self.0.known.load().as_ref().map(|known| known.at.elapsed());
        match age {
            Some(age) if age < REFRESH_AFTER => {}
            Some(age) if age < STALE_AFTER => self.refresh_aside(),
            _ => self.refresh(age).await?,
        }
        Ok(self.0.known.load().as_ref().is_none_or(|known| known.sessions.contains_key(&session)))
    }

    fn refresh_aside(&self) {
        // Taken here and held by the task, so that the requests of this moment start one and no more.
        let Ok(mut last_attempt) = Arc::clone(&self.0.last_attempt).try_lock_owned() else { return };
        if last_attempt.is_some_and(|at| at.elapsed() < MIN_PAUSE) {
            return;
        }
        let ended = self.clone();
        tokio::spawn(async move {
            if let Err(error) = ended.ask().await {
                failed(&error);
            }
            *last_attempt = Some(Instant::now());
        });
    }

    /// Waits for an answer; what is known does where there is none, until it is too old.
    async fn refresh(&self, age: Option<Duration>) -> Result<(), EndedError> {
        let trusted = age.is_some_and(|age| age < self.0.trusted_for);
        let mut last_attempt = self.0.last_attempt.lock().await;
        if self.0.known.load().as_ref().is_some_and(|known| known.at.elapsed() < STALE_AFTER) {
            // Somebody was faster.
            return Ok(());
        }
        if last_attempt.is_some_and(|at| at.elapsed() < MIN_PAUSE) {
            return if trusted { Ok(()) } else { Err(EndedError::Pausing) };
        }
        let outcome = self.ask().await;
        // After the answer: who has waited for one that did not come does not ask once more.
        *last_attempt = Some(Instant::now());
        match outcome {
            Err(error) if trusted => {
                failed(&error);
                Ok(())
            }
            outcome => outcome,
        }
    }

    async fn ask(&self) -> Result<(), EndedError> {
        let at = Instant::now();
        let before = self.0.known.load_full();
        let since = before.as_ref().filter(|known| known.all_at.elapsed() < ALL_EVERY).map(|known| known.as_of);
        let url = match since {
            Some(since) => format!("{}?since={since}", self.0.url),
            None => self.0.url.clone(),
        };
        let call = self.0.client.get(url).header(SERVICE_TOKEN_HEADER, self.0.token.expose_secret());
        let answer = call.timeout(TIMEOUT).send().await?.error_for_status()?.json().await?;
        self.0.known.store(Some(Arc::new(Known::after(before.as_deref(), answer, at, since.is_none()))));
        Ok(())
    }
}

fn failed(error: &EndedError) {
    metrics::counter!("ended_sessions_unknown_total").increment(1);
    tracing::warn!(
        error = crate::telemetry::chain(error),
        "which sessions have ended cannot be asked; what is known counts for a while"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(as_of: i64, sessions: &[u128]) -> EndedSessions {
        let sessions = sessions.iter().map(|id| Uuid::from_u128(*id)).collect();
        EndedSessions { as_of, kept_for: 960, sessions }
    }

    /// An issuer that a test can take away; counts what it was asked, and how often for all.
    #[derive(Clone, Default)]
    struct Issuer(Arc<std::sync::Mutex<State>>);

    #[derive(Default)]
    struct State {
        away: bool,
        ended: Vec<Uuid>,
        asked: usize,
        asked_for_all: usize,
    }

    impl Issuer {
        async fn start(&self) -> crate::testing::Running {
            let issuer = self.clone();
            let answer = async move |query: axum::extract::RawQuery| {
                let mut state = issuer.0.lock().unwrap();
                state.asked += 1;
                state.asked_for_all += usize::from(query.0.is_none());
                if state.away {
                    return Err(axum::http::StatusCode::SERVICE_UNAVAILABLE);
                }
                Ok(axum::Json(EndedSessions { as_of: 1, kept_for: 960, sessions: state.ended.clone() }))
            };
            let routes = axum::Router::new().route(ENDED_SESSIONS_PATH, axum::routing::get(answer));
            crate::testing::Running::start(routes).await
        }

        fn change(&self, change: impl FnOnce(&mut State)) {
            change(&mut self.0.lock().unwrap());
        }
    }

    async fn after(pause: Duration, ended: &Ended, id: Uuid) -> Result<bool, EndedError> {
        tokio::time::sleep(pause).await;
        ended.has(id).await
    }

    #[tokio::test]
    async fn an_issuer_that_is_away_is_believed_for_a_while_and_then_nothing_counts() {
        let (issuer, id) = (Issuer::default(), Uuid::from_u128(1));
        let running = issuer.start().await;
        let ended = Ended::trusted_for(&running.url, "token".to_owned().into(), Duration::from_secs(4));
        issuer.change(|state| state.away = true);
        assert!(ended.has(id).await.is_err(), "nothing is known yet");
        issuer.change(|state| state.away = false);
        assert!(!after(MIN_PAUSE, &ended, id).await.unwrap());
        issuer.change(|state| state.ended.push(id));
        assert!(after(STALE_AFTER, &ended, id).await.unwrap(), "whoever comes after a pause is told what is so now");
        issuer.change(|state| state.away = true);
        assert!(after(STALE_AFTER, &ended, id).await.unwrap(), "what is known counts for a while");
        assert!(!ended.has(Uuid::from_u128(2)).await.unwrap());
        let late = after(Duration::from_secs(3), &ended, id).await;
        assert!(late.is_err(), "{late:?}");
        issuer.change(|state| state.away = false);
        assert!(after(MIN_PAUSE, &ended, id).await.unwrap(), "it recovers by itself");
    }

    #[tokio::test]
    async fn a_busy_service_asks_once_a_second_and_nobody_waits() {
        let issuer = Issuer::default();
        let running = issuer.start().await;
        let ended = Ended::of(&running.url, "token".to_owned().into());
        let began = Instant::now();
        let mut looked = 0_u32;
        while began.elapsed() < Duration::from_secs(4) {
            assert!(!ended.has(Uuid::from_u128(1)).await.unwrap());
            looked += 1;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        issuer.change(|state| {
            assert!(looked > 100 && (3..=6).contains(&state.asked), "{} questions for {looked} looks", state.asked);
            assert_eq!(state.asked_for_all, 1);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_new_is_added_and_what_has_expired_is_forgotten_with_the_next_whole_answer() {
        let start = Instant::now();
        let first = Known::after(None, answer(1, &[1]), start, true);
        let second = Known::after(Some(&first), answer(2, &[1, 2]), start + Duration::from_secs(30), false);
        let has = |known: &Known, id: u128| known.sessions.contains_key(&Uuid::from_u128(id));
        assert!(has(&second, 1) && has(&second, 2) && second.all_at == start && second.as_of == 2);
        let same = Known::after(Some(&second), answer(3, &[2]), start + Duration::from_secs(31), false);
        assert!(Arc::ptr_eq(&second.sessions, &same.sessions), "nothing is built where nothing is new");
        let later = start + Duration::from_secs(970);
        let whole = Known::after(Some(&same), answer(4, &[3]), later, true);
        assert!(!has(&whole, 1) && has(&whole, 2) && has(&whole, 3) && whole.all_at == later);
    }
}
