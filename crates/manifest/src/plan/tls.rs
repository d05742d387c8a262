//! How the edge speaks TLS.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::is_false;

/// TLS at the edge. The plain listener sends everyone here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// Where the edge accepts it.
    pub listen: SocketAddr,
    /// Port that clients reach it at.
    pub public_port: u16,
    /// Whether it speaks HTTP/3 too.
    #[serde(skip_serializing_if = "is_false")]
    pub http3: bool,
    /// Certificates of one's own: certificate and key.
    pub certificates: Vec<(PathBuf, PathBuf)>,
    /// Who certifies the other hosts; `None`: nobody, the files are all.
    pub issuer: Option<Issuer>,
}

/// Who makes certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Issuer {
    /// An authority of this machine's own.
    Local,
    /// A public authority.
    Acme(Acme),
}

/// How certificates are ordered; what is absent is the edge's default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Acme {
    /// Whom the authority may write to.
    pub email: Option<String>,
    /// URL of its directory.
    pub directory: Option<String>,
    /// Whether hosts are proven in TLS itself rather than over HTTP.
    pub in_handshake: bool,
    /// The root of the authority's own HTTPS.
    pub roots: Option<PathBuf>,
}
