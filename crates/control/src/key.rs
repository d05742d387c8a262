//! The key that the control plane's own secrets are made from and sealed with: 32 bytes in a file of the data folder that only its owner
//! reads. Made once; a folder that is restored without it has lost what it seals.
//!
//! Each purpose has a key of its own, so that nothing made for one is good for another.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::Sha256;

use crate::paths;

const BYTES: usize = 32;
/// What a sealed text begins with.
const SEALED: &str = "sealed:";

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{} is not usable: {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}

/// One of them. Never shown.
#[derive(Clone)]
pub(crate) struct Key([u8; BYTES]);

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Key")
    }
}

impl Key {
    /// Reads the folder's key; makes it where there is none yet.
    pub(crate) fn of(data: &Path) -> Result<Self, KeyError> {
        let path = paths::key(data);
        let file = |source| KeyError::File { path: path.clone(), source };
        match fs::read_to_string(&path) {
            Ok(text) => {
                if fs::metadata(&path).map_err(file)?.permissions().mode() & 0o077 != 0 {
                    let what = "others may read it; if nobody did: `chmod 600` it";
                    return Err(KeyError::Content { path, what });
                }
                let mut key = [0; BYTES];
                let read = hex::decode_to_slice(text.trim(), &mut key);
                read.map_err(|_| KeyError::Content { path, what: "it does not hold 64 hexadecimal digits" })?;
                Ok(Self(key))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(data).map_err(file),
            Err(error) => Err(file(error)),
        }
    }

    fn make(data: &Path) -> io::Result<Self> {
        let mut key = [0; BYTES];
        SysRng.try_fill_bytes(&mut key).map_err(|_| io::Error::other("the system gives no random bytes"))?;
        let (path, fresh) = (paths::key(data), paths::key(data).with_extension("key.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        writeln!(file, "{}", hex::encode(key))?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        fs::File::open(data)?.sync_all()?;
        Ok(Self(key))
    }

    /// The key that second factors are sealed with.
    pub(crate) fn of_second_factors(&self) -> Self {
        self.purpose("second factors")
    }

    /// The key for a purpose.
    pub(crate) fn purpose(&self, purpose: &str) -> Self {
        let mut key = [0; BYTES];
        key.copy_from_slice(&self.mac(purpose).finalize().into_bytes());
        Self(key)
    }

    #[cfg(test)]
    fn bytes(&self) -> &[u8; BYTES] {
        &self.0
    }

    /// What only somebody with the key can say of a text.
    pub(crate) fn mark(&self, text: &str) -> String {
        hex::encode(self.mac(text).finalize().into_bytes())
    }

    /// Whether that is the text's mark. Takes the same time whatever is shown.
    pub(crate) fn marks(&self, text: &str, shown: &str) -> bool {
        hex::decode(shown).is_ok_and(|shown| self.mac(text).verify_slice(&shown).is_ok())
    }

    /// The text so that only this key opens it, and only as its owner's.
    pub(crate) fn seal(&self, owner: &str, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        let nonce = self.aead().seal_in_place_append_tag(Aad::from(owner), &mut bytes);
        let nonce = nonce.expect("a few bytes can be sealed");
        format!("{SEALED}{}", URL_SAFE_NO_PAD.encode([nonce.as_ref().as_slice(), &bytes].concat()))
    }

    /// What was sealed; `None` where the key is another one, or it belongs to somebody else.
    pub(crate) fn open(&self, owner: &str, sealed: &str) -> Option<String> {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed.strip_prefix(SEALED)?).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self.aead().open_in_place(nonce, Aad::from(owner), sealed).ok()?;
        String::from_utf8(text.to_vec()).ok()
    }

    fn aead(&self) -> RandomizedNonceKey {
        RandomizedNonceKey::new(&AES_256_GCM, &self.0).expect("a key of 32 bytes")
    }

    fn mac(&self, text: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(text.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_is_another_for_each_purpose() {
        let data = tempfile::tempdir().expect("a folder");
        let key = Key::of(data.path()).expect("made");
        let again = Key::of(data.path()).expect("read");
        assert_eq!(key.bytes(), again.bytes());
        assert_ne!(key.purpose("a").bytes(), key.purpose("b").bytes());
        assert_ne!(key.purpose("a").bytes(), key.bytes());
        let path = paths::key(data.path());
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
        assert!(Key::of(data.path()).expect_err("refused").to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
        fs::write(&path, "abc").expect("written");
        assert!(Key::of(data.path()).expect_err("refused").to_string().contains("64 hexadecimal"));
    }

    #[test]
    fn what_is_sealed_is_opened_by_the_same_key_as_its_owners_alone() {
        let data = tempfile::tempdir().expect("a folder");
        let key = Key::of(data.path()).expect("made");
        let sealed = key.seal("ada", "GEZDGNBV");
        assert!(sealed.starts_with(SEALED) && !sealed.contains("GEZDGNBV") && sealed != key.seal("ada", "GEZDGNBV"));
        assert_eq!(key.open("ada", &sealed).as_deref(), Some("GEZDGNBV"));
        assert_eq!(key.open("bob", &sealed), None);
        assert_eq!(key.purpose("x").open("ada", &sealed), None);
        for broken in ["", "GEZDGNBV", "sealed:", "sealed:!", &sealed[..sealed.len() - 2]] {
            assert_eq!(key.open("ada", broken), None, "{broken}");
        }
    }

    #[test]
    fn a_mark_is_of_one_text_and_one_key() {
        let data = tempfile::tempdir().expect("a folder");
        let key = Key::of(data.path()).expect("made");
        let mark = key.mark("chat");
        assert!(key.marks("chat", &mark));
        assert!(!key.marks("auth", &mark) && !key.purpose("x").marks("chat", &mark));
        assert!(!key.marks("chat", "") && !key.marks("chat", "zz") && !key.marks("chat", &mark[..62]));
    }
}
