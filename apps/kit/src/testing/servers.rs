//! Database servers of a test's own, for what cannot be done to the shared ones: stopping, starting again, halting, filling,
//! failing over. Each is in a temporary folder on a port of its own, and ended by its process id.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

pub use super::own_postgres::OwnPostgres;
pub use super::own_redis::OwnRedis;

/// Longest wait for a server to be there.
pub(super) const START: Duration = Duration::from_secs(30);

/// How often that is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// A certificate for `localhost` from an authority that nobody knows, and another authority.
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// Makes them.
    ///
    /// # Panics
    /// When they cannot be made.
    pub fn make() -> Self {
        const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        let made = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let openssl = |arguments: &str| {
            let mut command = Command::new("openssl");
            command.args(arguments.split(' ')).current_dir(made.folder.path()).stdin(Stdio::null());
            let ran = command.output().expect("openssl runs");
            assert!(ran.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&ran.stderr));
        };
        for name in ["ca", "other"] {
            openssl(&format!("req -x509 {KEY} -subj /CN={name} -days 2 -keyout {name}.key -out {name}.pem"));
        }
        std::fs::write(made.folder.path().join("names"), "subjectAltName=DNS:localhost\n").expect("a file");
        openssl(&format!("req {KEY} -subj /CN=localhost -keyout server.key -out server.csr"));
        openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
        );
        made
    }

    /// `ca` (who vouches), `other` (who does not), `server`.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).with_extension("pem")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.folder.path().join("server.key")
    }

    /// Copies the server's certificate and key to a folder, for their user alone.
    pub(super) fn install(&self, folder: &Path, user: Option<&str>) {
        for file in [self.certificate("server"), self.key()] {
            let mut command = Command::new("install");
            command.args(["-m", "600"]);
            if let Some(user) = user {
                command.args(["-o", user]);
            }
            let ran = command.arg(&file).arg(folder).status().expect("install runs");
            assert!(ran.success(), "{} is installed", file.display());
        }
    }
}
