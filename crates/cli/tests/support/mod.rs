//! One small ecosystem with folders and ports of its own, driven through the real binary. Dropping it runs `mana down`.

#![expect(dead_code, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use test_ports::free_port;

/// Longest wait for anything that is waited for.
const BOUND: Duration = Duration::from_secs(20);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) struct Ecosystem {
    folder: TempDir,
    /// The edge's public port.
    pub(crate) port: u16,
}

impl Ecosystem {
    /// Two services, the second needing the first, and a static page. `backend` is added to the first one's description.
    pub(crate) fn new(backend: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("mana-cli-").tempdir().expect("a temporary folder");
        let [port, backend_port, web_port] = std::array::from_fn(|_| free_port());
        let program = example("small_service");
        let manifest = format!(
            r#"
name = "small"
domain = "small.example"

[environments.development]
listen = "127.0.0.1:{port}"

[projects]
shop = {{ about = "A shop" }}

[secrets]
SIGNING_SEED = {{ generate = 32 }}

[services.shop-backend]
command = "{program}"
port = {backend_port}
migrate = []
secrets = ["SIGNING_SEED"]
{backend}

[services.shop-web]
command = "{program}"
port = {web_port}
migrate = []
needs = ["shop-backend"]

[services.shop-landing]
folder = "site"
"#,
            program = program.display()
        );
        std::fs::write(folder.path().join("mana.toml"), manifest).expect("written");
        std::fs::create_dir(folder.path().join("site")).expect("made");
        std::fs::write(folder.path().join("site/index.html"), "<h1>Shop</h1>").expect("written");
        Self { folder, port }
    }

    /// The binary in this ecosystem's folder, with nothing of this machine's own environment that it would read.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mana"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MANA_")) {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn mana(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("mana starts")
    }

    /// Runs a command that must end with this code; answers what it printed.
    #[track_caller]
    pub(crate) fn check(&self, arguments: &[&str], code: i32) -> (String, String) {
        let output = self.mana(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "mana {arguments:?}\n{out}{err}");
        (out, err)
    }

    /// Where everything that is written lies.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join(".mana/development")
    }

    /// `mana status --json`.
    pub(crate) fn status(&self) -> serde_json::Value {
        let output = self.mana(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).expect("status is JSON")
    }

    /// One service of the status.
    pub(crate) fn service(&self, name: &str) -> serde_json::Value {
        let status = self.status();
        let services = status["services"].as_array().expect("services");
        services.iter().find(|service| service["name"] == name).expect("the service").clone()
    }

    /// The process ids of all instances.
    pub(crate) fn pids(&self) -> Vec<u64> {
        let status = self.status();
        let services = status["services"].as_array().expect("services");
        let instances = services.iter().flat_map(|service| service["instances"].as_array().expect("instances"));
        instances.filter_map(|instance| instance["pid"].as_u64()).collect()
    }
}

impl Drop for Ecosystem {
    fn drop(&mut self) {
        let down = self.mana(&["down"]);
        if !std::thread::panicking() {
            assert!(down.status.success(), "mana down: {}", text(&down.stderr));
        }
    }
}

/// Waits until `look` gives something.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < BOUND, "waited {BOUND:?} in vain for: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A `mana` that runs beside the test, and not longer than it.
pub(crate) struct Background(Child);

impl Background {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::piped()).spawn().expect("mana starts"))
    }

    /// What it prints, from here on.
    pub(crate) fn output(&mut self) -> ChildStdout {
        self.0.stdout.take().expect("a pipe, taken once")
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).expect("the child is there");
    }

    /// Waits for it to end by itself.
    #[track_caller]
    pub(crate) fn end(mut self) -> Option<i32> {
        until("the end of mana", || self.0.try_wait().expect("a child")).code()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Both fail where it ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a process is there, and not only waiting to be collected.
pub(crate) fn is_alive(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A program of `examples/`, which cargo builds along with the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test's path");
    let target = test.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
    let path = target.join("examples").join(name);
    assert!(path.exists(), "{} is built by `cargo test -p mana-cli`", path.display());
    path
}
