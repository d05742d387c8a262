//! The client against a real echo over HTTP: every way an answer can end, plain and streamed, OpenAI's and Azure's address.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be set up fails its test")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ai::echo::{Calls, Settings};
use ai::openai::{Address, Client, Setup};
use ai::timeouts::Timeouts;
use ai::{Delta, Error, Finish, Message, Phase, Provider, Request, Role};
use futures_util::StreamExt;

/// Short limits, so that a stall is found quickly; the answers of echo take microseconds.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(2),
    first_byte: Duration::from_secs(2),
    between_tokens: Duration::from_millis(200),
    total: Duration::from_secs(5),
};

struct Fixture {
    address: SocketAddr,
    calls: Arc<Calls>,
}

impl Fixture {
    async fn start() -> Self {
        let (router, _, calls) = ai::echo::service(Settings::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, calls }
    }

    fn client(&self, timeouts: Timeouts) -> Client {
        let base = format!("http://{}/v1", self.address).parse().unwrap();
        let address = Address::Compatible { base, key: Some("any".into()) };
        Client::new(Setup { name: "echo".into(), address, models: vec!["echo".into(), "gone".into()], timeouts })
            .unwrap()
    }

    fn azure(&self) -> Client {
        let address = Address::Azure {
            endpoint: format!("http://{}", self.address).parse().unwrap(),
            deployment: "gpt-4o-mini".into(),
            api_version: "2024-10-21".into(),
            key: "k".into(),
        };
        let models = vec!["gpt-4o-mini".into()];
        Client::new(Setup { name: "azure".into(), address, models, timeouts: TIMEOUTS }).unwrap()
    }
}

fn ask(model: &str, text: &str) -> Request {
    let messages = vec![Message { role: Role::User, content: text.into() }];
    Request { model: model.into(), messages, ..Request::default() }
}

/// The texts of a stream and how it ended.
async fn collect(client: &Client, request: &Request) -> (String, Result<ai::Ending, Error>) {
    let mut text = String::new();
    let mut deltas = match client.stream(request).await {
        Ok(deltas) => deltas,
        Err(error) => return (text, Err(error)),
    };
    let mut ending = None;
    while let Some(delta) = deltas.next().await {
        assert!(ending.is_none(), "nothing follows the end");
        match delta {
            Ok(Delta::Content(piece)) => text += &piece,
            Ok(Delta::Choices(choices)) => text += &serde_json::Value::from(choices).to_string(),
            Ok(Delta::End(end)) => ending = Some(Ok(end)),
            Err(error) => ending = Some(Err(error)),
        }
    }
    (text, ending.expect("a stream ends with an end or an error, never in silence"))
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("within 5 s: {what}");
}

#[tokio::test]
async fn answers_are_the_same_plain_and_streamed() {
    let echo = Fixture::start().await;
    for (client, model) in [(echo.client(TIMEOUTS), "echo"), (echo.azure(), "gpt-4o-mini")] {
        let request = ask(model, "grüß dich, Welt");
        let plain = client.complete(&request).await.unwrap();
        assert_eq!(plain.content, "You said: grüß dich, Welt");
        assert_eq!(plain.ending.finish, Finish::Stop);
        assert_eq!(plain.ending.usage.unwrap().total_tokens, 3 + 5);
        let (text, ending) = collect(&client, &request).await;
        assert_eq!((text, ending.unwrap()), (plain.content, plain.ending));
    }
}

#[tokio::test]
async fn every_way_to_fail_has_its_error() {
    let echo = Fixture::start().await;
    let client = echo.client(TIMEOUTS);
    // what is said, error of the plain call, error of the stream, text that was streamed before it
    for (text, plain, streamed, before) in [
        ("a b c [fail=500]", "model_failed", "model_failed", ""),
        ("a b c [fail=429]", "model_rate_limited", "model_rate_limited", ""),
        ("a b c [fail=400]", "model_refused", "model_refused", ""),
        ("a b c [abort=2]", "model_stream_broken", "model_stream_broken", "You said:"),
        ("a b c [abort=0]", "model_stream_broken", "model_stream_broken", ""),
        ("a b c [garbage=3]", "model_bad_answer", "model_bad_answer", "You said: a"),
        ("a b c [end=4]", "model_bad_answer", "model_stream_broken", "You said: a b"),
    ] {
        let request = ask("echo", text);
        assert_eq!(client.complete(&request).await.unwrap_err().code(), plain, "{text}");
        let (got, ending) = collect(&client, &request).await;
        assert_eq!((got.as_str(), ending.unwrap_err().code()), (before, streamed), "{text}");
    }
    let unknown = client.complete(&ask("nothing", "hi")).await.unwrap_err();
    assert!(
        matches!(&unknown, Error::Refused { status: 404, code: Some(code), .. } if code == "model_not_found"),
        "{unknown}"
    );
    let limited = client.complete(&ask("echo", "[fail=429]")).await.unwrap_err();
    assert_eq!(limited.retry_after(), Some(Duration::from_secs(1)));
}

#[tokio::test]
async fn each_time_limit_names_itself() {
    let echo = Fixture::start().await;
    let stalled = ask("echo", "a b c [stall=2]");
    let (text, ending) = collect(&echo.client(TIMEOUTS), &stalled).await;
    assert_eq!(text, "You said:");
    assert!(matches!(ending, Err(Error::TimedOut { phase: Phase::BetweenTokens, .. })), "{ending:?}");

    let impatient = Timeouts { first_byte: Duration::from_millis(100), ..TIMEOUTS };
    let (_, ending) = collect(&echo.client(impatient), &ask("echo", "[stall=0]")).await;
    assert!(matches!(ending, Err(Error::TimedOut { phase: Phase::FirstByte, .. })), "{ending:?}");

    let short = Timeouts { total: Duration::from_millis(300), ..TIMEOUTS };
    let (_, ending) = collect(&echo.client(short), &ask("echo", "[delay=20] [words=1000]")).await;
    assert!(matches!(ending, Err(Error::TimedOut { phase: Phase::Total, .. })), "{ending:?}");
    let plain = echo.client(short).complete(&ask("echo", "[stall=0]")).await;
    assert!(matches!(plain, Err(Error::TimedOut { phase: Phase::Total, .. })), "{plain:?}");
}

#[tokio::test]
async fn a_dropped_call_reaches_the_provider_as_cancelled() {
    let echo = Fixture::start().await;
    let client = echo.client(TIMEOUTS);
    let mut deltas = client.stream(&ask("echo", "[delay=50] [words=1000]")).await.unwrap();
    deltas.next().await.unwrap().unwrap();
    assert_eq!(echo.calls.count().open, 1);
    drop(deltas);
    until("echo sees the stream cancelled", || echo.calls.count().cancelled == 1).await;

    let plain = tokio::spawn(async move { client.complete(&ask("echo", "[stall=0]")).await });
    until("the plain call has begun", || echo.calls.count().started == 2).await;
    plain.abort();
    until("echo sees the plain call cancelled", || echo.calls.count().cancelled == 2).await;
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let base = format!("http://{address}/v1").parse().unwrap();
    let setup = Setup {
        name: "gone".into(),
        address: Address::Compatible { base, key: None },
        models: vec!["m".into()],
        timeouts: TIMEOUTS,
    };
    let error = Client::new(setup).unwrap().complete(&ask("m", "hi")).await.unwrap_err();
    assert_eq!(error.code(), "model_unreachable", "{error}");
}

#[tokio::test]
async fn only_models_that_the_endpoint_serves_are_listed() {
    let echo = Fixture::start().await;
    assert_eq!(echo.client(TIMEOUTS).models().await.unwrap(), ["echo"]);
    assert_eq!(echo.azure().models().await.unwrap(), ["gpt-4o-mini"]);
}
