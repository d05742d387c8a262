//! One order, from its first request to the certificate.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, CertificateIdentifier, ChallengeType, Identifier,
    KeyAuthorization, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use crate::snapshot::Challenge;
use crate::tls::Store;

/// How long the authority may take to look at a proof, and then to sign.
const PATIENCE: Duration = Duration::from_mins(2);

/// Why an order came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("the certificate authority: {0}")]
    Authority(#[from] instant_acme::Error),
    #[error("the certificate authority does not accept the proof for `{host}`: {why}")]
    NotProven { host: String, why: String },
    #[error("the certificate authority offers no {kind} challenge for `{host}`")]
    NotOffered { host: String, kind: &'static str },
    #[error("no key or proof can be made: {0}")]
    Key(#[from] rcgen::Error),
    #[error("a proof cannot be served: {0}")]
    Proof(#[from] rustls::Error),
    #[error("{} cannot be used: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the certificate that came cannot be served: {0}")]
    Unusable(#[from] crate::tls::files::FileError),
    #[error("no answer within {0:?}")]
    TooLate(Duration),
}

impl OrderError {
    /// Whether the authority said that it was asked too often.
    pub(crate) fn is_limit(&self) -> bool {
        self.problem().is_some_and(|kind| kind.ends_with(":rateLimited"))
    }

    /// Whether the authority rejected a nonce once more than the library tries again: nothing is wrong with the order.
    pub(crate) fn is_bad_nonce(&self) -> bool {
        self.problem().is_some_and(|kind| kind.ends_with(":badNonce"))
    }

    /// Whether the order failed for naming the certificate it replaces.
    pub(crate) fn is_about_replacing(&self) -> bool {
        self.problem().is_some_and(|kind| kind.ends_with(":alreadyReplaced") || kind.ends_with(":malformed"))
    }

    /// Whether the authority does not offer what the order made use of.
    pub(crate) fn is_unsupported(&self) -> bool {
        matches!(self, Self::Authority(instant_acme::Error::Unsupported(_)))
    }

    fn problem(&self) -> Option<&str> {
        match self {
            Self::Authority(instant_acme::Error::Api(problem)) => problem.r#type.as_deref(),
            _ => None,
        }
    }
}

/// Orders a certificate for one host: key and chain as PEM, the key first.
pub(crate) async fn order(
    account: &Account,
    host: &str,
    challenge: Challenge,
    replaces: Option<CertificateIdentifier<'_>>,
    store: &Arc<Store>,
) -> Result<String, OrderError> {
    let identifiers = [Identifier::Dns(host.to_owned())];
    let mut new = NewOrder::new(&identifiers);
    if let Some(replaces) = replaces {
        new = new.replaces(replaces);
    }
    let mut order = account.new_order(&new).await?;
    let mut proofs = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status != AuthorizationStatus::Valid {
            proofs.push(prove(&mut authorization, host, challenge, store).await?);
        }
    }
    let retries = RetryPolicy::new().timeout(PATIENCE);
    if order.poll_ready(&retries).await? != OrderStatus::Ready {
        return Err(refused(&mut order, host).await);
    }
    drop(proofs);
    let key = KeyPair::generate()?;
    let request = CertificateParams::new([host.to_owned()])?.serialize_request(&key)?;
    order.finalize_csr(request.der()).await?;
    let chain = order.poll_certificate(&retries).await?;
    Ok(format!("{}{chain}", key.serialize_pem()))
}

/// Shows the proof that the authority asks for, and tells it to look.
async fn prove<'a>(
    authorization: &'a mut AuthorizationHandle<'a>,
    host: &str,
    challenge: Challenge,
    store: &Arc<Store>,
) -> Result<Proof, OrderError> {
    let (kind, name) = match challenge {
        Challenge::Http01 => (ChallengeType::Http01, "http-01"),
        Challenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
    };
    let mut asked =
        authorization.challenge(kind).ok_or_else(|| OrderError::NotOffered { host: host.to_owned(), kind: name })?;
    let answer = asked.key_authorization();
    let proof = Proof { store: Arc::clone(store), host: host.to_owned(), token: asked.token.clone() };
    match challenge {
        Challenge::Http01 => store.prove_by_file(&asked.token, answer.as_str()),
        Challenge::TlsAlpn01 => store.prove_by_handshake(host, &handshake_proof(host, &answer)?),
    }
    asked.set_ready().await?;
    Ok(proof)
}

/// What the authority says is wrong, in its words.
async fn refused(order: &mut Order, host: &str) -> OrderError {
    let mut why = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        // The state from before the proof is remembered; what was found stands in the present one.
        if let Ok(state) = authorization.refresh().await {
            let errors = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
            why.extend(errors.map(ToString::to_string));
        }
    }
    if why.is_empty() {
        why.push("it gives no reason".into());
    }
    OrderError::NotProven { host: host.to_owned(), why: why.join("; ") }
}

/// The certificate that answers TLS-ALPN-01 (RFC 8737).
fn handshake_proof(host: &str, answer: &KeyAuthorization) -> Result<Arc<CertifiedKey>, OrderError> {
    let mut params = CertificateParams::new([host.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(answer.digest().as_ref())];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = aws_lc_rs::sign::any_supported_type(&der)?;
    // Not checked against its key: a verifier must refuse this very certificate, for its critical extension.
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
}

/// A proof that is being shown; dropped, it is shown no more.
struct Proof {
    store: Arc<Store>,
    host: String,
    token: String,
}

impl Drop for Proof {
    fn drop(&mut self) {
        self.store.forget_proofs(&self.host, &self.token);
    }
}
