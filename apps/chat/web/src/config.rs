//! Everything that can be configured, read and checked before a socket is bound.
//!
//! Beside what every service gets ([`kit::config::Base`]): `MANA_CORE_AUTH_URL`, `CHAT_BACKEND_URL`, `PUBLIC_URL` (the
//! origin browsers see; what posts must come from), `SESSION_KEY` (32 bytes in hexadecimal) and `SERVICE_TOKEN` (what mana-core-auth
//! shows when an account is deleted).

use kit::auth::ServiceToken;
use kit::config::{Base, Env, Error};
use secrecy::SecretBox;
use url::{Origin, Url};

/// The service's name where the platform gives none.
const NAME: &str = "chat-web";

/// The configuration.
pub struct Config {
    /// What every service gets.
    pub base: Base,
    pub(crate) auth_url: Url,
    pub(crate) backend_url: Url,
    pub(crate) site: Site,
    pub(crate) session_key: SecretBox<[u8; 32]>,
    pub(crate) service_tokens: Vec<ServiceToken>,
}

/// This site as browsers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    /// `https://app-chat.example`, as an `Origin` header writes it.
    pub(crate) origin: String,
    /// Whether it is reached by https; then cookies never travel otherwise.
    pub(crate) secure: bool,
}

impl Config {
    /// Reads all of it.
    pub fn read(env: &Env) -> Result<Self, Error> {
        let base = Base::read(env, NAME)?;
        Ok(Self {
            auth_url: url(env, "MANA_CORE_AUTH_URL", "the internal URL of mana-core-auth")?,
            backend_url: url(env, "CHAT_BACKEND_URL", "the internal URL of chat-backend")?,
            site: site(env)?,
            session_key: env.secret_bytes("SESSION_KEY")?,
            service_tokens: ServiceToken::read(env)?,
            base,
        })
    }
}

fn url(env: &Env, name: &str, allowed: &str) -> Result<Url, Error> {
    let text = env.required(name, allowed)?;
    let parsed = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    parsed.ok_or_else(|| Error::Invalid { name: name.into(), value: text, allowed: allowed.into() })
}

fn site(env: &Env) -> Result<Site, Error> {
    let public = url(env, "PUBLIC_URL", "the origin browsers see, such as https://app-chat.example.org")?;
    let origin = public.origin();
    debug_assert!(matches!(origin, Origin::Tuple(..)), "http and https URLs have an origin");
    Ok(Site { origin: origin.ascii_serialization(), secure: public.scheme() == "https" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(public: &str) -> Result<Config, Error> {
        let key = "00".repeat(32);
        Config::read(&Env::table([
            ("MANA_CORE_AUTH_URL", "http://127.0.0.1:3001"),
            ("CHAT_BACKEND_URL", "http://127.0.0.1:3002"),
            ("PUBLIC_URL", public),
            ("SESSION_KEY", &key),
            ("SERVICE_TOKEN", "a service token"),
        ]))
    }

    #[test]
    fn the_origin_is_what_browsers_write() {
        let check = |public: &str, origin: &str, secure: bool| {
            assert_eq!(read(public).unwrap().site, Site { origin: origin.into(), secure }, "{public}");
        };
        check("https://app-chat.example.org/", "https://app-chat.example.org", true);
        check("http://app-chat.localhost:8080", "http://app-chat.localhost:8080", false);
        check("https://APP.example.org:443", "https://app.example.org", true);
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        for public in ["", "app-chat.example.org", "ftp://x"] {
            let message = read(public).err().unwrap().to_string();
            assert!(message.starts_with("PUBLIC_URL"), "{message}");
        }
    }
}
