//! A real browser: headless Chromium, driven over WebDriver.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::wait;

/// Longest time for the driver to accept its first session.
const START_BOUND: Duration = Duration::from_secs(30);

/// Longest time for the browser to end.
const END_BOUND: Duration = Duration::from_secs(10);

/// A browser with an empty profile of its own; it ends when dropped, also by a test that fails.
pub struct Browser {
    /// What drives it.
    pub client: Client,
    port: u16,
    session: String,
    driver: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts one with a window of this size.
    pub async fn start(width: u32, height: u32) -> Self {
        Self::trusting(width, height, None).await
    }

    /// Starts one whose user has installed an authority, as `mana trust` says.
    pub async fn trusting(width: u32, height: u32, authority: Option<&Path>) -> Self {
        let port = test_ports::free_port();
        let profile = tempfile::tempdir().expect("a temporary folder");
        if let Some(authority) = authority {
            install(authority, profile.path());
        }
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts (`make test` installs it on Debian)");
        let options = json!({ "goog:chromeOptions": { "args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            format!("--user-data-dir={}", profile.path().display()), format!("--window-size={width},{height}"),
        ]}, "goog:loggingPrefs": { "browser": "ALL" } });
        let capabilities = options.as_object().expect("an object").clone();
        let address = format!("http://127.0.0.1:{port}");
        let client = wait::until("a browser session", START_BOUND, || {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities.clone());
            let address = address.clone();
            async move { builder.connect(&address).await.ok() }
        })
        .await;
        let session = client.session_id().await.expect("the session is there").expect("the session has an id");
        Self { client, port, session, driver, _profile: profile }
    }

    /// What the browser's console complained about so far: failed scripts and requests, violations of the page's policies.
    pub async fn console_errors(&self) -> Vec<String> {
        let url = format!("http://127.0.0.1:{}/session/{}/se/log", self.port, self.session);
        let answer = reqwest::Client::new()
            .post(url)
            .json(&json!({ "type": "browser" }))
            .send()
            .await
            .expect("the driver answers");
        let log: Value = answer.json().await.expect("JSON");
        let entries = log["value"].as_array().unwrap_or_else(|| panic!("no log in {log}"));
        let severe = entries.iter().filter(|entry| entry["level"] == "SEVERE");
        severe.map(|entry| entry["message"].to_string()).collect()
    }
}

/// Puts an authority on the list that Chromium looks at.
fn install(authority: &Path, home: &Path) {
    let list = home.join(".pki/nssdb");
    std::fs::create_dir_all(&list).expect("a folder");
    for arguments in [&["-N", "--empty-password"][..], &["-A", "-t", "C,,", "-n", "mana-development"]] {
        let mut command = Command::new("certutil");
        command.arg("-d").arg(format!("sql:{}", list.display())).args(arguments);
        if arguments.contains(&"-A") {
            command.arg("-i").arg(authority);
        }
        let ended = command.status().expect("certutil starts (`make test` installs it on Debian)");
        assert!(ended.success(), "{command:?}");
    }
}

impl Drop for Browser {
    /// The driver ends the browser when its session ends; killed alone it would leave the browser behind.
    fn drop(&mut self) {
        if let Err(error) = self.end_session() {
            eprintln!("the browser may be left running: {error}");
        }
        let ended = self.driver.kill().and_then(|()| self.driver.wait());
        if let Err(error) = ended {
            eprintln!("chromedriver may be left running: {error}");
        }
    }
}

impl Browser {
    fn end_session(&self) -> io::Result<()> {
        let mut driver = TcpStream::connect(("127.0.0.1", self.port))?;
        driver.set_read_timeout(Some(END_BOUND))?;
        write!(driver, "DELETE /session/{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", self.session)?;
        // It answers when the browser has ended.
        driver.read(&mut [0; 64]).map(drop)
    }
}
