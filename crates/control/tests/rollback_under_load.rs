//! A rollback under load of every kind: quick requests, slow ones, streams and WebSockets. What is with the new version may end there, what is
//! new reaches the old one, and nobody is cut before the time that the manifest gives.

mod support;

use std::time::{Duration, Instant};

use mana_control::api::PutBack;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use support::shop::{SHOP, WARM, deploy, reaches, release, shop, slots, version, write_program};
use support::{Ecosystem, Load, get, until, websocket_to};

/// How long what is with the new version may go on.
const DRAIN: Duration = Duration::from_secs(8);
/// Nothing is said in the last moment, where an echo and the goodbye would meet.
const QUIET: Duration = Duration::from_secs(1);
/// The edge notices deadlines ten times a second.
const TICK: Duration = Duration::from_millis(100);
/// As many of each as a small service has.
const SOCKETS: usize = 20;
const SLOW: usize = 10;

/// Says something and hears it back.
async fn echoes(socket: &mut TcpStream) -> std::io::Result<()> {
    const HI: &[u8] = b"\x81\x02hi";
    socket.write_all(HI).await?;
    let mut heard = [0; HI.len()];
    socket.read_exact(&mut heard).await?;
    assert_eq!(heard, HI);
    Ok(())
}

async fn open(port: u16, version: &str) -> Vec<TcpStream> {
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        let (mut socket, led_to) = websocket_to(port).await;
        assert_eq!(led_to, version);
        echoes(&mut socket).await.expect("it is open");
        sockets.push(socket);
    }
    sockets
}

/// Talks until the edge ends it, as it ends WebSockets: with a goodbye. How long it went on.
async fn talk_to_the_end(mut socket: TcpStream, began: Instant) -> Duration {
    while began.elapsed() + QUIET < DRAIN {
        echoes(&mut socket).await.unwrap_or_else(|error| panic!("cut after {:?}: {error}", began.elapsed()));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut last = Vec::new();
    socket.read_to_end(&mut last).await.expect("it is ended, not cut");
    assert_eq!(last, b"\x88\x02\x03\xe9", "1001: going away");
    began.elapsed()
}

#[tokio::test]
async fn rollback_under_load() {
    let mut ecosystem = Ecosystem::start().await;
    write_program(ecosystem.folder.path(), "v0", "");
    // Whoever is stopped while it still works is killed long before its requests are answered.
    let limits = format!("limits = {{ drain = \"{}s\" }}\nstop_timeout = \"100ms\"", DRAIN.as_secs());
    ecosystem.up(&[shop(WARM).with(&limits)]).await;
    release(&ecosystem, "v1", "");
    let port = ecosystem.port(SHOP);
    let (quick, streams) = (Load::on(&ecosystem, SHOP, "/work"), Load::on(&ecosystem, SHOP, "/stream"));
    let number = deploy(&ecosystem, "v1").await.number;
    reaches(&ecosystem, number, &["window"]).await;

    let before = open(port, "v1").await;
    let slow: Vec<_> = (0..SLOW).map(|_| tokio::spawn(get(port, "/slow/5000"))).collect();
    let began = Instant::now();
    let talks: Vec<_> = before.into_iter().map(|socket| tokio::spawn(talk_to_the_end(socket, began))).collect();
    let back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None, key: None };
    ecosystem.client().await.put_back(&back).await.expect("taken");
    until("the old version serves", async || (version(&ecosystem).await == "v0").then_some(())).await;
    let took = began.elapsed();
    assert!(took < DRAIN, "{took:?}: it waited for what is with the new version");
    let mut after = open(port, "v0").await;

    for answer in slow {
        assert_eq!(answer.await.expect("no panic"), Ok((200, "slow".into())));
    }
    for talk in talks {
        let lasted = talk.await.expect("a socket that was cut");
        assert!(lasted + TICK >= DRAIN, "cut after {lasted:?}");
    }
    reaches(&ecosystem, number, &["rolled-back"]).await;
    until("the new version is stopped", async || (slots(&ecosystem).await.len() == 1).then_some(())).await;
    for socket in &mut after {
        echoes(socket).await.expect("what is with the old version is not touched");
    }
    quick.end().await;
    streams.end().await;
    assert_eq!(version(&ecosystem).await, "v0");
    drop(after);
    ecosystem.down().await;
}
