//! Certificates of one's own, from PEM files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;

use super::store::{Held, Source};
use crate::snapshot::CertificateFiles;

/// Why files are no certificate that can be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{} holds no PEM certificate: {what}", path.display())]
    NoCertificate { path: PathBuf, what: String },
    #[error("{} holds no PEM private key: {what}", path.display())]
    NoKey { path: PathBuf, what: String },
    #[error("the key in {} does not belong to the certificate in {}: {what}", key.display(), certificate.display())]
    NotTogether { certificate: PathBuf, key: PathBuf, what: String },
    #[error("the certificate in {} names no host in its subject alternative names", path.display())]
    NoHost { path: PathBuf },
}

/// A certificate, its key, and the hosts it is for.
pub(crate) struct Loaded {
    pub(crate) hosts: Vec<String>,
    pub(crate) held: Held,
}

/// What tells one version of a file from the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<(Option<SystemTime>, u64)>);

impl Stamp {
    /// Of both files as they are now; a missing one has a stamp too, which differs from any other.
    pub(crate) fn of(files: &CertificateFiles) -> Self {
        let stamp = |path: &Path| match fs::metadata(path) {
            Ok(metadata) => (metadata.modified().ok(), metadata.len()),
            Err(_missing) => (None, u64::MAX),
        };
        Self(vec![stamp(&files.certificate), stamp(&files.key)])
    }
}

/// Reads and checks both files.
pub(crate) fn load(files: &CertificateFiles, source: Source) -> Result<Loaded, FileError> {
    let read = |path: &Path| fs::read(path).map_err(|source| FileError::Unreadable { path: path.to_owned(), source });
    let (certificate, key) = (read(&files.certificate)?, read(&files.key)?);
    parse(&certificate, &key, files, source)
}

/// Makes PEM texts a certificate that can be served. `files` is where they came from, for the errors.
pub(crate) fn parse(
    certificate: &[u8],
    key: &[u8],
    files: &CertificateFiles,
    source: Source,
) -> Result<Loaded, FileError> {
    let no_certificate = |what: String| FileError::NoCertificate { path: files.certificate.clone(), what };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|error| no_certificate(error.to_string()))?;
    let leaf = chain.first().ok_or_else(|| no_certificate("there is none in it".into()))?;
    let (hosts, not_before, not_after) = facts(leaf).map_err(no_certificate)?;
    if hosts.is_empty() {
        return Err(FileError::NoHost { path: files.certificate.clone() });
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| FileError::NoKey { path: files.key.clone(), what: error.to_string() })?;
    let certified =
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| FileError::NotTogether {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            what: error.to_string(),
        })?;
    Ok(Loaded { hosts, held: Held { key: Arc::new(certified), not_before, not_after, source } })
}

/// Hosts and validity of a certificate.
pub(crate) fn facts(certificate: &CertificateDer<'_>) -> Result<(Vec<String>, i64, i64), String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
    let names = parsed.subject_alternative_name().map_err(|error| error.to_string())?;
    let hosts = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    let validity = parsed.validity();
    Ok((hosts.collect(), validity.not_before.timestamp(), validity.not_after.timestamp()))
}
