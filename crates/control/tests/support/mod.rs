//! One ecosystem of small services under a real control plane and a real edge, in a folder of its own.

#![expect(dead_code, reason = "each test file uses its own part")]

pub(crate) mod people;
pub(crate) mod repository;
pub(crate) mod shop;
pub(crate) mod webhook;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use mana_control::api::{Apply, Event, InstanceStatus, Overrides, Restart, ServiceState, ServiceStatus, Status};
use mana_control::client::{Client, ClientError, Events};
use mana_control::paths;
use tempfile::TempDir;
pub(crate) use test_ports::free_port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Nothing here takes longer on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The program of `examples/NAME.rs`.
pub(crate) fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("own path");
    let target = tests.parent().and_then(Path::parent).expect("target folder");
    target.join("examples").join(name)
}

/// Waits for a condition; says what it waited for when it takes too long.
pub(crate) async fn until<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, condition).await
}

/// Waits for what takes its time even on an idle machine.
pub(crate) async fn until_within<T>(
    patience: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(began.elapsed() < patience, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether this process runs (and is no zombie).
pub(crate) fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])))
}

pub(crate) fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid");
    rustix::process::kill_process(pid, signal).expect("signal");
}

/// What a manifest says about one service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) needs: Vec<&'static str>,
    pub(crate) env: Vec<(&'static str, String)>,
    pub(crate) secrets: Vec<&'static str>,
    /// Instead of the example.
    pub(crate) command: Option<&'static str>,
    pub(crate) more: String,
}

impl Service {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    pub(crate) fn needs(mut self, name: &'static str) -> Self {
        self.needs.push(name);
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: &str) -> Self {
        self.env.retain(|(known, _)| *known != name);
        self.env.push((name, value.to_owned()));
        self
    }

    pub(crate) fn secret(mut self, name: &'static str) -> Self {
        self.secrets.push(name);
        self
    }

    /// A program in the manifest's folder.
    pub(crate) fn command(mut self, command: &'static str) -> Self {
        self.command = Some(command);
        self
    }

    /// A further line of the manifest.
    pub(crate) fn with(mut self, line: &str) -> Self {
        self.more.push_str(line);
        self.more.push('\n');
        self
    }
}

pub(crate) struct Ecosystem {
    pub(crate) folder: Arc<TempDir>,
    environment: Option<&'static str>,
    pub(crate) listen: u16,
    pub(crate) ports: Vec<(&'static str, u16)>,
    control: Option<Child>,
    edge_program: Option<PathBuf>,
    /// Further ones of the control plane.
    variables: Vec<(&'static str, OsString)>,
}

impl Ecosystem {
    /// Prepares an ecosystem, and starts a control plane that nothing was applied to yet.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("mana-control-").tempdir().expect("folder");
        Self::with(Arc::new(folder), None).await
    }

    /// Another environment of the same folder, with a control plane of its own.
    pub(crate) async fn beside(&self, environment: &'static str) -> Self {
        Self::with(Arc::clone(&self.folder), Some(environment)).await
    }

    /// One whose edge runs the program `edge` in its folder, which is made by the test.
    pub(crate) async fn with_edge_program(make: impl FnOnce(&std::path::Path)) -> Self {
        let folder = tempfile::Builder::new().prefix("mana-control-").tempdir().expect("folder");
        let program = folder.path().join("edge");
        make(&program);
        let mut ecosystem = Self::unstarted(Arc::new(folder), None);
        ecosystem.edge_program = Some(program);
        ecosystem.start_control().await;
        ecosystem
    }

    /// One whose control plane has these variables as well.
    pub(crate) async fn with_variables(variables: Vec<(&'static str, OsString)>) -> Self {
        let folder = tempfile::Builder::new().prefix("mana-control-").tempdir().expect("folder");
        let mut ecosystem = Self::unstarted(Arc::new(folder), None);
        ecosystem.variables = variables;
        ecosystem.start_control().await;
        ecosystem
    }

    fn unstarted(folder: Arc<TempDir>, environment: Option<&'static str>) -> Self {
        let (listen, ports) = (free_port(), Vec::new());
        Self { folder, environment, listen, ports, control: None, edge_program: None, variables: Vec::new() }
    }

    async fn with(folder: Arc<TempDir>, environment: Option<&'static str>) -> Self {
        let mut ecosystem = Self::unstarted(folder, environment);
        ecosystem.start_control().await;
        ecosystem
    }

    pub(crate) fn data(&self) -> PathBuf {
        match self.environment {
            None => self.folder.path().join("data"),
            Some(environment) => self.folder.path().join(".mana").join(environment),
        }
    }

    pub(crate) async fn start_control(&mut self) {
        let child = Command::new(example("control"))
            .args(["control", "--data"])
            .arg(self.data())
            .envs(self.edge_program.iter().map(|program| ("TEST_EDGE_PROGRAM", program)))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .spawn()
            .expect("control starts");
        self.control = Some(child);
        until("control answers", async || Client::connect(&self.data()).await.ok()).await;
    }

    pub(crate) fn control_pid(&self) -> u32 {
        self.control.as_ref().expect("control runs").id()
    }

    /// kill -9.
    pub(crate) fn kill_control(&mut self) {
        let mut child = self.control.take().expect("control runs");
        child.kill().expect("kill");
        child.wait().expect("wait");
    }

    /// SIGTERM.
    pub(crate) async fn stop_control(&mut self) {
        kill(self.control_pid(), rustix::process::Signal::TERM);
        self.control_ended().await;
    }

    pub(crate) async fn control_ended(&mut self) {
        let mut child = self.control.take().expect("control runs");
        until("control ends", async || child.try_wait().expect("wait")).await;
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.data()).await.expect("control runs")
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.folder.path().join("mana.toml")
    }

    pub(crate) fn port(&mut self, service: &'static str) -> u16 {
        if let Some((_, port)) = self.ports.iter().find(|(name, _)| *name == service) {
            return *port;
        }
        let port = free_port();
        self.ports.push((service, port));
        port
    }

    pub(crate) fn write(&mut self, services: &[Service]) {
        let mut text = format!(
            "name = \"small\"\ndomain = \"small.example\"\n\n[environments.development]\nlisten = \"127.0.0.1:{}\"\n\n\
             [projects]\nsmall = {{}}\n\n[secrets]\nMADE = {{ generate = 16 }}\nGIVEN = {{ about = \"given by a person\" }}\n",
            self.listen
        );
        for service in services {
            let port = self.port(service.name);
            let env: Vec<String> = service.env.iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
            write!(
                text,
                "\n[services.{}]\nproject = \"small\"\nkind = \"backend\"\ncommand = {:?}\nport = {port}\nneeds = {:?}\nsecrets = {:?}\n\
                 env = {{ {} }}\nhosts = [\"{}.localhost\"]\n{}",
                service.name,
                service.command.map_or_else(|| example("instance").display().to_string(), str::to_owned),
                service.needs,
                service.secrets,
                env.join(", "),
                service.name,
                service.more,
            )
            .expect("text");
        }
        std::fs::write(self.manifest(), text).expect("write");
    }

    pub(crate) async fn apply(&mut self, services: &[Service]) -> Events {
        self.write(services);
        self.apply_as_is().await.expect("applied")
    }

    pub(crate) async fn apply_as_is(&self) -> Result<Events, ClientError> {
        let environment = self.environment.map(str::to_owned);
        let overrides = Overrides { data: Some(self.data()), environment, ..Overrides::default() };
        self.client().await.apply(&Apply { manifest: self.manifest(), overrides }).await
    }

    /// Applies, and waits until all is up.
    pub(crate) async fn up(&mut self, services: &[Service]) {
        let events = all(self.apply(services).await).await;
        assert!(matches!(events.last(), Some(Event::Settled { .. })), "{events:#?}");
    }

    pub(crate) async fn restart(&self, service: &str) -> Vec<Event> {
        all(self.client().await.restart(&Restart { service: service.into() }).await.expect("asked")).await
    }

    /// Takes everything down.
    pub(crate) async fn down(&mut self) {
        let events = all(self.client().await.down().await.expect("asked")).await;
        assert!(matches!(events.last(), Some(Event::Settled { .. })), "{events:#?}");
        self.control_ended().await;
    }

    pub(crate) async fn status(&self) -> Status {
        self.client().await.status().await.expect("status")
    }

    pub(crate) async fn service(&self, name: &str) -> ServiceStatus {
        let status = self.status().await;
        status.services.into_iter().find(|service| service.name == name).expect("known")
    }

    /// The first instance of a service.
    pub(crate) async fn instance(&self, name: &str) -> InstanceStatus {
        self.service(name).await.instances.into_iter().next().expect("an instance")
    }

    pub(crate) async fn pid(&self, name: &str) -> u32 {
        self.instance(name).await.pid.expect("it runs")
    }

    /// All pids, by service.
    pub(crate) async fn pids(&self) -> Vec<(String, Vec<u32>)> {
        let services = self.status().await.services;
        services.into_iter().map(|s| (s.name, s.instances.iter().filter_map(|i| i.pid).collect())).collect()
    }

    pub(crate) async fn state(&self, name: &str) -> ServiceState {
        self.service(name).await.state
    }

    /// Asks a service through its stable internal address.
    pub(crate) async fn get(&self, service: &str, path: &str) -> Result<(u16, String), String> {
        let port = self.ports.iter().find(|(name, _)| *name == service).expect("known").1;
        get(port, path).await
    }

    /// Every instance that writes into this ecosystem's logs, whoever knows of it.
    pub(crate) fn processes(&self) -> BTreeSet<u32> {
        let logs = paths::logs(&self.data());
        let processes = std::fs::read_dir("/proc").expect("readable").flatten();
        processes
            .filter(|entry| std::fs::read_link(entry.path().join("fd/1")).is_ok_and(|output| output.starts_with(&logs)))
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect()
    }

    pub(crate) async fn journal_kinds(&self, service: &str) -> Vec<String> {
        let mut entries = self.client().await.journal(1_000).await.expect("journal");
        entries.reverse();
        entries.into_iter().filter(|e| e.service.as_deref() == Some(service)).map(|e| e.kind).collect()
    }
}

impl Drop for Ecosystem {
    fn drop(&mut self) {
        // Whatever a failed test left: everything whose program lies in this test's target and works on this folder.
        if let Some(mut control) = self.control.take() {
            let _ = control.kill();
            let _ = control.wait();
        }
        if std::thread::panicking() {
            let edge = paths::instance_log(&self.data(), "edge", "", 1);
            for path in [paths::control_log(&self.data()), edge] {
                let log = std::fs::read_to_string(&path).unwrap_or_else(|error| error.to_string());
                eprintln!("--- {} ---\n{log}", path.display());
            }
        }
        for pid in self.processes() {
            kill(pid, rustix::process::Signal::KILL);
        }
    }
}

/// All events of a stream.
pub(crate) async fn all(mut events: Events) -> Vec<Event> {
    let mut got = Vec::new();
    loop {
        let next = tokio::time::timeout(PATIENCE, events.next()).await;
        let Ok(next) = next else { panic!("the stream does not end: {got:#?}") };
        match next.expect("a stream") {
            Some(event) => got.push(event),
            None => return got,
        }
    }
}

/// One request on a connection of its own.
pub(crate) async fn get(port: u16, path: &str) -> Result<(u16, String), String> {
    let stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| format!("connect: {error}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let request = hyper::Request::get(path).header("host", "localhost").body(Empty::<bytes::Bytes>::new());
    let answer = sender.send_request(request.expect("a request")).await.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// An open WebSocket to the instance's `/socket`.
pub(crate) async fn websocket(port: u16) -> tokio::net::TcpStream {
    websocket_to(port).await.0
}

/// The same, with the version of the instance that it leads to.
pub(crate) async fn websocket_to(port: u16) -> (tokio::net::TcpStream, String) {
    let mut socket = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("connect");
    let ask = "GET /socket HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    socket.write_all(ask.as_bytes()).await.expect("ask");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(head).expect("text");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let version = head.lines().find_map(|line| line.to_lowercase().strip_prefix("x-version: ").map(str::to_owned));
    (socket, version.unwrap_or_default())
}

/// Asks a service again and again, on several connections at once, and counts what went wrong.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<(u64, Vec<String>)>>,
}

impl Load {
    pub(crate) fn on(ecosystem: &Ecosystem, service: &str, path: &'static str) -> Self {
        Self::at(ecosystem.ports.iter().find(|(name, _)| *name == service).expect("known").1, path)
    }

    pub(crate) fn at(port: u16, path: &'static str) -> Self {
        Self::with_pauses(port, path, Duration::ZERO)
    }

    /// Leaves the machine time for others.
    pub(crate) fn with_pauses(port: u16, path: &'static str, pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..4)
            .map(|_| {
                let stop = Arc::clone(&stop);
                tokio::spawn(async move {
                    let (mut good, mut bad) = (0, Vec::new());
                    while !stop.load(Ordering::Relaxed) {
                        match get(port, path).await {
                            Ok((200, _)) => good += 1,
                            other => bad.push(format!("{other:?}")),
                        }
                        if !pause.is_zero() {
                            tokio::time::sleep(pause).await;
                        }
                    }
                    (good, bad)
                })
            })
            .collect();
        Self { stop, tasks }
    }

    /// Ends it; answers the number of good answers, after checking that there were no others.
    pub(crate) async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let (mut good, mut bad) = (0, Vec::new());
        for task in self.tasks {
            let (more_good, more_bad) = task.await.expect("no panic");
            good += more_good;
            bad.extend(more_bad);
        }
        assert!(bad.is_empty(), "{} of {} requests failed: {:#?}", bad.len(), good, &bad[..bad.len().min(5)]);
        assert!(good > 0, "there was no load");
        good
    }
}
