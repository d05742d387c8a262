//! The way of a call to a model: a place in the queue, the circuit breaker, tries with pauses, and the models to fall back
//! on. All of it ends with the first piece of the answer: what somebody has begun to read is never replaced by something else.
//!
//! Plain and streamed calls take the same way ([`Router::ask`]). Places are of this process; what breakers find out is shared by
//! instances where there is a cache to do it through (`shared.rs`).

mod breaker;
mod queue;
mod retry;
mod shared;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout_at};

use crate::provider::{Completion, Delta, Deltas, Request};
use crate::{Catalog, Error, Offer, Phase};

pub use breaker::{Rules, State};
pub use queue::{Place, Places, Who};

use breaker::{Breaker, Outcome};
use retry::Next;
use shared::{Known, Shared};

/// How calls are routed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Calls after the first to the same model (`AI_RETRIES`).
    pub retries: u32,
    /// When breakers open (`AI_BREAKER_FAILURES`).
    pub breaker: Rules,
    /// Calls at once, by model; `*` for every model not named (`AI_CONCURRENCY`).
    pub places: Vec<(String, usize)>,
    /// Calls that may wait for a place, for each model (`AI_QUEUE`).
    pub most_waiting: usize,
    /// How long one of them waits.
    pub patience: Duration,
    /// Which models are asked, in order, when one does not answer (`AI_FALLBACKS`).
    pub fallbacks: Vec<(String, Vec<String>)>,
    /// The time for a call as a whole, all tries and fallbacks together (`AI_TIMEOUT_TOTAL_MS`).
    pub total: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // Two more: one covers a connection that broke, the second a provider that is just restarting.
            retries: 2,
            breaker: Rules { failures: 10, shortest: Duration::from_secs(5), longest: Duration::from_mins(1) },
            places: vec![("*".into(), 1024)],
            // A waiting call costs little; more than one for each place would not be served in time anyway.
            most_waiting: 1024,
            // About one answer's time.
            patience: Duration::from_secs(5),
            fallbacks: Vec::new(),
            total: crate::timeouts::Timeouts::default().total,
        }
    }
}

/// One model at one provider.
#[derive(Debug)]
struct Line {
    offer: Offer,
    breaker: Mutex<Breaker>,
    /// The last that was told to other instances, or heard from them.
    known: tokio::sync::Mutex<Known>,
    /// Whether it is open for what another instance found out.
    heard: AtomicBool,
    places: Places,
    /// Where to go when it does not answer, by position.
    fallbacks: Vec<usize>,
}

/// All models, with what is known of their health.
#[derive(Debug, Clone)]
pub struct Router {
    lines: Arc<[Arc<Line>]>,
    settings: Arc<Settings>,
    began: Instant,
    /// Where instances tell one another.
    shared: Option<Arc<Shared>>,
}

/// A call that has its place and may go to its model.
#[derive(Debug)]
pub struct Admission {
    /// The models to ask, by position, the one of the place first.
    chain: Vec<usize>,
    place: Place,
}

/// How a model is doing, for operators.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// The model.
    pub model: String,
    /// Who answers for it.
    pub provider: String,
    /// `closed` (calls pass), `open` (none does) or `probing` (one does).
    pub breaker: &'static str,
    /// Whether another instance found out that it fails.
    pub found_out_elsewhere: bool,
    /// How long none will pass, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens_in_seconds: Option<u64>,
    /// Calls under way.
    pub running: usize,
    /// Calls that wait for a place.
    pub waiting: usize,
    /// Asked in this order when it does not answer.
    pub fallbacks: Vec<String>,
}

/// What came of a call.
enum Got {
    Whole(Completion),
    Begun(Delta, Deltas),
}

impl Router {
    /// Prepares the ways to all models of the catalogue. Says which setting names a model that is not there.
    pub fn new(catalog: &Catalog, settings: Settings) -> Result<Self, String> {
        let offers = catalog.offers();
        let find = |model: &str, of: &str| {
            let known = offers.iter().position(|offer| offer.model == model);
            known.ok_or_else(|| format!("{of} names the model {model:?}, which is not offered"))
        };
        for (model, _) in settings.places.iter().filter(|(model, _)| model != "*") {
            find(model, "AI_CONCURRENCY")?;
        }
        let mut chains = vec![Vec::new(); offers.len()];
        for (model, chain) in &settings.fallbacks {
            let from = find(model, "AI_FALLBACKS")?;
            for next in chain {
                let to = find(next, "AI_FALLBACKS")?;
                if to == from || chains[from].contains(&to) {
                    return Err(format!("AI_FALLBACKS leads from {model:?} to {next:?} twice"));
                }
                chains[from].push(to);
            }
        }
        let lines = offers.iter().zip(chains).map(|(offer, fallbacks)| {
            let of = |name: &str| settings.places.iter().find(|(model, _)| model == name).map(|(_, places)| *places);
            let places = of(&offer.model).or_else(|| of("*")).unwrap_or(1024);
            let places = Places::new(places, settings.most_waiting, settings.patience);
            let line = Line {
                offer: offer.clone(),
                breaker: Mutex::default(),
                known: tokio::sync::Mutex::default(),
                heard: AtomicBool::new(false),
                places,
                fallbacks,
            };
            Arc::new(line)
        });
        Ok(Self { lines: lines.collect(), settings: Arc::new(settings), began: Instant::now(), shared: None })
    }

    /// Lets a call to `model` in: refused at once where the breakers of it and of all it falls back on are open, or where
    /// there is no place in time.
    pub async fn admit(&self, model: &str, who: Who) -> Result<Admission, Error> {
        let missing = || Error::BadAnswer { provider: "none".into(), reason: format!("{model:?} is not offered") };
        let asked = self.lines.iter().position(|line| line.offer.model == model).ok_or_else(missing)?;
        let mut chain = vec![asked];
        chain.extend(&self.lines[asked].fallbacks);
        let now = self.began.elapsed();
        let refused = |line: &usize| lock(&self.lines[*line].breaker).passes(now).err();
        let shut: Vec<Duration> = chain.iter().filter_map(refused).collect();
        if shut.len() == chain.len() {
            let retry_after = shut.into_iter().min().unwrap_or_default();
            return Err(self.lines[asked].suspended(retry_after));
        }
        chain.retain(|line| refused(line).is_none());
        let line = &self.lines[chain[0]];
        let place = line.places.take(who).await.map_err(|_| line.busy())?;
        Ok(Admission { chain, place })
    }

    /// The whole answer, and who gave it.
    pub async fn complete(
        &self,
        admission: Admission,
        who: Who,
        request: &Request,
    ) -> Result<(Completion, Offer), Error> {
        let (got, mut call) = self.ask(admission, who, request, false).await?;
        match got {
            Got::Whole(completion) => {
                call.report(Outcome::Good);
                Ok((completion, call.line.offer.clone()))
            }
            Got::Begun(..) => Err(call.line.bad("it streams what was asked for as a whole")),
        }
    }

    /// The answer as it is written, from its first piece on, and who gives it.
    pub async fn stream(&self, admission: Admission, who: Who, request: &Request) -> Result<(Deltas, Offer), Error> {
        let (got, call) = self.ask(admission, who, request, true).await?;
        match got {
            Got::Begun(first, rest) => {
                let offer = call.line.offer.clone();
                Ok((Box::pin(Watched { first: Some(first), rest, call }), offer))
            }
            Got::Whole(_) => Err(call.line.bad("it gives as a whole what was asked for as a stream")),
        }
    }

    async fn ask(
        &self,
        admission: Admission,
        who: Who,
        request: &Request,
        streams: bool,
    ) -> Result<(Got, Call), Error> {
        let deadline = Instant::now() + self.settings.total;
        let Admission { chain, place } = admission;
        let mut place = Some(place);
        let mut failed = None;
        for (position, line) in chain.iter().enumerate() {
            let line = &self.lines[*line];
            let further = position + 1 < chain.len();
            if position > 0 {
                metrics::counter!("ai_fallbacks_total", "model" => line.offer.model.clone()).increment(1);
            }
            let taken = match place.take() {
                Some(place) => Ok(place),
                None => line.places.take(who).await.map_err(|_| line.busy()),
            };
            let mut taken = match taken {
                Ok(place) => Some(place),
                Err(busy) => {
                    // What went wrong before says more than that there was no place to go to.
                    failed.get_or_insert(busy);
                    continue;
                }
            };
            let mut tries = 0;
            loop {
                tries += 1;
                let error = if let Err(wait) = self.pass(line).await {
                    line.suspended(wait)
                } else {
                    let mut call = self.call(line, taken.take());
                    match line.once(request, streams, deadline, self.settings.total).await {
                        Ok(got) => return Ok((got, call)),
                        Err(error) => {
                            call.report(if error.is_fault() { Outcome::Bad } else { Outcome::Unknown });
                            taken = call.place.take();
                            error
                        }
                    }
                };
                let left = deadline.saturating_duration_since(Instant::now());
                let next = retry::next(&error, tries, self.settings.retries, further, left, rand::random());
                tracing::info!(%error, model = line.offer.model, tries, next = ?next, "a call to a model failed");
                match next {
                    Next::Again(pause) => {
                        metrics::counter!("ai_retries_total", "model" => line.offer.model.clone()).increment(1);
                        sleep(pause).await;
                    }
                    Next::GiveUp => return Err(error),
                    Next::Further => {
                        failed = Some(error);
                        break;
                    }
                }
            }
        }
        Err(failed.unwrap_or_else(|| self.lines[chain[0]].suspended(Duration::from_secs(1))))
    }

    fn call(&self, line: &Arc<Line>, place: Option<Place>) -> Call {
        let (rules, shared) = (self.settings.breaker, self.shared.clone());
        Call { line: line.clone(), place, rules, began: self.began, shared, reported: false }
    }

    /// How every model is doing.
    pub fn health(&self) -> Vec<Health> {
        let now = self.began.elapsed();
        let health = |line: &Arc<Line>| {
            let breaker = *lock(&line.breaker);
            let (running, waiting) = line.places.count();
            let name = |line: &usize| self.lines[*line].offer.model.clone();
            Health {
                model: line.offer.model.clone(),
                provider: line.offer.provider.name().to_owned(),
                breaker: word(breaker.state()),
                found_out_elsewhere: line.heard.load(Ordering::Relaxed),
                opens_in_seconds: breaker.passes(now).err().map(|wait| wait.as_secs().max(1)),
                running,
                waiting,
                fallbacks: line.fallbacks.iter().map(name).collect(),
            }
        };
        self.lines.iter().map(health).collect()
    }
}

impl Line {
    /// One call. A stream counts as begun with its first piece; without one it has failed.
    async fn once(&self, request: &Request, streams: bool, deadline: Instant, total: Duration) -> Result<Got, Error> {
        // A fallback is asked for by its own name.
        let own;
        let request = if request.model == self.offer.model {
            request
        } else {
            own = Request { model: self.offer.model.clone(), ..request.clone() };
            &own
        };
        let provider = &self.offer.provider;
        let call = async {
            if !streams {
                return provider.complete(request).await.map(Got::Whole);
            }
            let mut deltas = provider.stream(request).await?;
            match deltas.next().await {
                Some(first) => Ok(Got::Begun(first?, deltas)),
                None => Err(self.bad("its stream holds nothing")),
            }
        };
        let late = |_| Error::TimedOut { provider: provider.name().to_owned(), phase: Phase::Total, limit: total };
        timeout_at(deadline, call).await.map_err(late)?
    }

    /// Says and counts what a breaker did.
    fn changed(&self, before: State, after: State, heard: bool) {
        let (model, provider) = (self.offer.model.clone(), self.offer.provider.name().to_owned());
        if before != after {
            tracing::warn!(
                model,
                provider,
                before = word(before),
                after = word(after),
                heard,
                "a circuit breaker changed"
            );
        }
        let open = if after == State::Closed { 0.0 } else { 1.0 };
        metrics::gauge!("ai_breaker_open", "model" => model, "provider" => provider).set(open);
    }

    fn suspended(&self, retry_after: Duration) -> Error {
        let (provider, model) = (self.offer.provider.name().to_owned(), self.offer.model.clone());
        // The next whole second, since that is what `Retry-After` can say.
        Error::Suspended { provider, model, retry_after: Duration::from_secs(retry_after.as_secs() + 1) }
    }

    fn busy(&self) -> Error {
        Error::Busy { provider: self.offer.provider.name().to_owned(), model: self.offer.model.clone() }
    }

    fn bad(&self, reason: &str) -> Error {
        Error::BadAnswer { provider: self.offer.provider.name().to_owned(), reason: reason.into() }
    }
}

/// A call under way: holds its place, and tells the breaker how it went, at the latest when it is dropped.
struct Call {
    line: Arc<Line>,
    place: Option<Place>,
    rules: Rules,
    began: Instant,
    shared: Option<Arc<Shared>>,
    reported: bool,
}

impl Call {
    fn report(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.reported, true) {
            return;
        }
        let (before, after) = {
            let mut breaker = lock(&self.line.breaker);
            let before = breaker.state();
            breaker.report(outcome, self.began.elapsed(), &self.rules);
            (before, breaker.state())
        };
        self.line.changed(before, after, false);
        if before != after
            && let Some(shared) = &self.shared
        {
            shared.changed.notify_one();
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.report(Outcome::Unknown);
    }
}

/// A stream whose end the breaker hears of.
struct Watched {
    first: Option<Delta>,
    rest: Deltas,
    call: Call,
}

impl Stream for Watched {
    type Item = Result<Delta, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(first))),
            None => self.rest.poll_next_unpin(context),
        };
        match &next {
            Poll::Ready(Some(Ok(Delta::End(_)))) => self.call.report(Outcome::Good),
            Poll::Ready(Some(Err(error))) => {
                // Whoever goes on speaking until the time is over was asked for too much.
                let speaks = matches!(error, Error::TimedOut { phase: Phase::Total, .. });
                let outcome = if error.is_fault() && !speaks { Outcome::Bad } else { Outcome::Unknown };
                self.call.report(outcome);
            }
            _ => {}
        }
        next
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::Open { .. } => "open",
        State::Probing { .. } => "probing",
    }
}

fn lock(breaker: &Mutex<Breaker>) -> std::sync::MutexGuard<'_, Breaker> {
    breaker.lock().unwrap_or_else(PoisonError::into_inner)
}
