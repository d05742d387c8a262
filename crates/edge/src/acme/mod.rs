//! Certificates ordered from a public authority by ACME (RFC 8555) and renewed in time.
//!
//! Each host is looked after by a task of its own on the control thread ([`keep`]), so that one that cannot be certified
//! (its name does not lead here yet, say) holds up no other. When to try is decided by [`schedule`], which is pure; how an
//! order goes stands in [`order`]. What was ordered lies in the folder of its authority, account and certificates alike, so
//! that a change from a staging authority to the real one begins with neither.

mod account;
mod keep;
mod order;
mod schedule;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::snapshot::{Acme, CertificateFiles};
use crate::tls::Store;
use crate::tls::files::{self, Loaded};
use crate::tls::store::Source;

pub(crate) use keep::Progress;

/// The certificate that was ordered for a host earlier, if it is on disk and whole.
pub(crate) fn kept(acme: &Acme, host: &str) -> Option<Loaded> {
    let path = certificate(acme, host);
    // Key and chain lie in one file, which is replaced as one: they always belong together.
    let both = CertificateFiles { certificate: path.clone(), key: path };
    if !both.certificate.exists() {
        return None;
    }
    files::load(&both, Source::Acme)
        .inspect_err(|error| tracing::error!(host, %error, "a kept certificate cannot be used; a new one is ordered"))
        .ok()
}

/// The folder of an authority: its host is its name.
fn folder(acme: &Acme) -> PathBuf {
    let authority = acme.directory.parse::<http::Uri>().ok();
    let name = authority.as_ref().and_then(|uri| uri.host()).unwrap_or("unknown");
    acme.folder.join(name)
}

fn certificate(acme: &Acme, host: &str) -> PathBuf {
    folder(acme).join(format!("{host}.pem"))
}

/// The hosts that are looked after. Dropping it stops that.
pub(crate) struct Orders {
    context: Rc<keep::Context>,
    hosts: BTreeMap<String, Host>,
}

struct Host {
    task: JoinHandle<()>,
    progress: Rc<RefCell<Progress>>,
}

impl Orders {
    pub(crate) fn new(acme: Acme, store: Arc<Store>) -> Self {
        Self { context: Rc::new(keep::Context::new(acme, store)), hosts: BTreeMap::new() }
    }

    /// Whether the settings are these.
    pub(crate) fn is_for(&self, acme: &Acme) -> bool {
        self.context.acme == *acme
    }

    /// Looks after exactly these hosts. Those that stay are not disturbed.
    pub(crate) fn want(&mut self, hosts: BTreeSet<String>) {
        self.hosts.retain(|host, kept| {
            let stays = hosts.contains(host);
            if !stays {
                kept.task.abort();
            }
            stays
        });
        for host in hosts {
            let context = &self.context;
            self.hosts.entry(host).or_insert_with_key(|host| {
                let progress = Rc::new(RefCell::new(Progress::default()));
                let task = keep::keep(Rc::clone(context), host.clone(), Rc::clone(&progress));
                Host { task: tokio::task::spawn_local(task), progress }
            });
        }
    }

    /// How far each host is.
    pub(crate) fn progress(&self) -> impl Iterator<Item = (&str, Progress)> {
        self.hosts.iter().map(|(host, kept)| (host.as_str(), kept.progress.borrow().clone()))
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        for host in self.hosts.values() {
            host.task.abort();
        }
    }
}
