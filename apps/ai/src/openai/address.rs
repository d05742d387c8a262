//! Where calls go and how they prove who they are: all that differs between the OpenAI-speaking providers.

use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// A place that speaks OpenAI's protocol.
#[derive(Debug, Clone)]
pub enum Address {
    /// Any compatible endpoint: `base` ends where `/chat/completions` begins (usually with `/v1`).
    Compatible {
        /// The base URL.
        base: Url,
        /// Sent as bearer token, when there is one.
        key: Option<SecretString>,
    },
    /// A deployment of an Azure OpenAI resource.
    Azure {
        /// The resource, `https://NAME.openai.azure.com`.
        endpoint: Url,
        /// The deployment's name, which is also the model's name for us.
        deployment: String,
        /// The dated version of the API.
        api_version: String,
        /// Sent as `api-key`.
        key: SecretString,
    },
}

impl Address {
    /// Where completions are asked for.
    pub(super) fn completions(&self) -> Url {
        match self {
            Self::Compatible { base, .. } => below(base, &["chat", "completions"]),
            Self::Azure { endpoint, deployment, api_version, .. } => {
                let mut url = below(endpoint, &["openai", "deployments", deployment, "chat", "completions"]);
                url.query_pairs_mut().append_pair("api-version", api_version);
                url
            }
        }
    }

    /// Where the models are listed.
    pub(super) fn models(&self) -> Url {
        match self {
            Self::Compatible { base, .. } => below(base, &["models"]),
            Self::Azure { endpoint, api_version, .. } => {
                let mut url = below(endpoint, &["openai", "models"]);
                url.query_pairs_mut().append_pair("api-version", api_version);
                url
            }
        }
    }

    /// Whether that list names what can be called. Azure's names the models that could be deployed, not the deployments.
    pub(super) fn lists_what_it_serves(&self) -> bool {
        matches!(self, Self::Compatible { .. })
    }

    /// Adds the credentials.
    pub(super) fn authorize(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Compatible { key: Some(key), .. } => request.bearer_auth(key.expose_secret()),
            Self::Compatible { key: None, .. } => request,
            Self::Azure { key, .. } => request.header("api-key", sensitive(key)),
        }
    }

    /// Whether calls stay on this machine, where no proxy may catch them.
    pub(super) fn is_loopback(&self) -> bool {
        let (Self::Compatible { base: url, .. } | Self::Azure { endpoint: url, .. }) = self;
        match url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        }
    }
}

/// `base` with segments appended, each escaped, whether or not it ends in a slash.
fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    // Only `data:` and its like refuse; `config` accepts http and https alone.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// A header value that is never printed. One with forbidden bytes becomes empty and is refused by the provider:
/// `config` rejects such keys before.
fn sensitive(key: &SecretString) -> axum::http::HeaderValue {
    let mut value = axum::http::HeaderValue::from_str(key.expose_secret())
        .unwrap_or_else(|_| axum::http::HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_are_asked_for_at_the_documented_places() {
        let compatible = |base: &str| Address::Compatible { base: base.parse().unwrap(), key: None };
        let azure = Address::Azure {
            endpoint: "https://mana.openai.azure.com".parse().unwrap(),
            deployment: "gpt 4o/mini".into(),
            api_version: "2024-10-21".into(),
            key: "k".into(),
        };
        for (address, want) in [
            (compatible("http://h:1/v1"), "http://h:1/v1/chat/completions"),
            (compatible("http://h:1/v1/"), "http://h:1/v1/chat/completions"),
            (compatible("http://h:1"), "http://h:1/chat/completions"),
            (
                azure,
                "https://mana.openai.azure.com/openai/deployments/gpt%204o%2Fmini/chat/completions?api-version=2024-10-21",
            ),
        ] {
            assert_eq!(address.completions().as_str(), want);
        }
    }

    #[test]
    fn keys_are_not_printed() {
        let address = Address::Compatible { base: "http://h".parse().unwrap(), key: Some("sk-secret".into()) };
        assert!(!format!("{address:?}").contains("sk-secret"));
    }
}
