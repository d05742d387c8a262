//! Real servers are asked what the crate says to ask, with no more rights than it says, and their answers are understood.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mana_watch::gather::Found;
use mana_watch::postgres::{self, CountingState, Row};
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

/// A database of its own on the server, and a role that may watch and nothing else; both go with it.
struct Database {
    server: String,
    name: String,
    watcher: String,
}

impl Database {
    fn new(purpose: &str) -> Self {
        let server = std::env::var("MANA_TEST_POSTGRES_URL").expect(NO_SERVERS);
        let name = format!("watch_{purpose}_{}", std::process::id());
        let watcher = format!("{name}_watcher");
        ask(&server, &format!("create database {name}"));
        ask(&server, &format!("create role {watcher} login in role pg_monitor"));
        Self { server, name, watcher }
    }

    fn url(&self, user: &str) -> String {
        let (before, after) = self.server.split_once("//").expect("a URL");
        let host = after.split_once('@').map_or(after, |(_, host)| host);
        let address = host.split_once('/').map_or(host, |(address, _)| address);
        format!("{before}//{user}@{address}/{}", self.name)
    }

    /// What the watcher is answered.
    fn watch(&self, sql: &str) -> Vec<Row> {
        ask(&self.url(&self.watcher), sql)
    }

    /// A session of the owner that runs this.
    fn session(&self, sql: &str) -> Session {
        let url = self.url("mana");
        let mut psql = Command::new("psql");
        psql.args([&url, "-X", "-q", "-c", sql]).stdout(Stdio::null()).stderr(Stdio::null());
        Session(psql.spawn().expect("psql"))
    }

    /// All that is measured each round and now and then.
    fn measure(&self) -> Found {
        Found::by(|sink| {
            for query in postgres::EACH_ROUND.iter().chain(&postgres::NOW_AND_THEN) {
                query.put(&self.watch(query.sql), sink);
            }
        })
    }

    /// Measures until it is so, for a while.
    fn until(&self, what: &str, so: impl Fn(&Found) -> bool) -> Found {
        for _ in 0..300 {
            let found = self.measure();
            assert_eq!(found.unknown, []);
            if so(&found) {
                return found;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{what} did not come to be");
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        ask(&self.server, &format!("drop database {} with (force)", self.name));
        ask(&self.server, &format!("drop role {}", self.watcher));
    }
}

/// Ends with the test.
struct Session(Child);

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What PostgreSQL answers, through its own client: all columns as text, with nulls told apart.
fn ask(url: &str, sql: &str) -> Vec<Row> {
    let output = Command::new("psql")
        .args([url, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-P", "null=\u{1}"])
        .args(["-F", "\u{1f}", "-R", "\u{1e}", "-c", sql])
        .output()
        .expect("psql");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let rows = text.trim_end_matches('\n').split('\u{1e}').filter(|row| !row.is_empty());
    rows.map(|row| row.split('\u{1f}').map(|column| (column != "\u{1}").then(|| column.to_owned())).collect()).collect()
}

#[test]
fn postgres_tells_all_that_is_asked_to_a_role_that_may_only_watch() {
    let database = Database::new("all");
    let owner = database.url("mana");
    ask(
        &owner,
        "create table cart (id int); insert into cart select generate_series(1, 1000); select count(*) from cart",
    );
    let labels = [("datname", database.name.as_str())];
    // What a session did is told when it ends, or a little later.
    let found = database.until("the rows that were inserted", |found| {
        found.get("pg_stat_database_tup_inserted", &labels).is_some_and(|rows| rows >= 1000.0)
    });
    assert_eq!(found.get("pg_up", &[]), Some(1.0));
    assert_eq!(found.get("pg_settings_max_connections", &[]), Some(500.0));
    let above = |name: &str, least: f64| {
        assert!(found.get(name, &labels).is_some_and(|value| value >= least), "{name}: {:?}", found.get(name, &labels));
    };
    above("pg_stat_database_xact_commit", 1.0);
    above("pg_stat_database_blks_hit", 1.0);
    above("pg_stat_database_deadlocks", 0.0);
    above("pg_stat_database_temp_bytes", 0.0);
    above("pg_locks_waiting_count", 0.0);
    above("pg_database_size_bytes", 1e6);
    let idle = [("datname", database.name.as_str()), ("state", "idle in transaction")];
    assert_eq!(found.get("pg_stat_activity_count", &idle), Some(0.0), "a count of nobody is a zero and no gap");
}

#[test]
fn who_waits_for_a_lock_and_what_runs_is_told_without_values() {
    let database = Database::new("locks");
    ask(&database.url("mana"), "create table cart (id int, note text)");
    let _holds = database.session("begin; lock table cart; select pg_sleep(60)");
    let labels = [("datname", database.name.as_str())];
    let active = [("datname", database.name.as_str()), ("state", "active")];
    database.until("the one that holds the lock", |found| found.get("pg_stat_activity_count", &active) >= Some(2.0));
    let _waits = database.session("select * from cart where note = 'a secret' and id in (1, 2, 3)");
    let found = database.until("the one that waits", |found| found.get("pg_locks_waiting_count", &labels) == Some(1.0));
    assert!(found.get("pg_stat_activity_max_tx_duration", &active).is_some_and(|seconds| seconds > 0.0));
    let running = postgres::running(&database.watch(postgres::RUNNING)).expect("statements");
    let waits = running.iter().find(|running| running.waits_for_lock && running.database == database.name);
    let waits = waits.expect("the one that waits");
    assert_eq!((waits.user.as_str(), waits.application.as_str()), ("mana", "psql"));
    assert_eq!(waits.text, "select * from cart where note = ? and id in (?, …)");
}

#[test]
fn statements_are_asked_for_where_the_server_counts_and_the_question_is_right() {
    let database = Database::new("statements");
    let counting = || postgres::counting(&database.watch(postgres::COUNTING)).expect("how it counts");
    assert_eq!(counting().state, CountingState::NotMade);
    ask(&database.url("mana"), "create schema \"Extra\"; create extension pg_stat_statements schema \"Extra\"");
    ask(&database.url("mana"), &format!("grant usage on schema \"Extra\" to {}", database.watcher));
    // The server that tests run against does not count.
    assert_eq!((counting().database, counting().state), (database.name.clone(), CountingState::NotLoaded));
    // The extension's view is there all the same: a plan shows that its columns are those that are asked for, and may be read.
    let plan = database.watch(&format!("explain {}", postgres::statements_sql("Extra")));
    assert!(plan.iter().flatten().flatten().any(|line| line.contains("pg_stat_statements")));
}
