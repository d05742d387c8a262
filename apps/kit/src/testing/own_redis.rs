//! A Redis server of a test's own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use test_ports::free_port;

use super::servers::{Certificates, LOOK, START};

/// A Redis server.
pub struct OwnRedis {
    child: Option<Child>,
    folder: TempDir,
    port: u16,
    encrypted: bool,
}

impl OwnRedis {
    /// Starts one.
    ///
    /// # Panics
    /// When it cannot start.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut server = Self { child: None, folder, port: free_port(), encrypted: false };
        server.start_again();
        server
    }

    /// Starts one that takes connections by TLS alone.
    ///
    /// # Panics
    /// When it cannot start.
    pub fn start_encrypted(certificates: &Certificates) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        certificates.install(folder.path(), None);
        let mut server = Self { child: None, folder, port: free_port(), encrypted: true };
        server.start_again();
        server
    }

    /// Its `REDIS_URL`.
    pub fn url(&self) -> String {
        let (scheme, host) = if self.encrypted { ("rediss", "localhost") } else { ("redis", "127.0.0.1") };
        format!("{scheme}://{host}:{}/", self.port)
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
        let port = self.port.to_string();
        let listens: &[&str] = if self.encrypted {
            &[
                "--port",
                "0",
                "--tls-cert-file",
                "server.pem",
                "--tls-key-file",
                "server.key",
                "--tls-auth-clients",
                "no",
                "--tls-port",
            ]
        } else {
            &["--port"]
        };
        let child = Command::new("redis-server")
            .args(listens)
            .args([&port, "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server is installed (scripts/test-services.sh install)"));
        let ended = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < ended, "Redis takes connections in time");
            std::thread::sleep(LOOK);
        }
    }

    /// Makes it forget everything.
    ///
    /// # Panics
    /// When it does not.
    pub fn flush(&self) {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("it takes connections");
        connection.write_all(b"FLUSHALL\r\n").expect("it takes commands");
        let mut answer = [0; 5];
        connection.read_exact(&mut answer).expect("it answers");
        assert_eq!(&answer, b"+OK\r\n");
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
