//! All samples to another store. The queue is our own store: what was not taken is read again, until it is too old.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mana_watch::remote::{Cursor, MAX_BEHIND_MS, Next, batches, encode};
use mana_watch::series::{Keep, Matcher, NAME, Series, Source};
use mana_watch::store::Reader;
use tokio::sync::watch;

use super::{Receiver, in_words};
use crate::watching::pulse::Pulse;
use crate::watching::rounds::now_ms;
use crate::watching::subjects::Subjects;
use crate::{clock, paths};

/// Longest time for one request.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long at most until it is looked again whether there is something to do: a clock may be set, a manifest applied.
const LOOK_EVERY_MS: i64 = 1_000;
/// How often the same trouble is said, in tries.
const SAY_EVERY: u64 = 10;

/// What became of a request.
enum Told {
    Taken,
    /// Never: it is no use to try again.
    Refused(String),
    /// Not now; when to try again, if the receiver said so.
    Failed(String, Option<i64>),
}

struct Teller {
    client: reqwest::Client,
    subjects: watch::Receiver<Subjects>,
    pulse: Arc<Pulse>,
    cursor: Cursor,
    file: PathBuf,
}

pub(super) async fn run(
    data: PathBuf,
    reader: Arc<OnceLock<Reader>>,
    subjects: watch::Receiver<Subjects>,
    pulse: Arc<Pulse>,
) {
    let client = reqwest::Client::builder().user_agent("mana-watch").timeout(TIMEOUT);
    let client = match client.redirect(reqwest::redirect::Policy::none()).build() {
        Ok(client) => client,
        Err(error) => return tracing::error!(why = in_words(error), "no samples are told elsewhere"),
    };
    let file = paths::remote_write(&data);
    let mut teller: Option<Teller> = None;
    // What is measured before it is known who is to be told is told as well.
    let mut from = now_ms();
    loop {
        let (receiver, nobody) = {
            let elsewhere = &subjects.borrow().elsewhere;
            (elsewhere.remote_write.clone(), !elsewhere.is_told)
        };
        let (Some(receiver), Some(reader)) = (receiver, reader.get()) else {
            // Whoever is named later is told from then on.
            if nobody && !subjects.borrow().services.is_empty() {
                from = now_ms();
                if teller.take().is_some() {
                    forget(&file);
                }
            }
            pause(LOOK_EVERY_MS).await;
            continue;
        };
        let teller = teller.get_or_insert_with(|| Teller {
            client: client.clone(),
            subjects: subjects.clone(),
            pulse: Arc::clone(&pulse),
            // While nobody watched for long there was nothing to tell.
            cursor: Cursor::new(read(&file).map_or(from, |told| told.max(from - MAX_BEHIND_MS))),
            file: file.clone(),
        });
        teller.turn(reader, receiver).await;
    }
}

impl Teller {
    async fn turn(&mut self, reader: &Reader, receiver: Receiver) {
        let now = now_ms();
        let (first, last, told) = match self.cursor.next(now) {
            Next::Wait(until) => return pause(until - now).await,
            Next::Tell(first, last) => (first, last, true),
            Next::GiveUp(first, last) => (first, last, false),
        };
        let reading = reader.clone();
        let series = tokio::task::spawn_blocking(move || everything(&reading, first, last)).await;
        match series.map_err(|error| error.to_string()).and_then(|series| series) {
            Ok(series) if told => self.tell(batches(series).into(), receiver).await,
            Ok(series) => self.drop_all(&series, "they were not taken for too long"),
            Err(why) => {
                tracing::warn!(why, "samples cannot be read to be told elsewhere");
                self.failed(None);
                return;
            }
        }
        self.cursor.done(last);
        self.pulse.remote.behind_ms.store(now_ms() - last, Ordering::Relaxed);
        let (file, told) = (self.file.clone(), self.cursor.told());
        // Without it some are told again after a restart, or not at all.
        if let Err(error) = tokio::task::spawn_blocking(move || write(&file, told)).await.unwrap_or(Ok(())) {
            tracing::debug!(%error, "how far samples were told elsewhere is not on disk");
        }
    }

    /// Tells one request after the other, each until it is taken, refused or too old.
    async fn tell(&mut self, mut waiting: VecDeque<Vec<Series>>, mut receiver: Receiver) {
        while let Some(batch) = waiting.front() {
            let samples = count(batch);
            match self.send(batch, &receiver).await {
                Told::Taken => {
                    self.pulse.remote.sent.fetch_add(samples, Ordering::Relaxed);
                    waiting.pop_front();
                }
                Told::Refused(why) => {
                    let batch = waiting.pop_front().unwrap_or_default();
                    self.drop_all(&batch, &why);
                }
                Told::Failed(why, after) => {
                    if self.failed(after).is_multiple_of(SAY_EVERY) {
                        tracing::warn!(why, "samples are not taken elsewhere; they are told again");
                    }
                    loop {
                        let now = now_ms();
                        self.pulse.remote.behind_ms.store(now - self.cursor.told(), Ordering::Relaxed);
                        match self.cursor.next(now) {
                            Next::Wait(until) => pause(until - now).await,
                            Next::Tell(..) => break,
                            Next::GiveUp(..) => {
                                let rest: Vec<Series> = waiting.drain(..).flatten().collect();
                                return self.drop_all(&rest, "they were not taken for too long");
                            }
                        }
                    }
                    // It may be another one by now, or nobody; where its secrets cannot be read, it is the one before.
                    let elsewhere = &self.subjects.borrow().elsewhere;
                    match &elsewhere.remote_write {
                        Some(now) => receiver = now.clone(),
                        None if elsewhere.is_told => {}
                        None => return,
                    }
                }
            }
        }
    }

    async fn send(&self, batch: &[Series], receiver: &Receiver) -> Told {
        let more: Vec<(&str, &str)> = receiver.labels.iter().map(|(label, value)| (*label, value.as_str())).collect();
        let body = match snap::raw::Encoder::new().compress_vec(&encode(batch, &more)) {
            Ok(body) => body,
            Err(error) => return Told::Refused(error.to_string()),
        };
        let url = match receiver.url.url() {
            Ok(url) => url,
            Err(why) => return Told::Refused(why),
        };
        let mut request = self
            .client
            .post(url)
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-write-version", "0.1.0")
            .body(body);
        for (name, value) in &receiver.headers {
            let Ok(mut value) = reqwest::header::HeaderValue::from_str(value.expose()) else {
                return Told::Refused(format!("the header field {name} has characters that cannot be sent"));
            };
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Told::Failed(in_words(error), None),
        };
        let status = answer.status();
        if status.is_success() {
            return Told::Taken;
        }
        let after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
        if status.is_server_error() || matches!(status.as_u16(), 401 | 403 | 404 | 408 | 429) || status.is_redirection()
        {
            // An address or a token that is wrong is mended by somebody, and what was measured meanwhile is still there.
            return Told::Failed(
                format!("the receiver answered {status}"),
                after.map(|seconds| seconds.saturating_mul(1_000)),
            );
        }
        Told::Refused(format!("the receiver answered {status}"))
    }

    /// Counts a failure, and gives how many there were before.
    fn failed(&mut self, after_ms: Option<i64>) -> u64 {
        self.cursor.failed(now_ms(), after_ms, rand::random());
        self.pulse.remote.failures.fetch_add(1, Ordering::Relaxed)
    }

    fn drop_all(&self, series: &[Series], why: &str) {
        let samples = count(series);
        self.pulse.remote.dropped.fetch_add(samples, Ordering::Relaxed);
        tracing::warn!(samples, why, "samples are given up, and not told elsewhere");
    }
}

/// All series with a sample in this time, name by name: one name has never more series than one reading gives.
fn everything(reader: &Reader, first: i64, last: i64) -> Result<Vec<Series>, String> {
    let names = reader.label_values(NAME, &[], first, last).map_err(|error| error.to_string())?;
    let mut all = Vec::new();
    for name in names {
        // A step of a millisecond: every sample, as it was measured.
        let found = reader.select(&[Matcher::equal(NAME, &name)], first, last, 1, Keep::Last);
        all.extend(found.map_err(|error| error.to_string())?);
    }
    Ok(all)
}

fn count(series: &[Series]) -> u64 {
    series.iter().map(|one| one.samples.len() as u64).sum()
}

async fn pause(ms: i64) {
    tokio::time::sleep(Duration::from_millis(ms.clamp(1, LOOK_EVERY_MS).unsigned_abs())).await;
}

/// Up to when all was told, in milliseconds since 1970.
fn read(file: &Path) -> Option<i64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn write(file: &Path, told: i64) -> std::io::Result<()> {
    let passing = file.with_extension(format!("{}.new", clock::unique()));
    std::fs::write(&passing, told.to_string())?;
    std::fs::rename(&passing, file).inspect_err(|_| drop(std::fs::remove_file(&passing)))
}

fn forget(file: &Path) {
    // One that was never written is as good.
    let _ = std::fs::remove_file(file);
}
