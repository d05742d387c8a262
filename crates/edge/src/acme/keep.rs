//! Looking after one host: order, wait, renew, and after a failure try again later.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{Account, CertificateIdentifier};
use rustls::pki_types::CertificateDer;
use tokio::sync::{OnceCell, Semaphore};

use super::order::{self, OrderError};
use super::schedule::{self, Known, Seconds};
use super::{account, certificate, kept};
use crate::clock;
use crate::private_file;
use crate::snapshot::{Acme, CertificateFiles};
use crate::tls::files::{self, Loaded};
use crate::tls::store::{Held, Source, Store};

/// Orders at a time: a server with hundreds of hosts must not look like an attack to the authority.
const AT_ONCE: usize = 4;

/// Longest time for one order, all its waits included.
const ORDER_TIMEOUT: Duration = Duration::from_mins(5);

/// Orders in one attempt, where one after the other fails for a nonce only.
const NONCE_ATTEMPTS: usize = 5;

/// What all hosts share.
pub(crate) struct Context {
    pub(crate) acme: Acme,
    store: Arc<Store>,
    account: OnceCell<Account>,
    turns: Semaphore,
}

/// How far a host is, for operators.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Progress {
    /// Attempts in a row that failed.
    pub(crate) failures: u32,
    pub(crate) last_error: Option<String>,
    /// When it is tried next, in seconds since 1970.
    pub(crate) next: Option<Seconds>,
}

impl Context {
    pub(crate) fn new(acme: Acme, store: Arc<Store>) -> Self {
        Self { acme, store, account: OnceCell::new(), turns: Semaphore::new(AT_ONCE) }
    }

    async fn account(&self) -> Result<&Account, OrderError> {
        self.account.get_or_try_init(|| account::open(&self.acme)).await
    }
}

/// Looks after `host` until the task is aborted.
pub(crate) async fn keep(context: Rc<Context>, host: String, progress: Rc<RefCell<Progress>>) {
    let mut known = Known { chance: clock::chance(), ..Known::default() };
    let mut served = kept(&context.acme, &host).map(|loaded| loaded.held);
    loop {
        known.validity = served.as_ref().map(|held| (held.not_before, held.not_after));
        if let Some(held) = &served {
            known.window = window(&context, held).await;
        }
        let due = schedule::due(&known);
        progress.borrow_mut().next = Some(due.max(clock::unix_seconds()));
        if due > clock::unix_seconds() {
            tokio::time::sleep(schedule::pause(due, clock::unix_seconds())).await;
            continue;
        }
        match attempt(&context, &host, served.as_ref()).await {
            Ok(held) => {
                tracing::info!(host, until = held.not_after, "a certificate is there");
                context.store.insert(&host, &held);
                served = Some(held);
                known = Known { chance: clock::chance(), ..Known::default() };
                *progress.borrow_mut() = Progress::default();
            }
            Err(error) => {
                known.failures = known.failures.saturating_add(1);
                known.failed_at = clock::unix_seconds();
                known.limited = error.is_limit();
                tracing::error!(host, failures = known.failures, %error, "no certificate; it is tried again");
                let mut progress = progress.borrow_mut();
                progress.failures = known.failures;
                progress.last_error = Some(error.to_string());
            }
        }
    }
}

/// Orders, and puts what comes on disk.
async fn attempt(context: &Context, host: &str, served: Option<&Held>) -> Result<Held, OrderError> {
    // Nobody closes the semaphore.
    let _turn = context.turns.acquire().await;
    let ordered = async || {
        let account = context.account().await?;
        let leaf = served.and_then(leaf);
        let replaces = leaf.as_ref().and_then(|leaf| CertificateIdentifier::try_from(leaf).ok());
        let challenge = context.acme.challenge;
        let first = order::order(account, host, challenge, replaces.clone(), &context.store).await;
        match first {
            // An authority that lost track of what it made, or of whom it told, still makes a new one.
            Err(error) if replaces.is_some() && (error.is_about_replacing() || error.is_unsupported()) => {
                order::order(account, host, challenge, None, &context.store).await
            }
            first => first,
        }
    };
    let ordered = async {
        for _ in 1..NONCE_ATTEMPTS {
            match ordered().await {
                Err(error) if error.is_bad_nonce() => {}
                done => return done,
            }
        }
        ordered().await
    };
    let pem = match tokio::time::timeout(ORDER_TIMEOUT, ordered).await {
        Ok(pem) => pem?,
        Err(_elapsed) => return Err(OrderError::TooLate(ORDER_TIMEOUT)),
    };
    let path = certificate(&context.acme, host);
    let both = CertificateFiles { certificate: path.clone(), key: path.clone() };
    // Checked before it takes the place of one that may still be good.
    let Loaded { held, .. } = files::parse(pem.as_bytes(), pem.as_bytes(), &both, Source::Acme)?;
    private_file::write(&path, pem.as_bytes()).map_err(|source| OrderError::File { path, source })?;
    Ok(held)
}

/// When the authority wants this certificate renewed, if it says so.
async fn window(context: &Context, held: &Held) -> Option<(Seconds, Seconds)> {
    let leaf = leaf(held)?;
    let id = CertificateIdentifier::try_from(&leaf).ok()?;
    let asked = async {
        let account = context.account().await?;
        Ok::<_, OrderError>(account.renewal_info(&id).await?)
    };
    // An authority that does not say, or cannot be reached now, leaves it to the certificate's own end.
    let (info, _again) = tokio::time::timeout(ORDER_TIMEOUT, asked).await.ok()?.ok()?;
    Some((info.suggested_window.start.unix_timestamp(), info.suggested_window.end.unix_timestamp()))
}

fn leaf(held: &Held) -> Option<CertificateDer<'static>> {
    held.key.cert.first().cloned()
}
