//! The page that tells everybody how things are: `index.html`, `status.json` and `feed.xml` in a folder that the edge gives out, so that
//! they are there while the control plane is not.
//!
//! | module | what it is |
//! |---|---|
//! | `content` | what the page says, from what is known. Pure |
//! | `days` | how services were on each of the last 90 days. Pure |
//! | `render` | content as HTML, JSON and RSS. Pure |
//! | `publish` | when it is written, and writing it |
//!
//! It is written anew every minute, and carries the time: where that is longer ago, its script says that it may be out of date. A change
//! is written at most every 30 s; one of an incident or a maintenance at once.

mod content;
mod days;
mod publish;
mod render;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use mana_manifest::plan::StatusPage;
use mana_watch::query::{self, Answer, Limits};
use mana_watch::store::Reader;
use tokio::sync::{mpsc, oneshot};

use crate::supervisor::{Call, Message};
use crate::watching::Watching;
use crate::{clock, paths};
pub(crate) use content::Component;
use content::{Content, Facts, content};
use days::{Day, Days};
use publish::Pace;

/// How often the page is written even where nothing but the time is new.
pub(crate) const RENEWED_EVERY: Duration = Duration::from_mins(1);
/// How often it is looked at whether something is new.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often the probes of a day are counted.
const COUNT_EVERY: Duration = Duration::from_mins(1);
/// Longest time for questions to the stored series.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first time, 90 days are asked for.
const PATIENCE_FIRST: Duration = Duration::from_secs(30);
/// Longest time that the owner of the state may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const DAY_MS: i64 = 86_400_000;
/// How far apart samples are, by how old they are: as the store keeps them.
const SAMPLES: [(i64, f64); 2] = [(2 * DAY_MS, 10.0), (30 * DAY_MS, 60.0)];
const OLDEST_SAMPLES_S: f64 = 3_600.0;

/// What the owner of the state knows.
pub(crate) type Shown = (StatusPage, Vec<Component>);

struct Writer {
    data: PathBuf,
    mailbox: mpsc::Sender<Message>,
    watching: Watching,
    days: Days,
    /// When probes were counted last, and the day of it.
    counted: Option<(Instant, Date)>,
    pace: Pace<Arc<Content>>,
}

/// Writes the page until the process ends.
pub(crate) fn start(data: &Path, mailbox: mpsc::Sender<Message>, watching: Watching) {
    let (data, days) = (data.to_owned(), read(&paths::status_days(data)));
    tokio::spawn(Writer { data, mailbox, watching, days, counted: None, pace: Pace::new() }.run());
}

impl Writer {
    async fn run(mut self) {
        let mut seen = self.watching.alerts.follow();
        let mut revision = seen.borrow().revision;
        loop {
            let now_revision = seen.borrow_and_update().revision;
            let urgent = std::mem::replace(&mut revision, now_revision) != now_revision;
            self.look(urgent).await;
            let changed = async {
                while seen.changed().await.is_ok() {
                    if seen.borrow_and_update().revision != revision {
                        return;
                    }
                }
                // Nobody watches any more: the process ends.
                std::future::pending::<()>().await;
            };
            let _ = tokio::time::timeout(LOOK_EVERY, changed).await;
        }
    }

    async fn look(&mut self, urgent: bool) {
        let Some((page, components)) = self.shown().await else { return };
        let now = clock::timestamp();
        let reader = self.watching.reader().cloned();
        if let Some(reader) = reader.clone() {
            self.count(reader, &components, now).await;
        }
        let reached = match reader {
            Some(reader) => reached(reader, components.clone(), now).await,
            None => BTreeMap::new(),
        };
        let seen = self.watching.alerts.seen();
        let made = Arc::new(content(&Facts {
            page: &page,
            components: &components,
            reached: &reached,
            days: &self.days,
            incidents: &seen.incidents,
            quiets: &seen.alerting.quiets,
            now,
        }));
        if !self.pace.is_due(now.as_millisecond(), &made, urgent) {
            return;
        }
        let (folder, content) = (paths::status_page(&self.data), Arc::clone(&made));
        let written = tokio::task::spawn_blocking(move || publish::publish(&folder, &content, now)).await;
        match written {
            Ok(Ok(())) => self.pace.wrote(now.as_millisecond(), made),
            Ok(Err(error)) => tracing::error!(%error, "the status page cannot be written; it stays as it was"),
            Err(error) => tracing::error!(%error, "writing the status page broke off"),
        }
    }

    async fn shown(&self) -> Option<Shown> {
        let (reply, answer) = oneshot::channel();
        self.mailbox.send(Message::Call(Box::new(Call::StatusPage(reply)))).await.ok()?;
        tokio::time::timeout(ANSWER_WITHIN, answer).await.ok()?.ok()?.ok()?
    }

    /// Counts the probes of today, of days that have ended since, and the first time of all days that are shown.
    async fn count(&mut self, reader: Reader, components: &[Component], now: Timestamp) {
        let today = Offset::UTC.to_datetime(now).date();
        if self.counted.is_some_and(|(at, day)| day == today && at.elapsed() < COUNT_EVERY) {
            return;
        }
        let is_first = self.days.is_empty() && self.counted.is_none();
        let dates = days::to_count(self.counted.map(|(_, day)| day), is_first, today);
        let patience = if is_first { PATIENCE_FIRST } else { PATIENCE };
        let components: Vec<Component> = components.to_vec();
        let found = tokio::task::spawn_blocking(move || {
            let until = Instant::now() + patience;
            let of_day = |date| {
                day(&reader, date, &components, now, until).into_iter().map(move |(name, day)| (name, date, day))
            };
            dates.into_iter().flat_map(of_day).collect::<Vec<_>>()
        });
        let Ok(found) = found.await else { return };
        // Nothing was probed yet: the first figures should not have to wait.
        if found.is_empty() {
            return;
        }
        let before = self.days.clone();
        for (service, date, day) in found {
            self.days.put(&service, date, day);
        }
        if let Some(first) = days::dates(today).first() {
            self.days.keep_since(*first);
        }
        self.counted = Some((Instant::now(), today));
        if self.days != before {
            self.save().await;
        }
    }

    async fn save(&self) {
        let text = serde_json::to_vec(&self.days).unwrap_or_default();
        let file = paths::status_days(&self.data);
        let written = tokio::task::spawn_blocking(move || {
            let (folder, name) = (file.parent().unwrap_or(Path::new("/")), file.file_name().unwrap_or_default());
            publish::replace(folder, &name.to_string_lossy(), &text)
        });
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "how the days were is not on disk"),
            Err(error) => tracing::error!(%error, "writing how the days were broke off"),
        }
    }
}

fn read(file: &Path) -> Days {
    match std::fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::error!(%error, "how the days were is not understood; it is counted anew from the stored series");
            Days::default()
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Days::default(),
        Err(error) => {
            tracing::error!(%error, "how the days were cannot be read; it is counted anew from the stored series");
            Days::default()
        }
    }
}

/// What the last probe of each said.
async fn reached(reader: Reader, components: Vec<Component>, now: Timestamp) -> BTreeMap<String, f64> {
    let asked = tokio::task::spawn_blocking(move || {
        let text = "avg by (service, via) (probe_success)";
        values(&reader, text, &components, now.as_millisecond(), Instant::now() + PATIENCE)
    });
    asked.await.unwrap_or_default()
}

/// What the probes of a day said.
fn day(reader: &Reader, date: Date, components: &[Component], now: Timestamp, until: Instant) -> Vec<(String, Day)> {
    let Ok(begins) = Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)) else { return Vec::new() };
    let from = begins.as_millisecond();
    let to = (from + DAY_MS - 1).min(now.as_millisecond());
    let age = now.as_millisecond() - from;
    let each_s = SAMPLES.iter().find(|(oldest, _)| age <= *oldest).map_or(OLDEST_SAMPLES_S, |(_, seconds)| *seconds);
    let seconds = (to - from) / 1_000 + 1;
    let ask = |function: &str| {
        let text = format!("sum by (service, via) ({function}(probe_success[{seconds}s]))");
        values(reader, &text, components, to, until)
    };
    let (good, all) = (ask("sum_over_time"), ask("count_over_time"));
    #[expect(clippy::cast_precision_loss, reason = "a day has few seconds")]
    let most = (seconds as f64 / each_s).ceil();
    let of = |(name, all): (&String, &f64)| {
        // Who has several hosts is probed as often through each of them.
        let rounds = all.min(most);
        let good = good.get(name).copied().unwrap_or_default();
        (name.clone(), Day::of(rounds * good / all, rounds, each_s))
    };
    all.iter().map(of).collect()
}

/// A value for each component, by the way that it is probed.
fn values(reader: &Reader, text: &str, components: &[Component], at: i64, until: Instant) -> BTreeMap<String, f64> {
    let stop = || Instant::now() >= until;
    let limits = Limits { stop: Some(&stop), ..Limits::default() };
    let elements = match query::query(reader, text, at, &limits) {
        Ok(Answer::Vector { elements, .. }) => elements,
        Ok(_) => Vec::new(),
        Err(error) => {
            tracing::warn!(%error, "the status page does not know how services were");
            Vec::new()
        }
    };
    let of = |component: &Component| {
        let fits =
            |labels: &mana_watch::Labels| labels.get("service") == component.name && labels.get("via") == component.via;
        let found = elements.iter().find(|(labels, _)| fits(labels))?;
        Some((component.name.clone(), found.1))
    };
    components.iter().filter_map(of).collect()
}
