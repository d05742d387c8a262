//! How TLS is spoken, the same for every listener.

use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::server::ServerSessionMemoryCache;
use rustls::{ServerConfig, SupportedCipherSuite};

use super::store::{ACME_TLS, Store};
use crate::error::Error;

/// HTTP/2, as ALPN names it.
pub(crate) const H2: &[u8] = b"h2";
const H3: &[u8] = b"h3";
const HTTP_11: &[u8] = b"http/1.1";

/// Sessions kept for clients of TLS 1.2 that resume without tickets; the others keep their state themselves.
const SESSIONS: usize = 4_096;

/// All that rustls offers, the cheapest first: all are as strong as the certificate's key. The client's order is not asked for.
const CIPHERS: [SupportedCipherSuite; 9] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// TLS as QUIC speaks it: 1.3, and no request in the first flight, which could be sent again by anybody.
pub(crate) fn quic(store: &Arc<Store>) -> Result<Arc<QuicServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(Error::tls)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(store) as _);
    config.alpn_protocols = vec![H3.to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(Error::tls)?;
    let config = QuicServerConfig::try_from(config);
    Ok(Arc::new(config.map_err(|error| Error::tls(rustls::Error::General(error.to_string())))?))
}

/// TLS 1.2 and 1.3, certificates from `store`, sessions resumed by tickets whose key changes every few hours.
pub(crate) fn server(store: &Arc<Store>) -> Result<Arc<ServerConfig>, Error> {
    let provider = CryptoProvider { cipher_suites: CIPHERS.to_vec(), ..aws_lc_rs::default_provider() };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(Error::tls)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(store) as _);
    config.ignore_client_order = true;
    config.alpn_protocols = [H2, HTTP_11, ACME_TLS].map(<[u8]>::to_vec).into();
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(Error::tls)?;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    Ok(Arc::new(config))
}
