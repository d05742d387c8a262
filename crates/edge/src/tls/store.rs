//! The certificates that are served, by host, and the proofs that an authority asks for while it makes one.
//!
//! Read by every handshake on every thread, written a few times a day: each map is swapped as a whole.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The protocol in which an authority looks for the proof of TLS-ALPN-01 (RFC 8737).
pub(crate) const ACME_TLS: &[u8] = b"acme-tls/1";

/// A certificate that can be served.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) key: Arc<CertifiedKey>,
    /// Validity, in seconds since 1970.
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) source: Source,
}

/// Where a certificate came from; a label of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    File,
    Local,
    Acme,
}

impl Source {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Local => "local",
            Self::Acme => "acme",
        }
    }
}

#[derive(Default)]
pub(crate) struct Store {
    held: ArcSwap<HashMap<Box<str>, Held>>,
    /// By host: what TLS-ALPN-01 is answered with.
    handshake_proofs: ArcSwap<HashMap<Box<str>, Arc<CertifiedKey>>>,
    /// By token: what HTTP-01 is answered with.
    file_proofs: ArcSwap<HashMap<Box<str>, Box<str>>>,
}

impl Store {
    /// The certificate for a host: its own, or one for all names beside it.
    pub(crate) fn find(&self, host: &str) -> Option<Held> {
        let held = self.held.load();
        held.get(host).or_else(|| held.get(&*wildcard(host)?)).cloned()
    }

    /// Replaces all certificates.
    pub(crate) fn replace(&self, held: HashMap<Box<str>, Held>) {
        self.held.store(Arc::new(held));
    }

    /// Adds or replaces one host's certificate.
    pub(crate) fn insert(&self, host: &str, held: &Held) {
        change(&self.held, |map| map.insert(host.into(), held.clone()));
    }

    /// All hosts with the end of their validity.
    pub(crate) fn list(&self) -> BTreeMap<String, Held> {
        self.held.load().iter().map(|(host, held)| (host.to_string(), held.clone())).collect()
    }

    /// The answer to an authority that asks for `token` over HTTP.
    pub(crate) fn file_proof(&self, token: &str) -> Option<Box<str>> {
        self.file_proofs.load().get(token).cloned()
    }

    pub(crate) fn prove_by_file(&self, token: &str, answer: &str) {
        change(&self.file_proofs, |map| map.insert(token.into(), answer.into()));
    }

    pub(crate) fn prove_by_handshake(&self, host: &str, key: &Arc<CertifiedKey>) {
        change(&self.handshake_proofs, |map| map.insert(host.into(), Arc::clone(key)));
    }

    /// A proof is not needed any more.
    pub(crate) fn forget_proofs(&self, host: &str, token: &str) {
        change(&self.file_proofs, |map| map.remove(token));
        change(&self.handshake_proofs, |map| map.remove(host));
    }
}

/// `*.example.org` for `www.example.org`.
pub(crate) fn wildcard(host: &str) -> Option<Box<str>> {
    let (_, parent) = host.split_once('.')?;
    Some(format!("*.{parent}").into())
}

fn change<K: Clone, V: Clone, R>(place: &ArcSwap<HashMap<K, V>>, change: impl Fn(&mut HashMap<K, V>) -> R) {
    place.rcu(|map| {
        let mut map = HashMap::clone(map);
        change(&mut map);
        map
    });
}

impl ResolvesServerCert for Store {
    /// `None`, which ends the handshake with an alert, for whoever names no host or one that is not served here: there
    /// is no certificate that would be true.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name()?;
        let asks_for_proof = hello.alpn().is_some_and(|mut protocols| protocols.any(|protocol| protocol == ACME_TLS));
        if asks_for_proof {
            return self.handshake_proofs.load().get(host).cloned();
        }
        Some(self.find(host)?.key)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No proof and no key belongs into a log.
        f.debug_struct("Store").field("hosts", &self.list().keys()).finish_non_exhaustive()
    }
}
