//! An authority of this machine's own, for development: made on first use, trusted by whoever installs it.
//!
//! Its key lies on a developer's disk, so it must be of no use to a thief: the authority may only certify names that
//! are nobody's on the internet (RFC 6761, 6762, 8375, 9476), and says so in its own certificate, which browsers enforce.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
};
use time::{Duration, OffsetDateTime};

use super::files::{self, Loaded};
use super::store::Source;
use crate::private_file;
use crate::snapshot::CertificateFiles;

/// Top-level names that lead nowhere on the internet.
pub(crate) const NAMES: [&str; 5] = ["localhost", "test", "internal", "local", "home.arpa"];

/// The authority's certificate, in its folder.
pub(crate) const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca-key.pem";

const AUTHORITY_DAYS: i64 = 3_650;
/// Browsers refuse more than 825, even from an authority that was installed by hand.
const HOST_DAYS: i64 = 90;
/// A clock that is a little behind must not find a certificate that is not valid yet.
const BACKDATED: Duration = Duration::hours(1);

/// Why an authority of this machine's own cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// A file of it.
    #[error("{} cannot be used: {source}; make it writable for this user, or remove it and a new one is made", path.display())]
    #[non_exhaustive]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is there is no authority.
    #[error("the local authority in {} is damaged: {source}; remove the folder and a new one is made", folder.display())]
    #[non_exhaustive]
    Damaged {
        /// Where it lies.
        folder: PathBuf,
        /// What is wrong.
        source: rcgen::Error,
    },
    /// It was asked for a name that may be somebody's.
    #[error("the local authority certifies only names that lead nowhere on the internet ({}), not `{host}`: add files for it, or order it by ACME", NAMES.join(", "))]
    #[non_exhaustive]
    NotLocal {
        /// The name.
        host: String,
    },
    /// A defect.
    #[error("the local authority made a certificate that cannot be served: {0}")]
    Unusable(String),
}

/// An authority that can certify hosts.
pub(crate) struct Authority {
    folder: PathBuf,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Makes the authority in `folder` if there is none, and says where its certificate lies: what people install.
pub fn local_authority(folder: &Path) -> Result<PathBuf, LocalError> {
    Authority::open(folder)?;
    Ok(local_certificate(folder))
}

/// Where the authority's certificate lies, once there is one.
pub fn local_certificate(folder: &Path) -> PathBuf {
    folder.join(CERTIFICATE)
}

/// Whether the authority may certify a host.
pub(crate) fn may_certify(host: &str) -> bool {
    NAMES.iter().any(|name| host == *name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')))
}

impl Authority {
    /// Opens the authority in `folder`, or makes one there.
    pub(crate) fn open(folder: &Path) -> Result<Self, LocalError> {
        let file = |path: &Path| {
            let path = path.to_owned();
            move |source| LocalError::File { path, source }
        };
        let damaged = |source| LocalError::Damaged { folder: folder.to_owned(), source };
        let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
        if !certificate.exists() {
            private_file::folder(folder).map_err(file(folder))?;
            let (made, made_key) = make().map_err(damaged)?;
            // The certificate is what says that there is an authority: it comes last.
            private_file::write(&key, made_key.as_bytes()).map_err(file(&key))?;
            private_file::write(&certificate, made.as_bytes()).map_err(file(&certificate))?;
        }
        let key_text = fs::read_to_string(&key).map_err(file(&key))?;
        let text = fs::read_to_string(&certificate).map_err(file(&certificate))?;
        let key = KeyPair::from_pem(&key_text).map_err(damaged)?;
        let issuer = Issuer::from_ca_cert_pem(&text, key).map_err(damaged)?;
        Ok(Self { folder: folder.to_owned(), certificate: text, issuer })
    }

    /// Whether both are the same authority.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.certificate == other.certificate
    }

    /// A certificate for one host, with a key of its own. Neither is kept: making one takes less than reading it.
    pub(crate) fn certify(&self, host: &str) -> Result<Loaded, LocalError> {
        if !may_certify(host) {
            return Err(LocalError::NotLocal { host: host.to_owned() });
        }
        let damaged = |source| LocalError::Damaged { folder: self.folder.clone(), source };
        let mut params = CertificateParams::default();
        params.distinguished_name = named(host);
        params.subject_alt_names = vec![SanType::DnsName(host.try_into().map_err(damaged)?)];
        params.not_before = OffsetDateTime::now_utc() - BACKDATED;
        params.not_after = OffsetDateTime::now_utc() + Duration::days(HOST_DAYS);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(damaged)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(damaged)?;
        let at = CertificateFiles { certificate: self.folder.join(host), key: self.folder.join(host) };
        let pem = certificate.pem();
        files::parse(pem.as_bytes(), key.serialize_pem().as_bytes(), &at, Source::Local)
            .map_err(|error| LocalError::Unusable(error.to_string()))
    }
}

/// A new authority: certificate and key.
fn make() -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("mana local authority (development)");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = OffsetDateTime::now_utc() - BACKDATED;
    params.not_after = OffsetDateTime::now_utc() + Duration::days(AUTHORITY_DAYS);
    let names = NAMES.iter().map(|name| GeneralSubtree::DnsName((*name).to_owned()));
    let loopback = GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8));
    params.name_constraints =
        Some(NameConstraints { permitted_subtrees: names.chain([loopback]).collect(), excluded_subtrees: Vec::new() });
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_names_that_are_nobodys_on_the_internet_are_certified() {
        for host in ["localhost", "chat.localhost", "a.b.test", "nas.home.arpa"] {
            assert!(may_certify(host), "{host}");
        }
        for host in ["example.org", "mylocalhost", "localhost.example.org", "arpa", "notest"] {
            assert!(!may_certify(host), "{host}");
        }
    }

    #[test]
    fn an_authority_is_made_once_and_kept_to_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca");
        let first = Authority::open(&path).unwrap();
        assert_eq!(first.certify("chat.localhost").unwrap().hosts, ["chat.localhost"]);
        let certificate = fs::read(path.join(CERTIFICATE)).unwrap();
        Authority::open(&path).unwrap();
        assert_eq!(fs::read(path.join(CERTIFICATE)).unwrap(), certificate, "opened, not made again");
        for (file, mode) in [(path.clone(), 0o700), (path.join(KEY), 0o600)] {
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[test]
    fn a_damaged_authority_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CERTIFICATE), "nonsense").unwrap();
        fs::write(folder.path().join(KEY), "nonsense").unwrap();
        let error = Authority::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("damaged") && error.contains("remove the folder"), "{error}");
    }
}
