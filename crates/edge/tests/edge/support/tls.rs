//! Clients that speak TLS and trust one authority.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A client that trusts what `ca` certified and keeps its sessions.
#[derive(Clone)]
pub(crate) struct TlsClient {
    config: Arc<ClientConfig>,
}

impl TlsClient {
    pub(crate) fn trusting(ca: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { config: Arc::new(config) }
    }

    /// The same client, offering these protocols.
    pub(crate) fn offering(&self, protocols: &[&str]) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Self { config: Arc::new(config) }
    }

    pub(crate) async fn connect(&self, address: SocketAddr, host: &str) -> io::Result<TlsStream<TcpStream>> {
        self.over(TcpStream::connect(address).await?, host).await
    }

    /// Shakes hands on a connection on which something has been said before.
    pub(crate) async fn over(&self, socket: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
        let host = ServerName::try_from(host.to_owned()).unwrap();
        TlsConnector::from(Arc::clone(&self.config)).connect(host, socket).await
    }

    /// An HTTP/2 connection. It is driven by a task of its own.
    pub(crate) async fn http2(&self, address: SocketAddr, host: &str) -> http2::SendRequest<Full<Bytes>> {
        self.http2_over(TcpStream::connect(address).await.unwrap(), host).await
    }

    /// The same on a connection on which something has been said before.
    pub(crate) async fn http2_over(&self, socket: TcpStream, host: &str) -> http2::SendRequest<Full<Bytes>> {
        let stream = self.offering(&["h2", "http/1.1"]).over(socket, host).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}
