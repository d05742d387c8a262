//! The way to whoever is asked: as everybody else comes to a public name, and else to where our own edge listens.
//!
//! By its name nobody but the public's addresses is asked: a name that leads into an inner network (a server of names of one's own, a line of
//! `/etc/hosts`) says nothing of what everybody else comes to, and makes nobody here ask what lies there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{CertificateError, Error as TlsError};

use super::Failure;
use super::line::Way;
use super::names::Names;
use crate::tls;
use crate::watching::subjects::Asked;

/// See the module's page.
pub(in super::super) struct Ways {
    names: Names,
    /// The authority that this machine made for itself, for development; it may not be there.
    authority: PathBuf,
    /// Speaks TLS, and when what it trusts was last changed.
    connector: Mutex<Option<(Option<SystemTime>, TlsConnector)>>,
}

impl Ways {
    pub(in super::super) fn new(authority: PathBuf) -> Self {
        Self { names: Names::default(), authority, connector: Mutex::default() }
    }

    pub(super) async fn connect(&self, asked: &Asked) -> Result<Way, Failure> {
        let (mut addresses, mut secure, mut by_name) = (vec![asked.address], asked.tls, false);
        if let Some(public) = asked.by_name {
            let found = self.names.of(&asked.host).await;
            let found = found.map_err(|why| Failure::Nowhere { host: asked.host.clone(), why })?;
            let outside: Vec<SocketAddr> =
                found.into_iter().filter(|ip| !is_inner(*ip)).map(|ip| (ip, public.port).into()).collect();
            if !outside.is_empty() {
                (addresses, secure, by_name) = (outside, public.tls, true);
            }
        }
        let stream = TcpStream::connect(addresses.as_slice()).await;
        let stream = stream.map_err(|error| Failure::Connection(format!("{}: {error}", shown(&addresses))))?;
        if !secure {
            return Ok(Box::new(stream));
        }
        let name = tls::name(&asked.host).map_err(Failure::Certificate)?;
        let secured = self.connector().map_err(Failure::Certificate)?.connect(name, stream).await;
        Ok(Box::new(secured.map_err(|error| refused(&asked.host, &addresses, by_name, &error))?))
    }

    /// Made anew when the authority was.
    fn connector(&self) -> Result<TlsConnector, String> {
        let changed = changed_at(&self.authority);
        let mut known = self.connector.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((as_of, connector)) = known.as_ref()
            && *as_of == changed
        {
            return Ok(connector.clone());
        }
        let connector = tls::as_a_client(changed.is_some().then_some(self.authority.as_path()))?;
        *known = Some((changed, connector.clone()));
        Ok(connector)
    }
}

fn changed_at(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

/// Why a client would not go on.
fn refused(host: &str, addresses: &[SocketAddr], by_name: bool, error: &io::Error) -> Failure {
    let cause = error.get_ref().and_then(|error| error.downcast_ref::<TlsError>());
    match cause {
        Some(TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) if by_name => {
            let why = format!("whoever answers at {} has a certificate for other names", shown(addresses));
            Failure::Elsewhere { host: host.to_owned(), why }
        }
        Some(cause @ TlsError::InvalidCertificate(_)) => Failure::Certificate(cause.to_string()),
        _ => Failure::Connection(format!("{}: {error}", shown(addresses))),
    }
}

fn shown(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether an address is nobody's on the internet.
fn is_inner(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_inner_v4(ip),
        IpAddr::V6(ip) => is_inner_v6(ip),
    }
}

fn is_inner_v4(ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    // The last two are carriers' own networks, and those for measuring.
    let is_shared = first == 0 || (first == 100 && second & 0xc0 == 64) || (first == 198 && second & 0xfe == 18);
    ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_broadcast()
        || ip.is_documentation()
        || is_shared
        || first >= 240
}

fn is_inner_v6(ip: Ipv6Addr) -> bool {
    // What is given out begins with 2 or 3; within it 2001:db8::/32 is for documents.
    let [first, second, ..] = ip.segments();
    first & 0xe000 != 0x2000 || (first == 0x2001 && second == 0x0db8)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    use super::*;

    struct Authority {
        pem: String,
        issuer: Issuer<'static, KeyPair>,
    }

    fn authority() -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("nobody's name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    /// Speaks TLS with a certificate for this host.
    async fn server(authority: &Authority, host: &str) -> SocketAddr {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &authority.issuer).expect("a certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate and its key");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let accepted = acceptor.accept(stream);
                // Whoever does not trust it goes.
                tokio::spawn(async move { drop(accepted.await) });
            }
        });
        address
    }

    async fn way(ways: &Ways, address: SocketAddr) -> Result<(), &'static str> {
        let (host, path) = ("chat.localhost".to_owned(), "/".to_owned());
        let asked = Asked { address, tls: true, host, path, by_name: None };
        ways.connect(&asked).await.map(drop).map_err(|failure| failure.word())
    }

    #[tokio::test]
    async fn our_own_edge_has_to_show_a_certificate_for_the_host_from_an_authority_that_a_client_trusts() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ca.pem");
        let (own, other) = (authority(), authority());
        let ways = Ways::new(file.clone());
        let right = server(&own, "chat.localhost").await;
        assert_eq!(way(&ways, right).await, Err("certificate"), "its authority is nobody's");
        // It is made when an edge first needs it.
        std::fs::write(&file, &own.pem).expect("written");
        assert_eq!(way(&ways, right).await, Ok(()));
        assert_eq!(way(&ways, server(&own, "mail.localhost").await).await, Err("certificate"));
        assert_eq!(way(&ways, server(&other, "chat.localhost").await).await, Err("certificate"));
    }

    #[test]
    fn only_addresses_of_the_public_are_asked_by_a_name() {
        let inner = [
            "127.0.0.1",
            "127.0.1.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.2.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
        ];
        for text in inner {
            assert!(is_inner(text.parse().expect("an address")), "{text}");
        }
        for text in ["1.1.1.1", "100.128.0.1", "172.32.0.1", "198.20.0.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(!is_inner(text.parse().expect("an address")), "{text}");
        }
    }

    #[test]
    fn a_certificate_for_other_names_says_that_a_name_leads_elsewhere_and_any_other_fault_what_it_is() {
        let address = [SocketAddr::from((Ipv4Addr::new(1, 1, 1, 1), 443))];
        let broken = |error: TlsError| io::Error::new(io::ErrorKind::InvalidData, error);
        let others = || broken(TlsError::InvalidCertificate(CertificateError::NotValidForName));
        let word = |by_name, error: &io::Error| refused("chat.manacore.app", &address, by_name, error).word();
        assert_eq!(word(true, &others()), "elsewhere");
        assert_eq!(word(false, &others()), "certificate", "our own edge has a wrong one");
        assert_eq!(word(true, &broken(TlsError::InvalidCertificate(CertificateError::Expired))), "certificate");
        assert_eq!(word(true, &io::ErrorKind::ConnectionReset.into()), "connection");
        let text = refused("chat.manacore.app", &address, true, &others()).to_string();
        assert_eq!(
            text,
            "chat.manacore.app leads elsewhere: whoever answers at 1.1.1.1:443 has a certificate for other names"
        );
    }
}
