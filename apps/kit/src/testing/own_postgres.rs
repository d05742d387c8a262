//! A PostgreSQL server of a test's own, alone or with a standby.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use test_ports::free_port;

use super::servers::{Certificates, LOOK, START};

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
        let mut server = Self::prepare(connections);
        server.run("initdb", &["-U", "mana", "-A", "trust", "-E", "UTF8", "--locale=C"]);
        server.start_again();
        server
    }

    /// A standby of this one, whose transactions are on both from now on before they are answered.
    ///
    /// # Panics
    /// When it cannot start.
    #[must_use]
    pub fn standby(&self) -> Self {
        let mut standby = Self::prepare(self.connections);
        let port = self.port.to_string();
        standby.run("pg_basebackup", &["-h", "127.0.0.1", "-p", &port, "-U", "mana", "-R", "-c", "fast"]);
        standby.start_again();
        self.ask("ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.ask("SELECT pg_reload_conf()");
        let ended = Instant::now() + START;
        while self.ask("SELECT sync_state FROM pg_stat_replication") != "sync" {
            assert!(Instant::now() < ended, "the standby is in step in time");
            std::thread::sleep(LOOK);
        }
        standby
    }

    /// Makes a standby the one that takes changes, and waits for no other.
    ///
    /// # Panics
    /// When it cannot be.
    pub fn promote(&self) {
        self.run("pg_ctl", &["-w", "-t", "60", "promote"]);
    }

    /// Takes connections by TLS alone from now on.
    ///
    /// # Panics
    /// When it cannot be told to.
    pub fn encrypt(&self, certificates: &Certificates) {
        certificates.install(&self.data(), rustix::process::getuid().is_root().then_some("postgres"));
        for setting in ["ssl_cert_file = 'server.pem'", "ssl_key_file = 'server.key'", "ssl = on"] {
            self.ask(&format!("ALTER SYSTEM SET {setting}"));
        }
        std::fs::write(self.data().join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n").expect("a file");
        self.ask("SELECT pg_reload_conf()");
        let ended = Instant::now() + START;
        while self.ask("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") != "t" {
            assert!(Instant::now() < ended, "it speaks TLS in time");
            std::thread::sleep(LOOK);
        }
    }

    fn prepare(connections: u32) -> Self {
        let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .expect("PostgreSQL is installed (scripts/test-services.sh install)")
            .map(|entry| entry.expect("a folder that can be read").path().join("bin"))
            .collect();
        versions.sort();
        let programs = versions.pop().expect("PostgreSQL is installed");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Self { folder, programs, port: free_port(), connections, running: false };
        if rustix::process::getuid().is_root() {
            let chown = Command::new("chown").arg("postgres:").arg(server.folder.path()).status().expect("chown runs");
            assert!(chown.success(), "the folder is given to the user postgres");
        }
        server
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
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

    /// Ends all its processes with SIGKILL, as a machine does that loses its power.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let memory = self.shared_memory();
        self.signal(Signal::KILL).expect("it runs");
        self.running = false;
        // The kernel keeps what nobody is there to give back.
        if let Some(id) = memory {
            let _ = Command::new("ipcrm").args(["-m", &id]).stderr(Stdio::null()).status();
        }
    }

    /// Lets it answer nothing, without breaking its connections, until [`OwnPostgres::go_on`].
    ///
    /// # Panics
    /// When it does not run.
    pub fn halt(&self) {
        self.signal(Signal::STOP).expect("it runs");
    }

    /// Lets it answer again.
    ///
    /// # Panics
    /// When it does not run.
    pub fn go_on(&self) {
        self.signal(Signal::CONT).expect("it runs");
    }

    /// To the first process and its children: the first before the others, so that it makes no further ones.
    fn signal(&self, signal: Signal) -> rustix::io::Result<()> {
        let first = pid_in(&self.data().join("postmaster.pid")).ok_or(rustix::io::Errno::SRCH)?;
        let children = format!("/proc/{pid}/task/{pid}/children", pid = first.as_raw_nonzero());
        let children = || std::fs::read_to_string(&children).unwrap_or_default();
        // After SIGKILL there is nobody left to ask for them.
        let before = children();
        kill_process(first, signal)?;
        for pid in (before + " " + &children()).split_whitespace() {
            let pid = pid.parse().ok().and_then(Pid::from_raw).expect("a process id");
            // One that has ended in between is as good.
            let _ = kill_process(pid, signal);
        }
        Ok(())
    }

    /// The id of its System V segment.
    fn shared_memory(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        Some(text.lines().nth(6)?.split_whitespace().nth(1)?.to_owned())
    }

    /// What a query answers, asked as its owner.
    fn ask(&self, query: &str) -> String {
        let asked = Command::new(self.programs.join("psql"))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "mana", "-d", "postgres", "-qtAc", query])
            .output()
            .expect("psql runs");
        assert!(asked.status.success(), "{query}: {}", String::from_utf8_lossy(&asked.stderr));
        String::from_utf8_lossy(&asked.stdout).trim().to_owned()
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
        if self.running {
            // One that was halted hears nothing.
            let _ = self.signal(Signal::CONT);
        }
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
