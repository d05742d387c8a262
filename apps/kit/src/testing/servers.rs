//! Database servers of a test's own, for what cannot be done to the shared ones: stopping, starting again, halting, filling.
//! Each is in a temporary folder on a port of its own, and ended by its process id.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longest wait for a server to be there.
const START: Duration = Duration::from_secs(30);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A PostgreSQL server.
pub struct OwnPostgres {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    connections: u32,
    running: bool,
}

impl OwnPostgres {
    /// Starts one that takes so many connections.
    ///
    /// # Panics
    /// When it cannot start.
    pub fn start(connections: u32) -> Self {
        let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .expect("PostgreSQL is installed (scripts/test-services.sh install)")
            .map(|entry| entry.expect("a folder that can be read").path().join("bin"))
            .collect();
        versions.sort();
        let programs = versions.pop().expect("PostgreSQL is installed");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut server = Self { folder, programs, port: free_port(), connections, running: false };
        if rustix::process::getuid().is_root() {
            let chown = Command::new("chown").arg("postgres:").arg(server.folder.path()).status().expect("chown runs");
            assert!(chown.success(), "the folder is given to the user postgres");
        }
        server.run("initdb", &["-U", "mana", "-A", "trust", "-E", "UTF8", "--locale=C"]);
        server.start_again();
        server
    }

    /// Its `DATABASE_URL`.
    pub fn url(&self) -> String {
        format!("postgres://mana@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends it at once, as a crash would: connections break, nothing is finished.
    pub fn stop(&mut self) {
        self.run("pg_ctl", &["-m", "immediate", "-w", "stop"]);
        self.running = false;
    }

    /// Starts it on the same port and data.
    pub fn start_again(&mut self) {
        let log = self.folder.path().join("log").display().to_string();
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections={} -c superuser_reserved_connections=1",
            self.port, self.connections
        );
        self.run("pg_ctl", &["-w", "-t", "60", "-l", &log, "-o", &options, "start"]);
        self.running = true;
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let path = self.programs.join(program);
        // PostgreSQL refuses to run as root; then the package's own user runs it.
        let mut command = if rustix::process::getuid().is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.arg("-D").arg(self.data()).args(arguments).current_dir("/");
        // Not piped: the server would keep the pipe open.
        let ran = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(ran.expect("it runs").success(), "{program} {arguments:?}");
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        let Some(pid) = self.running.then(|| pid_in(&self.data().join("postmaster.pid"))).flatten() else { return };
        // SIGQUIT is its immediate shutdown.
        let _ = kill_process(pid, Signal::QUIT);
        let ended = Instant::now() + START;
        while self.data().join("postmaster.pid").exists() && Instant::now() < ended {
            std::thread::sleep(LOOK);
        }
    }
}

fn pid_in(file: &Path) -> Option<Pid> {
    let text = std::fs::read_to_string(file).ok()?;
    Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
}

/// A Redis server.
pub struct OwnRedis {
    child: Option<Child>,
    folder: TempDir,
    port: u16,
}

impl OwnRedis {
    /// Starts one.
    ///
    /// # Panics
    /// When it cannot start.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut server = Self { child: None, folder, port: free_port() };
        server.start_again();
        server
    }

    /// Its `REDIS_URL`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Ends it at once.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; then there is nothing to end.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it, empty, on the same port.
    pub fn start_again(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no", "--dir"])
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server is installed (scripts/test-services.sh install)"));
        let ended = Instant::now() + START;
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < ended, "Redis takes connections in time");
            std::thread::sleep(LOOK);
        }
    }

    /// Lets it answer nothing, without breaking its connections, until [`OwnRedis::go_on`].
    pub fn halt(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it answer again.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().expect("it runs").id();
        let pid = Pid::from_raw(pid.cast_signed()).expect("a process id");
        kill_process(pid, signal).expect("the process is there");
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}
