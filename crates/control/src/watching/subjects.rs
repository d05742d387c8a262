//! What there is to watch at this moment.

use std::net::SocketAddr;

use mana_runtime::usage::Usage;
use mana_watch::alert::Rule;
use mana_watch::alert::slo::Slo;

use super::elsewhere::Elsewhere;
use super::outside::Outside;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Subjects {
    /// The manifest's own rules and objectives.
    pub(crate) rules: Vec<Rule>,
    /// What services promise.
    pub(crate) objectives: Vec<Slo>,
    pub(crate) services: Vec<Service>,
    pub(crate) instances: Vec<Instance>,
    /// Of each place for an instance, whether one is there or not.
    pub(crate) endings: Vec<Endings>,
    /// Messages about alerts that none of their channels takes, by key, and why.
    pub(crate) unheard: Vec<(String, String)>,
    /// What services need and nobody here runs.
    pub(crate) outside: Vec<Outside>,
    /// Who is told what was measured.
    pub(crate) elsewhere: Elsewhere,
    /// Where the edge accepts the public's requests, and whether with TLS.
    pub(crate) public: Option<(SocketAddr, bool)>,
    /// Whether the edge runs.
    pub(crate) edge: bool,
}

/// A service of the manifest.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) project: String,
    pub(crate) kind: &'static str,
    /// Services that it needs, and what nobody here runs, by the names that alerts call them.
    pub(crate) needs: Vec<String>,
    /// Instances that there should be; 0 where it is stopped on purpose, or is a folder.
    pub(crate) wanted: u16,
    pub(crate) ready: u16,
    /// What each of them may use.
    pub(crate) memory_bytes: Option<u64>,
    /// The last rollout failed or went back, and none has succeeded since.
    pub(crate) rollout_failed: bool,
    /// Where it is asked how it is, from inside and from outside, through each of its hosts.
    pub(crate) direct: Option<Asked>,
    pub(crate) public: Vec<Asked>,
}

/// A question to a service.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    /// Where our own edge listens for it.
    pub(crate) address: SocketAddr,
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) path: String,
    /// How everybody else comes to the host; none where its name is nobody's on the internet.
    pub(crate) by_name: Option<ByName>,
}

/// The way by a host's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByName {
    pub(crate) tls: bool,
    pub(crate) port: u16,
}

/// A process of a service, or the edge.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Instance {
    pub(crate) service: String,
    /// The same over restarts: `blue-1`.
    pub(crate) name: String,
    pub(crate) slot: String,
    pub(crate) release: String,
    /// Pid, and when it began in ticks since boot.
    pub(crate) process: Option<(u32, u64)>,
    /// Where it can be asked over HTTP/1, ready or not.
    pub(crate) port: Option<u16>,
    pub(crate) ready: bool,
    pub(crate) restarts: u32,
    /// What it takes with all that it started; `None`: not sampled yet.
    pub(crate) usage: Option<Usage>,
}

/// How often the instances of a place ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Endings {
    pub(crate) service: String,
    /// As [`Instance::name`].
    pub(crate) instance: String,
    /// Every reason, those that were never among them.
    pub(crate) by_reason: Vec<(&'static str, u32)>,
}

impl Instance {
    /// What its series are kept by.
    pub(crate) fn target(&self) -> String {
        format!("{}/{}", self.service, self.name)
    }

    /// Which labels say whose a series is. The release is not among them: a series goes on from one to the next.
    pub(crate) fn labels(&self) -> Vec<(String, String)> {
        [("service", &self.service), ("instance", &self.name), ("slot", &self.slot)]
            .map(|(label, value)| (label.to_owned(), value.clone()))
            .into()
    }
}
