//! Who sees to it that the store holds what the snapshot asks for. Lives on the control thread.
//!
//! A snapshot's certificates are prepared before it is put into effect, so that a wrong file refuses the snapshot and
//! not its visitors; only ACME's are ordered while it is served already, since an authority has to see us answer.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::files::{self, Loaded, Stamp};
use super::local::{self, Authority, LocalError};
use super::store::{Held, Source, Store, wildcard};
use crate::acme::Orders;
use crate::admin::Certificate;
use crate::clock;
use crate::snapshot::{self, CertificateFiles, Issuer, Snapshot};
use crate::table::{Problem, Table};

/// How often files are looked at, and local certificates' age.
const LOOK: Duration = Duration::from_secs(2);

/// A local certificate is made anew this many seconds before its end.
const LOCAL_MARGIN: i64 = 30 * 24 * 60 * 60;

pub(crate) struct Keeper {
    store: Arc<Store>,
    files: RefCell<Vec<Watched>>,
    authority: RefCell<Option<Authority>>,
    orders: RefCell<Option<Orders>>,
}

/// A certificate of one's own, as it was last read.
struct Watched {
    files: CertificateFiles,
    stamp: Stamp,
    loaded: Loaded,
}

/// A snapshot's certificates, all there or ordered as soon as it is served.
#[derive(Default)]
pub(crate) struct Prepared {
    held: HashMap<Box<str>, Held>,
    files: Vec<Watched>,
    authority: Option<Authority>,
    acme: Option<(snapshot::Acme, BTreeSet<String>)>,
}

impl Keeper {
    pub(crate) fn new(store: Arc<Store>) -> Rc<Self> {
        Rc::new(Self { store, files: RefCell::default(), authority: RefCell::default(), orders: RefCell::default() })
    }

    /// Reads and makes what `snapshot` needs.
    pub(crate) fn prepare(&self, snapshot: &Snapshot, table: &Table) -> Result<Prepared, Vec<Problem>> {
        prepare(&self.store, self.authority.borrow().as_ref(), snapshot, table)
    }

    /// Serves what was prepared.
    pub(crate) fn take_over(&self, prepared: Prepared) {
        self.store.replace(prepared.held);
        self.files.replace(prepared.files);
        self.authority.replace(prepared.authority);
        let mut orders = self.orders.borrow_mut();
        match prepared.acme {
            None => *orders = None,
            Some((acme, hosts)) => match &mut *orders {
                Some(orders) if orders.is_for(&acme) => orders.want(hosts),
                orders => {
                    let orders = orders.insert(Orders::new(acme, Arc::clone(&self.store)));
                    orders.want(hosts);
                }
            },
        }
    }

    /// Looks after files and local certificates until the edge ends.
    pub(crate) async fn run(self: Rc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.look();
        }
    }

    fn look(&self) {
        let mut changed = false;
        for watched in self.files.borrow_mut().iter_mut() {
            let stamp = Stamp::of(&watched.files);
            if stamp == watched.stamp {
                continue;
            }
            watched.stamp = stamp;
            match files::load(&watched.files, Source::File) {
                Ok(loaded) => {
                    tracing::info!(hosts = ?loaded.hosts, "a changed certificate is served");
                    watched.loaded = loaded;
                    changed = true;
                }
                Err(error) => tracing::error!(%error, "a changed certificate cannot be served; the old one is, still"),
            }
        }
        if changed {
            for (host, held) in by_host(&self.files.borrow()) {
                self.store.insert(&host, &held);
            }
        }
        if let Some(authority) = &*self.authority.borrow() {
            self.renew_local(authority);
        }
    }

    fn renew_local(&self, authority: &Authority) {
        let now = clock::unix_seconds();
        for (host, held) in self.store.list() {
            if held.source == Source::Local && held.not_after - now < LOCAL_MARGIN {
                match authority.certify(&host) {
                    Ok(loaded) => self.store.insert(&host, &loaded.held),
                    Err(error) => tracing::error!(host, %error, "a local certificate cannot be renewed"),
                }
            }
        }
    }

    /// What is served and what is ordered, host by host.
    pub(crate) fn report(&self) -> Vec<Certificate> {
        let mut report: BTreeMap<String, Certificate> = self
            .store
            .list()
            .into_iter()
            .map(|(host, held)| {
                let certificate = Certificate {
                    host: host.clone(),
                    source: held.source.name().to_owned(),
                    not_before: Some(held.not_before),
                    not_after: Some(held.not_after),
                    ..Certificate::default()
                };
                (host, certificate)
            })
            .collect();
        if let Some(orders) = &*self.orders.borrow() {
            for (host, progress) in orders.progress() {
                let certificate = report.entry(host.to_owned()).or_insert_with(|| Certificate {
                    host: host.to_owned(),
                    source: Source::Acme.name().to_owned(),
                    ..Certificate::default()
                });
                certificate.failures = progress.failures;
                certificate.last_error = progress.last_error;
                certificate.next_order = progress.next;
            }
        }
        report.into_values().collect()
    }
}

/// Reads and makes what `snapshot` needs. `before` is the local authority so far: what it made is served on.
pub(crate) fn prepare(
    store: &Store,
    before: Option<&Authority>,
    snapshot: &Snapshot,
    table: &Table,
) -> Result<Prepared, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut prepared = Prepared::default();
    let Some(tls) = &snapshot.tls else { return Ok(prepared) };
    for files in &tls.certificates {
        let stamp = Stamp::of(files);
        match files::load(files, Source::File) {
            Ok(loaded) => prepared.files.push(Watched { files: files.clone(), stamp, loaded }),
            Err(error) => problems.push(problem(error)),
        }
    }
    prepared.held = by_host(&prepared.files);
    let missing: BTreeSet<String> =
        table.secure_hosts().filter(|host| !covers(&prepared.held, host)).map(str::to_owned).collect();
    match &tls.issuer {
        None => problems.extend(
            missing
                .iter()
                .map(|host| problem(format!("there is no certificate for `{host}`: add its files, or name an issuer"))),
        ),
        Some(Issuer::Local(local)) => match Authority::open(&local.folder) {
            Ok(authority) => {
                let known = before.is_some_and(|before| before.is(&authority));
                for host in missing {
                    match local_certificate(&authority, known.then_some(store), &host) {
                        Ok(held) => drop(prepared.held.insert(host.into(), held)),
                        Err(error) => problems.push(problem(error)),
                    }
                }
                prepared.authority = Some(authority);
            }
            Err(error) => problems.push(problem(error)),
        },
        Some(Issuer::Acme(acme)) => {
            problems.extend(missing.iter().filter(|host| is_private(host)).map(|host| {
                problem(format!("no public authority certifies `{host}`: add files for it, or use the local issuer"))
            }));
            for host in &missing {
                if let Some(loaded) = crate::acme::kept(acme, host) {
                    prepared.held.insert(host.as_str().into(), loaded.held);
                }
            }
            prepared.acme = Some((acme.clone(), missing));
        }
    }
    if problems.is_empty() { Ok(prepared) } else { Err(problems) }
}

/// A certificate of the local authority: the one that is served already, or a new one.
fn local_certificate(authority: &Authority, served: Option<&Store>, host: &str) -> Result<Held, LocalError> {
    match served.and_then(|store| store.find(host)).filter(|held| held.source == Source::Local) {
        Some(held) => Ok(held),
        None => Ok(authority.certify(host)?.held),
    }
}

/// Whether a name is nobody's on the internet, or an address.
fn is_private(host: &str) -> bool {
    local::may_certify(host) || host.parse::<std::net::IpAddr>().is_ok() || !host.contains('.')
}

fn by_host(files: &[Watched]) -> HashMap<Box<str>, Held> {
    files
        .iter()
        .flat_map(|watched| watched.loaded.hosts.iter().map(|host| (host.as_str().into(), watched.loaded.held.clone())))
        .collect()
}

fn covers(held: &HashMap<Box<str>, Held>, host: &str) -> bool {
    held.contains_key(host) || wildcard(host).is_some_and(|wildcard| held.contains_key(&wildcard))
}

fn problem(what: impl std::fmt::Display) -> Problem {
    Problem { at: "tls".into(), what: what.to_string() }
}
