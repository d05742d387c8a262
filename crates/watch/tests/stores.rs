//! Real servers are asked what the crate says to ask, with no more rights than it says, and their answers are understood.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use mana_watch::gather::Found;
use mana_watch::redis;

const NO_SERVERS: &str = "run `make test`, or inside `scripts/test-services.sh run`";

/// What Redis says to a command.
fn ask_redis(command: &[&str]) -> String {
    let url = std::env::var("MANA_TEST_REDIS_URL").expect(NO_SERVERS);
    let address = url.trim_start_matches("redis://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).expect("Redis");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a bound");
    stream.write_all(format!("{}\r\n", command.join(" ")).as_bytes()).expect("asked");
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).expect("an answer");
    let Some(length) = first.strip_prefix('$').and_then(|length| length.trim().parse::<usize>().ok()) else {
        return first;
    };
    let mut text = vec![0; length];
    reader.read_exact(&mut text).expect("the whole answer");
    String::from_utf8(text).expect("text")
}

#[test]
fn redis_tells_all_that_is_asked() {
    let key = format!("watch-{}", std::process::id());
    ask_redis(&["SET", &key, "1", "EX", "60"]);
    let text = ask_redis(&redis::COMMAND);
    let found = Found::by(|sink| redis::info(&text, Duration::ZERO, sink));
    assert_eq!(found.unknown, []);
    assert_eq!(found.get("redis_up", &[]), Some(1.0));
    assert!(found.get("redis_memory_used_bytes", &[]).is_some_and(|bytes| bytes > 1e5));
    assert!(found.get("redis_commands_total", &[("cmd", "set")]).is_some_and(|calls| calls >= 1.0));
    assert!(found.get("redis_db_keys", &[("db", "db0")]).is_some_and(|keys| keys >= 1.0));
    ask_redis(&["DEL", &key]);
}
