//! Smoke tests: declared requests through the edge, and what has to come back. One after the other, since a later one may use what an
//! earlier one saved; the first that fails is the last.

mod answer;
mod ask;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};

use crate::api::{SmokeReport, SmokeResult};

/// What is known before the first request: whatever does not change while they are sent.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) service: String,
    /// What serves: version and digest.
    pub(crate) serves: (Option<String>, Option<String>),
    pub(crate) tests: Vec<Test>,
}

/// One request and what has to come back.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) name: String,
    /// It only asks.
    pub(crate) repeatable: bool,
    /// Where the edge accepts it, whether with TLS, and the host that is meant.
    pub(crate) address: SocketAddr,
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) send: BTreeMap<String, SecretString>,
    pub(crate) body: Option<SecretString>,
    pub(crate) expected: Expected,
    pub(crate) save: BTreeMap<String, String>,
}

/// What has to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) json: BTreeMap<String, String>,
    pub(crate) within: Duration,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// By names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Runs them. `unique` is another word in each run.
pub(crate) async fn run(job: Job, unique: String) -> SmokeReport {
    let mut saved = BTreeMap::from([("unique".to_owned(), unique)]);
    let mut tests = Vec::new();
    for test in &job.tests {
        let began = Instant::now();
        let failed = one(test, &mut saved).await.err();
        let is_last = failed.is_some();
        tests.push(SmokeResult {
            name: test.name.clone(),
            request: format!("{} {}", test.method, test.path),
            failed,
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        if is_last {
            break;
        }
    }
    let (version, digest) = job.serves;
    let passed = tests.iter().all(|test| test.failed.is_none());
    SmokeReport { service: job.service, version, digest, passed, tests }
}

/// Sends those that only ask, in turn, until there were so many. What is answered is for the edge to count.
pub(crate) async fn traffic(job: &Job, requests: u64) {
    /// As much as a minute of it makes.
    const MOST: u64 = 20_000;
    const AT_ONCE: u64 = 4;
    /// For each of them: some hundred a second in all, which no service feels.
    const PAUSE: Duration = Duration::from_millis(30);
    let tests: Vec<&Test> = job.tests.iter().filter(|test| test.repeatable).collect();
    let each = requests.min(MOST).div_ceil(AT_ONCE);
    let sends = (0..AT_ONCE).map(|_| async {
        for (test, _) in tests.iter().cycle().zip(0..each) {
            // How it went is in the counts.
            let _ = one(test, &mut BTreeMap::new()).await;
            tokio::time::sleep(PAUSE).await;
        }
    });
    futures_util::future::join_all(sends).await;
}

async fn one(test: &Test, saved: &mut BTreeMap<String, String>) -> Result<(), String> {
    let reveal = |text: &SecretString| SecretString::from(filled(text.expose_secret(), saved));
    let request = ask::Request {
        address: test.address,
        tls: test.tls,
        host: &test.host,
        method: &test.method,
        path: &filled(&test.path, saved),
        headers: test.send.iter().map(|(name, value)| (name.as_str(), reveal(value))).collect(),
        body: test.body.as_ref().map(reveal),
    };
    let within = test.expected.within;
    let asked = tokio::time::timeout(within, ask::ask(&request)).await;
    let answer = asked.map_err(|_| format!("no whole answer within {} ms", within.as_millis()))??;
    answer::judge(&answer, &test.expected)?;
    saved.extend(answer::save(&answer, &test.save)?);
    Ok(())
}

/// `{NAME}` becomes what is known by that name; other braces stay.
fn filled(text: &str, saved: &BTreeMap<String, String>) -> String {
    saved.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}
