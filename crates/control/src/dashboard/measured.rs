//! Questions to the stored series: asked side by side, few at a time, each answer kept for as long as nothing newer can be there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mana_watch::query::{self, Answer, Limits, QueryError};
use mana_watch::series::{Labels, Series};
use tokio::sync::Semaphore;

use super::figures::Targets;
use super::keep::Keep;
use crate::clock;
use crate::watching::Watching;
use crate::watching::beside::beside;

/// Longest time for one question: a page shows what is there and says what is not.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Questions at once: each holds samples in memory.
const AT_ONCE: usize = 4;
/// Answers of one moment that are kept: those of every panel, and of the pages of some dozens of services.
const MOST_NOW: usize = 512;
/// Answers over time that are kept; a chart's is some hundred KiB at most.
const MOST_RANGES: usize = 64;
/// Answers about a day, which a minute more or less does not change: they read a thousand times as much.
const KEEP_DAY_MS: i64 = 60_000;
const MOST_DAYS: usize = 128;
/// Half the interval of scraping: an answer is never older than one round more than it has to be.
const KEEP_MS: i64 = 5_000;

/// Why nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unmeasured {
    /// The control plane has just begun, or its disk refuses.
    #[error("the stored series are not open yet; what they say shows up by itself in a moment")]
    NotOpen,
    /// The question was too much, or the store failed.
    #[error("the stored series do not answer: {0}")]
    Failed(String),
}

/// A value for each of some series.
pub(crate) type Values = Arc<[(Labels, f64)]>;
type Now = Result<Values, Unmeasured>;
type OverTime = Result<Arc<[Series]>, Unmeasured>;

/// Where questions are asked.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    watching: Watching,
    turns: Arc<Semaphore>,
    now: Arc<Keep<String, Now>>,
    days: Arc<Keep<String, Now>>,
    ranges: Arc<Keep<(String, Span), OverTime>>,
}

/// From, to (both included), and the step between, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) step: i64,
}

impl Measured {
    pub(crate) fn new(watching: Watching) -> Self {
        Self {
            watching,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            now: Arc::new(Keep::new(MOST_NOW, KEEP_MS)),
            days: Arc::new(Keep::new(MOST_DAYS, KEEP_DAY_MS)),
            ranges: Arc::new(Keep::new(MOST_RANGES, KEEP_MS)),
        }
    }

    /// What services promised of their times to answer.
    pub(crate) fn targets(&self) -> Targets {
        Targets::of(&self.watching.alerts.seen().alerting.budgets)
    }

    /// The values of this moment, finite ones only.
    pub(crate) async fn now(&self, text: &str) -> Now {
        let at = now_ms();
        self.now.get(text.to_owned(), at, self.at(text, at)).await
    }

    async fn at(&self, text: &str, at: i64) -> Now {
        self.ask(text.to_owned(), move |source, text, limits| {
            let elements = match query::query(source, text, at, limits)? {
                Answer::Vector { elements, .. } => elements,
                Answer::Scalar { value, .. } => vec![(Labels::default(), value)],
                Answer::Text { .. } | Answer::Matrix(_) => Vec::new(),
            };
            Ok(elements.into_iter().filter(|(_, value)| value.is_finite()).collect())
        })
        .await
    }

    /// The one value that a question gives; `None` where there is none.
    pub(crate) async fn one(&self, text: &str) -> Result<Option<f64>, Unmeasured> {
        Ok(self.now(text).await?.first().map(|(_, value)| *value))
    }

    /// The values by what a label says.
    pub(crate) async fn by(&self, label: &str, text: &str) -> Result<BTreeMap<String, f64>, Unmeasured> {
        Ok(by(label, &self.now(text).await?))
    }

    /// The same of a question about a whole day, as it was within the last minute.
    pub(crate) async fn day_by(&self, label: &str, text: &str) -> Result<BTreeMap<String, f64>, Unmeasured> {
        let at = now_ms();
        Ok(by(label, &self.days.get(text.to_owned(), at, self.at(text, at)).await?))
    }

    /// The values over time.
    pub(crate) async fn range(&self, text: &str, span: Span) -> OverTime {
        let make = self.ask(text.to_owned(), move |source, text, limits| {
            match query::query_range(source, text, span.from, span.to, span.step, limits)? {
                Answer::Matrix(series) => Ok(series.into()),
                _ => Ok(Arc::default()),
            }
        });
        self.ranges.get((text.to_owned(), span), now_ms(), make).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        text: String,
        work: impl FnOnce(&mana_watch::store::Reader, &str, &Limits<'_>) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, Unmeasured> {
        let reader = self.watching.reader().cloned().ok_or(Unmeasured::NotOpen)?;
        let failed = |why: String| {
            tracing::warn!(why, "a question of the dashboard was not answered");
            Unmeasured::Failed(why)
        };
        let turn = tokio::time::timeout(TIMEOUT, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or_else(|| failed("too many are asked at once".to_owned()))?;
        let answer = beside(turn, TIMEOUT, move |limits| work(&reader, &text, limits)).await;
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        answer.map_err(|error| failed(error.to_string()))
    }
}

fn by(label: &str, values: &[(Labels, f64)]) -> BTreeMap<String, f64> {
    let named = values.iter().filter(|(labels, _)| !labels.get(label).is_empty());
    named.map(|(labels, value)| (labels.get(label).to_owned(), *value)).collect()
}

/// Now, as stored series count it.
pub(crate) fn now_ms() -> i64 {
    clock::timestamp().as_millisecond()
}
