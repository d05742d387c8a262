//! One running Manacore ecosystem.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::ports::Offset;

/// Hosts of the shipped manifest in development.
const HOSTS: [&str; 4] = ["auth.localhost", "api-chat.localhost", "app-chat.localhost", "chat.localhost"];

/// A data folder, an offset and the commands to work with them.
pub struct Ecosystem {
    data: TempDir,
    offset: Offset,
    manifest: PathBuf,
    environment: Vec<(String, String)>,
}

impl Ecosystem {
    /// Prepares one without starting it.
    pub fn new() -> Self {
        let manifest = repository().join("mana.toml");
        let data = tempfile::Builder::new().prefix("mana-").tempdir().expect("a temporary folder");
        Self { data, offset: Offset::take(), manifest, environment: Vec::new() }
    }

    /// Uses another manifest than the shipped one.
    #[must_use]
    pub fn with_manifest(mut self, manifest: PathBuf) -> Self {
        self.manifest = manifest;
        self
    }

    /// Sets an environment variable for every command.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Prepares and starts one.
    pub fn up() -> Self {
        let ecosystem = Self::new();
        ecosystem.start();
        ecosystem
    }

    /// `mana up`, which must succeed.
    pub fn start(&self) {
        let output = self.mana(["up"]);
        assert!(output.status.success(), "mana up failed: {}", text(&output));
    }

    /// Runs `mana` with this ecosystem's folder and ports.
    pub fn mana<I, S>(&self, arguments: I) -> Output
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.command(arguments).output().expect("mana starts")
    }

    /// The command without running it.
    pub fn command<I, S>(&self, arguments: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = Command::new(repository().join("target/release/mana"));
        command
            .arg("--manifest")
            .arg(&self.manifest)
            .arg("--data")
            .arg(self.data())
            .arg("--port-offset")
            .arg(self.offset.value.to_string())
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// `mana status --json`.
    pub fn status(&self) -> Value {
        let output = self.mana(["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("status: {error}: {}", text(&output)))
    }

    /// Status of one service.
    pub fn service(&self, name: &str) -> Value {
        let status = self.status();
        let services = status["services"].as_array().expect("services");
        services.iter().find(|service| service["name"] == name).cloned().unwrap_or_else(|| panic!("{name}: {status:#}"))
    }

    /// Process ids of every instance, by service, in the order of `status`.
    pub fn pids(&self) -> Vec<(String, Vec<u64>)> {
        let status = self.status();
        let services = status["services"].as_array().expect("services");
        services
            .iter()
            .map(|service| {
                let instances = service["instances"].as_array().expect("instances");
                let pids = instances.iter().filter_map(|instance| instance["pid"].as_u64()).collect();
                (service["name"].as_str().expect("name").to_owned(), pids)
            })
            .collect()
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Added to every port.
    pub fn offset(&self) -> u16 {
        self.offset.value
    }

    /// `http://HOST:PORT` through the edge.
    pub fn url(&self, host: &str) -> String {
        format!("http://{host}:{}", 8080 + self.offset.value)
    }

    /// `https://HOST:PORT` through the edge, where the manifest says `tls = "local"`.
    pub fn secure_url(&self, host: &str) -> String {
        format!("https://{host}:{}", 8443 + self.offset.value)
    }

    /// `http://127.0.0.1:PORT`: a service's stable internal address.
    pub fn internal(&self, port: u16) -> String {
        format!("http://127.0.0.1:{}", port + self.offset.value)
    }

    /// A client that finds the ecosystem's hosts on loopback, whatever this machine's resolver does with `.localhost`.
    pub fn client(&self) -> reqwest::Client {
        let edge = SocketAddr::from(([127, 0, 0, 1], 8080 + self.offset.value));
        let builder = HOSTS.iter().fold(reqwest::Client::builder(), |builder, host| builder.resolve(host, edge));
        builder.no_proxy().redirect(reqwest::redirect::Policy::none()).build().expect("an HTTP client")
    }
}

impl Default for Ecosystem {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Ecosystem {
    fn drop(&mut self) {
        let output = self.mana(["down"]);
        // Releases are read-only, and a temporary folder is not removed then unless by root.
        if let Err(error) = Command::new("chmod").args(["-R", "u+w"]).arg(self.data()).status() {
            eprintln!("{} may be left: {error}", self.data().display());
        }
        if std::thread::panicking() {
            eprintln!("--- logs of {}", self.data().display());
            if let Ok(logs) = std::fs::read_dir(self.data().join("logs")) {
                for log in logs.flatten() {
                    let content = std::fs::read_to_string(log.path()).unwrap_or_default();
                    let lines: Vec<_> = content.lines().rev().take(20).collect();
                    eprintln!("--- {}", log.path().display());
                    lines.iter().rev().for_each(|line| eprintln!("{line}"));
                }
            }
        } else {
            assert!(output.status.success(), "mana down failed: {}", text(&output));
        }
    }
}

/// The shipped manifest, changed, in another folder: what it names is found from there too.
pub fn manifest_in(folder: &Path, change: impl FnOnce(String) -> String) -> PathBuf {
    let root = repository();
    let shipped = std::fs::read_to_string(root.join("mana.toml")).expect("the shipped manifest");
    // What lies elsewhere than its manifest is not built from it.
    let sections = shipped.split_inclusive('\n').scan(false, |skip, line| {
        if line.starts_with('[') {
            *skip = line.trim_end().ends_with(".build]");
        }
        Some(if *skip { "" } else { line })
    });
    let absolute = sections
        .collect::<String>()
        .replace("\"target/release/", &format!("\"{}/target/release/", root.display()))
        .replace("\"apps/chat/landing\"", &format!("\"{}/apps/chat/landing\"", root.display()));
    let path = folder.join("mana.toml");
    std::fs::write(&path, change(absolute)).expect("the manifest is written");
    path
}

/// Both streams of a finished command, for messages.
pub fn text(output: &Output) -> String {
    format!("{}\n{}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The repository's folder.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is below the repository").to_path_buf()
}
