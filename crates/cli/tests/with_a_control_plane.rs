//! A small ecosystem's whole life, through the real binary.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use rustix::process::Signal;
use support::{Background, Ecosystem, is_alive, text, until};

/// One request through the edge; the answer's status line.
fn ask(port: u16, host: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the edge listens");
    write!(stream, "GET /hello HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").expect("written");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("an answer");
    answer
}

#[test]
fn up_status_run_restart_logs_and_down() {
    let small = Ecosystem::new("env = { GREETING = \"hello\" }");
    let (out, _) = small.check(&["up"], 0);
    for line in ["small in development is up", "http://api-shop.localhost:", "http://app-shop.localhost:", "mana down"]
    {
        assert!(out.contains(line), "`{line}` is not in {out}");
    }
    assert!(!out.contains('\u{1b}'), "nothing is painted or redrawn in a pipe");
    let pids = small.pids();
    assert_eq!(pids.len(), 3, "the edge and two services");
    small.check(&["up"], 0);
    assert_eq!(small.pids(), pids, "what is as desired is left alone");

    let (out, _) = small.check(&["status"], 0);
    assert!(out.contains("all 4 services as desired"), "{out}");
    let (out, _) = small.check(&["open", "--print"], 0);
    assert_eq!(out.trim(), format!("http://app-shop.localhost:{}", small.port));
    let (out, _) = small.check(&["top", "--once"], 0);
    assert!(out.contains("shop-backend"), "{out}");
    let (out, _) = small.check(&["version", "--json"], 0);
    assert!(out.contains(&format!("\"control_plane\": \"{}\"", env!("CARGO_PKG_VERSION"))), "{out}");

    let (out, _) = small.check(&["run", "shop-backend", "--", "count", "--all"], 7);
    assert_eq!(out.trim(), "count --all hello shop-backend-run");
    let (_, err) = small.check(&["run", "shop-backed"], 2);
    assert!(err.contains("shop-backed"), "{err}");

    let before = small.service("shop-backend")["instances"][0]["pid"].clone();
    small.check(&["restart", "shop-backend"], 0);
    assert_ne!(small.service("shop-backend")["instances"][0]["pid"], before);
    let (_, err) = small.check(&["restart", "shop-backed"], 2);
    assert!(err.contains("did you mean `shop-backend`?"), "{err}");

    assert!(ask(small.port, "api-shop.localhost").contains("200"));
    let (out, _) = small.check(&["logs", "shop-backend"], 0);
    assert!(out.contains("GET /hello"), "{out}");

    let pids = small.pids();
    small.check(&["down"], 0);
    assert!(pids.iter().all(|pid| !is_alive(*pid)), "something of {pids:?} still runs");
    small.check(&["status"], 4);
    let (out, _) = small.check(&["down"], 0);
    assert_eq!(out, "nothing is running\n");
    let (out, _) = small.check(&["run", "shop-backend", "--", "count"], 7);
    assert_eq!(out.trim(), "count hello shop-backend-run", "it works without a control plane too");
}

#[test]
fn a_one_off_command_has_the_input_and_output_of_mana() {
    let small = Ecosystem::new("");
    small.check(&["up"], 0);
    let mut run = small.command(&["run", "shop-web", "--", "copy"]);
    let mut run = run.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("mana starts");
    run.stdin.take().expect("a pipe").write_all(b"some input").expect("written");
    let output = run.wait_with_output().expect("mana ends");
    assert_eq!(output.status.code(), Some(7));
    assert!(text(&output.stdout).ends_with("some input"), "{}", text(&output.stdout));
}

#[test]
fn a_service_that_does_not_come_up_is_shown_with_its_log_and_the_next_step() {
    let small = Ecosystem::new("env = { CRASH = \"1\" }");
    let (out, err) = small.check(&["up"], 1);
    for said in ["shop-backend did not come up", "no such table: shelves", "mana logs shop-backend", "mana down"] {
        assert!(err.contains(said), "`{said}` is not in {err}");
    }
    assert!(out.contains("shop-landing"), "{out}");
    let (out, _) = small.check(&["status"], 3);
    assert!(out.contains("shop-backend"), "{out}");
    small.check(&["status", "--json"], 3);
    small.check(&["down"], 0);
}

#[test]
fn scripts_get_lines_of_json() {
    let small = Ecosystem::new("");
    let (out, _) = small.check(&["up", "--json"], 0);
    let events: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().expect("a kind")).collect();
    assert_eq!(kinds[kinds.len() - 2..], ["settled", "summary"]);
    assert_eq!(events[events.len() - 1]["ok"], true);
    let (out, _) = small.check(&["open", "shop-landing", "--json"], 0);
    assert!(out.contains("http://shop.localhost:"), "{out}");
    let (out, _) = small.check(&["top", "--json"], 0);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&out).expect("JSON");
    assert_eq!(rows.len(), 3);
    let (out, _) = small.check(&["down", "--json"], 0);
    assert!(out.trim_end().lines().last().is_some_and(|line| line.contains("settled")), "{out}");
}

#[test]
fn a_killed_control_plane_is_replaced_by_up_and_by_down() {
    let small = Ecosystem::new("");
    small.check(&["up"], 0);
    let pids = small.pids();
    let kill = || {
        let pid = small.status()["control_pid"].as_u64().expect("a pid");
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("not zero");
        rustix::process::kill_process(pid, Signal::KILL).expect("the control plane is there");
    };
    kill();
    let (out, _) = small.check(&["status"], 4);
    assert!(out.contains("the edge still answers"), "{out}");
    small.check(&["up"], 0);
    assert_eq!(small.pids(), pids, "everything was adopted");
    kill();
    small.check(&["down"], 0);
    assert!(pids.iter().all(|pid| !is_alive(*pid)), "something of {pids:?} still runs");
}

#[test]
fn in_the_foreground_ctrl_c_stops_everything_and_sigterm_only_the_control_plane() {
    let small = Ecosystem::new("");
    let foreground = || {
        let mut up = Background::start(small.command(&["up", "--foreground"]).stderr(Stdio::null()));
        let mut lines = BufReader::new(up.output()).lines();
        let ready = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("is up")));
        assert!(ready.is_some(), "it never came up");
        // Read on, so that no later line meets a closed pipe.
        std::thread::spawn(move || lines.count());
        up
    };
    let up = foreground();
    small.check(&["up", "--foreground"], 5);
    let pids = small.pids();
    up.signal(Signal::TERM);
    assert_eq!(up.end(), Some(0));
    small.check(&["status"], 4);
    assert!(pids.iter().all(|pid| is_alive(*pid)), "something of {pids:?} was stopped");

    let up = foreground();
    assert_eq!(small.pids(), pids, "everything was adopted");
    up.signal(Signal::INT);
    assert_eq!(up.end(), Some(0));
    assert!(pids.iter().all(|pid| !is_alive(*pid)), "something of {pids:?} still runs");
}

#[test]
fn a_log_is_followed_until_ctrl_c() {
    let small = Ecosystem::new("");
    small.check(&["up"], 0);
    let mut logs = Background::start(&mut small.command(&["logs", "shop-backend", "--follow", "--tail", "0"]));
    let mut followed = logs.output();
    let (sender, lines) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = followed.read(&mut piece) {
            sender.send(text(&piece[..length])).expect("the test reads");
        }
    });
    // The first line may be written before the log is followed; some later one is not.
    until("a followed line", || {
        ask(small.port, "api-shop.localhost");
        lines.try_iter().find(|piece| piece.contains("GET /hello"))
    });
    logs.signal(Signal::INT);
    assert_eq!(logs.end(), Some(0));
    drop(lines);
    // It may have been sending when nobody received any more, which is no failure of what is tested.
    let _ = reader.join();
}
