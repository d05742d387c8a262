//! Several routers and one cache, as instances of a service have it: what one finds out about a model the others know.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be set up fails its test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ai::router::{Rules, Settings};
use ai::{Catalog, Completion, Deltas, Ending, Error, Finish, Message, Provider, Request, Role, Router};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::cache::Cache;
use tokio::sync::Semaphore;

/// How soon the others know: they listen every second.
const SOON: Duration = Duration::from_secs(3);

/// How long a breaker is open at first.
const SHORTEST: Duration = Duration::from_millis(2_500);

/// A model that fails or answers as it is told, when it is let.
#[derive(Debug)]
struct Model {
    fails: AtomicBool,
    calls: AtomicUsize,
    may_answer: Semaphore,
}

impl Provider for Model {
    fn name(&self) -> &'static str {
        "one"
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        async { Ok(vec![]) }.boxed()
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Completion, Error>> {
        async {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let _turn = self.may_answer.acquire().await.unwrap();
            if self.fails.load(Ordering::SeqCst) {
                return Err(Error::Failed { provider: "one".into(), status: 500, message: "as told".into() });
            }
            let ending = Ending { finish: Finish::Stop, usage: None };
            Ok(Completion { content: request.model.clone(), choices: None, ending })
        }
        .boxed()
    }

    fn stream<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, Result<Deltas, Error>> {
        unreachable!("nobody asks for a stream here")
    }
}

/// A model that fails, and instances that ask it.
fn instances<const N: usize>(cache: &Cache) -> (Arc<Model>, [Router; N]) {
    let (fails, may_answer) = (AtomicBool::new(true), Semaphore::new(100));
    let model = Arc::new(Model { fails, calls: AtomicUsize::new(0), may_answer });
    let breaker = Rules { failures: 2, shortest: SHORTEST, longest: Duration::from_mins(1) };
    let routers = std::array::from_fn(|_| {
        let providers: Vec<(Arc<dyn Provider>, Vec<String>)> = vec![(model.clone(), vec!["a".into()])];
        let catalog = Catalog::new(providers, &ai::price::Prices::default()).unwrap();
        let settings = Settings { retries: 0, breaker, ..Settings::default() };
        let router = Router::new(&catalog, settings).unwrap().shared_through(cache.clone());
        tokio::spawn(router.clone().keep_in_step());
        router
    });
    (model, routers)
}

async fn ask(router: &Router) -> Result<String, &'static str> {
    let messages = vec![Message { role: Role::User, content: "hi".into() }];
    let request = Request { model: "a".into(), messages, ..Request::default() };
    let admission = router.admit("a", 1).await.map_err(|error| error.code())?;
    let (completion, _) = router.complete(admission, 1, &request).await.map_err(|error| error.code())?;
    Ok(completion.content)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn is(router: &Router, state: &str) -> bool {
    router.health()[0].breaker == state
}

async fn break_it(router: &Router) {
    for _ in 0..2 {
        assert_eq!(ask(router).await, Err("model_failed"));
    }
}

#[tokio::test]
async fn what_one_instance_finds_out_the_others_know_soon() {
    let cache = Cache::in_process();
    let (model, [one, two]) = instances(&cache);
    break_it(&one).await;
    assert!(is(&two, "closed") && !two.health()[0].found_out_elsewhere);
    until("the other one knows", || is(&two, "open")).await;
    assert!(two.health()[0].found_out_elsewhere && !one.health()[0].found_out_elsewhere);
    assert_eq!((ask(&two).await, model.calls.load(Ordering::SeqCst)), (Err("model_suspended"), 2), "without asking it");

    let (_, [late]) = instances(&cache);
    until("one that comes later hears of it", || is(&late, "open")).await;
}

#[tokio::test]
async fn one_instance_at_a_time_probes_and_all_are_well_again() {
    let (model, [one, two, three]) = instances(&Cache::in_process());
    break_it(&one).await;
    until("the others know", || is(&two, "open") && is(&three, "open")).await;
    tokio::time::sleep(SHORTEST).await;
    // The probe is on its way for as long as it is not let.
    let held = model.may_answer.acquire_many(100).await.unwrap();
    model.fails.store(false, Ordering::SeqCst);
    let probe = tokio::spawn({
        let two = two.clone();
        async move { ask(&two).await }
    });
    until("the probe is on its way", || model.calls.load(Ordering::SeqCst) == 3).await;
    for router in [&one, &three, &two] {
        assert_eq!(ask(router).await, Err("model_suspended"));
    }
    assert_eq!(model.calls.load(Ordering::SeqCst), 3, "one at a time");
    drop(held);
    assert_eq!(probe.await.unwrap(), Ok("a".to_owned()));
    until("all are well again", || [&one, &two, &three].iter().all(|router| is(router, "closed"))).await;
    for router in [&one, &two, &three] {
        assert_eq!(ask(router).await, Ok("a".to_owned()));
    }
}

#[tokio::test]
async fn a_probe_that_fails_keeps_all_away_for_longer() {
    let (model, [one, two]) = instances(&Cache::in_process());
    break_it(&one).await;
    until("the other one knows", || is(&two, "open")).await;
    tokio::time::sleep(SHORTEST).await;
    assert_eq!(ask(&two).await, Err("model_failed"), "the probe");
    until("the one that had found it out knows", || one.health()[0].found_out_elsewhere).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((ask(&one).await, ask(&two).await), (Err("model_suspended"), Err("model_suspended")));
    assert_eq!(model.calls.load(Ordering::SeqCst), 3);
    tokio::time::sleep(2 * SHORTEST).await;
    model.fails.store(false, Ordering::SeqCst);
    assert_eq!(ask(&one).await, Ok("a".to_owned()), "twice as long is over");
}

#[tokio::test]
async fn without_the_cache_each_instance_finds_out_by_itself() {
    let away = Cache::connect(Some(&"redis://127.0.0.1:1/".to_owned().into())).unwrap();
    let (model, [one, two]) = instances(&away);
    break_it(&one).await;
    assert_eq!(ask(&one).await, Err("model_suspended"));
    break_it(&two).await;
    tokio::time::sleep(SHORTEST).await;
    model.fails.store(false, Ordering::SeqCst);
    assert_eq!((ask(&one).await, ask(&two).await), (Ok("a".to_owned()), Ok("a".to_owned())), "each its own probe");
}

#[tokio::test]
async fn a_cache_that_forgets_opens_and_closes_nothing() {
    let cache = Cache::in_process();
    let (_, [one, two]) = instances(&cache);
    break_it(&one).await;
    until("the other one knows", || is(&two, "open")).await;
    cache.delete("ai:breaker:one:a").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(is(&one, "open") && is(&two, "open"));
}
