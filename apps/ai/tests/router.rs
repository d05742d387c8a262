//! The router against real providers over HTTP: retries, fallbacks, breakers and queues, and where each of them ends.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be set up fails its test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ai::router::{Rules, Settings};
use ai::{Catalog, Completion, Delta, Deltas, Ending, Error, Finish, Message, Provider, Request, Role, Router};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};

/// A provider that fails so many calls, then answers.
#[derive(Debug)]
struct Fails {
    name: &'static str,
    times: AtomicUsize,
    calls: AtomicUsize,
    /// Fail behind the first piece rather than before it.
    late: bool,
}

impl Fails {
    fn new(name: &'static str, times: usize, late: bool) -> Arc<Self> {
        Arc::new(Self { name, times: AtomicUsize::new(times), calls: AtomicUsize::new(0), late })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn fails(&self) -> bool {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    fn error(&self) -> Error {
        Error::Failed { provider: self.name.into(), status: 500, message: "as told".into() }
    }
}

const END: Ending = Ending { finish: Finish::Stop, usage: None };

impl Provider for Fails {
    fn name(&self) -> &str {
        self.name
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        async { Ok(vec![]) }.boxed()
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Completion, Error>> {
        let outcome = if self.fails() { Err(self.error()) } else { Ok(request.model.clone()) };
        async { outcome.map(|content| Completion { content, choices: None, ending: END }) }.boxed()
    }

    fn stream<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Deltas, Error>> {
        let first = Delta::Content(request.model.clone());
        let items = match (self.fails(), self.late) {
            (false, _) => vec![Ok(first), Ok(Delta::End(END))],
            (true, true) => vec![Ok(first), Err(self.error())],
            (true, false) => vec![Err(self.error())],
        };
        async { Ok(stream::iter(items).boxed() as Deltas) }.boxed()
    }
}

fn settings() -> Settings {
    Settings {
        retries: 1,
        breaker: Rules { failures: 4, shortest: Duration::from_secs(5), longest: Duration::from_mins(1) },
        ..Settings::default()
    }
}

fn router(first: &Arc<Fails>, second: &Arc<Fails>, settings: Settings) -> Router {
    let providers: Vec<(Arc<dyn Provider>, Vec<String>)> =
        vec![(first.clone(), vec!["a".into()]), (second.clone(), vec!["b".into()])];
    let catalog = Catalog::new(providers, &ai::price::Prices::default()).unwrap();
    Router::new(&catalog, settings).unwrap()
}

fn request() -> Request {
    let messages = vec![Message { role: Role::User, content: "hi".into() }];
    Request { model: "a".into(), messages, ..Request::default() }
}

/// Both kinds of call: what was said by whom, or the error's code.
async fn ask(router: &Router, streams: bool) -> Result<(String, String), &'static str> {
    let admission = router.admit("a", 1).await.map_err(|e| e.code())?;
    if !streams {
        let (completion, offer) = router.complete(admission, 1, &request()).await.map_err(|e| e.code())?;
        return Ok((completion.content, offer.model));
    }
    let (mut deltas, offer) = router.stream(admission, 1, &request()).await.map_err(|e| e.code())?;
    let mut text = String::new();
    while let Some(delta) = deltas.next().await {
        match delta {
            Ok(Delta::Content(piece)) => text += &piece,
            Ok(_) => {}
            Err(error) => {
                assert!(deltas.next().await.is_none());
                return Err(error.code());
            }
        }
    }
    Ok((text, offer.model))
}

#[expect(clippy::unnecessary_wraps, reason = "compared with what may be an error")]
fn said(model: &str) -> Result<(String, String), &'static str> {
    Ok((model.to_owned(), model.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_first_piece_is_tried_again() {
    for streams in [false, true] {
        let (a, b) = (Fails::new("one", 1, false), Fails::new("two", 0, false));
        assert_eq!(ask(&router(&a, &b, settings()), streams).await, said("a"));
        assert_eq!((a.calls(), b.calls()), (2, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_is_followed_before_the_first_piece_and_never_after_it() {
    let fallbacks = vec![("a".to_owned(), vec!["b".to_owned()])];
    for streams in [false, true] {
        let (a, b) = (Fails::new("one", 9, false), Fails::new("two", 0, false));
        let router = router(&a, &b, Settings { fallbacks: fallbacks.clone(), ..settings() });
        assert_eq!(ask(&router, streams).await, said("b"));
        assert_eq!((a.calls(), b.calls()), (2, 1));
    }
    let (a, b) = (Fails::new("one", 9, true), Fails::new("two", 0, false));
    let router = router(&a, &b, Settings { fallbacks, ..settings() });
    assert_eq!(ask(&router, true).await, Err("model_failed"));
    assert_eq!((a.calls(), b.calls()), (1, 0), "what was begun is not replaced");
}

#[tokio::test(start_paused = true)]
async fn all_open_is_refused_at_once_and_a_probe_heals_it() {
    let (a, b) = (Fails::new("one", 4, false), Fails::new("two", 0, false));
    let router = router(&a, &b, settings());
    for _ in 0..2 {
        assert_eq!(ask(&router, true).await, Err("model_failed"));
    }
    let began = tokio::time::Instant::now();
    assert_eq!(ask(&router, true).await, Err("model_suspended"));
    assert_eq!((a.calls(), began.elapsed()), (4, Duration::ZERO), "without asking or waiting");
    let health = router.health();
    assert_eq!((health[0].breaker, health[0].opens_in_seconds, health[1].breaker), ("open", Some(5), "closed"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(ask(&router, true).await, said("a"));
    assert_eq!(router.health()[0].breaker, "closed");
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_leads_to_the_next_of_the_chain() {
    let (a, b) = (Fails::new("one", 4, false), Fails::new("two", 0, false));
    let fallbacks = vec![("a".to_owned(), vec!["b".to_owned()])];
    let router = router(&a, &b, Settings { fallbacks, ..settings() });
    for _ in 0..3 {
        assert_eq!(ask(&router, false).await, said("b"));
    }
    assert_eq!((a.calls(), b.calls()), (4, 3));
}

#[tokio::test(start_paused = true)]
async fn more_calls_than_places_wait_and_are_turned_away() {
    let (a, b) = (Fails::new("one", 0, false), Fails::new("two", 0, false));
    let router = router(&a, &b, Settings { places: vec![("a".into(), 1)], most_waiting: 1, ..settings() });
    let first = router.admit("a", 1).await.unwrap();
    let waiting = tokio::spawn({
        let router = router.clone();
        async move { ask(&router, true).await }
    });
    while router.health()[0].waiting == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(router.admit("a", 2).await.unwrap_err().code(), "busy");
    drop(first);
    assert_eq!(waiting.await.unwrap(), said("a"));
    assert_eq!(router.health()[0].running, 0, "every place is given back");
}
