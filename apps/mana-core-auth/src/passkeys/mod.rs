//! Passkeys (WebAuthn, level 2): a way in of its own, with a key that never leaves its owner's device.
//!
//! What a browser sends is checked in [`ceremony`] (pure). A challenge is in a signed ticket, and counts once. A passkey is
//! used only with the owner verified by the device, so it is two factors in itself.

mod ceremony;
pub(crate) mod routes;
mod store;

use kit::config::{Env, Error};
use url::Url;

/// Whose passkeys they are.
#[derive(Debug, Clone)]
pub(crate) struct Party {
    /// `PASSKEY_RP_ID`: the domain they belong to; the host of `APP_URL` unless said otherwise.
    pub(crate) id: String,
    /// `PASSKEY_ORIGINS`: from where they may be used, separated by commas; the origin of `APP_URL`.
    pub(crate) origins: Vec<String>,
}

impl Party {
    pub(crate) fn read(env: &Env, app_url: &str) -> Result<Self, Error> {
        let invalid = |name: &str, value: &str, allowed: &str| Error::Invalid {
            name: name.into(),
            value: value.into(),
            allowed: allowed.into(),
        };
        let app = Url::parse(app_url).map_err(|_| invalid("APP_URL", app_url, "the URL of the app's pages"))?;
        let id = env.optional("PASSKEY_RP_ID").or_else(|| app.host_str().map(str::to_owned)).unwrap_or_default();
        let origins = match env.optional("PASSKEY_ORIGINS") {
            Some(list) => list.split(',').map(|origin| origin.trim().trim_end_matches('/').to_owned()).collect(),
            None => vec![app.origin().ascii_serialization()],
        };
        for origin in &origins {
            let host = Url::parse(origin).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
            if host != id && !host.ends_with(&format!(".{id}")) {
                return Err(invalid("PASSKEY_ORIGINS", origin, &format!("origins at {id} or below it")));
            }
        }
        Ok(Self { id, origins })
    }
}
