//! A small service that can be told to misbehave, for tests.
//!
//! Listens on `$PORT`; answers `/` with its id, and obeys `/crash`, `/unready`, `/ready`, `/hang`, `/slow/MILLIS`,
//! `/take/MIB` and `/print/LINES`; `/work` fails as often as `$FAILS` says and takes `$WORK_MILLIS`; `/stream` says something every
//! tenth of a second, for two seconds. At `/socket` it takes a WebSocket, as far as a test needs one, says everything back, and in `x-version` what `$VERSION` is. With the argument `migrate` it appends a line to the file `$MIGRATIONS` and ends, with
//! code 1 where `$FAIL_MIGRATION` is set, after `$MIGRATION_MILLIS`; it makes the file `$BREAKS`, and as long as the file `$BROKEN_BY` is there
//! nothing is ready. `$CRASH_AT_START` ends it with code 3 at once; `$START_MILLIS` delays its start.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Default)]
struct Mood {
    unready: AtomicBool,
    hangs: AtomicBool,
    memory: std::sync::Mutex<Vec<Vec<u8>>>,
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("migrate") {
        return migrate();
    }
    if variable("CRASH_AT_START").is_some() {
        eprintln!("this instance crashes at its start");
        std::process::exit(3);
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(serve());
}

fn migrate() {
    println!("migrating");
    if let Some(path) = variable("MIGRATIONS") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).expect("open");
        writeln!(file, "{}", variable("MANA_INSTANCE").unwrap_or_default()).expect("write");
    }
    if let Some(millis) = variable("MIGRATION_MILLIS") {
        std::thread::sleep(Duration::from_millis(millis.parse().expect("a number")));
    }
    if let Some(path) = variable("BREAKS") {
        std::fs::write(path, "a column is gone").expect("write");
    }
    if variable("FAIL_MIGRATION").is_some() {
        eprintln!("no such table: users");
        std::process::exit(1);
    }
}

/// Fails in so many of a hundred cases as `$FAILS` says.
async fn work() -> StatusCode {
    static ASKED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    if let Some(millis) = variable("WORK_MILLIS") {
        tokio::time::sleep(Duration::from_millis(millis.parse().expect("a number"))).await;
    }
    let percent: u64 = variable("FAILS").map_or(0, |percent| percent.parse().expect("a number"));
    let turn = ASKED.fetch_add(37, Ordering::Relaxed) % 100;
    if turn < percent { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
}

async fn stream() -> Body {
    Body::from_stream(futures_util::stream::unfold(0, async |said| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        (said < 20).then(|| (Ok::<_, std::io::Error>(format!("{said}\n")), said + 1))
    }))
}

async fn serve() {
    if let Some(millis) = variable("START_MILLIS") {
        tokio::time::sleep(Duration::from_millis(millis.parse().expect("a number"))).await;
    }
    let port: u16 = variable("PORT").expect("PORT is set").parse().expect("PORT is a number");
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("bind");
    let id = variable("MANA_INSTANCE").expect("MANA_INSTANCE is set");
    println!("{id} listens on {port}");
    let app = Router::new()
        .route("/", get(move || async move { id }))
        .route("/env/{name}", get(|Path(name): Path<String>| async move { variable(&name).unwrap_or_default() }))
        .route("/api/health", get(live))
        .route("/api/health/ready", get(ready))
        .route("/work", get(work))
        .route("/stream", get(stream))
        .route("/crash", get(async || -> () { std::process::exit(3) }))
        .route("/unready", get(async |State(mood): State<Arc<Mood>>| mood.unready.store(true, Ordering::Relaxed)))
        .route("/ready", get(async |State(mood): State<Arc<Mood>>| mood.unready.store(false, Ordering::Relaxed)))
        .route("/hang", get(async |State(mood): State<Arc<Mood>>| mood.hangs.store(true, Ordering::Relaxed)))
        .route(
            "/slow/{millis}",
            get(async |Path(millis): Path<u64>| {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                "slow"
            }),
        )
        .route("/socket", get(socket))
        .route(
            "/take/{mib}",
            get(async |State(mood): State<Arc<Mood>>, Path(mib): Path<usize>| {
                mood.memory.lock().expect("lock").push(vec![1; mib * 1024 * 1024]);
            }),
        )
        .route(
            "/print/{lines}",
            get(async |Path(lines): Path<usize>| {
                for line in 0..lines {
                    println!("line {line}");
                }
            }),
        )
        .with_state(Arc::new(Mood::default()));
    let mut terminate = signal(SignalKind::terminate()).expect("signal");
    let stop = async move {
        if variable("IGNORE_TERM").is_some() {
            std::future::pending::<()>().await;
        }
        terminate.recv().await;
        println!("finishing what is in flight");
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await.expect("serve");
}

async fn socket(request: Request) -> Response {
    let upgraded = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded.await.expect("an upgrade")));
        // Whoever goes away ends it.
        let _ended = tokio::io::copy(&mut read, &mut write).await;
    });
    let answer = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    let answer = answer.header("connection", "upgrade").header("upgrade", "websocket");
    let answer = answer.header("x-version", variable("VERSION").unwrap_or_default());
    answer.body(Body::empty()).expect("an answer")
}

async fn live(State(mood): State<Arc<Mood>>) -> &'static str {
    if mood.hangs.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    "ok"
}

async fn ready(State(mood): State<Arc<Mood>>) -> (StatusCode, &'static str) {
    if mood.hangs.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    let broken = variable("BROKEN_BY").is_some_and(|path| std::path::Path::new(&path).exists());
    if broken || mood.unready.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "{\"database\": \"no table\"}")
    } else {
        (StatusCode::OK, "{}")
    }
}
